package selector

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/acitap/acitap/apic"
)

// A Selector says which events and objects a caller wants. It is made by
// [Parse] or from JSON and never changes afterwards. The zero value and nil
// select everything.
type Selector struct {
	text     string       // canonical
	classes  []apic.Class // as asked for, sorted
	concrete []apic.Class // what their objects have
	dns      []dnTest
	statuses []apic.Status
	origins  []apic.Origin
	fabrics  []string
	tenants  []string
	nodes    []string
	attrs    []attrTest
	filter   *filter
}

type attrTest struct {
	name   string
	values *oneOf
}

const (
	maxValues = 1000 // of one list: what fits a long request line
	maxDNs    = 200  // each is tried on each event
	maxAttrs  = 50
	maxValue  = 4096 // bytes
)

// params are the selector's parameters, attr.NAME aside, in the order in
// which mistakes are told.
var params = []string{"class", "dn", "status", "origin", "fabric", "tenant", "node", "filter"}

const attrPrefix = "attr."

// IsParam reports whether a query parameter is one of a selector: class, dn,
// status, origin, fabric, tenant, node, filter and everything that begins with
// "attr.".
func IsParam(name string) bool {
	return slices.Contains(params, name) || strings.HasPrefix(name, attrPrefix)
}

// ParamNames returns the names of a selector's parameters, for the error that
// lists what a call knows. The last one, attr.NAME, stands for many.
func ParamNames() []string { return append(slices.Clone(params), attrPrefix+"NAME") }

// Parse compiles the selector that the parameters for which [IsParam] holds
// describe, and leaves the others to the caller. Without any of them it
// selects everything.
//
// The error joins an *[Error] for each mistake, see [Errors]. An empty value
// is one: class= must not look like an empty fabric.
func Parse(values url.Values) (*Selector, error) {
	s := new(Selector)
	var mistakes []error
	wrong := func(param, format string, args ...any) {
		mistakes = append(mistakes, &Error{Param: param, Detail: fmt.Sprintf(format, args...)})
	}
	// list splits the values of a list and reads each element with read.
	list := func(param, example string, read func(string) error) {
		n := 0
		for _, value := range values[param] {
			if value == "" {
				wrong(param, "is empty: write %s, or leave it out for all", example)
				continue
			}
			for element := range strings.SplitSeq(value, ",") {
				if n++; n > maxValues {
					wrong(param, "has more than %d values", maxValues)
					return
				}
				if !strings.HasPrefix(param, attrPrefix) {
					element = strings.TrimSpace(element)
				}
				if element == "" {
					wrong(param, "has an empty element in %.60q: write values with one comma between them", value)
					continue
				}
				if len(element) > maxValue || !validText(element) {
					wrong(param, "%.60q must be UTF-8 text of at most %d bytes without control characters", element, maxValue)
					continue
				}
				if err := read(element); err != nil {
					wrong(param, "%s", err)
				}
			}
		}
	}

	list("class", "class=fvTenant,faultInst", func(e string) error {
		classes, err := apic.ResolveClass(e)
		if err != nil {
			return err
		}
		s.classes = append(s.classes, classes...)
		return nil
	})
	for _, value := range values["dn"] {
		if value == "" {
			wrong("dn", "is empty: write dn=uni/tn-prod, dn=uni/tn-prod/ for all below it, or leave it out")
			continue
		}
		if len(s.dns) == maxDNs {
			wrong("dn", "is given more than %d times: use a prefix that ends in / or a pattern, as uni/tn-*/ap-shop", maxDNs)
			break
		}
		t, err := parseDN(value)
		if err != nil {
			wrong("dn", "%s", err)
			continue
		}
		s.dns = append(s.dns, t)
	}
	list("status", "status=created,deleted", word("status", words[fieldStatus], &s.statuses))
	list("origin", "origin=live", word("origin", words[fieldOrigin], &s.origins))
	list("fabric", "fabric=default", name("fabric", anyName, "the name that GET /session shows", &s.fabrics))
	list("tenant", "tenant=prod", name("tenant", tenantName, "a tenant's name as it stands in a DN behind tn-; for patterns use dn=uni/tn-prod*/", &s.tenants))
	list("node", "node=101", name("node", nodeName, "a node's number, as 101, or both of a vPC pair, as 101-102", &s.nodes))

	attrs := 0
	for _, param := range slices.Sorted(maps.Keys(values)) {
		attr, ok := strings.CutPrefix(param, attrPrefix)
		if !ok {
			continue
		}
		if !attrName.MatchString(attr) {
			wrong(param, "%.60q is no attribute's name: write attr.severity=critical,major", attr)
			continue
		}
		if attrs++; attrs > maxAttrs {
			wrong(param, "is one of more than %d attributes: use a filter", maxAttrs)
			break
		}
		var of []string
		list(param, fmt.Sprintf("%s=value, or filter=object.%s == \"\" for those without one", param, attr), func(e string) error {
			of = append(of, e)
			return nil
		})
		s.attrs = append(s.attrs, attrTest{attr, newOneOf(listOf[string](of))})
	}

	switch texts := values["filter"]; {
	case len(texts) > 1:
		wrong("filter", "is given %d times: write one expression, joined by and", len(texts))
	case len(texts) == 1 && strings.TrimSpace(texts[0]) == "":
		wrong("filter", "is empty: write an expression, as object.severity == \"critical\", or leave it out")
	case len(texts) == 1:
		f, err := compileFilter(texts[0])
		if err != nil {
			mistakes = append(mistakes, err)
		}
		s.filter = f
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	s.settle()
	return s, nil
}

// settle brings what was read into its canonical form.
func (s *Selector) settle() {
	s.classes = listOf[apic.Class](asStrings(s.classes))
	for _, c := range s.classes {
		s.concrete = append(s.concrete, c.Concrete()...)
	}
	s.concrete = listOf[apic.Class](asStrings(s.concrete))
	slices.SortFunc(s.dns, func(a, b dnTest) int { return strings.Compare(a.text, b.text) })
	s.dns = slices.CompactFunc(s.dns, func(a, b dnTest) bool { return a.text == b.text })
	s.statuses = listOf[apic.Status](asStrings(s.statuses))
	s.origins = listOf[apic.Origin](asStrings(s.origins))
	s.fabrics = listOf[string](s.fabrics)
	s.tenants = listOf[string](s.tenants)
	s.nodes = listOf[string](s.nodes)
	s.text = s.Params().Encode()
}

func asStrings[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

var (
	anyName    = regexp.MustCompile(`^[^*]+$`)
	tenantName = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)
	nodeName   = regexp.MustCompile(`^[0-9]{1,5}(-[0-9]{1,5})?$`)
	attrName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,127}$`)
)

func word[T ~string](param string, known []string, list *[]T) func(string) error {
	return func(e string) error {
		if !slices.Contains(known, e) {
			if near := nearest(e, known); near != "" {
				return fmt.Errorf("there is no %s %.60q: did you mean %s? It is one of %s", param, e, near, listed(known))
			}
			return fmt.Errorf("there is no %s %.60q: it is one of %s", param, e, listed(known))
		}
		*list = append(*list, T(e))
		return nil
	}
}

func name(param string, form *regexp.Regexp, what string, list *[]string) func(string) error {
	return func(e string) error {
		if !form.MatchString(e) {
			return fmt.Errorf("%.60q is no %s: write %s", e, param, what)
		}
		*list = append(*list, e)
		return nil
	}
}

func validText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f
	})
}

// Match reports whether the selector wants an entry: an event by all its
// parameters, a modified one by its whole object; a gap by class and fabric
// alone, as a reader who asks for less than all must still learn of holes in
// what he would have got.
func (s *Selector) Match(e *apic.Entry) bool {
	if s == nil || s.text == "" {
		return true
	}
	if e.Gap != nil {
		return anyOf(s.fabrics, e.Gap.Fabric) && s.concerned(e)
	}
	v := e.Event
	if v == nil || !anyOf(s.concrete, v.Class) || !anyOf(s.statuses, v.Status) || !anyOf(s.origins, v.Origin) ||
		!s.matchPlace(v.Fabric, v.DN) {
		return false
	}
	if s.attrs != nil {
		object := whole(v)
		if !s.matchAttrs(&object) {
			return false
		}
	}
	return s.filter == nil || s.filter.run(e.ID, v, nil)
}

func (s *Selector) concerned(e *apic.Entry) bool {
	for _, c := range s.concrete {
		if e.Concerns(c) {
			return true
		}
	}
	return len(s.concrete) == 0
}

// MatchObject reports whether the selector wants an object as it is now. What
// only events have, status and origin, is not asked; a filter that reads such
// a thing finds it empty, and in attributes the same as in object.
// [Selector.CheckObjects] tells a caller beforehand.
func (s *Selector) MatchObject(o *apic.Object) bool {
	if s == nil || s.text == "" {
		return true
	}
	if !anyOf(s.concrete, o.Class) || !s.matchPlace(o.Fabric, o.DN) || s.attrs != nil && !s.matchAttrs(&o.Attrs) {
		return false
	}
	return s.filter == nil || s.filter.run(0, nil, o)
}

// CheckObjects returns a mistake for each part of the selector that only
// events have, as [Parse] would: status, origin, and in a filter also id,
// time and changes. A call that asks for objects answers 400 with it.
func (s *Selector) CheckObjects() error {
	if s == nil {
		return nil
	}
	var mistakes []error
	if s.statuses != nil {
		mistakes = append(mistakes, &Error{Param: "status", Detail: "belongs to events and not to objects as they are now: leave it out, or ask GET /events"})
	}
	if s.origins != nil {
		mistakes = append(mistakes, &Error{Param: "origin", Detail: "belongs to events and not to objects as they are now: leave it out, or ask GET /events"})
	}
	if s.filter != nil {
		for _, e := range s.filter.event {
			mistakes = append(mistakes, e)
		}
	}
	return errors.Join(mistakes...)
}

func (s *Selector) matchPlace(fabric string, dn apic.DN) bool {
	if !anyOf(s.fabrics, fabric) {
		return false
	}
	if s.dns != nil && !slices.ContainsFunc(s.dns, func(t dnTest) bool { return t.match(dn) }) {
		return false
	}
	return (s.tenants == nil || anyOf(s.tenants, placeOf(dn, "tenant"))) &&
		(s.nodes == nil || anyOf(s.nodes, placeOf(dn, "node")))
}

func placeOf(dn apic.DN, kind string) string {
	if name, ok := quickPlace(dn, kind); ok {
		return name
	}
	return dn.Path().Get(kind)
}

func (s *Selector) matchAttrs(attrs *apic.Attrs) bool {
	for i := range s.attrs {
		value, ok := attrs.Lookup(s.attrs[i].name)
		if !ok || !s.attrs[i].values.has(value) {
			return false
		}
	}
	return true
}

func anyOf[T comparable](list []T, v T) bool {
	return len(list) == 0 || slices.Contains(list, v)
}

// Narrow returns what every entry that matches has, in the terms that a
// journal can look up: a reader ranges over it and asks Match of what it gets.
// A filter gives what stands at its top, joined by and: status == "created",
// tenant in ["a", "b"], node and origin likewise. Class and fabric of a filter
// are not in it, as they do not apply to gaps. Kinds is left at both.
func (s *Selector) Narrow() apic.Narrow {
	var n apic.Narrow
	if s == nil {
		return n
	}
	n = apic.Narrow{
		Classes: slices.Clone(s.concrete), Statuses: slices.Clone(s.statuses), Origins: slices.Clone(s.origins),
		Fabrics: slices.Clone(s.fabrics), Tenants: slices.Clone(s.tenants), Nodes: slices.Clone(s.nodes),
	}
	anywhere := slices.ContainsFunc(s.dns, func(t dnTest) bool { return t.glob != nil && t.prefix == "" })
	for _, t := range s.dns {
		switch {
		case anywhere: // one pattern that begins with a star admits all
		case t.exact != "":
			n.DNs = append(n.DNs, t.exact)
		case t.below != "":
			n.Below = append(n.Below, t.below)
		default:
			n.Below = append(n.Below, t.prefix)
		}
	}
	if f := s.filter; f != nil {
		// Of two lists either is necessary: the parameter's is kept.
		n.Statuses = orElse(n.Statuses, f.need.Statuses)
		n.Origins = orElse(n.Origins, f.need.Origins)
		n.Tenants = orElse(n.Tenants, f.need.Tenants)
		n.Nodes = orElse(n.Nodes, f.need.Nodes)
	}
	return n
}

func orElse[T any](list, other []T) []T {
	if list == nil {
		return slices.Clone(other)
	}
	return list
}

// IsZero reports whether the selector selects everything.
func (s *Selector) IsZero() bool { return s == nil || s.text == "" }

// Classes returns the concrete classes that are selected, nil for all.
func (s *Selector) Classes() []apic.Class {
	if s == nil {
		return nil
	}
	return slices.Clone(s.concrete)
}

// String returns the selector as a query string in one canonical form: two
// selectors with the same text select the same, so that clients can share the
// work. It is "" for everything.
func (s *Selector) String() string {
	if s == nil {
		return ""
	}
	return s.text
}

// Params returns the parameters that [Parse] makes the same selector of, as a
// new map. Classes are APIC's names.
func (s *Selector) Params() url.Values {
	values := make(url.Values)
	if s == nil {
		return values
	}
	add := func(param string, list []string) {
		if len(list) > 0 {
			values.Set(param, strings.Join(list, ","))
		}
	}
	add("class", asStrings(s.classes))
	for _, t := range s.dns {
		values.Add("dn", t.text)
	}
	add("status", asStrings(s.statuses))
	add("origin", asStrings(s.origins))
	add("fabric", s.fabrics)
	add("tenant", s.tenants)
	add("node", s.nodes)
	for _, a := range s.attrs {
		add(attrPrefix+a.name, a.values.list)
	}
	if s.filter != nil {
		values.Set("filter", s.filter.text)
	}
	return values
}

// MarshalJSON encodes the selector as an object of its parameters: lists as
// arrays, the filter as a string.
//
//	{"attr.severity":["critical","major"],"class":["faultInst"],"filter":"tenant == \"prod\""}
func (s *Selector) MarshalJSON() ([]byte, error) {
	fields := make(map[string]any)
	for param, values := range s.Params() {
		switch param {
		case "filter":
			fields[param] = values[0]
		case "dn":
			fields[param] = values
		default:
			fields[param] = strings.Split(values[0], ",")
		}
	}
	return json.Marshal(fields)
}

// UnmarshalJSON reads what MarshalJSON writes, and what people write: a list
// may be an array, or a string as in a query; numbers are taken as their text;
// the attributes may also stand in an object "attr". A field that is no
// parameter is a mistake. The errors are those of [Parse].
func (s *Selector) UnmarshalJSON(b []byte) error {
	var fields map[string]any
	if err := unmarshal(b, &fields); err != nil {
		return &Error{Param: "selector", Detail: "must be a JSON object of parameters, as {\"class\": [\"faultInst\"], \"filter\": \"…\"}"}
	}
	values := make(url.Values)
	var mistakes []error
	for _, param := range slices.Sorted(maps.Keys(fields)) {
		field := fields[param]
		if attrs, ok := field.(map[string]any); ok && param == "attr" {
			for _, attr := range slices.Sorted(maps.Keys(attrs)) {
				if err := addJSON(values, attrPrefix+attr, attrs[attr]); err != nil {
					mistakes = append(mistakes, err)
				}
			}
			continue
		}
		if !IsParam(param) {
			mistakes = append(mistakes, &Error{Param: param, Detail: "is not known: a selector has " + listed(ParamNames())})
			continue
		}
		if err := addJSON(values, param, field); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	parsed, err := Parse(values)
	if err := errors.Join(append(mistakes, err)...); err != nil {
		return err
	}
	*s = *parsed
	return nil
}

func unmarshal(b []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	return d.Decode(v)
}

func addJSON(values url.Values, param string, field any) error {
	list, ok := field.([]any)
	if !ok {
		list = []any{field}
	}
	if len(list) == 0 {
		list = []any{""} // an empty list is as wrong as an empty value
	}
	for _, e := range list {
		switch e := e.(type) {
		case string:
			values.Add(param, e)
		case json.Number:
			values.Add(param, e.String())
		default:
			return &Error{Param: param, Detail: "must be a string or an array of strings"}
		}
	}
	return nil
}
