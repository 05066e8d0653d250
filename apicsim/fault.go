package apicsim

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// faults is what is wrong with a controller. The fabric's lock guards it, but for
// the atomic fields. Heal replaces it.
type faults struct {
	healed chan struct{} // closed by Heal: what hangs goes on

	rules        []*rule
	slows        []*SlowAnswer
	sockets      []*refuseSocket
	throttle     *throttle
	restDead     bool
	down         bool    // the host is not there: connections are reset
	starting     bool    // the web server is up, nothing behind it: 503 HTML
	hollow       *hollow // logins work, queries do not
	readOnly     bool    // minority: writes are refused
	forbid       []string
	hidden       []string
	tooBig       int
	tooBigStatus int
	unsupported  map[string]bool

	loginShape     LoginShape
	refreshTimeout time.Duration
	maximumLife    time.Duration

	deafNew       []string // subscriptions on such URLs never push
	deafUntilHeal bool     // nothing is pushed
	lose          int
	twice         int
	twiceIn       int
	split         int
	word          string
	wordN         int
	modTs         string
	modTsN        int

	noPong   bool
	hold     int
	parked   bool
	idleDrop time.Duration

	emptyPages, shortPages, shortBy atomic.Int64
}

func newFaults() *faults {
	return &faults{healed: make(chan struct{}), unsupported: map[string]bool{}}
}

// Forever is a count that does not run out.
const Forever = -1

// rule answers requests whose path and query contain match.
type rule struct {
	match  string
	n      int // how many more; negative for ever
	answer Answer
}

type refuseSocket struct {
	n      int
	answer Answer
}

type hollow struct {
	answer *Answer // nil: empty lists
}

type throttle struct {
	rate   float64 // a second
	burst  float64
	tokens float64
	last   time.Time
	answer Answer
	match  string
}

// SlowAnswer delays the answers of queries (F16). The snapshot is of the moment
// of the question, so pushes for the new subscription come before the answer.
type SlowAnswer struct {
	Match string        // in path and query; "" for all queries
	Count int           // how many answers; 0 and Forever: all
	Delay time.Duration // before the first byte
	Rate  int           // bytes a second after it; 0 for at once
	Late  bool          // the snapshot is taken after the delay: it overlaps the pushes

	used atomic.Int64
}

// LoginShape is what login and refresh answers look like (F4).
type LoginShape int

const (
	LoginNormal     LoginShape = iota
	LoginNumbers               // numbers where APIC has text
	LoginRefreshKey            // aaaRefresh instead of aaaLogin
	LoginBare                  // nothing but the token
	LoginExtra                 // attributes nobody knows
)

// lock changes the faults of a controller.
func (c *Controller) lock(fn func(o *faults)) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	fn(c.fault)
}

// Heal ends all faults of the controller: its clock is right again, what hung is
// let go, what was held back is pushed. Sockets that were made half-open stay so.
func (c *Controller) Heal() {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.healLocked()
}

func (c *Controller) healLocked() {
	old := c.fault
	c.fault = newFaults()
	close(old.healed)
	c.skew, c.stale = 0, nil
	c.conns.refuse(false)
	for _, k := range c.sockets {
		k.mu.Lock()
		k.noPong, k.hold, k.dropIn, k.parked = false, 0, 0, false
		if !k.ending {
			k.out = append(k.out, k.park...)
			k.queued += k.parkN
		}
		k.park, k.parkN = nil, 0
		k.mu.Unlock()
		k.poke()
	}
}

// Heal ends all faults of the fabric and of its controllers.
func (f *Fabric) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle, f.childUp = 0, false
	clear(f.lost)
	for _, c := range f.controllers {
		c.healLocked()
	}
}

// interfere returns what a fault does to a request, nil for nothing.
func (c *Controller) interfere(method, uri string) *Answer {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	o := c.fault
	switch {
	case c.f.closed || o.down:
		return &Answer{Reset: true}
	case o.restDead:
		return &Answer{Hang: true}
	case o.starting:
		return &Answer{Status: 503, HTML: true}
	}
	path := uri
	if strings.HasPrefix(uri, "/socket") {
		path = "/socket" // a token may contain anything
	}
	if t := o.throttle; t != nil && strings.Contains(path, t.match) {
		now := time.Now()
		t.tokens = min(t.burst, t.tokens+now.Sub(t.last).Seconds()*t.rate)
		t.last = now
		if t.tokens < 1 {
			a := t.answer
			return &a
		}
		t.tokens--
	}
	for i, r := range o.rules {
		if !strings.Contains(path, r.match) && !strings.Contains(method+" "+path, r.match) {
			continue
		}
		if r.n > 0 {
			if r.n--; r.n == 0 {
				o.rules = slices.Delete(slices.Clone(o.rules), i, i+1)
			}
		}
		a := r.answer
		if a.Status == 0 && !a.HTML && !a.Hang && !a.Reset && a.Body == nil && a.Text == "" && a.Delay > 0 {
			a.through = true
		}
		return &a
	}
	return nil
}

// hang waits until the client, the fault or the fabric is gone.
func (c *Controller) hang(r interface{ Context() context.Context }) {
	c.f.mu.RLock()
	healed := c.fault.healed
	c.f.mu.RUnlock()
	select {
	case <-r.Context().Done():
	case <-healed:
	case <-c.f.done:
	}
}

func (o *faults) slow(uri string) *SlowAnswer {
	for _, s := range o.slows {
		if !strings.Contains(uri, s.Match) {
			continue
		}
		if s.Count > 0 && s.used.Add(1) > int64(s.Count) {
			continue
		}
		return s
	}
	return nil
}

func (o *faults) takeSocket() (Answer, bool) {
	for _, r := range o.sockets {
		switch {
		case r.n == 0:
			continue
		case r.n > 0:
			r.n--
		}
		return r.answer, true
	}
	return Answer{}, false
}

func (o *faults) shorten(page []*node, paged bool) []*node {
	if len(page) == 0 {
		return page
	}
	if take(&o.emptyPages) {
		return nil
	}
	if paged && take(&o.shortPages) {
		return page[:max(0, len(page)-int(o.shortBy.Load()))]
	}
	return page
}

// take uses up one of n, if there is one.
func take(n *atomic.Int64) bool {
	for {
		v := n.Load()
		switch {
		case v == 0:
			return false
		case v < 0:
			return true
		case n.CompareAndSwap(v, v-1):
			return true
		}
	}
}

func (c *Controller) hiddenDN(dn string) bool {
	for _, h := range c.fault.hidden {
		if isBelow(dn, h) {
			return true
		}
	}
	return false
}

var forbiddenAnswer = Answer{Status: 403, Code: "403", Text: "Access denied: insufficient privileges"}

func (c *Controller) forbidden(dn string) *Answer {
	for _, f := range c.fault.forbid {
		if dn != "" && isBelow(dn, f) {
			a := forbiddenAnswer
			return &a
		}
	}
	return nil
}

func (c *Controller) forbiddenQuery(q *query) *Answer {
	for _, f := range c.fault.forbid {
		for _, k := range q.classes {
			if k.name == f {
				a := forbiddenAnswer
				return &a
			}
		}
	}
	return c.forbidden(q.dn)
}

// Fail answers the next n requests whose path and query contain match with a
// instead of the truth. match may begin with a method: "POST /api/mo/". An answer
// of nothing but a delay delays the true one.
func (c *Controller) Fail(match string, n int, a Answer) {
	if n == 0 {
		return
	}
	c.lock(func(o *faults) { o.rules = append(o.rules, &rule{match, n, a}) })
}

// RefuseLogin refuses the next n logins with 401 (F3).
func (c *Controller) RefuseLogin(n int) {
	c.Fail("/api/aaaLogin.", n, Answer{Status: 401, Code: "401", Text: "Username or password is incorrect - FAILED local authentication"})
}

// RefuseRefresh answers the next n token refreshes otherwise (F2). The zero answer
// is 403 token timeout; the session itself lives on until its time is up.
func (c *Controller) RefuseRefresh(n int, a Answer) {
	if a.zero() {
		a = tokenTimeout
	}
	c.Fail("/api/aaaRefresh.", n, a)
}

// RefreshAnswer answers the next n refreshes of subscriptions otherwise (F11). The
// zero answer is the 400 of an unknown id. Answer{Status: 200} is an empty body,
// Answer{Hang: true} a timeout.
func (c *Controller) RefreshAnswer(n int, a Answer) {
	if a.zero() {
		a = Answer{Status: 400, Code: "400", Text: "Subscription refresh timeout"}
	}
	c.Fail("/api/subscriptionRefresh.", n, a)
}

func (a Answer) zero() bool {
	return a.Status == 0 && a.Code == "" && a.Text == "" && !a.HTML && a.Body == nil && !a.Hang && !a.Reset && a.Delay == 0
}

// ShapeLogin changes what login and refresh answers look like (F4).
func (c *Controller) ShapeLogin(s LoginShape) { c.lock(func(o *faults) { o.loginShape = s }) }

// Lifetimes shortens (or lengthens) the idle life of tokens and the whole life of
// sessions, for logins and refreshes from now on and for the hard end of sessions
// that exist (F5). 0 leaves one as it is.
func (c *Controller) Lifetimes(refreshTimeout, maximum time.Duration) {
	c.lock(func(o *faults) {
		if refreshTimeout > 0 {
			o.refreshTimeout = refreshTimeout
		}
		if maximum > 0 {
			o.maximumLife = maximum
			for _, s := range c.sessions {
				s.hardEnd = s.first.Add(maximum)
				s.watchLocked()
			}
		}
	})
}

// ExpireTokens ends all sessions of the controller at once (F1): every token is
// refused as timed out, and the sockets end as how says.
func (c *Controller) ExpireTokens(how SocketEnd) {
	c.lock(func(*faults) {
		for _, s := range slices.Clone(c.sessions) {
			c.endLocked(s, how)
		}
	})
}

// TerminateSessions does what an administrator does who deletes the session
// objects of a user (F36).
func (f *Fabric) TerminateSessions(user string) {
	_ = f.Batch(func(tx *Tx) error {
		for _, c := range f.controllers {
			for _, s := range c.sessions {
				if user == "" || s.user == user {
					tx.Delete(s.dn)
				}
			}
		}
		return nil
	})
}

// RefuseSocket refuses the next n sockets (F6). The zero answer is 403; status
// 101 opens the socket and closes it at once; 200 is a server that does not know
// of WebSockets.
func (c *Controller) RefuseSocket(n int, a Answer) {
	if a.zero() {
		a = tokenTimeout
	}
	c.lock(func(o *faults) { o.sockets = append(o.sockets, &refuseSocket{n, a}) })
}

// DropSockets ends all open sockets (F7); the sessions live on.
func (c *Controller) DropSockets(how SocketEnd) {
	c.lock(func(*faults) {
		for _, k := range slices.Clone(c.sockets) {
			if how == StayOpen {
				continue
			}
			k.end(how)
			if k.s.sock == k {
				k.s.sock = nil
				k.s.dropSubscriptions()
			}
		}
	})
}

// DropAfter ends each socket that is open now with its n-th frame from now on
// (F7): after it, or with CutFrame in the middle of it.
func (c *Controller) DropAfter(n int, how SocketEnd) {
	c.lock(func(*faults) {
		for _, k := range c.sockets {
			k.mu.Lock()
			k.dropIn, k.dropHow = max(n, 1), how
			k.mu.Unlock()
		}
	})
}

// HalfOpen makes the open sockets half-open (F8): nothing is sent, nothing that
// comes is answered, and TCP stays. With rest, requests are not answered either,
// until Heal. New sockets work unless rest is set.
func (c *Controller) HalfOpen(rest bool) {
	c.lock(func(o *faults) {
		o.restDead = rest
		for _, k := range c.sockets {
			k.mu.Lock()
			k.dead = true
			k.mu.Unlock()
		}
	})
}

// IgnorePings leaves pings unanswered while data flows (F9), on open sockets and
// new ones.
func (c *Controller) IgnorePings(on bool) {
	c.lock(func(o *faults) {
		o.noPong = on
		for _, k := range c.sockets {
			k.mu.Lock()
			k.noPong = on
			k.mu.Unlock()
		}
	})
}

// IdleDrop is a middlebox that resets sockets which carried nothing for d (F35);
// it concerns sockets opened from now on. 0 ends it.
func (c *Controller) IdleDrop(d time.Duration) { c.lock(func(o *faults) { o.idleDrop = d }) }

// Buffer is a middlebox that passes on what a socket says only once n bytes have
// come together (F35). 0 ends it.
func (c *Controller) Buffer(n int) {
	c.lock(func(o *faults) {
		o.hold = n
		for _, k := range c.sockets {
			k.mu.Lock()
			k.hold = n
			k.mu.Unlock()
			k.poke()
		}
	})
}

// PausePushes holds pushes back until it is called with false, or Heal (F30);
// then all come at once, in order. Pings are answered meanwhile.
func (c *Controller) PausePushes(on bool) {
	c.lock(func(o *faults) {
		o.parked = on
		for _, k := range c.sockets {
			k.mu.Lock()
			k.parked = on
			if !on && !k.ending {
				k.out = append(k.out, k.park...)
				k.queued += k.parkN
				k.park, k.parkN = nil, 0
			}
			k.mu.Unlock()
			k.poke()
		}
	})
}

// ForgetSubscriptions makes the controller forget the subscriptions whose URL
// contains match, "" for all (F10, F12): they push no more, and their refresh
// gets 400. It returns how many there were.
func (c *Controller) ForgetSubscriptions(match string) int {
	n := 0
	c.lock(func(*faults) {
		for _, s := range c.sessions {
			for _, sub := range slices.Clone(s.subs) {
				if strings.Contains(sub.url, match) {
					s.forget(sub)
					n++
				}
			}
		}
	})
	return n
}

// ExpireEarly takes d off the life of the subscriptions whose URL contains match,
// now and at each refresh (F10). What that ends has ended.
func (c *Controller) ExpireEarly(match string, d time.Duration) {
	c.lock(func(*faults) {
		for _, s := range c.sessions {
			for _, sub := range s.subs {
				if strings.Contains(sub.url, match) {
					sub.early += d
					sub.expires = sub.expires.Add(-d)
				}
			}
		}
	})
}

// DeafenSubscriptions makes the subscriptions whose URL contains match never push
// again, while they can be refreshed (as F23). With later, also those that are
// made from now on, until Heal. It returns how many there were.
func (c *Controller) DeafenSubscriptions(match string, later bool) int {
	n := 0
	c.lock(func(o *faults) {
		if later {
			o.deafNew = append(o.deafNew, match)
		}
		for _, s := range c.sessions {
			for _, sub := range s.subs {
				if strings.Contains(sub.url, match) {
					sub.deaf = true
					n++
				}
			}
		}
	})
	return n
}

// Throttle answers requests above rate a second (after a burst) with a (F13). The
// zero answer is the 503 page of the web server, without Retry-After; 405 and 202
// are known too. A rate of 0 ends it.
func (c *Controller) Throttle(rate float64, burst int, a Answer) {
	c.ThrottleOnly("", rate, burst, a)
}

// ThrottleOnly is Throttle for the requests whose path and query contain match.
func (c *Controller) ThrottleOnly(match string, rate float64, burst int, a Answer) {
	if a.zero() {
		a = Answer{Status: 503, HTML: true}
	}
	c.lock(func(o *faults) {
		o.throttle = nil
		if rate > 0 {
			b := max(float64(burst), 1)
			o.throttle = &throttle{rate: rate, burst: b, tokens: b, last: time.Now(), answer: a, match: match}
		}
	})
}

// TooBig refuses answers of more than n objects that are not paged (F14), with
// 400, or the status given. 0 is [Options.MaxResult] again.
func (c *Controller) TooBig(n, status int) {
	c.lock(func(o *faults) { o.tooBig, o.tooBigStatus = n, status })
}

// EmptyPages leaves imdata empty in the next n answers that have objects, with
// the true totalCount (F15).
func (c *Controller) EmptyPages(n int) { c.lock(func(o *faults) { o.emptyPages.Store(int64(n)) }) }

// ShortPages leaves out the last by objects in the next n pages (F15).
func (c *Controller) ShortPages(n, by int) {
	c.lock(func(o *faults) { o.shortPages.Store(int64(n)); o.shortBy.Store(int64(by)) })
}

// DelayAnswer makes queries slow (F16).
func (c *Controller) DelayAnswer(s *SlowAnswer) {
	c.lock(func(o *faults) { o.slows = append(o.slows, s) })
}

// Frame is a frame to inject.
type Frame struct {
	Payload []byte // with placeholders, see Inject
	Binary  bool
	Raw     bool // the payload is written as it is, without a frame around it
}

// Inject sends a frame to every open socket (F17). In the payload, {id} stands
// for the id of the session's newest subscription, {id:text} for that of the
// newest one whose URL contains text, {ids} for all ids as a JSON list. It returns
// to how many sockets.
func (c *Controller) Inject(frame Frame) int {
	n := 0
	c.lock(func(*faults) {
		for _, k := range c.sockets {
			p := fill(frame.Payload, k.s)
			switch {
			case frame.Raw:
				k.mu.Lock()
				if k.openLocked() {
					k.out = append(k.out, p...)
				}
				k.mu.Unlock()
				k.poke()
			case frame.Binary:
				k.send(opBinary, p)
			default:
				k.send(opText, p)
			}
			n++
		}
	})
	return n
}

// fill replaces the placeholders.
func fill(p []byte, s *session) []byte {
	if !bytes.Contains(p, []byte("{id")) || s == nil {
		return slices.Clone(p)
	}
	var out []byte
	for {
		i := bytes.Index(p, []byte("{id"))
		if i < 0 {
			return append(out, p...)
		}
		out = append(out, p[:i]...)
		rest := p[i+3:]
		j := bytes.IndexByte(rest, '}')
		if j < 0 {
			return append(out, p[i:]...)
		}
		name := string(rest[:j])
		switch {
		case name == "s":
			out = append(out, '[')
			for i, sub := range s.subs {
				if i > 0 {
					out = append(out, ',')
				}
				out = appendString(out, sub.id)
			}
			out = append(out, ']')
		case name == "" || name[0] == ':':
			for _, sub := range slices.Backward(s.subs) {
				if strings.Contains(sub.url, strings.TrimPrefix(name, ":")) {
					out = append(out, sub.id...)
					break
				}
			}
		default:
			out = append(out, p[i:i+3+j+1]...)
		}
		p = rest[j+1:]
	}
}

// DuplicateFrames sends each of the next n frames twice (F18).
func (c *Controller) DuplicateFrames(n int) { c.lock(func(o *faults) { o.twice = n }) }

// DuplicateObjects writes the object twice into each of the next n frames (F18).
func (c *Controller) DuplicateObjects(n int) { c.lock(func(o *faults) { o.twiceIn = n }) }

// SplitFrames sends each push as several WebSocket fragments of at most size bytes
// of payload, as RFC 6455 allows and some middleboxes do. 0 ends it.
func (c *Controller) SplitFrames(size int) { c.lock(func(o *faults) { o.split = size }) }

// LoseNext silently loses the next n frames that the controller would push (F7).
func (c *Controller) LoseNext(n int) { c.lock(func(o *faults) { o.lose = n }) }

// StatusWord writes word as the status of the next n pushes (F20): "replaced",
// "created,modified", "".
func (c *Controller) StatusWord(n int, word string) {
	c.lock(func(o *faults) { o.wordN, o.word = n, word })
}

// ModTs writes text as the modTs of the next n pushes (F19): "never", a time
// before the last, another offset.
func (c *Controller) ModTs(n int, text string) {
	c.lock(func(o *faults) { o.modTsN, o.modTs = n, text })
}

// Unsupported answers queries of a class with 400, code 12 (F34), or with on
// false no more.
func (c *Controller) Unsupported(class string, on bool) {
	c.lock(func(o *faults) { o.unsupported[class] = on })
}

// Forbid answers queries of a class, or at and below a DN, with 403 although the
// session is good (F37).
func (c *Controller) Forbid(classOrDN string) {
	c.lock(func(o *faults) { o.forbid = append(o.forbid, classOrDN) })
}

// Hide leaves everything at and below a DN out of answers and pushes, as missing
// read privileges do (F37).
func (c *Controller) Hide(dn string) { c.lock(func(o *faults) { o.hidden = append(o.hidden, dn) }) }

// Skew sets the controller's clock off by d (F33): the Date header, creationTime,
// the modTs of what is changed through it.
func (c *Controller) Skew(d time.Duration) { c.lock(func(*faults) { c.skew = d }) }

// Zone sets the time zone in which the controller writes modTs (N16). It is no
// fault: Heal leaves it.
func (c *Controller) Zone(z *time.Location) { c.lock(func(*faults) { c.zone = z }) }

// Stale makes queries answer from what is true now, for d, or for ever if d is
// not positive (F29). Pushes go on.
func (c *Controller) Stale(d time.Duration) {
	c.lock(func(*faults) { c.stale = c.f.tree.clone() })
	if d > 0 {
		c.f.after(d, func() { c.lock(func(*faults) { c.stale = nil }) })
	}
}

// Minority cuts the controller off from the others (F30): it answers queries from
// what was true at that moment, refuses changes with 503, and pushes nothing; or
// with lag, holds its pushes back. infraWiNode shows it to both sides. With on
// false all is well again, and held pushes come.
func (c *Controller) Minority(on, lag bool) {
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	health, st := "fully-fit", "available"
	if on {
		health, st = "data-layer-diverged", "unavailable"
	}
	_ = f.transactLocked("internal", 0, true, func(tx *Tx) error {
		for i := range f.controllers {
			if i == c.index {
				continue
			}
			for _, dn := range []string{fmt.Sprintf("%s/av/node-%d", c.nodeDN(), i+1), fmt.Sprintf("topology/pod-1/node-%d/av/node-%d", i+1, c.index+1)} {
				_ = tx.Modify(dn, map[string]string{"health": health, "operSt": st})
			}
		}
		return nil
	})
	o := c.fault
	o.readOnly, o.deafUntilHeal, o.parked = on, on && !lag, on && lag
	c.stale = nil
	if on {
		c.stale = f.tree.clone()
	}
	for _, k := range c.sockets {
		k.mu.Lock()
		k.parked = o.parked
		if !on && !k.ending {
			k.out = append(k.out, k.park...)
			k.queued += k.parkN
			k.park, k.parkN = nil, 0
		}
		k.mu.Unlock()
		k.poke()
	}
}

// Reboot is how a controller restarts (F28).
type Reboot struct {
	Refuse      time.Duration // connections are reset or refused
	Unavailable time.Duration // then 503 HTML: the web server is up, nothing behind it
	Hollow      time.Duration // then logins work, and queries answer emptily
	Answer      Answer        // what queries answer in the last phase; zero for an empty list with totalCount "0"
}

// ResolveTimeout is what a controller answers whose services are still starting.
var ResolveTimeout = Answer{Status: 503, Code: "503", Text: "Unable to deliver the message, Resolve timeout from (type/num/svc/shard) = apic:1:nginx:0"}

// Reboot restarts the controller: its sessions are gone, its connections reset,
// and it comes back in phases.
func (c *Controller) Reboot(p Reboot) {
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	set := func(health, st string) {
		_ = f.transactLocked("internal", 0, true, func(tx *Tx) error {
			for i := range f.controllers {
				if i != c.index {
					_ = tx.Modify(fmt.Sprintf("topology/pod-1/node-%d/av/node-%d", i+1, c.index+1), map[string]string{"health": health, "operSt": st})
				}
			}
			if st == "available" {
				_ = tx.Modify(c.nodeDN()+"/sys", map[string]string{"lastRebootTime": tx.stamp(), "lastResetReason": "PowerCycle"})
			}
			return nil
		})
	}
	for _, k := range c.sockets {
		k.shut(true)
	}
	for _, s := range slices.Clone(c.sessions) {
		c.endLocked(s, Reset)
	}
	c.conns.resetAll()
	c.conns.refuse(true)
	set("unavailable", "unavailable")
	o := c.fault
	o.down = true
	// A Heal in between ends the whole: the phases belong to these faults.
	phase := func(d time.Duration, fn func(), next func()) {
		f.after(d, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if c.fault != o {
				return
			}
			fn()
			if next != nil {
				next()
			}
		})
	}
	phase(p.Refuse, func() { o.down, o.starting = false, true; c.conns.refuse(false) }, func() {
		phase(p.Unavailable, func() {
			o.starting = false
			o.hollow = &hollow{}
			if !p.Answer.zero() {
				o.hollow.answer = &p.Answer
			}
		}, func() {
			phase(p.Hollow, func() { o.hollow = nil; set("fully-fit", "available") }, nil)
		})
	})
}

// SettleGap loses the push of the first child that is created within d after its
// parent (F25). 0 ends it.
func (f *Fabric) SettleGap(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle = d
}

// ChildFirst tells, in each transaction, of created children before their parents
// (F19).
func (f *Fabric) ChildFirst(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.childUp = on
}

// OrphanDelete deletes an object and all below it, and tells only of the object
// itself (F21).
func (f *Fabric) OrphanDelete(dn string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.tree.object(dn)
	if n == nil {
		return fmt.Errorf("object %s not found", dn)
	}
	return f.transactLocked("internal", 0, true, func(tx *Tx) error {
		f.push(n, "deleted", nil, tx.now)
		f.quieted = true
		defer func() { f.quieted = false }()
		tx.Delete(dn)
		return nil
	})
}

// Emit pushes a change that did not happen (F20): modified or deleted of an
// object that nobody knows, created of one that is known. The tree stays as it is.
func (f *Fabric) Emit(class, dn, status string, attrs map[string]string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.classLocked(class)
	if err != nil {
		return err
	}
	if err := checkDN(dn); err != nil {
		return err
	}
	n := f.phantom(dn)
	if n.cls != nil { // a copy of the real one
		n = &node{dn: n.dn, parent: n.parent, attrs: slices.Clone(n.attrs), modTs: n.modTs, cls: n.cls}
	}
	n.cls = c
	f.wall = time.Now()
	now := f.wall.UnixMilli()
	n.modTs = now
	tx := &Tx{f: f, now: now}
	var keys []uint16
	c.readRN(n.rn(), func(name, value string) { n.set(c.key(name), value) })
	for name, value := range attrs {
		tx.setAttr(n, name, value)
		if k, ok := c.keys[name]; ok && k >= keyFirst {
			keys = append(keys, k)
		}
	}
	f.push(n, status, keys, now)
	return nil
}

// phantom is a node that is not in the tree, below the real ones.
func (f *Fabric) phantom(dn string) *node {
	if n := f.tree.nodes[dn]; n != nil {
		return n
	}
	n := &node{dn: dn, pos: -1}
	if p, _ := splitDN(dn); p != "" {
		n.parent = f.phantom(p)
	}
	return n
}

// LeafReboot restarts a switch (F24), named by its DN such as
// "topology/pod-1/node-101". Subscriptions that exist hear nothing any more of
// what is below it, although they can be refreshed; topSystem.lastRebootTime has
// changed once the switch is back, after down. fabricNode, which lives on the
// controllers, shows inactive meanwhile and is pushed, unless quiet.
func (f *Fabric) LeafReboot(node string, down time.Duration, quiet bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tree.object(node) == nil {
		return fmt.Errorf("object %s not found", node)
	}
	for _, c := range f.controllers {
		for _, s := range c.sessions {
			for _, sub := range s.subs {
				sub.deafFor = append(sub.deafFor, node)
			}
		}
	}
	set := func(st string, back bool) {
		_ = f.transactLocked("internal", 0, true, func(tx *Tx) error {
			f.quieted = quiet
			defer func() { f.quieted = false }()
			_ = tx.Modify(node, map[string]string{"fabricSt": st, "lastStateModTs": tx.stamp()})
			if back && tx.Exists(node+"/sys") {
				return tx.Modify(node+"/sys", map[string]string{"lastRebootTime": tx.stamp(), "lastResetReason": "chassis-power-cycle", "systemUpTime": "00:00:00:30.000", "currentTime": tx.stamp()})
			}
			return nil
		})
	}
	if down <= 0 {
		set("inactive", false)
		set("active", true)
		return nil
	}
	set("inactive", false)
	f.after(down, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		set("active", true)
	})
	return nil
}

// Burst changes n times an object of a class, all in one go, each with a push
// (F31): the descr, or what the class has like it.
func (f *Fabric) Burst(class string, n int) error {
	return f.transact("internal", 0, true, func(tx *Tx) error {
		var nodes []*node
		for _, c := range f.expandLocked(class) {
			nodes = append(nodes, f.tree.list(c)...)
		}
		if len(nodes) == 0 {
			return fmt.Errorf("no object of class %s", class)
		}
		for i := range n {
			o := nodes[i%len(nodes)]
			name := "descr"
			for _, p := range []string{"descr", "changeSet", "cur", "annotation", "lastLinkStChg"} {
				if _, ok := o.cls.keys[p]; ok {
					name = p
					break
				}
			}
			if err := tx.Modify(o.dn, map[string]string{name: fmt.Sprintf("burst %d", i)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Blast writes n text frames to the socket of a subscription as fast as the
// client reads them, for benchmarks: the payloads in turn, which must name the id
// themselves. It returns when the last frame has been handed to the connection,
// with the count of bytes. Faults and the limit of MaxBehind do not apply.
func (c *Controller) Blast(ctx context.Context, id string, n int, payloads ...[]byte) (int64, error) {
	if len(payloads) == 0 {
		return 0, fmt.Errorf("no payload to blast")
	}
	c.f.mu.RLock()
	var k *socket
	for _, s := range c.sessions {
		if s.byID[id] != nil {
			k = s.sock
		}
	}
	c.f.mu.RUnlock()
	if k == nil {
		return 0, fmt.Errorf("no socket for subscription %s", id)
	}
	framed := make([][]byte, len(payloads))
	for i, p := range payloads {
		framed[i] = append(appendHeader(nil, opText, len(p)), p...)
	}
	const chunk = 128 << 10
	var total int64
	for i := 0; i < n || total >= 0; {
		k.mu.Lock()
		if k.ending {
			k.mu.Unlock()
			return total, net.ErrClosed
		}
		if i >= n && len(k.out) == 0 && k.flying == 0 {
			k.mu.Unlock()
			return total, nil
		}
		if i < n && len(k.out) < chunk {
			for ; i < n && len(k.out) < chunk; i++ {
				p := framed[i%len(framed)]
				k.out = append(k.out, p...)
				k.queued++
				total += int64(len(p))
			}
			k.mu.Unlock()
			k.poke()
			continue
		}
		room := k.room
		k.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return total, ctx.Err()
		}
	}
	return total, nil
}

// Listener wraps the listener of the controller's server, so that a reboot can
// refuse and reset connections. Without it, a reboot resets connections as they
// ask.
func (c *Controller) Listener(l net.Listener) net.Listener {
	t := &tracker{Listener: l, conns: map[*trackedConn]struct{}{}}
	c.lock(func(*faults) { c.conns = t })
	return t
}

// tracker knows the connections that a listener has accepted.
type tracker struct {
	net.Listener
	mu      sync.Mutex // guards all below
	refused bool
	conns   map[*trackedConn]struct{}
}

type trackedConn struct {
	net.Conn
	t *tracker
}

func (t *tracker) Accept() (net.Conn, error) {
	for {
		conn, err := t.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &trackedConn{conn, t}
		t.mu.Lock()
		refused := t.refused
		if !refused {
			t.conns[c] = struct{}{}
		}
		t.mu.Unlock()
		if !refused {
			return c, nil
		}
		resetConn(conn)
		_ = conn.Close()
	}
}

func (c *trackedConn) Close() error {
	c.t.mu.Lock()
	delete(c.t.conns, c)
	c.t.mu.Unlock()
	return c.Conn.Close()
}

func (t *tracker) refuse(on bool) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.refused = on
	t.mu.Unlock()
	if l, ok := t.Listener.(*memListener); ok {
		l.n.Refuse(l.addr, on)
	}
}

func (t *tracker) resetAll() {
	if t == nil {
		return
	}
	t.mu.Lock()
	conns := t.conns
	t.conns = map[*trackedConn]struct{}{}
	t.mu.Unlock()
	for c := range conns {
		resetConn(c.Conn)
		_ = c.Conn.Close()
	}
}
