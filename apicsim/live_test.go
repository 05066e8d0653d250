package apicsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apicsim"
)

// fold applies frames to a mirror, as a client does.
type fold map[string]map[string]string

func (m fold) apply(t *testing.T, frame string) (objects int) {
	var p push
	if err := json.Unmarshal([]byte(frame), &p); err != nil {
		t.Fatalf("%v in %s", err, frame)
	}
	for _, o := range p.Imdata {
		for class, b := range o {
			objects++
			a := b.Attributes
			key := class + " " + a["dn"]
			switch a["status"] {
			case "deleted":
				if m[key] == nil {
					t.Errorf("deleted, and never created: %s", key)
				}
				delete(m, key)
			case "created":
				if m[key] != nil {
					t.Errorf("created twice: %s", key)
				}
				m[key] = clean(a)
			case "modified":
				if m[key] == nil {
					t.Errorf("modified, and never created: %s", key)
					m[key] = map[string]string{}
				}
				for k, v := range clean(a) {
					m[key][k] = v
				}
			default:
				t.Errorf("status %q", a["status"])
			}
		}
	}
	return objects
}

func clean(a map[string]string) map[string]string {
	for _, k := range []string{"dn", "rn", "status", "childAction", "modTs"} {
		delete(a, k)
	}
	return a
}

func state(f *apicsim.Fabric, classes []string) fold {
	m := fold{}
	for _, c := range classes {
		for _, o := range f.Objects(c) {
			m[o.Class+" "+o.DN] = o.Attributes
		}
	}
	return m
}

// After any sequence of changes, what a client folded from the snapshot and the
// frames is what the fabric holds.
func TestFold(t *testing.T) {
	for seed := range uint64(4) {
		o := apicsim.Options{Seed: seed, Housekeeping: seed%2 == 0, Records: seed >= 2, RecordLimit: 50, ParentLast: seed == 3}
		bubble(t, o, func(w *world) {
			r := rand.New(rand.NewPCG(seed, 1))
			classes := []string{"fvTenant", "fvBD", "fvAEPg", "fvRsBd", "fvSubnet", "faultInst", "aaaModLR", "vzBrCP"}
			s := w.open(0)
			mirror := fold{}
			for _, c := range classes {
				a := s.query("/api/class/" + c + ".json?subscription=yes&refresh-timeout=7200")
				for _, o := range a.Imdata {
					for class, b := range o {
						key := class + " " + b.Attributes["dn"] // before clean takes it away
						mirror[key] = clean(b.Attributes)
					}
				}
			}
			for range 400 {
				tn := fmt.Sprintf("uni/tn-r%d", r.IntN(4))
				bd := fmt.Sprintf("%s/BD-b%d", tn, r.IntN(3))
				epg := fmt.Sprintf("%s/ap-a/epg-e%d", tn, r.IntN(3))
				switch r.IntN(9) {
				case 0:
					w.f.Create("fvTenant", tn, nil)
				case 1:
					w.f.Create("fvBD", bd, nil)
				case 2:
					w.f.Create("fvAEPg", epg, attrs("descr", "x"))
				case 3:
					w.f.Modify(bd, attrs("descr", fmt.Sprint(r.IntN(5)), "arpFlood", []string{"yes", "no"}[r.IntN(2)]))
				case 4:
					w.f.Create("fvSubnet", bd+"/subnet-[10.0.0.1/24]", nil)
				case 5:
					w.f.CreateFault(bd, "F1", "major", "x")
					w.f.Transition(bd+"/fault-F1", []string{"raised", "retaining"}[r.IntN(2)])
				case 6:
					w.f.Delete([]string{tn, bd, epg, tn + "/ap-a"}[r.IntN(4)])
				case 7:
					s.post("/api/mo/"+tn+".json", `{"fvTenant":{"attributes":{"descr":"`+fmt.Sprint(r.IntN(9))+`"},"children":[{"fvBD":{"attributes":{"name":"b1","status":"deleted"}}},{"vzBrCP":{"attributes":{"name":"c","scope":"global"}}}]}}`)
				case 8:
					time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
				}
			}
			time.Sleep(time.Second)
			w.f.Controller(0).Inject(apicsim.Frame{Payload: []byte("END")})
			for f := s.frame(); f != "END"; f = s.frame() {
				mirror.apply(w.t, f)
			}
			if d := cmp.Diff(state(w.f, classes), mirror); d != "" {
				w.t.Errorf("fabric -, mirror +\n%s", d)
			}
		})
	}
}

func TestLive(t *testing.T) {
	run := func(seed uint64) (kinds map[string]int, n int, digest string) {
		bubble(t, apicsim.Options{Seed: seed}, func(w *world) {
			w.f.Populate(apicsim.Profile{})
			s := w.open(0)
			classes := []string{"fvCEp", "fvIp", "fvRsCEpToPathEp", "ethpmPhysIf", "faultInst", "aaaModLR", "eventRecord", "healthInst", "fvBD", "fvAEPg", "fvSubnet", "fvRsBd", "fvTenant", "faultRecord"}
			for _, c := range classes {
				s.query("/api/class/" + c + ".json?subscription=yes&refresh-timeout=7200")
			}
			mirror := state(w.f, classes)
			ctx, cancel := context.WithTimeout(w.t.Context(), 6*time.Minute)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- w.f.Live(ctx, apicsim.LiveOptions{}) }()
			must(w.t, <-done)
			synctest.Wait()
			w.f.Controller(0).Inject(apicsim.Frame{Payload: []byte("END")})
			kinds = map[string]int{}
			h := fnv.New64()
			for f := s.frame(); f != "END"; f = s.frame() {
				io.WriteString(h, f)
				n += mirror.apply(w.t, f)
				var p push
				if err := json.Unmarshal([]byte(f), &p); err != nil {
					t.Fatal(err)
				}
				for class, b := range p.Imdata[0] {
					kinds[class+" "+b.Attributes["status"]]++
				}
			}
			digest = fmt.Sprintf("%x", h.Sum(nil))
			if d := cmp.Diff(state(w.f, classes), mirror); d != "" {
				w.t.Errorf("fabric -, mirror +\n%s", d)
			}
		})
		return kinds, n, digest
	}
	kinds, n, digest := run(7)
	rate := float64(n) / (6 * 60)
	t.Logf("%.1f events/s: %v", rate, kinds)
	if rate < 2 || rate > 6 {
		t.Errorf("%.1f events/s", rate)
	}
	for _, k := range []string{"fvCEp created", "fvCEp deleted", "fvCEp modified", "fvRsCEpToPathEp created", "ethpmPhysIf modified", "eventRecord created",
		"faultInst created", "faultInst modified", "faultInst deleted", "aaaModLR created", "healthInst modified", "faultRecord created"} {
		if kinds[k] == 0 {
			t.Errorf("no %s in six minutes", k)
		}
	}
	if again, m, d := run(7); m != n || d != digest || !cmp.Equal(kinds, again) {
		t.Errorf("the same seed gave %d and %d events", n, m)
	}
}

func TestPopulateLarge(t *testing.T) {
	if testing.Short() {
		t.Skip()
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f := apicsim.New(apicsim.Options{})
	defer f.Close()
	start := time.Now()
	n := 5000
	f.Populate(apicsim.Profile{Endpoints: n, Tenants: 12, Leaves: 8})
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d endpoints, %d objects below uni in %v, %d bytes an endpoint", f.Count("fvCEp"), len(f.Below("uni", "fvCEp", "fvIp")), took, (after.HeapAlloc-before.HeapAlloc)/uint64(n))
	if f.Count("fvCEp") != n || f.Count("fvIp") != n {
		t.Errorf("%d fvCEp, %d fvIp", f.Count("fvCEp"), f.Count("fvIp"))
	}
}
