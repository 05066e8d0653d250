//go:build linux

package fanout_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/fanout"
	"github.com/acitap/acitap/selector"
)

// TestMain lets the test binary be the clients of a benchmark, so that what
// they cost is not counted.
func TestMain(m *testing.M) {
	if os.Getenv("ACITAP_TEST_BE_CLIENTS") != "" {
		beClients()
		return
	}
	goleak.VerifyTestMain(m)
}

// A line is a timeline without a fabric: entries are appended, the newest are in
// memory, and the others in a log that can be slow or forget.
type line struct {
	ring int

	mu    sync.RWMutex // guards all below
	all   []*apic.Entry
	floor apic.ID // the last that the log has lost
	grown chan struct{}
	looks int   // calls of Recent
	fail  error // of After

	waitAt apic.ID // the last place behind which somebody waited
}

const origin apic.ID = 1000

func newLine(ring int) *line { return &line{ring: ring, floor: origin, grown: make(chan struct{})} }

func (l *line) newestLocked() apic.ID { return origin + apic.ID(len(l.all)) }

func (l *line) newest() apic.ID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.newestLocked()
}

func (l *line) append(events ...apic.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		sealed := apic.Entry{Event: &e}.Seal(l.newestLocked() + 1)
		l.all = append(l.all, &sealed)
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *line) pick(after apic.ID, n *apic.Narrow, limit int) (list []*apic.Entry, at apic.ID) {
	for _, e := range l.all[after-origin:] {
		if !n.Admits(e) {
			continue
		}
		if list = append(list, e); len(list) == limit {
			return list, e.ID
		}
	}
	return list, l.newestLocked()
}

func (l *line) Recent(after apic.ID, n *apic.Narrow, limit int) ([]*apic.Entry, apic.ID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks++
	if newest := l.newestLocked(); after > newest || after < max(l.floor, newest-apic.ID(l.ring)) {
		return nil, after, false
	}
	list, at := l.pick(after, n, limit)
	return list, at, true
}

func (l *line) After(ctx context.Context, after apic.ID, n *apic.Narrow, limit int) ([]*apic.Entry, apic.ID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return nil, after, l.fail
	}
	if err := (apic.Bounds{Origin: origin, Floor: l.floor, Newest: l.newestLocked()}).Check(after); err != nil {
		return nil, after, err
	}
	list, at := l.pick(after, n, limit)
	return list, at, ctx.Err()
}

func (l *line) Grown(after apic.ID) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waitAt = after
	if l.newestLocked() > after {
		c := make(chan struct{})
		close(c)
		return c
	}
	return l.grown
}

// A service serves a line's streams over real sockets.
type service struct {
	tb        testing.TB
	line      *line
	fan       *fanout.Fanout
	server    *httptest.Server
	client    *http.Client
	delivered prometheus.Counter
	stop      context.CancelCauseFunc
	ended     chan struct{} // Run has returned

	mu      sync.Mutex // guards all below
	streams int
	taken   int // ever
	status  chan struct{}
	version uint64
	life    context.Context
}

var errStopping = errors.New("stopping")

type carrier string

const (
	shards     carrier = "shards"
	goroutines carrier = "goroutines" // over HTTP/1.1
	http2      carrier = "http2"
)

func newService(tb testing.TB, l *line, over carrier, number ...int) *service {
	tb.Helper()
	s := &service{tb: tb, line: l, delivered: prometheus.NewCounter(prometheus.CounterOpts{Name: "x"}), ended: make(chan struct{}), status: make(chan struct{})}
	ctx, stop := context.WithCancelCause(context.Background())
	s.stop = stop
	s.fan = fanout.New(fanout.Options{Shards: append(number, 0)[0], Timeline: l, Delivered: s.delivered, Dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "y"}), Status: s.state, Spread: func(ctx context.Context) time.Duration {
		if errors.Is(context.Cause(ctx), errStopping) {
			return 200 * time.Millisecond
		}
		return 0
	}})
	s.server = httptest.NewUnstartedServer(s)
	s.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.client = &http.Client{Transport: &http.Transport{DisableCompression: true}}
	if over == shards {
		s.server.Config.ConnContext = s.fan.ConnContext
	}
	go func() { defer close(s.ended); s.fan.Run(ctx) }()
	if over == http2 {
		s.server.EnableHTTP2 = true
		s.server.StartTLS()
		s.client = &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: s.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}}
	} else {
		s.server.Start()
	}
	tb.Cleanup(func() {
		stop(errStopping)
		s.client.CloseIdleConnections()
		s.server.Close()
		<-s.ended
	})
	return s
}

func (s *service) state() ([]byte, uint64, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Appendf(nil, `{"version":%d}`, s.version), s.version, s.status
}

func (s *service) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	close(s.status)
	s.status = make(chan struct{})
}

// ServeHTTP takes a selector, since= and include=.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	rd := fanout.Reader{Form: fanout.SSE, At: s.line.newest(), Resumable: true, Include: q.Has("include")}
	if q.Has("lines") {
		rd.Form = fanout.Lines
	}
	if since := q.Get("since"); since != "" {
		id, err := strconv.ParseInt(since, 10, 64)
		if err != nil {
			panic(err)
		}
		rd.At = apic.ID(id)
	}
	var err error
	if rd.Selector, err = selector.Parse(url.Values(filterParams(q))); err != nil {
		panic(err)
	}
	body, version, _ := s.state()
	rd.Status, rd.Version = body, version
	s.mu.Lock()
	s.streams++
	life := s.life
	s.mu.Unlock()
	leave := func(int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.streams--
	}
	w.Header().Set("Content-Type", rd.Form.ContentType())
	w.Header().Set("X-Test", "kept")
	if s.fan.Takes(r) && s.fan.Take(w, r, rd, life, leave) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken++
		return
	}
	defer leave(0)
	ctx := r.Context()
	if life != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer context.AfterFunc(life, cancel)()
	}
	w.WriteHeader(http.StatusOK)
	if err := s.fan.Serve(ctx, w, rd); err != nil && ctx.Err() == nil {
		panic(http.ErrAbortHandler)
	}
}

func filterParams(q url.Values) url.Values {
	out := url.Values{}
	for name, v := range q {
		if selector.IsParam(name) {
			out[name] = v
		}
	}
	return out
}

func (s *service) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams
}

func await(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for began := time.Now(); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			tb.Fatalf("no %s within a minute", what)
		}
	}
}

var classes = []apic.Class{"fvTenant", "fvBD", "fvAEPg", "faultInst"}

// numbered returns event i of a deterministic series.
func numbered(i int, descr string) apic.Event {
	status := []apic.Status{apic.Created, apic.Modified, apic.Deleted}[i%3]
	class := classes[i%7%len(classes)]
	dn := apic.DN(fmt.Sprintf("uni/tn-t%d/BD-b%d", i%5, i%50))
	attrs := apic.AttrsMap(map[string]string{"dn": string(dn), "descr": descr, "modTs": "2026-11-24T03:42:11.101+00:00", "status": string(status), "childAction": "", "rn": ""})
	return apic.Event{Time: apic.Now(), Fabric: "default", Class: class, DN: dn, Status: status, Origin: apic.Live, Attributes: attrs,
		Object:  attrs,
		Changes: []apic.Change{{Name: "descr", Old: "before", New: descr}}}
}

// A reader reads one stream as a client does.
type reader struct {
	tb     testing.TB
	cancel context.CancelFunc
	body   io.ReadCloser
	lines  *bufio.Reader
	last   apic.ID // of the last whole message
	status string  // the last that was told
}

// narrow makes the client's buffers small, so that a stalled reader is noticed
// soon. It holds for connections that are opened later.
func (s *service) narrow() {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10) })
	}}
	s.client.Transport.(*http.Transport).DialContext = d.DialContext
}

func (s *service) stream(query string) *reader {
	s.tb.Helper()
	r, err := s.tryStream(query)
	if err != nil {
		s.tb.Fatal(err)
	}
	return r
}

func (s *service) tryStream(query string) (*reader, error) {
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", s.server.URL+"/?"+query, nil)
	if err != nil {
		panic(err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	r := &reader{tb: s.tb, cancel: cancel, body: res.Body, lines: bufio.NewReader(res.Body)}
	s.tb.Cleanup(r.close)
	return r, nil
}

func (r *reader) close() {
	r.cancel()
	r.body.Close()
}

// message returns the next message that has an id, its type and its data; what
// has none, and the status, is left out.
func (r *reader) message() (id apic.ID, kind, data string, err error) {
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return 0, "", "", err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return 0, "", "", err
			}
			id = apic.ID(n)
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if kind == "status" {
				r.status = data
			}
			if kind != "status" && id != 0 {
				r.last = id
				return id, kind, data, nil
			}
			id, kind = 0, ""
		}
	}
}

// next is message where an event is sure to come.
func (r *reader) next() apic.ID {
	r.tb.Helper()
	id, _, _, err := r.message()
	if err != nil {
		r.tb.Fatalf("behind %d: %v", r.last, err)
	}
	return id
}
