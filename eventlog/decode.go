package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/acitap/acitap/apic"
)

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			b, _ = jsontext.AppendQuote(b, s) // an error says that bad UTF-8 was replaced
			return b
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// isBare reports whether a set is whole without what belongs to the message
// that carried it.
func isBare(a, whole apic.Attrs) bool {
	return a == whole.Without(ofMessage)
}

func ofMessage(name string) bool { return name == "status" || name == "childAction" || name == "rn" }

// A shapeCache holds the attribute names of shapes. It grows with the kinds of
// objects.
type shapeCache struct {
	mu    sync.RWMutex
	names map[int64][]string
}

func (s *shapeCache) get(c *conn, shape int64) ([]string, error) {
	s.mu.RLock()
	names, ok := s.names[shape]
	s.mu.RUnlock()
	if ok {
		return names, nil
	}
	found := false
	err := c.each(func(st *stmt) error {
		found = true
		return json.Unmarshal(st.ColumnRawText(0), &names)
	}, "SELECT names FROM shapes WHERE shape = ?", shape)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("the attribute names of shape %d are missing", shape)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = make(map[int64][]string)
	}
	s.names[shape] = names
	return names, nil
}

// whole returns the attributes whose values stand in a JSON array.
func whole(names []string, values string) (apic.Attrs, error) {
	s := scanner{text: values}
	pairs := make([]apic.Attr, 0, len(names))
	s.want('[')
	for i, name := range names {
		if i > 0 {
			s.want(',')
		}
		pairs = append(pairs, apic.Attr{Name: name, Value: s.str()})
	}
	s.want(']')
	return apic.AttrsOf(pairs), s.err
}

// decode makes an entry of what stands in a row: json is kept, the rest not.
func decode(id apic.ID, at int64, text []byte) (*apic.Entry, error) {
	e := &apic.Entry{ID: id, JSON: text}
	s := scanner{text: string(text)}
	var (
		ev    = &apic.Event{Time: time.UnixMicro(at).UTC()}
		gap   = &apic.Gap{Time: ev.Time}
		isGap bool
	)
	s.object(func(key string) {
		switch key {
		case "kind":
			isGap = s.str() == "gap"
		case "fabric":
			ev.Fabric = strings.Clone(s.str())
			gap.Fabric = ev.Fabric
		case "class":
			ev.Class = apic.Class(strings.Clone(s.str()))
		case "dn":
			ev.DN = apic.DN(strings.Clone(s.str()))
		case "status":
			ev.Status = statusOf(s.str())
		case "origin":
			ev.Origin = originOf(s.str())
		case "attributes":
			ev.Attributes = s.attrs()
		case "changes":
			ev.Changes = s.changes()
		case "classes":
			s.array(func() { gap.Classes = append(gap.Classes, apic.Class(strings.Clone(s.str()))) })
		case "from":
			gap.From = s.time()
		case "to":
			gap.To = s.time()
		case "reason":
			gap.Reason = strings.Clone(s.str())
		case "healed":
			gap.Healed = s.skip() == "true"
		default:
			s.skip()
		}
	})
	if s.err != nil {
		return nil, fmt.Errorf("entry %d: %w", id, s.err)
	}
	if isGap {
		e.Gap = gap
	} else {
		e.Event = ev
	}
	return e, nil
}

func statusOf(s string) apic.Status {
	switch st := apic.Status(s); st {
	case apic.Created:
		return apic.Created
	case apic.Modified:
		return apic.Modified
	case apic.Deleted:
		return apic.Deleted
	default:
		return apic.Status(strings.Clone(s))
	}
}

func originOf(s string) apic.Origin {
	switch o := apic.Origin(s); o {
	case apic.Live:
		return apic.Live
	case apic.Snapshot:
		return apic.Snapshot
	case apic.Resync:
		return apic.Resync
	default:
		return apic.Origin(strings.Clone(s))
	}
}

var errDamaged = errors.New("its JSON is damaged")

// A scanner reads JSON that this program wrote: no space between tokens. Of
// text that is anything else it keeps the first error and reads on to nothing.
type scanner struct {
	text  string
	at    int
	err   error
	pairs []apic.Attr
}

func (s *scanner) fail() {
	if s.err == nil {
		s.err = errDamaged
	}
	s.at = len(s.text)
}

func (s *scanner) peek() byte {
	if s.at >= len(s.text) {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) want(c byte) {
	if s.peek() != c {
		s.fail()
		return
	}
	s.at++
}

// str reads a string. The result may be a part of the text.
func (s *scanner) str() string {
	s.want('"')
	start := s.at
	for i := start; i < len(s.text); i++ {
		switch s.text[i] {
		case '"':
			s.at = i + 1
			return s.text[start:i]
		case '\\':
			return s.escaped(start - 1)
		}
	}
	s.fail()
	return ""
}

func (s *scanner) escaped(start int) string {
	for i := start + 1; i < len(s.text); i++ {
		switch s.text[i] {
		case '\\':
			i++
		case '"':
			s.at = i + 1
			b, err := jsontext.AppendUnquote(nil, s.text[start:s.at])
			if err != nil {
				s.fail()
			}
			return string(b)
		}
	}
	s.fail()
	return ""
}

// object reads an object; f reads the value of each key.
func (s *scanner) object(f func(key string)) {
	s.want('{')
	for first := true; s.err == nil && s.peek() != '}'; first = false {
		if !first {
			s.want(',')
		}
		key := s.str()
		s.want(':')
		f(key)
	}
	s.want('}')
}

// array reads an array; f reads each value.
func (s *scanner) array(f func()) {
	s.want('[')
	for first := true; s.err == nil && s.peek() != ']'; first = false {
		if !first {
			s.want(',')
		}
		f()
	}
	s.want(']')
}

// skip reads any value and returns its text.
func (s *scanner) skip() string {
	start := s.at
	switch s.peek() {
	case '"':
		s.str()
	case '{':
		s.object(func(string) { s.skip() })
	case '[':
		s.array(func() { s.skip() })
	default:
		for s.at < len(s.text) && strings.IndexByte(",]}", s.text[s.at]) < 0 {
			s.at++
		}
		if s.at == start {
			s.fail()
		}
	}
	return s.text[start:s.at]
}

func (s *scanner) attrs() apic.Attrs {
	pairs := s.pairs[:0]
	s.object(func(name string) { pairs = append(pairs, apic.Attr{Name: name, Value: s.str()}) })
	s.pairs = pairs
	return apic.AttrsOf(pairs)
}

func (s *scanner) changes() []apic.Change {
	list := []apic.Change{}
	s.object(func(name string) {
		c := apic.Change{Name: strings.Clone(name)}
		s.object(func(key string) {
			v := strings.Clone(s.str())
			switch key {
			case "old":
				c.Old = v
			case "new":
				c.New = v
			}
		})
		list = append(list, c)
	})
	return slices.Clip(list)
}

func (s *scanner) time() time.Time {
	t, err := time.Parse(time.RFC3339Nano, s.str())
	if err != nil {
		s.fail()
	}
	return t.UTC()
}
