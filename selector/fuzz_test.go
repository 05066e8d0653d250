package selector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
)

// fuzzed are events that filters of all kinds match.
var fuzzed = []*apic.Event{
	{
		Time: time.Date(2026, 11, 24, 3, 42, 11, 0, time.UTC), Fabric: "default", Class: "faultInst",
		DN: "uni/tn-prod/ap-shop/epg-web/fault-F0467", Status: apic.Modified, Origin: apic.Live,
		Attributes: apic.AttrsMap(map[string]string{"severity": "critical"}),
		Changes:    []apic.Change{{Name: "severity", Old: "minor", New: "critical"}},
		Object:     apic.AttrsMap(map[string]string{"severity": "critical", "code": "F0467", "occur": "12", "descr": "a/b ü"}),
	},
	{Class: "fvTenant", DN: "uni/tn-common", Status: apic.Created, Origin: apic.Snapshot, Attributes: apic.AttrsMap(map[string]string{"name": "common", "occur": "-1"})},
	{DN: "topology/pod-1/node-101/sys/phys-[eth1/1]/phys", Status: apic.Deleted, Origin: apic.Resync},
	{DN: "x/[/tn-\xff"},
}

// Whatever a filter is, it is refused at a position inside of it, or it runs
// and says the same with and without the calls that comparisons are fused to,
// and what is read out of it for an index holds.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		`object.severity in ["critical","major"] and tenant == "prod"`,
		`object.severity in ["critical","major"] and tenannt == "prod"`,
		`int(object.occur) in -1..12 or object.occur not in ["1"]`,
		`changes.severity.old != "x" and "severity" in changes and changes?.severity.new matches "^c.*l$"`,
		`any(split(dn, "/"), # startsWith "tn-") ? len(object) > 2 : time > now() - duration("1d")`,
		`path.node == "101" && id % 2 == 0 || not (status == "created")`,
		`replace(repeat(object.descr, 3), "/", "--")[2:-1] contains "a" and count(["a", "b"], object.descr contains #) > 1`,
		`if time.Hour() == 3 { true } else { float(object.occur) ** 2 > 1e3 }`,
		"1 < id < 3", "a ?: b", "{a: 1}", "let a = 1; a", "\"\\u00fc\" == \"ü\" // x", "((", "$env", "#", "object[object[object.descr]] == nil",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		began := time.Now()
		c, err := compileFilter(text)
		if err != nil {
			list := Errors(err)
			if len(list) != 1 || list[0].Line < 1 || list[0].Line > strings.Count(text, "\n")+1 ||
				list[0].Column < 1 || list[0].Column > len(text)+1 || list[0].Detail == "" {
				t.Fatalf("%q is refused with %+v", text, err)
			}
			return
		}
		plain, err := compileWith(text, false)
		if err != nil {
			t.Fatalf("%q is refused only without fusing: %v", text, err)
		}
		for i, e := range fuzzed {
			got, want := c.run(5, e, nil), plain.run(5, e, nil)
			if got != want && !strings.Contains(text, "now") {
				t.Errorf("%q on event %d: fused %t, plain %t", text, i, got, want)
			}
			entry := apic.Entry{Event: e}
			if got && !c.need.Admits(&entry) {
				t.Errorf("%q matches event %d, which %+v does not admit", text, i, c.need)
			}
			c.run(0, nil, &apic.Object{DN: e.DN, Attrs: e.Object})
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%q took %s", text, took)
		}
	})
}

// Filters of random parts, which a fuzzer seldom gets past the types.
func TestFused(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	text := func() string {
		return pick("class", "dn", "fabric", "tenant", "epg", "path.node", "object.severity", "object.code", "object.nothing", "attributes.name",
			"changes.severity.old", "changes.severity.new", `object["descr"]`, "lower(object.code)", `object.occur + ""`, `"critical"`)
	}
	literal := func() string {
		return pick(`"critical"`, `"minor"`, `"prod"`, `""`, `"F0467"`, `"web"`, `"101"`, `"uni/tn-common"`, `"-1"`, `"12"`)
	}
	number := func() string {
		return pick("int(object.occur)", "len(changes)", "id", "int(object.code[1:])", "len(dn)")
	}
	digits := func() string { return pick("-1", "0", "1", "5", "12", "467") }
	var condition func(depth int) string
	condition = func(depth int) string {
		switch n := r.IntN(12); {
		case depth > 0 && n < 5:
			return fmt.Sprintf("(%s %s %s)", condition(depth-1), pick("and", "or", "&&", "||", "==", "!="), condition(depth-1))
		case depth > 0 && n < 6:
			return "not (" + condition(depth-1) + ")"
		case depth > 0 && n < 7:
			return fmt.Sprintf("(%s ? %s : %s)", condition(depth-1), condition(depth-1), condition(depth-1))
		case n < 8:
			return fmt.Sprintf("%s %s [%s, %s]", text(), pick("in", "not in"), literal(), pick(literal(), text()))
		case n < 9:
			return fmt.Sprintf("%s %s %s", number(), pick("in", "not in"), pick("["+digits()+", "+digits()+"]", "-1..12", "5..467"))
		case n < 10:
			return fmt.Sprintf("%s %s %s", text(), pick("matches", "not matches"), pick(`"^[a-z]+$"`, `"0|1"`, `"(?i)C.*L$"`))
		case n < 11:
			return fmt.Sprintf("%s(%s, # %s %s)", pick("any", "all", "none", "one"), pick(`split(dn, "/")`, `["critical", "prod", "F0467"]`, "keys(object)"),
				pick("==", "!=", "in", "contains"), pick("["+literal()+"]", literal(), text()))
		}
		a, b := text(), literal()
		if r.IntN(2) == 0 {
			a, b = b, a
		}
		return fmt.Sprintf("%s %s %s", a, pick("==", "!=", "contains", "startsWith", "endsWith", "not contains"), b)
	}
	compiled, matched := 0, 0
	for range 3000 {
		text := condition(3)
		fused, err := compileFilter(text)
		if err != nil {
			continue // a class or a type that cannot be
		}
		plain, err := compileWith(text, false)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		compiled++
		for i, e := range fuzzed {
			got, want := fused.run(5, e, nil), plain.run(5, e, nil)
			if got != want {
				t.Errorf("%s on event %d: fused %t, plain %t", text, i, got, want)
			}
			if got {
				matched++
			}
		}
	}
	if compiled < 500 || matched < compiled/2 {
		t.Errorf("of 3000 filters %d compiled and matched %d times: too few to tell", compiled, matched)
	}
}

// slowMatch is what a pattern means, said the simple way.
func slowMatch(p, dn string) bool {
	borders := func(s string) []bool {
		list := make([]bool, len(s))
		depth := 0
		for i := range len(s) {
			switch s[i] {
			case '[':
				depth++
			case ']':
				depth = max(depth-1, 0)
			case '/':
				list[i] = depth == 0
			}
		}
		return list
	}
	pb, db := borders(p), borders(dn)
	known := make(map[[2]int]bool)
	var match func(i, j int) bool
	match = func(i, j int) (ok bool) {
		if got, ok := known[[2]int{i, j}]; ok {
			return got
		}
		defer func() { known[[2]int{i, j}] = ok }()
		if i == len(p) {
			return j == len(dn)
		}
		if p[i] != '*' {
			return j < len(dn) && p[i] == dn[j] && pb[i] == db[j] && match(i+1, j+1)
		}
		stars := len(p[i:]) - len(strings.TrimLeft(p[i:], "*"))
		if stars > 1 && (i == 0 || pb[i-1]) && i+stars < len(p) && pb[i+stars] { // a whole RN
			if match(i+stars+1, j) {
				return true
			}
		}
		for end := j; ; end++ {
			if match(i+stars, end) {
				return true
			}
			if end == len(dn) || stars == 1 && db[end] {
				return false
			}
		}
	}
	return match(0, 0)
}

var patterns = []struct {
	pattern, dn string
	want        bool
}{
	{"uni/tn-*", "uni/tn-a", true},
	{"uni/tn-*", "uni/tn-", true},
	{"uni/tn-*", "uni/tn-a/ap-b", false},
	{"uni/tn-*/ap-b", "uni/tn-a/ap-b", true},
	{"uni/*/ap-b", "uni/tn-a/tn-c/ap-b", false},
	{"uni/**/ap-b", "uni/tn-a/tn-c/ap-b", true},
	{"uni/**/ap-b", "uni/ap-b", true},
	{"uni/**/ap-b", "uni/xap-b", false},
	{"uni/**/ap-b", "uni/tn-a/xap-b", false},
	{"uni/**ap-b", "uni/tn-a/xap-b", true},
	{"**/ap-b", "ap-b", true},
	{"**/ap-b", "xap-b", false},
	{"**/**/ap-b", "uni/ap-b", true},
	{"**/**/ap-b", "ap-b", true},
	{"**", "uni/tn-a", true},
	{"*", "uni", true},
	{"*", "uni/tn-a", false},
	{"*", "x-[a/b]", true},
	{"uni/tn-a/**", "uni/tn-a", false},
	{"uni/tn-a/**", "uni/tn-a/ap-b/epg-c", true},
	{"uni/tn-a**", "uni/tn-ab/ap-c", true},
	{"uni/tn-*-x*y", "uni/tn-1-x-x2y", true},
	{"uni/e/rspathAtt-*", "uni/e/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]", true},
	{"uni/e/rspathAtt-[topology/pod-1/paths-*/pathep-[eth1/*]]", "uni/e/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]", true},
	{"uni/e/rspathAtt-[topology/*/pathep-[eth1/1]]", "uni/e/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]", true},
	{"a/x-[*]", "a/x-[b]", true},
	{"a/x-[*]/y", "a/x-[b]/z-[c]/y", false},
	{"a/x-[**]/y", "a/x-[b]/z-[c]/y", true},
	{"a/*/tn-prod]*", "a/subj-[uni/tn-prod]", false},
	{"*/mod-1", "subj-[uni/tn-prod]/mod-1", true},
	{"subj-[uni/*]/mod-1", "subj-[uni/tn-prod/ap-x]/mod-1", true},
	{"x-[[]*", "x-[[a", false},
	{"uni/[a-z]*", "uni/[a-z]x", true},
	{"uni/[a-z]*", "uni/bx", false},
	{"uni/t?-*", "uni/tn-a", false},
	{"uni/tn-ü*", "uni/tn-üx", true},
	{"a*" + strings.Repeat("b", 70) + "*/**/c", "ax" + strings.Repeat("b", 75) + "/c", true},
	{"a*" + strings.Repeat("b", 61) + "/**/c/**/d", "a" + strings.Repeat("b", 61) + "/c/d", true},
	{"a*" + strings.Repeat("b", 62) + "/**/c/**/d", "a" + strings.Repeat("b", 62) + "/c/x/d", true},
	{"a*" + strings.Repeat("b", 63) + "/**/c/**/d", "a" + strings.Repeat("b", 63) + "/xc/d", false},
}

func TestPatterns(t *testing.T) {
	for _, tt := range patterns {
		p, err := parseDN(tt.pattern)
		if err != nil {
			if tt.want {
				t.Errorf("%s: %v", tt.pattern, err)
			}
			continue
		}
		if got := p.match(apic.DN(tt.dn)); got != tt.want {
			t.Errorf("%s on %s: got %t, want %t", tt.pattern, tt.dn, got, tt.want)
		}
		if got := slowMatch(tt.pattern, tt.dn); got != tt.want {
			t.Errorf("%s on %s, said simply: got %t, want %t", tt.pattern, tt.dn, got, tt.want)
		}
	}
}

// A pattern matches what it means, and only what its prefix admits; and what
// is read quickly of a DN is what its path says.
func FuzzPattern(f *testing.F) {
	for _, p := range patterns {
		f.Add(p.pattern, p.dn)
	}
	f.Add("**", "topology/pod-1/node-101/sys/phys-[eth1/1]")
	f.Add("**", "topology/pod-[1/node-2]/node-[x]/tn-a")
	f.Fuzz(func(t *testing.T, text, dn string) {
		if len(text) > 300 || len(dn) > 300 {
			return // the simple way is slow
		}
		for _, kind := range []string{"tenant", "node"} {
			if got, want := placeOf(apic.DN(dn), kind), apic.DN(dn).Path().Get(kind); got != want {
				t.Errorf("%s of %q: got %q, want %q", kind, dn, got, want)
			}
		}
		p, err := parseDN(text)
		if err != nil || p.glob == nil {
			return
		}
		if strings.HasSuffix(text, "/") {
			text += "**"
		}
		got, want := p.match(apic.DN(dn)), slowMatch(text, dn)
		if got != want {
			t.Errorf("%q on %q: got %t, want %t", text, dn, got, want)
		}
		if got && p.prefix != "" && apic.DN(dn) != p.prefix && !apic.DN(dn).Below(p.prefix) {
			t.Errorf("%q matches %q, which is not below %q", text, dn, p.prefix)
		}
	})
}

// A stubLog got its entries evenly, one a minute, the newest at now.
type stubLog struct {
	bounds apic.Bounds
	now    time.Time
}

func (l stubLog) Bounds() apic.Bounds { return l.bounds }

func (l stubLog) IDAt(_ context.Context, t time.Time) (apic.ID, error) {
	minutes := (l.now.Sub(t) + time.Minute - 1) / time.Minute
	if l.now.Before(t) {
		minutes = 0
	} else if !t.Before(l.now) || l.now.Sub(t)%time.Minute == 0 {
		minutes++ // written at t, not before
	}
	return max(l.bounds.Newest-apic.ID(minutes), l.bounds.Floor), nil
}

// A place that is read is written so that it reads the same, and stands for
// an id of the log or is gone.
func FuzzPlace(f *testing.F) {
	for _, s := range []string{"0", "1763956931004711", "15m", "7d", "1h30m", "1.5h", "earliest", "latest", "2026-11-24T03:42:11Z",
		"2026-11-24", "2026-11-24T04:42:11 01:00", "9007199254740991", "-1", "+1", "1e3", "100y", "0s", "99999999999999999999h", "1w2d3h4m5s6ms7us8ns"} {
		f.Add(s)
	}
	bounds := apic.Bounds{Origin: 1000, Floor: 2000, Newest: 3000}
	now := time.Date(2026, 11, 24, 3, 42, 11, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlace(s)
		if err != nil {
			if err.Error() == "" {
				t.Error("no words")
			}
			return
		}
		again, err := ParsePlace(p.String())
		if err != nil || again.String() != p.String() || again.kind != p.kind || !again.at.Equal(p.at) || again.age != p.age || again.id != p.id {
			t.Errorf("%q reads as %q and then as %q (%v)", s, p, again, err)
		}
		for _, resolve := range []func(context.Context, time.Time, Log) (apic.ID, error){p.Resolve, p.ResolveUntil} {
			id, err := resolve(t.Context(), now, stubLog{bounds, now})
			if err != nil && !errors.Is(err, apic.ErrGone) || err == nil && (id < bounds.Floor || id > bounds.Newest) {
				t.Errorf("%q stands for %d, %v", s, id, err)
			}
		}
	})
}

// Whatever a query is, what is made of it is canonical.
func FuzzParse(f *testing.F) {
	for _, q := range []string{
		"class=faultInst,EPG&dn=uni/tn-*/&status=created&attr.severity=critical,major",
		"dn=uni/tn-a&dn=uni/tn-a/&dn=**&node=101-102&tenant=a.b:c_d-e&fabric=x y&filter=true",
		"class=&status=x&attr.=1&filter=", "attr.a=%2C&attr.b=%00", "class=Node&class=faultInfo",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		s, err := Parse(values)
		if err != nil {
			for _, e := range Errors(err) {
				if e.Param == "" || e.Detail == "" {
					t.Errorf("%q: %+v", query, e)
				}
			}
			return
		}
		again, err := Parse(s.Params())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is %q and then %q (%v)", query, s, again, err)
		}
		b, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var decoded Selector
		if err := decoded.UnmarshalJSON(b); err != nil || decoded.String() != s.String() {
			t.Errorf("%q is %s and then %q (%v)", query, b, &decoded, err)
		}
		n := s.Narrow()
		for i, e := range fuzzed {
			entry := apic.Entry{Event: e}
			if s.Match(&entry) && !n.Admits(&entry) {
				t.Errorf("%q matches event %d, which %+v does not admit", query, i, n)
			}
		}
	})
}
