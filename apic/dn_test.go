package apic_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apic"
)

func TestDN(t *testing.T) {
	for _, c := range []struct{ dn, parent, rn string }{
		{"uni", "", "uni"},
		{"uni/tn-common", "uni", "tn-common"},
		{"uni/tn-x/ap-y/epg-z/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]", "uni/tn-x/ap-y/epg-z", "rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]"},
		{"subj-[uni/tn-t/ap-a/epg-e]/mod-4295233655", "subj-[uni/tn-t/ap-a/epg-e]", "mod-4295233655"},
		{"uni/usersessext/actsession-CwqMYooyRDKiftKyopDgGw==", "uni/usersessext", "actsession-CwqMYooyRDKiftKyopDgGw=="},
		{"topology/pod-1/node-101/sys/phys-[eth1/1]", "topology/pod-1/node-101/sys", "phys-[eth1/1]"},
		{"uni/tn-[a/b", "uni", "tn-[a/b"}, // never closed: the rest is one RN
		{"uni/tn-a]/x", "uni/tn-a]", "x"},
		{"", "", ""},
	} {
		if got := apic.DN(c.dn).Parent(); string(got) != c.parent {
			t.Errorf("%q: parent is %q, want %q", c.dn, got, c.parent)
		}
		if got := apic.DN(c.dn).RN(); got != c.rn {
			t.Errorf("%q: RN is %q, want %q", c.dn, got, c.rn)
		}
	}
}

func TestDNBelow(t *testing.T) {
	for _, c := range []struct {
		dn, ancestor string
		want         bool
	}{
		{"uni/tn-a/ap-x", "uni/tn-a", true},
		{"uni/tn-a", "uni/tn-a", false},
		{"uni/tn-ab", "uni/tn-a", false},
		{"uni/tn-a/x-[uni/tn-b/y]", "uni/tn-a/x-[uni/tn-b", false},
		{"uni", "", false},
	} {
		if got := apic.DN(c.dn).Below(apic.DN(c.ancestor)); got != c.want {
			t.Errorf("%q below %q: got %v, want %v", c.dn, c.ancestor, got, c.want)
		}
	}
}

func TestDNPath(t *testing.T) {
	for dn, want := range map[string]apic.Path{
		"uni/tn-common": {{"tenant", "common"}},
		"uni/tn-prod/ap-shop/epg-web/cep-00:50:56:00":    {{"tenant", "prod"}, {"ap", "shop"}, {"epg", "web"}, {"endpoint", "00:50:56:00"}},
		"uni/tn-t/BD-b/subnet-[10.0.0.1/24]":             {{"tenant", "t"}, {"bd", "b"}, {"subnet", "10.0.0.1/24"}},
		"uni/tn-t/ctx-v":                                 {{"tenant", "t"}, {"vrf", "v"}},
		"uni/phys-lab":                                   {},
		"topology/pod-1/node-101/sys/phys-[eth1/1]/phys": {{"pod", "1"}, {"node", "101"}, {"interface", "eth1/1"}},
		"subj-[uni/tn-t/ap-a/epg-e]/mod-42":              {{"tenant", "t"}, {"ap", "a"}, {"epg", "e"}},
		"uni/tn-x/ap-y/epg-z/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]":          {{"tenant", "x"}, {"ap", "y"}, {"epg", "z"}, {"pod", "1"}, {"node", "101"}, {"interface", "eth1/1"}},
		"topology/pod-1/node-101/local/svc-policyelem-id-0/uni/epp/fv-[uni/tn-TK]/node-102": {{"pod", "1"}, {"node", "101"}, {"tenant", "TK"}},
	} {
		if diff := cmp.Diff(want, apic.DN(dn).Path()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dn, diff)
		}
	}
}

func TestParseDN(t *testing.T) {
	for _, bad := range []string{"", "/uni", "uni/", "uni//tn-a", "uni/tn-[a", "uni/tn-a]", "uni/tn-\n", "uni/tn-\xff", strings.Repeat("a", 5000)} {
		if dn, err := apic.ParseDN(bad); err == nil {
			t.Errorf("ParseDN(%.40q) = %q, want an error", bad, dn)
		}
	}
	if _, err := apic.ParseDN("uni/tn-x/rspathAtt-[topology/pod-1/pathep-[eth1/1]]"); err != nil {
		t.Error(err)
	}
}

func FuzzDN(f *testing.F) {
	for _, s := range []string{"uni/tn-a", "a[b/[c]]/d", "]/[", "subj-[uni/tn-t]/mod-1", "uni/tn-[uni/tn-[uni/tn-[uni/tn-[uni/tn-[x]]]]]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		dn := apic.DN(s)
		rns := slices.Collect(dn.RNs())
		if got := strings.Join(rns, "/"); got != s {
			t.Fatalf("RNs of %q join to %q", s, got)
		}
		if rns[len(rns)-1] != dn.RN() {
			t.Fatalf("last RN of %q is %q, RN says %q", s, rns[len(rns)-1], dn.RN())
		}
		if p := dn.Parent(); p != "" && !dn.Below(p) {
			t.Fatalf("%q is not below its parent %q", s, p)
		}
		dn.Path()
		if _, err := apic.ParseDN(s); err == nil && slices.Contains(rns, "") {
			t.Fatalf("ParseDN accepted an empty RN in %q", s)
		}
	})
}

func TestResolveClass(t *testing.T) {
	for in, want := range map[string][]apic.Class{
		"fvTenant": {"fvTenant"},
		"Tenant":   {"fvTenant"},
		"tENANT":   {"fvTenant"},
		"Endpoint": {"fvCEp", "fvStCEp"},
		"Faults":   {"faultInfo"},
		"context":  {"fvCtx"},
	} {
		got, err := apic.ResolveClass(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("ResolveClass(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "Nonsense", "fv:Tenant", "fvTenant/..", "fv Tenant", "LogicalModel", strings.Repeat("a", 200)} {
		if got, err := apic.ResolveClass(bad); err == nil {
			t.Errorf("ResolveClass(%.20q) = %v, want an error", bad, got)
		}
	}
	for c, want := range map[apic.Class]bool{"eqptIngrErrPkts5min": true, "eqptIngrBytesHist1h": true, "l2IngrBytesAg15min": true, "fvTenant": false, "l3extOut": false, "fvBD": false} {
		if c.Statistics() != want {
			t.Errorf("%s: statistics is %v, want %v", c, !want, want)
		}
	}
}

func TestParseQuery(t *testing.T) {
	for in, want := range map[string]string{
		"/api/class/fvTenant.json": "/api/class/fvTenant.json",
		"https://apic1.example.com:8443/api/node/class/fvTenant.json?subscription=yes":                                                                          "/api/class/fvTenant.json",
		"/api/mo/uni/tn-prod.json?query-target=subtree&target-subtree-class=fvAEPg,fvBD":                                                                        "/api/mo/uni/tn-prod.json?query-target=subtree&target-subtree-class=fvAEPg,fvBD",
		"/api/node/mo/uni/tn-prod.json?query-target=subtree&target-subtree-class=fvBD,fvAEPg&page=0&page-size=40&order-by=fvBD.name|asc&subscription=yes&_dc=1": "/api/mo/uni/tn-prod.json?query-target=subtree&target-subtree-class=fvAEPg,fvBD",
		`/api/class/faultInst.json?query-target-filter=and(eq(faultInst.severity,"critical"),wcard(faultInst.dn,"a b"))`:                                        `/api/class/faultInst.json?query-target-filter=and(eq(faultInst.severity,%22critical%22),wcard(faultInst.dn,%22a%20b%22))`,
		"/api/mo/topology/pod-1/paths-101/pathep-[eth1/1].json":                                                                                                 "/api/mo/topology/pod-1/paths-101/pathep-[eth1/1].json",
		"/api/class/topology/pod-1/node-101/vlanCktEp.json":                                                                                                     "/api/mo/topology/pod-1/node-101.json?query-target=subtree&target-subtree-class=vlanCktEp",
		"api/class/fvBD.xml?rsp-subtree=full&rsp-subtree-include=faults&rsp-prop-include=config-only":                                                           "/api/class/fvBD.json",
		"GET /api/mo/uni/tn-a.json":                     "/api/mo/uni/tn-a.json",
		"/api/class/fvTenant.json?query-target=subtree": "/api/class/fvTenant.json?query-target=subtree",
	} {
		q, err := apic.ParseQuery(in)
		if err != nil || q.String() != want {
			t.Errorf("ParseQuery(%q)\n got %s, %v\nwant %s", in, q, err, want)
			continue
		}
		again, err := apic.ParseQuery(q.String())
		if err != nil || again.String() != want {
			t.Errorf("what ParseQuery wrote it reads as %s, %v; want %s", again, err, want)
		}
	}
	for in, hint := range map[string]string{
		"":                                      "/api/",
		"https://apic1":                         "no path",
		"/socket/x":                             "/api/",
		"/api/aaaLogin.json":                    "neither",
		"/api/class/fvTenant":                   ".json",
		"/api/class/Fv.json":                    "class name",
		"/api/mo/uni/tn-[a.json":                "never closed",
		"/api/class/fvBD.json?foo=1":            "foo",
		"/api/class/fvBD.json?query-target=all": "self, children, subtree",
		"/api/class/fvBD.json?query-target-filter=eq(fvBD.name":                  "close",
		"/api/class/fvBD.json?rsp-subtree-include=faults,required":               "required",
		"/api/class/topology/pod-1/node-101/vlanCktEp.json?query-target=subtree": "node",
		"/api/class/fvBD.json?query-target-filter=%zz":                           "invalid URL escape",
	} {
		if q, err := apic.ParseQuery(in); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseQuery(%q) = %v, %v; want an error that says %q", in, q, err, hint)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("/api/class/fvTenant.json?query-target=subtree&target-subtree-class=fvAEPg")
	f.Add("https://x/api/mo/uni/tn-[a].json?query-target-filter=eq(a.b,\"c\")")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := apic.ParseQuery(s)
		if err != nil {
			return
		}
		again, err := apic.ParseQuery(q.String())
		if err != nil || again.String() != q.String() {
			t.Fatalf("%q was read as %q, which reads as %q, %v", s, q, again, err)
		}
	})
}

func TestQueryCovers(t *testing.T) {
	classes := map[apic.DN]apic.Class{"uni/tn-a": "fvTenant", "uni/tn-a/ap-x": "fvAp"}
	above := func(dn apic.DN) apic.Class { return classes[dn] }
	for _, c := range []struct {
		query string
		class apic.Class
		dn    apic.DN
		want  bool
	}{
		{"/api/class/fvTenant.json", "fvTenant", "uni/tn-a", true},
		{"/api/class/fvTenant.json", "fvAp", "uni/tn-a/ap-x", false},
		{"/api/class/faultInfo.json", "faultInst", "uni/tn-a/fault-F1", true},
		{"/api/class/fvTenant.json?query-target=subtree", "fvAEPg", "uni/tn-a/ap-x/epg-e", true},
		{"/api/class/fvTenant.json?query-target=subtree", "fvAEPg", "uni/tn-b/ap-x/epg-e", false},
		{"/api/class/fvTenant.json?query-target=children", "fvAp", "uni/tn-a/ap-x", true},
		{"/api/class/fvTenant.json?query-target=children", "fvAEPg", "uni/tn-a/ap-x/epg-e", false},
		{"/api/mo/uni/tn-a.json", "fvTenant", "uni/tn-a", true},
		{"/api/mo/uni/tn-a.json", "fvTenant", "uni/tn-ab", false},
		{"/api/mo/uni/tn-a.json?query-target=children", "fvAp", "uni/tn-a/ap-x", true},
		{"/api/mo/uni/tn-a.json?query-target=subtree&target-subtree-class=fvAEPg", "fvAEPg", "uni/tn-a/ap-x/epg-e", true},
		{"/api/mo/uni/tn-a.json?query-target=subtree&target-subtree-class=fvAEPg", "fvAp", "uni/tn-a/ap-x", false},
	} {
		q, err := apic.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.Covers(c.class, c.dn, above); got != c.want {
			t.Errorf("%s covers %s %s: got %v, want %v", c.query, c.class, c.dn, got, c.want)
		}
	}
}
