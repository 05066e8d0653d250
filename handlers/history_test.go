package handlers_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/eventlog"
)

func ids(list []event) []int64 {
	out := make([]int64, len(list))
	for i, e := range list {
		out[i] = e.ID
	}
	return out
}

// pages follows next to the end.
func (r *rig) pages(call string, between func()) (all []event, last eventList) {
	r.t.Helper()
	for next := call; next != ""; {
		page := r.do("GET " + next).want(200).events()
		all = append(all, page.Events...)
		if last, next = page, page.Next; next != "" {
			between()
		}
	}
	return all, last
}

// Paging neither skips nor repeats while events arrive, in both orders.
func TestPaging(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvBD")
		n := 0
		grow := func() {
			r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%d", n))
			n++
			r.settle()
		}
		for range 40 {
			grow()
		}
		whole := ids(r.do("GET /events?limit=10000").events().Events)

		got, last := r.pages("/events?limit=7&tenant=common", func() {
			if n < 60 {
				grow()
			}
		})
		want := ids(r.do("GET /events?limit=10000&tenant=common").events().Events)
		if fmt.Sprint(ids(got)) != fmt.Sprint(want) {
			t.Errorf("oldest first: got %v, want %v", ids(got), want)
		}
		// The end says where to go on later.
		grow()
		if later := r.do(fmt.Sprintf("GET /events?tenant=common&since=%d", last.AsOf)).events().Events; len(later) != 1 || later[0].DN != fmt.Sprintf("uni/tn-common/BD-%d", n-1) {
			t.Errorf("behind asOf: got %v, want the one that came", later)
		}

		newest := int64(r.hub.Bounds().Newest)
		got, _ = r.pages("/events?limit=7&order=desc&since=24h&until=latest", grow)
		if len(got) < len(whole) || got[0].ID != newest {
			t.Errorf("newest first: got %d events from %d on, want all from %d on", len(got), got[0].ID, newest)
		}
		for i := 1; i < len(got); i++ {
			if got[i].ID != got[i-1].ID-1 {
				t.Fatalf("newest first: %d follows %d", got[i].ID, got[i-1].ID)
			}
		}
	})
}

func TestPlaces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvTenant")
		time.Sleep(time.Hour)
		r.create("fvTenant", "uni/tn-a")
		r.settle()
		time.Sleep(time.Hour)
		r.create("fvTenant", "uni/tn-b")
		r.settle()
		a := r.do("GET /events?dn=uni/tn-a").events().Events[0].ID
		b := r.do("GET /events?dn=uni/tn-b").events().Events[0].ID
		times := r.do("GET /events?dn=uni/tn-a").body
		_, at, _ := strings.Cut(times, `"time":"`)
		at, _, _ = strings.Cut(at, `"`)
		for params, want := range map[string][]int64{
			fmt.Sprintf("since=%d", a):               {b},
			fmt.Sprintf("since=%d&until=%d", a, b):   {b},
			fmt.Sprintf("since=%d&until=%d", a, a):   {},
			fmt.Sprintf("since=%d&until=%d", a-1, a): {a},
			"since=30m":                              {b},
			"since=30m&until=29m":                    {},
			"since=latest":                           {},
			"since=" + at + "&until=" + at:           {a},
			"since=" + at:                            {a, b},
		} {
			if got := ids(r.do("GET /events?" + params).want(200).events().Events); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %v, want %v", params, got, want)
			}
		}
		r.journal.Forget(r.hub.Bounds().Newest - 1)
		r.do(fmt.Sprintf("GET /events?since=%d", a)).want(200) // nothing behind it is lost
		r.do(fmt.Sprintf("GET /events?since=%d", a-1)).want(410, fmt.Sprintf(`"oldest":%d`, b), `"reason":"retention"`)
		r.do(fmt.Sprintf("GET /events?until=%d", a-1)).want(410)
		r.do(fmt.Sprintf("GET /events/%d", a)).want(410)
		r.do("GET /events?since=24h").want(200, "uni/tn-b")
	})
}

func TestForms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvTenant")
		r.modify("uni/tn-common", "descr", "=HYPERLINK(\"x\"), \n\"quoted\"")
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		time.Sleep(time.Minute)
		whole := r.do("GET /events?include=object").events().Events
		if len(whole) != 5 || whole[4].Kind != "gap" {
			t.Fatalf("got %v, want four events and a gap", whole)
		}
		if n := len(r.do("GET /events?kind=event").events().Events); n != 4 {
			t.Errorf("kind=event: got %d, want 4", n)
		}

		for _, extra := range [][]string{{"Accept: application/x-ndjson"}, {"Accept: text/html, application/x-ndjson;q=0.5"}, nil} {
			call := "GET /events?include=object"
			if extra == nil {
				call += "&format=ndjson"
			}
			a := r.do(call, extra...).want(200)
			if got := a.header.Get("Content-Type"); got != "application/x-ndjson" {
				t.Errorf("got Content-Type %q", got)
			}
			var got []event
			for line := range strings.Lines(a.body) {
				var e event
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
			}
			if fmt.Sprint(got) != fmt.Sprint(whole) {
				t.Errorf("%v: got %v, want %v", extra, got, whole)
			}
		}
		if got := r.do("GET /events", "Accept: */*").header.Get("Content-Type"); got != "application/json" {
			t.Errorf("*/*: got %q", got)
		}
		if got := r.do("GET /events?format=json", "Accept: text/csv").header.Get("Content-Type"); got != "application/json" {
			t.Errorf("format over Accept: got %q", got)
		}
		if link := r.do("GET /events?format=ndjson&limit=1").header.Get("Link"); !strings.Contains(link, `rel="next"`) {
			t.Errorf("got Link %q of a page with a next", link)
		}

		a := r.do("GET /events?include=object", "Accept: text/csv").want(200)
		rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(rows[0], ","); got != "id,time,fabric,class,dn,path,status,origin,attributes,changes,object,kind,classes,from,to,reason,healed" {
			t.Errorf("got header row %s", got)
		}
		if len(rows) != 6 || rows[5][11] != "gap" || rows[5][12] != `["fvTenant"]` || rows[4][6] != "modified" {
			t.Errorf("got rows %q", rows)
		}
		var attributes map[string]string
		if err := json.Unmarshal([]byte(rows[4][8]), &attributes); err != nil || !strings.HasPrefix(attributes["descr"], "=HYPER") {
			t.Errorf("got attributes %q (%v)", rows[4][8], err)
		}
		if rows := r.do("GET /events?format=csv&kind=event&limit=1").want(200).body; !strings.HasPrefix(rows, "id,time,fabric,class,dn,path,status,origin,attributes,changes\n") {
			t.Errorf("got %q", rows)
		}
	})
}

// A filter that finds nothing ends its page early and says where to go on.
func TestScanBound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(s *settings) {
			s.prefill = func(j *eventlog.MemoryLog) {
				hay := apic.Event{Time: apic.Now(), Fabric: "default", Class: "fvBD", DN: "uni/tn-x/BD-hay", Status: apic.Modified, Origin: apic.Live}
				needle := hay
				needle.DN = "uni/tn-x/BD-needle"
				b := apic.Batch{Entries: make([]apic.Entry, 50_500)}
				for i := range b.Entries {
					b.Entries[i].Event = &hay
				}
				b.Entries[50_400].Event = &needle
				if _, err := j.Append(t.Context(), &b); err != nil {
					t.Fatal(err)
				}
			}
		})
		calls := 0
		got, _ := r.pages(`/events?filter=dn+endsWith+"needle"`, func() { calls++ })
		if len(got) != 1 || calls != 1 {
			t.Errorf("got %v in %d calls, want the needle with the second", got, calls+1)
		}
	})
}

func TestObjects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvBD")
		type object struct {
			DN          string
			Attributes  map[string]string
			LastEventID int64
		}
		type list struct {
			Objects []object
			AsOf    int64
			Next    string
		}
		var empty list
		r.do("GET /objects/fvBD?limit=10000").into(&empty)
		for i := range 30 {
			r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%02d", i))
		}
		r.settle()
		var all []object
		var l list
		for next := "/objects/fvBD?limit=7"; next != ""; next = l.Next {
			l = list{}
			r.do("GET " + next).want(200).into(&l)
			all = append(all, l.Objects...)
		}
		if len(all) != 30+len(empty.Objects) {
			t.Errorf("got %d objects in pages, want %d", len(all), 30+len(empty.Objects))
		}
		middle := l.AsOf
		r.modify("uni/tn-common/BD-05", "descr", "new")
		if err := r.fabric.Delete("uni/tn-common/BD-06"); err != nil {
			t.Fatal(err)
		}
		r.settle()
		r.do("GET /objects/fvBD/uni/tn-common/BD-06").want(404)
		r.do("GET /objects/fvBD/uni/tn-common/BD-05").want(200, `"descr":"new"`)
		r.do(fmt.Sprintf("GET /objects/fvBD/uni/tn-common/BD-05?at=%d", middle)).want(200, `"descr":""`)
		r.do(fmt.Sprintf("GET /objects/fvBD/uni/tn-common/BD-06?at=%d", middle)).want(200)
		var then []object
		for next := fmt.Sprintf("/objects/fvBD?limit=7&at=%d", middle); next != ""; next = l.Next {
			l = list{}
			r.do("GET " + next).want(200).into(&l)
			then = append(then, l.Objects...)
			if l.AsOf != middle {
				t.Errorf("got asOf %d, want %d", l.AsOf, middle)
			}
		}
		if len(then) != len(all) {
			t.Errorf("got %d objects at %d, want %d", len(then), middle, len(all))
		}
		history := r.do("GET /objects/fvBD/uni/tn-common/BD-06/history").want(200).events().Events
		if len(history) != 2 || history[0].Status != "deleted" || history[1].Status != "created" {
			t.Errorf("got history %v, want deleted, created", history)
		}
		if old := r.do("GET /objects/fvBD/uni/tn-common/BD-06/history?order=asc&limit=1").want(200).events(); old.Events[0].Status != "created" || old.Next == "" {
			t.Errorf("got %v, want the oldest and a next", old)
		}
		r.do("GET /objects/fvBD?attr.descr=new").want(200, "BD-05")
	})
}

func TestWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvBD")
		begun := time.Now()
		r.do("GET /wait?class=fvBD").want(204)
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("waited %v by default, want 60 s", took)
		}
		r.do("GET /wait?class=fvBD&timeout=1h").want(204)
		go func() {
			for i := range 5 {
				time.Sleep(time.Minute)
				r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%d", i))
			}
		}()
		r.do("GET /wait?dn=uni/tn-common/BD-3&timeout=10m&state=true").want(200, `"status":"created"`)
		r.do("GET /wait?dn=uni/tn-common/BD-3&timeout=10m&state=true").want(200, `"lastEventId":`)
		r.do("GET /wait?dn=uni/tn-common/BD-3&timeout=0s&since=earliest&include=object").want(200, `"object":{`)
		r.do("GET /wait?dn=uni/tn-common/BD-3&timeout=0s").want(204)
		time.Sleep(2 * time.Minute)
	})
}

// A reader that loses its connection at random, resumed by whatever it last
// saw, gets each event exactly once, over any filter and any batch size.
func TestResumeAtRandom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(s *settings) { s.hub.Ring = 64 })
		r.subscribe("fvBD")
		rng := rand.New(rand.NewPCG(7, 7))
		const n = 2000
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range n {
				r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%04d", i))
				if rng.IntN(10) == 0 {
					time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
				}
			}
		}()
		readers := rand.New(rand.NewPCG(8, 8))
		var got []event
		filter := `&filter=dn+endsWith+"7"`
		last := ""
		for len(got) < n/10 {
			var s *reader
			if last == "" {
				s = r.stream("/events/fvBD/stream?since=earliest" + filter)
			} else {
				s = r.stream("/events/fvBD/stream?since=earliest"+filter, "Last-Event-ID: "+last)
			}
			for range readers.IntN(40) {
				m, err := s.read()
				if err != nil {
					t.Fatal(err)
				}
				if m.kind == "gap" {
					t.Fatalf("got a gap: %s", m.data)
				}
				if !m.comment && m.kind == "" {
					if got = append(got, m.event()); len(got) == n/10 {
						break
					}
				}
			}
			last = s.lastID
			s.close()
		}
		<-done
		for i, e := range got {
			if want := fmt.Sprintf("uni/tn-common/BD-%04d", 10*i+7); e.DN != want {
				t.Fatalf("event %d is %s, want %s", i, e.DN, want)
			}
		}
	})
}
