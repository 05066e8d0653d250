package selector

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

const (
	maxFilter   = 4096   // bytes of text
	maxNodes    = 1000   // of the expression, so that a long list of names has room
	maxPattern  = 2000   // instructions of all regular expressions together
	maxRepeated = 10_000 // nodes evaluated by loops over lists that are written out
)

// Names that a filter knows beside the kinds of path and the sets. A kind of
// path of the same name would stand behind it.
var names = map[string]field{
	"class": fieldClass, "dn": fieldDN, "fabric": fieldFabric, "status": fieldStatus, "origin": fieldOrigin,
	"id": 0, "time": 0,
}

var sets = []string{"attributes", "changes", "object", "path"}

// Variables returns the names that a filter may use, sorted.
func Variables() []string { return slices.Clone(variables()) }

var variables = sync.OnceValue(func() []string {
	list := slices.Concat(sets, apic.PathKinds())
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return slices.Compact(list)
})

// Functions returns the functions that a filter may call, sorted.
func Functions() []string { return slices.Sorted(maps.Keys(arity)) }

// arity gives the functions of a filter with the number of arguments they take.
var arity = map[string][2]int{
	"lower": {1, 1}, "upper": {1, 1}, "trim": {1, 2}, "trimPrefix": {2, 2}, "trimSuffix": {2, 2},
	"hasPrefix": {2, 2}, "hasSuffix": {2, 2}, "indexOf": {2, 2}, "lastIndexOf": {2, 2},
	"split": {2, 2}, "splitAfter": {2, 2}, "replace": {3, 3}, "repeat": {2, 2}, "join": {2, 2},
	"len": {1, 1}, "keys": {1, 1}, "string": {1, 1},
	"int": {1, 1}, "float": {1, 1}, "abs": {1, 1}, "ceil": {1, 1}, "floor": {1, 1}, "round": {1, 1},
	"now": {0, 0}, "date": {1, 1}, "duration": {1, 1},
	"any": {2, 2}, "all": {2, 2}, "none": {2, 2}, "one": {2, 2}, "count": {2, 2},
}

func loops(function string) bool {
	switch function {
	case "any", "all", "none", "one", "count":
		return true
	}
	return false
}

// methods are those of times and durations.
var methods = []string{
	"Year", "Month", "Day", "Weekday", "Hour", "Minute", "Second", "YearDay", "Unix", "UnixMilli", "String",
	"Add", "Sub", "Before", "After", "Equal", "Hours", "Minutes", "Seconds", "Milliseconds",
}

// words are the values that two of the fields can have.
var words = map[field][]string{
	fieldStatus: {string(apic.Created), string(apic.Modified), string(apic.Deleted)},
	fieldOrigin: {string(apic.Live), string(apic.Snapshot), string(apic.Resync)},
}

// compileFilter compiles an expression in four passes: parse; bind, which
// resolves names to what an event holds and refuses everything that is not
// known to be harmless; check of the types, by expr-lang; and fuse, which puts
// a comparison of one field with constants into one call.
func compileFilter(text string) (*filter, error) { return compileWith(text, true) }

func compileWith(text string, fuse bool) (*filter, error) {
	if len(text) > maxFilter {
		return nil, &Error{"filter", 1, 1, fmt.Sprintf("has %d bytes; a filter has at most %d", len(text), maxFilter)}
	}
	if !validText(text) {
		return nil, &Error{"filter", 1, 1, "must be UTF-8 text without control characters"}
	}
	config := conf.New(new(evaluation).functions())
	config.MaxNodes = maxNodes
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		return nil, exprError(text, err)
	}
	b := &binder{text: text, seen: make(map[ast.Node]bool), patterns: make(map[string]*pattern)}
	tree.Node = b.bind(tree.Node)
	if b.err != nil {
		return nil, b.err
	}
	t, err := checker.Check(tree, config)
	if err != nil {
		return nil, exprError(text, err)
	}
	if t.Kind() != reflect.Bool {
		b.fail(tree.Node, "a filter is true or false, and this is %s: compare it with something, as object.severity == \"critical\"", typeName(t))
		return nil, b.err
	}
	if fuse { // always, but for a test that the result is the same without
		ast.Walk(&tree.Node, (*fuser)(b))
	}
	if b.err != nil {
		return nil, b.err
	}
	f := &filter{text: text, weight: len(b.seen), event: b.event}
	b.necessary(tree.Node, &f.need)
	tree.Source = file.NewSource("") // nobody reads the picture of a failure at run time
	if f.program, err = compiler.Compile(tree, config); err != nil {
		// Not seen to happen: the types have been checked.
		return nil, &Error{"filter", 1, 1, "cannot be compiled: write it in a simpler way"}
	}
	return f, nil
}

// A binder turns names into calls.
type binder struct {
	text     string
	err      *Error // the first mistake
	seen     map[ast.Node]bool
	inLoop   bool
	repeated int
	patterns map[string]*pattern // by text
	size     int                 // instructions of patterns
	event    []*Error            // uses of what objects do not have
}

func (b *binder) at(n ast.Node, format string, args ...any) *Error {
	line, column := position(b.text, n.Location().From)
	return &Error{"filter", line, column, fmt.Sprintf(format, args...)}
}

func (b *binder) fail(n ast.Node, format string, args ...any) ast.Node {
	if b.err == nil {
		b.err = b.at(n, format, args...)
	}
	return n
}

// position turns an offset in characters into line and column from 1.
func position(text string, offset int) (line, column int) {
	line, column = 1, 1
	for _, r := range text {
		if offset == 0 {
			break
		}
		offset--
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

func (b *binder) bind(n ast.Node) ast.Node {
	if b.err != nil {
		return n
	}
	if b.seen[n] {
		// expr-lang reads a < b < c as a < b and b < c with one b in two
		// places, and x ?: y likewise. Nested, that doubles the work of every
		// pass with each level.
		return b.fail(n, "comparisons do not chain and ?: needs its middle part: write a < b and b < c, or a ? a : b")
	}
	b.seen[n] = true
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConstantNode:
		return n
	case *ast.NilNode:
		return b.fail(n, "nothing in an event is nil: an attribute that is not there is \"\"; ask \"descr\" in object, or object.descr != \"\"")
	case *ast.IdentifierNode:
		return b.name(n)
	case *ast.UnaryNode:
		n.Node = b.bind(n.Node)
		return n
	case *ast.BinaryNode:
		return b.binary(n)
	case *ast.ChainNode:
		return b.bind(n.Node)
	case *ast.MemberNode:
		return b.member(n)
	case *ast.SliceNode:
		n.Node = b.bind(n.Node)
		if n.From != nil {
			n.From = b.bind(n.From)
		}
		if n.To != nil {
			n.To = b.bind(n.To)
		}
		return n
	case *ast.ConditionalNode:
		n.Cond, n.Exp1, n.Exp2 = b.bind(n.Cond), b.bind(n.Exp1), b.bind(n.Exp2)
		return n
	case *ast.ArrayNode:
		return b.array(n)
	case *ast.PointerNode:
		if n.Name != "" {
			return b.fail(n, "#%s is not known: # is the member of the list", n.Name)
		}
		return n
	case *ast.CallNode:
		return b.call(n)
	case *ast.BuiltinNode:
		return b.function(n, n.Name, n.Arguments)
	case *ast.VariableDeclaratorNode:
		return b.fail(n, "let is not supported in a filter: write the value where it is used")
	case *ast.SequenceNode:
		return b.fail(n, "a filter is one expression: join conditions by and, not by semicolons")
	case *ast.MapNode:
		return b.fail(n, "maps are not supported in a filter: write a list, as [\"critical\", \"major\"]")
	}
	return b.fail(n, "this is not supported in a filter: compare fields with texts, numbers or lists of them")
}

const coalesce = "?? has no use here: an attribute that is not there is \"\" and never nil; write \"descr\" in object ? object.descr : \"none\""

// call makes a call of a function that stands in the place of n.
func call(n ast.Node, function string, args ...ast.Node) *ast.CallNode {
	callee := &ast.IdentifierNode{Value: function}
	callee.SetLocation(n.Location())
	c := &ast.CallNode{Callee: callee, Arguments: args}
	c.SetLocation(n.Location())
	return c
}

func constant(n ast.Node, value any) *ast.ConstantNode {
	c := &ast.ConstantNode{Value: value}
	c.SetLocation(n.Location())
	c.SetType(reflect.TypeOf(value))
	return c
}

func textOf(n ast.Node, f field, name string) ast.Node {
	return call(n, fnText, constant(n, &ref{f, name}))
}

// eventOnly notes that objects do not have what is used.
func (b *binder) eventOnly(n ast.Node, name string) {
	b.event = append(b.event, b.at(n, "%s belongs to events; what is true now of an object has class, dn, fabric, the parts of its path, object and attributes", name))
}

func (b *binder) name(n *ast.IdentifierNode) ast.Node {
	f, ok := names[n.Value]
	switch {
	case n.Value == "id":
		b.eventOnly(n, "id")
		return call(n, fnID)
	case n.Value == "time":
		b.eventOnly(n, "time")
		return call(n, fnTime)
	case ok:
		if f == fieldStatus || f == fieldOrigin {
			b.eventOnly(n, n.Value)
		}
		return textOf(n, f, "")
	case slices.Contains(apic.PathKinds(), n.Value):
		return textOf(n, fieldPath, n.Value)
	case n.Value == "changes":
		return b.fail(n, "changes is a set: write changes.descr.new, changes.descr.old, \"descr\" in changes, or len(changes) > 0")
	case n.Value == "path":
		return b.fail(n, "path is a set: write path.tenant, or tenant alone")
	case slices.Contains(sets, n.Value):
		return b.fail(n, "%s is a set of attributes: write %[1]s.descr, or \"descr\" in %[1]s", n.Value)
	}
	if _, ok := arity[n.Value]; ok {
		return b.fail(n, "%s is a function: write %[1]s(…)", n.Value)
	}
	if near := nearest(n.Value, variables()); near != "" {
		return b.fail(n, "unknown name %s: did you mean %s? An attribute is written object.%[1]s, a text \"%[1]s\"", n.Value, near)
	}
	return b.fail(n, "unknown name %s: an attribute is written object.%[1]s, a text \"%[1]s\"; the other names are %s", n.Value, listed(variables()))
}

// setName returns the name of the set that n is, "" when it is none.
func setName(n ast.Node) string {
	if id, ok := unchain(n).(*ast.IdentifierNode); ok && slices.Contains(sets, id.Value) {
		return id.Value
	}
	return ""
}

func unchain(n ast.Node) ast.Node {
	if c, ok := n.(*ast.ChainNode); ok {
		return c.Node
	}
	return n
}

func (b *binder) member(n *ast.MemberNode) ast.Node {
	property, written := n.Property.(*ast.StringNode)
	switch set := setName(n.Node); set {
	case "object", "attributes":
		if !written {
			return call(n, fnLook, stringNode(n, set), b.bind(n.Property))
		}
		f := fieldObject
		if set == "attributes" {
			f = fieldAttributes
		}
		return textOf(n, f, property.Value)
	case "path":
		switch {
		case !written:
			return b.fail(n.Property, "the part of a path must be written out, as path.tenant")
		case !slices.Contains(apic.PathKinds(), property.Value):
			return b.unknownPart(property, property.Value)
		}
		return textOf(n, fieldPath, property.Value)
	case "changes":
		if written {
			return b.fail(n, "changes.%s has an old and a new value: write changes.%[1]s.new, changes.%[1]s.old, or %[1]q in changes", property.Value)
		}
		return b.fail(n, "the name of a changed attribute must be written out, as changes.descr.new")
	}
	if inner, ok := unchain(n.Node).(*ast.MemberNode); ok && setName(inner.Node) == "changes" {
		name, ok := inner.Property.(*ast.StringNode)
		if !ok {
			return b.fail(inner.Property, "the name of a changed attribute must be written out, as changes.descr.new")
		}
		f := fieldOld
		switch {
		case written && property.Value == "new":
			f = fieldNew
		case !written || property.Value != "old":
			return b.fail(n.Property, "changes.%s has an old and a new value and nothing else", name.Value)
		}
		b.eventOnly(inner, "changes")
		return textOf(n, f, name.Value)
	}
	n.Node = b.bind(n.Node)
	if written {
		return b.fail(n, "there is no .%s here: only object, attributes, changes and path have parts", property.Value)
	}
	n.Property = b.bind(n.Property)
	return n
}

func (b *binder) unknownPart(n ast.Node, name string) ast.Node {
	if near := nearest(name, apic.PathKinds()); near != "" {
		return b.fail(n, "a path has no %s: did you mean %s?", name, near)
	}
	return b.fail(n, "a path has no %s: its parts are %s", name, listed(apic.PathKinds()))
}

func stringNode(n ast.Node, s string) ast.Node {
	t := &ast.StringNode{Value: s}
	t.SetLocation(n.Location())
	return t
}

func (b *binder) binary(n *ast.BinaryNode) ast.Node {
	switch n.Operator {
	case "in":
		return b.in(n)
	case "==", "!=":
		for _, side := range [][2]ast.Node{{n.Left, n.Right}, {n.Right, n.Left}} {
			if _, ok := side[1].(*ast.NilNode); !ok {
				continue
			}
			if m, ok := unchain(side[0]).(*ast.MemberNode); ok && setName(m.Node) != "" {
				var present ast.Node = b.has(n, setName(m.Node), m.Property)
				if n.Operator == "==" {
					not := &ast.UnaryNode{Operator: "not", Node: present}
					not.SetLocation(n.Location())
					present = not
				}
				return present
			}
		}
		b.times(n)
	case "<", "<=", ">", ">=":
		b.times(n)
	case "matches":
		s, ok := n.Right.(*ast.StringNode)
		if !ok {
			return b.fail(n.Right, "the pattern of matches must be a text that is written out, as object.descr matches \"^uplink\"")
		}
		if b.pattern(s); b.err != nil {
			return n
		}
	case "and", "&&", "or", "||", "contains", "startsWith", "endsWith", "+", "-", "*", "/", "%", "**", "^":
	case "..":
		return b.fail(n, "a range is only supported behind in, between whole numbers: int(object.code) in 100..199")
	case "??":
		return b.fail(n, coalesce)
	default:
		return b.fail(n, "operator %s is not supported in a filter", n.Operator)
	}
	n.Left, n.Right = b.bind(n.Left), b.bind(n.Right)
	return n
}

// pattern compiles the regular expression of matches.
func (b *binder) pattern(n *ast.StringNode) {
	tree, err := syntax.Parse(n.Value, syntax.Perl)
	if err == nil {
		var program *syntax.Prog
		if program, err = syntax.Compile(tree.Simplify()); err == nil {
			if b.size += len(program.Inst); b.size > maxPattern {
				b.fail(n, "the patterns of this filter are too large: use smaller counts in {…} or fewer alternatives")
				return
			}
			p := &pattern{size: len(program.Inst)}
			if p.re, err = regexp.Compile(n.Value); err == nil {
				b.patterns[n.Value] = p
				return
			}
		}
	}
	reason := err.Error()
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		reason = fmt.Sprintf("%s: %.80s", e.Code, e.Expr)
	}
	b.fail(n, "the pattern is no regular expression (RE2): %s", reason)
}

// times turns a text that is compared with a time into a time.
func (b *binder) times(n *ast.BinaryNode) {
	for _, side := range []struct{ time, text *ast.Node }{{&n.Left, &n.Right}, {&n.Right, &n.Left}} {
		s, ok := (*side.text).(*ast.StringNode)
		if !ok || !isTime(*side.time) {
			continue
		}
		t, ok := parseTime(s.Value)
		if !ok {
			b.fail(s, "%q is no time: write it as \"2026-11-24T03:42:11Z\"; an age is now() - duration(\"15m\")", s.Value)
			return
		}
		*side.text = constant(s, t)
	}
}

// isTime reports whether n, not bound yet, is a time by its looks.
func isTime(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value == "time"
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		return ok && (id.Value == "now" || id.Value == "date")
	case *ast.BinaryNode:
		return (n.Operator == "+" || n.Operator == "-") && isTime(n.Left)
	}
	return false
}

// has asks whether a set has a name.
func (b *binder) has(n ast.Node, set string, name ast.Node) ast.Node {
	if set == "changes" {
		b.eventOnly(n, "changes")
	}
	if s, ok := name.(*ast.StringNode); ok && set == "path" && !slices.Contains(apic.PathKinds(), s.Value) {
		return b.unknownPart(name, s.Value)
	}
	return call(n, fnHas, stringNode(n, set), b.bind(name))
}

func (b *binder) in(n *ast.BinaryNode) ast.Node {
	if set := setName(n.Right); set != "" {
		return b.has(n, set, n.Left)
	}
	n.Left = b.bind(n.Left)
	switch right := n.Right.(type) {
	case *ast.StringNode:
		return b.fail(right, "in needs a list: write in [%q], or contains %[1]q for a part of a text", right.Value)
	case *ast.ArrayNode:
		if len(right.Nodes) == 0 {
			return b.fail(right, "the list is empty: write what may stand there, as [\"critical\", \"major\"]")
		}
	case *ast.BinaryNode:
		if right.Operator == ".." {
			from, ok1 := wholeNumber(right.Left)
			to, ok2 := wholeNumber(right.Right)
			if !ok1 || !ok2 || from > to {
				return b.fail(right, "a range goes from a whole number to a larger one, both written out, as 100..199")
			}
			b.seen[right] = true
			return n // the bounds are bound by being numbers
		}
	}
	n.Right = b.bind(n.Right)
	return n
}

func wholeNumber(n ast.Node) (int, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.UnaryNode:
		if i, ok := n.Node.(*ast.IntegerNode); ok && n.Operator == "-" {
			return -i.Value, true
		}
	}
	return 0, false
}

func (b *binder) array(n *ast.ArrayNode) ast.Node {
	kind := reflect.Invalid
	for i, e := range n.Nodes {
		n.Nodes[i] = b.bind(e)
		k := reflect.String // all else that may stand there is checked to be text
		switch e.(type) {
		case *ast.IntegerNode, *ast.UnaryNode:
			k = reflect.Int
		case *ast.FloatNode:
			k = reflect.Float64
		case *ast.BoolNode:
			k = reflect.Bool
		}
		if kind == reflect.Invalid {
			kind = k
		}
		if k != kind {
			return b.fail(e, "a list holds either texts or numbers, not both: put texts in quotes")
		}
	}
	return n
}

func (b *binder) call(n *ast.CallNode) ast.Node {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		return b.function(n, callee.Value, n.Arguments)
	case *ast.MemberNode:
		name, ok := callee.Property.(*ast.StringNode)
		if !ok || !slices.Contains(methods, name.Value) {
			method := "this"
			if ok {
				method = name.Value
			}
			return b.fail(callee, "%s cannot be called: times and durations have %s; for texts write lower(object.descr)", method, listed(methods))
		}
		if setName(callee.Node) != "" {
			return b.fail(callee, "%s cannot be called: attributes are text", name.Value)
		}
		b.seen[callee] = true
		callee.Node = b.bind(callee.Node)
		for i, arg := range n.Arguments {
			n.Arguments[i] = b.bind(arg)
		}
		return n
	}
	return b.fail(n, "this cannot be called: the functions are %s", listed(Functions()))
}

// function binds the call n of a function, its own or expr-lang's.
func (b *binder) function(n ast.Node, name string, args []ast.Node) ast.Node {
	count, ok := arity[name]
	switch {
	case !ok && loopsForever(name):
		return b.fail(n, "%s is not supported in a filter, as its cost has no bound: of the loops there are any, all, none, one and count", name)
	case !ok:
		if near := nearest(name, Functions()); near != "" {
			return b.fail(n, "unknown function %s: did you mean %s?", name, near)
		}
		return b.fail(n, "unknown function %s: there are %s", name, listed(Functions()))
	case len(args) < count[0] || len(args) > count[1]:
		wanted := fmt.Sprint(count[0])
		if count[0] != count[1] {
			wanted = fmt.Sprintf("%d or %d", count[0], count[1])
		}
		return b.fail(n, "%s takes %s, not %d", name, arguments(wanted), len(args))
	}
	switch name {
	case "len", "keys":
		if set := setName(args[0]); set != "" {
			if set == "changes" {
				b.eventOnly(n, "changes")
			}
			keys := call(n, fnKeys, stringNode(n, set))
			if name == "keys" {
				return keys
			}
			args[0] = keys
			return n
		}
		if name == "keys" {
			return b.fail(args[0], "keys takes one of %s", listed(sets))
		}
	case "date", "duration":
		if s, ok := args[0].(*ast.StringNode); ok { // once, and its mistake told
			if name == "duration" {
				d, err := parseDuration(s.Value)
				if err != nil {
					return b.fail(s, "%s", err)
				}
				return constant(n, d)
			}
			t, ok := parseTime(s.Value)
			if !ok {
				return b.fail(s, "%q is no time: write it as \"2026-11-24T03:42:11Z\"", s.Value)
			}
			return constant(n, t)
		}
	}
	if loops(name) {
		return b.loop(n, name, args)
	}
	for i, arg := range args {
		args[i] = b.bind(arg)
	}
	return n
}

func arguments(n string) string {
	switch n {
	case "0":
		return "no argument"
	case "1":
		return "1 argument"
	}
	return n + " arguments"
}

func loopsForever(name string) bool {
	switch name {
	case "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "sum", "groupBy", "sortBy", "reduce":
		return true
	}
	return false
}

func (b *binder) loop(n ast.Node, name string, args []ast.Node) ast.Node {
	if b.inLoop {
		return b.fail(n, "%s cannot stand inside another loop: write the inner list out with or", name)
	}
	over := args[0]
	list, written := over.(*ast.ArrayNode)
	if !written {
		switch f := over.(type) {
		case *ast.BuiltinNode:
			written = f.Name == "keys"
		case *ast.CallNode:
			if id, ok := f.Callee.(*ast.IdentifierNode); ok {
				written = id.Value == "split" || id.Value == "splitAfter"
			}
		}
		if !written {
			return b.fail(over, "%s goes over a list that is written out, over keys(…) or split(…)", name)
		}
	}
	args[0] = b.bind(over)
	before := len(b.seen)
	b.inLoop = true
	p, ok := args[1].(*ast.PredicateNode)
	if !ok {
		return b.fail(args[1], "%s needs a condition on its members, as %[1]s([\"a\", \"b\"], object.descr contains #)", name)
	}
	b.seen[p] = true
	p.Node = b.bind(p.Node)
	b.inLoop = false
	if list != nil {
		if b.repeated += len(list.Nodes) * (len(b.seen) - before); b.repeated > maxRepeated {
			return b.fail(n, "the loops of this filter are too long: use a shorter list, or matches with alternatives")
		}
	}
	return n
}

// A fuser looks at bound and checked nodes, innermost first.
type fuser binder

// refOf returns what a call of fnText reads.
func refOf(n ast.Node) *ref {
	c, ok := n.(*ast.CallNode)
	if !ok || len(c.Arguments) != 1 {
		return nil
	}
	if k, ok := c.Arguments[0].(*ast.ConstantNode); ok {
		r, _ := k.Value.(*ref)
		return r
	}
	return nil
}

func (u *fuser) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.BinaryNode)
	if !ok {
		return
	}
	var cond any
	negate := false
	left := n.Left
	switch n.Operator {
	case "==", "!=":
		s, ok := n.Right.(*ast.StringNode)
		if !ok {
			s, ok = n.Left.(*ast.StringNode)
			left = n.Right
		}
		if !ok || refOf(left) == nil {
			return
		}
		u.known(s, refOf(left))
		cond, negate = newOneOf([]string{s.Value}), n.Operator == "!="
	case "in":
		switch right := n.Right.(type) {
		case *ast.BinaryNode: // a range
			if left.Type().Kind() != reflect.Int {
				(*binder)(u).fail(left, "a range is of whole numbers, and this is %s: write int(…) around it", typeName(left.Type()))
				return
			}
			from, _ := wholeNumber(right.Left)
			to, _ := wholeNumber(right.Right)
			cond = &numbers{from: from, to: to}
		case *ast.ArrayNode:
			cond = u.list(left, right)
		}
	case "matches":
		cond = u.patterns[n.Right.(*ast.StringNode).Value]
	case "contains", "startsWith", "endsWith":
		if s, ok := n.Right.(*ast.StringNode); ok && refOf(left) != nil {
			cond = &part{n.Operator, s.Value}
		}
	}
	if cond == nil {
		return
	}
	if c, ok := left.(*ast.CallNode); ok && refOf(left) != nil {
		left = c.Arguments[0]
	}
	test := call(n, fnTest, left, constant(n, cond))
	test.Callee.SetType(testType)
	test.SetType(boolType)
	if !negate {
		*node = test
		return
	}
	not := &ast.UnaryNode{Operator: "not", Node: test}
	not.SetLocation(n.Location())
	not.SetType(boolType)
	*node = not
}

var (
	boolType = reflect.TypeFor[bool]()
	testType = reflect.TypeFor[func(any, any) bool]()
)

// list makes the condition of in, nil when the list is not one of constants.
func (u *fuser) list(left ast.Node, right *ast.ArrayNode) any {
	var texts []string
	set := make(map[int]struct{})
	for _, e := range right.Nodes {
		if s, ok := e.(*ast.StringNode); ok {
			texts = append(texts, s.Value)
			if r := refOf(left); r != nil {
				u.known(s, r)
			}
		} else if i, ok := wholeNumber(e); ok {
			set[i] = struct{}{}
		} else {
			return nil
		}
	}
	switch {
	case len(texts) == len(right.Nodes) && left.Type().Kind() == reflect.String:
		return newOneOf(texts)
	case len(texts) == 0 && left.Type().Kind() == reflect.Int:
		return &numbers{set: set}
	}
	return nil
}

// known refuses a text that the field it is compared with can never have.
func (u *fuser) known(n *ast.StringNode, r *ref) {
	b := (*binder)(u)
	switch {
	case words[r.field] != nil && !slices.Contains(words[r.field], n.Value):
		what := "status"
		if r.field == fieldOrigin {
			what = "origin"
		}
		b.fail(n, "there is no %s %.40q: it is one of %s", what, n.Value, listed(words[r.field]))
	case r.field == fieldClass:
		classes, err := apic.ResolveClass(n.Value)
		if err != nil {
			b.fail(n, "%s", err)
			return
		}
		var concrete []apic.Class
		for _, c := range classes {
			concrete = append(concrete, c.Concrete()...)
		}
		if len(concrete) != 1 || string(concrete[0]) != n.Value {
			b.fail(n, "no object has the class %.60q: events name APIC's concrete class, so write class in [\"%s\"], or use class=%[1]s beside the filter", n.Value,
				strings.ReplaceAll(listed(concrete), ", ", `", "`))
		}
	}
}

// necessary adds to need what must hold for n to be true.
func (b *binder) necessary(n ast.Node, need *apic.Narrow) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		if n.Operator == "and" || n.Operator == "&&" {
			b.necessary(n.Left, need)
			b.necessary(n.Right, need)
		}
	case *ast.CallNode:
		if len(n.Arguments) != 2 {
			return
		}
		k, ok1 := n.Arguments[0].(*ast.ConstantNode)
		v, ok2 := n.Arguments[1].(*ast.ConstantNode)
		if !ok1 || !ok2 {
			return
		}
		r, ok1 := k.Value.(*ref)
		values, ok2 := v.Value.(*oneOf)
		if !ok1 || !ok2 || slices.Contains(values.list, "") {
			return
		}
		switch {
		case r.field == fieldStatus && need.Statuses == nil:
			need.Statuses = listOf[apic.Status](values.list)
		case r.field == fieldOrigin && need.Origins == nil:
			need.Origins = listOf[apic.Origin](values.list)
		case r.field == fieldPath && r.name == "tenant" && need.Tenants == nil:
			need.Tenants = listOf[string](values.list)
		case r.field == fieldPath && r.name == "node" && need.Nodes == nil:
			need.Nodes = listOf[string](values.list)
		}
	}
}

// listOf returns the values sorted, each once; nil for none.
func listOf[T ~string](values []string) []T {
	if len(values) == 0 {
		return nil
	}
	list := make([]T, len(values))
	for i, v := range values {
		list[i] = T(v)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "a time"
	case t == reflect.TypeFor[time.Duration]():
		return "a duration"
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Int, reflect.Int64, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Bool:
		return "true or false"
	}
	return "something else"
}

// exprError puts expr-lang's error into our words.
func exprError(text string, err error) *Error {
	e, ok := errors.AsType[*file.Error](err)
	if !ok {
		return &Error{"filter", 1, 1, err.Error()}
	}
	line, column := position(text, e.From)
	detail := e.Message
	switch {
	case strings.Contains(detail, "exceeds maximum allowed nodes"):
		line, column = 1, 1
		detail = fmt.Sprintf("is too long: at most %d names, values and operators", maxNodes)
	case strings.Contains(detail, "EOF"):
		detail = "ends too early: something is missing behind the last word"
	case strings.Contains(detail, "literal not terminated"):
		detail = "a text is not closed: end it with the quote it began with"
	case strings.Contains(detail, "(??) cannot be mixed"):
		detail = coalesce
	case strings.HasPrefix(detail, "unexpected token Operator(\"=\")"):
		detail = "write == to compare"
	case strings.HasPrefix(detail, "unexpected token Identifier(\"AND\")"), strings.HasPrefix(detail, "unexpected token Identifier(\"OR\")"), strings.HasPrefix(detail, "unexpected token Identifier(\"NOT\")"):
		detail = "write and, or, not in small letters"
	case strings.HasPrefix(detail, "unexpected token"):
		detail += ": join conditions by and or or, and put texts in quotes"
	case strings.Contains(detail, "mismatched types"):
		detail = texts.Replace(detail) + ": attributes and parts of the path are text in quotes; numbers of them are int(…) or float(…), times date(…)"
	case strings.HasSuffix(detail, "in array"):
		detail = texts.Replace(detail) + ": attributes are text, so put the numbers of a list in quotes, or write int(…) in front of in"
	default:
		detail = texts.Replace(detail)
	}
	return &Error{"filter", line, column, detail}
}

// texts replaces Go's types by the words for them.
var texts = strings.NewReplacer("string", "text", "time.Time", "time", "time.Duration", "duration", "float64", "number", "[]interface {}", "list", "in array", "in a list")
