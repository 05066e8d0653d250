package apic

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"unique"

	"github.com/go-json-experiment/json/jsontext"
)

// Attrs is an immutable set of an object's attributes, sorted by name. APIC
// sends every value as text.
//
// It is kept small, as a mirror holds one for every object of the fabric: the
// names stand once for all objects that have the same ones, and the values of
// one object are one string. The zero value has no attributes. Two sets with
// the same content are equal by ==.
type Attrs struct {
	names  unique.Handle[string] // each name with its length before it; unset when there is none
	values string                // each value with its length before it, in the order of names
}

// An Attr is one attribute.
type Attr struct{ Name, Value string }

// AttrsOf makes a set of pairs in any order. Of a name that occurs twice the
// later value counts. It keeps neither the slice nor the strings, and sorts
// the slice in place.
func AttrsOf(pairs []Attr) Attrs {
	if len(pairs) == 0 {
		return Attrs{}
	}
	byName := func(a, b Attr) int { return cmp.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(pairs, byName) {
		slices.SortStableFunc(pairs, byName)
	}
	var nbuf, vbuf [1024]byte
	names, values := nbuf[:0], vbuf[:0]
	for i, p := range pairs {
		if i+1 < len(pairs) && pairs[i+1].Name == p.Name {
			continue
		}
		names = appendText(names, p.Name)
		values = appendText(values, p.Value)
	}
	return Attrs{unique.Make(string(names)), string(values)}
}

// AttrsMap makes a set of a map.
func AttrsMap(m map[string]string) Attrs {
	pairs := make([]Attr, 0, len(m))
	for name, value := range m {
		pairs = append(pairs, Attr{name, value})
	}
	return AttrsOf(pairs)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// cutText splits the first text off a packed list that is not empty.
func cutText(s string) (text, rest string) {
	n, size := uint64(s[0]), 1
	if n >= 0x80 {
		n, size = 0, 0
		for shift := 0; ; shift += 7 {
			c := s[size]
			size++
			n |= uint64(c&0x7f) << shift
			if c < 0x80 {
				break
			}
		}
	}
	return s[size : size+int(n)], s[size+int(n):]
}

// IsZero reports whether there are no attributes.
func (a Attrs) IsZero() bool { return a.values == "" }

func (a Attrs) packedNames() string {
	if a.values == "" { // a value is at least its length byte
		return ""
	}
	return a.names.Value()
}

// Len returns the number of attributes.
func (a Attrs) Len() int {
	n := 0
	for names := a.packedNames(); names != ""; n++ {
		_, names = cutText(names)
	}
	return n
}

// Size returns the bytes that the values take, which is what an object costs
// beside its DN.
func (a Attrs) Size() int { return len(a.values) }

// All yields names and values, sorted by name.
func (a Attrs) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		names, values := a.packedNames(), a.values
		var name, value string
		for names != "" {
			name, names = cutText(names)
			value, values = cutText(values)
			if !yield(name, value) {
				return
			}
		}
	}
}

// Lookup returns the value of a name and whether it is there.
func (a Attrs) Lookup(name string) (string, bool) {
	for n, v := range a.All() {
		if n == name {
			return v, true
		}
		if n > name {
			break
		}
	}
	return "", false
}

// Get returns the value of a name, "" when it is not there.
func (a Attrs) Get(name string) string {
	v, _ := a.Lookup(name)
	return v
}

// Map returns the attributes as a new map.
func (a Attrs) Map() map[string]string {
	m := make(map[string]string)
	for n, v := range a.All() {
		m[n] = v
	}
	return m
}

// Pairs returns the attributes as a new slice, sorted by name.
func (a Attrs) Pairs() []Attr {
	var pairs []Attr
	for n, v := range a.All() {
		pairs = append(pairs, Attr{n, v})
	}
	return pairs
}

// With returns a with the attributes of b laid over it.
func (a Attrs) With(b Attrs) Attrs {
	if a.IsZero() {
		return b
	}
	if b.IsZero() || a == b {
		return a
	}
	if a.names == b.names {
		return b
	}
	var nbuf, vbuf [1024]byte
	names, values := nbuf[:0], vbuf[:0]
	an, av, bn, bv := a.packedNames(), a.values, b.packedNames(), b.values
	grown := false
	for an != "" || bn != "" {
		var order int
		switch {
		case an == "":
			order = 1
		case bn == "":
			order = -1
		default:
			x, _ := cutText(an)
			y, _ := cutText(bn)
			order = cmp.Compare(x, y)
		}
		var n, v string
		if order <= 0 {
			n, an = cutText(an)
			v, av = cutText(av)
		}
		if order >= 0 {
			grown = grown || order > 0
			n, bn = cutText(bn)
			v, bv = cutText(bv)
		}
		names = appendText(names, n)
		values = appendText(values, v)
	}
	if !grown { // every name of b was known
		return Attrs{a.names, string(values)}
	}
	return Attrs{unique.Make(string(names)), string(values)}
}

// Without returns a less the attributes that drop names.
func (a Attrs) Without(drop func(name string) bool) Attrs {
	found := false
	for n := range a.All() {
		if drop(n) {
			found = true
			break
		}
	}
	if !found {
		return a
	}
	var pairs []Attr
	for n, v := range a.All() {
		if !drop(n) {
			pairs = append(pairs, Attr{n, v})
		}
	}
	return AttrsOf(pairs)
}

// AppendJSON appends the set as a JSON object of strings.
func (a Attrs) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	first := true
	for n, v := range a.All() {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendJSONText(b, n)
		b = append(b, ':')
		b = appendJSONText(b, v)
	}
	return append(b, '}')
}

// MarshalJSON encodes the set as a JSON object of strings.
func (a Attrs) MarshalJSON() ([]byte, error) { return a.AppendJSON(nil), nil }

// UnmarshalJSON accepts what a decoder of frames accepts: values that are not
// text become their JSON text.
func (a *Attrs) UnmarshalJSON(b []byte) error {
	d := newDecoder()
	d.in.Reset(b)
	d.json.Reset(&d.in, lenient...)
	if d.json.PeekKind() != '{' {
		return errNotJSON
	}
	set, err := d.attrs()
	if err != nil {
		return err
	}
	*a = set
	return nil
}

// String is for test output.
func (a Attrs) String() string { return string(a.AppendJSON(nil)) }

// appendJSONText appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendJSONText(b []byte, s string) []byte {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	q, err := jsontext.AppendQuote(b, s)
	if err != nil { // invalid UTF-8: q holds the text with replacements
		return q
	}
	return q
}

// A Change is one attribute's old and new value.
type Change struct{ Name, Old, New string }

// transport are the attributes that describe the message that carried an
// object, not the object.
func transport(name string) bool {
	switch name {
	case "status", "childAction", "rn":
		return true
	}
	return false
}

// merge lays what a message says over an object, less what belongs to the
// message, and lists what changed by it, modTs aside: never nil. It is With,
// Without and a comparison in one walk, as it is done for every change.
func merge(object, message Attrs) (Attrs, []Change) {
	var nbuf, vbuf [2048]byte
	names, values := nbuf[:0], vbuf[:0]
	all, ov, mn, mv := object.packedNames(), object.values, message.packedNames(), message.values
	on := all
	var name, value, newName, newValue string // of the object, of the message
	list := []Change{}
	have, haveNew, grown, differs := false, false, false, false
	for {
		before := len(all) - len(on) // of all, what is in names once they are needed
		if have {
			before -= textSize(name)
		}
		if !have && on != "" {
			name, on = cutText(on)
			value, ov = cutText(ov)
			have = true
		}
		for !haveNew && mn != "" {
			newName, mn = cutText(mn)
			newValue, mv = cutText(mv)
			haveNew = !transport(newName)
		}
		if !have && !haveNew {
			break
		}
		if have && (!haveNew || name < newName) {
			if grown {
				names = appendText(names, name)
			}
			values = appendText(values, value)
			have = false
			continue
		}
		haveNew = false
		old, known := "", have && name == newName
		if known {
			old, have = value, false
		} else if !grown { // from here on the names differ from the object's
			grown = true
			names = append(names, all[:before]...)
		}
		if grown {
			names = appendText(names, newName)
		}
		values = appendText(values, newValue)
		differs = differs || !known || old != newValue
		if old != newValue && newName != "modTs" {
			list = append(list, Change{newName, old, newValue})
		}
	}
	switch {
	case !differs:
		return object, list
	case !grown:
		return Attrs{object.names, string(values)}, list
	}
	return Attrs{unique.Make(string(names)), string(values)}, list
}

// textSize is what a text takes in a packed list.
func textSize(s string) int {
	n := len(s) + 1
	for l := len(s); l >= 0x80; l >>= 7 {
		n++
	}
	return n
}

var _ fmt.Stringer = Attrs{}
