package main

import (
	"context"
	"fmt"
	"os"
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
// come in disorder, and no column may stay empty. How fast it was is not looked
// at, since a test shares its machine.
func TestScenarios(t *testing.T) {
	b := &bench{program: program, size: tiny, log: t.Logf}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			rows, err := s.run(b, t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				t.Error("no row")
			}
			for _, r := range rows {
				if r.verdict != (verdict{}) {
					t.Errorf("%s: %+v", r.Scenario, r.verdict)
				}
				if r.Measured == "" || r.Target == "" || r.Met == nil {
					t.Errorf("%s: nothing beside a target: %+v", r.Scenario, r)
				}
			}
		})
	}
}
