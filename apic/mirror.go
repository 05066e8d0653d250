package apic

import (
	"sync"

	"github.com/tidwall/btree"
)

// An object is what the mirror holds of one object. It is immutable: a change
// puts another in its place.
type object struct {
	dn    DN
	class Class
	attrs Attrs // without what belongs to the message (status, childAction, rn)
	last  ID    // its last event, 0 when it never had one
}

// A mirror is the fold of the timeline: what is true now. Only apply writes
// it. What apply has decided and not yet made durable stands staged beside it,
// so that readers never see what a crash would take back.
type mirror struct {
	staged map[DN]staged // owned by apply

	mu      sync.RWMutex // guards the fields below against readers; apply alone writes
	objects map[DN]*object
	order   *btree.BTreeG[*object] // the same, by DN
	classes map[Class]int          // objects of each class
	asOf    ID                     // the place on the timeline that this is the state of
}

// A staged object waits for its entry to become durable.
type staged struct {
	object *object // nil: gone
	entry  int     // of the batch, -1 when there is no event
}

func newMirror() *mirror {
	return &mirror{
		staged:  make(map[DN]staged),
		objects: make(map[DN]*object),
		classes: make(map[Class]int),
		order:   btree.NewBTreeGOptions(func(a, b *object) bool { return a.dn < b.dn }, btree.Options{NoLocks: true}),
	}
}

// get returns what apply knows of a DN, nil for nothing.
func (m *mirror) get(dn DN) *object {
	if s, ok := m.staged[dn]; ok {
		return s.object
	}
	return m.objects[dn]
}

// class returns the class of the object at a DN, "" for none.
func (m *mirror) class(dn DN) Class {
	if o := m.get(dn); o != nil {
		return o.class
	}
	return ""
}

// stage puts an object, or nil for its deletion, with the entry that tells it.
func (m *mirror) stage(dn DN, o *object, entry int) {
	m.staged[dn] = staged{o, entry}
}

func (m *mirror) isStaged(dn DN) bool {
	_, ok := m.staged[dn]
	return ok
}

// commit makes visible what is staged, once its batch is durable as entries.
func (m *mirror) commit(entries []*Entry, newest ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for dn, s := range m.staged {
		if s.object == nil {
			m.remove(dn)
			continue
		}
		if s.entry >= 0 {
			s.object.last = entries[s.entry].ID // not yet shared with anybody
		}
		m.put(s.object)
	}
	clear(m.staged)
	m.asOf = newest
}

func (m *mirror) put(o *object) {
	if old, ok := m.objects[o.dn]; ok {
		m.classes[old.class]--
	}
	m.classes[o.class]++
	m.objects[o.dn] = o
	m.order.Set(o)
}

func (m *mirror) remove(dn DN) {
	if o, ok := m.objects[dn]; ok {
		m.classes[o.class]--
		delete(m.objects, dn)
		m.order.Delete(o)
	}
}

// count returns how many committed objects a query covers.
func (m *mirror) count(q Query) int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := 0
	switch {
	case q.DN == "" && q.Scope == ScopeSelf:
		for _, c := range q.Classes() {
			n += m.classes[c]
		}
	case q.Scope == ScopeSelf:
		if o := m.objects[q.DN]; o != nil {
			n = 1
		}
	default:
		class := func(dn DN) Class {
			if o := m.objects[dn]; o != nil {
				return o.class
			}
			return ""
		}
		m.order.Ascend(&object{dn: q.DN}, func(o *object) bool {
			if q.DN != "" && (len(o.dn) < len(q.DN) || o.dn[:len(q.DN)] != q.DN) {
				return false
			}
			if q.Covers(o.class, o.dn, class) {
				n++
			}
			return true
		})
	}
	return n
}

// below returns the committed objects strictly below a DN, in order, with
// what is staged taken into account. It is for apply.
func (m *mirror) below(dn DN) []*object {
	var list []*object
	prefix := dn + "/"
	m.order.Ascend(&object{dn: prefix}, func(o *object) bool {
		if len(o.dn) < len(prefix) || o.dn[:len(prefix)] != prefix {
			return false
		}
		if s, ok := m.staged[o.dn]; (!ok || s.object != nil) && o.dn.Below(dn) {
			if ok {
				o = s.object
			}
			list = append(list, o)
		}
		return true
	})
	for d, s := range m.staged { // created in this very batch
		if s.object != nil && d.Below(dn) && m.objects[d] == nil {
			list = append(list, s.object)
		}
	}
	return list
}

// all calls yield for every object that apply knows, in no order.
func (m *mirror) all(yield func(*object) bool) {
	for dn, o := range m.objects {
		if s, ok := m.staged[dn]; ok {
			if o = s.object; o == nil {
				continue
			}
		}
		if !yield(o) {
			return
		}
	}
	for dn, s := range m.staged {
		if s.object != nil && m.objects[dn] == nil {
			if !yield(s.object) {
				return
			}
		}
	}
}

// read yields the objects behind a DN in order, as readers may see them, and
// returns the place that this is the state of.
func (m *mirror) read(after DN, yield func(*object) bool) ID {
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.order.Ascend(&object{dn: after}, func(o *object) bool {
		return o.dn == after || yield(o)
	})
	return m.asOf
}
