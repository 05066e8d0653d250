package webhook_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acitap/acitap/apic"
)

func TestDeliversInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook","class":"fvTenant"}`)
		v.mu.Lock()
		v.secret = hook.Secret.Reveal()
		v.mu.Unlock()
		want := r.line.add(tenants(20)...)
		r.line.add(event("fvBD", "uni/tn-a/BD-b", apic.Created))
		time.Sleep(time.Second)
		wantIDs(t, v.ids(), want)
		if len(v.wrong) > 0 {
			t.Errorf("got signatures that the library refuses: %v", v.wrong)
		}
		time.Sleep(time.Minute)
		if got := r.get(hook.ID); got.State != "active" || got.Lag != 0 || got.Delivered != 20 {
			t.Errorf("got %+v, want active, no lag, 20 delivered", got)
		}
	})
}

func TestTriesAgainAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		v.set(status(http.StatusInternalServerError))
		hook := r.create(`{"name":"noc","url":"http://192.0.2.7/hook"}`)
		want := r.line.add(tenants(5)...)
		time.Sleep(time.Hour)
		if got := r.get(hook.ID); got.State != "failing" || got.Error == "" || got.Lag != 5 {
			t.Errorf("got %+v, want failing, with a reason", got)
		}
		r.stop()
		r.line.add(event("fvBD", "uni/tn-a/BD-b", apic.Created))
		r.start()
		time.Sleep(time.Second)
		if got := r.get(hook.ID); got.State != "failing" || got.Attempt < 3 {
			t.Errorf("got %+v, want failing still", got)
		}
		v.set(nil)
		time.Sleep(time.Hour)
		want = append(want, want[4]+1)
		wantIDs(t, unique(v.ids()), want)
	})
}
