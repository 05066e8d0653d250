package apic

import "time"

// A kept is a change that came while a list was under way.
type kept struct {
	mo      mo
	at      time.Time
	seq     int  // order of arrival
	applied bool // told already, through another subscription
}

// bare returns the attributes of an object without those of the message.
func bare(a Attrs) Attrs { return a.Without(transport) }

// told returns how many of the changes of one object, in the order of arrival,
// a list already says: it was read after them. list is nil when the list has
// no such object. The remaining changes came after the list was read.
//
// A list and the frames beside it overlap in both directions, and there is no
// sequence number. But the state that the changes lead to is on record in the
// list if the list was read behind them: so the longest beginning that leads
// to what the list says counts as told. modTs takes part in that where it is
// sent, so an object that went there and back is not mistaken.
func told(list *mo, changes []kept) int {
	n := 0
	var laid Attrs // what the changes so far say of the object
	gone, known := false, false
	for i, c := range changes {
		switch Status(c.mo.status) {
		case Deleted:
			laid, gone, known = Attrs{}, true, true
		case Created:
			laid, gone, known = bare(c.mo.attrs), false, true
		case Modified:
			laid, gone, known = laid.With(bare(c.mo.attrs)), false, true
		default: // a word that says nothing certain
			continue
		}
		if !known {
			continue
		}
		if gone == (list == nil) && (gone || contains(bare(list.attrs), laid)) {
			n = i + 1
		}
	}
	return n
}

// contains reports whether every attribute of b stands in a.
func contains(a, b Attrs) bool { return a.With(b) == a }

// after folds changes over a state; nil is no object.
func after(state *Attrs, changes []kept) *Attrs {
	for _, c := range changes {
		switch Status(c.mo.status) {
		case Deleted:
			state = nil
		case Created:
			a := bare(c.mo.attrs)
			state = &a
		case Modified:
			if state != nil {
				a := state.With(bare(c.mo.attrs))
				state = &a
			}
		}
	}
	return state
}

// delta returns the attributes of b that a does not have, with the DN.
func delta(a, b Attrs, dn DN) Attrs {
	pairs := []Attr{{"dn", string(dn)}, {"status", string(Modified)}}
	for n, v := range b.All() {
		if old, ok := a.Lookup(n); n != "dn" && (!ok || old != v) {
			pairs = append(pairs, Attr{n, v})
		}
	}
	return AttrsOf(pairs)
}
