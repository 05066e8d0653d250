package apic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
)

const (
	pingEvery = 20 * time.Second
	// silentAfter ends a socket that answered pings once and now shows no sign
	// of life: with pingEvery, a half-open socket is found within 80 s.
	silentAfter    = 60 * time.Second
	heartbeatEvery = 60 * time.Second
	heartbeatWait  = 10 * time.Second
	heartbeats     = 3 // in a row without an answer end the connection
	// subscriptionLife is what an APIC gives a subscription when it does not
	// know refresh-timeout or does not heed it. Refreshes go by it alone.
	subscriptionLife = 60 * time.Second
	// refreshTimeout is asked for where the release knows it (4.0 and later),
	// so that an outage of REST alone lets no subscription lapse.
	refreshTimeout = 600
	// countEvery is how often each subscription is checked for changes that no
	// push told. It bounds how far back a gap must reach for a quiet class, and
	// with recountAfter, a deaf subscription is found within 4 min (7 promised).
	countEvery   = 2 * time.Minute
	recountAfter = 15 * time.Second
	// reconcileEvery is how often everything is listed and compared although
	// nothing speaks for it, give or take a fifth.
	reconcileEvery = time.Hour
	// switchesEvery is how often the switches are asked when they were rebooted.
	switchesEvery = 2 * time.Minute
	pageSize      = 5000
	maxWalks      = 4
	// confirmAfter is the pause before an empty answer for a class that had
	// objects is asked again.
	confirmAfter = 5 * time.Second
	// dnsAtOnce bounds the length of a query that reads objects back.
	dnsAtOnce = 3000
	workers   = 2
	// rollOver is the part of a session's life after which the next one opens.
	rollOver = 0.92
	// blindAfter is how long the log may take nothing before the session ends.
	blindAfter = 60 * time.Second
)

var (
	errSilent   = errors.New("the socket shows no sign of life")
	errLogStuck = errors.New("the log has taken no entries for too long")
	errOver     = errors.New("the session's successor has taken over")
)

// A conn is one session with one controller and its socket.
type conn struct {
	h      *Hub
	client *client
	ws     *websocket.Conn
	since  time.Time
	// failover says that the session before was another controller's.
	failover bool

	alive  moment // the last moment up to which the socket is proven to carry frames
	heard  moment // the last frame
	ponged bool   // owned by ping: a pong came at least once

	cancel context.CancelCauseFunc

	// guarded by the hub's lock
	links map[*subscription]*link
	byID  map[string]*link
	over  bool // nothing of it counts any more

	tasks   taskList
	settled chan struct{} // closed when every subscription was listed or refused
}

// A task is a question to the APIC whose answer goes to apply.
type task struct {
	kind    taskKind
	link    *link
	dn      DN
	class   Class
	attempt int
}

type taskKind int

const (
	makeLink   taskKind = iota // subscribe, list, compare
	relist                     // list and compare
	readObject                 // one object
)

// A taskList is an unbounded queue, as apply must not wait for the network.
// It holds at most a few tasks a subscription and maxRereads objects.
type taskList struct {
	mu    sync.Mutex
	list  []*task
	added chan struct{} // holds a token while list may not be empty
}

func (c *conn) enqueue(t *task) {
	c.tasks.mu.Lock()
	c.tasks.list = append(c.tasks.list, t)
	c.tasks.mu.Unlock()
	select {
	case c.tasks.added <- struct{}{}:
	default:
	}
}

func (c *conn) next(ctx context.Context) (*task, error) {
	for {
		c.tasks.mu.Lock()
		if len(c.tasks.list) > 0 {
			t := c.tasks.list[0]
			c.tasks.list = c.tasks.list[1:]
			more := len(c.tasks.list) > 0
			c.tasks.mu.Unlock()
			if more { // for the other worker
				select {
				case c.tasks.added <- struct{}{}:
				default:
				}
			}
			return t, nil
		}
		c.tasks.mu.Unlock()
		select {
		case <-c.tasks.added:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// open logs in and opens the socket.
func (h *Hub) open(ctx context.Context, controller *url.URL) (*conn, error) {
	if err := h.logins.Wait(ctx); err != nil {
		return nil, err
	}
	c := &conn{
		h: h, client: newClient(controller, h.http, h.cred, h.limiter),
		links: make(map[*subscription]*link), byID: make(map[string]*link),
		tasks: taskList{added: make(chan struct{}, 1)}, settled: make(chan struct{}),
	}
	if err := c.client.login(ctx); err != nil {
		return nil, err
	}
	ws, err := c.client.dial(ctx)
	if err != nil {
		c.leave()
		return nil, err
	}
	c.ws, c.since = ws, time.Now()
	c.alive.set(c.since)
	return c, nil
}

// leave logs out, as an APIC counts a user's sessions.
func (c *conn) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := c.client.logout(ctx); err != nil {
		c.h.log.Debug("logout failed", "controller", c.client.host(), "err", err)
	}
}

// run subscribes everything and keeps the session until its first error, which
// is the reason of its end. It waits for all that it started.
func (c *conn) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer c.ws.CloseNow()
	g, ctx := errgroup.WithContext(ctx)
	c.cancel = cancel
	if err := c.h.do(ctx, func() { c.h.joined(c) }); err != nil {
		return err
	}
	g.Go(func() error { return c.read(ctx) })
	g.Go(func() error { return c.ping(ctx) })
	g.Go(func() error { return c.keepToken(ctx) })
	g.Go(func() error { return c.refreshLinks(ctx) })
	g.Go(func() error { return c.heartbeat(ctx) })
	g.Go(func() error { return c.checkLinks(ctx) })
	g.Go(func() error { return c.watchSwitches(ctx) })
	for range workers {
		g.Go(func() error { return c.work(ctx) })
	}
	err := g.Wait()
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		err = cause
	}
	if e := asError(err); e == nil || !e.sessionOver() {
		if !errors.Is(err, errSilent) {
			c.ws.Close(websocket.StatusNormalClosure, "")
			c.leave()
		}
	}
	return err
}

// read does nothing but read and hand over. The socket is closed from beside
// it when ctx ends, as watching a context anew for each frame costs as much as
// reading the frame.
func (c *conn) read(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.ws.CloseNow() })
	defer stop()
	dec := newDecoder()
	var buf []byte
	for {
		_, r, err := c.ws.Reader(context.Background())
		if err == nil {
			buf, err = readInto(buf[:0], r)
		}
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("the socket of %s ended: %w", c.client.host(), redacted(err, c.client.current().text))
		}
		now := Now()
		c.alive.set(now)
		c.heard.set(now)
		if len(buf) == 0 {
			continue
		}
		f, err := dec.frame(buf, now)
		if err != nil {
			c.h.metrics.malformed.Inc()
			c.h.log.Warn("a frame cannot be read and was left out", "controller", c.client.host(), "bytes", len(buf), "err", err)
			if cap(buf) > 1<<20 {
				buf = nil
			}
			continue
		}
		select {
		case c.h.in <- input{conn: c, frame: f}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if cap(buf) > 1<<20 {
			buf = nil
		}
	}
}

// ping proves the socket's life from beside the reader.
func (c *conn) ping(ctx context.Context) error {
	for {
		if !sleep(ctx, pingEvery) {
			return context.Cause(ctx)
		}
		sent := time.Now()
		pctx, cancel := context.WithTimeout(ctx, pingEvery)
		err := c.ws.Ping(pctx)
		cancel()
		switch {
		case err == nil:
			c.ponged = true
			if sent.After(c.alive.get()) {
				c.alive.set(sent)
			}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("the socket of %s ended: %w", c.client.host(), redacted(err, c.client.current().text))
		}
		if idle := time.Since(c.alive.get()); c.ponged && idle >= silentAfter {
			return fmt.Errorf("%s: %w for %s", c.client.host(), errSilent, idle.Round(time.Second))
		}
	}
}

// keepToken refreshes the token at half of its life, with retries until most
// of it is over.
func (c *conn) keepToken(ctx context.Context) error {
	if c.client.signed() {
		<-ctx.Done() // a web token has no refresh; its end shows as a refused subscription refresh
		return context.Cause(ctx)
	}
	for {
		t := c.client.current()
		if !sleep(ctx, jitter(t.idle/2, 0.1)-time.Since(t.at)) {
			return context.Cause(ctx)
		}
		for wait := max(t.idle/60, time.Second); ; wait *= 2 {
			err := c.client.refresh(ctx)
			if err == nil {
				c.h.renewals.Add(1)
				c.h.changed()
				break
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if e := asError(err); e != nil && e.HTTPStatus == 403 || time.Since(t.at)+wait > t.idle*8/10 {
				return err
			}
			c.h.log.Info("token refresh failed and is tried again", "controller", c.client.host(), "err", err)
			if !sleep(ctx, wait) {
				return context.Cause(ctx)
			}
		}
	}
}

// refreshLinks keeps every subscription alive, each at a third of its life,
// spread evenly by the limiter.
func (c *conn) refreshLinks(ctx context.Context) error {
	for {
		if !sleep(ctx, time.Second) {
			return context.Cause(ctx)
		}
		for _, l := range c.due(func(l *link) bool {
			return time.Since(l.refreshed.get()) >= subscriptionLife/3+time.Duration(l.strikes)*5*time.Second
		}) {
			sent := time.Now()
			rctx, cancel := context.WithTimeout(ctx, subscriptionLife/2)
			err := c.client.renew(rctx, l.id)
			cancel()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err == nil {
				l.strikes = 0
				l.refreshed.set(sent)
				c.h.refreshes.Add(1)
				continue
			}
			e := asError(err)
			switch {
			case e != nil && (e.sessionOver() || e.socketLost()):
				return err
			case e != nil && e.unknownSubscription():
				if err := c.h.do(ctx, func() { c.h.renewLink(l, l.proof(), ReasonLapsed) }); err != nil {
					return err
				}
			default:
				l.strikes++
				if time.Since(l.refreshed.get()) > subscriptionLife && l.strikes > 2 {
					if err := c.h.do(ctx, func() { c.h.renewLink(l, l.proof(), ReasonLapsed) }); err != nil {
						return err
					}
				}
			}
			c.h.log.Info("subscription refresh failed", "query", l.sub.Query.String(), "err", err)
		}
	}
}

// due returns the links that are made and for which a condition holds.
func (c *conn) due(is func(*link) bool) []*link {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	var list []*link
	for _, l := range c.links {
		if l.id != "" && !l.dropped && is(l) {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b *link) int { return a.sub.CreatedAt.Compare(b.sub.CreatedAt) })
	return list
}

// heartbeat proves that the controller answers, for sockets that answer no
// pings and for readiness.
func (c *conn) heartbeat(ctx context.Context) error {
	failed := 0
	for {
		if !sleep(ctx, heartbeatEvery) {
			return context.Cause(ctx)
		}
		hctx, cancel := context.WithTimeout(ctx, heartbeatWait)
		_, err := c.client.get(hctx, "heartbeat", "/api/mo/uni.json")
		cancel()
		switch {
		case err == nil:
			failed = 0
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if e := asError(err); e != nil && e.sessionOver() {
			return err
		}
		if failed++; failed >= heartbeats {
			return fmt.Errorf("no answer to %d heartbeats in a row: %w", failed, err)
		}
	}
}

// checkLinks looks for subscriptions that are refreshed and not pushed: it
// asks for the number of objects and for the one that changed last, and holds
// both against the mirror. Now and then it compares everything.
func (c *conn) checkLinks(ctx context.Context) error {
	reconcile := time.Now().Add(jitter(reconcileEvery, 0.2))
	for {
		if !sleep(ctx, recountAfter) {
			return context.Cause(ctx)
		}
		if time.Now().After(reconcile) {
			reconcile = time.Now().Add(jitter(reconcileEvery, 0.2))
			for _, l := range c.due(func(l *link) bool { return l.active && !l.listing }) {
				if err := c.h.do(ctx, func() { c.h.again(l, time.Time{}, "") }); err != nil {
					return err
				}
			}
			continue
		}
		for _, l := range c.due(func(l *link) bool {
			return l.active && !l.listing && (l.odd > 0 || time.Since(l.counted.get()) >= countEvery)
		}) {
			if err := c.check(ctx, l); err != nil {
				return err
			}
		}
	}
}

func (c *conn) check(ctx context.Context, l *link) error {
	q := l.sub.Query
	parts := []Query{q}
	if len(q.Targets) > 1 { // each class has its own newest object
		parts = nil
		for _, class := range q.Targets {
			part := q
			part.Targets = []Class{class}
			parts = append(parts, part)
		}
	}
	type count struct {
		q      Query
		sent   time.Time
		before int // that the mirror had then
		answer answer
	}
	began := time.Now()
	var counts []count
	for _, part := range parts {
		n := count{q: part, sent: time.Now(), before: c.h.mirror.count(part)}
		order := ""
		if len(part.Targets) == 1 {
			order = string(part.Targets[0])
		} else if part.DN == "" && part.Scope == ScopeSelf {
			order = string(part.Class)
		}
		params := []string{"page=0", "page-size=1", "order-by=" + order + ".modTs|desc"}
		if order == "" {
			params = params[:2]
		}
		var err error
		n.answer, err = c.client.get(ctx, "count "+part.String(), part.url(params...))
		if e := asError(err); e != nil && e.HTTPStatus == 400 && order != "" { // a class without modTs
			n.answer, err = c.client.get(ctx, "count "+part.String(), part.url(params[:2]...))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if e := asError(err); e != nil && e.sessionOver() {
				return err
			}
			c.h.log.Debug("count failed", "query", part.String(), "err", err)
			return nil // proves nothing; asked again
		}
		counts = append(counts, n)
	}
	if !sleep(ctx, 2*time.Second) { // what was on its way by then has come
		return context.Cause(ctx)
	}
	return c.h.do(ctx, func() {
		agrees := true
		for _, n := range counts {
			now, total := c.h.mirror.count(n.q), n.answer.total
			if q.Filter == "" && total >= 0 && (total < min(n.before, now) || total > max(n.before, now)) {
				agrees = false
			}
			for _, m := range n.answer.objects {
				o := c.h.mirror.get(m.dn)
				// What the mirror says can be newer than the answer: then its frame
				// came after the question.
				if o == nil && q.Filter == "" || o != nil && !contains(o.attrs, bare(m.attrs)) && !l.framed.After(n.sent) {
					agrees = false
				}
			}
		}
		switch {
		case agrees:
			l.odd = 0
			l.counted.set(began)
		case l.odd < 2:
			l.odd++
		default:
			l.odd = 0
			c.h.renewLink(l, l.counted.get(), ReasonSilent)
		}
	})
}

// watchSwitches asks the switches when they were rebooted. When one was, or
// has joined, pushes for objects that live on switches may have ended without
// a word.
func (c *conn) watchSwitches(ctx context.Context) error {
	var known map[DN]string
	asked := time.Now()
	for {
		sent := time.Now()
		a, err := c.client.get(ctx, "switches", "/api/class/topSystem.json?query-target-filter=ne(topSystem.role,%22controller%22)")
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			boots := make(map[DN]string)
			rebooted := false
			for _, m := range a.objects {
				boots[m.dn] = m.attrs.Get("lastRebootTime")
				if before, ok := known[m.dn]; known != nil && (!ok || before != boots[m.dn]) {
					rebooted = true
					c.h.log.Warn("a switch has rebooted or joined", "dn", m.dn, "lastRebootTime", boots[m.dn])
				}
			}
			if rebooted {
				from := asked
				if err := c.h.do(ctx, func() { c.h.switchRebooted(c, from) }); err != nil {
					return err
				}
			}
			known, asked = boots, sent
		}
		if !sleep(ctx, switchesEvery) {
			return context.Cause(ctx)
		}
	}
}

// work carries out tasks. What fails for a while is tried again with growing
// pauses; what the APIC refuses for good fails that subscription alone.
func (c *conn) work(ctx context.Context) error {
	for {
		t, err := c.next(ctx)
		if err != nil {
			return err
		}
		err = c.carryOut(ctx, t)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e := asError(err)
		switch {
		case err == nil:
		case e != nil && (e.sessionOver() || e.socketLost()):
			return err
		case e != nil && e.permanent() && t.kind != readObject:
			if err := c.h.do(ctx, func() { c.h.refused(t.link, err) }); err != nil {
				return err
			}
		default:
			t.attempt++
			wait := jitter(min(time.Second<<min(t.attempt, 6), 30*time.Second), 0.3)
			c.h.log.Info("a question to the APIC failed and is asked again", "query", t.link.sub.Query.String(), "in", wait, "err", err)
			if err := c.h.do(ctx, func() { t.link.sub.Error = err.Error() }); err != nil {
				return err
			}
			time.AfterFunc(wait, func() {
				if ctx.Err() == nil {
					c.enqueue(t)
				}
			})
		}
	}
}

func (c *conn) carryOut(ctx context.Context, t *task) error {
	l := t.link
	c.h.mu.Lock()
	dropped := l.dropped
	c.h.mu.Unlock()
	if dropped && t.kind != readObject {
		return nil
	}
	switch t.kind {
	case readObject:
		a, err := c.client.get(ctx, "read "+string(t.dn), Query{DN: t.dn}.String())
		if err != nil {
			return err
		}
		var found *mo
		for i := range a.objects {
			if a.objects[i].dn == t.dn {
				found = &a.objects[i]
			}
		}
		return c.h.do(ctx, func() { c.h.haveRead(t.dn, found) })
	case makeLink:
		if err := c.subscribe(ctx, l); err != nil {
			return err
		}
		t.kind = relist // what remains, should listing fail
		fallthrough
	default:
		return c.list(ctx, l)
	}
}

// subscribe makes the subscription; from its answer on its frames are kept.
func (c *conn) subscribe(ctx context.Context, l *link) error {
	q := l.sub.Query
	params := []string{"subscription=yes"}
	if q.DN == "" || len(q.Targets) > 0 {
		params = append(params, "page=0", "page-size=1") // the id, and not much else: pushes are not limited by it
	}
	if release(c.client.current().version) >= 4 {
		params = append(params, "refresh-timeout="+strconv.Itoa(refreshTimeout))
	}
	sent := time.Now()
	a, err := c.client.subscribe(ctx, q.url(params...))
	if err != nil {
		if q.DN != "" && len(q.Targets) == 0 {
			err = unpaged(err)
		}
		return err
	}
	return c.h.do(ctx, func() { c.h.made(l, a.subscriptionID, sent) })
}

// release returns the major number of an APIC's version, 0 when unknown.
func release(version string) int {
	version = strings.TrimLeft(version, "abcdefghijklmnopqrstuvwxyz-")
	major, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(major)
	return n
}

// list reads all objects of a subscription and has them compared.
func (c *conn) list(ctx context.Context, l *link) error {
	var held int
	var active bool
	err := c.h.do(ctx, func() {
		if !l.listing || l.spilt { // else it keeps since it was made, or since a list that failed
			l.begin()
		}
		held = c.h.mirror.count(l.sub.Query)
		active = l.active
	})
	if err != nil {
		return err
	}
	l.listed.set(time.Now())
	list, err := c.walk(ctx, l.sub.Query)
	if err != nil {
		return err
	}
	if len(list.objects) == 0 && held > 0 && l.sub.Query.DN == "" {
		// An APIC that has just come up answers queries with empty lists.
		tenants, err := c.client.get(ctx, "count tenants", "/api/class/fvTenant.json?page=0&page-size=1")
		if err != nil {
			return err
		}
		if tenants.total == 0 {
			return fmt.Errorf("%s says that there are no tenants, not even common: it is not ready yet", c.client.host())
		}
		if !sleep(ctx, confirmAfter) {
			return context.Cause(ctx)
		}
		if list, err = c.walk(ctx, l.sub.Query); err != nil {
			return err
		}
	}
	if q := l.sub.Query; q.DN != "" && q.Scope == ScopeSelf && q.Class != "" {
		for _, m := range list.objects {
			if !q.Class.Covers(m.class) {
				return &Error{Op: "subscribe " + q.String(), Controller: c.client.host(), HTTPStatus: 400,
					Text: fmt.Sprintf("%s is a %s, not a %s", m.dn, m.class, q.Class)}
			}
		}
	}
	if active && !sleep(ctx, 2*time.Second) { // frames that were on their way come first
		return context.Cause(ctx)
	}
	if !list.proof {
		if err := c.readDoubted(ctx, l, list); err != nil {
			return err
		}
	}
	spilt := false
	err = c.h.do(ctx, func() {
		if spilt = l.spilt; !spilt {
			c.h.compared(c.h.ctx, l, list)
		}
	})
	if spilt {
		return errors.New("more changed while the objects were listed than can be kept")
	}
	return err
}

// walk lists the objects of a query. A class is read in pages of a stable
// order; objects that come and go move the others between pages, so a walk of
// several pages is repeated until it has as many objects as the APIC counts,
// and its absences are no proof.
func (c *conn) walk(ctx context.Context, q Query) (*listing, error) {
	list := &listing{proof: q.Filter == ""}
	if q.DN != "" && len(q.Targets) == 0 { // one object, or a subtree of unknown classes
		a, err := c.client.get(ctx, "list "+q.String(), q.String())
		if err != nil {
			return nil, unpaged(err)
		}
		if a.total > len(a.objects) {
			return nil, short(q, c, len(a.objects), a.total)
		}
		list.objects = a.objects
		sortByDN(list.objects)
		return list, nil
	}
	targets := q.Targets
	if len(targets) == 0 {
		targets = []Class{q.Class}
	}
	for _, class := range targets {
		part := q
		if len(q.Targets) > 0 {
			part.Targets = []Class{class}
		}
		found := found{at: make(map[DN]int)}
		for n := 1; ; n++ {
			pages, total, err := c.pages(ctx, part, class, &found)
			if err != nil {
				return nil, err
			}
			if pages > 1 {
				list.proof = false
			}
			if len(found.objects) >= total {
				break
			}
			if n == maxWalks || pages == 1 {
				return nil, short(q, c, len(found.objects), total)
			}
		}
		list.objects = append(list.objects, found.objects...)
	}
	sortByDN(list.objects)
	return list, nil
}

// A found is what the pages of a class held, each object once, in their order:
// that of the DNs, as a rule.
type found struct {
	objects []mo
	at      map[DN]int
}

// add takes an object. Of one that was read twice the later answer counts.
func (f *found) add(m mo) {
	if i, ok := f.at[m.dn]; ok {
		f.objects[i] = m
		return
	}
	f.at[m.dn] = len(f.objects)
	f.objects = append(f.objects, m)
}

// sortByDN puts parents before children. Of a DN that stands there twice, the
// order stays.
func sortByDN(list []mo) {
	byDN := func(a, b mo) int { return cmp.Compare(a.dn, b.dn) }
	if !slices.IsSortedFunc(list, byDN) {
		slices.SortStableFunc(list, byDN)
	}
}

// unpaged makes an answer that is too big and cannot be paged a refusal for
// good that names the way out. Some releases answer 503 for it.
func unpaged(err error) error {
	if e := asError(err); e != nil && e.tooBig() {
		e.HTTPStatus = 400
		e.Text = "the subtree has more objects than one answer holds, and only classes can be read in pages: name them with target-subtree-class"
	}
	return err
}

func short(q Query, c *conn, got, total int) error {
	return fmt.Errorf("list %s: %s counts %d objects and gave %d", q, c.client.host(), total, got)
}

// pages reads a class once from beginning to end.
func (c *conn) pages(ctx context.Context, q Query, class Class, found *found) (pages, total int, err error) {
	read := 0
	for page := 0; ; page++ {
		path := q.url("order-by="+string(class)+".dn", "page="+strconv.Itoa(page), "page-size="+strconv.Itoa(pageSize))
		a, err := c.client.get(ctx, "list "+q.String(), path)
		if err != nil {
			return 0, 0, err
		}
		for _, m := range a.objects {
			found.add(m)
		}
		read += len(a.objects)
		total = max(a.total, 0)
		if read >= total || page > 0 && len(a.objects) == 0 && a.total <= read {
			return page + 1, total, nil
		}
		if len(a.objects) < pageSize {
			return 0, 0, short(q, c, read, total) // a short or empty page with more to come is a failure, not a fact
		}
	}
}

// readDoubted reads back the objects whose absence from the list proves
// nothing: they may have stopped matching a filter, or moved between pages.
func (c *conn) readDoubted(ctx context.Context, l *link, list *listing) error {
	listed := make(map[DN]bool, len(list.objects))
	for i := range list.objects {
		listed[list.objects[i].dn] = true
	}
	type doubt struct {
		dn    DN
		class Class
	}
	var doubts []doubt
	if err := c.h.do(ctx, func() {
		for _, dn := range c.h.absent(l.sub, listed) {
			doubts = append(doubts, doubt{dn, c.h.mirror.class(dn)})
		}
	}); err != nil {
		return err
	}
	list.doubted = make(map[DN]*mo, len(doubts))
	slices.SortStableFunc(doubts, func(a, b doubt) int { return strings.Compare(string(a.class), string(b.class)) })
	for len(doubts) > 0 {
		class, size := doubts[0].class, 0
		var terms []string
		n := 0
		for ; n < len(doubts) && doubts[n].class == class && size < dnsAtOnce; n++ {
			term := fmt.Sprintf("eq(%s.dn,%q)", class, string(doubts[n].dn))
			terms = append(terms, term)
			size += len(term)
		}
		filter := terms[0]
		if len(terms) > 1 {
			filter = "or(" + strings.Join(terms, ",") + ")"
		}
		q := Query{Class: class, Filter: filter}
		a, err := c.client.get(ctx, "read back "+string(class), q.String())
		if err != nil {
			return err
		}
		if a.total > len(a.objects) {
			return short(q, c, len(a.objects), a.total)
		}
		for _, d := range doubts[:n] {
			list.doubted[d.dn] = nil
		}
		for i := range a.objects {
			list.doubted[a.objects[i].dn] = &a.objects[i]
		}
		doubts = doubts[n:]
	}
	return nil
}

// sleep waits and reports whether ctx still runs.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter spreads a duration by a part of it in both directions.
func jitter(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 + part*(2*rand.Float64()-1)))
}

func readInto(buf []byte, r interface{ Read([]byte) (int, error) }) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(4096, len(buf)))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			if errors.Is(err, io.EOF) {
				return buf, nil
			}
			return buf, err
		}
	}
}
