// Acitap-bench puts load on acitap and says what it takes: it starts the
// simulated fabric in its own process and the real acitap serve as a process of
// its own, reads its streams, queues and webhooks with many clients on loopback,
// and reports CPU time and memory of the service alone.
//
//	acitap-bench                 the standard table, some minutes
//	acitap-bench ingest fan-out  only these scenarios
//	acitap-bench -json           for machines
//	acitap-bench -write docs/performance.md
//
// It is a tool for developers and no part of a release. What each figure means
// stands in docs/performance.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "acitap-bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("acitap-bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	var (
		program = set.String("acitap", "", "the `program` under test; built from the tree when not given")
		asJSON  = set.Bool("json", false, "print the rows as JSON")
		write   = set.String("write", "", "put the table into this `file` too, between its marks "+beginMark+" and "+endMark)
		big     = set.Bool("big", false, "a snapshot of 1,000,000 objects too")
		grow    = set.Bool("growth", false, "in place of the table measure how costs grow, and draw it: some minutes")
		charts  = set.String("charts", "docs", "the `directory` that -growth puts growth.svg into")
		quiet   = set.Bool("quiet", false, "say nothing on the way")
		limit   = set.Duration("timeout", 15*time.Minute, "give up after this long")
		rounds  = set.Int("rounds", standard.rounds, "rounds of which the median is taken")
	)
	set.Usage = func() {
		fmt.Fprintf(stderr, "usage: acitap-bench [flags] [scenario…]\n\n")
		for _, s := range scenarios {
			fmt.Fprintf(stderr, "  %-12s %s\n", s.name, s.doc)
		}
		fmt.Fprintln(stderr)
		set.PrintDefaults()
	}
	if err := set.Parse(args); err != nil {
		return err
	}
	for _, name := range set.Args() {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name }) {
			return fmt.Errorf("there is no scenario %q; see acitap-bench -h", name)
		}
	}
	if *write != "" && set.NArg() > 0 {
		return errors.New("-write takes the whole table: name no scenario")
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	raiseFiles()
	b := &bench{program: *program, size: standard, log: func(format string, args ...any) {
		if !*quiet {
			fmt.Fprintf(stderr, format+"\n", args...)
		}
	}}
	b.size.rounds = max(*rounds, 1)
	if *big {
		b.size.objects = append(slices.Clone(b.size.objects), 1_000_000)
	}
	if b.program == "" {
		dir, err := os.MkdirTemp("", "acitap-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if b.program, err = build(ctx, dir); err != nil {
			return err
		}
	}
	r := newReport(ctx)
	if *grow {
		return b.growth(ctx, wide, *charts, r)
	}
	var err error
	if r.Rows, err = b.all(ctx, set.Args()); err != nil {
		return err
	}
	r.end()
	if *write != "" {
		if err := between(*write, r.text()); err != nil {
			return err
		}
	}
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err = io.WriteString(stdout, r.text())
	return err
}

// all runs the scenarios of these names, or every one.
func (b *bench) all(ctx context.Context, names []string) ([]row, error) {
	var rows []row
	for _, s := range scenarios {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		begun := time.Now()
		out, err := s.run(b, ctx)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", s.name, err)
		}
		b.log("%s: done in %.1f s", s.name, time.Since(begun).Seconds())
		rows = append(rows, out...)
	}
	return rows, nil
}
