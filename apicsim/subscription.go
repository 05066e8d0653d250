package apicsim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// subscription is one subscribed query of a session. The fabric's lock guards it.
type subscription struct {
	s       *session
	id      string
	url     string // as asked, for the tests
	q       *query
	life    time.Duration
	expires time.Time // with laziness or haste already in it
	deaf    bool      // refreshes, and never pushes
	deafFor []string  // DNs below which it hears nothing any more (F24)
	pushed  int
	early   time.Duration // F10
}

// newID returns a subscription id: unsigned 64 bits as text, every third one
// above 2^63, never one that this controller gave before.
func (c *Controller) newID() string {
	c.nextID++
	top := uint64(1)
	if c.nextID%3 == 0 {
		top = 0xFE
	}
	return strconv.FormatUint(top<<56|uint64(c.index+1)<<48|uint64(c.f.rng.Uint32N(1<<15))<<32|c.nextID, 10)
}

func (s *session) subscribe(q *query, url string, double bool) *subscription {
	f := s.c.f
	life := f.opts.SubscriptionLife
	if q.refresh > 0 {
		life = min(max(q.refresh, f.opts.MinSubscriptionLife), f.opts.MaxSubscriptionLife)
	}
	sub := &subscription{s: s, id: s.c.newID(), url: url, q: q, life: life, deaf: double}
	for _, c := range q.classes {
		if isStat(c.name) {
			sub.deaf = true // F26
		}
	}
	for _, m := range s.c.fault.deafNew {
		if strings.Contains(url, m) {
			sub.deaf = true
		}
	}
	sub.renew()
	s.sweep(time.Now())
	s.subs = append(s.subs, sub)
	s.byID[sub.id] = sub
	s.byClass = nil
	return sub
}

func (sub *subscription) renew() {
	o := sub.s.c.f.opts
	life := max(sub.life-o.EarlyExpiry-sub.early, time.Second)
	sub.expires = time.Now().Add(life + o.LazyExpiry)
}

// sweep drops what has lapsed.
func (s *session) sweep(now time.Time) {
	keep := s.subs[:0:0]
	for _, sub := range s.subs {
		if now.After(sub.expires) {
			delete(s.byID, sub.id)
			continue
		}
		keep = append(keep, sub)
	}
	if len(keep) != len(s.subs) {
		s.subs, s.byClass = keep, nil
	}
}

func (s *session) forget(sub *subscription) {
	sub.expires = time.Time{}
	s.sweep(time.Now())
}

// refresh answers subscriptionRefresh: the number that id begins with counts.
func (s *session) refresh(id string, d time.Duration) *Answer {
	n := 0
	for n < len(id) && id[n] >= '0' && id[n] <= '9' {
		n++
	}
	s.sweep(time.Now())
	sub := s.byID[id[:n]]
	if sub == nil {
		return &Answer{Status: 400, Code: "400", Text: "Subscription refresh timeout"}
	}
	if d > 0 {
		o := s.c.f.opts
		sub.life = min(max(d, o.MinSubscriptionLife), o.MaxSubscriptionLife)
	}
	sub.renew()
	return nil
}

// concerned returns the subscriptions that may care for objects of a class.
func (s *session) concerned(c *class) []*subscription {
	if s.byClass == nil {
		s.byClass = map[*class][]*subscription{}
	}
	subs, ok := s.byClass[c]
	if !ok {
		for _, sub := range s.subs {
			if sub.q.mayCover(c) {
				subs = append(subs, sub)
			}
		}
		s.byClass[c] = subs
	}
	return subs
}

// wants reports whether a change of an object concerns the subscription.
func (sub *subscription) wants(n *node, status string) bool {
	if sub.deaf || !sub.q.covers(n, status) {
		return false
	}
	for _, dn := range sub.deafFor {
		if n.dn != dn && isBelow(n.dn, dn) {
			return false
		}
	}
	return true
}

// push tells all sessions that an object was created, modified or deleted. For
// modified, changed are the attributes that differ. The object is in the tree as
// it is after the change, or for deleted as it was last.
func (f *Fabric) push(n *node, status string, changed []uint16, ts int64) {
	if f.quieted {
		return
	}
	if f.settle > 0 && status == "created" && f.tooSoon(n, ts) {
		f.stats.suppressed.Add(1)
		return
	}
	s := shape{push: true, status: status, modTs: ts}
	if n.modTs == never {
		s.modTs = 0
	}
	switch {
	case status == "deleted":
		s.sparse = true
		s.modTs = ts
	case status == "modified":
		s.sparse, s.only = true, changed
		if n.cls.isFault() && !f.opts.SparseFaults {
			s.sparse, s.only, s.noTime = false, nil, true
		}
	}
	var enc [2]encoded // JSON, XML: one for all controllers of a time zone
	for _, c := range f.controllers {
		if c.fault.deafUntilHeal {
			f.stats.suppressed.Add(1)
			continue
		}
		for _, k := range c.sockets {
			if k.s == nil || k.s.sock != k || len(k.s.subs) == 0 {
				continue
			}
			k.s.push(n, s, f.wall, &enc)
		}
	}
}

type encoded struct {
	body []byte
	zone *time.Location
}

// push tells one session, if one of its subscriptions wants to know.
func (s *session) push(n *node, sh shape, now time.Time, enc *[2]encoded) {
	subs := s.concerned(n.cls)
	if len(subs) == 0 {
		return
	}
	c := s.c
	lapsed := false
	ids := [2][]*subscription{c.match[0][:0], c.match[1][:0]}
	for _, sub := range subs {
		if now.After(sub.expires) {
			lapsed = true
			continue
		}
		if !sub.wants(n, sh.status) {
			continue
		}
		sub.pushed++
		i := 0
		if sub.q.xml {
			i = 1
		}
		ids[i] = append(ids[i], sub)
	}
	c.match = ids
	if lapsed {
		defer s.sweep(now)
	}
	for i, subs := range ids {
		if len(subs) == 0 {
			continue
		}
		if c.hiddenDN(n.dn) {
			continue
		}
		if c.fault.lose > 0 {
			c.fault.lose--
			c.f.stats.suppressed.Add(int64(1))
			continue
		}
		fm := format{xml: i == 1, zone: c.zone}
		var body []byte
		if o := c.fault; o.wordN > 0 || o.modTsN > 0 {
			sh := sh
			if o.wordN > 0 {
				o.wordN--
				sh.status = o.word
			}
			if o.modTsN > 0 {
				o.modTsN--
				sh.modTxt = o.modTs
			}
			body = fm.appendObject(nil, n, sh, nil)
		} else {
			if enc[i].body == nil || enc[i].zone != fm.zone {
				if sh.modTs != 0 {
					sh.modTxt = c.timeText(sh.modTs)
				}
				enc[i].body = fm.appendObject(c.f.scratch[i], n, sh, nil)
				enc[i].zone = fm.zone
				c.f.scratch[i] = enc[i].body[:0]
			}
			body = enc[i].body
		}
		twiceIn := false
		if c.fault.twiceIn > 0 {
			c.fault.twiceIn--
			twiceIn = true
		}
		times := 1
		if c.fault.twice > 0 {
			c.fault.twice--
			times = 2
		}
		for range times {
			s.sock.sendObject(subs, body, i == 1, twiceIn)
		}
	}
}

// timeText is a modTs in the controller's zone. A burst has but one.
func (c *Controller) timeText(ms int64) string {
	if c.stamped.text == "" || c.stamped.ms != ms || c.stamped.zone != c.zone {
		c.stamped.ms, c.stamped.zone = ms, c.zone
		c.stamped.text = string(format{zone: c.zone}.appendTime(nil, ms))
	}
	return c.stamped.text
}

// appendFrame writes the payload of one frame.
func appendFrame(dst []byte, subs []*subscription, body []byte, xml, twice bool) []byte {
	if xml {
		dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?><imdata subscriptionId="`...)
		for i, sub := range subs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, sub.id...)
		}
		dst = append(dst, `">`...)
		dst = append(dst, body...)
		if twice {
			dst = append(dst, body...)
		}
		return append(dst, "</imdata>"...)
	}
	dst = append(dst, `{"subscriptionId":[`...)
	for i, sub := range subs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), sub.id...), '"')
	}
	dst = append(dst, `],"imdata":[`...)
	dst = append(dst, body...)
	if twice {
		dst = append(append(dst, ','), body...)
	}
	return append(dst, "]}"...)
}

// filteredOn returns the subscriptions with a property filter that n matches
// before a change, for F22.
func (f *Fabric) filteredOn(n *node) []*subscription {
	out := []*subscription{}
	for _, c := range f.controllers {
		for _, k := range c.sockets {
			if k.s == nil || k.s.sock != k {
				continue
			}
			for _, sub := range k.s.concerned(n.cls) {
				if sub.q.filter != nil && sub.wants(n, "modified") {
					out = append(out, sub)
				}
			}
		}
	}
	return out
}

// pushLeft tells those that an object no longer matches that it is deleted.
func (f *Fabric) pushLeft(n *node, before []*subscription, ts int64) {
	for _, sub := range before {
		if sub.wants(n, "modified") || sub.s.sock == nil || sub.s.c.fault.deafUntilHeal {
			continue
		}
		fm := format{xml: sub.q.xml, zone: sub.s.c.zone}
		body := fm.appendObject(nil, n, shape{push: true, status: "deleted", modTs: ts, sparse: true}, nil)
		sub.pushed++
		sub.s.sock.sendObject([]*subscription{sub}, body, sub.q.xml, false)
	}
}

// tooSoon is F25: the first child within the settle gap after its parent's
// creation is not told.
func (f *Fabric) tooSoon(n *node, ts int64) bool {
	p := n.parent
	if p == nil || p.cls == nil || ts-p.born >= f.settle.Milliseconds() || f.lost[p.dn] {
		return false
	}
	f.lost[p.dn] = true
	return true
}

// SubscriptionInfo is one live subscription, as tests may want to know it.
type SubscriptionInfo struct {
	ID      string
	Query   string // the URL as it was asked
	User    string
	Session string // its id, not its token
	Expires time.Time
	Deaf    bool // it will never push
	Pushed  int  // frames that named it
}

// Subscriptions returns what is subscribed on this controller.
func (c *Controller) Subscriptions() []SubscriptionInfo {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	var out []SubscriptionInfo
	for _, s := range c.sessions {
		s.sweep(time.Now())
		for _, sub := range s.subs {
			out = append(out, SubscriptionInfo{ID: sub.id, Query: sub.url, User: s.user, Session: s.id, Expires: sub.expires, Deaf: sub.deaf, Pushed: sub.pushed})
		}
	}
	return out
}

// SubscriptionID returns the id of the newest live subscription whose URL
// contains text.
func (c *Controller) SubscriptionID(text string) (string, error) {
	subs := c.Subscriptions()
	for i := len(subs) - 1; i >= 0; i-- {
		if strings.Contains(subs[i].Query, text) {
			return subs[i].ID, nil
		}
	}
	return "", fmt.Errorf("no subscription on %q", text)
}
