package apicsim

import (
	"time"
	"unicode/utf8"
)

// appendString appends s as a JSON string. Bytes that are not UTF-8 become the
// replacement character, as in every honest encoder.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		if b < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			switch b {
			case '"', '\\':
				dst = append(dst, '\\', b)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\t':
				dst = append(dst, '\\', 't')
			case '\r':
				dst = append(dst, '\\', 'r')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			start = i
			continue
		}
		i += n
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendXML appends s as the value of an XML attribute, quotes included.
func appendXML(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch r {
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '&':
			dst = append(dst, "&amp;"...)
		case '"':
			dst = append(dst, "&quot;"...)
		case '\n':
			dst = append(dst, "&#xA;"...)
		case '\t', '\r':
			dst = append(dst, ' ')
		default:
			if r < ' ' {
				r = utf8.RuneError
			}
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

const timeLayout = "2006-01-02T15:04:05.000-07:00"

// format is how one controller writes objects: JSON or XML, and its time zone.
type format struct {
	xml  bool
	zone *time.Location
}

func (f format) appendTime(dst []byte, ms int64) []byte {
	if ms == never {
		return append(dst, "never"...)
	}
	return time.UnixMilli(ms).In(f.zone).AppendFormat(dst, timeLayout)
}

// shape says which attributes of an object are written.
type shape struct {
	nested bool     // rn instead of dn
	push   bool     // rn is shown, and empty
	status string   // of a push
	only   []uint16 // attributes besides the five, nil for all
	sparse bool     // only counts, even if empty
	noTime bool     // no modTs
	modTs  int64    // instead of the object's, if not 0
	modTxt string   // a literal modTs, if not empty
}

// appendAttributes writes the attributes of an object, without what surrounds
// them: `"a":"1","b":"2"` or ` a="1" b="2"`.
func (f format) appendAttributes(dst []byte, n *node, s shape) []byte {
	c := n.cls
	first := true
	var buf [40]byte
	for _, k := range c.order {
		var v string
		var raw []byte
		switch k {
		case keyChildAction:
		case keyDN:
			if s.nested {
				continue
			}
			v = n.dn
		case keyRN:
			switch {
			case s.nested:
				v = n.rn()
			case !s.push:
				continue
			}
		case keyStatus:
			v = s.status
		case keyModTs:
			if s.noTime {
				continue
			}
			switch {
			case s.modTxt != "":
				v = s.modTxt
			case s.modTs != 0:
				raw = f.appendTime(buf[:0], s.modTs)
			default:
				if own := n.ownModTs(); own != "" {
					v = own
				} else {
					raw = f.appendTime(buf[:0], n.modTs)
				}
			}
		default:
			if s.sparse {
				if !containsKey(s.only, k) {
					continue
				}
			}
			var ok bool
			if v, ok = n.get(k); !ok {
				continue
			}
		}
		if f.xml {
			dst = append(append(append(dst, ' '), c.names[k]...), '=')
			if raw != nil {
				dst = append(append(append(dst, '"'), raw...), '"')
			} else {
				dst = appendXML(dst, v)
			}
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, c.quoted[k]...)
		if raw != nil {
			dst = append(append(append(dst, '"'), raw...), '"')
		} else {
			dst = appendString(dst, v)
		}
	}
	return dst
}

// ownModTs is a modTs that somebody has written into the object, "" as a rule.
func (n *node) ownModTs() string {
	for i := range n.attrs {
		if n.attrs[i].key == keyModTs {
			return n.attrs[i].value
		}
	}
	return ""
}

func containsKey(keys []uint16, k uint16) bool {
	for _, x := range keys {
		if x == k {
			return true
		}
	}
	return false
}

// appendObject writes one object, with the children that kids yields.
func (f format) appendObject(dst []byte, n *node, s shape, kids func(dst []byte) ([]byte, bool)) []byte {
	if f.xml {
		dst = append(append(dst, '<'), n.cls.name...)
		dst = f.appendAttributes(dst, n, s)
		if kids != nil {
			mark := len(dst)
			dst = append(dst, '>')
			var any bool
			if dst, any = kids(dst); any {
				return append(append(append(dst, "</"...), n.cls.name...), '>')
			}
			dst = dst[:mark]
		}
		return append(dst, "/>"...)
	}
	dst = append(append(append(dst, `{"`...), n.cls.name...), `":{"attributes":{`...)
	dst = f.appendAttributes(dst, n, s)
	dst = append(dst, '}')
	if kids != nil {
		mark := len(dst)
		dst = append(dst, `,"children":[`...)
		var any bool
		if dst, any = kids(dst); any {
			dst = append(dst, ']')
		} else {
			dst = dst[:mark]
		}
	}
	return append(dst, "}}"...)
}
