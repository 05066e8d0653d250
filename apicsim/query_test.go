package apicsim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apicsim"
)

// sample is a small tree that every query test knows.
func sample(t *testing.T, f *apicsim.Fabric) {
	for _, b := range []string{
		`{"fvTenant":{"attributes":{"name":"a"},"children":[
			{"fvCtx":{"attributes":{"name":"v"}}},
			{"fvBD":{"attributes":{"name":"b1","arpFlood":"yes"},"children":[{"fvSubnet":{"attributes":{"ip":"10.0.0.1/24","scope":"public,shared"}}},{"fvRsCtx":{"attributes":{"tnFvCtxName":"v"}}}]}},
			{"fvBD":{"attributes":{"name":"b2"}}},
			{"fvAp":{"attributes":{"name":"p"},"children":[{"fvAEPg":{"attributes":{"name":"e"},"children":[
				{"fvRsPathAtt":{"attributes":{"tDn":"topology/pod-1/paths-101/pathep-[eth1/1]","encap":"vlan-10"}}}]}}]}}]}}`,
		`{"fvTenant":{"attributes":{"name":"ab"},"children":[{"fvBD":{"attributes":{"name":"b3"}}}]}}`,
	} {
		must(t, f.Post("uni", []byte(b)))
	}
	must(t, f.Create("fabricNode", "topology/pod-1/node-101", attrs("role", "leaf", "fabricSt", "active")))
	must(t, f.Create("topSystem", "topology/pod-1/node-101/sys", attrs("role", "leaf")))
	must(t, f.Create("faultInst", "uni/tn-a/BD-b1/fault-F1", attrs("severity", "major", "code", "F1")))
	must(t, f.Create("faultDelegate", "uni/tn-a/fd-[uni/epp/x]-fault-F2", attrs("severity", "minor")))
	must(t, f.Create("healthInst", "uni/tn-a/health", attrs("cur", "94")))
	must(t, f.Create("aaaModLR", "subj-[uni/tn-a]/mod-1", attrs("affected", "uni/tn-a", "created", time.Now().Add(-48*time.Hour).UTC().Format("2006-01-02T15:04:05.000-07:00"))))
	must(t, f.Create("aaaModLR", "subj-[uni/tn-a]/mod-2", attrs("affected", "uni/tn-a", "created", time.Now().UTC().Format("2006-01-02T15:04:05.000-07:00"))))
}

// outline writes an answer as nested DNs: "a(b c(d))", in order.
func outline(body string) string {
	var v struct {
		TotalCount string
		Imdata     []map[string]any
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		return err.Error() + ": " + body
	}
	var list func(x []map[string]any) string
	list = func(x []map[string]any) string {
		var out []string
		for _, o := range x {
			for class, b := range o {
				m := b.(map[string]any)
				a := m["attributes"].(map[string]any)
				s, ok := a["dn"].(string)
				if !ok {
					s, _ = a["rn"].(string)
				}
				if class == "moCount" {
					s = "count=" + a["count"].(string)
				}
				if class == "error" {
					s = "error " + a["code"].(string) + " " + a["text"].(string)
				}
				if kids, ok := m["children"].([]any); ok {
					var ks []map[string]any
					for _, k := range kids {
						ks = append(ks, k.(map[string]any))
					}
					s += "(" + list(ks) + ")"
				}
				out = append(out, s)
			}
		}
		return strings.Join(out, " ")
	}
	return v.TotalCount + ": " + list(v.Imdata)
}

func TestQueries(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		sample(w.t, w.f)
		s := w.login(0)
		for _, c := range []struct{ path, want string }{
			{"class/fvBD.json?order-by=fvBD.dn", "4: uni/tn-a/BD-b1 uni/tn-a/BD-b2 uni/tn-ab/BD-b3 uni/tn-common/BD-default"},
			{"node/class/fvBD.json?order-by=fvBD.name|desc", "4: uni/tn-common/BD-default uni/tn-ab/BD-b3 uni/tn-a/BD-b2 uni/tn-a/BD-b1"},
			{"class/fvBD.json?order-by=fvBD.dn&page=1&page-size=3", "4: uni/tn-common/BD-default"},
			{"class/fvBD.json?order-by=fvBD.dn&page=9&page-size=3", "4: "},
			{"class/fvBD.json?order-by=fvBD.dn&page=0&page-size=1", "4: uni/tn-a/BD-b1"},
			{"class/topology/pod-1/node-101/topSystem.json", "1: topology/pod-1/node-101/sys"},
			{"class/topology/pod-1/node-1/topSystem.json", "1: topology/pod-1/node-1/sys"},
			{"mo/uni/tn-a.json", "1: uni/tn-a"},
			{"node/mo/uni/tn-a/BD-b1/subnet-[10.0.0.1/24].json", "1: uni/tn-a/BD-b1/subnet-[10.0.0.1/24]"},
			{"mo/uni/tn-a/BD-b1/subnet-%5B10.0.0.1%2F24%5D.json", "1: uni/tn-a/BD-b1/subnet-[10.0.0.1/24]"},
			{"mo/uni/tn-a/ap-p/epg-e/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]].json", "1: uni/tn-a/ap-p/epg-e/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]"},
			{"mo/uni/tn-a.json?query-target=children&target-subtree-class=fvBD&order-by=fvBD.dn", "2: uni/tn-a/BD-b1 uni/tn-a/BD-b2"},
			{"mo/uni/tn-a.json?query-target=subtree&target-subtree-class=fvBD,fvAEPg&order-by=fvBD.dn", "3: uni/tn-a/ap-p/epg-e uni/tn-a/BD-b1 uni/tn-a/BD-b2"},
			{"mo/uni.json?query-target=subtree&target-subtree-class=fvAEPg", "1: uni/tn-a/ap-p/epg-e"},
			{"class/fvTenant.json?query-target=subtree&target-subtree-class=fvSubnet,fvAp&order-by=fvAp.dn,fvSubnet.dn", "2: uni/tn-a/BD-b1/subnet-[10.0.0.1/24] uni/tn-a/ap-p"},
			{`class/fvBD.json?query-target-filter=eq(fvBD.arpFlood,"yes")`, "1: uni/tn-a/BD-b1"},
			{`class/fvBD.json?query-target-filter=and(wcard(fvBD.dn,"tn-a.*/BD"),not(eq(fvBD.name,%22b1%22)))&order-by=fvBD.dn`, "2: uni/tn-a/BD-b2 uni/tn-ab/BD-b3"},
			{"class/faultInfo.json?order-by=faultInfo.dn", "2: uni/tn-a/BD-b1/fault-F1 uni/tn-a/fd-[uni/epp/x]-fault-F2"},
			{`class/faultInfo.json?query-target-filter=ge(faultInfo.severity,"major")`, "1: uni/tn-a/BD-b1/fault-F1"},
			{"mo/uni/tn-ab.json?rsp-subtree=children", "1: uni/tn-ab(BD-b3)"},
			{"mo/uni/tn-a.json?rsp-subtree=full&rsp-subtree-class=fvSubnet", "1: uni/tn-a(BD-b1(subnet-[10.0.0.1/24]))"},
			{"mo/uni/tn-a.json?rsp-subtree=children&rsp-subtree-class=fvAp,fvCtx", "1: uni/tn-a(ctx-v ap-p)"},
			{"mo/uni/tn-a.json?rsp-subtree-include=health", "1: uni/tn-a(health)"},
			{"class/fvTenant.json?rsp-subtree-include=health,no-scoped", "1: uni/tn-a/health"},
			{"class/fvTenant.json?rsp-subtree-include=health,required", "1: uni/tn-a(health)"},
			{"mo/uni/tn-a.json?rsp-subtree-include=faults", "1: uni/tn-a(fd-[uni/epp/x]-fault-F2)"},
			{"mo/uni/tn-a.json?rsp-subtree-include=faults,subtree,no-scoped&order-by=faultInst.dn", "2: uni/tn-a/fd-[uni/epp/x]-fault-F2 uni/tn-a/BD-b1/fault-F1"},
			{"mo/uni/tn-a.json?rsp-subtree-include=audit-logs,no-scoped&order-by=aaaModLR.dn", "2: subj-[uni/tn-a]/mod-1 subj-[uni/tn-a]/mod-2"},
			{"class/aaaModLR.json?time-range=24h", "1: subj-[uni/tn-a]/mod-2"},
			{"class/fvBD.json?rsp-subtree-include=count", "1: count=4"},
			{"mo/uni/tn-none.json?query-target=subtree", "0: "},
			{"class/l3extOut.json", "0: "},
			{"class/fvBD.json?query-target=nonsense", "1: error 400 Invalid request. Wrong value nonsense of query-target"},
			{"class/fvBD.json?page=0&page-size=0", "1: error 400 Invalid request. Wrong value 0 of page-size"},
			{"class/fvBD.json?target-subtree-class=fvNone", "1: error 400 Request failed, unresolved class for fvNone"},
			{"nonsense.json", "1: error 400 Request failed, unresolved class for nonsense"},
		} {
			if got := outline(s.get("/api/" + strings.ReplaceAll(c.path, `"`, "%22")).body); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.path, got, c.want)
			}
		}
		// Pages without order-by: together they are not the class.
		must(w.t, w.f.Batch(func(tx *apicsim.Tx) error {
			for i := range 200 {
				if err := tx.Create("vzFilter", fmt.Sprintf("uni/tn-a/flt-%03d", i), nil); err != nil {
					return err
				}
			}
			return nil
		}))
		walk := func(order string) (dns []string) {
			for p := range 10 {
				a := s.query(fmt.Sprintf("/api/class/vzFilter.json?page=%d&page-size=20%s", p, order))
				if a.TotalCount != "200" || len(a.Imdata) != 20 {
					t.Fatalf("page %d: %s, %d objects", p, a.TotalCount, len(a.Imdata))
				}
				for _, o := range a.Imdata {
					dns = append(dns, o["vzFilter"].Attributes["dn"])
				}
			}
			slices.Sort(dns)
			return slices.Compact(dns)
		}
		if n := len(walk("&order-by=vzFilter.dn")); n != 200 {
			t.Errorf("ordered walk: %d", n)
		}
		if n := len(walk("")); n == 200 {
			t.Errorf("unordered walk is complete")
		}
		// The order of DNs survives changes.
		for i := range 100 {
			must(w.t, w.f.Delete(fmt.Sprintf("uni/tn-a/flt-%03d", i*2)))
			must(w.t, w.f.Create("vzFilter", fmt.Sprintf("uni/tn-a/flt-%03d", i*2), nil))
		}
		if n := len(walk("&order-by=vzFilter.dn")); n != 200 {
			t.Errorf("ordered walk after changes: %d", n)
		}
		if got := s.get("/api/class/fvSubnet.xml").body; !strings.HasPrefix(got, `<?xml version="1.0" encoding="UTF-8"?><imdata totalCount="1"><fvSubnet annotation="" childAction=""`) {
			t.Errorf("XML: %s", got)
		}
	})
}

func TestScopes(t *testing.T) {
	// What each subscription hears of one story.
	story := func(t *testing.T, f *apicsim.Fabric) {
		must(t, f.Create("fvBD", "uni/tn-a/BD-x", attrs("arpFlood", "yes")))
		must(t, f.Create("faultInst", "uni/tn-a/BD-x/fault-F9", attrs("severity", "major")))
		must(t, f.Modify("uni/tn-a/BD-x", attrs("arpFlood", "no")))
		must(t, f.Modify("uni/tn-a/health", attrs("cur", "93")))
		must(t, f.Create("fvTenant", "uni/tn-abc", nil))
		must(t, f.Modify("topology/pod-1/node-101/sys", attrs("state", "out-of-service")))
		must(t, f.Delete("uni/tn-a/BD-x"))
	}
	for _, c := range []struct{ path, want string }{
		{"class/fvBD.json", "+uni/tn-a/BD-x ~uni/tn-a/BD-x -uni/tn-a/BD-x"},
		{"mo/uni/tn-a.json", ""},
		{"mo/uni/tn-a.json?query-target=children", "+uni/tn-a/BD-x ~uni/tn-a/BD-x ~uni/tn-a/health -uni/tn-a/BD-x"},
		{"mo/uni/tn-a.json?query-target=subtree", "+uni/tn-a/BD-x +uni/tn-a/BD-x/fault-F9 ~uni/tn-a/BD-x ~uni/tn-a/health -uni/tn-a/BD-x -uni/tn-a/BD-x/fault-F9"},
		{"mo/uni/tn-a.json?query-target=subtree&target-subtree-class=fvAEPg,fvBD", "+uni/tn-a/BD-x ~uni/tn-a/BD-x -uni/tn-a/BD-x"},
		{"class/fvTenant.json?query-target=subtree&target-subtree-class=fvTenant,faultInst", "+uni/tn-a/BD-x/fault-F9 +uni/tn-abc -uni/tn-a/BD-x/fault-F9"},
		{"class/faultInfo.json", "+uni/tn-a/BD-x/fault-F9 -uni/tn-a/BD-x/fault-F9"},
		{`class/fvBD.json?query-target-filter=eq(fvBD.arpFlood,"yes")`, "+uni/tn-a/BD-x"},
		{`class/fvBD.json?query-target-filter=wcard(fvBD.status,"created|deleted")`, "+uni/tn-a/BD-x -uni/tn-a/BD-x"},
		{"class/fvBD.json?rsp-subtree-include=faults", "+uni/tn-a/BD-x +uni/tn-a/BD-x/fault-F9 ~uni/tn-a/BD-x -uni/tn-a/BD-x -uni/tn-a/BD-x/fault-F9"},
		{"class/fvTenant.json?rsp-subtree-include=health,no-scoped", "~uni/tn-a/health"},
		{"class/fvTenant.json?rsp-subtree=children&rsp-subtree-class=fvBD", "+uni/tn-a/BD-x ~uni/tn-a/BD-x +uni/tn-abc -uni/tn-a/BD-x"},
		{"class/topology/pod-1/node-101/topSystem.json", "~topology/pod-1/node-101/sys"},
		{"class/topology/pod-1/node-1/topSystem.json", ""},
		{"class/fvBD.json?page=0&page-size=1", "+uni/tn-a/BD-x ~uni/tn-a/BD-x -uni/tn-a/BD-x"},
		{"class/eqptIngrTotal5min.json", ""},
	} {
		bubble(t, apicsim.Options{}, func(w *world) {
			sample(w.t, w.f)
			s := w.open(0)
			path := "/api/" + strings.ReplaceAll(c.path, `"`, "%22")
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			id := s.subscribe(path + sep + "subscription=yes")
			s.subscribe("/api/class/vzTaboo.json?subscription=yes")
			story(w.t, w.f)
			must(w.t, w.f.Create("vzTaboo", "uni/tn-ab/taboo-end", nil))
			var got []string
			for {
				var v push
				if err := json.Unmarshal([]byte(s.frame()), &v); err != nil {
					t.Fatal(err)
				}
				if v.IDs[0] != id {
					break
				}
				got = append(got, v.short())
			}
			if d := cmp.Diff(strings.Join(got, " "), c.want); d != "" {
				t.Errorf("%s: got -, want +\n%s", c.path, d)
			}
		})
	}
}

type push struct {
	IDs    []string `json:"subscriptionId"`
	Imdata []map[string]struct {
		Attributes map[string]string
	}
}

func (p push) short() string {
	var out []string
	for _, o := range p.Imdata {
		for _, b := range o {
			out = append(out, map[string]string{"created": "+", "modified": "~", "deleted": "-"}[b.Attributes["status"]]+b.Attributes["dn"])
		}
	}
	return strings.Join(out, ",")
}

func TestFaultLife(t *testing.T) {
	bubble(t, apicsim.Options{}, func(w *world) {
		s := w.open(0)
		s.subscribe("/api/class/faultInfo.json?subscription=yes")
		dn, err := w.f.CreateFault("uni/tn-common", "F0467", "major", "broken")
		must(t, err)
		for _, lc := range []string{"raised", "raised-clearing", "retaining", "raised"} {
			time.Sleep(time.Second)
			must(t, w.f.Transition(dn, lc))
		}
		must(t, w.f.Delete(dn))
		var got []string
		for range 6 {
			var v push
			if err := json.Unmarshal([]byte(s.frame()), &v); err != nil {
				t.Fatal(err)
			}
			a := v.Imdata[0]["faultInst"].Attributes
			_, has := a["modTs"]
			got = append(got, fmt.Sprint(a["status"], " ", a["lc"], " ", a["severity"], " ", a["occur"], " ", a["descr"], " ", has))
		}
		want := []string{"created soaking major 1 broken true", "modified raised major 1 broken false", "modified raised-clearing major 1 broken false",
			"modified retaining cleared 1 broken false", "modified raised major 2 broken false", "deleted     true"}
		if d := cmp.Diff(got, want); d != "" {
			t.Error(d)
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{`eq(fvTenant.name,"x")`, `and(or(eq(faultInfo.severity,"major"),gt(faultInfo.occur,"3")),not(true()))`, `wcard(fvBD.dn,"a|b.*")`,
		`bw(fvBD.mtu,"1","9")`, `anybit(fvSubnet.scope,"public,shared")`, `pholder(x,(y))`, `xor(true(),false())`, `eq(a.b,"\"")`, `not(not(not(`} {
		f.Add(s)
	}
	fabric := apicsim.New(apicsim.Options{})
	defer fabric.Close()
	srv := handlerClient{fabric.Controller(0)}
	token := srv.login(f)
	f.Fuzz(func(t *testing.T, s string) {
		if r := srv.do("GET", "/api/class/fvTenant.json?query-target-filter="+escape(s), "", token); r != 200 && r != 400 {
			t.Errorf("%q: %d", s, r)
		}
	})
}

func FuzzPost(f *testing.F) {
	for _, s := range []string{`{"fvTenant":{"attributes":{"name":"x"},"children":[{"fvBD":{"attributes":{"name":"b","status":"deleted"}}}]}}`,
		`[{"fvTenant":{"attributes":{"dn":"uni/tn-[a/b"}}}]`, `{"imdata":[]}`, `{"polUni":{"attributes":{},"children":[{"fvTenant":{"attributes":{"rn":"tn-y"}}}]}}`, `{"fvTenant":null}`,
		`{"fvTenant":{"attributes":{"dn":"uni/tn-x","status":"deleted"}}}`, `{"polUni":{"attributes":{"dn":"uni","status":"deleted"}}}`} {
		f.Add("uni", s)
	}
	f.Fuzz(func(t *testing.T, dn, s string) {
		fabric := apicsim.New(apicsim.Options{Housekeeping: true, Records: true, RecordLimit: 10})
		defer fabric.Close()
		_ = fabric.Post(dn, []byte(s))
		_ = fabric.Post(dn, []byte(s))
		for _, o := range fabric.Below("uni") {
			if o.Class == "" {
				t.Errorf("object without class at %s", o.DN)
			}
		}
		_ = fabric.Delete("uni")
		if n := len(fabric.Below("uni")); n != 0 {
			t.Errorf("%d objects left", n)
		}
	})
}
