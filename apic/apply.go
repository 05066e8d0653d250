package apic

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// An input is what apply takes, in the order of arrival: a frame of a
// connection, or something to do.
type input struct {
	conn  *conn
	frame frame
	do    func() // called with the hub's lock held; nil for a frame
}

const (
	// inputs bounds the frames that wait for apply. When it is full, reading
	// stops, and in the end the APIC closes the socket: a gap, which heals.
	inputs = 4096
	// maxBatch is how many inputs become durable together at the most.
	maxBatch = 2000
	// chunk is how many entries a comparison writes at once.
	chunk = 4096
	// strayFor and maxStrays bound what is kept of frames whose subscription
	// is not known yet, as they can arrive before the answer that names it.
	strayFor  = 10 * time.Second
	maxStrays = 1000
	// doomFor is how long the frames of the children of a deleted object are
	// waited for, before the children are deleted without them.
	doomFor = 2 * time.Second
	// maxRereads is how many single objects are read back at a time; when
	// more are missing, everything is listed again.
	maxRereads = 256
	// secondLook is when a subscription is compared again after a failover, as
	// controllers of a cluster follow one another with a delay.
	secondLook = 30 * time.Second
	// refusedAgain is how often a subscription that the APIC refuses is tried
	// again within one session: privileges change.
	refusedAgain = 15 * time.Minute
	// proveEvery is how often the last proof of life is stored, for the gap
	// after a crash.
	proveEvery = 15 * time.Second
)

// A stray is a frame with no known subscription.
type stray struct {
	conn  *conn
	frame frame
}

// A doom is a subtree whose root was deleted.
type doom struct {
	root    DN
	objects []*object // what stood below then
	due     time.Time
}

// A reread is one object that is being read back.
type reread struct {
	changes []kept
	links   []*link
	unknown bool // there was no such object: something was missed
}

// apply is the only writer of the mirror, the subscriptions and the timeline.
// It takes what has arrived, decides, and makes it durable as one batch, until
// stop is closed and all input is taken.
func (h *Hub) apply(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var in input
		stopping := false
		select {
		case in = <-h.in:
		case <-tick.C:
			in.do = h.tick
		case <-stop:
			stopping = true
		}
		h.mu.Lock()
		if !stopping {
			h.takeIn(ctx, in)
		}
	drain:
		for n := 1; n < maxBatch || stopping; n++ {
			select {
			case in := <-h.in:
				h.takeIn(ctx, in)
			default:
				break drain
			}
		}
		if stopping {
			h.storeProof()
		}
		h.flush(ctx)
		h.mu.Unlock()
		if stopping {
			return
		}
	}
}

func (h *Hub) takeIn(ctx context.Context, in input) {
	if in.do != nil {
		in.do()
	} else {
		h.takeFrame(in.conn, in.frame)
	}
	if len(h.batch.Entries) >= chunk {
		h.flush(ctx)
	}
}

// flush makes the batch durable and visible. While the log takes nothing it
// tries again, as all that was decided stays decided; the lock is given up
// meanwhile, so that readers go on.
func (h *Hub) flush(ctx context.Context) {
	b := h.batch
	then := h.then
	if len(b.Entries)+len(b.Put)+len(b.Drop)+len(b.Subscriptions)+len(b.Unsubscribe)+len(b.Positions)+len(b.Forget) > 0 {
		began := time.Now()
		for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
			h.mu.Unlock()
			err := h.line.append(ctx, &b, h.mirror)
			h.mu.Lock()
			if err == nil {
				h.stored(nil)
				break
			}
			h.stored(err)
			if time.Since(began) > blindAfter {
				// What the socket holds by now is too old to count as seen.
				h.breakAll(errLogStuck)
			}
			h.mu.Unlock()
			select {
			case <-time.After(wait):
			case <-ctx.Done(): // shutting down with a log that takes nothing: found again by comparison
				h.mu.Lock()
				h.log.Error("shutting down while the log takes no entries; the last changes will be found again by comparison", "entries", len(b.Entries), "err", err)
				h.batch, h.then = Batch{}, nil
				return
			}
			h.mu.Lock()
		}
		h.metrics.appended(&b)
	}
	clear(b.Entries) // a journal keeps none of them as they are here
	h.batch = Batch{Entries: b.Entries[:0]}
	h.then = nil
	for _, f := range then {
		f()
	}
}

// takeFrame routes a frame by the ids of its subscriptions.
func (h *Hub) takeFrame(c *conn, f frame) {
	if c.over {
		return
	}
	h.metrics.frames.Inc()
	h.metrics.skipped.Add(float64(f.skipped))
	links := h.named[:0]
	for _, id := range f.ids {
		if l := c.byID[id]; l != nil {
			links = append(links, l)
		}
	}
	h.named = links[:0]
	if len(links) == 0 {
		if len(h.strays) >= maxStrays {
			h.metrics.strays.Inc()
			return
		}
		h.strays = append(h.strays, stray{c, f})
		return
	}
	for _, l := range links {
		if l.framed.Before(f.at) {
			l.framed = f.at
		}
	}
	for _, m := range f.objects {
		h.observe(c, m, f.at, links)
	}
}

// observe takes one change that some subscriptions of a connection saw.
func (h *Hub) observe(c *conn, m mo, at time.Time, links []*link) {
	if r := h.rereads[m.dn]; r != nil {
		h.seq++
		r.changes = append(r.changes, kept{mo: m, at: at, seq: h.seq})
		return
	}
	live := false
	for _, l := range links {
		live = live || l.sub.live()
	}
	if live && !h.twins.told(c, m) {
		h.tell(m, at, links)
	}
	for _, l := range links {
		if l.listing {
			h.seq++
			l.keep(kept{mo: m, at: at, seq: h.seq, applied: live})
		}
	}
}

// tell compares a change with the mirror and makes it an event.
func (h *Hub) tell(m mo, at time.Time, links []*link) {
	old := h.mirror.get(m.dn)
	e := &Event{Time: at, Fabric: h.o.Fabric, Class: m.class, DN: m.dn, Status: Status(m.status), Origin: Live, Attributes: m.attrs}
	switch e.Status {
	case Created:
		attrs := bare(m.attrs)
		if old != nil && old.class == m.class && contains(old.attrs, attrs) {
			h.metrics.duplicates.Inc()
			return
		}
		e.Object = attrs
	case Modified:
		if old == nil {
			h.readBack(m, at, links)
			return
		}
		e.Object, e.Changes = merge(old.attrs, m.attrs)
		if e.Object == old.attrs {
			h.metrics.duplicates.Inc()
			return
		}
	case Deleted:
		if old == nil {
			h.metrics.duplicates.Inc()
			return
		}
		e.Object = old.attrs
		h.doom(m.dn)
	default: // created,modified; replaced; a word of the future: only the APIC knows
		h.readBack(m, at, links)
		return
	}
	h.emit(e, links)
}

// emit puts an event into the batch and its object on the stage.
func (h *Hub) emit(e *Event, links []*link) {
	for _, l := range links {
		l.sub.Events++
		l.sub.LastEventAt = e.Time
		if !l.sub.seen[e.Class] {
			l.sub.seen[e.Class] = true
		}
	}
	h.openQueue(e.Class)
	h.batch.Entries = append(h.batch.Entries, Entry{Event: e})
	var o *object
	if e.Status != Deleted {
		o = &object{dn: e.DN, class: e.Class, attrs: e.Object}
	}
	h.mirror.stage(e.DN, o, len(h.batch.Entries)-1)
	h.metrics.event(e)
}

// openQueue gives a class its own queue, which begins before the first event
// of the batch.
func (h *Hub) openQueue(c Class) {
	if h.queued[c] {
		return
	}
	h.queued[c] = true
	h.batch.Positions = append(h.batch.Positions, Position{
		PositionKey: PositionKey{Class: c}, At: h.line.bounds().Newest, UpdatedAt: Now(),
	})
}

// doom remembers the subtree of an object that was deleted. An APIC tells each
// of its objects, as a rule.
func (h *Hub) doom(root DN) {
	if list := h.mirror.below(root); len(list) > 0 {
		h.doomed = append(h.doomed, doom{root, list, time.Now().Add(doomFor)})
	}
}

// bury deletes what is left of a deleted object's subtree.
func (h *Hub) bury(d doom) {
	var left []*object
	for _, o := range d.objects {
		if h.mirror.get(o.dn) == o { // neither deleted nor told anew since
			left = append(left, o)
		}
	}
	slices.SortFunc(left, func(a, b *object) int { return cmp.Compare(b.dn, a.dn) })
	for _, o := range left {
		h.emit(h.vanished(o, Resync), h.covering(o))
	}
}

// vanished is the event of an object that is not there any more.
func (h *Hub) vanished(o *object, origin Origin) *Event {
	return &Event{
		Time: Now(), Fabric: h.o.Fabric, Class: o.class, DN: o.dn, Status: Deleted, Origin: origin, Object: o.attrs,
		Attributes: AttrsOf([]Attr{{"dn", string(o.dn)}, {"status", string(Deleted)}}),
	}
}

// covering returns the links that are active and cover an object.
func (h *Hub) covering(o *object) []*link {
	var links []*link
	for _, s := range h.subs {
		if s.Query.Covers(o.class, o.dn, h.mirror.class) {
			links = append(links, s.links...)
		}
	}
	return links
}

// tick does what is due.
func (h *Hub) tick() {
	now := time.Now()
	keep := h.strays[:0]
	for _, s := range h.strays {
		switch {
		case s.conn.over:
		case now.Sub(s.frame.at) > strayFor:
			h.metrics.strays.Inc()
		default:
			keep = append(keep, s)
		}
	}
	clear(h.strays[len(keep):])
	h.strays = keep
	dooms := h.doomed
	h.doomed = nil
	for _, d := range dooms {
		if now.Before(d.due) {
			h.doomed = append(h.doomed, d)
		} else {
			h.bury(d)
		}
	}
	h.twins.tick(now)
	for _, s := range h.subs {
		if s.refusal != nil && now.Sub(s.refusedAt) >= refusedAgain {
			h.tryAgain(s)
		}
	}
	if now.Sub(h.proven) >= proveEvery {
		h.proven = now
		h.storeProof()
	}
}

// storeProof stores how far each subscription is known to be complete.
func (h *Hub) storeProof() {
	for _, s := range h.subs {
		if s.live() && s.gapFrom.IsZero() {
			s.ProvenAt = s.lastProof()
			h.store(s)
		}
	}
}

func (s *subscription) lastProof() time.Time {
	p := s.ProvenAt
	if !s.gapFrom.IsZero() {
		return s.gapFrom
	}
	for _, l := range s.links {
		if l.active && l.proof().After(p) {
			p = l.proof()
		}
	}
	return p
}

// store puts a subscription into the batch as it now is.
func (h *Hub) store(s *subscription) {
	record := s.Subscription
	record.State, record.Error = s.state(), ""
	h.batch.Subscriptions = append(h.batch.Subscriptions, record)
}

// readBack reads one object that the change alone does not tell. Changes of it
// that come meanwhile are kept.
func (h *Hub) readBack(m mo, at time.Time, links []*link) {
	l := links[0]
	for _, x := range links {
		if x.active {
			l = x
		}
	}
	if len(h.rereads) >= maxRereads {
		for _, x := range links {
			h.again(x, x.counted.get(), ReasonMissed)
		}
		return
	}
	h.seq++
	h.rereads[m.dn] = &reread{
		changes: []kept{{mo: m, at: at, seq: h.seq}},
		links:   slices.Clone(links), unknown: h.mirror.get(m.dn) == nil && Status(m.status) == Modified,
	}
	l.conn.enqueue(&task{kind: readObject, link: l, dn: m.dn, class: m.class})
}

// haveRead takes the answer to readBack: nil when there is no such object.
func (h *Hub) haveRead(dn DN, found *mo) {
	r := h.rereads[dn]
	if r == nil {
		return // the connection was lost meanwhile, and with it the question
	}
	delete(h.rereads, dn)
	var links []*link
	from := time.Time{}
	for _, l := range r.links {
		if !l.dropped {
			links = append(links, l)
			if c := l.counted.get(); from.IsZero() || c.Before(from) {
				from = c
			}
		}
	}
	if len(links) == 0 {
		return
	}
	differs := h.settleObject(dn, found, Resync, links)
	var behind []kept // came after it was read
	for _, k := range r.changes[told(found, r.changes):] {
		switch Status(k.mo.status) {
		case Created, Modified, Deleted:
			behind = append(behind, k)
		}
	}
	switch {
	case r.unknown && !allFiltered(links):
		h.writeGap(classesOf(links), from, ReasonMissed, true)
	case differs && len(r.changes)-len(behind) > 1: // several changes are told as one
		h.writeGap(classesOf(links), r.changes[0].at, ReasonMissed, true)
	}
	for _, k := range behind {
		h.tell(k.mo, k.at, links)
	}
}

func allFiltered(links []*link) bool {
	for _, l := range links {
		if l.sub.Query.Filter == "" {
			return false
		}
	}
	return true
}

func classesOf(links []*link) []Class {
	var list []Class
	for _, l := range links {
		for _, c := range l.sub.classes() {
			if !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	sortClasses(list)
	return list
}

func sortClasses(list []Class) { slices.Sort(list) }

// settleObject makes the mirror say of one object what a list says, and tells
// the difference. It reports whether there was one.
func (h *Hub) settleObject(dn DN, list *mo, origin Origin, links []*link) bool {
	old := h.mirror.get(dn)
	if list == nil {
		if old == nil {
			return false
		}
		h.emit(h.vanished(old, Resync), links)
		return true
	}
	if old == nil || old.class != list.class {
		h.emit(&Event{
			Time: Now(), Fabric: h.o.Fabric, Class: list.class, DN: dn, Status: Created, Origin: origin,
			Attributes: list.attrs, Object: bare(list.attrs),
		}, links)
		return true
	}
	merged, changes := merge(old.attrs, list.attrs)
	if merged == old.attrs {
		return false
	}
	h.emit(&Event{
		Time: Now(), Fabric: h.o.Fabric, Class: list.class, DN: dn, Status: Modified, Origin: Resync,
		Attributes: delta(old.attrs, merged, dn), Changes: changes, Object: merged,
	}, links)
	return true
}

// The reasons of gaps on the timeline.
const (
	ReasonConnection = "connection-lost"      // the socket, the session, or the controller
	ReasonRestart    = "acitap-restarted"     // acitap itself was down
	ReasonLapsed     = "subscription-lapsed"  // the APIC had dropped one subscription
	ReasonSilent     = "subscription-silent"  // it was refreshed, but not pushed
	ReasonSwitch     = "switch-rebooted"      // pushes of switch-resident objects end with their switch
	ReasonMissed     = "object-missed"        // a change of an object that was never told
	ReasonReconcile  = "difference-found"     // a routine comparison found what no push had told
	ReasonRefused    = "subscription-refused" // the APIC refuses it since a new session: not healed
	ReasonLog        = "log-took-no-entries"  // the disk was full for too long
	ReasonRetention  = "retention"            // for one reader: the log has removed what it asks for
	ReasonUnknownID  = "unknown-id"           // for one reader: the id is of another log
)

func (h *Hub) writeGap(classes []Class, from time.Time, reason string, healed bool) {
	now := Now()
	if from.IsZero() || from.After(now) {
		from = now
	}
	from = from.UTC().Truncate(time.Microsecond)
	h.batch.Entries = append(h.batch.Entries, Entry{Gap: &Gap{
		Time: now, Fabric: h.o.Fabric, Classes: classes, From: from, To: now, Reason: reason, Healed: healed,
	}})
	h.gaps++
	h.metrics.gaps.WithLabelValues(reason).Inc()
	h.log.Warn("something was out of sight", "reason", reason, "classes", joinClasses(classes), "from", from, "to", now, "healed", healed)
}

func joinClasses(list []Class) string {
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = string(c)
	}
	return strings.Join(names, ",")
}

// A listing is the answer to a list of a subscription's objects.
type listing struct {
	objects []mo // sorted by DN
	// doubted are DNs whose absence from the list proves nothing, read back:
	// nil for an object that is really gone. With proof unset every absence
	// must stand here.
	doubted map[DN]*mo
	proof   bool // absence proves deletion
}

// compared takes a list: what differs from the mirror is told, then the gap
// that it closes, then what came beside the list. It is snapshot and resync in
// one.
func (h *Hub) compared(ctx context.Context, l *link, list *listing) {
	s := l.sub
	if l.dropped {
		return
	}
	first, wasActive := !s.Begun, l.active
	origin := Resync
	if first {
		origin = Snapshot
	}
	quiet := first && s.OnlyNew
	links := []*link{l}
	var rest []kept
	differences := 0
	listed := make(map[DN]bool, len(list.objects))
	settle := func(dn DN, found *mo) {
		changes := l.kept[dn]
		if len(changes) > 0 {
			behind := changes[told(found, changes):]
			if changes[0].applied || changes[len(changes)-1].applied {
				if h.twins.touched(dn) {
					return // two sessions tell it: neither list is newer than both
				}
				var state *Attrs
				if found != nil {
					a := bare(found.attrs)
					state = &a
				}
				if state = after(state, behind); state == nil {
					found = nil
				} else if found != nil {
					found = &mo{class: found.class, dn: dn, attrs: *state}
				} else {
					found = &mo{class: changes[0].mo.class, dn: dn, attrs: *state}
				}
			} else {
				rest = append(rest, behind...)
			}
		} else if h.twins.touched(dn) {
			return
		}
		if quiet && found != nil && h.mirror.get(dn) == nil {
			o := &object{dn: dn, class: found.class, attrs: bare(found.attrs)}
			h.mirror.stage(dn, o, -1)
			h.batch.Put = append(h.batch.Put, Object{Fabric: h.o.Fabric, Class: o.class, DN: dn, Attrs: o.attrs})
			s.seen[o.class] = true
			return
		}
		if old := h.mirror.get(dn); first && !quiet && found != nil && old != nil && old.last == 0 && !h.mirror.isStaged(dn) {
			// Held since a subscription for new events only: nobody was told yet.
			attrs := old.attrs.With(bare(found.attrs))
			h.emit(&Event{Time: Now(), Fabric: h.o.Fabric, Class: found.class, DN: dn, Status: Created, Origin: Snapshot, Attributes: found.attrs, Object: attrs}, links)
			return
		}
		if h.settleObject(dn, found, origin, links) {
			differences++
		}
	}
	for i := range list.objects {
		m := &list.objects[i]
		if i+1 < len(list.objects) && list.objects[i+1].dn == m.dn {
			continue // a page read twice: the later answer counts
		}
		listed[m.dn] = true
		s.seen[m.class] = true
		settle(m.dn, m)
		if len(h.batch.Entries)+len(h.batch.Put) >= chunk {
			h.flush(ctx)
		}
	}
	for _, dn := range h.absent(s, listed) {
		if first && h.liveElsewhere(s, dn) {
			continue // its own subscription tells
		}
		found, read := list.doubted[dn]
		if !read && !list.proof && len(l.kept[dn]) == 0 {
			continue // came into the mirror after the list was read
		}
		settle(dn, found)
		if len(h.batch.Entries) >= chunk {
			h.flush(ctx)
		}
	}
	for dn, changes := range l.kept {
		if !listed[dn] && h.mirror.get(dn) == nil && !changes[0].applied {
			rest = append(rest, changes[told(nil, changes):]...)
		}
	}
	switch {
	case !s.gapFrom.IsZero():
		h.writeGap(s.classes(), s.gapFrom, s.gapReason, true)
		h.resyncs++
	case differences > 0 && !first:
		h.writeGap(s.classes(), l.counted.get(), ReasonReconcile, true)
	}
	now := time.Now()
	s.gapFrom, s.gapReason = time.Time{}, ""
	s.Begun, s.refusal, s.Error = true, nil, ""
	s.ProvenAt = now.UTC()
	l.active, l.listing, l.kept, l.keptN = true, false, nil, 0
	l.counted.set(l.listed.get())
	h.store(s)
	slices.SortFunc(rest, func(a, b kept) int { return cmp.Compare(a.seq, b.seq) })
	for _, k := range rest {
		h.tell(k.mo, k.at, links)
	}
	h.then = append(h.then, func() {
		l.shown = true
		s.settle()
		h.checkSettled(l.conn)
	})
	if !wasActive && l.conn.failover {
		// The new controller may have listed what was true some seconds ago.
		time.AfterFunc(secondLook, func() {
			h.do(h.ctx, func() { h.again(l, time.Time{}, "") }) // an error says that the hub has stopped
		})
	}
	if !wasActive {
		h.log.Info("subscription is active", "query", s.Query.String(), "objects", len(listed), "differences", differences)
	}
}

// liveElsewhere reports whether another subscription that is told live covers
// the object at a DN.
func (h *Hub) liveElsewhere(s *subscription, dn DN) bool {
	for _, other := range h.subs {
		if other != s && other.live() && other.Query.Covers(h.mirror.class(dn), dn, h.mirror.class) {
			return true
		}
	}
	return false
}

// absent returns the objects that a subscription covers and a list does not
// have, children before parents.
func (h *Hub) absent(s *subscription, listed map[DN]bool) []DN {
	var dns []DN
	h.mirror.all(func(o *object) bool {
		if !listed[o.dn] && s.Query.Covers(o.class, o.dn, h.mirror.class) {
			dns = append(dns, o.dn)
		}
		return true
	})
	slices.SortFunc(dns, func(a, b DN) int { return cmp.Compare(b, a) })
	return dns
}
