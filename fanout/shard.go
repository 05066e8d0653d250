package fanout

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/acitap/acitap/apic"
)

const (
	// step is how many streams a shard tends before it looks whether something
	// else is more urgent.
	step = 256
	// sweepEvery is how often a shard looks whose heartbeat is due.
	sweepEvery = time.Second
	// bringForward is how many runs a shard writes to a stream that comes back
	// before it sends it away again.
	bringForward = 4
)

// A member is a stream that a shard carries. It belongs to the shard's
// goroutine; while it is apart, its stream belongs to its own.
type member struct {
	stream
	conn    socket
	shard   *shard
	watch   uint64 // its number at the poller
	chunked bool
	index   int // in its group, when it is in one

	cut    atomic.Bool // the peer has hung up, or a token ended: it is to end
	state  state
	group  *group
	cancel context.CancelFunc // ends it apart
	unbind func() bool        // of the life of its token; nil without
	left   func(sent int64)
	sent   int64 // bytes
}

type state uint8

const (
	coming state = iota // in the inbox for the first time
	live                // in a group
	apart               // with a goroutine of its own
	gone
)

// A group are the members of a shard that share a feed. They stand at its place,
// or beyond it.
type group struct {
	feed    *feed
	at      apic.ID
	members []*member
	due     time.Time // no member's heartbeat is due before
	index   int       // in the shard
}

// A message is what others tell a shard of a member.
type message struct {
	m    *member
	what what
	err  error // of back
}

type what uint8

const (
	join what = iota // it comes
	back             // it comes back from apart, or has ended there
	end              // it is to end: see member.cut
)

// A shard carries streams in one goroutine: it writes to them what their
// sockets have room for. It waits for none, and reads what is in memory only.
type shard struct {
	f *Fanout

	mu     sync.Mutex // guards inbox and closed
	inbox  []message
	closed bool
	wake   chan struct{} // holds one when there is something in the inbox

	// What is below belongs to run.

	now     time.Time
	groups  []*group
	of      map[*feed]*group
	apart   map[*member]struct{}
	at      apic.ID // no group stands before it
	looked  time.Time
	more    bool   // there is more to send than one round has sent
	sent    int    // entries that are not counted yet
	body    []byte // the status that all members of groups know
	version uint64
	changed <-chan struct{} // the status may have; nil while there are no groups

	sweepAt  time.Time // when it begins again; zero while there are no groups
	sweeping bool
	sweepNow struct{ group, member int } // where it is
}

func newShard(f *Fanout) *shard {
	return &shard{f: f, wake: make(chan struct{}, 1), of: make(map[*feed]*group), apart: make(map[*member]struct{})}
}

// post leaves a message. It does not wait, and returns false once the shard has
// ended.
func (sh *shard) post(m message) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return false
	}
	sh.inbox = append(sh.inbox, m)
	sh.wakeUp()
	return true
}

func (sh *shard) wakeUp() {
	select {
	case sh.wake <- struct{}{}:
	default:
	}
}

// take returns some of the messages, and wakes up for the others.
func (sh *shard) take() []message {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := min(step, len(sh.inbox))
	some := sh.inbox[:n:n]
	if sh.inbox = sh.inbox[n:]; len(sh.inbox) > 0 {
		sh.wakeUp()
	} else {
		sh.inbox = nil
	}
	return some
}

// run carries streams until ctx ends, and then ends them. Each turn does a part
// of all that is to be done, so that nothing waits long for anything else.
func (sh *shard) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		sh.now = time.Now()
		for _, m := range sh.take() {
			sh.receive(ctx, m)
		}
		sh.f.delivered(sh.sent)
		sh.sent = 0
		if len(sh.groups) == 0 {
			sh.changed, sh.more, sh.sweeping, sh.sweepAt = nil, false, false, time.Time{}
			select {
			case <-sh.wake:
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-sh.changed:
			sh.tellStatus(ctx)
		default:
		}
		again := false
		grown := sh.f.line.Grown(sh.at)
		wait := sh.sweepAt.Sub(sh.now)
		if sh.more || isClosed(grown) {
			if early := gather - sh.now.Sub(sh.looked); early > 0 && !sh.more {
				grown, wait = nil, min(wait, early)
			} else {
				sh.looked = sh.now
				sh.more = sh.send(ctx)
				again = true
			}
		}
		if !sh.sweeping && !sh.now.Before(sh.sweepAt) {
			sh.sweeping, sh.sweepAt = true, sh.now.Add(sweepEvery)
			sh.sweepNow.group, sh.sweepNow.member = 0, 0
		}
		if sh.sweeping {
			sh.sweeping = sh.sweep(ctx)
			again = true
		}
		if again {
			continue
		}
		timer.Reset(wait)
		select {
		case <-sh.wake:
		case <-grown:
		case <-sh.changed:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	sh.f.delivered(sh.sent)
	sh.drain(ctx)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// receive does what a message says.
func (sh *shard) receive(ctx context.Context, msg message) {
	m := msg.m
	switch msg.what {
	case join:
		sh.place(ctx, m)
	case back:
		delete(sh.apart, m)
		m.cancel()
		if msg.err != nil {
			sh.f.ended(msg.err)
			sh.close(m, false)
			return
		}
		sh.place(ctx, m)
	case end:
		switch m.state {
		case live:
			sh.remove(m)
			sh.close(m, true)
		case apart:
			m.cancel()
		}
	}
}

// place puts a stream where it belongs: among those at the same place, once it
// is there.
func (sh *shard) place(ctx context.Context, m *member) {
	if m.cut.Load() || ctx.Err() != nil {
		sh.close(m, true)
		return
	}
	for range bringForward {
		p, ok := m.feed.recent(m.at)
		if !ok {
			break
		}
		g := sh.of[m.feed]
		if g == nil && p.run == nil && p.to == m.at || g != nil && m.at >= g.at {
			sh.admit(ctx, m, g)
			return
		}
		if p.run != nil {
			rest, n := p.run.behind(m.at)
			m.at = p.to
			if !sh.write(ctx, m, rest.bytes(m.chunked), n, p.run.last()) {
				return
			}
		}
		m.at = p.to
	}
	sh.sendApart(ctx, m, nil, 0)
}

func (sh *shard) admit(ctx context.Context, m *member, g *group) {
	if len(sh.groups) == 0 {
		sh.body, sh.version, sh.changed = sh.f.status()
		sh.sweepAt = sh.now.Add(sweepEvery)
		sh.at = m.at
	}
	if g == nil {
		g = &group{feed: m.feed, at: m.at, due: sh.now.Add(heartbeat), index: len(sh.groups)}
		sh.groups = append(sh.groups, g)
		sh.of[m.feed] = g
		sh.at = min(sh.at, g.at)
	}
	m.state, m.group, m.index = live, g, len(g.members)
	g.members = append(g.members, m)
	if due := m.wrote.Add(heartbeat); due.Before(g.due) {
		g.due = due
	}
	if m.status != sh.version {
		m.status = sh.version
		sh.write(ctx, m, statusFrame(m.feed.key.form, sh.body).bytes(m.chunked), 0, 0)
	}
}

// remove takes a live member out of its group.
func (sh *shard) remove(m *member) {
	g := m.group
	last := g.members[len(g.members)-1]
	g.members[m.index], last.index = last, m.index
	g.members[len(g.members)-1] = nil
	g.members = g.members[:len(g.members)-1]
	g.due = time.Time{} // a sweep may have passed over last
	m.at = max(m.at, g.at)
	m.group = nil
	if len(g.members) > 0 {
		return
	}
	delete(sh.of, g.feed)
	lastGroup := sh.groups[len(sh.groups)-1]
	sh.groups[g.index], lastGroup.index = lastGroup, g.index
	sh.groups[len(sh.groups)-1] = nil
	sh.groups = sh.groups[:len(sh.groups)-1]
}

// write writes what the socket has room for. If that is not all, the stream
// goes apart with the rest; if the connection is gone, it ends. It returns
// false then. entries are how many entries b holds, up to last.
func (sh *shard) write(ctx context.Context, m *member, b []byte, entries int, last apic.ID) bool {
	if len(b) == 0 {
		return true
	}
	n, err := m.conn.tryWrite(b)
	m.sent += int64(n)
	m.wrote = sh.now
	if entries > 0 {
		m.told = last
	}
	switch {
	case err == nil && n == len(b):
		sh.sent += entries
		return true
	case m.state == live:
		sh.remove(m)
	}
	if err != nil {
		sh.close(m, false)
	} else {
		sh.sendApart(ctx, m, b[n:], entries)
	}
	return false
}

// send sends each group the next run, and reports whether there is another for
// any of them.
func (sh *shard) send(ctx context.Context) (more bool) {
	low := apic.MaxID
	for i := len(sh.groups) - 1; i >= 0; i-- {
		g := sh.groups[i]
		p, ok := g.feed.recent(g.at)
		if !ok {
			// Only the log has it. They read it together, each at its own pace.
			for j := len(g.members) - 1; j >= 0; j-- {
				m := g.members[j]
				sh.remove(m)
				sh.sendApart(ctx, m, nil, 0)
			}
			continue
		}
		if p.run != nil {
			sh.sendRun(ctx, g, p.run)
		}
		g.at = p.to
		low = min(low, g.at)
		more = more || p.more
	}
	sh.at = low
	return more
}

func (sh *shard) sendRun(ctx context.Context, g *group, r *run) {
	for i := len(g.members) - 1; i >= 0; i-- {
		m := g.members[i]
		f, n := r.frame, len(r.marks)
		if m.at >= r.marks[0].id {
			f, n = r.behind(m.at)
		}
		m.at = max(m.at, r.to)
		sh.write(ctx, m, f.bytes(m.chunked), n, r.last())
	}
}

// tellStatus tells all members what the sessions do.
func (sh *shard) tellStatus(ctx context.Context) {
	before := sh.version
	if sh.body, sh.version, sh.changed = sh.f.status(); sh.version == before {
		return
	}
	frames := make(map[Form]frame)
	for i := len(sh.groups) - 1; i >= 0; i-- {
		g := sh.groups[i]
		f, ok := frames[g.feed.key.form]
		if !ok {
			f = statusFrame(g.feed.key.form, sh.body)
			frames[g.feed.key.form] = f
		}
		for j := len(g.members) - 1; j >= 0; j-- {
			m := g.members[j]
			m.status = sh.version
			sh.write(ctx, m, f.bytes(m.chunked), 0, 0)
		}
	}
}

// sweep looks for members whose heartbeat is due, a few at a time. It reports
// whether it has to go on.
func (sh *shard) sweep(ctx context.Context) bool {
	at := &sh.sweepNow
	for budget := step; at.group < len(sh.groups); at.group, at.member = at.group+1, 0 {
		g := sh.groups[at.group]
		if at.member == 0 {
			if sh.now.Before(g.due) {
				continue
			}
			g.due = sh.now.Add(heartbeat)
			g.feed.trim(sh.now)
		}
		for at.member < len(g.members) {
			if budget == 0 {
				return true
			}
			budget--
			m := g.members[at.member]
			at.member++
			if sh.now.Sub(m.wrote) >= heartbeat {
				m.at = max(m.at, g.at)
				sh.write(ctx, m, m.beat(sh.now).bytes(m.chunked), 0, 0)
			} else if due := m.wrote.Add(heartbeat); due.Before(g.due) {
				g.due = due
			}
		}
	}
	return false
}

// sendApart gives a stream that is in no group a goroutine of its own, in which
// it sends what is left of a write, and what it has missed, as fast as its
// reader takes it.
func (sh *shard) sendApart(ctx context.Context, m *member, rest []byte, entries int) {
	m.state = apart
	sh.apart[m] = struct{}{}
	ctx, m.cancel = context.WithCancel(ctx)
	go func() {
		m.f.behind.Add(1)
		defer m.f.behind.Add(-1)
		err := m.conn.write(rest)
		if err == nil {
			m.f.delivered(entries)
			err = m.catchUp(ctx, m)
		}
		if err == nil {
			m.f.linger(ctx)
		}
		sh.post(message{m, back, err}) // it has not ended: it waits for all that are apart
	}()
}

// send makes a member a [sender], which waits.
func (m *member) send(f frame, entries int) error {
	b := f.bytes(m.chunked)
	m.sent += int64(len(b))
	if err := m.conn.write(b); err != nil {
		return err
	}
	m.f.delivered(entries)
	return nil
}

// hangUp ends the stream of a peer that is gone. It may be called from any
// goroutine.
func (m *member) hangUp() {
	m.cut.Store(true)
	m.conn.abort()
	m.shard.post(message{m: m, what: end})
}

// revoke ends the stream of a reader that is not let in any more. It may be
// called from any goroutine.
func (m *member) revoke() {
	m.cut.Store(true)
	m.shard.post(message{m: m, what: end})
}

// close ends a stream that is in no group and not apart: whole, or broken off so
// that its reader knows. It is called once for each.
func (sh *shard) close(m *member, whole bool) {
	m.state = gone
	switch {
	case whole && m.chunked:
		_, _ = m.conn.tryWrite([]byte(lastChunk)) // who does not take it will see an end all the same
	case !whole:
		m.conn.reset()
	}
	m.finish()
}

// drain ends all streams, spread over a moment if the service stops.
func (sh *shard) drain(ctx context.Context) {
	var living []*member
	for _, g := range sh.groups {
		living = append(living, g.members...)
	}
	over := max(1, sh.f.o.Spread(ctx))
	ends := make([]time.Duration, len(living))
	for i := range ends {
		ends[i] = rand.N(over)
	}
	slices.Sort(ends)
	rand.Shuffle(len(living), func(i, j int) { living[i], living[j] = living[j], living[i] })
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	forced := false
	for {
		for _, m := range sh.take() {
			sh.receive(ctx, m)
		}
		sh.now = time.Now()
		for len(living) > 0 && sh.now.Sub(began) >= ends[0] {
			if m := living[0]; m.state == live {
				sh.remove(m)
				sh.close(m, true)
			}
			living, ends = living[1:], ends[1:]
		}
		if len(living) == 0 && sh.closeInbox() {
			return
		}
		wait := over + drainTime - sh.now.Sub(began)
		if wait <= 0 && !forced {
			forced = true
			for m := range sh.apart {
				m.conn.abort() // its write fails, and it comes back
			}
		}
		if forced {
			wait = time.Hour
		}
		if len(living) > 0 {
			wait = ends[0] - sh.now.Sub(began)
		}
		timer.Reset(wait)
		select {
		case <-sh.wake:
		case <-timer.C:
		}
	}
}

// drainTime is how long a reader may take, when the service stops, to take what
// is on its way to it.
const drainTime = time.Second

// closeInbox ends the shard, if nothing is apart and nobody has said anything.
func (sh *shard) closeInbox() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.inbox) > 0 || len(sh.apart) > 0 {
		return false
	}
	sh.closed = true
	return true
}
