package selector_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

func compile(text string) (*selector.Selector, error) {
	return selector.Parse(url.Values{"filter": {text}})
}

func TestFilter(t *testing.T) {
	for _, tt := range []struct{ filter, want string }{
		// Fields.
		{`class == "fvTenant"`, "created"},
		{`"fvTenant" == class`, "created"},
		{`class in ["fvTenant", "ethpmPhysIf"]`, "created port"},
		{`class not in ["fvTenant", "ethpmPhysIf"]`, "fault path"},
		{`dn == "uni/tn-common"`, "created"},
		{`dn startsWith "topology/"`, "port"},
		{`fabric != "lab"`, "fault port path"},
		{`status == "created" && origin == "snapshot"`, "created"},
		{`status != "created" || false`, "fault port"},
		{`id == 1000`, "fault created port path"},
		{`id > 1000`, ""},
		{`tenant == "prod"`, "fault path"},
		{`path.tenant == "prod" and path["epg"] == "web"`, "fault path"},
		{`node == "101" and interface == "eth1/1" and pod == "1"`, "port"},
		{`node == ""`, "fault created"},
		{`node startsWith "101"`, "port path"},
		{`filter == ""`, "fault created port path"}, // the path's kind, not the function
		{`"epg" in path`, "fault path"},
		{`"epg" not in path`, "created port"},
		{`len(path) == 1`, "created"},

		// Attributes: the whole object, or what is known of it.
		{`object.severity == "critical"`, "fault"},
		{`object.lc == "raised"`, "fault"},
		{`attributes.lc == "raised"`, ""},
		{`attributes.severity == "critical"`, "fault"},
		{`object.name == "common"`, "created"},
		{`object.operSt == "down"`, "port"},
		{`attributes.operSt == ""`, "fault created port path"},
		{`object["operSt"] == "down"`, "port"},
		{`object?.operSt == "down"`, "port"},
		{`object["oper" + "St"] == "down"`, "port"},
		{`attributes[lower("NAME")] == "common"`, "created"},
		{`object.nothing == ""`, "fault created port path"},
		{`object.nothing != "x" and object.nothing < "x" and not (object.nothing contains "x")`, "fault created port path"},
		{`"descr" in object`, "fault created"},
		{`object.descr != nil`, "fault created"},
		{`nil == object["descr"]`, "port path"},
		{`"descr" in attributes`, "created"},
		{`("des" + "cr") in attributes`, "created"},
		{`len(object) == 2 and "operSt" in keys(object)`, "port"},
		{`len(attributes) == 0`, "port"},
		{`object.in == "" and object.not == "" and object.status == ""`, "fault created port path"},

		// Changes.
		{`changes.severity.old == "minor"`, "fault"},
		{`changes.severity.new == "critical" and changes["severity"]["old"] in ["minor", "major"]`, "fault"},
		{`changes?.severity?.new == "critical"`, "fault"},
		{`changes.descr.old == ""`, "fault created port path"},
		{`"descr" in changes`, ""},
		{`"severity" in changes`, "fault"},
		{`changes.severity != nil`, "fault"},
		{`changes.severity == nil`, "created port path"},
		{`len(changes) > 1`, "fault"},
		{`any(keys(changes), # startsWith "sev")`, "fault"},
		{`join(keys(changes), "+") == "lc+severity"`, "fault"},

		// Operators and functions.
		{`object.severity in ["critical","major"] and tenant == "prod"`, "fault"},
		{`object.severity not in ["critical","major"]`, "created port path"},
		{`object.severity in ["a","b","c","d","e","f","g","h","critical"]`, "fault"},
		{`object.descr contains "node 101"`, "fault"},
		{`object.descr not contains "node 101"`, "created port path"},
		{`object.descr endsWith "101"`, "fault"},
		{`object.descr matches "(?i)CONFIGURATION .* node [0-9]+$"`, "fault"},
		{`not (object.descr matches "^$")`, "fault"},
		{`lower(object.severity + "!") matches "^crit"`, "fault"},
		{`hasPrefix(upper(object.severity), "CRIT")`, "fault"},
		{`object.severity | upper() | hasSuffix("CAL")`, "fault"},
		{`trim("  x ") == "x" and trim("-x-", "-") == "x" and trimPrefix("ab", "a") == "b" and trimSuffix("ab", "b") == "a"`, "fault created port path"},
		{`replace(object.operSpeed, "G", "000") == "10000"`, "port"},
		{`repeat("ab", 2) == "abab" and indexOf("abc", "c") == 2 and lastIndexOf("aba", "a") == 2`, "fault created port path"},
		{`split(dn, "/")[1] == "tn-prod"`, "fault path"},
		{`split(dn, "/")[-1] == "phys"`, "port"},
		{`any(split(dn, "/"), # == "epg-web")`, "fault path"},
		{`any(splitAfter(dn, "/"), # == "epg-web/")`, "fault path"},
		{`dn[0:3] == "uni" and dn[:3] == dn[0:3] and len(dn[3:]) > 0`, "fault created path"},
		{`len(dn) < 20`, "created"},
		{`int(object.occur) > 10`, "fault"}, // int("") fails: no match
		{`int(object.occur) in 10..20`, "fault"},
		{`int(object.occur) in 13..20`, ""},
		{`int(object.occur) in [12, 13]`, "fault"},
		{`int(object.occur) not in [-12, 13]`, "fault"},
		{`float(object.occur) / 5 > 2.3 and round(2.4) == 2 and abs(-1) == 1 and floor(1.5) == 1.0 and ceil(1.5) == 2`, "fault"},
		{`string(id) == "1000" and id % 7 == 6 and id * 2 - 1 == 1999 and 2 ** 3 == 8`, "fault created port path"},
		{`int(object.code[1:]) == 467`, "fault"},
		{`status == "deleted" ? object.operSt == "down" : tenant == "common"`, "created port"},
		{`if status == "deleted" { object.operSt == "down" } else { tenant == "common" }`, "created port"},
		{`any(["Configuration", "x"], object.descr contains #)`, "fault"},
		{`all(["eth", "phys"], {dn contains #})`, "port"},
		{`none(["eth", "phys"], dn contains #)`, "fault created path"},
		{`one(["uni", "fault"], dn contains #)`, "created path"},
		{`count(["uni", "fault"], dn contains #) == 2`, "fault"},
		{`any([1, 2], # > 1)`, "fault created port path"},
		{`tenant in [object.name, "prod"]`, "fault created port path"},
		{`tenant not in [object.name + "x", "prod"]`, "created port"},
		{`tenant == epg or object.name == tenant`, "created port"},
		{"class == \"fvTenant\" // a comment\n  or\n  node == \"101\"", "created port"},
		{`tenant == 'prod'`, "fault path"},
		{"tenant == `prod`", "fault path"},
		{`true`, "fault created port path"},

		// Times.
		{`time >= "2026-11-24T03:42:11Z" and time < "2026-11-25"`, "fault created port path"},
		{`"2026-11-24T04:42:12+01:00" > time`, "fault created port path"},
		{`time > now() - duration("15m")`, ""},
		{`now() - time > duration("7d")`, ""},
		{`time.Hour() in 3..4 and time.Weekday().String() == "Tuesday" and time.Year() == 2026`, "fault created port path"},
		{`time - date(object.lastTransition) > duration("2m")`, "fault"},
		{`(time - date(object.lastTransition)).Minutes() > 5`, ""},
		{`date(object.lastTransition) > "2026-11-24"`, "fault"},
		{`now() > time`, "fault created port path"},
	} {
		if strings.Contains(tt.filter, "now()") {
			// moment lies wherever the clock of the machine says.
			if now := time.Now(); now.After(moment) {
				tt.want = map[string]string{
					`time > now() - duration("15m")`: never(now.Sub(moment) < 15*time.Minute),
					`now() - time > duration("7d")`:  never(now.Sub(moment) > 7*24*time.Hour),
					`now() > time`:                   all,
				}[tt.filter]
			} else {
				tt.want = map[string]string{
					`time > now() - duration("15m")`: all,
					`now() - time > duration("7d")`:  "",
					`now() > time`:                   "",
				}[tt.filter]
			}
		}
		s, err := compile(tt.filter)
		if err != nil {
			t.Errorf("%s: %v", tt.filter, err)
			continue
		}
		got := strings.TrimSpace(strings.TrimSuffix(matching(s), "gap"))
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.filter, got, tt.want)
		}
		n := s.Narrow()
		for _, e := range []apic.Entry{{Event: fault}, {Event: created}, {Event: port}, {Event: path}} {
			if s.Match(&e) && !n.Admits(&e) {
				t.Errorf("%s: %+v admits less than matches", tt.filter, n)
			}
		}
	}
}

const all = "fault created port path"

func never(matches bool) string {
	if matches {
		return all
	}
	return ""
}

func TestFilterMistakes(t *testing.T) {
	for _, tt := range []struct {
		filter string
		at     string
		detail string
	}{
		// Grammar.
		{`tenant ==`, "1:9", "ends too early"},
		{`(tenant == "a"`, "1:14", "ends too early"},
		{`tenant = "a"`, "1:8", "write == to compare"},
		{`tenant == "a" AND node == "1"`, "1:15", "in small letters"},
		{`tenant == "a" node == "1"`, "1:15", "join conditions by and or or"},
		{`tenant == prod-1"`, "1:18", "a text is not closed"},
		{`tenant == "a`, "1:13", "a text is not closed"},
		{"tenant ==\n  \"a\" and\n  tennant == \"b\"", "3:3", "unknown name tennant: did you mean tenant?"},
		{"fabric == \"ü\" and tennant == \"b\"", "1:19", "unknown name tennant"},
		{`tenant == "a"; true`, "1:8", "a filter is one expression"},
		{`let x = tenant; x == "a"`, "1:5", "let is not supported"},
		{`{"a": 1}`, "1:1", "maps are not supported"},
		{`b"abc" == b"abc"`, "1:1", "not supported"},

		// Names.
		{`descr == "x"`, "1:1", "unknown name descr: an attribute is written object.descr"},
		{`Tenant == "x"`, "1:1", "did you mean tenant?"},
		{`$env["tenant"] == "x"`, "1:1", "unknown name $env"},
		{`$env == "x"`, "1:1", "unknown name $env"},
		{`path.tennant == "x"`, "1:6", "did you mean tenant?"},
		{`path.x == "x"`, "1:6", "its parts are tenant, vrf"},
		{`path[tenant] == "x"`, "1:6", "must be written out"},
		{`"tennant" in path`, "1:1", "did you mean tenant?"},
		{`path == "x"`, "1:1", "path is a set"},
		{`object == "x"`, "1:1", "write object.descr"},
		{`changes == "x"`, "1:1", "changes is a set"},
		{`changes.descr == "x"`, "1:9", "write changes.descr.new"},
		{`changes.descr.was == "x"`, "1:15", "an old and a new value and nothing else"},
		{`changes[tenant].old == "x"`, "1:9", "must be written out"},
		{`changes[tenant] == "x"`, "1:8", "must be written out"},
		{`tenant.name == "x"`, "1:8", "there is no .name here"},
		{`object.descr.old == "x"`, "1:14", "there is no .old here"},
		{`lower == "x"`, "1:1", "lower is a function"},
		{`tenant == nil`, "1:11", "nothing in an event is nil"},
		{`object.descr ?? "x" == "x"`, "1:21", "?? has no use here"},
		{`(object.descr ?? "x") == "x"`, "1:15", "?? has no use here"},

		// Functions.
		{`lowercase(tenant) == "x"`, "1:1", "unknown function lowercase"},
		{`startswith(tenant, "x")`, "1:1", "unknown function startswith"},
		{`haspreffix(tenant, "x")`, "1:1", "did you mean hasPrefix?"},
		{`hasPrefix(tenant)`, "1:1", "takes 2 arguments, not 1"},
		{`now(1) > time`, "1:1", "takes no argument"},
		{`hasPrefix(tenant, 1)`, "1:19", "cannot use int as argument (type text)"},
		{`filter(["a"], true)`, "1:1", "as its cost has no bound"},
		{`reduce(["a"], #acc + #, "") == ""`, "1:1", "as its cost has no bound"},
		{`toJSON(id) == ""`, "1:1", "unknown function toJSON"},
		{`$text("x") == ""`, "1:1", "unknown function $text"},
		{`object.lower() == ""`, "1:8", "cannot be called"},
		{`tenant.String() == ""`, "1:8", "has no method String"},
		{`time.Format("2006") == ""`, "1:6", "Format cannot be called"},
		{`keys(tenant) == ""`, "1:6", "keys takes one of attributes, changes, object, path"},
		{`any(["a"], any(["b"], # == tenant))`, "1:12", "cannot stand inside another loop"},
		{`any(tenant, true)`, "1:5", "goes over a list that is written out"},
		{`any(["a"], # + 1 == "x")`, "1:14", "mismatched types text and int"},
		{`any(["a"], #)`, "1:12", "predicate should return boolean (got text)"},
		{`any(["a"], #index == 1)`, "1:12", "#index is not known"},
		{`# == "a"`, "1:1", ""},
		{`date("yesterday") > time`, "1:6", "is no time"},
		{`duration("15 minutes") > now() - time`, "1:10", "is no duration"},

		// Types.
		{`tenant`, "1:1", "a filter is true or false, and this is a text"},
		{`1 + 1`, "1:3", "this is a number"},
		{`time`, "1:1", "this is a time"},
		{`now() - time`, "1:7", "this is a duration"},
		{`["a"]`, "1:1", "this is a list"},
		{`tenant == 5`, "1:8", "attributes and parts of the path are text in quotes"},
		{`object.occur > 5`, "1:14", "are int(…)"},
		{`object.occur in 1..5`, "1:14", "cannot use text as type int"},
		{`float(object.occur) in 1..5`, "1:1", "write int(…) around it"},
		{`object.occur in ["1", 2]`, "1:23", "a list holds either texts or numbers"},
		{`object.occur in [1, 2]`, "1:14", "cannot use text as type int in a list: attributes are text"},
		{`object.occur in []`, "1:17", "the list is empty"},
		{`tenant in "prod"`, "1:11", "in needs a list: write in [\"prod\"]"},
		{`not tenant == "a"`, "1:1", "not (mismatched type text)"},
		{`tenant and true`, "1:8", "mismatched types"},
		{`time > "yesterday"`, "1:8", "is no time"},
		{`time > 5`, "1:6", "mismatched types time and int"},
		{`len(1..1000000000) > 1`, "1:6", "a range is only supported behind in"},
		{`id in 5..1`, "1:8", "a range goes from a whole number to a larger one"},
		{`id in 1..id`, "1:8", "both written out"},
		{`1 < id < 3`, "1:5", "comparisons do not chain"},
		{`tenant == "a" ?: true`, "1:8", "?: needs its middle part"},

		// Values that cannot be.
		{`status == "create"`, "1:11", `there is no status "create": it is one of created, modified, deleted`},
		{`"x" != origin`, "1:1", "it is one of live, snapshot, resync"},
		{`status in ["created", "changed"]`, "1:23", `there is no status "changed"`},
		{`class == "Tenant"`, "1:10", `write class in ["fvTenant"]`},
		{`class == "faultInfo"`, "1:10", `write class in ["faultInst", "faultDelegate"]`},
		{`class == "not a class"`, "1:10", "is no class name"},

		// Patterns.
		{`object.descr matches "("`, "1:22", "no regular expression (RE2): missing closing )"},
		{`object.descr matches object.name`, "1:29", "must be a text that is written out"},
		{`object.descr matches "(x{500}){3}"`, "1:22", "no regular expression"},
		{`object.descr matches "x{1000}" or object.descr matches "y{999}" or object.descr matches "z{99}"`, "1:56", "too large"},

		// Sizes.
		{strings.Repeat(" ", 5000) + "true", "1:1", "at most 4096"},
		{strings.Repeat("-", 1500) + "1 == 1", "1:1", "at most 1000 names"},
		{"true" + strings.Repeat(" and true", 600), "1:1", "at most"},
		{"tenant == \"\xff\"", "1:1", "must be UTF-8"},
		{"tenant == \"\x00\"", "1:1", "without control characters"},
		{`any([` + strings.Repeat(`"x",`, 300) + `], # == "a"` + strings.Repeat(` or # == "b"`, 100) + `)`, "1:1", "the loops of this filter are too long"},
	} {
		_, err := compile(tt.filter)
		list := selector.Errors(err)
		if len(list) != 1 {
			t.Errorf("%.60s: got %d mistakes, want 1", tt.filter, len(list))
			continue
		}
		e := list[0]
		if got := fmt.Sprintf("%d:%d", e.Line, e.Column); e.Param != "filter" || got != tt.at || !strings.Contains(e.Detail, tt.detail) {
			t.Errorf("%.60s:\n got %s %s\nwant %s %s", tt.filter, got, e.Detail, tt.at, tt.detail)
		}
	}
}

// Filters whose compilation or evaluation would explode if nothing bounded it.
func TestHostile(t *testing.T) {
	big := strings.Repeat("ab/", 200_000)
	many := make(map[string]string)
	for i := range 20_000 {
		many[fmt.Sprint("a", i)] = "x"
	}
	events := []*apic.Event{
		{DN: "uni/tn-x", Object: attrs("descr", big)},
		{DN: apic.DN(big), Object: attrs("descr", big, "name", big)},
		{DN: "uni/tn-x", Object: apic.AttrsMap(many)},
	}
	nested := func(n int, open, middle, shut string) string {
		return strings.Repeat(open, n) + middle + strings.Repeat(shut, n)
	}
	for _, text := range []string{
		nested(300, "1 < (1 < ", "id", " < 3)"),
		nested(300, "(", "true", " ?: true)"),
		nested(1000, "(", "true", ")"),
		nested(900, "not ", "true", ""),
		nested(50, `replace(`, "object.descr", `, "a", "aaaaaaaaaaaaaaaaaaaa")`) + ` == ""`,
		nested(60, `repeat(`, "object.descr", `, 1000)`) + ` == ""`,
		nested(60, `lower(`, "object.descr", `)`) + ` == ""`,
		`len(object.descr` + strings.Repeat(` + object.descr`, 250) + `) == 0`,
		`object.descr matches "(a?){300}(b|/|a)*x(a|b|/)+y$"`,
		`object.descr matches "(.*)(.*)(.*)(.*)(.*)(.*)x"` + strings.Repeat(` or object.descr matches "(.*)(.*)(.*)x"`, 50),
		`any(split(object.descr, ""), dn contains #` + strings.Repeat(` or dn contains #`, 100) + `)`,
		`any(split(object.descr, "/"), # == "x")`,
		`any(keys(object), object[#] == "y"` + strings.Repeat(` or object[#] == "y"`, 100) + `)`,
		`any(keys(object), object[#] == "y")`,
		`any(keys(object), # in attributes)`,
		`all(keys(object), any(keys(object), # == "x"))`,
		`tenant contains "x"` + strings.Repeat(` or dn contains "x"`, 200),
		`repeat("x", -1) == ""`,
		`repeat("x", 9223372036854775807) == ""`,
		`id % (id - id) == 1`,
		`dn[5:1] == "x" or dn[1000:] == "y" or split(dn, "/")[1000] == "z"`,
	} {
		began := time.Now()
		s, err := compile(text)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%.60s: compiled in %s", text, took)
		}
		if err != nil {
			continue
		}
		for i, e := range events {
			began = time.Now()
			s.Match(&apic.Entry{Event: e})
			if took := time.Since(began); took > 2*time.Second { // 10 ms without the race detector and neighbours
				t.Errorf("%.60s: event %d took %s", text, i, took)
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := selector.Parse(url.Values{"filter": {"tennant == \"a\""}, "status": {"x"}})
	const want = "status: there is no status \"x\": it is one of created, modified, deleted\n" +
		"filter: line 1, column 1: unknown name tennant: did you mean tenant? An attribute is written object.tennant, a text \"tennant\""
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if list := selector.Errors(fmt.Errorf("read the request: %w", err)); len(list) != 2 {
		t.Errorf("got %d mistakes of a wrapped error, want 2", len(list))
	}
}
