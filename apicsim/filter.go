package apicsim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// filter is a compiled query-target-filter: whether an object, told with that
// status ("" in a snapshot), matches.
type filter func(n *node, status string) bool

// filterError is what is wrong with a filter, in words for the answer.
type filterError struct{ text string }

func (e *filterError) Error() string { return e.text }

// property is className.propertyName as found in a filter.
type property struct{ class, name string }

// parseFilter compiles an expression of the grammar of the REST guide:
//
//	eq ne lt gt le ge (class.prop,"value")   bw(class.prop,"low","high")
//	wcard(class.prop,"pattern")  anybit allbits (class.prop,"flag,flag")
//	and or (expr,expr…)  xor(expr,expr)  not(expr)  true() false()
//	pholder(…) passive(…)
//
// It also returns the properties that the expression names.
func parseFilter(text string) (filter, []property, error) {
	p := filterParser{text: text}
	f, err := p.expr(0)
	if err == nil {
		if p.space(); p.at < len(p.text) {
			err = p.fail("unexpected %q after the expression", p.text[p.at:])
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return f, p.props, nil
}

type filterParser struct {
	text  string
	at    int
	props []property
}

// maxDepth bounds the recursion: the expression comes from strangers.
const maxDepth = 64

func (p *filterParser) fail(format string, args ...any) error {
	return &filterError{fmt.Sprintf("wrong filter format at position %d: ", p.at) + fmt.Sprintf(format, args...)}
}

func (p *filterParser) space() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

func (p *filterParser) take(b byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == b {
		p.at++
		return true
	}
	return false
}

func (p *filterParser) word() string {
	p.space()
	start := p.at
	for p.at < len(p.text) {
		b := p.text[p.at]
		if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '.' {
			p.at++
			continue
		}
		break
	}
	return p.text[start:p.at]
}

func (p *filterParser) property() (property, error) {
	w := p.word()
	class, name, ok := strings.Cut(w, ".")
	if !ok || class == "" || name == "" || strings.Contains(name, ".") {
		return property{}, p.fail("%q is not className.propertyName", w)
	}
	pr := property{class, name}
	p.props = append(p.props, pr)
	return pr, nil
}

func (p *filterParser) value() (string, error) {
	if !p.take('"') {
		return "", p.fail("a value in double quotes is missing")
	}
	var b strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == '"':
			return b.String(), nil
		case c == '\\' && p.at < len(p.text) && (p.text[p.at] == '"' || p.text[p.at] == '\\'):
			b.WriteByte(p.text[p.at])
			p.at++
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail("the closing quote is missing")
}

// skip passes over balanced arguments up to the closing bracket.
func (p *filterParser) skip() error {
	depth, quoted := 0, false
	for p.at < len(p.text) {
		b := p.text[p.at]
		switch {
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '(':
			depth++
		case b == ')':
			if depth == 0 {
				return nil
			}
			depth--
		}
		p.at++
	}
	return p.fail("a closing bracket is missing")
}

func (p *filterParser) expr(depth int) (filter, error) {
	if depth > maxDepth {
		return nil, p.fail("nested too deeply")
	}
	op := p.word()
	if !p.take('(') {
		return nil, p.fail("%q is not followed by a bracket", op)
	}
	f, err := p.call(op, depth)
	if err != nil {
		return nil, err
	}
	if !p.take(')') {
		return nil, p.fail("the bracket of %s is not closed", op)
	}
	return f, nil
}

func (p *filterParser) call(op string, depth int) (filter, error) {
	switch op {
	case "true":
		return func(*node, string) bool { return true }, nil
	case "false":
		return func(*node, string) bool { return false }, nil
	case "pholder", "passive": // place holders of the GUI: no restriction
		return func(*node, string) bool { return true }, p.skip()
	case "and", "or", "xor", "not":
		var args []filter
		for {
			a, err := p.expr(depth + 1)
			if err != nil {
				return nil, err
			}
			args = append(args, a)
			if !p.take(',') {
				break
			}
		}
		switch {
		case op == "not" && len(args) != 1:
			return nil, p.fail("not takes one expression")
		case op == "xor" && len(args) != 2:
			return nil, p.fail("xor takes two expressions")
		}
		switch op {
		case "and":
			return func(n *node, st string) bool {
				for _, a := range args {
					if !a(n, st) {
						return false
					}
				}
				return true
			}, nil
		case "or":
			return func(n *node, st string) bool {
				for _, a := range args {
					if a(n, st) {
						return true
					}
				}
				return false
			}, nil
		case "xor":
			return func(n *node, st string) bool { return args[0](n, st) != args[1](n, st) }, nil
		}
		return func(n *node, st string) bool { return !args[0](n, st) }, nil
	case "eq", "ne", "lt", "gt", "le", "ge", "bw", "wcard", "anybit", "allbits":
	default:
		return nil, p.fail("%q is not an operator", op)
	}
	prop, err := p.property()
	if err != nil {
		return nil, err
	}
	if !p.take(',') {
		return nil, p.fail("%s needs a value", op)
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	// test makes a filter of a condition on the property's value.
	test := func(cond func(string) bool) filter {
		return func(n *node, status string) bool {
			got, ok := prop.of(n, status)
			return ok && cond(got)
		}
	}
	switch op {
	case "eq":
		return test(func(s string) bool { return s == v }), nil
	case "ne":
		return test(func(s string) bool { return s != v }), nil
	case "lt":
		return test(func(s string) bool { return compareValues(s, v) < 0 }), nil
	case "gt":
		return test(func(s string) bool { return compareValues(s, v) > 0 }), nil
	case "le":
		return test(func(s string) bool { return compareValues(s, v) <= 0 }), nil
	case "ge":
		return test(func(s string) bool { return compareValues(s, v) >= 0 }), nil
	case "bw":
		if !p.take(',') {
			return nil, p.fail("bw needs two values")
		}
		high, err := p.value()
		if err != nil {
			return nil, err
		}
		return test(func(s string) bool { return compareValues(s, v) >= 0 && compareValues(s, high) <= 0 }), nil
	case "wcard":
		re, err := regexp.Compile(v)
		if err != nil {
			return nil, p.fail("pattern %q: %v", v, err)
		}
		return test(re.MatchString), nil
	}
	flags := strings.Split(v, ",")
	if op == "anybit" {
		return test(func(s string) bool {
			have := strings.Split(s, ",")
			return slices.ContainsFunc(flags, func(f string) bool { return slices.Contains(have, f) })
		}), nil
	}
	return test(func(s string) bool {
		have := strings.Split(s, ",")
		return !slices.ContainsFunc(flags, func(f string) bool { return !slices.Contains(have, f) })
	}), nil
}

// of returns the property of an object; ok is false if the object is of another
// class or has no such property.
func (p property) of(n *node, status string) (string, bool) {
	c := n.cls
	if p.class != c.name && !slices.Contains(c.super, p.class) {
		return "", false
	}
	switch p.name {
	case "dn":
		return n.dn, true
	case "rn":
		return n.rn(), true
	case "status":
		return status, true
	case "childAction":
		return "", true
	case "modTs":
		if own := n.ownModTs(); own != "" {
			return own, true
		}
		if n.modTs == never {
			return "never", true
		}
		return time.UnixMilli(n.modTs).UTC().Format(timeLayout), true
	}
	k, ok := c.keys[p.name]
	if !ok {
		return "", false
	}
	return n.get(k)
}

var severities = []string{"cleared", "info", "warning", "minor", "major", "critical"}

// compareValues compares as APIC does by type: severities by weight, numbers by
// size, moments by time, everything else as text.
func compareValues(a, b string) int {
	if i, j := slices.Index(severities, a), slices.Index(severities, b); i >= 0 && j >= 0 {
		return i - j
	}
	if x, err := strconv.ParseUint(a, 10, 64); err == nil {
		if y, err := strconv.ParseUint(b, 10, 64); err == nil {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	if x, err := strconv.ParseFloat(a, 64); err == nil {
		if y, err := strconv.ParseFloat(b, 64); err == nil {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	if x, err := time.Parse(time.RFC3339Nano, a); err == nil {
		if y, err := parseMoment(b); err == nil {
			return x.Compare(y)
		}
	}
	return strings.Compare(a, b)
}

// parseMoment reads a time as people write it into filters and time ranges.
func parseMoment(s string) (time.Time, error) {
	var err error
	for _, l := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		var t time.Time
		if t, err = time.Parse(l, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, err
}
