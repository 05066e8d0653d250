package apicsim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is a compiled GET: which objects, how much around them, in which order.
// It is immutable.
type query struct {
	xml     bool
	mo      bool
	dn      string   // mo: the object; class: only below here, "" for everywhere
	classes []*class // class: the concrete ones
	isClass map[*class]bool

	target   target
	targets  map[*class]bool // target-subtree-class; nil: any
	filter   filter          // nil: none
	subtree  target          // rsp-subtree: self, children or subtree
	inner    map[*class]bool // rsp-subtree-class
	innerFit filter          // rsp-subtree-filter

	faults, health, audit, events, records, count bool // rsp-subtree-include
	required, noScoped, deep                      bool
	since, until                                  time.Time // time-range
	quietKids                                     bool      // Options.QuietChildren

	order      []orderKey
	page, size int // size 0: all
	subscribe  bool
	refresh    time.Duration
}

type target int

const (
	self target = iota
	children
	subtree
)

type orderKey struct {
	prop property
	desc bool
}

// bad is a query that APIC refuses.
func bad(code, format string, args ...any) *Answer {
	return &Answer{Status: 400, Code: code, Text: fmt.Sprintf(format, args...)}
}

// params are the parameters of a query string, in order. APIC does not take "+"
// for a space.
func params(raw string) ([][3]string, *Answer) {
	var out [][3]string // name, value, value as written
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		v, err := url.PathUnescape(value)
		if err != nil {
			return nil, bad("400", "Invalid request. Malformed escape in %s", name)
		}
		out = append(out, [3]string{name, v, value})
	}
	return out, nil
}

// parseQueryLocked compiles the query of a URL such as /api/class/fvTenant.json.
// path begins after /api/ and is unescaped.
func (c *Controller) parseQueryLocked(path, raw string) (*query, *Answer) {
	f := c.f
	q := &query{quietKids: f.opts.QuietChildren, isClass: map[*class]bool{}}
	path, q.xml = cutFormat(path)
	if q.xml {
		defer func() { q.xml = true }()
	}
	if rest, ok := strings.CutPrefix(path, "node/"); ok {
		path = rest
	}
	var names []string
	switch kind, rest, _ := strings.Cut(path, "/"); kind {
	case "mo":
		q.mo, q.dn = true, rest
		if rest == "" {
			return nil, bad("400", "Invalid request. The DN is missing")
		}
	case "class":
		q.dn, rest = splitDN(rest)
		for n := range strings.SplitSeq(rest, ",") {
			names = append(names, n)
		}
	default:
		return nil, bad("400", "Request failed, unresolved class for %s", kind)
	}
	for _, n := range names {
		if c.fault.unsupported[n] {
			return nil, bad("12", "Class %s is not supported", n)
		}
		cs, a := f.resolve(n)
		if a != nil {
			return nil, a
		}
		for _, k := range cs {
			q.classes = append(q.classes, k)
			q.isClass[k] = true
		}
	}
	ps, a := params(raw)
	if a != nil {
		return nil, a
	}
	var props []property
	classSet := func(list string) (map[*class]bool, *Answer) {
		m := map[*class]bool{}
		for n := range strings.SplitSeq(list, ",") {
			cs, a := f.resolve(n)
			if a != nil {
				return nil, a
			}
			for _, k := range cs {
				m[k] = true
			}
		}
		return m, nil
	}
	targetOf := func(name, v string, words ...string) (target, *Answer) {
		i := slices.Index(words, v)
		if i < 0 {
			return 0, bad("400", "Invalid request. Wrong value %s of %s", v, name)
		}
		return target(i), nil
	}
	for _, p := range ps {
		name, v := p[0], p[1]
		if v == "" && name != "subscription" {
			continue
		}
		switch name {
		case "query-target":
			q.target, a = targetOf(name, v, "self", "children", "subtree")
		case "target-subtree-class":
			q.targets, a = classSet(v)
		case "query-target-filter", "rsp-subtree-filter":
			if !f.opts.Lenient && touchy(p[2]) {
				return nil, bad("400", "Invalid request. Wrong filter format: %s", p[2])
			}
			fn, pr, err := parseFilter(v)
			if err != nil {
				return nil, bad("107", "Invalid request. %v", err)
			}
			props = append(props, pr...)
			if name == "query-target-filter" {
				q.filter = fn
			} else {
				q.innerFit = fn
			}
		case "rsp-subtree":
			if v == "modified" {
				continue // of POST
			}
			q.subtree, a = targetOf(name, v, "no", "children", "full")
		case "rsp-subtree-class":
			q.inner, a = classSet(v)
		case "rsp-subtree-include":
			for w := range strings.SplitSeq(v, ",") {
				switch w {
				case "faults":
					q.faults = true
				case "health":
					q.health = true
				case "audit-logs":
					q.audit = true
				case "event-logs":
					q.events = true
				case "fault-records":
					q.records = true
				case "count":
					q.count = true
				case "required":
					q.required = true
				case "no-scoped":
					q.noScoped = true
				case "subtree":
					q.deep = true
				case "stats", "relations", "relations-with-parent", "tasks", "fault-count", "port-deployment", "ep-records", "custom-path":
				default:
					return nil, bad("400", "Invalid request. Wrong value %s of %s", w, name)
				}
			}
		case "rsp-prop-include":
			if v != "all" && v != "naming-only" && v != "config-only" {
				return nil, bad("400", "Invalid request. Wrong value %s of %s", v, name)
			}
		case "order-by":
			a = q.parseOrder(v)
		case "page", "page-size":
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 || name == "page-size" && n == 0 {
				return nil, bad("400", "Invalid request. Wrong value %s of %s", v, name)
			}
			if name == "page" {
				q.page = n
			} else {
				q.size = n
			}
		case "time-range":
			a = q.parseRange(v)
		case "subscription":
			q.subscribe = v == "yes"
		case "refresh-timeout":
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return nil, bad("400", "Invalid request. Wrong value %s of refresh-timeout", v)
			}
			q.refresh = time.Duration(n) * time.Second
		}
		if a != nil {
			return nil, a
		}
	}
	for _, k := range q.order {
		props = append(props, k.prop)
	}
	for _, p := range props {
		if a := f.checkProperty(p); a != nil {
			return nil, a
		}
	}
	return q, nil
}

// cutFormat takes .json or .xml off a path.
func cutFormat(path string) (string, bool) {
	if p, ok := strings.CutSuffix(path, ".json"); ok {
		return p, false
	}
	if p, ok := strings.CutSuffix(path, ".xml"); ok {
		return p, true
	}
	return path, false
}

// touchy finds the escapes that APIC's filter parser chokes on.
func touchy(raw string) bool {
	l := strings.ToLower(raw)
	return strings.Contains(l, "%28") || strings.Contains(l, "%29") || strings.Contains(l, "%2c")
}

// resolve returns the concrete classes of a name, or the refusal.
func (f *Fabric) resolve(name string) ([]*class, *Answer) {
	if cs := f.expandLocked(name); cs != nil {
		return cs, nil
	}
	if f.opts.AnyClass && validClass(name) {
		// Not remembered: a query holds the read lock only. A subscription to a
		// class that does not exist yet finds it under its name later.
		return []*class{newClass(name)}, nil
	}
	return nil, bad("400", "Request failed, unresolved class for %s", name)
}

// checkProperty refuses a property that its class does not have, as far as the
// simulator knows the class.
func (f *Fabric) checkProperty(p property) *Answer {
	cs, a := f.resolve(p.class)
	if a != nil {
		return a
	}
	for _, c := range cs {
		if _, ok := c.keys[p.name]; ok || len(c.names) == keyFirst {
			return nil
		}
	}
	return bad("107", "Invalid request. Property %s not found in class %s", p.name, p.class)
}

func (q *query) parseOrder(v string) *Answer {
	for part := range strings.SplitSeq(v, ",") {
		name, dir, _ := strings.Cut(part, "|")
		class, prop, ok := strings.Cut(name, ".")
		if !ok || class == "" || prop == "" || dir != "" && dir != "asc" && dir != "desc" {
			return bad("400", "Invalid request. Wrong value %s of order-by", part)
		}
		q.order = append(q.order, orderKey{property{class, prop}, dir == "desc"})
	}
	return nil
}

// parseRange reads 24h, 1week, or two dates with a pipe between them.
func (q *query) parseRange(v string) *Answer {
	if a, b, ok := strings.Cut(v, "|"); ok {
		from, err1 := parseMoment(a)
		to, err2 := parseMoment(b)
		if err1 != nil || err2 != nil {
			return bad("400", "Invalid request. Wrong value %s of time-range", v)
		}
		q.since, q.until = from, to
		return nil
	}
	i := 0
	for i < len(v) && v[i] >= '0' && v[i] <= '9' {
		i++
	}
	n, _ := strconv.Atoi(v[:i])
	unit, ok := map[string]time.Duration{
		"s": time.Second, "m": time.Minute, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "day": 24 * time.Hour,
		"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour,
	}[strings.TrimSuffix(v[i:], "s")]
	if v[i:] == "s" {
		unit, ok = time.Second, true
	}
	if !ok || n == 0 {
		return bad("400", "Invalid request. Wrong value %s of time-range", v)
	}
	q.since = time.Now().Add(-time.Duration(n) * unit)
	return nil
}

// inTarget reports whether an object is one of the query's own, filter aside.
func (q *query) inTarget(n *node) bool {
	if n == nil || n.cls == nil {
		return false
	}
	if q.target != self && q.targets != nil && !has(q.targets, n.cls) {
		return false
	}
	if q.mo {
		switch q.target {
		case self:
			return n.dn == q.dn
		case children:
			return n.parent != nil && n.parent.dn == q.dn
		}
		return n.below(q.dn)
	}
	root := func(n *node) bool {
		return n != nil && n.cls != nil && has(q.isClass, n.cls) && (q.dn == "" || n.below(q.dn))
	}
	switch q.target {
	case self:
		return root(n)
	case children:
		return root(n.parent)
	}
	for ; n != nil; n = n.parent {
		if root(n) {
			return true
		}
	}
	return false
}

// has looks a class up; a class that came into being after the query was
// compiled is found by its name.
func has(m map[*class]bool, c *class) bool {
	if m[c] {
		return true
	}
	for k := range m {
		if k.name == c.name {
			return true
		}
	}
	return false
}

// covers reports whether a change of an object is the subscription's business.
func (q *query) covers(n *node, status string) bool {
	if q.noScoped && (q.faults || q.health || q.audit || q.events || q.records) {
		return q.included(n)
	}
	if q.inTarget(n) && (q.filter == nil || q.filter(n, status)) {
		return true
	}
	if q.included(n) {
		return true
	}
	if q.subtree != self && !q.quietKids && (q.inner == nil || has(q.inner, n.cls)) {
		for p := n.parent; p != nil; p = p.parent {
			if q.inTarget(p) && (q.filter == nil || q.filter(p, "")) {
				return q.innerFit == nil || q.innerFit(n, status)
			}
			if q.subtree == children {
				break
			}
		}
	}
	return false
}

// included reports whether the object is one that rsp-subtree-include adds.
func (q *query) included(n *node) bool {
	if !q.includes(n.cls) {
		return false
	}
	fits := func(p *node) bool { return q.inTarget(p) && (q.filter == nil || q.filter(p, "")) }
	if isRecord(n.cls) {
		dn := n.attr("affected")
		return dn != "" && fits(&node{dn: dn, cls: newAffected(q, n, dn), parent: nil})
	}
	for p := n.parent; p != nil; p = p.parent {
		if fits(p) {
			return true
		}
		if !q.deep && q.subtree != subtree {
			return false
		}
	}
	return false
}

// newAffected is a stand-in for the class of what a record is about: the object
// may be gone. Only queries of objects can decide by DN alone.
func newAffected(q *query, n *node, dn string) *class {
	if q.mo {
		return n.cls
	}
	for _, c := range q.classes {
		if _, rn := splitDN(dn); c.readRN(rn, func(string, string) {}) {
			return c
		}
	}
	return n.cls
}

func isRecord(c *class) bool {
	switch c.name {
	case "aaaModLR", "eventRecord", "faultRecord":
		return true
	}
	return false
}

func (q *query) includes(c *class) bool {
	switch c.name {
	case "faultInst", "faultDelegate":
		return q.faults
	case "healthInst", "fabricHealthTotal":
		return q.health
	case "aaaModLR":
		return q.audit
	case "eventRecord":
		return q.events
	case "faultRecord":
		return q.records
	}
	return false
}

// mayCover is covers by class alone.
func (q *query) mayCover(c *class) bool {
	if q.includes(c) {
		return true
	}
	if q.subtree != self && !q.quietKids {
		return true
	}
	if q.target != self {
		return q.targets == nil || has(q.targets, c)
	}
	return q.mo || has(q.isClass, c)
}

// runLocked finds the objects of a query, in order. The slice may belong to the
// tree, and is not to be changed.
func (c *Controller) runLocked(q *query, t *tree) []*node {
	var out []*node
	switch {
	case q.mo:
		n := t.nodes[q.dn]
		switch {
		case n == nil:
		case q.target == self:
			if n.cls != nil {
				out = []*node{n}
			}
		case q.target == children:
			for _, k := range n.kids {
				if k.cls != nil && (q.targets == nil || has(q.targets, k.cls)) {
					out = append(out, k)
				}
			}
		default:
			out = c.below(t, n, q.targets)
		}
	case q.target == self && q.dn == "" && len(q.classes) == 1 && len(c.fault.hidden) == 0 && q.since.IsZero() && !q.noScoped && !q.required &&
		(q.filter == nil || len(q.order) > 0):
		// The common case costs nothing, even in the order of DNs.
		k := q.classes[0]
		if len(q.order) == 1 && q.order[0].prop.name == "dn" && slices.Contains(append([]string{k.name}, k.super...), q.order[0].prop.class) {
			out = t.extent2(k).byDN()
			if q.order[0].desc {
				out = slices.Clone(out)
				slices.Reverse(out)
			}
			if q.filter != nil {
				out = slices.DeleteFunc(slices.Clone(out), func(n *node) bool { return !q.filter(n, "") })
			}
			return out
		}
		out = t.list(k)
		if q.filter == nil && len(q.order) == 0 {
			return out
		}
		out = slices.Clone(out)
	default:
		seen := map[*node]bool{}
		add := func(n *node) {
			if n.cls == nil || q.targets != nil && q.target != self && !has(q.targets, n.cls) {
				return
			}
			if q.target == subtree {
				if seen[n] {
					return
				}
				seen[n] = true
			}
			out = append(out, n)
		}
		for _, k := range q.classes {
			for _, n := range t.list(k) {
				if q.dn != "" && !n.below(q.dn) {
					continue
				}
				switch q.target {
				case self:
					add(n)
				case children:
					for _, kid := range n.kids {
						add(kid)
					}
				default:
					walk(n, add)
				}
			}
		}
	}
	if q.filter != nil {
		out = slices.DeleteFunc(slices.Clone(out), func(n *node) bool { return !q.filter(n, "") })
	}
	if len(c.fault.hidden) > 0 {
		out = slices.DeleteFunc(slices.Clone(out), func(n *node) bool { return c.hiddenDN(n.dn) })
	}
	if !q.since.IsZero() {
		out = slices.DeleteFunc(slices.Clone(out), func(n *node) bool { return !q.inRange(n) })
	}
	if q.required {
		out = slices.DeleteFunc(slices.Clone(out), func(n *node) bool { return len(c.extra(q, t, n)) == 0 })
	}
	if q.noScoped {
		var inner []*node
		for _, n := range out {
			inner = append(inner, c.extra(q, t, n)...)
		}
		out = inner
	}
	if len(q.order) > 0 {
		out = slices.Clone(out)
		slices.SortStableFunc(out, func(a, b *node) int {
			for _, k := range q.order {
				x, _ := k.prop.of(a, "")
				y, _ := k.prop.of(b, "")
				d := 0
				if k.prop.name == "dn" {
					d = strings.Compare(x, y)
				} else {
					d = compareValues(x, y)
				}
				if k.desc {
					d = -d
				}
				if d != 0 {
					return d
				}
			}
			return 0
		})
	}
	return out
}

// below returns the objects of the classes at a place and under it. Where the
// classes are few it looks through them instead of through the tree.
func (c *Controller) below(t *tree, top *node, want map[*class]bool) []*node {
	var out []*node
	if want != nil && top.parent == nil {
		// In an order that does not depend on the map: runs are repeatable.
		classes := slices.SortedFunc(maps.Keys(want), func(a, b *class) int { return strings.Compare(a.name, b.name) })
		for _, k := range classes {
			for _, n := range t.list(k) {
				if n.below(top.dn) {
					out = append(out, n)
				}
			}
		}
		return out
	}
	walk(top, func(n *node) {
		if want == nil || has(want, n.cls) {
			out = append(out, n)
		}
	})
	return out
}

// extent2 is extent for readers: it never adds one to the tree.
func (t *tree) extent2(c *class) *extent {
	if e := t.extents[c]; e != nil {
		return e
	}
	return &extent{}
}

// inRange applies time-range to what has a moment of creation.
func (q *query) inRange(n *node) bool {
	t, err := time.Parse(time.RFC3339Nano, n.attr("created"))
	if err != nil {
		return true
	}
	return !t.Before(q.since) && (q.until.IsZero() || !t.After(q.until))
}

// extra returns what rsp-subtree-include adds to an object.
func (c *Controller) extra(q *query, t *tree, n *node) []*node {
	var out []*node
	take := func(k *node) {
		if q.includes(k.cls) && !c.hiddenDN(k.dn) && (q.innerFit == nil || q.innerFit(k, "")) {
			out = append(out, k)
		}
	}
	if q.faults || q.health {
		if q.deep || q.subtree == subtree {
			for _, k := range n.kids {
				walk(k, take)
			}
		} else {
			for _, k := range n.kids {
				if k.cls != nil {
					take(k)
				}
			}
		}
	}
	if q.audit || q.events || q.records {
		if s := t.nodes["subj-["+n.dn+"]"]; s != nil {
			for _, k := range s.kids {
				if k.cls != nil && (q.since.IsZero() || q.inRange(k)) {
					take(k)
				}
			}
		}
	}
	return out
}

// page cuts one page out of a result. Without order-by the order differs from
// page to page, so that a walk finds duplicates and holes.
func (q *query) cut(nodes []*node, rng *rand.Rand, stable bool) []*node {
	if q.size == 0 {
		return nodes
	}
	from := min(q.page*q.size, len(nodes))
	if q.page > len(nodes) {
		from = len(nodes)
	}
	to := min(from+q.size, len(nodes))
	if len(q.order) > 0 || stable || q.size >= len(nodes) || rng == nil {
		return nodes[from:to]
	}
	out := make([]*node, 0, to-from)
	shift := rng.IntN(len(nodes))
	for i := from; i < to; i++ {
		out = append(out, nodes[(i+shift)%len(nodes)])
	}
	return out
}

// encodeLocked writes the answer of a query. id is that of the subscription, if
// there is one.
func (c *Controller) encodeLocked(q *query, t *tree, nodes []*node, total int, id string) []byte {
	f := format{xml: q.xml, zone: c.zone}
	var dst []byte
	if len(nodes) > 100 {
		dst = make([]byte, 0, 1000*len(nodes))
	}
	if q.xml {
		dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?><imdata`...)
		if id != "" {
			dst = append(append(append(dst, ` subscriptionId="`...), id...), '"')
		}
		dst = fmt.Appendf(dst, ` totalCount="%d">`, total)
	} else {
		dst = append(dst, '{')
		if id != "" {
			dst = append(append(append(dst, `"subscriptionId":"`...), id...), `",`...)
		}
		dst = fmt.Appendf(dst, `"totalCount":"%d","imdata":[`, total)
	}
	if q.count {
		if q.xml {
			dst = fmt.Appendf(dst, `<moCount childAction="" count="%d" dn="" status=""/>`, len(nodes))
		} else {
			dst = fmt.Appendf(dst, `{"moCount":{"attributes":{"childAction":"","count":"%d","dn":"","status":""}}}`, len(nodes))
		}
	} else {
		for i, n := range nodes {
			if i > 0 && !q.xml {
				dst = append(dst, ',')
			}
			dst = c.appendTree(dst, f, q, t, n, shape{}, 0)
		}
	}
	if q.xml {
		return append(dst, "</imdata>"...)
	}
	return append(dst, "]}"...)
}

// appendTree writes an object with as much below it as the query asks for.
func (c *Controller) appendTree(dst []byte, f format, q *query, t *tree, n *node, s shape, depth int) []byte {
	nest := q.subtree == subtree || q.subtree == children && depth == 0
	extras := depth == 0 && !q.noScoped && (q.faults || q.health || q.audit || q.events || q.records)
	if !nest && !extras {
		return f.appendObject(dst, n, s, nil)
	}
	return f.appendObject(dst, n, s, func(dst []byte) ([]byte, bool) {
		any := false
		sep := func() {
			if any && !f.xml {
				dst = append(dst, ',')
			}
			any = true
		}
		if nest && depth < 200 {
			for _, k := range n.kids {
				if c.hiddenDN(k.dn) {
					continue
				}
				if k.cls == nil || q.includes(k.cls) {
					continue
				}
				fits := (q.inner == nil || has(q.inner, k.cls)) && (q.innerFit == nil || q.innerFit(k, ""))
				if !fits && !(q.subtree == subtree && q.holds(k)) {
					continue
				}
				sep()
				dst = c.appendTree(dst, f, q, t, k, shape{nested: true}, depth+1)
			}
		}
		if extras {
			for _, k := range c.extra(q, t, n) {
				sep()
				dst = f.appendObject(dst, k, shape{nested: k.parent == n}, nil)
			}
		}
		return dst, any
	})
}

// holds reports whether something that rsp-subtree-class asks for is below n, so
// that n must be shown to hold it.
func (q *query) holds(n *node) bool {
	for _, k := range n.kids {
		if k.cls != nil && (q.inner == nil || has(q.inner, k.cls)) && (q.innerFit == nil || q.innerFit(k, "")) || q.holds(k) {
			return true
		}
	}
	return false
}
