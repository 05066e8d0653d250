package apicsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/acitap/acitap/apicsim"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// world is a fabric with servers on a network in memory.
type world struct {
	t       *testing.T
	f       *apicsim.Fabric
	network *apicsim.Network
	client  *http.Client
	servers []*http.Server
}

// bubble runs fn on virtual time.
func bubble(t *testing.T, o apicsim.Options, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, f: apicsim.New(o), network: apicsim.NewNetwork()}
		tr := &http.Transport{DialContext: w.network.DialContext}
		w.client = &http.Client{Transport: tr}
		for i := range w.f.Controllers() {
			l, err := w.network.Listen(host(i))
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Handler: w.f.Controller(i)}
			w.servers = append(w.servers, s)
			go s.Serve(w.f.Controller(i).Listener(l))
		}
		defer func() {
			tr.CloseIdleConnections()
			w.f.Close()
			for _, s := range w.servers {
				s.Close()
			}
		}()
		fn(w)
	})
}

func host(i int) string { return fmt.Sprintf("apic%d:80", i+1) }

type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request with the cookies given; no jar, nothing hidden.
func (w *world) do(i int, method, path, body string, cookies ...string) reply {
	w.t.Helper()
	r, err := w.try(i, method, path, body, cookies...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (w *world) try(i int, method, path, body string, cookies ...string) (reply, error) {
	req, err := http.NewRequest(method, "http://"+host(i)+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if len(cookies) > 0 {
		req.Header.Set("Cookie", strings.Join(cookies, "; "))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b)}, err
}

// session is one login with its socket.
type session struct {
	w     *world
	i     int
	token string
	ws    *websocket.Conn
}

func (w *world) login(i int) *session {
	w.t.Helper()
	r := w.do(i, "POST", "/api/aaaLogin.json", `{"aaaUser":{"attributes":{"name":"admin","pwd":"cisco123"}}}`)
	if r.status != 200 {
		w.t.Fatalf("login: %d %s", r.status, r.body)
	}
	return &session{w: w, i: i, token: token(w.t, r.body)}
}

func token(t *testing.T, body string) string {
	t.Helper()
	var v struct {
		Imdata []map[string]struct{ Attributes map[string]any }
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, o := range v.Imdata[0] {
		return o.Attributes["token"].(string)
	}
	return ""
}

// open logs in and opens the socket.
func (w *world) open(i int) *session {
	w.t.Helper()
	s := w.login(i)
	s.dial()
	return s
}

func (s *session) dial() {
	s.w.t.Helper()
	ws, resp, err := websocket.Dial(s.w.t.Context(), "ws://"+host(s.i)+"/socket"+s.token, &websocket.DialOptions{HTTPClient: s.w.client})
	if err != nil {
		s.w.t.Fatalf("dial: %v %v", err, resp)
	}
	ws.SetReadLimit(64 << 20)
	s.ws = ws
	s.w.t.Cleanup(func() { ws.CloseNow() })
}

func (s *session) get(path string) reply {
	s.w.t.Helper()
	return s.w.do(s.i, "GET", path, "", "APIC-cookie="+s.token)
}

func (s *session) post(path, body string) reply {
	s.w.t.Helper()
	return s.w.do(s.i, "POST", path, body, "APIC-cookie="+s.token)
}

type answer struct {
	SubscriptionID string `json:"subscriptionId"`
	TotalCount     string `json:"totalCount"`
	Imdata         []map[string]struct {
		Attributes map[string]string `json:"attributes"`
		Children   []map[string]any  `json:"children"`
	} `json:"imdata"`
}

func (s *session) query(path string) answer {
	s.w.t.Helper()
	r := s.get(path)
	var a answer
	if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.status != 200 {
		s.w.t.Fatalf("%s: %d %v in %s", path, r.status, err, r.body)
	}
	return a
}

func (s *session) subscribe(path string) string {
	s.w.t.Helper()
	a := s.query(path)
	if a.SubscriptionID == "" {
		s.w.t.Fatalf("%s: no subscriptionId", path)
	}
	return a.SubscriptionID
}

// read returns the next frame, or an error after a minute of silence. (An expired
// context closes the connection: only for the last read of a test.)
func (s *session) read() (string, error) {
	ctx, cancel := context.WithTimeout(s.w.t.Context(), time.Minute)
	defer cancel()
	_, b, err := s.ws.Read(ctx)
	return string(b), err
}

func (s *session) frame() string {
	s.w.t.Helper()
	f, err := s.read()
	if err != nil {
		s.w.t.Fatalf("read: %v", err)
	}
	return f
}

// silent fails the test if a frame comes within a second. It ends the socket.
func (s *session) silent() {
	s.w.t.Helper()
	ctx, cancel := context.WithTimeout(s.w.t.Context(), time.Second)
	defer cancel()
	if _, b, err := s.ws.Read(ctx); err == nil {
		s.w.t.Fatalf("a push that should not be: %s", b)
	}
}

func attrs(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
