package apic

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Options of a [Hub]. Zero values have the meaning given.
type Options struct {
	Fabric      string     // name of the fabric in events; "" is "default"
	Controllers []*url.URL // of the fabric's cluster, at least one, as https://apic1

	User, Password string
	CertName       string          // with Key: signature login instead of a password
	Key            *rsa.PrivateKey // of CertName
	TLS            *tls.Config     // nil: the system's roots; see [TLSConfig]
	Dial           func(ctx context.Context, network, addr string) (net.Conn, error)

	Journal          Journal // required
	Ring             int     // newest entries held in memory; 0 is 16384
	MaxSubscriptions int     // 0 is 100, which an APIC is known to take
	Logger           *slog.Logger
	Registerer       prometheus.Registerer // nil: no metrics
}

// A Hub owns the session with one fabric's APIC, the mirror of what is
// subscribed, and the timeline that its readers stand on. All methods may be
// called from any goroutine. Those that change something (Subscribe,
// Unsubscribe) wait for [Hub.Run] to take them.
type Hub struct {
	o       Options
	log     *slog.Logger
	line    *timeline
	mirror  *mirror
	metrics *metrics
	http    *http.Client
	cred    credentials
	limiter *rate.Limiter // of all requests
	logins  *rate.Limiter

	in     chan input
	done   chan struct{}   // closed when apply has ended
	ctx    context.Context // of Run, for apply: ends when shutting down takes too long
	adding sync.Mutex      // one new queue at a time

	renewals  atomic.Int64 // of tokens
	refreshes atomic.Int64 // of subscriptions

	mu       sync.Mutex // guards all below; apply holds it while it decides, never while it writes
	subs     map[string]*subscription
	queued   map[Class]bool // classes that have their own queue
	conns    []*conn
	batch    Batch
	then     []func() // called once the batch is durable
	rereads  map[DN]*reread
	strays   []stray
	doomed   []doom
	twins    twins
	named    []*link // scratch of takeFrame
	seq      int
	proven   time.Time
	stuck    error // why the log takes nothing
	session  Session
	sessions chan struct{} // closed and replaced when session changes
	gaps     int64
	resyncs  int64
}

// New makes a hub of what the journal kept. It starts nothing: see [Hub.Run].
func New(ctx context.Context, o Options) (*Hub, error) {
	if o.Fabric == "" {
		o.Fabric = "default"
	}
	if o.Ring == 0 {
		o.Ring = 16384
	}
	if o.MaxSubscriptions == 0 {
		o.MaxSubscriptions = 100
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if len(o.Controllers) == 0 {
		return nil, errors.New("no controller is named")
	}
	h := &Hub{
		o: o, log: o.Logger, metrics: newMetrics(o.Registerer), mirror: newMirror(),
		http: &http.Client{
			Transport: &http.Transport{
				DialContext: o.Dial, TLSClientConfig: o.TLS, TLSHandshakeTimeout: 10 * time.Second,
				MaxConnsPerHost: 8, MaxIdleConnsPerHost: 4, IdleConnTimeout: 90 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		cred:    credentials{user: o.User, password: o.Password, key: o.Key},
		limiter: rate.NewLimiter(rate.Every(requestEvery), 1),
		logins:  rate.NewLimiter(rate.Every(loginEvery), 1),
		in:      make(chan input, inputs), done: make(chan struct{}),
		subs: make(map[string]*subscription), queued: make(map[Class]bool), rereads: make(map[DN]*reread),
		sessions: make(chan struct{}),
		session:  Session{Name: o.Fabric, State: Connecting, User: o.User},
	}
	if o.Key != nil {
		// The certificate belongs to the local user, without a login domain.
		user := o.User[strings.LastIndexByte(o.User, '\\')+1:]
		h.cred.certDN = "uni/userext/user-" + user + "/usercert-" + o.CertName
	}
	saved, err := o.Journal.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading what the log kept: %w", err)
	}
	for obj, err := range saved.Objects {
		if err != nil {
			return nil, fmt.Errorf("loading the objects of the log: %w", err)
		}
		if obj.Fabric == o.Fabric {
			h.mirror.put(&object{dn: obj.DN, class: obj.Class, attrs: obj.Attrs, last: obj.Last})
		}
	}
	h.line = newTimeline(o.Journal, o.Ring, saved.Positions)
	h.mirror.asOf = h.line.newest
	for _, p := range saved.Positions {
		if p.Consumer == "" && p.Class != "" {
			h.queued[p.Class] = true
		}
	}
	for _, record := range saved.Subscriptions {
		if record.Fabric != o.Fabric {
			continue
		}
		s := newSubscription(record)
		s.lose(record.ProvenAt, ReasonRestart)
		h.subs[s.ID] = s
	}
	return h, nil
}

func newSubscription(record Subscription) *subscription {
	s := &subscription{Subscription: record, settled: make(chan struct{}), seen: make(map[Class]bool)}
	s.Error = ""
	return s
}

// Run keeps the session and feeds the timeline until ctx ends; then it closes
// the socket, logs out, stores what must outlive the process and returns nil.
// It is called once.
func (h *Hub) Run(ctx context.Context) error {
	// apply ends last: it takes what the session has read to the end. It is cut
	// short when the log takes nothing.
	applyCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	h.ctx = applyCtx
	stop := make(chan struct{})
	var applying, other sync.WaitGroup
	applying.Go(func() {
		defer close(h.done)
		h.apply(applyCtx, stop)
	})
	other.Go(func() { h.keepQueues(ctx) })
	h.keepSession(ctx)
	other.Wait()
	close(stop)
	grace := time.AfterFunc(5*time.Second, cancel)
	defer grace.Stop()
	applying.Wait()
	h.http.CloseIdleConnections()
	return nil
}

// do has f called by apply, with the lock held, and returns when it was.
func (h *Hub) do(ctx context.Context, f func()) error {
	called := make(chan struct{})
	select {
	case h.in <- input{do: func() { f(); close(called) }}:
	case <-h.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-called:
		return nil
	case <-h.done:
		select {
		case <-called:
			return nil
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// joined gives a new connection its subscriptions to make.
func (h *Hub) joined(c *conn) {
	h.conns = append(h.conns, c)
	if len(h.conns) > 1 {
		h.twins.open()
	}
	list := slices.SortedFunc(maps.Values(h.subs), func(a, b *subscription) int { return a.CreatedAt.Compare(b.CreatedAt) })
	for _, s := range list {
		h.link(s, c)
	}
	h.checkSettled(c)
	h.changedLocked()
}

func (h *Hub) link(s *subscription, c *conn) {
	l := &link{sub: s, conn: c}
	s.links = append(s.links, l)
	c.links[s] = l
	c.enqueue(&task{kind: makeLink, link: l})
}

// made takes the id of a subscription: from now on its frames are known.
func (h *Hub) made(l *link, id string, sent time.Time) {
	if l.dropped || l.conn.over {
		return
	}
	l.id = id
	l.refreshed.set(sent)
	l.counted.set(sent)
	l.begin()
	l.conn.byID[id] = l
	strays := h.strays
	h.strays = nil
	for _, s := range strays {
		h.takeFrame(s.conn, s.frame) // what is still unknown becomes a stray again
	}
}

// drop forgets a link: its id means nothing any more.
func (h *Hub) drop(l *link) {
	l.dropped, l.active, l.listing, l.kept = true, false, false, nil
	l.sub.unlink(l)
	if l.conn.links[l.sub] == l {
		delete(l.conn.links, l.sub)
	}
	if l.conn.byID[l.id] == l {
		delete(l.conn.byID, l.id)
	}
}

// renewLink makes one subscription again, alone, with its comparison and gap.
func (h *Hub) renewLink(l *link, from time.Time, reason string) {
	if l.dropped || l.conn.over {
		return
	}
	h.drop(l)
	if !l.sub.live() {
		l.sub.lose(from, reason)
	}
	h.link(l.sub, l.conn)
}

// again lists and compares a subscription that is told live; with a reason,
// something of it is known to be missing.
func (h *Hub) again(l *link, from time.Time, reason string) {
	if l.dropped || l.listing || !l.active {
		return
	}
	if reason != "" {
		l.sub.lose(from, reason)
	}
	l.conn.enqueue(&task{kind: relist, link: l})
}

// refused notes that the APIC refuses a subscription for good, on this
// connection. The others go on.
func (h *Hub) refused(l *link, err error) {
	s := l.sub
	if l.dropped {
		return
	}
	h.drop(l)
	if !s.live() {
		s.lose(l.proof(), ReasonConnection)
		s.refusal, s.Error, s.refusedAt = err, err.Error(), time.Now()
		if !s.gapFrom.IsZero() { // nobody knows for how long
			h.writeGap(s.classes(), s.gapFrom, ReasonRefused, false)
		}
		h.log.Warn("the APIC refuses a subscription", "query", s.Query.String(), "err", err)
	}
	s.settle()
	h.checkSettled(l.conn)
}

// checkSettled closes the connection's settled when nothing is outstanding.
func (h *Hub) checkSettled(c *conn) {
	for _, l := range c.links {
		if !l.active {
			return
		}
	}
	select {
	case <-c.settled:
	default:
		close(c.settled)
	}
}

// switchRebooted makes the subscriptions with objects on switches again.
func (h *Hub) switchRebooted(c *conn, from time.Time) {
	resident := make(map[*subscription]bool)
	h.mirror.all(func(o *object) bool {
		if SwitchResident(o.dn) {
			for s := range c.links {
				if !resident[s] && s.Query.Covers(o.class, o.dn, h.mirror.class) {
					resident[s] = true
				}
			}
		}
		return true
	})
	for s := range resident {
		if l := c.links[s]; l != nil {
			h.renewLink(l, from, ReasonSwitch)
		}
	}
}

// left takes the end of a connection: what only it told is out of sight.
func (h *Hub) left(c *conn, err error) {
	c.over = true
	h.conns = slices.DeleteFunc(h.conns, func(x *conn) bool { return x == c })
	reason := ReasonConnection
	if errors.Is(err, errLogStuck) {
		reason = ReasonLog
	}
	for s, l := range c.links {
		proof := l.proof()
		wasActive := l.active
		h.drop(l)
		if wasActive && !s.live() {
			s.lose(proof, reason)
		}
	}
	for dn, r := range h.rereads {
		if r.links[0].conn == c || len(h.conns) == 0 {
			delete(h.rereads, dn)
		}
	}
	if len(h.conns) == 0 {
		h.twins = twins{}
	} else {
		h.twins.close()
	}
	h.changedLocked()
}

// breakAll ends all connections.
func (h *Hub) breakAll(err error) {
	for _, c := range h.conns {
		c.cancel(err)
	}
}

// stored notes whether the log takes entries.
func (h *Hub) stored(err error) {
	if err != nil && h.stuck == nil {
		h.log.Error("the log takes no entries; what comes waits", "err", err)
		h.changedLocked()
	}
	if err == nil && h.stuck != nil {
		h.log.Info("the log takes entries again")
		h.changedLocked()
	}
	h.stuck = err
}

func (h *Hub) coversAll() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.subs {
		if s.Query.Classes() == nil {
			return true
		}
	}
	return false
}

// subscribeWait bounds how long Subscribe waits for the APIC and the list.
const subscribeWait = 10 * time.Second

// Subscribe subscribes a query and reports whether it is new; the one that
// stands is returned as it is, whatever onlyNew says. It waits until the APIC
// has answered and the objects are listed, as long as a session is up, for at
// most ten seconds and until ctx ends, and returns the subscription as it then
// is: Pending means that it is made as soon as that is possible. A query that
// the APIC refuses gives an error that is ErrUnprocessable, with the *Error of
// the APIC, and is not kept; a statistics class likewise. ErrLimit when there
// are too many.
func (h *Hub) Subscribe(ctx context.Context, q Query, onlyNew bool) (Subscription, bool, error) {
	for _, c := range append(q.Targets, q.Class) {
		if c.Statistics() {
			return Subscription{}, false, fmt.Errorf("%w: %s is a statistics class: an APIC accepts the subscription and never pushes for it; read statistics with a query instead", ErrUnprocessable, c)
		}
	}
	id := subscriptionID(h.o.Fabric, q)
	var s *subscription
	var created, up bool
	var limit error
	durable := make(chan struct{})
	err := h.do(ctx, func() {
		up = len(h.conns) > 0
		if s = h.subs[id]; s != nil {
			if s.refusal != nil { // whoever asks again wants to know
				h.tryAgain(s)
			}
			close(durable)
			return
		}
		if len(h.subs) >= h.o.MaxSubscriptions {
			limit = fmt.Errorf("%w: there are %d subscriptions already, as many as one session should hold; end some, or subscribe wider queries", ErrLimit, len(h.subs))
			return
		}
		created = true
		s = newSubscription(Subscription{ID: id, Fabric: h.o.Fabric, Query: q, OnlyNew: onlyNew, CreatedAt: Now()})
		h.subs[id] = s
		h.store(s)
		for _, c := range q.Classes() {
			h.openQueue(c)
		}
		for _, c := range h.conns {
			h.link(s, c)
		}
		h.then = append(h.then, func() { close(durable) })
	})
	if err != nil {
		return Subscription{}, false, err
	}
	if limit != nil {
		return Subscription{}, false, limit
	}
	select {
	case <-durable:
	case <-ctx.Done():
		return Subscription{}, false, context.Cause(ctx)
	}
	timer := time.NewTimer(subscribeWait)
	defer timer.Stop()
	for waiting := up; waiting; {
		changed := h.SessionChanged()
		select {
		case <-s.settled:
			waiting = false
		case <-changed:
			h.mu.Lock()
			waiting = len(h.conns) > 0
			h.mu.Unlock()
		case <-timer.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	h.mu.Lock()
	refusal := s.refusal
	view := h.viewLocked(s)
	h.mu.Unlock()
	if created && refusal != nil {
		if err := h.Unsubscribe(context.WithoutCancel(ctx), id); err != nil && !errors.Is(err, ErrNotFound) {
			return Subscription{}, false, err
		}
		return Subscription{}, false, fmt.Errorf("%w: %w", ErrUnprocessable, refusal)
	}
	return h.complete(ctx, view), created, nil
}

// tryAgain makes a subscription anew that the APIC had refused.
func (h *Hub) tryAgain(s *subscription) {
	if len(s.links) > 0 || len(h.conns) == 0 {
		return
	}
	s.refusal, s.settled = nil, make(chan struct{})
	for _, c := range h.conns {
		h.link(s, c)
	}
}

// Unsubscribe ends subscriptions by id; what they alone held leaves the
// objects, without an event. Logged events stay. ErrNotFound when an id is not
// there; then none has ended.
func (h *Hub) Unsubscribe(ctx context.Context, ids ...string) error {
	missing := false
	durable := make(chan struct{})
	err := h.do(ctx, func() {
		for _, id := range ids {
			missing = missing || h.subs[id] == nil
		}
		if missing {
			close(durable)
			return
		}
		for _, id := range ids {
			if s := h.subs[id]; s != nil {
				h.end(s)
			}
		}
		h.release()
		h.then = append(h.then, func() { close(durable) })
	})
	if err != nil {
		return err
	}
	select {
	case <-durable:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if missing {
		return ErrNotFound
	}
	return nil
}

func (h *Hub) end(s *subscription) {
	if !s.gapFrom.IsZero() { // nobody will compare any more
		h.writeGap(s.classes(), s.gapFrom, s.gapReason, false)
	}
	for _, l := range slices.Clone(s.links) {
		h.drop(l)
	}
	s.settle()
	delete(h.subs, s.ID)
	h.batch.Unsubscribe = append(h.batch.Unsubscribe, s.ID)
}

// release drops the objects and the class queues that no subscription covers
// any more.
func (h *Hub) release() {
	var gone []*object
	h.mirror.all(func(o *object) bool {
		for _, s := range h.subs {
			if s.Query.Covers(o.class, o.dn, h.mirror.class) {
				return true
			}
		}
		gone = append(gone, o)
		return true
	})
	for _, o := range gone {
		h.mirror.stage(o.dn, nil, -1)
		h.batch.Drop = append(h.batch.Drop, ObjectKey{Fabric: h.o.Fabric, DN: o.dn})
	}
	for c := range h.queued {
		covered := false
		for _, s := range h.subs {
			classes := s.Query.Classes()
			covered = covered || classes == nil || slices.Contains(classes, c)
		}
		if !covered {
			delete(h.queued, c)
			h.batch.Forget = append(h.batch.Forget, PositionKey{Class: c})
		}
	}
}

// Subscriptions returns all subscriptions, oldest first.
func (h *Hub) Subscriptions(ctx context.Context) []Subscription {
	h.mu.Lock()
	list := make([]Subscription, 0, len(h.subs))
	for _, s := range h.subs {
		list = append(list, h.viewLocked(s))
	}
	h.mu.Unlock()
	slices.SortFunc(list, func(a, b Subscription) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	for i := range list {
		list[i] = h.complete(ctx, list[i])
	}
	return list
}

func (h *Hub) viewLocked(s *subscription) Subscription {
	v := s.Subscription
	v.State = s.state()
	v.LastProof = s.lastProof()
	v.Classes = s.classes()
	return v
}

// complete adds what takes a look at the objects and the queues.
func (h *Hub) complete(ctx context.Context, v Subscription) Subscription {
	v.Objects = h.mirror.count(v.Query)
	for _, c := range v.Classes {
		if q := h.line.queue(PositionKey{Class: c}); q != nil {
			if n, err := q.pending(ctx); err == nil {
				v.Pending += n
			}
		}
	}
	return v
}

// Fabrics returns the names of the fabrics.
func (h *Hub) Fabrics() []string { return []string{h.o.Fabric} }

// Objects returns what is true now of the objects that n admits, sorted by DN,
// beginning behind a DN, at most limit (0 for all), and the place on the
// timeline that this is the state of.
func (h *Hub) Objects(n *Narrow, behind DN, limit int) (objects []Object, asOf ID) {
	asOf = h.mirror.read(behind, func(o *object) bool {
		e := Entry{Event: &Event{Fabric: h.o.Fabric, Class: o.class, DN: o.dn}}
		if n.Admits(&e) {
			objects = append(objects, h.object(o))
		}
		return limit == 0 || len(objects) < limit
	})
	return objects, asOf
}

func (h *Hub) object(o *object) Object {
	return Object{Fabric: h.o.Fabric, Class: o.class, DN: o.dn, Attrs: o.attrs, Last: o.last}
}

// Object returns what is true now of one object.
func (h *Hub) Object(fabric string, dn DN) (Object, bool) {
	if fabric != "" && fabric != h.o.Fabric {
		return Object{}, false
	}
	h.mirror.mu.RLock()
	defer h.mirror.mu.RUnlock()
	if o := h.mirror.objects[dn]; o != nil {
		return h.object(o), true
	}
	return Object{}, false
}

// ObjectsAt returns the objects that n admits as they stood at a place, sorted
// by DN; their Last is not known (0) where the object has changed since. A
// *GoneError when the log does not reach back to it. An object is what it is
// now, with the first event behind the place undone.
func (h *Hub) ObjectsAt(ctx context.Context, n *Narrow, at ID) ([]Object, error) {
	if err := h.Bounds().Check(at); err != nil {
		return nil, err
	}
	now, asOf := h.Objects(n, "", 0)
	then := make(map[DN]Object, len(now))
	for _, o := range now {
		then[o.DN] = o
	}
	events := *n
	events.Kinds, events.Statuses, events.Origins = EventsOnly, nil, nil
	for e, err := range h.line.journal.FirstAfter(ctx, at, events) {
		if err != nil {
			return nil, err
		}
		if e.ID > asOf || e.Event.Fabric != h.o.Fabric {
			continue
		}
		v := e.Event
		switch v.Status {
		case Created:
			delete(then, v.DN)
		case Deleted:
			then[v.DN] = Object{Fabric: v.Fabric, Class: v.Class, DN: v.DN, Attrs: v.Object}
		default:
			pairs := make([]Attr, len(v.Changes))
			for i, c := range v.Changes {
				pairs[i] = Attr{c.Name, c.Old}
			}
			then[v.DN] = Object{Fabric: v.Fabric, Class: v.Class, DN: v.DN, Attrs: v.Object.With(AttrsOf(pairs))}
		}
	}
	list := slices.Collect(maps.Values(then))
	slices.SortFunc(list, func(a, b Object) int { return cmp.Compare(a.DN, b.DN) })
	return list, nil
}

// keepQueues moves queues that have nothing to hand out along with the
// timeline, so that retention does not overtake a reader of a quiet class, and
// stores that now and then.
func (h *Hub) keepQueues(ctx context.Context) {
	for sleep(ctx, time.Minute) {
		newest := h.Bounds().Newest
		h.line.mu.RLock()
		queues := slices.Collect(maps.Values(h.line.queues))
		h.line.mu.RUnlock()
		for _, q := range queues {
			if err := q.rest(ctx, newest); err != nil {
				h.log.Warn("the place of a quiet queue could not be stored", "class", q.key.Class, "consumer", q.key.Consumer, "err", err)
			}
		}
	}
}
