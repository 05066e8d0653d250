//go:build unix

package eventlog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/acitap/acitap/apic"
)

// The benchmarks report CPU time beside the clock's, as the machines they run
// on are shared. BenchmarkYardstick is the least that SQLite can do for an
// event; what the others add to it is ours.

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func reportCPU(b *testing.B, since time.Duration, events int) {
	b.ReportMetric(float64((cpuTime()-since).Nanoseconds())/float64(max(events, 1)), "cpu-ns/event")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(events, 1)), "ns/event")
}

// A fabric makes sparse modified events of a number of endpoints, one in
// twenty of them a fault, over tenants, nodes and classes.
type fabric struct {
	r       *rand.Rand
	at      time.Time
	objects []fabricObject
}

type fabricObject struct {
	class apic.Class
	dn    apic.DN
	attrs apic.Attrs
}

func newFabric(objects int) *fabric {
	f := &fabric{r: rand.New(rand.NewPCG(1, 2)), at: time.Date(2026, 11, 24, 3, 42, 11, 0, time.UTC)}
	for i := range objects {
		var o fabricObject
		tenant, node := i%97, 101+i%60
		switch {
		case i%20 == 0:
			o.class, o.dn = "faultInst", apic.DN(fmt.Sprintf("topology/pod-1/node-%d/sys/phys-[eth1/%d]/fault-F%06d", node, i%48, i))
		case i%2 == 0:
			o.class, o.dn = "fvBD", apic.DN(fmt.Sprintf("uni/tn-tenant%d/BD-bd%d", tenant, i))
		case i%3 == 0:
			o.class, o.dn = "l1PhysIf", apic.DN(fmt.Sprintf("topology/pod-1/node-%d/sys/phys-[eth1/%d]", node, i))
		default:
			o.class, o.dn = "fvCEp", apic.DN(fmt.Sprintf("uni/tn-tenant%d/ap-shop/epg-web/cep-00:50:56:%02X:%02X:%02X", tenant, i>>16&255, i>>8&255, i&255))
		}
		pairs := []apic.Attr{{Name: "dn", Value: string(o.dn)}, {Name: "descr", Value: ""}, {Name: "modTs", Value: "2026-11-24T03:42:11.101+00:00"}}
		for k := range 25 {
			pairs = append(pairs, apic.Attr{Name: fmt.Sprintf("attribute%d", k), Value: []string{"yes", "", "unspecified", "0", "regular", "10.0.17.3"}[(i+k)%6]})
		}
		o.attrs = apic.AttrsOf(pairs)
		f.objects = append(f.objects, o)
	}
	return f
}

func (f *fabric) event(i int) apic.Entry {
	o := &f.objects[i]
	f.at = f.at.Add(100 * time.Microsecond)
	ts, descr, old := f.at.Format("2006-01-02T15:04:05.000+00:00"), strconv.Itoa(f.r.IntN(1e6)), o.attrs.Get("descr")
	o.attrs = o.attrs.With(apic.AttrsOf([]apic.Attr{{Name: "descr", Value: descr}, {Name: "modTs", Value: ts}}))
	return apic.Entry{Event: &apic.Event{
		Time: f.at, Fabric: "default", Class: o.class, DN: o.dn, Status: apic.Modified, Origin: apic.Live,
		Attributes: apic.AttrsOf([]apic.Attr{
			{Name: "childAction", Value: ""}, {Name: "descr", Value: descr}, {Name: "dn", Value: string(o.dn)},
			{Name: "modTs", Value: ts}, {Name: "rn", Value: ""}, {Name: "status", Value: "modified"},
		}),
		Changes: []apic.Change{{Name: "descr", Old: old, New: descr}},
		Object:  o.attrs,
	}}
}

func (f *fabric) batch(n int) *apic.Batch {
	b := &apic.Batch{Entries: make([]apic.Entry, n)}
	for i := range b.Entries {
		b.Entries[i] = f.event(f.r.IntN(len(f.objects)))
	}
	return b
}

// BenchmarkAppend is what an event costs in the log: sealed, written, indexed,
// folded and durable. Over 1000 objects, as in a burst, and over 100,000 in no
// order, the worst case.
func BenchmarkAppend(b *testing.B) {
	for _, objects := range []int{1000, 100_000} {
		for _, size := range []int{1, 100, 1000, 5000} {
			b.Run(fmt.Sprintf("objects=%d/batch=%d", objects, size), func(b *testing.B) {
				l := open(b, Options{Dir: b.TempDir()})
				f := newFabric(objects)
				for part := 0; part < objects; part += 5000 { // each is known
					batch := &apic.Batch{}
					for i := part; i < min(part+5000, objects); i++ {
						batch.Entries = append(batch.Entries, f.event(i))
					}
					if _, err := l.Append(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				ready := make([]*apic.Batch, 20)
				for i := range ready {
					ready[i] = f.batch(size)
				}
				n, since := 0, cpuTime()
				for b.Loop() {
					if _, err := l.Append(b.Context(), ready[n/size%len(ready)]); err != nil {
						b.Fatal(err)
					}
					n += size
				}
				reportCPU(b, since, n)
			})
		}
	}
}

// BenchmarkYardstick inserts the same JSON under an id and nothing else.
func BenchmarkYardstick(b *testing.B) {
	for _, size := range []int{1, 100, 1000, 5000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			c, err := openConn(b.TempDir()+"/plain.db", sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE,
				"PRAGMA journal_mode = wal; PRAGMA synchronous = normal; CREATE TABLE t (id INTEGER PRIMARY KEY, json TEXT)")
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			c.WALAutoCheckpoint(2 * hardPages)
			insert, err := c.prepare("INSERT INTO t VALUES (?, ?)")
			if err != nil {
				b.Fatal(err)
			}
			list, err := seal(newFabric(1000).batch(1000).Entries, 1)
			if err != nil {
				b.Fatal(err)
			}
			n, since := 0, cpuTime()
			for b.Loop() {
				if err := c.run("BEGIN IMMEDIATE"); err != nil {
					b.Fatal(err)
				}
				for range size {
					n++
					bind := binder{stmt: insert}
					bind.int(int64(n))
					bind.raw(list[n%len(list)].JSON)
					if err := insert.Exec(); err != nil {
						b.Fatal(err)
					}
				}
				if err := c.run("COMMIT"); err != nil {
					b.Fatal(err)
				}
			}
			reportCPU(b, since, n)
		})
	}
}

// BenchmarkSavePosition is a place made durable by each of many readers at
// once, who share transactions.
func BenchmarkSavePosition(b *testing.B) {
	for _, readers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			l := open(b, Options{Dir: b.TempDir()})
			since := cpuTime()
			b.SetParallelism(max(1, readers/2))
			b.RunParallel(func(pb *testing.PB) {
				p := apic.Position{PositionKey: apic.PositionKey{Class: "fvBD", Consumer: fmt.Sprint(rand.IntN(1e9))}}
				for pb.Next() {
					p.At++
					if err := l.SavePosition(b.Context(), p); err != nil {
						b.Error(err)
					}
				}
			})
			reportCPU(b, since, b.N)
		})
	}
}

// filled returns a log with many events: 200,000, or ACITAP_BENCH_EVENTS of
// them. 10 million take 8 GB and some minutes, and are what the promises are
// about:
//
//	ACITAP_BENCH_EVENTS=10000000 go test -run - -bench 'History|Read|Count|Load' -timeout 1h ./eventlog
//
// With ACITAP_BENCH_DIR the log is made there, and taken from there the next
// time.
func filled(b *testing.B) *Log {
	n := 200_000
	if s := os.Getenv("ACITAP_BENCH_EVENTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := os.Getenv("ACITAP_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	l := open(b, Options{Dir: dir})
	if held := l.Bounds().Newest - l.Bounds().Origin; held < apic.ID(n) {
		f := newFabric(100_000)
		keeper, err := openConn(l.path, sqlite3.OPEN_READWRITE, "PRAGMA synchronous = normal")
		if err != nil {
			b.Fatal(err)
		}
		defer keeper.Close()
		for i := int(held); i < n; i += 5000 {
			if _, err := l.Append(b.Context(), f.batch(5000)); err != nil {
				b.Fatal(err)
			}
			if err := l.checkpoint(b.Context(), keeper); err != nil {
				b.Fatal(err)
			}
		}
	}
	return l
}

// BenchmarkHistory is what a page of 100 takes, in each of the ways that the
// API has.
func BenchmarkHistory(b *testing.B) {
	l := filled(b)
	bounds := l.Bounds()
	middle := bounds.Origin + (bounds.Newest-bounds.Origin)/2
	var hot apic.DN
	for e, err := range l.Read(b.Context(), apic.Range{After: bounds.Floor, Limit: 1}) {
		if err != nil {
			b.Fatal(err)
		}
		hot = e.Event.DN
	}
	for _, q := range []struct {
		name string
		r    apic.Range
	}{
		{"newest", apic.Range{Desc: true}},
		{"class", apic.Range{Desc: true, Narrow: apic.Narrow{Classes: []apic.Class{"faultInst"}}}},
		{"class/middle", apic.Range{Desc: true, Until: middle, Narrow: apic.Narrow{Classes: []apic.Class{"faultInst"}}}},
		{"class/since", apic.Range{After: middle, Narrow: apic.Narrow{Classes: []apic.Class{"faultInst"}}}},
		{"class=3", apic.Range{Desc: true, Narrow: apic.Narrow{Classes: []apic.Class{"faultInst", "fvBD", "l1PhysIf"}}}},
		{"object", apic.Range{Desc: true, Narrow: apic.Narrow{DNs: []apic.DN{hot}, Kinds: apic.EventsOnly}}},
		{"object/since", apic.Range{After: middle, Narrow: apic.Narrow{DNs: []apic.DN{hot}, Kinds: apic.EventsOnly}}},
		{"tenant", apic.Range{Desc: true, Narrow: apic.Narrow{Tenants: []string{"tenant17"}}}},
		{"tenant,class", apic.Range{Desc: true, Narrow: apic.Narrow{Tenants: []string{"tenant17"}, Classes: []apic.Class{"fvBD"}}}},
		{"node", apic.Range{Desc: true, Narrow: apic.Narrow{Nodes: []string{"122"}}}},
		{"below", apic.Range{Desc: true, Narrow: apic.Narrow{Below: []apic.DN{"uni/tn-tenant17"}}}},
		{"nothing", apic.Range{Desc: true, Narrow: apic.Narrow{Tenants: []string{"tenant17"}, Classes: []apic.Class{"l1PhysIf"}}}},
	} {
		b.Run(q.name, func(b *testing.B) {
			q.r.After, q.r.Limit = max(q.r.After, bounds.Floor), 100
			n, since := 0, cpuTime()
			for b.Loop() {
				for _, err := range l.Read(b.Context(), q.r) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			reportCPU(b, since, n)
			b.ReportMetric(float64(n)/float64(b.N), "events")
		})
	}
}

// BenchmarkRead reads the log from its beginning, 100,000 events a turn.
func BenchmarkRead(b *testing.B) {
	l := filled(b)
	n, since := 0, cpuTime()
	for b.Loop() {
		for _, err := range l.Read(b.Context(), apic.Range{After: l.Bounds().Floor, Limit: 100_000}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	reportCPU(b, since, n)
}

// BenchmarkCount counts the events of a class over half of the log.
func BenchmarkCount(b *testing.B) {
	l := filled(b)
	bounds := l.Bounds()
	for b.Loop() {
		if _, err := l.Count(b.Context(), "fvBD", bounds.Origin+(bounds.Newest-bounds.Origin)/2, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIDAt finds a time.
func BenchmarkIDAt(b *testing.B) {
	l := filled(b)
	at := time.Date(2026, 11, 24, 3, 42, 20, 0, time.UTC)
	for b.Loop() {
		if _, err := l.IDAt(b.Context(), at); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad reads every object, as the hub does at its start.
func BenchmarkLoad(b *testing.B) {
	l := filled(b)
	n, since := 0, cpuTime()
	for b.Loop() {
		saved, err := l.Load(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range saved.Objects {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	reportCPU(b, since, n)
}
