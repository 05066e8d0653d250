package selector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

func ExampleParse() {
	values, _ := url.ParseQuery(`class=Faults&dn=uni/tn-*/&filter=object.severity+in+["critical","major"]+and+tenant+==+"prod"&limit=10`)
	s, err := selector.Parse(values)
	if err != nil {
		fmt.Println(err)
		return
	}
	fault := &apic.Event{
		Class: "faultInst", DN: "uni/tn-prod/ap-shop/fault-F0467", Status: apic.Modified,
		Attributes: apic.AttrsMap(map[string]string{"lc": "raised"}), // all that the APIC sent
		Object:     apic.AttrsMap(map[string]string{"lc": "raised", "severity": "critical"}),
	}
	fmt.Println(s.Match(&apic.Entry{ID: 1, Event: fault}))
	fmt.Println(s.Narrow().Classes, s.Narrow().Tenants, s.Narrow().Below)
	// Output:
	// true
	// [faultDelegate faultInst] [prod] [uni]
}

// All mistakes are told at once, those of a filter with their place.
func ExampleErrors() {
	values, _ := url.ParseQuery(`class=&status=create&filter=object.severity+==+"critical"+and+tennant+==+"prod"`)
	_, err := selector.Parse(values)
	for _, e := range selector.Errors(err) {
		fmt.Printf("%s at %d:%d\n  %s\n", e.Param, e.Line, e.Column, e.Detail)
	}
	// Output:
	// class at 0:0
	//   is empty: write class=fvTenant,faultInst, or leave it out for all
	// status at 0:0
	//   there is no status "create": did you mean created? It is one of created, modified, deleted
	// filter at 1:35
	//   unknown name tennant: did you mean tenant? An attribute is written object.tennant, a text "tennant"
}

// An attribute that is not there is "", and so is the old value of one that
// did not change.
func ExampleSelector_Match() {
	event := &apic.Event{
		Class: "fvBD", DN: "uni/tn-prod/BD-web", Status: apic.Modified,
		Changes: []apic.Change{{Name: "arpFlood", Old: "no", New: "yes"}},
		Object:  apic.AttrsMap(map[string]string{"arpFlood": "yes", "mtu": "9000"}),
	}
	for _, filter := range []string{
		`changes.arpFlood.old == "no"`,
		`changes.descr.old == ""`,
		`"descr" in changes`,
		`object.nothing == ""`,
		`int(object.mtu) > 1500`,
		`int(object.nothing) > 1500`, // fails, and so does not match
		`bd matches "^w" and time < "2026-01-01T00:00:00Z"`,
	} {
		s, err := selector.Parse(url.Values{"filter": {filter}})
		fmt.Println(filter, s.Match(&apic.Entry{Event: event}), err)
	}
	// Output:
	// changes.arpFlood.old == "no" true <nil>
	// changes.descr.old == "" true <nil>
	// "descr" in changes false <nil>
	// object.nothing == "" true <nil>
	// int(object.mtu) > 1500 true <nil>
	// int(object.nothing) > 1500 false <nil>
	// bd matches "^w" and time < "2026-01-01T00:00:00Z" true <nil>
}

// Equal selectors have equal texts, however they were written.
func ExampleSelector_String() {
	for _, query := range []string{"class=EPG,BridgeDomain&tenant=prod", "tenant=prod&class=fvBD&class=fvAEPg"} {
		values, _ := url.ParseQuery(query)
		s, _ := selector.Parse(values)
		fmt.Println(s)
	}
	// Output:
	// class=fvAEPg%2CfvBD&tenant=prod
	// class=fvAEPg%2CfvBD&tenant=prod
}

func ExampleSelector_UnmarshalJSON() {
	var webhook struct {
		Name     string             `json:"name"`
		Selector *selector.Selector `json:"selector"`
	}
	err := json.Unmarshal([]byte(`{
		"name": "noc",
		"selector": {"class": "faultInst", "attr": {"severity": ["major", "critical"]}, "node": 101}
	}`), &webhook)
	fmt.Println(err)
	b, _ := json.Marshal(webhook)
	fmt.Println(string(b))
	// Output:
	// <nil>
	// {"name":"noc","selector":{"attr.severity":["critical","major"],"class":["faultInst"],"node":["101"]}}
}

type quietLog struct{}

func (quietLog) Bounds() apic.Bounds { return apic.Bounds{Origin: 100, Floor: 200, Newest: 300} }

func (quietLog) IDAt(context.Context, time.Time) (apic.ID, error) { return 250, nil }

func ExampleParsePlace() {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"latest", "earliest", "15m", "2026-11-24T11:00:00Z", "222", "111", "soon"} {
		p, err := selector.ParsePlace(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		id, err := p.Resolve(context.Background(), now, quietLog{})
		fmt.Println(s, id, err)
	}
	// Output:
	// latest 300 <nil>
	// earliest 200 <nil>
	// 15m 250 <nil>
	// 2026-11-24T11:00:00Z 250 <nil>
	// 222 222 <nil>
	// 111 0 what followed id 111 has been removed by retention; the oldest entry that is held is 201
	// "soon" is no place: write an id (1763956931004711), an age (15m, 24h, 7d), a time (2026-11-24T03:42:11Z), earliest or latest
}
