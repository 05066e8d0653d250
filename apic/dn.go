package apic

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// A DN is a distinguished name: relative names (RNs) from the root, joined by
// slashes, as in "uni/tn-prod/ap-shop/epg-web". A slash inside square brackets
// belongs to a value, and brackets nest:
//
//	uni/tn-x/ap-y/epg-z/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]
//
// The methods work on any text and never fail: of a DN whose brackets do not
// close, the rest after the last good slash is one RN. Splitting is not
// reversible for every class (a session's hash may hold a bare slash), so
// objects are kept under the whole DN, never under its parts.
type DN string

// maxDN is far above what an APIC sends (a few hundred bytes).
const maxDN = 4096

// ParseDN checks a DN that a caller gave: text without control characters,
// with balanced brackets and no empty RN.
func ParseDN(s string) (DN, error) {
	switch {
	case s == "":
		return "", errors.New("a DN must not be empty")
	case len(s) > maxDN:
		return "", fmt.Errorf("a DN has at most %d bytes, this one has %d", maxDN, len(s))
	case !utf8.ValidString(s):
		return "", errors.New("a DN must be UTF-8")
	}
	depth := 0
	for i, r := range s {
		switch {
		case r < ' ' || r == 0x7f:
			return "", fmt.Errorf("a DN must not hold control characters (at byte %d)", i)
		case r == '[':
			depth++
		case r == ']':
			if depth--; depth < 0 {
				return "", fmt.Errorf("bracket at byte %d of DN %q closes nothing", i, s)
			}
		}
	}
	if depth != 0 {
		return "", fmt.Errorf("a bracket in DN %q is never closed", s)
	}
	for rn := range DN(s).RNs() {
		if rn == "" {
			return "", fmt.Errorf("DN %q has an empty part: it must not begin or end with a slash, or hold two in a row", s)
		}
	}
	return DN(s), nil
}

// RNs yields the relative names from the root down.
func (d DN) RNs() iter.Seq[string] {
	return func(yield func(string) bool) {
		depth, start := 0, 0
		for i := 0; i < len(d); i++ {
			switch d[i] {
			case '[':
				depth++
			case ']':
				if depth > 0 {
					depth--
				}
			case '/':
				if depth == 0 {
					if !yield(string(d[start:i])) {
						return
					}
					start = i + 1
				}
			}
		}
		yield(string(d[start:]))
	}
}

// RN returns the last relative name.
func (d DN) RN() string {
	return string(d[d.cut()+1:])
}

// Parent returns the DN without its last RN, "" for a root.
func (d DN) Parent() DN {
	return d[:max(d.cut(), 0)]
}

// cut returns the index of the last slash outside brackets, or -1.
func (d DN) cut() int {
	depth, at := 0, -1
	for i := 0; i < len(d); i++ {
		switch d[i] {
		case '[':
			depth++
		case ']':
			if depth > 0 {
				depth--
			}
		case '/':
			if depth == 0 {
				at = i
			}
		}
	}
	return at
}

// Below reports whether d stands strictly below ancestor: uni/tn-a/ap-x is
// below uni/tn-a, uni/tn-ab is not.
func (d DN) Below(ancestor DN) bool {
	if len(d) <= len(ancestor) || d[len(ancestor)] != '/' || !strings.HasPrefix(string(d), string(ancestor)) {
		return false
	}
	depth := 0
	for i := 0; i < len(ancestor); i++ {
		switch ancestor[i] {
		case '[':
			depth++
		case ']':
			if depth > 0 {
				depth--
			}
		}
	}
	return depth == 0
}

// A Place is one part of what a DN says about where an object stands.
type Place struct{ Kind, Name string }

// A Path is what a DN says: tenant, vrf, bd, ap, epg, pod, node, interface and
// so on, in the order in which the DN names them, each kind once.
type Path []Place

// Get returns the name of a kind, "" where the DN does not say it.
func (p Path) Get(kind string) string {
	for _, e := range p {
		if e.Kind == kind {
			return e.Name
		}
	}
	return ""
}

// rnKinds gives the prefixes of RNs that say a place. The names in brackets
// are taken without their brackets.
var rnKinds = []struct{ prefix, kind string }{
	{"tn-", "tenant"}, {"ctx-", "vrf"}, {"BD-", "bd"}, {"ap-", "ap"}, {"epg-", "epg"}, {"esg-", "esg"},
	{"subnet-", "subnet"}, {"brc-", "contract"}, {"flt-", "filter"}, {"out-", "l3out"}, {"l2out-", "l2out"},
	{"instP-", "externalEpg"}, {"cep-", "endpoint"}, {"ip-", "ip"}, {"pod-", "pod"}, {"node-", "node"},
	{"paths-", "node"}, {"protpaths-", "node"}, {"phys-[", "interface"}, {"aggr-[", "interface"},
	{"if-[", "interface"}, {"pathep-[", "interface"}, {"stpathatt-[", "interface"}, {"fault-", "fault"},
	{"vmmp-", "vmm"}, {"dom-", "domain"}, {"user-", "user"},
}

// rnFirst is rnKinds by the first letter of the prefix.
var rnFirst = func() (table [256][]int) {
	for i, k := range rnKinds {
		table[k.prefix[0]] = append(table[k.prefix[0]], i)
	}
	return table
}()

// PathKinds returns the names of all kinds that a [Path] may hold, each once.
func PathKinds() []string {
	var kinds []string
	seen := make(map[string]bool)
	for _, k := range rnKinds {
		if !seen[k.kind] {
			seen[k.kind] = true
			kinds = append(kinds, k.kind)
		}
	}
	return kinds
}

// Path reads the places out of a DN. What stands in brackets is read too when
// it is a DN itself, so that an audit record (subj-[uni/tn-prod/…]/mod-1) or a
// static port says its tenant and its node; what the outer DN says stands.
func (d DN) Path() Path {
	return d.appendPath(make(Path, 0, 4), 0)
}

func (d DN) appendPath(p Path, nesting int) Path {
	var inner []DN
	for rn := range d.RNs() {
		if rn == "" {
			continue
		}
		for _, i := range rnFirst[rn[0]] {
			k := &rnKinds[i]
			name, ok := strings.CutPrefix(rn, k.prefix)
			if !ok {
				continue
			}
			if strings.HasSuffix(k.prefix, "[") {
				name = strings.TrimSuffix(name, "]")
			} else if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
				name = name[1 : len(name)-1]
			}
			if p.Get(k.kind) == "" && name != "" {
				p = append(p, Place{k.kind, name})
			}
			break
		}
		if open := strings.IndexByte(rn, '['); open >= 0 && nesting < 4 {
			in := strings.TrimSuffix(rn[open+1:], "]")
			if strings.HasPrefix(in, "uni/") || strings.HasPrefix(in, "topology/") {
				inner = append(inner, DN(in))
			}
		}
	}
	for _, in := range inner {
		p = in.appendPath(p, nesting+1)
	}
	return p
}
