package apicsim_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/acitap/acitap/apicsim"
)

// handlerClient asks a controller without a network.
type handlerClient struct{ h http.Handler }

func (c handlerClient) do(method, target, body, token string) int {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.RequestURI = target
	if token != "" {
		r.Header.Set("Cookie", "APIC-cookie="+token)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	return w.Code
}

func (c handlerClient) login(f testing.TB) string {
	r := httptest.NewRequest("POST", "/api/aaaLogin.json", strings.NewReader(`{"aaaUser":{"attributes":{"name":"admin","pwd":"cisco123"}}}`))
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	var v struct {
		Imdata []map[string]struct{ Attributes map[string]string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		f.Fatal(err)
	}
	return v.Imdata[0]["aaaLogin"].Attributes["token"]
}

func escape(s string) string {
	return strings.NewReplacer("%28", "(", "%29", ")", "%2C", ",").Replace(url.PathEscape(s))
}

func TestSocketEnds(t *testing.T) {
	for _, c := range []struct {
		how  apicsim.SocketEnd
		want string
	}{
		{apicsim.CloseNormal, "StatusNormalClosure"}, {apicsim.CloseGoingAway, "StatusGoingAway"},
		{apicsim.Reset, "connection reset"}, {apicsim.CutFrame, "connection reset"}, {apicsim.StayOpen, "deadline"},
	} {
		bubble(t, apicsim.Options{}, func(w *world) {
			s := w.open(0)
			s.subscribe("/api/class/fvTenant.json?subscription=yes")
			w.f.Controller(0).ExpireTokens(c.how)
			must(t, w.f.Create("fvTenant", "uni/tn-x", nil))
			if _, err := s.read(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: got %v, want …%s…", c.how, err, c.want)
			}
			if r := s.get("/api/mo/uni.json"); r.status != 403 || !strings.Contains(r.body, "Token timeout") {
				t.Errorf("%v: %d %s", c.how, r.status, r.body)
			}
		})
	}
}

func TestDropAfter(t *testing.T) {
	for _, how := range []apicsim.SocketEnd{apicsim.CutFrame, apicsim.Reset, apicsim.CloseNormal} {
		bubble(t, apicsim.Options{}, func(w *world) {
			s := w.open(0)
			s.subscribe("/api/class/fvTenant.json?subscription=yes")
			w.f.Controller(0).DropAfter(3, how)
			must(t, w.f.Create("fvTenant", "uni/tn-x", nil))
			must(t, w.f.Burst("fvTenant", 100))
			n := 0
			var err error
			for ; err == nil; n++ {
				_, err = s.read()
			}
			want := 4
			if how == apicsim.CutFrame {
				want = 3 // the third is in pieces
			}
			if how == apicsim.Reset {
				want = n // how much survives a reset is luck
			}
			if n != want {
				t.Errorf("%v: %d frames, then %v", how, n-1, err)
			}
			s.dial() // the session lives on
			s.subscribe("/api/class/fvTenant.json?subscription=yes")
		})
	}
}

func TestHalfOpen(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		s := w.open(0)
		s.subscribe("/api/class/fvTenant.json?subscription=yes")
		w.f.Controller(0).HalfOpen(false)
		must(t, w.f.Create("fvTenant", "uni/tn-x", nil))
		s.ws.CloseRead(w.t.Context()) // pongs need a reader
		ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
		defer cancel()
		if err := s.ws.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ping: %v", err)
		}
		if r := s.get("/api/mo/uni.json"); r.status != 200 {
			t.Errorf("REST: %d", r.status)
		}
		w.f.Controller(0).HalfOpen(true)
		done := make(chan reply)
		go func() { r, _ := w.try(0, "GET", "/api/mo/uni.json", "", "APIC-cookie="+s.token); done <- r }()
		select {
		case r := <-done:
			t.Errorf("REST: %d", r.status)
		case <-time.After(time.Hour / 12):
		}
		w.f.Heal()
		<-done
		// IgnorePings: data flows.
		s = w.open(0)
		s.subscribe("/api/class/fvTenant.json?subscription=yes")
		w.f.Controller(0).IgnorePings(true)
		frames := make(chan string)
		go func() { defer close(frames); f, _ := s.read(); frames <- f }()
		ctx2, cancel2 := context.WithTimeout(w.t.Context(), 30*time.Second)
		defer cancel2()
		if err := s.ws.Ping(ctx2); err == nil {
			t.Error("ping was answered")
		}
		must(t, w.f.Create("fvTenant", "uni/tn-y", nil))
		if f := <-frames; !strings.Contains(f, "tn-y") {
			t.Errorf("frame %q", f)
		}
	})
}

func TestRestFaults(t *testing.T) {
	bubble(t, apicsim.Options{Controllers: 2}, func(w *world) {
		c := w.f.Controller(0)
		s := w.open(0)
		id := s.subscribe("/api/class/fvTenant.json?subscription=yes&refresh-timeout=10000")
		check := func(what, path string, status int, want string) {
			t.Helper()
			r := s.get(path)
			if r.status != status || !strings.Contains(r.body, want) {
				t.Errorf("%s: got %d %s, want %d …%s…", what, r.status, r.body, status, want)
			}
		}
		refresh := "/api/subscriptionRefresh.json?id=" + id
		c.RefreshAnswer(1, apicsim.Answer{})
		check("400", refresh, 400, "Subscription refresh timeout")
		check("once", refresh, 200, "[]")
		c.RefreshAnswer(1, apicsim.Answer{Status: 503, HTML: true})
		check("HTML", refresh, 503, "nginx")
		c.RefreshAnswer(1, apicsim.Answer{Status: 200})
		if r := s.get(refresh); r.status != 200 || r.body != "" {
			t.Errorf("empty: %v", r)
		}
		c.RefreshAnswer(1, apicsim.Answer{Hang: true})
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+host(0)+refresh, nil)
		if _, err := w.client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hang: %v", err)
		}
		cancel()
		c.RefuseRefresh(1, apicsim.Answer{})
		check("aaaRefresh", "/api/aaaRefresh.json", 403, "Token timeout")
		check("session lives", "/api/mo/uni.json", 200, "polUni")
		c.Unsupported("vzTaboo", true)
		check("unsupported", "/api/class/vzTaboo.json", 400, `"code":"12"`)
		c.Forbid("uni/tn-infra")
		c.Forbid("vzBrCP")
		check("forbidden DN", "/api/mo/uni/tn-infra.json", 403, "insufficient privileges")
		check("forbidden class", "/api/class/vzBrCP.json", 403, "insufficient privileges")
		check("others", "/api/mo/uni/tn-mgmt.json", 200, "tn-mgmt")
		c.Hide("uni/tn-mgmt")
		check("hidden", "/api/class/fvTenant.json", 200, `"totalCount":"2"`)
		c.Heal()
		c.TooBig(2, 503)
		check("too big", "/api/class/fvTenant.json", 503, "result dataset is too big")
		check("paged", "/api/class/fvTenant.json?page-size=10", 200, `"totalCount":"3"`)
		c.Heal()
		c.EmptyPages(1)
		check("empty page", "/api/class/fvTenant.json?page-size=2&order-by=fvTenant.dn", 200, `{"totalCount":"3","imdata":[]}`)
		c.ShortPages(1, 1)
		if a := s.query("/api/class/fvTenant.json?page-size=3&order-by=fvTenant.dn"); len(a.Imdata) != 2 || a.TotalCount != "3" {
			t.Errorf("short page: %d of %s", len(a.Imdata), a.TotalCount)
		}
		c.Throttle(2, 2, apicsim.Answer{})
		var got []int
		for range 4 {
			got = append(got, s.get("/api/mo/uni.json").status)
		}
		time.Sleep(time.Second)
		got = append(got, s.get("/api/mo/uni.json").status)
		if fmt.Sprint(got) != "[200 200 503 503 200]" {
			t.Errorf("throttle: %v", got)
		}
		c.Heal()
		c.Skew(10 * time.Minute)
		r := s.get("/api/mo/uni.json")
		if d, err := http.ParseTime(r.header.Get("Date")); err != nil || time.Until(d).Round(time.Second) != 10*time.Minute {
			t.Errorf("Date %v %v", d, err)
		}
		c.Zone(time.FixedZone("", -4*3600))
		must(t, w.f.Create("fvTenant", "uni/tn-z", nil))
		if f := s.frame(); !strings.Contains(f, `-04:00"`) {
			t.Errorf("zone: %s", f)
		}
		c.Heal()
		c.Stale(10 * time.Second)
		must(t, w.f.Delete("uni/tn-z"))
		check("stale", "/api/class/fvTenant.json", 200, `"totalCount":"4"`)
		time.Sleep(11 * time.Second)
		check("fresh", "/api/class/fvTenant.json", 200, `"totalCount":"3"`)
		w.f.SetPassword("admin", "new")
		if r := w.do(0, "POST", "/api/aaaLogin.json", `{"aaaUser":{"attributes":{"name":"admin","pwd":"cisco123"}}}`); r.status != 401 {
			t.Errorf("old password: %d", r.status)
		}
		c.Minority(true, false)
		if r := s.post("/api/mo/uni.json", `{"fvTenant":{"attributes":{"name":"q"}}}`); r.status != 503 {
			t.Errorf("minority: %v", r)
		}
		if o, _ := w.f.Object("topology/pod-1/node-2/av/node-1"); o.Attributes["health"] == "fully-fit" {
			t.Error("infraWiNode is fully fit")
		}
		c.Minority(false, false)
		c.ShapeLogin(apicsim.LoginNumbers)
		w.f.SetPassword("admin", "cisco123")
		if r := w.do(0, "POST", "/api/aaaLogin.json", `{"aaaUser":{"attributes":{"name":"admin","pwd":"cisco123"}}}`); !strings.Contains(r.body, `"refreshTimeoutSeconds":600`) {
			t.Errorf("shape: %s", r.body)
		}
		if n := w.f.Stats().Double; n != 0 {
			t.Errorf("%d requests with two cookies", n)
		}
	})
}

func TestPushFaults(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		c := w.f.Controller(0)
		s := w.open(0)
		id := s.subscribe("/api/class/fvTenant.json?subscription=yes&refresh-timeout=10000")
		all := s.subscribe("/api/mo/uni.json?subscription=yes&query-target=subtree&target-subtree-class=fvBD,fvAp&refresh-timeout=10000")
		n := 0
		create := func() string {
			n++
			dn := fmt.Sprintf("uni/tn-n%d", n)
			must(t, w.f.Create("fvTenant", dn, nil))
			return dn
		}
		want := func(what string, parts ...string) {
			t.Helper()
			f := s.frame()
			for _, p := range parts {
				if !strings.Contains(f, p) {
					t.Errorf("%s: %q is not in %s", what, p, f)
				}
			}
		}
		c.LoseNext(1)
		create()
		want("lost one", create())
		c.DuplicateFrames(1)
		dn := create()
		want("first", dn)
		want("second", dn)
		c.DuplicateObjects(1)
		create()
		if f := s.frame(); strings.Count(f, `"dn"`) != 2 || !json.Valid([]byte(f)) {
			t.Errorf("object twice: %s", f)
		}
		c.SplitFrames(100)
		dn = create()
		if f := s.frame(); !strings.Contains(f, dn) || !json.Valid([]byte(f)) {
			t.Errorf("fragments: %s", f)
		}
		c.SplitFrames(0)
		c.StatusWord(1, "replaced")
		create()
		want("word", `"status":"replaced"`)
		c.ModTs(1, "never")
		create()
		want("modTs", `"modTs":"never"`)
		c.Inject(apicsim.Frame{Payload: []byte(`{"subscriptionId":"{id:fvTenant}","x":{ids}}`)})
		want("inject", `{"subscriptionId":"`+id+`","x":["`+id+`","`+all+`"]}`)
		must(t, w.f.Emit("fvTenant", "uni/tn-ghost", "modified", attrs("descr", "boo")))
		want("emit", `"descr":"boo","dn":"uni/tn-ghost"`, `"status":"modified"`)
		if _, ok := w.f.Object("uni/tn-ghost"); ok {
			t.Error("the ghost is real")
		}
		w.f.ChildFirst(true)
		must(t, w.f.Post("uni", []byte(`{"fvTenant":{"attributes":{"name":"cf"},"children":[{"fvBD":{"attributes":{"name":"b"}}}]}}`)))
		want("child first", "BD-b")
		want("then parent", `"dn":"uni/tn-cf"`)
		w.f.ChildFirst(false)
		must(t, w.f.OrphanDelete("uni/tn-cf"))
		want("orphan", `"dn":"uni/tn-cf"`, "deleted")
		if _, ok := w.f.Object("uni/tn-cf/BD-b"); ok {
			t.Error("orphan is still there")
		}
		time.Sleep(10 * time.Second) // uni itself is new
		w.f.SettleGap(5 * time.Second)
		must(t, w.f.Post("uni", []byte(`{"fvTenant":{"attributes":{"name":"sg"},"children":[{"fvBD":{"attributes":{"name":"1"}}},{"fvBD":{"attributes":{"name":"2"}}}]}}`)))
		want("parent", `"dn":"uni/tn-sg"`)
		want("second child", "BD-2")
		w.f.SettleGap(0)
		c.PausePushes(true)
		dn = create()
		dn2 := create()
		time.Sleep(time.Minute)
		c.PausePushes(false)
		want("held", dn)
		want("held", dn2)
		if n := c.ForgetSubscriptions("fvTenant.json"); n != 1 {
			t.Errorf("forgot %d", n)
		}
		if r := s.get("/api/subscriptionRefresh.json?id=" + id); r.status != 400 {
			t.Errorf("refresh of what is forgotten: %d", r.status)
		}
		if r := s.get("/api/subscriptionRefresh.json?id=" + all); r.status != 200 {
			t.Errorf("refresh of the other: %d", r.status)
		}
		c.DeafenSubscriptions("", false)
		create()
		must(t, w.f.Create("fvBD", dn+"/BD-deaf", nil))
		// Two cookies: an id, an empty list, and never a push.
		r := w.do(0, "GET", "/api/class/fvTenant.json?subscription=yes", "", "APIC-cookie="+s.token, "APIC-Cookie="+s.token)
		if r.status != 200 || !strings.Contains(r.body, `"subscriptionId":"`) || !strings.Contains(r.body, `"imdata":[]`) {
			t.Errorf("two cookies: %v", r)
		}
		create()
		if w.f.Stats().Double != 1 {
			t.Errorf("stats: %+v", w.f.Stats())
		}
		s.silent()
	})
}

func TestLeafReboot(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		sample(w.t, w.f)
		s := w.open(0)
		q := "/api/class/topSystem.json?subscription=yes&refresh-timeout=3600"
		s.subscribe(q)
		s.subscribe("/api/class/fabricNode.json?subscription=yes&refresh-timeout=3600")
		must(t, w.f.LeafReboot("topology/pod-1/node-101", time.Minute, false))
		time.Sleep(2 * time.Minute)
		for _, st := range []string{"inactive", "active"} {
			if f := s.frame(); !strings.Contains(f, `"dn":"topology/pod-1/node-101"`) || !strings.Contains(f, `"fabricSt":"`+st+`"`) {
				t.Errorf("got %s", f)
			}
		}
		must(t, w.f.Modify("topology/pod-1/node-101/sys", attrs("state", "x")))
		must(t, w.f.Modify("topology/pod-1/node-1/sys", attrs("state", "x")))
		if f := s.frame(); !strings.Contains(f, "node-1/sys") {
			t.Errorf("the deaf heard %s", f)
		}
		id := s.subscribe(q)
		must(t, w.f.Modify("topology/pod-1/node-101/sys", attrs("state", "y")))
		if f := s.frame(); !strings.Contains(f, id) {
			t.Errorf("the new one: %s", f)
		}
	})
}

func TestSlowAnswer(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		s := w.open(0)
		w.f.Controller(0).DelayAnswer(&apicsim.SlowAnswer{Match: "fvTenant", Count: 1, Delay: 5 * time.Second, Rate: 200})
		start := time.Now()
		frames := make(chan string, 1)
		go func() {
			time.Sleep(time.Second)
			_ = w.f.Create("fvTenant", "uni/tn-early", nil)
			f, _ := s.read()
			frames <- f + fmt.Sprint(time.Since(start))
		}()
		a := s.query("/api/class/fvTenant.json?subscription=yes")
		if d := time.Since(start); d < 8*time.Second {
			t.Errorf("answer after %v", d)
		}
		if f := <-frames; !strings.Contains(f, a.SubscriptionID) || !strings.HasSuffix(f, "1s") {
			t.Errorf("push %s", f)
		}
		if len(a.Imdata) != 3 {
			t.Errorf("%d objects in the snapshot", len(a.Imdata))
		}
	})
}

func TestReboot(t *testing.T) {
	bubble(t, apicsim.Options{Controllers: 2}, func(w *world) {
		s := w.open(0)
		c := w.f.Controller(0)
		c.Reboot(apicsim.Reboot{Refuse: 10 * time.Second, Unavailable: 10 * time.Second, Hollow: 10 * time.Second})
		if _, err := s.read(); err == nil {
			t.Error("the socket lives")
		}
		if _, err := w.try(0, "GET", "/api/mo/uni.json", ""); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("down: %v", err)
		}
		if o, _ := w.f.Object("topology/pod-1/node-2/av/node-1"); o.Attributes["operSt"] != "unavailable" {
			t.Errorf("infraWiNode: %v", o)
		}
		time.Sleep(11 * time.Second)
		if r := w.do(0, "GET", "/api/mo/uni.json", ""); r.status != 503 || !strings.HasPrefix(r.body, "<html>") {
			t.Errorf("starting: %v", r)
		}
		time.Sleep(10 * time.Second)
		s = w.open(0)
		if r := s.get("/api/class/fvTenant.json?subscription=yes"); !strings.Contains(r.body, `"totalCount":"0","imdata":[]`) {
			t.Errorf("hollow: %v", r)
		}
		time.Sleep(10 * time.Second)
		if a := s.query("/api/class/fvTenant.json"); a.TotalCount != "3" {
			t.Errorf("up: %v", a)
		}
	})
}

func TestSocketRefusals(t *testing.T) {
	bubble(t, apicsim.Options{TokenStyle: apicsim.JWTTokens}, func(w *world) {
		s := w.login(0)
		if strings.Count(s.token, ".") != 2 || len(s.token) < 600 {
			t.Errorf("token %s", s.token)
		}
		c := w.f.Controller(0)
		dial := func(token string) (int, error) {
			ws, resp, err := websocket.Dial(w.t.Context(), "ws://"+host(0)+"/socket"+token, &websocket.DialOptions{HTTPClient: w.client})
			if err != nil {
				if resp == nil {
					return 0, err
				}
				return resp.StatusCode, err
			}
			defer ws.CloseNow()
			_, _, err = ws.Read(w.t.Context())
			return 101, err
		}
		for _, x := range []struct {
			a    apicsim.Answer
			want int
		}{{apicsim.Answer{}, 403}, {apicsim.Answer{Status: 404, HTML: true}, 404}, {apicsim.Answer{Status: 200}, 200}, {apicsim.Answer{Reset: true}, 0}, {apicsim.Answer{Status: 101}, 101}} {
			c.RefuseSocket(apicsim.Forever, x.a) // HTTP clients retry after a reset
			if got, err := dial(s.token); got != x.want || err == nil {
				t.Errorf("%+v: %d %v", x.a, got, err)
			}
			c.Heal()
		}
		if got, _ := dial("wrong"); got != 403 {
			t.Errorf("wrong token: %d", got)
		}
		s.dial()
		w.f.TerminateSessions("admin")
		if _, err := s.read(); err == nil {
			t.Error("terminated, and the socket lives")
		}
	})
}

func TestIdleDrop(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		w.f.Controller(0).IdleDrop(time.Minute)
		s := w.open(0)
		ctx := s.ws.CloseRead(w.t.Context())
		for range 5 {
			time.Sleep(50 * time.Second)
			if err := s.ws.Ping(ctx); err != nil {
				t.Fatalf("ping: %v", err)
			}
		}
		start := time.Now()
		<-ctx.Done()
		if d := time.Since(start); d != time.Minute {
			t.Errorf("dropped after %v", d)
		}
	})
}

func TestFarBehind(t *testing.T) {
	bubble(t, apicsim.Options{MaxBehind: 5000}, func(w *world) {
		s := w.open(0)
		s.subscribe("/api/class/fvTenant.json?subscription=yes")
		must(t, w.f.Burst("fvTenant", 20000))
		n := 0
		for {
			if _, err := s.read(); err != nil {
				break
			}
			n++
		}
		synctest.Wait()
		if n >= 20000 || w.f.Stats().Behind != 1 || w.f.Controller(0).Sockets() != 0 {
			t.Errorf("%d frames, %+v", n, w.f.Stats())
		}
	})
}

func TestSignatures(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	const dn = "uni/userext/user-gw/usercert-c1"
	bubble(t, apicsim.Options{CertKeys: map[string]apicsim.PublicID{dn: {Key: &key.PublicKey}}}, func(w *world) {
		sign := func(method, uri, body string) []string {
			sum := sha256.Sum256([]byte(method + uri + body))
			sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
			must(t, err)
			return []string{"APIC-Request-Signature=" + base64.StdEncoding.EncodeToString(sig), "APIC-Certificate-Algorithm=v1.0",
				"APIC-Certificate-Fingerprint=fingerprint", "APIC-Certificate-DN=" + dn}
		}
		r := w.do(0, "GET", "/api/webtokenSession.json", "", sign("GET", "/api/webtokenSession.json", "")...)
		s := &session{w: w, token: token(t, r.body)}
		h := http.Header{"Cookie": {strings.Join(sign("GET", "/socket"+s.token, ""), "; ")}}
		if _, resp, err := websocket.Dial(w.t.Context(), "ws://"+host(0)+"/socket"+s.token, &websocket.DialOptions{HTTPClient: w.client}); err == nil {
			t.Errorf("socket without signature: %v", resp)
		}
		ws, _, err := websocket.Dial(w.t.Context(), "ws://"+host(0)+"/socket"+s.token, &websocket.DialOptions{HTTPClient: w.client, HTTPHeader: h})
		must(t, err)
		defer ws.CloseNow()
		s.ws = ws
		q := "/api/class/fvTenant.json?subscription=yes&order-by=fvTenant.dn|asc"
		if r := w.do(0, "GET", q, "", sign("GET", q, "")...); r.status != 405 {
			t.Errorf("without web token: %d", r.status)
		}
		if r := w.do(0, "GET", q, "", append(sign("GET", q, ""), "APIC-WebSocket-Session="+s.token)...); r.status != 200 {
			t.Errorf("with web token: %d %s", r.status, r.body)
		}
		body := `{"fvTenant":{"attributes":{"name":"signed"}}}`
		if r := w.do(0, "POST", "/api/mo/uni.json", body, sign("POST", "/api/mo/uni.json", body)...); r.status != 200 {
			t.Errorf("POST: %d %s", r.status, r.body)
		}
		if f := s.frame(); !strings.Contains(f, "tn-signed") {
			t.Errorf("push: %s", f)
		}
		if r := w.do(0, "POST", "/api/mo/uni.json", body+" ", sign("POST", "/api/mo/uni.json", body)...); r.status != 403 {
			t.Errorf("wrong signature: %d", r.status)
		}
	})
}

func TestNetwork(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		n := w.network
		s := w.open(0)
		s.subscribe("/api/class/fvTenant.json?subscription=yes&refresh-timeout=3600")
		w.client.CloseIdleConnections()
		n.Cut(host(0), 150)
		must(t, w.f.Create("fvTenant", "uni/tn-x", nil))
		if _, err := s.read(); err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("cut: %v", err)
		}
		n.Refuse(host(0), true)
		if _, err := n.DialContext(w.t.Context(), "tcp", host(0)); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("refuse: %v", err)
		}
		n.Refuse(host(0), false)
		s = w.open(0)
		s.subscribe("/api/class/fvTenant.json?subscription=yes&refresh-timeout=3600")
		w.client.CloseIdleConnections()
		n.Freeze(host(0))
		must(t, w.f.Create("fvTenant", "uni/tn-y", nil))
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		if _, err := n.DialContext(ctx, "tcp", host(0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("frozen: %v", err)
		}
		n.Thaw(host(0))
		if _, err := s.read(); err == nil {
			t.Error("bytes that were lost arrived")
		}

		l, err := n.Listen("raw:1")
		must(t, err)
		a, err := n.DialContext(w.t.Context(), "tcp", "raw:1")
		must(t, err)
		b, err := l.Accept()
		must(t, err)
		must(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		if _, err := a.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("read deadline: %v", err)
		}
		must(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		if _, err := a.Write(make([]byte, 1<<20)); !isTimeout(err) {
			t.Errorf("write deadline: %v", err)
		}
		must(t, a.SetDeadline(time.Time{}))
		must(t, a.Close())
		got, err := io.ReadAll(b)
		if err != nil || len(got) != 256<<10 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if _, err := b.Write([]byte("x")); err == nil {
			t.Error("write to a closed peer")
		}
		b.Close()
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	})
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

func TestControl(t *testing.T) {
	f := apicsim.New(apicsim.Options{})
	defer f.Close()
	h := http.StripPrefix("/sim", f.Control())
	do := func(method, path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Code, w.Body.String()
	}
	code, body := do("GET", "/sim/faults")
	var v struct {
		Faults []struct {
			Name   string
			Params []struct{ Name, Type, Default string }
		}
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil || code != 200 || len(v.Faults) < 40 {
		t.Fatalf("%d %v, %d faults", code, err, len(v.Faults))
	}
	must(t, f.Create("fabricNode", "topology/pod-1/node-101", nil))
	given := map[string]string{"dn": "uni/tn-t", "class": "fvTenant", "parent": "uni/tn-common", "password": "x", "what": "vzTaboo", "match": "nothing"}
	for _, x := range v.Faults {
		must(t, f.Post("uni", []byte(`{"fvTenant":{"attributes":{"name":"t"}}}`)))
		q := url.Values{}
		for _, p := range x.Params {
			if val, ok := given[p.Name]; ok && p.Default == "" {
				q.Set(p.Name, val)
			}
		}
		if code, body := do("POST", "/sim/faults/"+x.Name+"?"+q.Encode()); code != 200 {
			t.Errorf("%s: %d %s", x.Name, code, body)
		}
	}
	for path, want := range map[string]string{
		"/sim/faults/nonsense":            "no fault",
		"/sim/faults/lose?x=1":            "no parameter",
		"/sim/faults/lose?n=many":         "whole number",
		"/sim/faults/lose?controller=7":   "controller",
		"/sim/faults/drop-sockets?how=up": "not one of",
		"/sim/faults/skew?by=5":           "duration",
	} {
		if code, body := do("POST", path); code != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := do("POST", "/sim/reset"); code != 200 {
		t.Errorf("reset: %d %s", code, body)
	}
	if code, body := do("GET", "/sim/stats?requests=5"); code != 200 || !strings.Contains(body, "Requests") {
		t.Errorf("stats: %d %s", code, body)
	}
}

// Real TCP and TLS: resets, and frames that survive them.
func TestTCP(t *testing.T) {
	for _, tls := range []bool{false, true} {
		f := apicsim.New(apicsim.Options{})
		srv := httptest.NewUnstartedServer(f.Controller(0))
		srv.Listener = f.Controller(0).Listener(srv.Listener)
		if tls {
			srv.StartTLS()
		} else {
			srv.Start()
		}
		resp, err := srv.Client().Post(srv.URL+"/api/aaaLogin.json", "", strings.NewReader(`{"aaaUser":{"attributes":{"name":"admin","pwd":"cisco123"}}}`))
		must(t, err)
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		tok := token(t, string(b))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		ws, _, err := websocket.Dial(ctx, srv.URL+"/socket"+tok, &websocket.DialOptions{HTTPClient: srv.Client()})
		must(t, err)
		req, _ := http.NewRequest("GET", srv.URL+"/api/class/fvTenant.json?subscription=yes", nil)
		req.Header.Set("Cookie", "APIC-cookie="+tok)
		resp, err = srv.Client().Do(req)
		must(t, err)
		b, _ = io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Contains(b, []byte(`"subscriptionId":"`)) {
			t.Fatalf("%s", b)
		}
		must(t, f.Burst("fvTenant", 5000))
		for i := range 5000 {
			if _, _, err := ws.Read(ctx); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
		f.Controller(0).DropSockets(apicsim.Reset)
		if _, _, err := ws.Read(ctx); err == nil || websocket.CloseStatus(err) != -1 {
			t.Errorf("reset: %v", err)
		}
		ws.CloseNow()
		cancel()
		f.Controller(0).Reboot(apicsim.Reboot{Refuse: time.Hour})
		if _, err := srv.Client().Get(srv.URL + "/api/mo/uni.json"); err == nil {
			t.Error("rebooting, and it answers")
		}
		f.Close()
		srv.CloseClientConnections()
		srv.Close()
	}
}

func TestLeavingAFilter(t *testing.T) {
	for _, leave := range []bool{false, true} {
		bubble(t, apicsim.Options{PushOnLeave: leave, ParentLast: true}, func(w *world) {
			s := w.open(0)
			must(t, w.f.Post("uni/tn-common", []byte(`{"fvTenant":{"attributes":{},"children":[{"fvBD":{"attributes":{"name":"x","arpFlood":"yes"},"children":[{"fvSubnet":{"attributes":{"ip":"10.0.0.1/8"}}}]}}]}}`)))
			s.subscribe("/api/class/fvBD.json?subscription=yes&query-target-filter=eq(fvBD.arpFlood,%22yes%22)")
			s.get("/api/mo/uni.xml?subscription=yes&query-target=subtree&target-subtree-class=fvSubnet,fvBD")
			must(t, w.f.Modify("uni/tn-common/BD-x", attrs("arpFlood", "no")))
			if f := s.frame(); !strings.HasPrefix(f, "<?xml") || !strings.Contains(f, `arpFlood="no"`) || !strings.Contains(f, `<imdata subscriptionId="`) {
				t.Errorf("XML: %s", f)
			}
			if leave {
				if f := s.frame(); !strings.Contains(f, `"status":"deleted"`) {
					t.Errorf("left: %s", f)
				}
			}
			must(t, w.f.Delete("uni/tn-common/BD-x"))
			if f := s.frame(); !strings.Contains(f, "subnet") {
				t.Errorf("the parent is not last: %s", f)
			}
			if f := s.frame(); !strings.Contains(f, `dn="uni/tn-common/BD-x" `) {
				t.Errorf("parent: %s", f)
			}
		})
	}
}

func TestLifetimes(t *testing.T) {
	bubble(t, apicsim.Options{PingEvery: 20 * time.Second}, func(w *world) {
		s := w.open(0)
		c := w.f.Controller(0)
		q := "/api/class/fvTenant.json?subscription=yes&refresh-timeout=600"
		id := s.subscribe(q)
		start := time.Now()
		c.Lifetimes(0, 5*time.Minute)
		time.Sleep(time.Minute)
		c.ExpireEarly("fvTenant", 190*time.Second)
		time.Sleep(349*time.Second - 5*time.Minute)
		if r := s.get("/api/subscriptionRefresh.json?id=" + id); r.status != 200 {
			t.Errorf("refresh: %d", r.status)
		}
		infos := c.Subscriptions()
		if len(infos) != 1 || time.Until(infos[0].Expires) != 410*time.Second || infos[0].ID != id {
			t.Errorf("%+v", infos)
		}
		if got, err := c.SubscriptionID("fvTenant"); got != id || err != nil {
			t.Errorf("%s %v", got, err)
		}
		if ss := c.Sessions(); len(ss) != 1 || !ss[0].Socket || ss[0].Subs != 1 {
			t.Errorf("%+v", ss)
		}
		if _, _, err := s.ws.Read(w.t.Context()); err == nil || time.Since(start) != 5*time.Minute {
			t.Errorf("end after %v: %v", time.Since(start), err)
		}
		s = w.open(0)
		old := s.ws
		s.dial() // the newer socket takes over
		if _, _, err := old.Read(w.t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("the older socket: %v", err)
		}
		id = s.subscribe(q)
		if n, err := c.Blast(w.t.Context(), id, 100, []byte(id), []byte("x")); err != nil || n < 500 {
			t.Errorf("blast: %d %v", n, err)
		}
		for i := range 100 {
			if f := s.frame(); f != []string{id, "x"}[i%2] {
				t.Errorf("frame %d: %s", i, f)
			}
		}
		c.Buffer(10000)
		must(t, w.f.Burst("fvTenant", 5))
		time.Sleep(time.Second)
		must(t, w.f.Burst("fvTenant", 100))
		for range 30 {
			s.frame()
		}
		s.ws.Close(websocket.StatusNormalClosure, "")
		synctest.Wait()
		if c.Sockets() != 0 || len(c.Subscriptions()) != 0 {
			t.Errorf("%d sockets, %d subscriptions", c.Sockets(), len(c.Subscriptions()))
		}
		if len(w.f.Logins()) != 2 {
			t.Errorf("%v", w.f.Logins())
		}
	})
}
