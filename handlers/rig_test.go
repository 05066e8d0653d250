package handlers_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/eventlog"
	"github.com/acitap/acitap/handlers"
)

// A rig is a whole acitap over a simulated fabric, all of it on a network in
// memory and on virtual time. It must be made inside a synctest bubble.
type rig struct {
	t       *testing.T
	fabric  *apicsim.Fabric
	network *apicsim.Network
	journal *eventlog.MemoryLog
	hub     *apic.Hub
	client  *http.Client
	handler http.Handler
	stop    func(cause error) // cancels the BaseContext
	server  *http.Server
}

// A carrier is what carries a rig's streams.
type carrier int

const (
	shards     carrier = iota // connections that were taken over
	goroutines                // those of the requests
)

func (c carrier) String() string { return [...]string{"shards", "goroutines"}[c] }

// carriers runs a test over either.
func carriers(t *testing.T, f func(t *testing.T, over with)) {
	for _, c := range []carrier{shards, goroutines} {
		t.Run(c.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) { f(t, func(s *settings) { s.carrier = c }) })
		})
	}
}

// with changes what a rig is made of.
type with func(*settings)

type settings struct {
	sim      apicsim.Options
	log      eventlog.Options
	hub      apic.Options
	handlers handlers.Options
	wrap     func(*apic.Hub) handlers.Hub
	down     bool // no APIC answers
	carrier  carrier
	logTo    *slog.Logger // of the handlers; nil: testLog
	prefill  func(*eventlog.MemoryLog)
}

func testLog() *slog.Logger {
	if os.Getenv("ACITAP_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func newRig(t *testing.T, options ...with) *rig {
	t.Helper()
	set := settings{wrap: func(h *apic.Hub) handlers.Hub { return h }}
	for _, f := range options {
		f(&set)
	}
	r := &rig{t: t, network: apicsim.NewNetwork(), journal: eventlog.Memory(set.log)}
	if set.prefill != nil {
		set.prefill(r.journal)
	}
	r.fabric = apicsim.New(set.sim)
	t.Cleanup(r.fabric.Close)
	l, err := r.network.Listen("apic1:80")
	if err != nil {
		t.Fatal(err)
	}
	c := r.fabric.Controller(0)
	sim := &http.Server{Handler: c}
	go sim.Serve(c.Listener(l))
	t.Cleanup(func() { sim.Close() })
	if set.down {
		r.network.Refuse("apic1:80", true)
	}

	o := set.hub
	o.Controllers = []*url.URL{{Scheme: "http", Host: "apic1"}}
	o.User, o.Password, o.Dial, o.Journal, o.Logger = "admin", "cisco123", r.network.DialContext, r.journal, testLog()
	if r.hub, err = apic.New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.hub.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })

	front, err := r.network.Listen("acitap:80")
	if err != nil {
		t.Fatal(err)
	}
	base, stop := context.WithCancelCause(context.Background())
	set.handlers.Hub, set.handlers.Log = set.wrap(r.hub), cmp.Or(set.logTo, testLog())
	if set.handlers.Listen == "" {
		set.handlers.Listen = "acitap:80"
	}
	handler := handlers.New(set.handlers)
	r.handler = handler
	oneCaller := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.RemoteAddr = "192.0.2.7:4711" // the network in memory has an address for each connection
		handler.ServeHTTP(w, req)
	})
	r.server = &http.Server{Handler: oneCaller, BaseContext: func(net.Listener) context.Context { return base }}
	carrying := make(chan struct{})
	if set.carrier == shards {
		r.server.ConnContext = handler.ConnContext
		go func() { defer close(carrying); handler.Run(base) }()
		synctest.Wait()
	} else {
		close(carrying)
	}
	go r.server.Serve(front)
	r.stop = stop
	t.Cleanup(func() {
		stop(handlers.ErrStopping)
		if err := r.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-carrying
	})
	transport := &http.Transport{DialContext: r.network.DialContext}
	r.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
	if !set.down {
		r.ready()
	}
	return r
}

// ready waits until the session is up.
func (r *rig) ready() {
	r.t.Helper()
	for range 120 {
		if r.hub.Ready() == nil {
			return
		}
		time.Sleep(time.Second)
	}
	r.t.Fatalf("not ready after two minutes: %v", r.hub.Ready())
}

// An answer is a response, read to its end.
type answer struct {
	t      *testing.T
	call   string
	status int
	header http.Header
	body   string
}

// do sends a request; extra are a body that begins with { or [ or has a
// newline, or headers as "Name: value".
func (r *rig) do(call string, extra ...string) answer {
	r.t.Helper()
	a, err := r.try(r.t.Context(), call, extra...)
	if err != nil {
		r.t.Fatalf("%s: %v", call, err)
	}
	return a
}

func (r *rig) request(ctx context.Context, call string, extra ...string) *http.Request {
	r.t.Helper()
	method, target, _ := strings.Cut(call, " ")
	var body io.Reader
	header := http.Header{}
	for _, e := range extra {
		if name, value, ok := strings.Cut(e, ": "); ok && !strings.HasPrefix(e, "{") && !strings.ContainsAny(name, " \n") {
			header.Set(name, value)
			continue
		}
		body = strings.NewReader(e)
		if header.Get("Content-Type") == "" {
			header.Set("Content-Type", "application/json")
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://acitap"+target, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	return req
}

func (r *rig) try(ctx context.Context, call string, extra ...string) (answer, error) {
	r.t.Helper()
	res, err := r.client.Do(r.request(ctx, call, extra...))
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{r.t, call, res.StatusCode, res.Header, string(b)}, err
}

// want checks the status, and that a refusal is a problem as it should be.
func (a answer) want(status int, words ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d, want %d: %s", a.call, a.status, status, a.body)
	}
	if status >= 400 {
		var p struct {
			Type, Title, Detail string
			Status              int
		}
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			a.t.Errorf("%s: got Content-Type %q of a %d, want a problem", a.call, got, status)
		}
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Type == "" || p.Title == "" || p.Status != status || p.Detail == "" {
			a.t.Errorf("%s: got problem %s (%v), want type, title, status and detail", a.call, a.body, err)
		}
	}
	for _, word := range words {
		if !strings.Contains(a.body, word) {
			a.t.Errorf("%s: got %s, want %q in it", a.call, a.body, word)
		}
	}
	return a
}

func (a answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		a.t.Fatalf("%s: %v in %q", a.call, err, a.body)
	}
}

// An event is an event or a gap as JSON.
type event struct {
	ID         int64
	Kind       string
	Class, DN  string
	Status     string
	Origin     string
	Attributes map[string]string
	Object     map[string]string
	Reason     string
	Asked      int64
	Oldest     int64
	Classes    []string
}

func (e event) String() string {
	if e.Kind != "" {
		return fmt.Sprintf("%d %s %s", e.ID, e.Kind, e.Reason)
	}
	return fmt.Sprintf("%d %s %s %s", e.ID, e.Status, e.DN, e.Attributes["descr"])
}

func (a answer) event() (e event) {
	a.t.Helper()
	a.into(&e)
	return e
}

type eventList struct {
	Events []event
	AsOf   int64
	Next   string
}

func (a answer) events() (l eventList) {
	a.t.Helper()
	a.into(&l)
	return l
}

// subscribe subscribes a class and waits until it is active.
func (r *rig) subscribe(class string) {
	r.t.Helper()
	r.do("POST /subscriptions/"+class).want(201, `"state":"active"`)
}

// settle lets all that has been set going come to an end.
func (r *rig) settle() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

func (r *rig) create(class, dn string, attrs ...string) {
	r.t.Helper()
	if err := r.fabric.Create(class, dn, pairs(attrs)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) modify(dn string, attrs ...string) {
	r.t.Helper()
	if err := r.fabric.Modify(dn, pairs(attrs)); err != nil {
		r.t.Fatal(err)
	}
}

func pairs(list []string) map[string]string {
	m := make(map[string]string)
	for i := 0; i < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

// A message is one of an event stream, as a browser sees it.
type message struct {
	id, kind, data string
	comment        bool // a comment, or an id alone
}

// A reader follows an event stream.
type reader struct {
	t      *testing.T
	res    *http.Response
	cancel context.CancelFunc
	lines  *bufio.Reader
	lastID string // as a browser keeps it
}

func (r *rig) stream(target string, extra ...string) *reader {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	res, err := r.client.Do(r.request(ctx, "GET "+target, extra...))
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	if res.StatusCode != 200 {
		b, _ := io.ReadAll(res.Body)
		cancel()
		r.t.Fatalf("GET %s: got %d: %s", target, res.StatusCode, b)
	}
	s := &reader{t: r.t, res: res, cancel: cancel, lines: bufio.NewReader(res.Body)}
	r.t.Cleanup(s.close)
	return s
}

func (s *reader) close() {
	s.cancel()
	s.res.Body.Close()
}

// read returns the next block of lines, dispatched or not, as the HTML
// standard reads it.
func (s *reader) read() (message, error) {
	var m message
	var data bytes.Buffer
	lines := 0
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return m, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			break
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			m.id = value
		case "event":
			m.kind = value
		case "data":
			lines++
			data.WriteString(value)
			data.WriteByte('\n')
		}
	}
	m.data = strings.TrimSuffix(data.String(), "\n")
	m.comment = lines == 0
	if m.id != "" { // counts once the whole block is there
		s.lastID = m.id
	}
	return m, nil
}

// next returns the next message that a browser would dispatch, status left
// out.
func (s *reader) next() message {
	s.t.Helper()
	for {
		m, err := s.read()
		if err != nil {
			s.t.Fatalf("stream: %v", err)
		}
		if !m.comment && m.kind != "status" {
			return m
		}
	}
}

func (m message) event() (e event) {
	if err := json.Unmarshal([]byte(m.data), &e); err != nil {
		panic(err)
	}
	return e
}
