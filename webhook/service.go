package webhook

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

// A Hub is what webhooks need of [apic.Hub].
type Hub interface {
	Bounds() apic.Bounds
	IDAt(ctx context.Context, t time.Time) (apic.ID, error)
	After(ctx context.Context, after apic.ID, n *apic.Narrow, limit int) (entries []*apic.Entry, at apic.ID, err error)
	Grown(after apic.ID) <-chan struct{}
	Entry(ctx context.Context, id apic.ID) (*apic.Entry, error)
}

// Options of a [Service]. Zero values have the meaning given.
type Options struct {
	Hub   Hub            // required
	Store Store          // required
	Allow []netip.Prefix // addresses that may be reached although they are loopback, link-local or metadata
	Log   *slog.Logger   // nil: silence
	TLS   *tls.Config    // nil: the system's roots
	Proxy Proxy          // nil: none; those of the environment are never asked

	Registerer prometheus.Registerer // nil: no metrics

	MaxEndpoints   int           // 0 is 5000
	KeepDeliveries int           // attempts that the log holds of an endpoint; 0 is 1000
	KeepFor        time.Duration // and how long; 0 is seven days

	// Dial replaces the network, for tests; addresses are checked where they
	// are numbers. Resolver replaces the system's, for tests.
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Resolver *net.Resolver
}

// A Service keeps endpoints and delivers to them. All methods may be called
// from any goroutine.
type Service struct {
	o         Options
	hub       Hub
	log       *slog.Logger
	guard     guard
	transport *http.Transport
	proxied   *http.Transport // where a proxy stands in between; nil without one
	metrics   *metrics

	admin   sync.Mutex // held over a change of definitions; taken before mu
	commits sync.Mutex // held over a write to the store; taken before mu

	dirtied chan struct{} // holds a value when there is something to write

	mu        sync.Mutex // guards all below, and the fields of endpoints
	endpoints map[string]*endpoint
	index     *index // replaced, never changed
	dirty     map[*endpoint]bool
	at        apic.ID     // all up to it has been offered to the endpoints at rest
	rested    []*endpoint // came to rest since the dispatcher last looked
	running   bool
	workers   sync.WaitGroup
	ctx       context.Context // of the workers
	sendCtx   context.Context // of requests: ends a little later
}

const (
	defaultEndpoints = 5000
	defaultKeep      = 1000
	defaultKeepFor   = 7 * 24 * time.Hour
)

// New makes a service of what the store kept. It starts nothing: see
// [Service.Run].
func New(ctx context.Context, o Options) (*Service, error) {
	o.MaxEndpoints = cmp.Or(o.MaxEndpoints, defaultEndpoints)
	o.KeepDeliveries = cmp.Or(o.KeepDeliveries, defaultKeep)
	o.KeepFor = cmp.Or(o.KeepFor, defaultKeepFor)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		o: o, hub: o.Hub, log: o.Log, guard: guard{o.Allow},
		dirtied: make(chan struct{}, 1), endpoints: make(map[string]*endpoint), dirty: make(map[*endpoint]bool),
	}
	s.metrics = newMetrics(o.Registerer, s)
	s.transport = newTransport(&o, s.guard.dialer(o.Dial, o.Resolver))
	if o.Proxy != nil {
		s.proxied = newProxied(&o)
	}
	records, err := o.Store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading the webhooks: %w", err)
	}
	for _, r := range records {
		ep, err := restore(r.Definition)
		if ep == nil {
			return nil, fmt.Errorf("webhook %s as it was stored cannot be read: %w", r.ID, err)
		}
		e := newEndpoint(s, r.ID)
		e.at, e.saved = r.At, r.At
		if len(r.State) > 0 {
			if err := json.Unmarshal(r.State, &e.state); err != nil {
				return nil, fmt.Errorf("the state of webhook %s cannot be read: %w", r.ID, err)
			}
		}
		var d *definition
		if err == nil {
			d, err = s.compile(ep)
		}
		if err != nil {
			// It was good when it was saved: the rules have changed since, or what
			// ACITAP_WEBHOOK_ALLOW names. It keeps its place until somebody looks.
			disabled := *ep
			disabled.Enabled = false
			d = &definition{Endpoint: &disabled}
			if ep.Selector != nil {
				d.selects = ep.Selector.String()
			}
			e.state.Error = err.Error()
			e.broken = true
			s.log.Error("a webhook cannot be used as it is any more and is disabled", logName(r.ID, ep), "err", err)
		}
		e.def = d
		s.endpoints[r.ID] = e
	}
	s.reindexLocked() // nobody else has s yet
	return s, nil
}

// Run delivers until ctx ends. Then requests under way may still end, for
// three seconds; places are stored, and Run returns nil. It is called once.
func (s *Service) Run(ctx context.Context) error {
	sendCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	s.mu.Lock()
	s.ctx, s.sendCtx, s.running = ctx, sendCtx, true
	s.at = s.hub.Bounds().Newest
	for _, e := range s.endpoints {
		e.startLocked()
	}
	s.mu.Unlock()

	var own sync.WaitGroup
	own.Go(func() { s.dispatch(ctx) })
	own.Go(func() { s.keep(ctx) })
	own.Go(func() { s.prune(ctx) })
	<-ctx.Done()
	own.Wait()
	s.mu.Lock()
	s.running = false
	s.mu.Unlock()
	grace := time.AfterFunc(3*time.Second, func() { cancel(errStopped) })
	s.workers.Wait()
	grace.Stop()

	s.rest()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	err := s.flush(last)
	if err != nil {
		s.log.Error("places of webhooks could not be stored; some events will be sent again", "err", err)
	}
	s.transport.CloseIdleConnections()
	if s.proxied != nil {
		s.proxied.CloseIdleConnections()
	}
	return nil
}

var errStopped = errors.New("acitap stopped before there was an answer")

// dispatch offers what is new to the endpoints that are at rest, and starts
// those that want it. One goroutine does this for all of them.
func (s *Service) dispatch(ctx context.Context) {
	const most = 512
	for {
		s.mu.Lock()
		at, index := s.at, s.index
		s.rested = s.rested[:0]
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-s.hub.Grown(at):
		}
		next, wanted := at, map[*group]apic.ID(nil)
		var err error
		if index.resting() {
			var entries []*apic.Entry
			entries, next, err = s.hub.After(ctx, at, &apic.Narrow{}, most)
			wanted = index.match(entries)
		} else {
			next = s.hub.Bounds().Newest
		}
		s.mu.Lock()
		switch {
		case err == nil:
		case errors.Is(err, apic.ErrGone): // each finds out for itself
			next = s.hub.Bounds().Newest
			for _, e := range s.endpoints {
				e.startLocked()
			}
		default:
			s.mu.Unlock()
			if ctx.Err() == nil {
				s.log.Error("webhooks cannot read the timeline; trying again", "err", err)
			}
			sleep(ctx, time.Second)
			continue
		}
		for g, first := range wanted {
			for _, e := range g.members {
				if e.resting {
					e.at = max(e.at, first-1)
					e.startLocked()
				}
			}
		}
		for _, e := range s.rested { // while the others were asked
			if e.resting && e.at < next {
				e.startLocked()
			}
		}
		s.at = max(s.at, next)
		s.mu.Unlock()
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// An index finds the endpoints that may want an entry. Endpoints with the same
// selectors are asked once.
type index struct {
	groups  map[string]*group
	byClass map[apic.Class][]*group
	any     []*group // of no class in particular
}

type group struct {
	sel     *selector.Selector
	members []*endpoint
}

func (s *Service) reindexLocked() {
	x := &index{groups: make(map[string]*group), byClass: make(map[apic.Class][]*group)}
	for _, e := range s.endpoints {
		if e.def.Endpoint.Selector == nil {
			continue
		}
		g := x.groups[e.def.selects]
		if g == nil {
			g = &group{sel: e.def.Selector}
			x.groups[e.def.selects] = g
			classes := g.sel.Classes()
			for _, c := range classes {
				x.byClass[c] = append(x.byClass[c], g)
			}
			if len(classes) == 0 {
				x.any = append(x.any, g)
			}
		}
		g.members = append(g.members, e)
	}
	s.index = x
}

// resting reports whether anybody is to be asked. It may be wrong about those
// that come to rest meanwhile: dispatch looks after them.
func (x *index) resting() bool {
	for _, g := range x.groups {
		if g.resting() {
			return true
		}
	}
	return false
}

func (g *group) resting() bool {
	for _, e := range g.members {
		if e.atRest.Load() {
			return true
		}
	}
	return false
}

// match returns the groups that want one of the entries, with the first.
func (x *index) match(entries []*apic.Entry) map[*group]apic.ID {
	wanted := make(map[*group]apic.ID)
	awake := make(map[*group]bool) // nobody of it rests
	ask := func(g *group, e *apic.Entry) {
		if _, ok := wanted[g]; ok || awake[g] {
			return
		}
		if !g.resting() {
			awake[g] = true
			return
		}
		if g.sel.Match(e) {
			wanted[g] = e.ID
		}
	}
	for _, e := range entries {
		if e.Event == nil { // a gap concerns whom it concerns
			for _, g := range x.groups {
				ask(g, e)
			}
			continue
		}
		for _, g := range x.byClass[e.Event.Class] {
			ask(g, e)
		}
		for _, g := range x.any {
			ask(g, e)
		}
	}
	return wanted
}

// keep writes places and attempts as they come, gathered for some
// milliseconds, and now and then the places of those at rest.
func (s *Service) keep(ctx context.Context) {
	const gather = 10 * time.Millisecond
	idle := time.NewTicker(restEvery)
	defer idle.Stop()
	stuck := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			s.rest()
			continue
		case <-s.dirtied:
		}
		pause := gather
		err := s.flush(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return
		case err != nil:
			if !stuck {
				s.log.Error("places of webhooks cannot be stored; trying again", "err", err)
			}
			pause = time.Second
			s.markDirty()
		case stuck:
			s.log.Info("places of webhooks are stored again")
		}
		stuck = err != nil
		if !sleep(ctx, pause) {
			return
		}
	}
}

// restEvery is how often the places of endpoints at rest are stored.
const restEvery = time.Minute

// rest has the places of endpoints at rest written, which have moved on
// without a delivery.
func (s *Service) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.endpoints {
		if e.placeLocked() != e.saved {
			s.dirty[e] = true
		}
	}
	if len(s.dirty) > 0 {
		s.markDirty()
	}
}

func (s *Service) markDirty() {
	select {
	case s.dirtied <- struct{}{}:
	default:
	}
}

// flush writes what is new. Callers take turns; what somebody else has written
// meanwhile is not written again.
func (s *Service) flush(ctx context.Context) error {
	s.commits.Lock()
	defer s.commits.Unlock()
	s.mu.Lock()
	changes := make([]Change, 0, len(s.dirty))
	of := make([]*endpoint, 0, len(s.dirty))
	var err error
	for e := range s.dirty {
		c, mistake := e.changeLocked()
		if mistake != nil {
			err = errors.Join(err, mistake)
			continue
		}
		changes = append(changes, c)
		of = append(of, e)
	}
	clear(s.dirty)
	s.mu.Unlock()
	if len(changes) == 0 {
		return err
	}
	err = errors.Join(err, s.o.Store.Commit(ctx, changes))
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range of {
		e.undoLocked(changes[i])
		if !e.gone {
			s.dirty[e] = true
		}
	}
	return err
}

// prune removes old attempts from the log.
func (s *Service) prune(ctx context.Context) {
	for sleep(ctx, time.Hour) {
		if err := s.o.Store.Prune(ctx, time.Now().Add(-s.o.KeepFor)); err != nil && ctx.Err() == nil {
			s.log.Warn("old deliveries of webhooks could not be removed from the log", "err", err)
		}
	}
}

// get returns an endpoint, [apic.ErrNotFound] when there is none.
func (s *Service) get(id string) (*endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.endpoints[id]; e != nil {
		return e, nil
	}
	return nil, apic.ErrNotFound
}

// Create makes an endpoint of a JSON object. The View has its secret. Errors
// that join *selector.Error are the caller's mistakes; [apic.ErrLimit] when
// there are too many endpoints, a *apic.GoneError for a since that is not in
// the log.
func (s *Service) Create(ctx context.Context, body []byte) (View, error) {
	ep, err := decode(body, nil)
	if err != nil {
		return View{}, err
	}
	d, err := s.compile(ep)
	if err != nil {
		return View{}, err
	}
	at, err := ep.since.Resolve(ctx, apic.Now(), s.hub)
	if err != nil {
		return View{}, err
	}
	ep.CreatedAt = apic.Now()
	ep.UpdatedAt = ep.CreatedAt

	s.admin.Lock()
	defer s.admin.Unlock()
	e := newEndpoint(s, "wh_"+strings.ToLower(rand.Text()[:16]))
	e.def, e.at, e.redefined = d, at, true
	s.mu.Lock()
	if n := len(s.endpoints); n >= s.o.MaxEndpoints {
		s.mu.Unlock()
		return View{}, fmt.Errorf("%w: there are %d webhooks already; remove some", apic.ErrLimit, n)
	}
	s.endpoints[e.id] = e
	s.dirty[e] = true
	s.mu.Unlock()
	if err := s.flush(context.WithoutCancel(ctx)); err != nil {
		s.mu.Lock()
		e.gone = true
		delete(s.endpoints, e.id)
		delete(s.dirty, e)
		s.mu.Unlock()
		return View{}, fmt.Errorf("storing the webhook: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reindexLocked()
	e.startLocked()
	v := e.viewLocked()
	v.Secret = ep.secret
	return v, nil
}

// Update applies a JSON merge patch to an endpoint. It goes on from its place,
// and tries at once what it has failed with.
func (s *Service) Update(ctx context.Context, id string, body []byte) (View, error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	e, err := s.get(id)
	if err != nil {
		return View{}, err
	}
	s.mu.Lock()
	before := e.def
	s.mu.Unlock()
	ep, err := decode(body, before.Endpoint)
	if err != nil {
		return View{}, err
	}
	d, err := s.compile(ep)
	if err != nil {
		return View{}, err
	}
	ep.UpdatedAt = apic.Now()
	return s.redefine(ctx, e, d, func() { e.broken = false; e.afreshLocked() })
}

// redefine replaces a definition, durably, and then lets the endpoint go on.
// admin is held.
func (s *Service) redefine(ctx context.Context, e *endpoint, d *definition, then func()) (View, error) {
	s.mu.Lock()
	if e.gone {
		s.mu.Unlock()
		return View{}, apic.ErrNotFound
	}
	wasResting := e.resting
	e.settleLocked()
	before, at, era, broken := e.def, e.at, e.era, e.broken
	e.def, e.redefined = d, true
	then()
	s.dirty[e] = true
	s.mu.Unlock()
	err := s.flush(context.WithoutCancel(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if !e.gone {
			e.def, e.broken, e.redefined = before, broken, true
			if e.era != era {
				e.at, e.era = at, e.era+1
			}
			if wasResting {
				e.startLocked()
			}
		}
		return View{}, fmt.Errorf("storing the webhook: %w", err)
	}
	s.reindexLocked()
	e.kickLocked()
	e.startLocked()
	return e.viewLocked(), nil
}

// Delete removes an endpoint and all that is known of it.
func (s *Service) Delete(ctx context.Context, id string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	e, err := s.get(id)
	if err != nil {
		return err
	}
	s.commits.Lock()
	defer s.commits.Unlock()
	if err := s.o.Store.Delete(context.WithoutCancel(ctx), id); err != nil {
		return fmt.Errorf("removing the webhook: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.gone = true
	e.cancel()
	delete(s.endpoints, id)
	delete(s.dirty, e)
	s.reindexLocked()
	e.kickLocked()
	return nil
}

// Get returns an endpoint.
func (s *Service) Get(id string) (View, error) {
	e, err := s.get(id)
	if err != nil {
		return View{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.viewLocked(), nil
}

// List returns all endpoints, oldest first.
func (s *Service) List() []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]View, 0, len(s.endpoints))
	for _, e := range s.endpoints {
		list = append(list, e.viewLocked())
	}
	slices.SortFunc(list, func(a, b View) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return list
}

// Rotate gives an endpoint a new secret: the one given, or a random one. The
// old one signs beside it for 24 hours. The View has the new one.
func (s *Service) Rotate(ctx context.Context, id, secret string) (View, error) {
	next := NewSecret()
	if secret != "" {
		var err error
		if next, err = ParseSecret(secret); err != nil {
			return View{}, &selector.Error{Param: "secret", Detail: err.Error()}
		}
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	e, err := s.get(id)
	if err != nil {
		return View{}, err
	}
	s.mu.Lock()
	d := *e.def
	s.mu.Unlock()
	ep := *d.Endpoint
	now := apic.Now()
	ep.old = []oldSecret{{ep.secret, now.Add(rotation)}}
	for _, o := range d.old {
		if now.Before(o.until) && len(ep.old) < oldAtMost {
			ep.old = append(ep.old, o)
		}
	}
	ep.secret, ep.UpdatedAt = next, now
	d.Endpoint = &ep
	v, err := s.redefine(ctx, e, &d, func() {})
	if err == nil {
		v.Secret = next
	}
	return v, err
}

// Rewind moves an endpoint's place: it sends again, or skips, what lies
// between. A *apic.GoneError says that the log does not reach so far.
func (s *Service) Rewind(ctx context.Context, id string, since selector.Place) (View, error) {
	at, err := since.Resolve(ctx, apic.Now(), s.hub)
	if err != nil {
		return View{}, err
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	e, err := s.get(id)
	if err != nil {
		return View{}, err
	}
	s.mu.Lock()
	d, broken := e.def, e.broken
	s.mu.Unlock()
	if broken {
		return View{}, &selector.Error{Param: "id", Detail: "names a webhook that cannot be used as it is: correct it first with PATCH /webhooks/{id}; its error says what is wrong"}
	}
	return s.redefine(ctx, e, d, func() {
		e.afreshLocked()
		e.at, e.era = at, e.era+1
	})
}

// Deliveries returns attempts, newest first, with a Seq below before (0 for
// all), at most limit.
func (s *Service) Deliveries(ctx context.Context, id string, before int64, limit int) ([]Delivery, error) {
	if _, err := s.get(id); err != nil {
		return nil, err
	}
	if err := s.flush(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	return s.o.Store.Deliveries(ctx, id, before, limit)
}
