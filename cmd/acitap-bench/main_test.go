package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// program is acitap, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "acitap-bench-test-")
	if err == nil {
		program, err = build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var tiny = size{
	rounds: 1, burst: 2000, fanout: 20, fanned: 200, idle: []int{20}, consumers: 5, taken: 300,
	selective: []int{1, 10}, unwanted: 200, objects: []int{1500}, single: 50, batched: 2000, seconds: 0.2,
}

// TestScenarios runs every scenario in small: nothing may be lost, repeated or
// come in disorder, and nothing may stay empty that a reader of the table looks
// for. How fast it was is not looked at, since a test shares its machine. Most
// of it is waiting, so they run at once.
func TestScenarios(t *testing.T) {
	t.Parallel()
	b := &bench{program: program, size: tiny, log: t.Logf}
	var group sync.WaitGroup
	defer group.Wait()
	for _, s := range scenarios {
		group.Go(func() {
			rows, err := s.run(b, t.Context())
			if err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
			if len(rows) == 0 {
				t.Errorf("%s: no row", s.name)
			}
			for _, r := range rows {
				checkRow(t, r)
			}
		})
	}
}

func checkRow(t *testing.T, r row) {
	if r.verdict != (verdict{}) {
		t.Errorf("%s: %+v %q", r.Scenario, r.verdict, r.Notes)
	}
	if r.Measured == "" || r.Server == "acitap" && r.Target == "" {
		t.Errorf("%s: nothing beside a target: %+v", r.Scenario, r)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if r.Given {
		return
	}
	figures := map[string]*float64{}
	if r.Server == "acitap" {
		figures["RSS"] = r.RSS
	}
	if r.Events > 0 {
		figures["events/s"], figures["CPU an event"] = r.EventsPerS, r.CPUPerEvent
	}
	if r.Deliveries > 0 {
		figures["deliveries/s"], figures["CPU a delivery"] = r.DeliveriesPerS, r.CPUPerDelivery
		if r.Clients > 0 {
			figures["p50"], figures["p99"], figures["max"] = r.P50, r.P99, r.Max
		}
	}
	if r.Events == 0 && r.Clients > 0 {
		figures["KB a client"] = r.KBPerClient
	}
	for name, f := range figures {
		if f == nil {
			t.Errorf("%s: no %s", r.Scenario, name)
		}
	}
}

// TestGrowth measures a tiny range of everything that the charts show.
func TestGrowth(t *testing.T) {
	t.Parallel()
	b := &bench{program: program, size: tiny, log: t.Logf}
	r := ranges{clients: []int{12}, deliveries: 1000, objects: []int{50}, burst: 500, logs: []int{2000}, filters: []int{2}, unwanted: 100}
	var group sync.WaitGroup
	for _, measure := range []func() ([]series, error){
		func() ([]series, error) { s, _, err := b.growClients(t.Context(), r); return s, err },
		func() ([]series, error) { return b.growObjects(t.Context(), r) },
		func() ([]series, error) { return b.growLog(t.Context(), r) },
		func() ([]series, error) { return b.growFilters(t.Context(), r) },
	} {
		group.Go(func() {
			all, err := measure()
			if err != nil {
				t.Error(err)
			}
			for _, s := range all {
				if len(s.points) != 1 || s.points[0].y <= 0 {
					t.Errorf("%+v", s)
				}
			}
		})
	}
	group.Wait()
}

// TestDrawing reads what was drawn.
func TestDrawing(t *testing.T) {
	one := series{"a line", []point{{1, 2}, {10, 3}, {20_000, 40}}}
	flat := series{"a flat line", []point{{100, 0.5}}}
	text := drawGrowth([]series{one, flat}, []series{one}, []series{flat}, []series{flat, one}, []string{"a note"}, &report{CPU: "a <machine> & more"})
	d := xml.NewDecoder(strings.NewReader(text))
	counts := make(map[string]int)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		if e, ok := token.(xml.StartElement); ok {
			counts[e.Name.Local]++
		}
	}
	// The ground; a line and a mark in the legend for each series, and a mark for
	// each point.
	if marks := counts["circle"] + counts["rect"]; counts["path"] != 6 || marks != 1+6+12 {
		t.Errorf("%v in:\n%s", counts, text)
	}
	for _, want := range []string{"a note", "a &lt;machine&gt; &amp; more", ">40<", "CPU µs a delivery"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("%s", text)
	}
}
