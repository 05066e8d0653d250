package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
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
	rounds: 1, burst: 2000, fanout: 20, fanned: 200, idle: []int{20}, taken: 300,
	selective: []int{1, 10}, unwanted: 200, objects: []int{1500}, single: 50, batched: 2000, seconds: 0.2,
}

// TestScenarios runs every scenario in small: nothing may be lost, repeated or
// come in disorder, and nothing may stay empty that a reader of the table looks
// for. How fast it was is not looked at, since a test shares its machine. Most
// of it is waiting, so they run at once.
func TestScenarios(t *testing.T) {
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
	if r.Measured == "" || r.Server == "acitap" && (r.Target == "" || r.Met == nil) {
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
