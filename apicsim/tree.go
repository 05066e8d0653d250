package apicsim

import (
	"slices"
	"strings"
	"sync"
)

// never is the modTs of objects that have none: records, health.
const never = -1 << 63

// attr is one attribute that an object sets, against the default of its class.
type attr struct {
	key   uint16
	value string
}

// node is one place of the tree: an object, or (cls nil) a name that something
// below needs. Its attributes are what differs from the class, so that a
// hundred thousand endpoints are cheap.
type node struct {
	dn     string
	cls    *class // nil: no object here
	parent *node  // nil: at the top
	kids   []*node
	kidPos int32 // index in parent.kids
	pos    int32 // index in the extent's list
	attrs  []attr
	modTs  int64 // Unix milliseconds, or never
	born   int64 // Unix milliseconds of the creation
}

// rn is the last part of the DN.
func (n *node) rn() string {
	if n.parent == nil {
		return n.dn
	}
	return n.dn[len(n.parent.dn)+1:]
}

// get returns an attribute; ok is false if the object has none of that name.
// The five made-up ones are the caller's business.
func (n *node) get(key uint16) (string, bool) {
	for i := range n.attrs {
		if n.attrs[i].key == key {
			return n.attrs[i].value, true
		}
	}
	return n.cls.defaults[key], n.cls.has[key]
}

// attr returns an attribute by name, "" if there is none.
func (n *node) attr(name string) string {
	k, ok := n.cls.keys[name]
	if !ok {
		return ""
	}
	v, _ := n.get(k)
	return v
}

// set stores an attribute and reports whether that changed anything.
func (n *node) set(key uint16, value string) bool {
	for i := range n.attrs {
		if n.attrs[i].key == key {
			if n.attrs[i].value == value {
				return false
			}
			n.attrs[i].value = value
			return true
		}
	}
	if n.cls.has[key] && n.cls.defaults[key] == value {
		return false
	}
	n.attrs = append(n.attrs, attr{key, value})
	return true
}

// below reports whether n is at dn or under it.
func (n *node) below(dn string) bool { return isBelow(n.dn, dn) }

func isBelow(dn, top string) bool {
	return strings.HasPrefix(dn, top) && (len(dn) == len(top) || dn[len(top)] == '/')
}

// splitDN cuts a DN before its last RN: at the last "/" outside brackets. With
// unbalanced brackets, the rest from the first open one on is a single RN.
func splitDN(dn string) (parent, rn string) {
	depth, cut := 0, -1
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '[':
			depth++
		case ']':
			if depth > 0 {
				depth--
			}
		case '/':
			if depth == 0 {
				cut = i
			}
		}
	}
	if cut < 0 {
		return "", dn
	}
	return dn[:cut], dn[cut+1:]
}

// extent is all objects of one class.
type extent struct {
	list []*node // unordered: a deletion moves the last one into the hole

	// The same objects by DN, made when first asked for and repaired lazily.
	mu     sync.Mutex // guards the fields below against concurrent readers of the tree
	sorted []*node
	added  []*node // not yet in sorted
	dead   int     // how many of sorted are gone (their pos is -1)
	made   bool
}

// byDN returns the objects in the order of their DNs. The slice is not to be
// changed, and valid as long as the tree is locked.
func (e *extent) byDN() []*node {
	e.mu.Lock()
	defer e.mu.Unlock()
	cmp := func(a, b *node) int { return strings.Compare(a.dn, b.dn) }
	switch {
	case !e.made:
		e.sorted = slices.Clone(e.list)
		slices.SortFunc(e.sorted, cmp)
		e.made = true
	case e.dead == 0 && len(e.added) == 0:
	default:
		slices.SortFunc(e.added, cmp)
		out := make([]*node, 0, len(e.list))
		i, j := 0, 0
		for i < len(e.sorted) || j < len(e.added) {
			var n *node
			if j == len(e.added) || i < len(e.sorted) && cmp(e.sorted[i], e.added[j]) <= 0 {
				n = e.sorted[i]
				i++
			} else {
				n = e.added[j]
				j++
			}
			// A name that was deleted and made again is in both lists.
			live := n.pos >= 0 && int(n.pos) < len(e.list) && e.list[n.pos] == n
			if live && (len(out) == 0 || out[len(out)-1] != n) {
				out = append(out, n)
			}
		}
		e.sorted = out
	}
	e.added, e.dead = nil, 0
	return e.sorted
}

func (e *extent) add(n *node) {
	n.pos = int32(len(e.list))
	e.list = append(e.list, n)
	if e.made {
		e.added = append(e.added, n)
	}
}

func (e *extent) remove(n *node) {
	last := len(e.list) - 1
	e.list[n.pos] = e.list[last]
	e.list[n.pos].pos = n.pos
	e.list[last] = nil
	e.list = e.list[:last]
	n.pos = -1
	if e.made {
		e.dead++
		// Otherwise a class that is never listed again would keep its dead.
		if e.dead+len(e.added) > len(e.list)+1000 {
			e.sorted, e.added, e.dead, e.made = nil, nil, 0, false
		}
	}
}

// tree is the management information tree. The fabric's lock guards it.
type tree struct {
	nodes   map[string]*node
	extents map[*class]*extent
}

func newTree() *tree {
	return &tree{nodes: map[string]*node{}, extents: map[*class]*extent{}}
}

// object returns the object at a DN, nil if there is none.
func (t *tree) object(dn string) *node {
	if n := t.nodes[dn]; n != nil && n.cls != nil {
		return n
	}
	return nil
}

func (t *tree) extent(c *class) *extent {
	e := t.extents[c]
	if e == nil {
		e = &extent{}
		t.extents[c] = e
	}
	return e
}

func (t *tree) list(c *class) []*node {
	if e := t.extents[c]; e != nil {
		return e.list
	}
	return nil
}

// place returns the node at a DN, made along with the names above it if need be.
func (t *tree) place(dn string) *node {
	if n := t.nodes[dn]; n != nil {
		return n
	}
	n := &node{dn: dn, pos: -1}
	t.nodes[dn] = n
	if p, rn := splitDN(dn); p != "" && rn != "" {
		n.parent = t.place(p)
		n.kidPos = int32(len(n.parent.kids))
		n.parent.kids = append(n.parent.kids, n)
	}
	return n
}

// add makes an object of the node.
func (t *tree) add(n *node, c *class) {
	n.cls = c
	t.extent(c).add(n)
}

// remove takes an object away. What is below it stays: the caller has removed it
// first.
func (t *tree) remove(n *node) {
	t.extent(n.cls).remove(n)
	// The class stays on the node: whoever still holds it may ask for it.
	for len(n.kids) == 0 && n.pos < 0 {
		delete(t.nodes, n.dn)
		p := n.parent
		if p == nil {
			return
		}
		last := len(p.kids) - 1
		p.kids[n.kidPos] = p.kids[last]
		p.kids[n.kidPos].kidPos = n.kidPos
		p.kids[last] = nil
		p.kids = p.kids[:last]
		if p.cls != nil {
			return
		}
		n = p
	}
	if n.pos < 0 {
		n.cls, n.attrs = nil, nil // others hang below: a mere name from now on
	}
}

// walk calls fn for the objects at n and below, parents first.
func walk(n *node, fn func(*node)) {
	if n.cls != nil {
		fn(n)
	}
	for _, k := range n.kids {
		walk(k, fn)
	}
}

// walkUp is walk with the children first.
func walkUp(n *node, fn func(*node)) {
	for _, k := range n.kids {
		walkUp(k, fn)
	}
	if n.cls != nil {
		fn(n)
	}
}

// clone copies the tree, for a controller that lags behind.
func (t *tree) clone() *tree {
	c := newTree()
	for dn, n := range t.nodes {
		m := c.place(dn)
		if n.cls != nil {
			m.attrs, m.modTs, m.born = slices.Clone(n.attrs), n.modTs, n.born
			c.add(m, n.cls)
		}
	}
	return c
}
