package apic_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/eventlog"
)

func TestWrongPasswordIsSaidAndNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{Controllers: 3}, func(o *apic.Options) { o.Password = "wrong" })
		time.Sleep(time.Hour)
		if n := len(r.fabric.RequestsTo("aaaLogin")); n < 2 || n > 7 {
			t.Errorf("%d logins in an hour over all controllers, want a few: more could lock the account", n)
		}
		s := r.hub.Sessions()[0]
		if s.State != apic.Refused || !strings.Contains(s.LastError, "401") || s.NextTry.IsZero() {
			t.Errorf("session is %+v, want it failed with APIC's words and a next try", s)
		}
		if err := r.hub.Ready(); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("Ready says %v", err)
		}
		r.fabric.SetPassword("admin", "wrong")
		time.Sleep(40 * time.Minute)
		if s := r.hub.Sessions()[0]; s.State != apic.Connected {
			t.Errorf("40 minutes after the password was right the session is %s: %s", s.State, s.LastError)
		}
	})
}

func TestSubscriptionsAreMadeWhenTheAPICComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{}, func(o *apic.Options) {
			o.Controllers = append([]*url.URL{{Scheme: "http", Host: "nobody"}}, o.Controllers...)
		})
		r.network.Refuse("apic1:80", true)
		time.Sleep(time.Minute)
		q, _ := apic.NewQuery("fvTenant", "", "", "")
		s, created, err := r.hub.Subscribe(t.Context(), q, false)
		if err != nil || !created || s.State != apic.Pending {
			t.Fatalf("got %+v, %v, %v; want it pending", s, created, err)
		}
		again, created, err := r.hub.Subscribe(t.Context(), q, false)
		if err != nil || created || again.ID != s.ID {
			t.Errorf("the same query again: %+v, %v, %v; want the one that stands", again, created, err)
		}
		r.network.Refuse("apic1:80", false)
		time.Sleep(time.Minute)
		if got := r.hub.Subscriptions(t.Context())[0]; got.State != apic.Active || got.Objects != 3 {
			t.Errorf("a minute after the APIC is there: %+v", got)
		}
	})
}

func TestRefusedSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvBD.json")
		for query, words := range map[string]string{
			"/api/class/fvNonsense.json": "unresolved class",
			"/api/class/fvTenant.json?query-target-filter=eq(fvTenant.nonsense,\"x\")": "",
			"/api/class/eqptIngrErrPkts5min.json":                                      "statistics",
		} {
			q, err := apic.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = r.hub.Subscribe(t.Context(), q, false)
			if !errors.Is(err, apic.ErrUnprocessable) || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: got %v, want it refused with %q", query, err, words)
			}
		}
		q, _ := apic.NewQuery("fvBD", "uni/tn-common", "", "")
		if _, _, err := r.hub.Subscribe(t.Context(), q, false); !errors.Is(err, apic.ErrUnprocessable) || !strings.Contains(err.Error(), "is a fvTenant, not a fvBD") {
			t.Errorf("a tenant's DN as a bridge domain: %v", err)
		}
		list := r.hub.Subscriptions(t.Context())
		if len(list) != 1 || list[0].State != apic.Active {
			t.Errorf("what is refused must not stand nor touch the others: %+v", list)
		}
	})
}

func TestUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		a := r.subscribe("/api/class/fvTenant.json")
		b := r.subscribe("/api/mo/uni/tn-common.json")
		if err := r.hub.Unsubscribe(t.Context(), a.ID, "nonsense"); !errors.Is(err, apic.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
		if n := len(r.hub.Subscriptions(t.Context())); n != 2 {
			t.Errorf("%d subscriptions stand after a refused call, want 2", n)
		}
		if err := r.hub.Unsubscribe(t.Context(), a.ID); err != nil {
			t.Fatal(err)
		}
		objects, _ := r.hub.Objects(&apic.Narrow{}, "", 0)
		if len(objects) != 1 || objects[0].DN != "uni/tn-common" {
			t.Errorf("held are %v, want only what the other subscription covers", objects)
		}
		r.fabric.Modify("uni/tn-common", map[string]string{"descr": "x"})
		r.fabric.Modify("uni/tn-mgmt", map[string]string{"descr": "x"})
		r.quiet()
		entries := r.entries()
		if last := entries[len(entries)-1]; last.Event.DN != "uni/tn-common" {
			t.Errorf("last event is of %s", last.Event.DN)
		}
		if err := r.hub.Unsubscribe(t.Context(), b.ID); err != nil {
			t.Fatal(err)
		}
		if objects, _ := r.hub.Objects(&apic.Narrow{}, "", 0); len(objects) != 0 {
			t.Errorf("held are %v after the last subscription ended", objects)
		}
		r.subscribe("/api/class/fvTenant.json")
		if ids := taken(t, r.hub, apic.NextOptions{Max: 10}, "fvTenant"); len(ids) != 3 {
			t.Errorf("a class subscribed anew gives %d events, want its snapshot of 3", len(ids))
		}
	})
}

func TestOnlyNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		q, _ := apic.NewQuery("fvTenant", "", "", "")
		if _, _, err := r.hub.Subscribe(t.Context(), q, true); err != nil {
			t.Fatal(err)
		}
		r.quiet()
		if n := len(r.entries()); n != 0 {
			t.Errorf("%d entries, want none: only new ones were asked for", n)
		}
		r.fabric.Modify("uni/tn-common", map[string]string{"descr": "x"})
		r.quiet()
		entries := r.entries()
		if len(entries) != 1 || len(entries[0].Event.Changes) != 1 || entries[0].Event.Object.Get("name") != "common" {
			t.Errorf("got %v, want one change with its old value and the whole object", entries)
		}
		if diff := cmp.Diff(r.simulated("fvTenant"), r.held("fvTenant")); diff != "" {
			t.Errorf("objects (-fabric +held):\n%s", diff)
		}
		r.stop()
		r.start()
		time.Sleep(time.Minute)
		if diff := cmp.Diff(r.simulated("fvTenant"), r.held("fvTenant")); diff != "" {
			t.Errorf("objects after a restart (-fabric +held):\n%s", diff)
		}
	})
}

// Every request carries exactly one APIC-cookie: with two an APIC answers and
// never pushes.
func TestOneCookieARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{RefreshTimeout: time.Minute})
		r.subscribe("/api/class/fvTenant.json")
		time.Sleep(10 * time.Minute)
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		time.Sleep(10 * time.Minute)
		n := 0
		for _, q := range r.fabric.Requests() {
			if strings.Contains(q.URI, "aaaLogin") || strings.HasPrefix(q.URI, "/socket") {
				continue
			}
			n++
			if q.Cookies != 1 {
				t.Errorf("%s carries %d APIC-cookies, want 1", q.URI, q.Cookies)
			}
		}
		if n < 50 {
			t.Errorf("only %d requests were looked at", n)
		}
	})
}

func TestLogsOutWhenItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		began := time.Now()
		r.stop()
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("stopping took %s", d)
		}
		if n := len(r.fabric.RequestsTo("aaaLogout")); n != 1 {
			t.Errorf("%d logouts, want 1", n)
		}
		r.start()
	})
}

func TestSignatureLogin(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{
			CertKeys: map[string]apicsim.PublicID{"uni/userext/user-auto/usercert-gold": {Key: &key.PublicKey}},
		}, func(o *apic.Options) {
			o.User, o.Password, o.CertName, o.Key = "auto", "", "gold", key
		})
		r.subscribe(`/api/mo/uni.json?query-target=subtree&target-subtree-class=fvTenant&query-target-filter=wcard(fvTenant.name,"com mon|mgmt|common|x[0-9]")`)
		r.fabric.Create("fvTenant", "uni/tn-x1", nil)
		time.Sleep(10 * time.Minute)
		if n := len(r.entries()); n != 3 {
			t.Errorf("%d entries, want common, mgmt and x1", n)
		}
		if n := len(r.fabric.RequestsTo("aaaLogin")) + len(r.fabric.RequestsTo("aaaRefresh")); n != 0 {
			t.Errorf("%d logins or token refreshes, want none with a signature", n)
		}
	})
}

func TestUntrustedCertificate(t *testing.T) {
	fabric := apicsim.New(apicsim.Options{})
	defer fabric.Close()
	server := httptest.NewUnstartedServer(fabric.Controller(0))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	controller, _ := url.Parse(server.URL)
	sum := sha256.Sum256(server.Certificate().Raw)
	print := hex.EncodeToString(sum[:])

	session := func(fingerprint string, insecure bool, ready bool) apic.Session {
		t.Helper()
		config, err := apic.TLSConfig("", fingerprint, insecure)
		if err != nil {
			t.Fatal(err)
		}
		hub, err := apic.New(t.Context(), apic.Options{
			Controllers: []*url.URL{controller}, User: "admin", Password: "cisco123", TLS: config,
			Journal: eventlog.Memory(eventlog.Options{}),
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		ctx, stop := contextWithStop(t)
		go func() { defer close(ended); hub.Run(ctx) }()
		defer func() { stop(); <-ended }()
		for {
			changed := hub.SessionChanged()
			s := hub.Sessions()[0]
			if ready && hub.Ready() == nil || !ready && s.LastError != "" {
				return s
			}
			<-changed
		}
	}
	s := session("", false, false)
	if s.State != apic.Refused || !strings.Contains(s.LastError, print) || !strings.Contains(s.LastError, "APIC_TLS_FINGERPRINT") || !strings.Contains(s.LastError, "APIC_CA_FILE") {
		t.Errorf("session says %+v, want the fingerprint %s and the settings that trust it", s, print)
	}
	if len(fabric.Requests()) != 0 {
		t.Error("something was sent to a server that is not trusted")
	}
	s = session(strings.Repeat("ab", 32), false, false)
	if !strings.Contains(s.LastError, print) {
		t.Errorf("with the wrong pin the session says %q", s.LastError)
	}
	if s = session(strings.ToUpper(print[:2])+":"+print[2:], false, true); s.State != apic.Connected {
		t.Errorf("with the pin the session is %s", s.State)
	}
	if s = session("", true, true); s.State != apic.Connected {
		t.Errorf("insecure, the session is %s", s.State)
	}
	for _, bad := range []string{"xyz", "abcd"} {
		if _, err := apic.TLSConfig("", bad, false); err == nil {
			t.Errorf("TLSConfig took %q for a fingerprint", bad)
		}
	}
	if _, err := apic.TLSConfig("no-such-file", "", false); err == nil {
		t.Error("TLSConfig took a CA file that is not there")
	}
}

// Of a filtered list an absence proves nothing: the object is read back.
func TestFilteredSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		for _, n := range []string{"a", "b", "c"} {
			r.fabric.Create("fvTenant", "uni/tn-"+n, map[string]string{"descr": "watched"})
		}
		r.subscribe(`/api/class/fvTenant.json?query-target-filter=eq(fvTenant.descr,"watched")`)
		r.network.Refuse("apic1:80", true)
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		time.Sleep(time.Second)
		r.fabric.Delete("uni/tn-a")
		r.fabric.Modify("uni/tn-b", map[string]string{"descr": "let go"})
		r.network.Refuse("apic1:80", false)
		time.Sleep(2 * time.Minute)
		statuses := map[apic.DN]apic.Status{}
		gaps := 0
		for _, e := range r.entries()[3:] {
			if e.Gap != nil {
				gaps++
			} else {
				statuses[e.Event.DN] = e.Event.Status
			}
		}
		want := map[apic.DN]apic.Status{"uni/tn-a": apic.Deleted, "uni/tn-b": apic.Modified}
		if diff := cmp.Diff(want, statuses); diff != "" || gaps != 1 {
			t.Errorf("%d gaps, events (-want +got):\n%s", gaps, diff)
		}
		r.fabric.Modify("uni/tn-b", map[string]string{"descr": "watched"}) // enters the filter again
		r.fabric.Create("fvTenant", "uni/tn-d", map[string]string{"descr": "watched"})
		r.quiet()
		if got := r.held("fvTenant"); got["uni/tn-b"]["descr"] != "watched" || got["uni/tn-d"] == nil {
			t.Errorf("held are %v", got)
		}
	})
}

func TestSuperclassAndFaultLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/faultInfo.json")
		dn, err := r.fabric.CreateFault("uni/tn-common", "F0467", "minor", "Configuration failed")
		if err != nil {
			t.Fatal(err)
		}
		for _, lc := range []string{"raised", "raised-clearing", "retaining"} {
			if err := r.fabric.Transition(dn, lc); err != nil {
				t.Fatal(err)
			}
		}
		r.fabric.Delete(dn)
		r.quiet()
		var got []string
		for _, e := range r.entries() {
			if e.Event != nil {
				got = append(got, string(e.Event.Class)+" "+string(e.Event.Status)+" "+e.Event.Object.Get("lc"))
			}
		}
		want := []string{"faultInst created soaking", "faultInst modified raised", "faultInst modified raised-clearing", "faultInst modified retaining", "faultInst deleted retaining"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if ids := taken(t, r.hub, apic.NextOptions{Max: 10}, "faultInst", "faultDelegate"); len(ids) != 5 {
			t.Errorf("the queue gave %d events, want 5", len(ids))
		}
	})
}

func TestParentDeletedWithoutItsChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.fabric.Create("fvTenant", "uni/tn-a", nil)
		r.fabric.Create("fvBD", "uni/tn-a/BD-b", nil)
		r.fabric.Create("fvBD", "uni/tn-a/BD-c", nil)
		r.subscribe("/api/mo/uni.json?query-target=subtree&target-subtree-class=fvTenant,fvBD")
		r.fabric.OrphanDelete("uni/tn-a")
		r.quiet()
		var got []string
		for _, e := range r.entries()[6-1:] {
			if e.Event != nil && strings.HasPrefix(string(e.Event.DN), "uni/tn-a") && e.Event.Status == apic.Deleted {
				got = append(got, string(e.Event.DN)+" "+string(e.Event.Origin))
			}
		}
		want := []string{"uni/tn-a live", "uni/tn-a/BD-c resync", "uni/tn-a/BD-b resync"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("deletions (-want +got):\n%s", diff)
		}
	})
}

// A class of several pages, and an APIC that says "too big" to what is not
// paged.
func TestManyObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{MaxResult: 6000})
		err := r.fabric.Batch(func(tx *apicsim.Tx) error {
			for i := range 12_000 {
				if err := tx.Create("fvTenant", "uni/tn-t"+hex.EncodeToString([]byte{byte(i >> 8), byte(i)}), nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s := r.subscribe("/api/class/fvTenant.json")
		if s.Objects != 12_003 {
			t.Errorf("%d objects, want 12,003", s.Objects)
		}
		before := r.hub.Bounds().Newest
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		time.Sleep(2 * time.Minute)
		if after := r.hub.Bounds().Newest; after != before+1 {
			t.Errorf("comparing what had not changed wrote %d entries, want the gap alone", after-before)
		}
		r.network.Refuse("apic1:80", true)
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		time.Sleep(time.Second)
		for i := range 300 {
			r.fabric.Delete("uni/tn-t" + hex.EncodeToString([]byte{byte(i * 40 >> 8), byte(i * 40)}))
		}
		r.network.Refuse("apic1:80", false)
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff(r.simulated("fvTenant"), r.held("fvTenant")); diff != "" {
			t.Errorf("objects (-fabric +held):\n%s", diff)
		}
	})
}

// A comparison must not believe a controller that has just come up and answers
// everything with empty lists.
func TestHollowController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		r.subscribe("/api/class/fabricNode.json")
		r.fabric.Controller(0).Reboot(apicsim.Reboot{Refuse: 20 * time.Second, Hollow: 3 * time.Minute})
		time.Sleep(10 * time.Minute)
		for _, e := range r.entries() {
			if e.Event != nil && e.Event.Status == apic.Deleted {
				t.Errorf("told deleted, and never was: %s", e.JSON)
			}
		}
		for _, s := range r.hub.Subscriptions(t.Context()) {
			if s.State != apic.Active {
				t.Errorf("%s is %s: %s", s.Query, s.State, s.Error)
			}
		}
	})
}

// A controller answers the subscription late and lists what was true a while
// ago; what it pushed before the answer must not be lost.
func TestFramesBeforeTheAnswerOverAStaleList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		time.Sleep(time.Minute)
		c := r.fabric.Controller(0)
		c.Stale(15 * time.Second)
		c.DelayAnswer(&apicsim.SlowAnswer{Match: "subscription=yes", Count: 1, Delay: 5 * time.Second})
		time.AfterFunc(2*time.Second, func() { r.fabric.Create("fvTenant", "uni/tn-early", nil) })
		r.subscribe("/api/class/fvTenant.json")
		time.Sleep(5 * time.Second)
		if r.held("fvTenant")["uni/tn-early"] == nil {
			t.Error("what was pushed before the answer is lost")
		}
	})
}

// Near the end of a session's life a second one opens beside it, and for a
// while both tell everything, each in its own time.
func TestRollOverTellsEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{MaximumLifetime: 4 * time.Minute})
		r.subscribe("/api/class/fvTenant.json")
		snapshot := len(r.entries())
		n := 0
		for began := time.Now(); time.Since(began) < 12*time.Minute; time.Sleep(200 * time.Millisecond) {
			r.fabric.Batch(func(tx *apicsim.Tx) error {
				for range 4 {
					n++
					tx.Modify("uni/tn-common", map[string]string{"descr": []string{"a", "b"}[n%2]})
				}
				return nil
			})
		}
		r.quiet()
		if logins := len(r.fabric.Logins()); logins < 3 {
			t.Fatalf("%d logins: no session took over", logins)
		}
		if logouts := len(r.fabric.RequestsTo("aaaLogout")); logouts < 2 {
			t.Errorf("%d logouts: the old sessions were not ended by their successors", logouts)
		}
		told := 0
		last := ""
		for _, e := range r.entries()[snapshot:] {
			if e.Gap != nil {
				t.Errorf("a gap, and nothing was out of sight: %s", e.JSON)
				continue
			}
			told++
			if d := e.Event.Attributes.Get("descr"); d == last {
				t.Errorf("told %q twice, at %s", d, e.Event.Time)
			} else {
				last = d
			}
			if e.Event.Origin != apic.Live {
				t.Errorf("origin is %s", e.Event.Origin)
			}
		}
		if told != n {
			t.Errorf("%d changes were told, want each of %d once", told, n)
		}
	})
}

func TestLoginDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{}, func(o *apic.Options) { o.User = `apic#LOCAL\admin` })
		r.subscribe("/api/class/fvTenant.json")
	})
}

func TestSubtreeTooBigIsRefusedWithTheWayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		r.fabric.Controller(0).TooBig(2, 503)
		q, err := apic.ParseQuery("/api/mo/uni.json?query-target=subtree")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.hub.Subscribe(t.Context(), q, false); !errors.Is(err, apic.ErrUnprocessable) {
			t.Errorf("got %v, want it refused", err)
		}
	})
}

// A frame of any size that fits is read; one beyond that costs the socket, and
// nothing more.
func TestHugeFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		descr := strings.Repeat("x", 20<<20)
		r.fabric.Controller(0).Inject(apicsim.Frame{Payload: []byte(`{"subscriptionId":["{id}"],"imdata":[{"fvTenant":{"attributes":{"dn":"uni/tn-common","descr":"` + descr + `","status":"modified"}}}]}`)})
		time.Sleep(10 * time.Second)
		if got := r.held("fvTenant")["uni/tn-common"]["descr"]; len(got) != len(descr) {
			t.Errorf("20 MB of descr came through as %d bytes", len(got))
		}
		r.fabric.Controller(0).Inject(apicsim.Frame{Payload: []byte(`{"x":"` + strings.Repeat("x", 65<<20) + `"}`)})
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff(r.simulated("fvTenant"), r.held("fvTenant")); diff != "" {
			t.Errorf("objects (-fabric +held):\n%.300s", diff)
		}
		if r.hub.Sessions()[0].Gaps == 0 {
			t.Error("the socket ended and no gap says so")
		}
	})
}
