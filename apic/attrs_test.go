package apic

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAttrs(t *testing.T) {
	long := strings.Repeat("x", 300)
	a := AttrsMap(map[string]string{"name": "a", "descr": "", "long": long})
	if got := a.Map(); !maps.Equal(got, map[string]string{"name": "a", "descr": "", "long": long}) {
		t.Errorf("got %v", got)
	}
	if v, ok := a.Lookup("descr"); !ok || v != "" {
		t.Errorf("descr is %q, %v; want empty and there", v, ok)
	}
	if _, ok := a.Lookup("nope"); ok {
		t.Error("found what is not there")
	}
	if a != AttrsOf([]Attr{{"long", long}, {"name", "b"}, {"descr", ""}, {"name", "a"}}) {
		t.Error("sets with the same content differ")
	}
	b := a.With(AttrsMap(map[string]string{"descr": "new", "zone": "z"}))
	want := map[string]string{"name": "a", "descr": "new", "long": long, "zone": "z"}
	if got := b.Map(); !maps.Equal(got, want) {
		t.Errorf("With: got %v, want %v", got, want)
	}
	if a.Get("descr") != "" {
		t.Error("With changed its receiver")
	}
	merged, changes := merge(a, AttrsMap(map[string]string{"descr": "new", "zone": "z", "name": "a", "status": "modified", "rn": "", "childAction": "x"}))
	if diff := cmp.Diff([]Change{{"descr", "", "new"}, {"zone", "", "z"}}, changes); diff != "" || merged != b {
		t.Errorf("merge: got %v, want %v; changes (-want +got):\n%s", merged, b, diff)
	}
	if got, changes := merge(a, AttrsOf([]Attr{{"status", "modified"}, {"childAction", "x"}, {"name", "a"}, {"rn", "y"}})); got != a || changes == nil || len(changes) != 0 {
		t.Errorf("merge of what is known already: %v, %v", got, changes)
	}
	if got, changes := merge(a, AttrsOf([]Attr{{"modTs", "now"}})); got.Get("modTs") != "now" || len(changes) != 0 {
		t.Errorf("merge of modTs alone: %v, %v", got, changes)
	}
	if (Attrs{}).Len() != 0 || a.Len() != 3 || b.Len() != 4 {
		t.Error("Len is wrong")
	}
}

// FuzzAttrs holds the packed form against a map.
func FuzzAttrs(f *testing.F) {
	f.Add("a\x00b", "c\x00d", "a")
	f.Fuzz(func(t *testing.T, x, y, name string) {
		set := func(s string) (Attrs, map[string]string) {
			m := make(map[string]string)
			parts := strings.Split(s, "\x00")
			for i := 0; i+1 < len(parts); i += 2 {
				m[parts[i]] = parts[i+1]
			}
			return AttrsMap(m), m
		}
		a, am := set(x)
		b, bm := set(y)
		maps.Copy(am, bm)
		c := a.With(b)
		if !maps.Equal(c.Map(), am) || c.Get(name) != am[name] || c != AttrsMap(am) {
			t.Fatalf("%v with %v is %v, want %v", a, b, c, am)
		}
		if merged, list := merge(bare(a), b); merged != bare(a).With(bare(b)) || (merged == bare(a)) != (len(list) == 0 && merged.Get("modTs") == a.Get("modTs") && merged.Len() == bare(a).Len()) {
			t.Fatalf("merge of %v and %v is %v, with changes %v", a, b, merged, list)
		}
		var back map[string]string
		if err := json.Unmarshal(c.AppendJSON(nil), &back); err != nil {
			t.Fatalf("%s: %v", c.AppendJSON(nil), err)
		}
	})
}

// A decoder remembers what the frame before named, and no more of it than a
// dozen ids.
func TestDecodeIDsAgain(t *testing.T) {
	d := newDecoder()
	long := strings.Repeat(`"72059075820650497",`, 10_000)
	for _, c := range []struct {
		ids  string
		want int
	}{{`["7"]`, 1}, {`["7"]`, 1}, {`["7","8"]`, 2}, {`"7"`, 1}, {`[` + long + `"7"]`, 10_001}, {`"7"`, 1}, {`[]`, 0}, {`["7"]`, 1}} {
		f, err := d.frame([]byte(`{"subscriptionId":`+c.ids+`,"imdata":[]}`), Now())
		if err != nil || len(f.ids) != c.want || c.want > 0 && f.ids[c.want-1] != "7" && f.ids[c.want-1] != "8" {
			t.Errorf("%.40s: got %d ids (%v), want %d", c.ids, len(f.ids), err, c.want)
		}
		if len(d.idsText) > maxIDsText {
			t.Errorf("%d bytes are remembered", len(d.idsText))
		}
	}
}

func TestDecodeFrame(t *testing.T) {
	type object struct {
		Class  Class
		DN     DN
		Status string
		Attrs  map[string]string
	}
	for _, c := range []struct {
		name, in string
		ids      []string
		objects  []object
		skipped  int
		bad      bool
	}{
		{name: "deleted, minimal", in: `{"subscriptionId":["18374686685813276673"],"imdata":[{"fvTenant":{"attributes":{"childAction":"","dn":"uni/tn-t1","rn":"","status":"deleted"}}}]}`,
			ids: []string{"18374686685813276673"}, objects: []object{{"fvTenant", "uni/tn-t1", "deleted", map[string]string{"childAction": "", "dn": "uni/tn-t1", "rn": "", "status": "deleted"}}}},
		{name: "id as text", in: `{"imdata":[],"subscriptionId":"7"}`, ids: []string{"7"}},
		{name: "ids as numbers beyond 2^63", in: `{"subscriptionId":[18374686685813276673,8],"imdata":[]}`, ids: []string{"18374686685813276673", "8"}},
		{name: "ids empty", in: `{"subscriptionId":[],"imdata":[]}`},
		{name: "values that are no text", in: `{"imdata":[{"a":{"attributes":{"dn":"x","n":1e400,"b":true,"z":null,"o":{"p":[1]}}}}]}`,
			objects: []object{{"a", "x", "", map[string]string{"dn": "x", "n": "1e400", "b": "true", "z": "", "o": `{"p":[1]}`}}}},
		{name: "unsorted and twice", in: `{"imdata":[{"a":{"attributes":{"z":"1","dn":"x","b":"2","z":"3"}}}]}`, objects: []object{{"a", "x", "", map[string]string{"dn": "x", "b": "2", "z": "3"}}}},
		{name: "escapes", in: `{"imdata":[{"a":{"attributes":{"dn":"x\/y","d":"\u00e9\n\"\ud83d\ude00"}}}]}`, objects: []object{{"a", "x/y", "", map[string]string{"dn": "x/y", "d": "é\n\"😀"}}}},
		{name: "two classes in one element", in: `{"imdata":[{"a":{"attributes":{"dn":"x"}},"b":{"attributes":{"dn":"y"}}}]}`, objects: []object{{"a", "x", "", map[string]string{"dn": "x"}}, {"b", "y", "", map[string]string{"dn": "y"}}}},
		{name: "children are joined to their parent", in: `{"imdata":[{"a":{"attributes":{"dn":"x"},"children":[{"b":{"attributes":{"rn":"r-[1/2]"}}}]}}]}`,
			objects: []object{{"a", "x", "", map[string]string{"dn": "x"}}, {"b", "x/r-[1/2]", "", map[string]string{"dn": "x/r-[1/2]", "rn": "r-[1/2]"}}}},
		{name: "elements that are no object", in: `{"imdata":[1,"x",null,[],{"a":1},{"a":{}},{"a":{"attributes":[]}},{"a b":{"attributes":{"dn":"x"}}},{"a":{"attributes":{"name":"no dn"}}}]}`, skipped: 9},
		{name: "imdata is no list", in: `{"imdata":7}`, skipped: 1},
		{name: "invalid UTF-8", in: "{\"imdata\":[{\"a\":{\"attributes\":{\"dn\":\"x\",\"d\":\"\xff\"}}}]}", objects: []object{{"a", "x", "", map[string]string{"dn": "x", "d": "\uFFFD"}}}},
		{name: "byte order mark", in: "\ufeff{\"imdata\":[]}"},
		{name: "no imdata", in: `{"subscriptionId":["7"]}`, bad: true},
		{name: "empty", in: ``, bad: true},
		{name: "null", in: `null`, bad: true},
		{name: "XML", in: `<?xml version="1.0"?><imdata/>`, bad: true},
		{name: "cut off", in: `{"imdata":[{"a":{"attributes":{"dn":"x"`, bad: true},
		{name: "too deep", in: `{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `,"imdata":[]}`, bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := newDecoder().frame([]byte(c.in), Now())
			if (err != nil) != c.bad {
				t.Fatalf("got error %v, want one: %v", err, c.bad)
			}
			var got []object
			for _, m := range f.objects {
				got = append(got, object{m.class, m.dn, m.status, m.attrs.Map()})
			}
			if diff := cmp.Diff(c.objects, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.ids, f.ids); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			if f.skipped != c.skipped {
				t.Errorf("skipped %d, want %d", f.skipped, c.skipped)
			}
		})
	}
}

func TestDecodeAnswer(t *testing.T) {
	a, err := newDecoder().answer([]byte(`{"totalCount":"1","imdata":[{"error":{"attributes":{"code":"403","text":"Token was invalid (Error: Token timeout)"}}}]}`))
	if err != nil || a.err == nil || a.err.Code != "403" || a.total != 1 {
		t.Errorf("got %+v, %v; want APIC's error", a, err)
	}
	a, err = newDecoder().answer([]byte(`{"subscriptionId":"72057628414509057","totalCount":2,"imdata":[]}`))
	if err != nil || a.subscriptionID != "72057628414509057" || a.total != 2 {
		t.Errorf("got %+v, %v", a, err)
	}
	if _, err := newDecoder().answer([]byte("<html>503</html>")); err == nil {
		t.Error("a page was taken for JSON")
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"subscriptionId":["1"],"imdata":[{"fvTenant":{"attributes":{"dn":"uni/tn-a","status":"created"},"children":[{"fvAp":{"attributes":{"rn":"ap-x"}}}]}}]}`,
		`{"totalCount":"1","imdata":[{"error":{"attributes":{"code":"400","text":"x"}}}]}`, `{"imdata":[{"a":{"attributes":{"dn":"\ud800"}}}]}`, "{", "[[[[", "\xff",
	} {
		f.Add([]byte(s))
	}
	d := newDecoder()
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := d.frame(b, Now())
		fresh, freshErr := newDecoder().frame(b, got.at)
		if (err == nil) != (freshErr == nil) {
			t.Fatalf("a used decoder says %v, a fresh one %v", err, freshErr)
		}
		if len(got.objects) != len(fresh.objects) {
			t.Fatalf("a used decoder finds %d objects, a fresh one %d", len(got.objects), len(fresh.objects))
		}
		for i, m := range got.objects {
			if m != fresh.objects[i] {
				t.Fatalf("a used decoder reads %v, a fresh one %v", m, fresh.objects[i])
			}
			var back map[string]string
			if err := json.Unmarshal(m.attrs.AppendJSON(nil), &back); err != nil {
				t.Fatalf("%s: %v", m.attrs, err)
			}
		}
		d.answer(b)
	})
}

func TestTold(t *testing.T) {
	change := func(status string, pairs ...string) kept {
		m := map[string]string{"status": status}
		for i := 0; i+1 < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return kept{mo: mo{class: "fvBD", dn: "uni/BD-b", status: status, attrs: AttrsMap(m)}}
	}
	list := func(pairs ...string) *mo { m := change("", pairs...).mo; return &m }
	a, b, c := change("modified", "descr", "a"), change("modified", "descr", "b"), change("modified", "descr", "c")
	gone, made := change("deleted"), change("created", "descr", "x", "name", "b")
	for _, tc := range []struct {
		name    string
		list    *mo
		changes []kept
		want    int
	}{
		{"none", list("descr", "a"), nil, 0},
		{"list read before the change", list("descr", "0"), []kept{a}, 0},
		{"list read after the change", list("descr", "a"), []kept{a}, 1},
		{"list read between", list("descr", "b"), []kept{a, b, c}, 2},
		{"deleted, list read after", nil, []kept{a, gone}, 2},
		{"deleted, list read before", list("descr", "a"), []kept{a, gone}, 1},
		{"deleted and made again, read after", list("descr", "x", "name", "b"), []kept{gone, made}, 2},
		{"deleted and made again, read between", nil, []kept{gone, made}, 1},
		{"deleted and made again, read before", list("descr", "old"), []kept{gone, made}, 0},
		{"created, read before", nil, []kept{made}, 0},
		{"there and back, told apart by modTs", list("descr", "a", "modTs", "1"), []kept{change("modified", "descr", "a", "modTs", "1"), change("modified", "descr", "b", "modTs", "2"), change("modified", "descr", "a", "modTs", "3")}, 1},
		{"a word that says nothing", list("descr", "a"), []kept{change("replaced", "descr", "z")}, 0},
	} {
		if got := told(tc.list, tc.changes); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestEntryJSON(t *testing.T) {
	at := Now()
	e := Entry{Event: &Event{
		Time: at, Fabric: "default", Class: "fvTenant", DN: "uni/tn-common", Status: Modified, Origin: Live,
		Attributes: AttrsOf([]Attr{{"dn", "uni/tn-common"}, {"descr", "<b>\u2028\"new\""}}),
		Changes:    []Change{{"descr", "", "<b>"}}, Object: AttrsOf([]Attr{{"dn", "uni/tn-common"}, {"name", "common"}}),
	}}.Seal(1763956931004711)
	var got struct {
		ID         int64
		Time       string
		Fabric     string
		Class      string
		DN         string
		Path       map[string]string
		Status     string
		Origin     string
		Attributes map[string]string
		Changes    map[string]map[string]string
		Object     map[string]string
	}
	if err := json.Unmarshal(e.WithObject(), &got); err != nil {
		t.Fatalf("%s: %v", e.JSON, err)
	}
	if got.ID != 1763956931004711 || got.Path["tenant"] != "common" || got.Changes["descr"]["new"] != "<b>" || got.Object["name"] != "common" ||
		got.Attributes["descr"] != "<b>\u2028\"new\"" || got.Time != at.Format(timeFormat) || got.Status != "modified" || got.Origin != "live" {
		t.Errorf("got %+v of %s", got, e.WithObject())
	}
	if strings.Contains(string(e.JSON), `"object"`) || strings.ContainsAny(string(e.JSON), "\n\r") {
		t.Errorf("the shared form must have no object and be one line: %s", e.JSON)
	}
	g := Entry{Gap: &Gap{Time: at, Fabric: "default", Classes: []Class{"fvBD"}, From: at, To: at, Reason: ReasonConnection, Healed: true}}.Seal(7)
	var gap map[string]any
	if err := json.Unmarshal(g.JSON, &gap); err != nil {
		t.Fatal(err)
	}
	if gap["kind"] != "gap" || gap["healed"] != true || gap["reason"] != "connection-lost" {
		t.Errorf("got %s", g.JSON)
	}
}
