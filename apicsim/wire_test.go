package apicsim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apicsim"
)

func TestConversation(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		s := w.open(0)
		if !strings.Contains(s.token, "//") || !strings.HasSuffix(s.token, "==") || !strings.Contains(s.token, "+") {
			t.Errorf("token %q is too tame", s.token)
		}
		id := s.subscribe("/api/class/fvTenant.json?subscription=yes")
		bd := s.subscribe("/api/mo/uni/tn-blue.json?subscription=yes&query-target=subtree&target-subtree-class=fvBD,fvTenant")
		if id == bd {
			t.Errorf("two subscriptions with id %s", id)
		}
		r := s.post("/api/mo/uni/tn-blue.json", `{"fvTenant":{"attributes":{"descr":"a \"b\" <c>"},"children":[{"fvBD":{"attributes":{"name":"web"}}}]}}`)
		if r.status != 200 || r.body != `{"totalCount":"0","imdata":[]}` {
			t.Fatalf("POST: %d %s", r.status, r.body)
		}
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000-07:00")
		want := []string{
			`{"subscriptionId":["` + id + `","` + bd + `"],"imdata":[{"fvTenant":{"attributes":{"annotation":"","childAction":"","descr":"a \"b\" <c>","dn":"uni/tn-blue","extMngdBy":"","lcOwn":"local","modTs":"` + now + `","monPolDn":"uni/tn-common/monepg-default","name":"blue","nameAlias":"","ownerKey":"","ownerTag":"","rn":"","status":"created","uid":"0","userdom":"all"}}}]}`,
			`{"subscriptionId":["` + bd + `"],"imdata":[{"fvBD":{"attributes":{"OptimizeWanBandwidth":"no",`,
		}
		for _, x := range want {
			if got := s.frame(); !strings.HasPrefix(got, x) {
				t.Errorf("got\n%s\nwant\n%s", got, x)
			}
		}
		must(t, w.f.Modify("uni/tn-blue", attrs("descr", "new")))
		must(t, w.f.Modify("uni/tn-blue", attrs("descr", "new"))) // no change, no push
		if got, want := s.frame(), `{"subscriptionId":["`+id+`","`+bd+`"],"imdata":[{"fvTenant":{"attributes":{"childAction":"","descr":"new","dn":"uni/tn-blue","modTs":"`+now+`","rn":"","status":"modified"}}}]}`; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if r := w.do(0, "DELETE", "/api/mo/uni/tn-blue.json", "", "APIC-cookie="+s.token); r.status != 200 {
			t.Errorf("DELETE: %v", r)
		}
		for _, x := range []string{`"` + id + `","` + bd + `"],"imdata":[{"fvTenant":{"attributes":{"childAction":"","dn":"uni/tn-blue","modTs":"` + now + `","rn":"","status":"deleted"}}}]}`,
			`["` + bd + `"],"imdata":[{"fvBD":{"attributes":{"childAction":"","dn":"uni/tn-blue/BD-web","modTs":"` + now + `","rn":"","status":"deleted"}}}]}`} {
			if got := s.frame(); !strings.HasSuffix(got, x) {
				t.Errorf("got\n%s\nwant …\n%s", got, x)
			}
		}
		if n := len(w.f.Below("uni/tn-blue")); n != 0 {
			t.Errorf("%d objects left", n)
		}
		s.silent()
	})
}

func TestErrors(t *testing.T) {
	bubble(t, apicsim.Options{MaxResult: 2}, func(w *world) {
		s := w.login(0)
		cookie := "APIC-cookie=" + s.token
		for _, c := range []struct {
			method, path, body, cookie string
			status                     int
			want                       string
		}{
			{"POST", "/api/aaaLogin.json", `{"aaaUser":{"attributes":{"name":"admin","pwd":"x"}}}`, "", 401, `"code":"401","text":"Username or password is incorrect - FAILED local authentication"`},
			{"POST", "/api/aaaLogin.json", `{"aaaUser":{"attributes":{"name":"apic:nowhere\\admin","pwd":"cisco123"}}}`, "", 401, `"401"`},
			{"POST", "/api/aaaLogin.json", `{"aaaUser":{"attributes":{"name":"apic:LOCAL\\admin","pwd":"cisco123"}}}`, "", 200, `"userName":"admin"`},
			{"POST", "/api/aaaLogin.json", `{"aaaUser":{"attributes":{"name":"apic#fallback\\admin","pwd":"cisco123"}}}`, "", 200, `"userName":"admin"`},
			{"GET", "/api/aaaListDomains.json", "", "", 200, `"name":"fallback"`},
			{"GET", "/api/class/fvTenant.json", "", "", 403, `Need a valid webtoken cookie`},
			{"GET", "/api/class/fvTenant.json", "", "APIC-cookie=unknown", 403, `Need a valid webtoken cookie`},
			{"GET", "/api/class/fvNonsense.json", "", cookie, 400, `"text":"Request failed, unresolved class for fvNonsense"`},
			{"GET", "/api/class/fvTenant.json", "", cookie, 400, `Unable to process the query, result dataset is too big`},
			{"GET", "/api/class/fvTenant.json?page-size=1", "", cookie, 200, `"totalCount":"3","imdata":[{"fvTenant"`},
			{"GET", "/api/mo/uni/tn-none.json", "", cookie, 200, `{"totalCount":"0","imdata":[]}`},
			{"GET", "/api/class/fvCtx.json?query-target-filter=eq(fvCtx.nonsense,%22x%22)", "", cookie, 400, `"code":"107"`},
			{"GET", "/api/class/fvCtx.json?query-target-filter=eq(fvCtx.name,x)", "", cookie, 400, `wrong filter format`},
			{"GET", "/api/class/fvCtx.json?query-target-filter=eq%28fvCtx.name,%22x%22%29", "", cookie, 400, `Wrong filter format`},
			{"GET", "/api/class/fvCtx.json?refresh-timeout=1m0s", "", cookie, 400, `refresh-timeout`},
			{"GET", "/api/class/fvCtx.json?subscription=yes", "", cookie, 405, `unable to locate opened web socket`},
			{"GET", "/api/subscriptionRefresh.json?id=1", "", cookie, 405, `unable to locate opened web socket`},
			{"POST", "/api/mo/uni.json", `{"fvTenant":`, cookie, 400, `not JSON`},
			{"POST", "/api/mo/uni.json", `{"fvTenant":{"attributes":{}}}`, cookie, 400, `naming properties`},
			{"POST", "/api/mo/uni.json", `{"fvTenant":{"attributes":{"name":"common","status":"created"}}}`, cookie, 400, `already exists`},
			{"POST", "/api/mo/uni.json", `{"fvTenant":{"attributes":{"name":"none","status":"modified"}}}`, cookie, 400, `not found`},
			{"POST", "/api/mo/uni.json", `{"fvTenant":{"attributes":{"name":"none","status":"deleted"}}}`, cookie, 200, `[]`},
			{"GET", "/nonsense", "", cookie, 404, `<html>`},
			{"GET", "/socketnonsense", "", cookie, 400, `<html>`},
			{"GET", "/api/class/fvNonsense.xml", "", cookie, 400, `<error code="400" text="Request failed, unresolved class for fvNonsense"/>`},
		} {
			r := w.do(0, c.method, c.path, c.body, c.cookie)
			if r.status != c.status || !strings.Contains(r.body, c.want) {
				t.Errorf("%s %s: got %d %s, want %d …%s…", c.method, c.path, r.status, r.body, c.status, c.want)
			}
		}
	})
}

func TestSessionLife(t *testing.T) {
	bubble(t, apicsim.Options{RefreshTimeout: 10 * time.Minute, Controllers: 2, TokenOverlap: 5 * time.Second}, func(w *world) {
		s := w.open(0)
		id := s.subscribe("/api/class/fvTenant.json?subscription=yes&refresh-timeout=3600")
		if r := w.do(1, "GET", "/api/class/fvTenant.json", "", "APIC-cookie="+s.token); r.status != 403 {
			t.Errorf("token on the other controller: %d", r.status)
		}
		time.Sleep(9 * time.Minute)
		r := s.get("/api/aaaRefresh.json")
		old := s.token
		s.token = token(t, r.body)
		if s.token == old || !strings.Contains(r.body, `"aaaLogin"`) || !strings.Contains(r.header.Get("Set-Cookie"), s.token) {
			t.Errorf("refresh: %s", r.body)
		}
		if r := w.do(0, "GET", "/api/mo/uni.json", "", "APIC-cookie="+old); r.status != 200 {
			t.Errorf("old token within the overlap: %d", r.status)
		}
		time.Sleep(9 * time.Minute)
		if r := w.do(0, "GET", "/api/mo/uni.json", "", "APIC-cookie="+old); r.status != 403 || !strings.Contains(r.body, "Token timeout") {
			t.Errorf("old token: %d %s", r.status, r.body)
		}
		must(t, w.f.Create("fvTenant", "uni/tn-x", nil))
		if got := s.frame(); !strings.Contains(got, id) {
			t.Errorf("after the refresh: %s", got)
		}
		if n := w.f.Count("aaaActiveUserSession"); n != 1 {
			t.Errorf("%d session objects", n)
		}
		if got := w.f.Busiest(time.Second, ""); got != 4 {
			t.Errorf("busiest second has %d requests", got)
		}
		// Nobody refreshes: the socket ends with the token.
		ctx := w.t.Context()
		start := time.Now()
		_, _, err := s.ws.Read(ctx)
		if err == nil || !strings.Contains(err.Error(), "StatusNormalClosure") || time.Since(start) != time.Minute {
			t.Errorf("end after %v: %v", time.Since(start), err)
		}
		if r := s.get("/api/mo/uni.json"); r.status != 403 || !strings.Contains(r.body, "Token timeout") {
			t.Errorf("dead token: %d %s", r.status, r.body)
		}
		if n := w.f.Count("aaaActiveUserSession"); n != 0 {
			t.Errorf("%d session objects", n)
		}
	})
}

func TestSubscriptionLife(t *testing.T) {
	bubble(t, apicsim.Options{LazyExpiry: 20 * time.Second}, func(w *world) {
		s := w.open(0)
		a := s.subscribe("/api/class/fvTenant.json?subscription=yes")
		b := s.subscribe("/api/class/fvTenant.json?subscription=yes&refresh-timeout=300")
		create := func(n int) { must(t, w.f.Create("fvTenant", fmt.Sprintf("uni/tn-t%d", n), nil)) }
		time.Sleep(75 * time.Second)
		create(1)
		if got := s.frame(); !strings.Contains(got, a) || !strings.Contains(got, b) {
			t.Errorf("within the lazy time: %s", got)
		}
		if r := s.get("/api/subscriptionRefresh.json?id=" + a + "garbage"); r.status != 200 || !strings.Contains(r.body, `"imdata":[]`) {
			t.Errorf("refresh: %d %s", r.status, r.body)
		}
		time.Sleep(81 * time.Second)
		create(2)
		if got := s.frame(); strings.Contains(got, a) || !strings.Contains(got, b) {
			t.Errorf("after the end of the first: %s", got)
		}
		if r := s.get("/api/subscriptionRefresh.json?id=" + a); r.status != 400 || !strings.Contains(r.body, "Subscription refresh timeout") {
			t.Errorf("refresh: %d %s", r.status, r.body)
		}
		if r := s.post("/api/aaaLogout.json", `{"aaaUser":{"attributes":{"name":"admin"}}}`); r.status != 200 {
			t.Errorf("logout: %v", r)
		}
		if _, err := s.read(); err == nil {
			t.Error("the socket outlived the logout")
		}
	})
}
