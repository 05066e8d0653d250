package selector_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
	"github.com/google/go-cmp/cmp"
)

var (
	moment = time.Date(2026, 11, 24, 3, 42, 11, 123456000, time.UTC)

	fault = &apic.Event{
		Time: moment, Fabric: "default", Class: "faultInst",
		DN:     "uni/tn-prod/ap-shop/epg-web/fault-F0467",
		Status: apic.Modified, Origin: apic.Live,
		Attributes: attrs("severity", "critical", "status", "modified"),
		Changes:    []apic.Change{{Name: "lc", Old: "soaking", New: "raised"}, {Name: "severity", Old: "minor", New: "critical"}},
		Object: attrs("code", "F0467", "descr", "Configuration failed for uni/tn-prod, node 101", "lc", "raised",
			"lastTransition", "2026-11-24T03:40:00.000+00:00", "occur", "12", "severity", "critical"),
	}
	created = &apic.Event{
		Time: moment, Fabric: "lab", Class: "fvTenant", DN: "uni/tn-common", Status: apic.Created, Origin: apic.Snapshot,
		Attributes: attrs("dn", "uni/tn-common", "name", "common", "descr", ""),
	}
	port = &apic.Event{
		Time: moment, Fabric: "default", Class: "ethpmPhysIf", DN: "topology/pod-1/node-101/sys/phys-[eth1/1]/phys",
		Status: apic.Deleted, Origin: apic.Resync,
		Object: attrs("operSt", "down", "operSpeed", "10G"),
	}
	path = &apic.Event{
		Time: moment, Fabric: "default", Class: "fvRsPathAtt",
		DN:     "uni/tn-prod/ap-shop/epg-web/rspathAtt-[topology/pod-1/protpaths-101-102/pathep-[vpc_a]]",
		Status: apic.Created, Origin: apic.Live, Attributes: attrs("encap", "vlan-10"),
	}
	gap = &apic.Gap{Time: moment, Fabric: "default", Classes: []apic.Class{"faultInfo", "fvBD"}}
)

func attrs(pairs ...string) apic.Attrs {
	m := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return apic.AttrsMap(m)
}

func parse(t testing.TB, query string) *selector.Selector {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	s, err := selector.Parse(values)
	if err != nil {
		t.Fatalf("Parse(%s): %v", query, err)
	}
	return s
}

// matching names the entries that a selector wants.
func matching(s *selector.Selector) string {
	var names []string
	for _, e := range []struct {
		name  string
		event *apic.Event
	}{{"fault", fault}, {"created", created}, {"port", port}, {"path", path}} {
		if s.Match(&apic.Entry{ID: 1000, Event: e.event}) {
			names = append(names, e.name)
		}
	}
	if s.Match(&apic.Entry{ID: 1000, Gap: gap}) {
		names = append(names, "gap")
	}
	return strings.Join(names, " ")
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{"", "fault created port path gap"},
		{"limit=10", "fault created port path gap"}, // not ours
		{"class=faultInst", "fault gap"},
		{"class=faultInfo", "fault gap"},
		{"class=Faults", "fault gap"},
		{"class=faultDelegate", "gap"},
		{"class=fvTenant", "created"},
		{"class=tenant,fvRsPathAtt", "created path"},
		{"class=tenant&class=fvRsPathAtt", "created path"},
		{"class=fvTenant, fvBD", "created gap"},
		{"status=created", "created path gap"},
		{"status=created,deleted", "created port path gap"},
		{"origin=snapshot,resync", "created port gap"},
		{"fabric=lab", "created"},
		{"fabric=default&class=fvTenant", ""},
		{"tenant=prod", "fault path gap"},
		{"tenant=prod,common", "fault created path gap"},
		{"node=101", "port gap"},
		{"node=101-102", "path gap"},
		{"dn=uni/tn-common", "created gap"},
		{"dn=uni/tn-common/", "gap"},
		{"dn=uni/tn-prod/", "fault path gap"},
		{"dn=uni/tn-prod", "gap"},
		{"dn=uni/tn-common&dn=topology/", "created port gap"},
		{"dn=uni/tn-*", "created gap"},
		{"dn=uni/tn-*/", "fault path gap"},
		{"dn=uni/**/fault-*", "fault gap"},
		{"dn=**/rspathAtt-*", "path gap"},
		{"dn=**/phys-[eth1/*]/phys", "port gap"},
		{"attr.severity=critical,major", "fault gap"},
		{"attr.code=F0467&attr.lc=raised", "fault gap"},
		{"attr.code=F0467&attr.lc=soaking", "gap"},
		{"attr.operSt=down", "port gap"},
		{"attr.name=common", "created gap"},
		{"attr.nothing=x", "gap"},
		{`filter=object.severity in ["critical","major"] and tenant == "prod"`, "fault gap"},
		{`class=faultInst&filter=object.severity == "minor"`, "gap"},
	} {
		s := parse(t, escape(tt.query))
		if got := matching(s); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.query, got, tt.want)
		}
		// The same from its canonical text and from JSON.
		again := parse(t, s.String())
		if again.String() != s.String() || matching(again) != tt.want {
			t.Errorf("%s: %q read again is %q, matching %q", tt.query, s, again, matching(again))
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var decoded selector.Selector
		if err := json.Unmarshal(b, &decoded); err != nil {
			t.Errorf("%s: %s: %v", tt.query, b, err)
		} else if decoded.String() != s.String() {
			t.Errorf("%s: %s decoded is %q, want %q", tt.query, b, &decoded, s)
		}
		// A narrowing never loses what matches.
		n := s.Narrow()
		for _, e := range []apic.Entry{{Event: fault}, {Event: created}, {Event: port}, {Event: path}, {Gap: gap}} {
			if s.Match(&e) && !n.Admits(&e) {
				t.Errorf("%s: %+v admits less than matches", tt.query, n)
			}
		}
	}
}

// escape makes a query of one that is written plainly.
func escape(query string) string {
	var parts []string
	for p := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(p, "=")
		if name != "" {
			parts = append(parts, name+"="+url.QueryEscape(value))
		}
	}
	return strings.Join(parts, "&")
}

func TestZero(t *testing.T) {
	var none *selector.Selector
	for _, s := range []*selector.Selector{none, new(selector.Selector), parse(t, "")} {
		if got, want := matching(s), "fault created port path gap"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if !s.IsZero() || s.String() != "" || len(s.Params()) != 0 || s.CheckObjects() != nil || !s.MatchObject(&apic.Object{}) {
			t.Errorf("%v is not zero", s)
		}
		if diff := cmp.Diff(apic.Narrow{}, s.Narrow()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNarrow(t *testing.T) {
	for _, tt := range []struct {
		query string
		want  apic.Narrow
	}{
		{"class=Faults", apic.Narrow{Classes: []apic.Class{"faultDelegate", "faultInst"}}},
		{"dn=uni/tn-a&dn=uni/tn-b/", apic.Narrow{DNs: []apic.DN{"uni/tn-a"}, Below: []apic.DN{"uni/tn-b"}}},
		{"dn=uni/tn-a/ap-*/epg-x", apic.Narrow{Below: []apic.DN{"uni/tn-a"}}},
		{"dn=uni/tn-a*", apic.Narrow{Below: []apic.DN{"uni"}}},
		{"dn=topology/pod-1/node-1/sys/phys-[eth1/*]", apic.Narrow{Below: []apic.DN{"topology/pod-1/node-1/sys"}}},
		{"dn=uni/tn-a&dn=**/epg-x&dn=uni/tn-b/", apic.Narrow{}},
		{"status=deleted&origin=live&fabric=a&tenant=t&node=1", apic.Narrow{
			Statuses: []apic.Status{"deleted"}, Origins: []apic.Origin{"live"},
			Fabrics: []string{"a"}, Tenants: []string{"t"}, Nodes: []string{"1"}}},
		{`filter=tenant == "prod" and status in ["deleted", "created"] and class == "fvBD"`, apic.Narrow{
			Tenants: []string{"prod"}, Statuses: []apic.Status{"created", "deleted"}}},
		{`filter=(node == "101" && origin == "live") and (tenant == "a" or object.x == "1")`, apic.Narrow{
			Nodes: []string{"101"}, Origins: []apic.Origin{"live"}}},
		{`filter=not (tenant == "prod") and "101" != node`, apic.Narrow{}},
		{`filter=tenant == ""`, apic.Narrow{}},
		{`tenant=a&filter=path.tenant == "b"`, apic.Narrow{Tenants: []string{"a"}}},
	} {
		if diff := cmp.Diff(tt.want, parse(t, escape2(tt.query)).Narrow()); diff != "" {
			t.Errorf("%s: %s", tt.query, diff)
		}
	}
}

// escape2 is escape for a query whose last parameter, a filter, may hold &.
func escape2(query string) string {
	before, filter, ok := strings.Cut(query, "filter=")
	q := escape(strings.TrimSuffix(before, "&"))
	if ok {
		q += "&filter=" + url.QueryEscape(filter)
	}
	return q
}

func TestObjects(t *testing.T) {
	object := &apic.Object{Fabric: "default", Class: "faultInst", DN: fault.DN, Attrs: fault.Object, Last: 7}
	for _, tt := range []struct {
		query string
		want  bool
		only  string // parameters that only events have
	}{
		{"class=faultInst&tenant=prod&attr.severity=critical", true, ""},
		{"class=fvBD", false, ""},
		{"dn=uni/tn-prod/&fabric=lab", false, ""},
		{`filter=object.severity == "critical" and attributes.lc == "raised" and epg == "web" and class == "faultInst"`, true, ""},
		{"status=deleted", true, "status:0:0"},
		{"status=deleted&origin=live", true, "status:0:0 origin:0:0"},
		{`filter=object.lc == "raised" or status == "deleted"`, true, "filter:1:26"},
		{`filter="lc" in changes`, false, "filter:1:6"},
		{`filter=changes.lc.new == "" and id == 0 and time < now()`, true, "filter:1:9 filter:1:26 filter:1:38"},
	} {
		s := parse(t, escape2(tt.query))
		if got := s.MatchObject(object); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.query, got, tt.want)
		}
		if got := positions(s.CheckObjects()); got != tt.only {
			t.Errorf("%s: only events have %q, want %q", tt.query, got, tt.only)
		}
	}
}

func TestCanonical(t *testing.T) {
	a := parse(t, "tenant=b,a,b&class=EPG&attr.x=2,1&dn=uni/b&dn=uni/a&class=fvBD&dn=uni/b")
	b := parse(t, "dn=uni/a&dn=uni/b&class=fvBD,fvAEPg&attr.x=1&attr.x=2&tenant=a&tenant=b")
	const want = "attr.x=1%2C2&class=fvAEPg%2CfvBD&dn=uni%2Fa&dn=uni%2Fb&tenant=a%2Cb"
	if a.String() != want || b.String() != want {
		t.Errorf("got\n%s\n%s\nwant\n%s", a, b, want)
	}
	if diff := cmp.Diff([]apic.Class{"fvAEPg", "fvBD"}, a.Classes()); diff != "" {
		t.Error(diff)
	}
}

func TestJSON(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`null`, `{}`},
		{`{}`, `{}`},
		{`{"class": "Faults, fvBD", "node": 101}`, `{"class":["faultInfo","fvBD"],"node":["101"]}`},
		{`{"attr": {"severity": ["major", "critical"]}, "attr.lc": "raised"}`, `{"attr.lc":["raised"],"attr.severity":["critical","major"]}`},
		{`{"dn": ["uni/tn-a/", "uni/tn-b"], "filter": "tenant == \"a\""}`, `{"dn":["uni/tn-a/","uni/tn-b"],"filter":"tenant == \"a\""}`},
	} {
		var s selector.Selector
		if err := json.Unmarshal([]byte(tt.in), &s); err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if got, _ := json.Marshal(&s); string(got) != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{`[]`, "selector:0:0"},
		{`{"klass": "fvBD", "status": "gone", "tenant": []}`, "klass:0:0 status:0:0 tenant:0:0"},
		{`{"filter": {"a": "b"}, "class": [true]}`, "class:0:0 filter:0:0"},
		{`{"filter": ["true", "false"]}`, "filter:0:0"},
		{`{"attr": {"a b": "c", "d": {}}}`, "attr.d:0:0 attr.a b:0:0"},
	} {
		s := parse(t, "class=fvBD")
		err := json.Unmarshal([]byte(tt.in), s)
		if got := positions(err); got != tt.want {
			t.Errorf("%s: got %q, want %q (%v)", tt.in, got, tt.want, err)
		}
		if s.String() != "class=fvBD" {
			t.Errorf("%s: a failed decoding changed the selector", tt.in)
		}
	}
}

// positions writes the mistakes of an error as param:line:column.
func positions(err error) string {
	var list []string
	for _, e := range selector.Errors(err) {
		list = append(list, fmt.Sprintf("%s:%d:%d", e.Param, e.Line, e.Column))
	}
	return strings.Join(list, " ")
}

func TestMistakes(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, tt := range []struct{ query, param, detail string }{
		{"class=", "class", "is empty: write class=fvTenant,faultInst, or leave it out for all"},
		{"class=fvBD,,fvCtx", "class", `has an empty element in "fvBD,,fvCtx"`},
		{"class=fvBD,", "class", "has an empty element"},
		{"class=Tennant", "class", `"Tennant" is no class name`},
		{"class=PortChannel", "class", "stands for no APIC class"},
		{"class=../x", "class", "is no class name"},
		{"dn=", "dn", "is empty: write dn=uni/tn-prod"},
		{"dn=/", "dn", "names no object"},
		{"dn=/uni/tn-a", "dn", "empty part"},
		{"dn=uni/tn-a//", "dn", "empty part"},
		{"dn=uni/phys-[eth1", "dn", "never closed"},
		{"dn=uni/phys-[eth1/*", "dn", "a pattern is written like a DN"},
		{"dn=uni/*" + strings.Repeat("x", 600), "dn", "at most 511 characters may follow"},
		{"dn=" + long, "dn", "at most 4096 bytes"},
		{"status=create", "status", `there is no status "create": did you mean created?`},
		{"status=x", "status", "it is one of created, modified, deleted"},
		{"origin=Live", "origin", "did you mean live?"},
		{"fabric=*", "fabric", "is no fabric"},
		{"tenant=prod*", "tenant", "for patterns use dn="},
		{"tenant=" + strings.Repeat("x", 65), "tenant", "is no tenant"},
		{"node=leaf101", "node", "write a node's number, as 101"},
		{"node=node-101", "node", "is no node"},
		{"attr.=x", "attr.", "is no attribute's name"},
		{"attr.a.b=x", "attr.a.b", "is no attribute's name"},
		{"attr.descr=", "attr.descr", `filter=object.descr == ""`},
		{"attr.descr=a\x00b", "attr.descr", "without control characters"},
		{"attr.descr=" + long, "attr.descr", "at most 4096 bytes"},
		{"filter=", "filter", "is empty"},
		{"filter=  ", "filter", "is empty"},
		{"filter=true&filter=false", "filter", "is given 2 times: write one expression"},
	} {
		values, _ := url.ParseQuery(escape(tt.query))
		s, err := selector.Parse(values)
		list := selector.Errors(err)
		if len(list) != 1 {
			t.Errorf("%.60s: got %d mistakes (%v), want 1", tt.query, len(list), err)
			continue
		}
		if s != nil || list[0].Param != tt.param || !strings.Contains(list[0].Detail, tt.detail) {
			t.Errorf("%.60s: got %q of %s, want %q of %s", tt.query, list[0].Detail, list[0].Param, tt.detail, tt.param)
		}
	}

	values, _ := url.ParseQuery("class=&status=gone,born&node=x&filter=tenannt&attr.z=&attr.a=")
	_, err := selector.Parse(values)
	const want = "class:0:0 status:0:0 status:0:0 node:0:0 attr.a:0:0 attr.z:0:0 filter:1:1"
	if got := positions(err); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLimits(t *testing.T) {
	values := url.Values{"class": {strings.Repeat("fvBD,", 1000) + "fvBD"}}
	for range 201 {
		values.Add("dn", "uni/*")
	}
	for i := range 51 {
		values.Set("attr.a"+string(rune('A'+i%26))+string(rune('A'+i/26)), "x")
	}
	_, err := selector.Parse(values)
	if got := len(selector.Errors(err)); got != 3 {
		t.Errorf("got %d mistakes, want 3: %v", got, err)
	}
}

func TestParamNames(t *testing.T) {
	for _, name := range selector.ParamNames() {
		if !selector.IsParam(name) {
			t.Errorf("%s is none", name)
		}
	}
	for _, name := range []string{"", "Class", "since", "limit", "attr", "attribute.x", "object"} {
		if selector.IsParam(name) {
			t.Errorf("%s is one", name)
		}
	}
}

// What stands at the places that are read quickly is what the DN's path says.
func TestQuickPlaces(t *testing.T) {
	for _, dn := range []apic.DN{
		"", "uni", "uni/tn-", "uni/tn-a", "uni/tn-a/ap-b", "uni/tn-[a]/x", "uni/tn-a[b/c]/x", "uni/ctx-1/tn-a", "topology",
		"topology/pod-1", "topology/pod-1/node-101", "topology/pod-1/node-101/sys", "topology/pod-1/paths-101/pathep-[eth1/1]",
		"topology/pod-[1/node-7]/node-101", "topology/pod-/node-1", "topology/pod-1/node-[5]/x", "topology/pod-1/node-/node-6",
		"subj-[uni/tn-prod]/mod-1", "topology/pod-1/node-101/sys/x-[uni/tn-b/y]",
	} {
		for _, kind := range []string{"tenant", "node"} {
			want := dn.Path().Get(kind)
			e := &apic.Entry{Event: &apic.Event{DN: dn}}
			if want != "" && !strings.Contains(want, "[") && !parse(t, kind+"="+want).Match(e) {
				t.Errorf("%s: %s %q is not found", dn, kind, want)
			}
			if !parse(t, "filter="+url.QueryEscape(fmt.Sprintf("%s == %q", kind, want))).Match(e) {
				t.Errorf("%s: filter for %s %q does not match", dn, kind, want)
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	s := parse(t, escape2(`class=faultInst&dn=uni/**/fault-*&filter=object.descr matches "node [0-9]+" and int(object.occur) > 3`))
	done := make(chan bool)
	for range 8 {
		go func() {
			ok := true
			for range 500 {
				ok = ok && s.Match(&apic.Entry{Event: fault}) && !s.Match(&apic.Entry{Event: created})
			}
			done <- ok
		}()
	}
	for range 8 {
		if !<-done {
			t.Error("a match went wrong")
		}
	}
}

func TestVariables(t *testing.T) {
	names := selector.Variables()
	if !slices.IsSorted(names) {
		t.Error("not sorted")
	}
	// A kind of path that is named like something else would be hidden by it.
	if got, want := len(names), 11+len(apic.PathKinds()); got != want {
		t.Errorf("got %d names, want %d: %v", got, want, names)
	}
}
