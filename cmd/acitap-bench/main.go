// Acitap-bench puts load on acitap and says what it takes: it starts the
// simulated fabric in its own process and the real acitap serve as a process of
// its own, reads its streams, queues and webhooks with many clients on loopback,
// and reports CPU time and memory of the service alone.
//
//	acitap-bench                 the standard table, some minutes
//	acitap-bench ingest fan-out  only these scenarios
//	acitap-bench -json           for machines
//
// It is a tool for developers and no part of a release. What each figure means
// stands in docs/performance.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
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
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	raiseFiles()
	b := &bench{program: *program, size: standard, log: func(format string, args ...any) {
		if !*quiet {
			fmt.Fprintf(stderr, format+"\n", args...)
		}
	}}
	b.size.rounds = max(*rounds, 1)
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
	rows, err := b.all(ctx, set.Args())
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	_, err = io.WriteString(stdout, table(rows))
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

// thousands writes a number as 100,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// table writes rows for people, in columns.
func table(rows []row) string {
	cells := [][]string{{"scenario", "server", "clients", "events/s", "deliveries/s", "CPU µs/event", "µs/delivery", "p50 ms", "p99 ms", "max ms", "RSS MB", "kB/client", "lost", "repeated", "disordered"}}
	for _, r := range rows {
		cells = append(cells, []string{
			r.Scenario, r.Server, thousands(r.Clients), count(r.EventsPerS), count(r.DeliveriesPerS), short(r.CPUPerEvent), short(r.CPUPerDelivery),
			short(r.P50), short(r.P99), short(r.Max), short(r.RSS), short(r.KBPerClient), thousands(int(r.Lost)), thousands(int(r.Repeated)), thousands(int(r.Disordered)),
		})
	}
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var out strings.Builder
	for n, line := range cells {
		for i, c := range line {
			pad := strings.Repeat(" ", widths[i]-len([]rune(c)))
			out.WriteString("| ")
			if i < 2 {
				out.WriteString(c + pad)
			} else {
				out.WriteString(pad + c)
			}
			out.WriteString(" ")
		}
		out.WriteString("|\n")
		if n == 0 {
			for i, w := range widths {
				if i < 2 {
					out.WriteString("|" + strings.Repeat("-", w+2))
				} else {
					out.WriteString("|" + strings.Repeat("-", w+1) + ":")
				}
			}
			out.WriteString("|\n")
		}
	}
	return out.String()
}

// short writes a figure with about three digits.
func short(f *float64) string {
	switch {
	case f == nil:
		return ""
	case *f >= 99.95:
		return thousands(int(*f + 0.5))
	case *f >= 9.995:
		return fmt.Sprintf("%.1f", *f)
	}
	return fmt.Sprintf("%.2f", *f)
}

func count(f *float64) string {
	if f == nil {
		return ""
	}
	return thousands(int(*f + 0.5))
}
