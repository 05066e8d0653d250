package selector

import (
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/expr-lang/expr/vm"
)

const (
	// maxSteps is what one evaluation may spend: some 20 ms at worst. A
	// comparison of an attribute takes some ten steps.
	maxSteps = 4 << 20
	// maxMemory is what expr-lang counts of lists that it makes.
	maxMemory = 100_000
)

// A filter is a compiled expression.
type filter struct {
	text    string
	program *vm.Program
	weight  int // nodes of the expression: how often it may look at one text
	event   []*Error
	need    apic.Narrow // what every match has, of tenant, node, status and origin

	pool sync.Pool // of *evaluation
}

// A field is one thing that a filter can read.
type field uint8

const (
	fieldClass field = iota + 1
	fieldDN
	fieldFabric
	fieldStatus
	fieldOrigin
	fieldPath
	fieldObject
	fieldAttributes
	fieldOld
	fieldNew
)

// A ref is a field, and which one of it: the name of an attribute, a kind of
// path.
type ref struct {
	field field
	name  string
}

// A condition is a test of a value by a constant.
type condition interface {
	holds(ev *evaluation, s string) bool
}

// A view is what a filter sees: an event, or an object as if it were one.
type view struct {
	id         apic.ID
	time       time.Time
	fabric     string
	class      apic.Class
	dn         apic.DN
	status     apic.Status
	origin     apic.Origin
	object     apic.Attrs
	attributes apic.Attrs
	changes    []apic.Change
}

func (v *view) ofEvent(id apic.ID, e *apic.Event) {
	*v = view{
		id: id, time: e.Time, fabric: e.Fabric, class: e.Class, dn: e.DN, status: e.Status, origin: e.Origin,
		object: whole(e), attributes: e.Attributes, changes: e.Changes,
	}
}

// whole returns the whole object, or what is known of it.
func whole(e *apic.Event) apic.Attrs {
	if e.Object.IsZero() {
		return e.Attributes
	}
	return e.Object
}

// An evaluation is one run of a filter at a time, kept for the next. Owned by
// the goroutine that took it from the pool.
type evaluation struct {
	vm     vm.VM
	env    map[string]any
	view   view
	weight int
	steps  int
	path   apic.Path // valid when known
	known  bool
}

var errBudget = errors.New("the filter costs too much on this event")

// quickly reports false for most events that the filter does not match,
// without running it.
func (f *filter) quickly(e *apic.Event) bool {
	n := &f.need
	if !anyOf(n.Statuses, e.Status) || !anyOf(n.Origins, e.Origin) {
		return false
	}
	if n.Tenants != nil {
		if name, ok := quickPlace(e.DN, "tenant"); ok && !anyOf(n.Tenants, name) {
			return false
		}
	}
	if n.Nodes != nil {
		if name, ok := quickPlace(e.DN, "node"); ok && !anyOf(n.Nodes, name) {
			return false
		}
	}
	return true
}

// run evaluates the filter on an event, or else on an object. A filter that
// fails is false.
func (f *filter) run(id apic.ID, e *apic.Event, o *apic.Object) bool {
	if e != nil && !f.quickly(e) {
		return false
	}
	ev, _ := f.pool.Get().(*evaluation)
	if ev == nil {
		ev = newEvaluation(f.weight)
	}
	if e != nil {
		ev.view.ofEvent(id, e)
	} else {
		ev.view = view{fabric: o.Fabric, class: o.Class, dn: o.DN, object: o.Attrs, attributes: o.Attrs}
	}
	ev.steps, ev.known = maxSteps, false
	result, err := ev.vm.Run(f.program, ev.env)
	matched, _ := result.(bool)
	ev.view, ev.path = view{}, nil // the pool must not keep events alive
	f.pool.Put(ev)
	return matched && err == nil
}

func newEvaluation(weight int) *evaluation {
	ev := &evaluation{weight: weight}
	ev.vm.MemoryBudget = maxMemory
	ev.env = ev.functions()
	return ev
}

// spend pays for work, or ends the evaluation: the machine recovers it.
func (ev *evaluation) spend(n int) {
	ev.steps -= n
	if ev.steps < 0 {
		panic(errBudget)
	}
}

// spendText pays for a text of n bytes that every node may then look at.
func (ev *evaluation) spendText(n int) { ev.spend(1 + n*ev.weight/16) }

func (ev *evaluation) pathOf(kind string) string {
	if kind == "tenant" || kind == "node" {
		if name, ok := quickPlace(ev.view.dn, kind); ok {
			return name
		}
	}
	return ev.places().Get(kind)
}

func (ev *evaluation) places() apic.Path {
	if !ev.known {
		ev.path, ev.known = ev.view.dn.Path(), true
	}
	return ev.path
}

// set returns a set of attributes and pays for looking for one of them: it
// goes over the names, and there is at least a byte for each in the values.
func (ev *evaluation) set(name string) *apic.Attrs {
	set := &ev.view.object
	if name == "attributes" {
		set = &ev.view.attributes
	}
	ev.spend(set.Size() / 4)
	return set
}

// quickPlace returns what [apic.DN.Path] says of tenant or node for the DNs
// that most objects have: uni/tn-NAME/… and topology/pod-N/node-N/…. Where it
// does not answer, the path does.
func quickPlace(dn apic.DN, kind string) (string, bool) {
	rest, prefix := string(dn), "uni/tn-"
	if kind == "node" {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, "topology/pod-"); !ok {
			return "", false
		}
		slash := strings.IndexByte(rest, '/')
		if slash < 0 || strings.IndexByte(rest[:slash], '[') >= 0 {
			return "", false
		}
		rest, prefix = rest[slash:], "/node-"
	}
	rest, ok := strings.CutPrefix(rest, prefix)
	if !ok {
		return "", false
	}
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		rest = rest[:slash]
	}
	if rest == "" || strings.IndexByte(rest, '[') >= 0 {
		return "", false
	}
	return rest, true
}

func (ev *evaluation) text(r *ref) string {
	v := &ev.view
	var s string
	switch r.field {
	case fieldClass:
		s = string(v.class)
	case fieldDN:
		s = string(v.dn)
	case fieldFabric:
		s = v.fabric
	case fieldStatus:
		s = string(v.status)
	case fieldOrigin:
		s = string(v.origin)
	case fieldPath:
		s = ev.pathOf(r.name)
	case fieldObject:
		s = ev.set("object").Get(r.name)
	case fieldAttributes:
		s = ev.set("attributes").Get(r.name)
	case fieldOld:
		if c := ev.change(r.name); c != nil {
			s = c.Old
		}
	case fieldNew:
		if c := ev.change(r.name); c != nil {
			s = c.New
		}
	}
	ev.spendText(len(s))
	return s
}

func (ev *evaluation) change(name string) *apic.Change {
	changes := ev.view.changes
	ev.spend(len(changes))
	for i := range changes {
		if changes[i].Name == name {
			return &changes[i]
		}
	}
	return nil
}

// The functions that a filter is rewritten to. Their names cannot be written
// in a filter. The types are among those that expr-lang calls without
// reflection, which is why constants come as any.
const (
	fnText = "$text" // the text of a ref
	fnTest = "$test" // whether a ref, a text or a number meets a condition
	fnLook = "$look" // an attribute whose name is computed
	fnHas  = "$has"  // whether a set has a name
	fnKeys = "$keys" // the names of a set
	fnTime = "$time"
	fnID   = "$id"
)

func (ev *evaluation) functions() map[string]any {
	return map[string]any{
		fnText: func(r any) string { return ev.text(r.(*ref)) },
		fnTest: func(left, cond any) bool {
			switch v := left.(type) {
			case *ref:
				return cond.(condition).holds(ev, ev.text(v))
			case string:
				return cond.(condition).holds(ev, v)
			case int:
				return cond.(*numbers).has(v)
			}
			panic("no such test")
		},
		fnLook: func(set, name string) string {
			ev.spend(16)
			if set == "object" {
				return ev.text(&ref{fieldObject, name})
			}
			return ev.text(&ref{fieldAttributes, name})
		},
		fnHas: func(set, name string) bool {
			ev.spend(16)
			var ok bool
			switch set {
			case "object", "attributes":
				_, ok = ev.set(set).Lookup(name)
			case "changes":
				ok = ev.change(name) != nil
			case "path":
				ok = ev.pathOf(name) != ""
			}
			return ok
		},
		fnKeys: func(set string) []string {
			var names []string
			add := func(name string) {
				ev.spend(ev.weight)
				ev.spendText(len(name))
				names = append(names, name)
			}
			switch set {
			case "object", "attributes":
				for name := range ev.set(set).All() {
					add(name)
				}
			case "changes":
				for _, c := range ev.view.changes {
					add(c.Name)
				}
			case "path":
				for _, p := range ev.places() {
					add(p.Kind)
				}
			}
			return names
		},
		fnTime: func() time.Time { return ev.view.time },
		fnID:   func() int { return int(ev.view.id) },

		// What follows stands in filters under its own name, in place of
		// expr-lang's function where that does not pay for what it makes.
		"now":      func() time.Time { return time.Now().UTC() },
		"date":     toTime,
		"duration": parseDuration,
		"split": func(s, sep string) []string {
			ev.spendList(strings.Count(s, sep) + 1)
			return strings.Split(s, sep)
		},
		"splitAfter": func(s, sep string) []string {
			ev.spendList(strings.Count(s, sep) + 1)
			return strings.SplitAfter(s, sep)
		},
		"replace": func(s, old, new string) string {
			ev.spendText(len(s) + strings.Count(s, old)*len(new))
			return strings.ReplaceAll(s, old, new)
		},
		"repeat": func(s string, n int) (string, error) {
			if n < 0 || n > maxMemory {
				return "", errBudget
			}
			ev.spendText(len(s) * n)
			return strings.Repeat(s, n), nil
		},
		"join": func(list []string, sep string) string {
			n := 0
			for _, s := range list {
				n += len(s) + len(sep)
			}
			ev.spendText(n)
			return strings.Join(list, sep)
		},
	}
}

// spendList pays for a list over whose members a loop may go.
func (ev *evaluation) spendList(n int) {
	if n > maxMemory {
		panic(errBudget)
	}
	ev.spend(n * ev.weight)
}

// toTime reads the times that filters and attributes of an APIC hold.
func toTime(s string) (time.Time, error) {
	t, ok := parseTime(s)
	if !ok {
		return t, errors.New("no time in RFC 3339")
	}
	return t, nil
}

// oneOf holds for the texts of a list.
type oneOf struct {
	list []string
	set  map[string]struct{} // in place of a long list
}

func newOneOf(list []string) *oneOf {
	o := &oneOf{list: list}
	if len(list) > 8 {
		o.set = make(map[string]struct{}, len(list))
		for _, s := range list {
			o.set[s] = struct{}{}
		}
	}
	return o
}

func (o *oneOf) has(s string) bool {
	if o.set != nil {
		_, ok := o.set[s]
		return ok
	}
	for _, t := range o.list {
		if s == t {
			return true
		}
	}
	return false
}

func (o *oneOf) holds(_ *evaluation, s string) bool { return o.has(s) }

// A part holds for texts that contain, begin with or end with a text.
type part struct {
	operator string
	text     string
}

func (p *part) holds(_ *evaluation, s string) bool {
	switch p.operator {
	case "contains":
		return strings.Contains(s, p.text)
	case "startsWith":
		return strings.HasPrefix(s, p.text)
	}
	return strings.HasSuffix(s, p.text)
}

// A pattern holds for the texts in which a regular expression is found.
type pattern struct {
	re   *regexp.Regexp
	size int // instructions: what one byte can cost
}

func (p *pattern) holds(ev *evaluation, s string) bool {
	ev.spend(1 + len(s)*p.size)
	return p.re.MatchString(s)
}

// numbers are whole numbers: a span, or single ones.
type numbers struct {
	from, to int // where set is nil
	set      map[int]struct{}
}

func (n *numbers) has(i int) bool {
	if n.set == nil {
		return n.from <= i && i <= n.to
	}
	_, ok := n.set[i]
	return ok
}
