package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/handlers"
)

// A tokenFile is a tokens file with a reader and an operator.
type tokenFile struct {
	path             string
	reader, operator string // tokens
	lines            [2]string
	tokens           *handlers.Tokens
}

func newTokenFile(t *testing.T, log *slog.Logger, registerer prometheus.Registerer) *tokenFile {
	t.Helper()
	f := &tokenFile{path: filepath.Join(t.TempDir(), "tokens")}
	var err error
	if f.reader, f.lines[0], err = handlers.NewToken("ann", handlers.Reader); err != nil {
		t.Fatal(err)
	}
	if f.operator, f.lines[1], err = handlers.NewToken("bob", handlers.Operator); err != nil {
		t.Fatal(err)
	}
	f.write(t, "# who may call", f.lines[0], "", f.lines[1])
	if f.tokens, err = handlers.OpenTokens(f.path, log, registerer); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *tokenFile) write(t *testing.T, lines ...string) {
	t.Helper()
	if err := os.WriteFile(f.path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// signIn returns the cookie of a session, as a header.
func (r *rig) signIn(token string) string {
	r.t.Helper()
	a := r.do("POST /signin", "Content-Type: application/x-www-form-urlencoded", "token="+token).want(303)
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "acitap_session=") {
		r.t.Fatalf("got Set-Cookie %q", a.header.Get("Set-Cookie"))
	}
	return "Cookie: " + cookie
}

var placeholder = regexp.MustCompile(`\{([a-z]+)[^}]*\}|\*`)

// call is a route as somebody might ask it.
func call(route handlers.Route) string {
	path := placeholder.ReplaceAllStringFunc(route.Pattern, func(p string) string {
		switch {
		case p == "*" && strings.HasPrefix(route.Pattern, "/static"):
			return "boot.js"
		case p == "*":
			return "uni/tn-common"
		case strings.HasPrefix(p, "{class"):
			return "fvTenant"
		}
		return "1"
	})
	return route.Method + " " + path
}

// Every route, as everybody: the table of who may do what is what is done.
func TestEveryRouteAsEverybody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newTokenFile(t, nil, nil)
		r := newHookRig(t, func(s *settings) { s.handlers.Tokens = f.tokens })
		cookie, readers := r.signIn(f.operator), r.signIn(f.reader)
		routes := handlers.RoutesOf(r.handler)
		there := make(map[string]bool)
		for _, route := range routes {
			there[route.Method+" "+route.Pattern] = true
		}
		for route := range handlers.Needs {
			if !there[route] {
				t.Errorf("%s has a role and is no route, so this test does not look at it", route)
			}
		}
		// ask returns the status; a stream is not read.
		ask := func(call string, extra ...string) int {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			res, err := r.client.Do(r.request(ctx, call, extra...))
			if err != nil {
				t.Fatalf("%s: %v", call, err)
			}
			res.Body.Close()
			return res.StatusCode
		}
		for _, route := range routes {
			if !route.Declared {
				t.Errorf("%s %s: nobody has said who may call it: see needs in access.go", route.Method, route.Pattern)
				continue
			}
			c := call(route)
			if strings.HasSuffix(route.Pattern, "/next") {
				c += "?consumer=mine" // the class's own queue has a test of its own
			}
			with := "?"
			if strings.Contains(c, "?") {
				with = "&"
			}
			if strings.HasSuffix(c, "/wait") {
				c, with = c+"?timeout=1s", "&"
			}
			denied := map[int]bool{401: true, 403: true}
			nobody, stolen := 401, 403
			if route.Pattern == "/" { // to the sign-in
				nobody, stolen = 303, 303
			}
			for _, who := range []struct {
				name  string
				extra []string
				may   bool
				code  int // when not
			}{
				{"nobody", nil, route.Need == handlers.Public, nobody},
				{"a token that is not known", []string{bearer("acitap_aaaaaaaaaaaaaaaaaaaaaaaaaa")}, route.Need == handlers.Public, 401},
				{"Basic", []string{"Authorization: Basic YWRtaW46YWRtaW4="}, route.Need == handlers.Public, 401},
				{"a cookie that is not known", []string{"Cookie: acitap_session=x"}, route.Need == handlers.Public, nobody},
				{"a reader", []string{bearer(f.reader)}, route.Need != handlers.Operator, 403},
				{"an operator", []string{bearer(f.operator)}, true, 0},
				{"a page", []string{cookie, "Sec-Fetch-Site: same-origin"}, true, 0},
				{"a reader's page", []string{readers, "Sec-Fetch-Site: same-origin"}, route.Need != handlers.Operator, 403},
				{"a stolen cookie", []string{cookie, "Origin: https://evil.example"}, route.Need == handlers.Public && route.Method == "GET", stolen},
				{"a stolen cookie, same site", []string{cookie, "Sec-Fetch-Site: same-site"}, route.Need == handlers.Public && route.Method == "GET", stolen},
			} {
				if route.Pattern == "/signout" && strings.HasSuffix(who.name, "page") {
					continue // that is another test
				}
				got := ask(c, who.extra...)
				switch {
				case who.may && denied[got], got >= 500:
					t.Errorf("%s as %s: got %d, want it to be let in", c, who.name, got)
				case !who.may && got != who.code:
					t.Errorf("%s as %s: got %d, want %d", c, who.name, got, who.code)
				}
			}
			for _, query := range []string{"token=" + f.operator, "access_token=x", "x=" + f.operator, "api-key=x"} {
				if got := ask(c+with+query, bearer(f.operator)); got != 400 {
					t.Errorf("%s with a token in its URL: got %d, want 400", c, got)
				}
			}
		}
		for _, path := range []string{"/nothing/" + f.operator, "/events/" + f.operator, "/objects/fvTenant/" + f.operator} {
			r.do("GET "+path, bearer(f.operator)).want(400, "a token does not belong in a URL")
		}
		r.do("GET /nothing").want(401)
		r.do("BREW /events").want(401)
		r.do("OPTIONS /events").want(401)
		r.do("GET /nothing", bearer(f.reader)).want(404)
	})
}

func TestRoles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newTokenFile(t, nil, nil)
		r := newRig(t, func(s *settings) { s.handlers.Tokens = f.tokens })
		ann, bob := bearer(f.reader), bearer(f.operator)
		a := r.do("GET /session").want(401, "Authorization: Bearer TOKEN", "/signin")
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="acitap"` {
			t.Errorf("got WWW-Authenticate %q", got)
		}
		a = r.do("GET /session", bearer("x")).want(401, "not let in")
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="acitap", error="invalid_token"` {
			t.Errorf("got WWW-Authenticate %q", got)
		}
		r.do("GET /session", "Authorization: bearer "+f.reader).want(200)
		r.do("POST /subscriptions/fvTenant", ann).want(403, "ann is a reader", "--role operator")
		r.do("POST /subscriptions/fvTenant", bob).want(201)
		r.do("DELETE /subscriptions/fvTenant", ann).want(403)
		r.do("GET /subscriptions", ann).want(200, "fvTenant")
		for _, method := range []string{"GET", "POST"} {
			r.do(method+" /events/fvTenant/next", ann).want(403, "consumer=NAME")
			r.do(method+" /events/fvTenant/next?consumer=ann&since=earliest", ann).want(200)
			r.do(method+" /events/fvTenant/next", bob).want(200)
		}
		r.do("POST /events/fvTenant/next", ann, `{"max":5}`).want(403)
		r.do("GET /events/fvTenant/pending", ann).want(200, `"pending":1`)
		r.do("DELETE /events/fvTenant/consumers/ann", ann).want(204)
	})
}

func TestSignIn(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		f := newTokenFile(t, nil, nil)
		r := newRig(t, over, func(s *settings) { s.handlers.Tokens = f.tokens })
		form := "Content-Type: application/x-www-form-urlencoded"
		html := "Accept: text/html"
		if got := r.do("GET /").want(303).header.Get("Location"); got != "/signin" {
			t.Errorf("got Location %q", got)
		}
		if got := r.do("GET /?view=objects&x=%22").want(303).header.Get("Location"); got != "/signin?next=%2F%3Fview%3Dobjects%26x%3D%2522" {
			t.Errorf("got Location %q", got)
		}
		r.do("GET /signin?next=/?view=objects").want(200, `<form method="post" action="/signin">`, `type="password"`, `value="/?view=objects"`)
		r.do("GET /signin?next=https://evil.example/").want(200, `name="next" value="/"`)
		bad := r.do("POST /signin", form, html, "token=no&next=/?view=objects")
		if bad.status != 401 || !strings.Contains(bad.body, "not let in") || !strings.Contains(bad.body, "<form") || !strings.Contains(bad.body, `value="/?view=objects`) {
			t.Errorf("got %d %s, want the form again", bad.status, bad.body)
		}
		r.do("POST /signin", form, "token=no").want(401)
		r.do("POST /signin", form, "tokens=no").want(400, "tokens")
		r.do("POST /signin", `{"token":"x"}`).want(400, "form")
		r.do("POST /signin", form, "Sec-Fetch-Site: cross-site", "token="+f.reader).want(403)
		a := r.do("POST /signin", form, html, "token="+f.reader+"&next=/?view=objects").want(303)
		if got := a.header.Get("Location"); got != "/?view=objects" {
			t.Errorf("got Location %q", got)
		}
		for _, word := range []string{"acitap_session=", "Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"} {
			if got := a.header.Get("Set-Cookie"); !strings.Contains(got, word) || strings.Contains(got, "Secure") || strings.Contains(got, f.reader) {
				t.Errorf("got Set-Cookie %q, want %s in it", got, word)
			}
		}
		tls := r.do("POST /signin", form, "X-Forwarded-Proto: https", "token="+f.reader).want(303).header.Get("Set-Cookie")
		if !strings.HasPrefix(tls, "__Host-acitap_session=") || !strings.Contains(tls, "Secure") {
			t.Errorf("over TLS: got Set-Cookie %q", tls)
		}
		ann, bob := r.signIn(f.reader), r.signIn(f.operator)
		r.do("GET /", ann).want(200, `data-readonly="true"`, "<bdi>ann</bdi>", `<span class="role">reader</span>`, `action="/signout"`)
		r.do("GET /", bob).want(200, `data-readonly="false"`, "<bdi>bob</bdi>", `<span class="role">operator</span>`)
		r.do("GET /", bob, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate").want(200)
		r.do("GET /signin", ann).want(200, "ann", "/signout")
		r.do("GET /session", ann).want(200)
		r.do("POST /subscriptions/fvTenant", ann).want(403)
		r.do("POST /subscriptions/fvTenant", bob, "Sec-Fetch-Site: same-origin").want(201)

		// Who signs out is out, streams too.
		s := r.stream("/events/stream", bob)
		out := r.do("POST /signout", bob, "Sec-Fetch-Site: same-origin").want(303).header.Get("Set-Cookie")
		if !strings.Contains(out, "Max-Age=0") {
			t.Errorf("got Set-Cookie %q", out)
		}
		if err := s.end(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v on the stream of who signed out, want its end", err)
		}
		r.do("GET /session", bob).want(401)

		// Life is limited.
		time.Sleep(11 * time.Hour)
		r.do("GET /session", ann).want(200)
		s = r.stream("/events/stream", ann)
		time.Sleep(61 * time.Minute)
		r.do("GET /session", ann).want(401)
		if err := s.end(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v on the stream of a session that is over, want its end", err)
		}

		// So are attempts.
		for range 10 {
			r.do("POST /signin", form, "token=no").want(401)
		}
		a = r.do("POST /signin", form, "token="+f.reader).want(429, "too many attempts")
		if got := a.header.Get("Retry-After"); got != "6" {
			t.Errorf("got Retry-After %q", got)
		}
		r.do("GET /session", bearer(f.reader)).want(200)
		time.Sleep(6 * time.Second)
		r.do("POST /signin", form, "token="+f.reader).want(303)
	})
}

// end reads the stream to its end.
func (s *reader) end() error {
	for {
		if _, err := s.read(); err != nil {
			return err
		}
	}
}

func TestTokensFileIsReadAgain(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		var log bytes.Buffer
		registry := prometheus.NewRegistry()
		f := newTokenFile(t, slog.New(slog.NewTextHandler(&log, nil)), registry)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.tokens.Run(ctx)
		r := newRig(t, over, func(s *settings) { s.handlers.Tokens, s.handlers.Gatherer = f.tokens, registry })
		ann, bob := bearer(f.reader), bearer(f.operator)
		page := r.signIn(f.reader)
		annReads, bobReads := r.stream("/events/stream", ann), r.stream("/events/stream", bob)

		// A file with a mistake changes nothing, and does not show what stands in it.
		f.write(t, f.lines[1], "ann reader "+f.reader)
		time.Sleep(10 * time.Second)
		r.do("GET /session", ann).want(200)
		r.do("GET /metrics", bob).want(200, "\nacitap_tokens_last_reload_successful 0\n", "\nacitap_tokens 2\n")
		if text := log.String(); strings.Count(text, "ERROR") != 1 || !strings.Contains(text, "line 2") || strings.Contains(text, f.reader) {
			t.Errorf("got log %s", text)
		}
		f.write(t)
		time.Sleep(10 * time.Second)
		r.do("GET /session", ann).want(200)
		os.Remove(f.path)
		time.Sleep(10 * time.Second)
		r.do("GET /session", ann).want(200)

		// One that is gone is out at once, with all it has open; the others notice nothing.
		carl, line, _ := handlers.NewToken("carl", handlers.Reader)
		f.write(t, line, f.lines[1])
		time.Sleep(10 * time.Second)
		r.do("GET /session", ann).want(401)
		r.do("GET /session", page).want(401)
		r.do("GET /session", bearer(carl)).want(200)
		r.do("GET /metrics", bob).want(200, "\nacitap_tokens_last_reload_successful 1\n")
		if err := annReads.end(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v on the stream of a token that was removed, want its end", err)
		}
		r.do("POST /subscriptions/fvTenant", bob).want(201)
		bobReads.next()

		// A role that changed counts.
		f.write(t, line, strings.Replace(f.lines[1], "operator", "reader", 1))
		time.Sleep(10 * time.Second)
		r.do("POST /subscriptions/fvBD", bob).want(403)
	})
}

func TestTokensFileMistakes(t *testing.T) {
	sum := strings.Repeat("a", 64)
	for content, want := range map[string]string{
		"":                                   "holds no token",
		"# nothing":                          "holds no token",
		"ann reader":                         "line 1: must be",
		"ann root " + sum:                    "line 1: the role",
		"a/b reader " + sum:                  "line 1: the name",
		"ann reader " + sum[1:]:              "line 1: the sum",
		"ann reader " + strings.ToUpper(sum): "lower-case",
		"# x\nann reader " + sum + "\nbob operator " + sum: "line 3: holds the same token as line 2",
		"x\nann reader " + sum + "\ny":                     "line 3",
		strings.Repeat("# much\n", 200_000):                "larger than 1 MiB",
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		os.WriteFile(path, []byte(content), 0o600)
		if _, err := handlers.OpenTokens(path, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %q in it", content, err, want)
		}
	}
	if _, _, err := handlers.NewToken("a b", handlers.Reader); err == nil {
		t.Error("got a token for a name with a space")
	}
}

// A web site that makes its name point at loopback gets nothing.
func TestHost(t *testing.T) {
	handler := handlers.New(handlers.Options{Hub: stale(t), Listen: "127.0.0.1:8080"})
	for host, want := range map[string]int{
		"127.0.0.1:8080": 200, "localhost": 200, "LOCALHOST:99": 200, "localhost.": 200, "[::1]:8080": 200, "127.8.8.8": 200, "": 200,
		"evil.example": 403, "evil.example:8080": 403, "192.0.2.1": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403, "0.0.0.0:8080": 403,
	} {
		for _, path := range []string{"/session", "/livez", "/static/boot.js"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s at %q: got %d %s, want %d", path, host, w.Code, w.Body, want)
			}
		}
	}
}

func TestCORS(t *testing.T) {
	const noc, evil = "Origin: https://noc.example.com", "Origin: https://evil.example"
	for _, guarded := range []bool{false, true} {
		t.Run(fmt.Sprint("tokens ", guarded), func(t *testing.T) {
			carriers(t, func(t *testing.T, over with) {
				f := newTokenFile(t, nil, nil)
				r := newRig(t, over, func(s *settings) {
					s.handlers.CORSOrigins = []string{"https://noc.example.com"}
					if guarded {
						s.handlers.Tokens = f.tokens
					}
				})
				auth := bearer(f.operator)
				a := r.do("OPTIONS /subscriptions/fvTenant", noc, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization").want(204)
				for name, want := range map[string]string{
					"Access-Control-Allow-Origin": "https://noc.example.com", "Vary": "Origin", "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE",
					"Access-Control-Allow-Headers": "Authorization, Content-Type, Accept, Last-Event-ID, Cache-Control", "Access-Control-Allow-Credentials": "",
				} {
					if got := a.header.Get(name); got != want {
						t.Errorf("preflight: got %s %q, want %q", name, got, want)
					}
				}
				if got := r.do("OPTIONS /session", evil, "Access-Control-Request-Method: GET", auth).header.Get("Access-Control-Allow-Origin"); got != "" {
					t.Errorf("got CORS for %q", got)
				}
				r.do("POST /subscriptions/fvTenant", auth, noc, "Sec-Fetch-Site: cross-site").want(201)
				r.do("POST /subscriptions/fvBD", auth, evil, "Sec-Fetch-Site: cross-site").want(403)
				r.do("GET /events/fvTenant/next", auth, noc, "Sec-Fetch-Site: cross-site").want(200)
				r.do("GET /events/fvTenant/next", auth, evil, "Sec-Fetch-Site: cross-site").want(403)
				if got := r.do("GET /session", auth, noc).want(200).header.Get("Access-Control-Allow-Origin"); got != "https://noc.example.com" {
					t.Errorf("got Access-Control-Allow-Origin %q", got)
				}
				if got := r.do("GET /nothing", auth, noc).want(404).header.Get("Access-Control-Allow-Origin"); got != "https://noc.example.com" {
					t.Errorf("of a problem: got Access-Control-Allow-Origin %q", got)
				}
				s := r.stream("/events/stream?since=earliest", auth, noc, "Sec-Fetch-Site: cross-site")
				if got := s.res.Header.Get("Access-Control-Allow-Origin"); got != "https://noc.example.com" {
					t.Errorf("of a stream: got Access-Control-Allow-Origin %q", got)
				}
				s.next()
			})
		})
	}
}

func TestCheckOrigin(t *testing.T) {
	for origin, good := range map[string]bool{
		"https://noc.example.com": true, "http://localhost:3000": true, "*": false, "noc.example.com": false, "https://noc.example.com/": false,
		"https://NOC.example.com": false, "https://*.example.com/x": false, "null": false, "ftp://x": false, "https://u@x": false,
	} {
		if err := handlers.CheckOrigin(origin); (err == nil) != good {
			t.Errorf("%s: got %v", origin, err)
		}
	}
}

// What is too much is refused with what to do, and counted.
func TestRefusalsAreCounted(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		registry := prometheus.NewRegistry()
		f := newTokenFile(t, nil, registry)
		r := newRig(t, over, func(s *settings) {
			s.handlers.Tokens, s.handlers.Registerer, s.handlers.Gatherer, s.handlers.MaxStreams = f.tokens, registry, registry, 2
		})
		ann, bob := bearer(f.reader), bearer(f.operator)
		r.do("POST /subscriptions/fvTenant", bob).want(201)
		r.do("GET /events/fvTenant/next?consumer=far&since=earliest", ann).want(200)
		r.do("GET /events?dn="+strings.Repeat("x", 17<<10), ann).want(414, "16384")
		r.do("POST /subscriptions/fvBD", bob, `{"dn":"`+strings.Repeat("x", 1<<20)+`"}`).want(413, "1 MiB")
		r.do("GET /session", ann, `{"dn":"`+strings.Repeat("x", 1<<20)+`"}`).want(413)
		r.do("GET /session").want(401)
		r.do("DELETE /subscriptions/fvTenant", ann).want(403)
		r.do("DELETE /subscriptions/fvTenant", bob, "Sec-Fetch-Site: cross-site").want(403)
		r.do("GET /session?token=x").want(400)
		first := r.stream("/events/stream?since=earliest", ann)
		first.next()
		r.stream("/events/stream", ann)
		r.do("GET /events/stream", bob).want(429)

		// Sixty of one token, and others are not hindered, though of the same address.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 60 {
			go r.try(ctx, "GET /wait?timeout=1h", ann)
		}
		synctest.Wait()
		r.do("GET /session", ann).want(429, "60 requests")
		m := r.do("GET /metrics", bob).want(200,
			`acitap_http_refusals_total{reason="body-size"} 2`, `acitap_http_refusals_total{reason="url-length"} 1`,
			`acitap_http_refusals_total{reason="token"} 1`, `acitap_http_refusals_total{reason="role"} 1`,
			`acitap_http_refusals_total{reason="cross-site"} 1`, `acitap_http_refusals_total{reason="token-in-url"} 1`,
			`acitap_http_refusals_total{reason="streams"} 1`, `acitap_http_refusals_total{reason="in-flight"} 1`,
			`acitap_http_refusals_total{reason="host"} 0`, `acitap_http_refusals_total{reason="signin"} 0`,
			`acitap_http_requests_total{code="2xx",method="POST",route="/subscriptions/{class}"} 1`,
			`acitap_http_requests_total{code="4xx",method="GET",route="/session"} 1`,
			`acitap_http_request_duration_seconds_count{route="/events/{class}/next"} 1`,
			"acitap_streams_open 2", "acitap_http_requests_in_flight 61",
			`acitap_events_delivered_total{via="stream"} 3`, `acitap_events_delivered_total{via="queue"} 1`,
			`acitap_queue_pending_events{class="fvTenant"} 3`, `acitap_consumers{class="fvTenant"} 1`, `acitap_consumer_lag_events_max{class="fvTenant"} 2`,
			`acitap_subscriptions{fabric="default",state="active"} 1`, `acitap_subscriptions{fabric="default",state="failed"} 0`,
			`acitap_session_state{fabric="default",state="connected"} 1`, `acitap_session_state{fabric="default",state="backoff"} 0`,
			"acitap_session_last_proof_of_life_timestamp_seconds{",
		)
		if got := m.header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
			t.Errorf("got Content-Type %q", got)
		}
		if strings.Contains(m.body, "uni/tn-") || strings.Contains(m.body, "far") {
			t.Error("the metrics hold a DN or a name that strangers choose")
		}
	})
}

// Who announces a body and does not send it holds nothing for long, on routes
// that read none either.
func TestSlowBody(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		for _, call := range []string{"GET /session", "GET /events/stream", "POST /subscriptions/fvTenant", "DELETE /subscriptions/x", "GET /nothing"} {
			c, err := r.network.DialContext(t.Context(), "tcp", "acitap:80")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: acitap\r\nContent-Length: 10\r\n\r\n1", call)
			begun := time.Now()
			c.SetReadDeadline(begun.Add(time.Minute))
			b, _ := io.ReadAll(c)
			c.Close()
			if took := time.Since(begun); took > 40*time.Second {
				t.Errorf("%s with half a body: held for %s", call, took)
			}
			if len(b) > 0 && !bytes.HasPrefix(b, []byte("HTTP/1.1 4")) {
				t.Errorf("%s with half a body: got %.60q", call, b)
			}
		}
		// A body that came whole does not end a stream.
		s := r.stream("/events/stream", `{}`)
		for range 10 {
			if m, err := s.read(); err != nil {
				t.Fatalf("a stream asked for with a body ended: %+v %v", m, err)
			}
		}
	})
}

// Thousands of streams that nobody reads from, over a real network: when they
// are dropped, everything comes back. ACITAP_TEST_STREAMS=20000 asks for more;
// it needs two descriptors for each.
func TestIdleStreams(t *testing.T) {
	n := 2000
	if v := os.Getenv("ACITAP_TEST_STREAMS"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	for _, over := range []carrier{shards, goroutines} {
		t.Run(over.String(), func(t *testing.T) { testIdleStreams(t, n, over) })
	}
}

func testIdleStreams(t *testing.T, n int, over carrier) {
	registry := prometheus.NewRegistry()
	handler := handlers.New(handlers.Options{Hub: stale(t), Registerer: registry, Gatherer: registry})
	server := httptest.NewUnstartedServer(handler)
	most := 64 << 10
	if over == shards && runtime.GOOS == "linux" {
		most = 8 << 10
		server.Config.ConnContext = handler.ConnContext
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); handler.Run(ctx) }()
		defer func() { cancel(); <-ended }()
	}
	server.Start()
	defer server.Close()
	addr := server.Listener.Addr().String()
	gauge := func() string {
		res, err := http.Get(server.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "acitap_streams_open "); ok {
				return strings.TrimSpace(v)
			}
		}
		return "none"
	}
	measure := func() (goroutines, descriptors int, heap uint64) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fds, _ := os.ReadDir("/proc/self/fd") // none elsewhere: not looked at then
		return runtime.NumGoroutine(), len(fds), m.HeapAlloc
	}
	gauge()
	goroutines, descriptors, heap := measure()
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		conns = append(conns, c)
		fmt.Fprintf(c, "GET /events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
		line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
		if err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("stream %d: got %q %v", i, line, err)
		}
	}
	if got := gauge(); got != strconv.Itoa(n) {
		t.Errorf("got %s streams open, want %d", got, n)
	}
	_, _, full := measure()
	each := (int64(full) - int64(heap)) / int64(n) // less than nothing when others gave back more
	t.Logf("%d streams: %d bytes of heap each, both ends", n, each)
	if each > int64(most) {
		t.Errorf("an idle stream costs %d bytes of heap", each)
	}
	for _, c := range conns {
		c.Close()
	}
	conns = nil
	var g, d int
	var h uint64
	for range 200 {
		if g, d, h = measure(); g <= goroutines+5 && d <= descriptors+5 && h < heap+heap/4+4<<20 && gauge() == "0" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("after all were dropped: %d goroutines (before: %d), %d descriptors (%d), %d bytes of heap (%d), %s streams", g, goroutines, d, descriptors, h, heap, gauge())
}
