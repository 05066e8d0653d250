package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/webhook"
)

// A line is a timeline in memory: what a hub is to webhooks.
type line struct {
	mu      sync.RWMutex
	origin  apic.ID
	floor   apic.ID
	entries []*apic.Entry // all above floor
	grown   chan struct{}
}

func newLine() *line {
	origin := apic.FirstID(time.Now())
	return &line{origin: origin, floor: origin, grown: make(chan struct{})}
}

func (l *line) newest() apic.ID {
	if n := len(l.entries); n > 0 {
		return l.entries[n-1].ID
	}
	return l.floor
}

func (l *line) Bounds() apic.Bounds {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return apic.Bounds{Origin: l.origin, Floor: l.floor, Newest: l.newest()}
}

func (l *line) IDAt(_ context.Context, t time.Time) (apic.ID, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	at := l.floor
	for _, e := range l.entries {
		if e.Time().Before(t) {
			at = e.ID
		}
	}
	return at, nil
}

func (l *line) After(_ context.Context, after apic.ID, n *apic.Narrow, limit int) ([]*apic.Entry, apic.ID, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	b := apic.Bounds{Origin: l.origin, Floor: l.floor, Newest: l.newest()}
	if err := b.Check(after); err != nil {
		return nil, after, err
	}
	var list []*apic.Entry
	for _, e := range l.entries[after-l.floor:] {
		if n.Admits(e) {
			if list = append(list, e); len(list) == limit {
				return list, e.ID, nil
			}
		}
	}
	return list, b.Newest, nil
}

var open = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (l *line) Grown(after apic.ID) <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.newest() > after {
		return open
	}
	return l.grown
}

func (l *line) Entry(_ context.Context, id apic.ID) (*apic.Entry, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if id > l.newest() {
		return nil, apic.ErrNotFound
	}
	if err := (apic.Bounds{Origin: l.origin, Floor: l.floor, Newest: l.newest()}).Check(id - 1); err != nil {
		return nil, err
	}
	return l.entries[id-l.floor-1], nil
}

func (l *line) add(entries ...apic.Entry) (ids []apic.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		sealed := e.Seal(l.newest() + 1)
		l.entries = append(l.entries, &sealed)
		ids = append(ids, sealed.ID)
	}
	close(l.grown)
	l.grown = make(chan struct{})
	return ids
}

// forget is retention: all up to id goes.
func (l *line) forget(id apic.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = l.entries[id-l.floor:]
	l.floor = id
}

func event(class apic.Class, dn apic.DN, status apic.Status, attrs ...string) apic.Entry {
	m := map[string]string{"dn": string(dn)}
	for i := 0; i < len(attrs); i += 2 {
		m[attrs[i]] = attrs[i+1]
	}
	v := &apic.Event{Time: apic.Now(), Fabric: "default", Class: class, DN: dn, Status: status, Origin: apic.Live, Attributes: apic.AttrsMap(m)}
	if status != apic.Modified {
		v.Object = v.Attributes
	}
	return apic.Entry{Event: v}
}

func tenant(i int) apic.Entry {
	return event("fvTenant", apic.DN(fmt.Sprintf("uni/tn-t%d", i)), apic.Created, "name", fmt.Sprintf("t%d", i))
}

func tenants(n int) []apic.Entry {
	list := make([]apic.Entry, n)
	for i := range list {
		list[i] = tenant(i)
	}
	return list
}

func gap(reason string, classes ...apic.Class) apic.Entry {
	now := apic.Now()
	return apic.Entry{Gap: &apic.Gap{Time: now, Fabric: "default", Classes: classes, From: now.Add(-time.Minute), To: now, Reason: reason, Healed: true}}
}

// A rig is a webhook service over a timeline and a network, both in memory. It
// must be made inside a synctest bubble.
type rig struct {
	t       *testing.T
	line    *line
	network *apicsim.Network
	store   *webhook.MemoryStore
	service *webhook.Service
	options webhook.Options
	stop    func()
}

func newRig(t *testing.T, change ...func(*webhook.Options)) *rig {
	t.Helper()
	r := &rig{t: t, line: newLine(), network: apicsim.NewNetwork(), store: webhook.Memory()}
	r.options = webhook.Options{Hub: r.line, Store: r.store, Dial: r.network.DialContext}
	for _, f := range change {
		f(&r.options)
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) start() {
	r.t.Helper()
	s, err := webhook.New(r.t.Context(), r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.service = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
}

func (r *rig) create(body string) webhook.View {
	r.t.Helper()
	v, err := r.service.Create(r.t.Context(), []byte(body))
	if err != nil {
		r.t.Fatalf("create %s: %v", body, err)
	}
	return v
}

func (r *rig) get(id string) webhook.View {
	r.t.Helper()
	v, err := r.service.Get(id)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// A delivery is a request as a receiver got it.
type delivery struct {
	header http.Header
	path   string
	body   []byte
	at     time.Time
}

// ids returns the ids of the events in it.
func (d delivery) ids() []apic.ID {
	var v struct {
		ID     apic.ID
		Events []struct{ ID apic.ID }
	}
	_ = json.Unmarshal(d.body, &v)
	if v.Events == nil {
		return []apic.ID{v.ID}
	}
	var list []apic.ID
	for _, e := range v.Events {
		list = append(list, e.ID)
	}
	return list
}

// A receiver is somebody's HTTP server.
type receiver struct {
	mu     sync.Mutex
	got    []delivery
	answer func(w http.ResponseWriter, r *http.Request, d delivery) // nil: 204
	secret string                                                   // checked when it is there
	wrong  []string
	flying atomic.Int32
	most   int32
}

func (v *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := v.flying.Add(1)
	defer v.flying.Add(-1)
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d := delivery{r.Header, r.URL.Path, b, time.Now()}
	v.mu.Lock()
	v.most = max(v.most, n)
	v.got = append(v.got, d)
	answer, secret := v.answer, v.secret
	if secret != "" {
		if err := verify(secret, b, r.Header); err != nil {
			v.wrong = append(v.wrong, err.Error())
		}
	}
	v.mu.Unlock()
	if answer != nil {
		answer(w, r, d)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func verify(secret string, body []byte, h http.Header) error {
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return hook.Verify(body, h)
}

func (v *receiver) set(answer func(w http.ResponseWriter, r *http.Request, d delivery)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = answer
}

func status(code int) func(http.ResponseWriter, *http.Request, delivery) {
	return func(w http.ResponseWriter, _ *http.Request, _ delivery) { w.WriteHeader(code) }
}

func (v *receiver) all() []delivery {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.got)
}

// ids are those of the events that came, repeats included.
func (v *receiver) ids() []apic.ID {
	var list []apic.ID
	for _, d := range v.all() {
		list = append(list, d.ids()...)
	}
	return list
}

// receive serves a receiver at an address of the network.
func (r *rig) receive(addr string) *receiver {
	r.t.Helper()
	v := &receiver{}
	l, err := r.network.Listen(addr)
	if err != nil {
		r.t.Fatal(err)
	}
	server := &http.Server{Handler: v}
	go server.Serve(l)
	r.t.Cleanup(func() { server.Close() })
	return v
}

func unique(ids []apic.ID) []apic.ID {
	seen := make(map[apic.ID]bool)
	var list []apic.ID
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	return list
}

func wantIDs(t *testing.T, got, want []apic.ID) {
	t.Helper()
	if !slices.Equal(got, want) {
		if len(got) > 40 || len(want) > 40 {
			t.Fatalf("got %d ids, want %d; first difference at %d", len(got), len(want), mismatch(got, want))
		}
		t.Fatalf("got ids %v, want %v", got, want)
	}
}

func mismatch(a, b []apic.ID) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
