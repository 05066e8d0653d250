package apic

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Scope says which objects around a DN or a class a query means. The words
// are APIC's, of query-target.
type Scope string

// The scopes of query-target.
const (
	ScopeSelf     Scope = "self"
	ScopeChildren Scope = "children"
	ScopeSubtree  Scope = "subtree"
)

// ParseScope reads a scope; empty is self.
func ParseScope(s string) (Scope, error) {
	switch sc := Scope(s); sc {
	case "":
		return ScopeSelf, nil
	case ScopeSelf, ScopeChildren, ScopeSubtree:
		return sc, nil
	}
	return "", fmt.Errorf("scope %.40q is none of self, children, subtree", s)
}

// A Query is what is subscribed: objects of a class, or at or below a DN. Two
// subscriptions are the same when their queries are.
type Query struct {
	Class   Class   // whose objects; with a DN and scope self, the class expected there ("" for any)
	DN      DN      // "" for the whole fabric
	Scope   Scope   // "" is self
	Targets []Class // with scope children or subtree: only these classes; none for all
	Filter  string  // query-target-filter, in APIC's own grammar; "" for none
}

const maxFilter = 4000 // what fits a request line with the rest of the URL

// NewQuery makes the query of POST /subscriptions/{class}: objects of the
// class anywhere, or with a DN that object, its children or its subtree of
// that class.
func NewQuery(c Class, dn DN, scope Scope, filter string) (Query, error) {
	q := Query{Class: c, DN: dn, Scope: scope, Filter: filter}
	if q.Scope == "" {
		q.Scope = ScopeSelf
	}
	if dn != "" && q.Scope != ScopeSelf {
		q.Targets = []Class{c}
	}
	return q, q.check()
}

func (q Query) check() error {
	if len(q.Filter) > maxFilter {
		return fmt.Errorf("filter has %d bytes, more than the %d that fit a request to an APIC", len(q.Filter), maxFilter)
	}
	if !utf8.ValidString(q.Filter) || strings.ContainsFunc(q.Filter, func(r rune) bool { return r < ' ' }) {
		return errors.New("filter must be UTF-8 without control characters")
	}
	depth, quoted := 0, false
	for _, r := range q.Filter {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == '(':
			depth++
		case r == ')':
			depth--
		}
		if depth < 0 {
			break
		}
	}
	if depth != 0 || quoted {
		return fmt.Errorf("filter %q has a bracket or a quote that does not close; the grammar is APIC's own, as eq(fvTenant.name,\"common\")", q.Filter)
	}
	if q.Filter != "" && !strings.Contains(q.Filter, "(") {
		return fmt.Errorf("filter %q is not in APIC's grammar of query-target-filter, as eq(fvTenant.name,\"common\")", q.Filter)
	}
	return nil
}

// Parameters of a query in hand that shape the answer and do not change which
// objects are subscribed: they are dropped.
var shaping = map[string]bool{
	"subscription": true, "page": true, "page-size": true, "order-by": true,
	"refresh-timeout": true, "rsp-subtree": true, "rsp-subtree-class": true, "rsp-subtree-filter": true,
	"rsp-subtree-include": true, "rsp-prop-include": true, "time-range": true, "_dc": true, "challenge": true,
}

// ParseQuery reads a query as API Inspector, Visore or a browser's address bar
// give it, with or without the host. What only shapes the answer is dropped:
// subscription, page, page-size, order-by and the rsp- parameters, except
// rsp-subtree-include with "required", which would leave objects out.
func ParseQuery(s string) (Query, error) {
	s = strings.TrimSpace(s)
	s = strings.TrimPrefix(s, "GET ")
	if _, after, ok := strings.Cut(s, "://"); ok {
		slash := strings.IndexByte(after, '/')
		if slash < 0 {
			return Query{}, fmt.Errorf("query %.200q has no path: give it as /api/class/fvTenant.json or /api/mo/uni/tn-common.json", s)
		}
		s = after[slash:]
	}
	if !strings.HasPrefix(s, "/") {
		s = "/" + s
	}
	path, params, _ := strings.Cut(s, "?")
	path, err := url.PathUnescape(path)
	if err != nil {
		return Query{}, fmt.Errorf("query path: %w", err)
	}
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		return Query{}, fmt.Errorf("query %.200q does not begin with /api/", s)
	}
	rest = strings.TrimPrefix(rest, "node/")
	kind, name, _ := strings.Cut(rest, "/")
	if kind != "class" && kind != "mo" {
		return Query{}, fmt.Errorf("query %.200q is neither of a class (/api/class/…) nor of an object (/api/mo/…)", s)
	}
	if n, ok := strings.CutSuffix(name, ".json"); ok {
		name = n
	} else if n, ok := strings.CutSuffix(name, ".xml"); ok {
		name = n
	} else {
		return Query{}, fmt.Errorf("query %.200q: the path must end in .json", s)
	}
	var q Query
	switch kind {
	case "class":
		if at := strings.LastIndexByte(name, '/'); at >= 0 { // the class on one node
			if q.DN, err = ParseDN(name[:at]); err != nil {
				return Query{}, err
			}
			name = name[at+1:]
		}
		if q.Class, err = ParseClass(name); err != nil {
			return Query{}, err
		}
	case "mo":
		if q.DN, err = ParseDN(name); err != nil {
			return Query{}, err
		}
	}
	onNode := kind == "class" && q.DN != ""
	target := ""
	for p := range strings.SplitSeq(params, "&") {
		if p == "" {
			continue
		}
		key, value, _ := strings.Cut(p, "=")
		if value, err = url.PathUnescape(value); err != nil {
			return Query{}, fmt.Errorf("query parameter %s: %w", key, err)
		}
		switch {
		case key == "query-target":
			target = value
		case key == "target-subtree-class":
			for c := range strings.SplitSeq(value, ",") {
				class, err := ParseClass(strings.TrimSpace(c))
				if err != nil {
					return Query{}, err
				}
				if !slices.Contains(q.Targets, class) {
					q.Targets = append(q.Targets, class)
				}
			}
		case key == "query-target-filter":
			q.Filter = value
		case key == "rsp-subtree-include" && slices.Contains(strings.Split(value, ","), "required"):
			return Query{}, errors.New("rsp-subtree-include with \"required\" cannot be subscribed: it leaves objects out of the answer by what stands below them; subscribe those classes themselves")
		case shaping[key]:
		default:
			return Query{}, fmt.Errorf("query parameter %.60q is not known; query-target, target-subtree-class and query-target-filter say what to subscribe", key)
		}
	}
	if q.Scope, err = ParseScope(target); err != nil {
		return Query{}, fmt.Errorf("query-target: %w", err)
	}
	if onNode {
		if target != "" || len(q.Targets) > 0 {
			return Query{}, errors.New("a class on one node cannot be combined with query-target: ask /api/mo/<node>.json?query-target=subtree&target-subtree-class=…")
		}
		q.Scope, q.Targets = ScopeSubtree, []Class{q.Class}
	}
	if q.Scope == ScopeSelf && len(q.Targets) > 0 {
		if len(q.Targets) > 1 || q.DN == "" && q.Targets[0] != q.Class {
			return Query{}, errors.New("target-subtree-class needs query-target=subtree or children")
		}
		q.Class, q.Targets = q.Targets[0], nil
	}
	if q.Class == "" && len(q.Targets) > 0 {
		q.Class = q.Targets[0]
	}
	slices.Sort(q.Targets)
	return q, q.check()
}

// String returns the query as an APIC's URL has it, without a host and
// without what acitap adds (subscription, paging): the query's identity.
func (q Query) String() string { return q.url() }

func (q Query) url(params ...string) string {
	var b strings.Builder
	if q.DN == "" {
		b.WriteString("/api/class/")
		b.WriteString(string(q.Class))
	} else {
		b.WriteString("/api/mo/")
		escape(&b, string(q.DN))
	}
	b.WriteString(".json")
	sep := byte('?')
	add := func(p string) {
		b.WriteByte(sep)
		sep = '&'
		b.WriteString(p)
	}
	if q.Scope != "" && q.Scope != ScopeSelf {
		add("query-target=" + string(q.Scope))
	}
	if len(q.Targets) > 0 {
		names := make([]string, len(q.Targets))
		for i, c := range q.Targets {
			names[i] = string(c)
		}
		add("target-subtree-class=" + strings.Join(names, ","))
	}
	if q.Filter != "" {
		add("query-target-filter=")
		escape(&b, q.Filter)
	}
	for _, p := range params {
		add(p)
	}
	return b.String()
}

// escape writes s as APIC's touchy parser wants it: brackets, commas, bars,
// colons and slashes stay literal, the rest of what a URL may not hold is
// percent-encoded [ACIC found that "proper" encoding of a filter breaks it].
func escape(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"#%&+?<>\\^`{}", c) >= 0:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		default:
			b.WriteByte(c)
		}
	}
}

// Classes returns the concrete classes of the objects that the query can
// answer, nil when only the answers tell (a subtree without classes).
func (q Query) Classes() []Class {
	named := q.Targets
	if len(named) == 0 {
		if q.Class == "" || q.Scope != ScopeSelf && q.Scope != "" {
			return nil
		}
		named = []Class{q.Class}
	}
	var classes []Class
	for _, c := range named {
		for _, k := range c.Concrete() {
			if !slices.Contains(classes, k) {
				classes = append(classes, k)
			}
		}
	}
	return classes
}

// Covers reports whether an object of this class and DN is among those that
// the query means, its filter aside. above tells the class of the object at
// a DN, "" for none: a subtree of a class is known only by who stands above.
func (q Query) Covers(c Class, dn DN, above func(DN) Class) bool {
	if classes := q.Classes(); classes != nil && !slices.Contains(classes, c) {
		return false
	}
	if q.DN != "" {
		switch q.Scope {
		case ScopeChildren:
			return dn.Parent() == q.DN
		case ScopeSubtree:
			return dn == q.DN || dn.Below(q.DN)
		}
		return dn == q.DN
	}
	switch q.Scope {
	case ScopeChildren:
		return q.Class.Covers(above(dn.Parent()))
	case ScopeSubtree:
		for d := dn; d != ""; d = d.Parent() {
			if q.Class.Covers(above(d)) {
				return true
			}
		}
		return q.Class.Covers(c)
	}
	return true
}
