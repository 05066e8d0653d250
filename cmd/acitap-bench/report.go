package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A report is one run: what was measured, and on what.
type report struct {
	Time     time.Time `json:"time"`
	Seconds  float64   `json:"seconds"`
	CPU      string    `json:"cpu"`
	Cores    int       `json:"cores"`
	System   string    `json:"system"`
	Go       string    `json:"go"`
	Revision string    `json:"revision,omitempty"`
	Load     string    `json:"loadAverage"` // at the start
	LoadEnd  string    `json:"loadAverageAtEnd"`

	// Milliseconds of CPU that a fixed piece of work took, at the start and at the
	// end: how much a second of this machine was worth while others used it too.
	Yardstick    float64 `json:"yardstickMillis"`
	YardstickEnd float64 `json:"yardstickMillisAtEnd"`

	Rows []row `json:"rows"`
}

func newReport(ctx context.Context) *report {
	r := &report{Time: time.Now().UTC().Truncate(time.Second), Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	r.CPU, r.Load = machine()
	r.Yardstick = yardstick()
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--exclude=*").Output(); err == nil {
		r.Revision = string(bytes.TrimSpace(out))
	}
	return r
}

// end says when it was over.
func (r *report) end() {
	r.Seconds = time.Since(r.Time).Seconds()
	_, r.LoadEnd = machine()
	r.YardstickEnd = yardstick()
}

func yardstick() float64 {
	before, err := usageOf(os.Getpid())
	if err != nil || !before.Known {
		return 0
	}
	block := make([]byte, 1<<20)
	for i := range 32 {
		block[0] = byte(i)
		sum := sha256.Sum256(block)
		copy(block[1:], sum[:])
	}
	after, err := usageOf(os.Getpid())
	if err != nil {
		return 0
	}
	return float64((after.CPU - before.CPU).Microseconds()) / 1000
}

// text is the report as it stands in docs/performance.md.
func (r *report) text() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s, %d cores, %s, %s, %s; load average %s at the start and %s at the end", r.CPU, r.Cores, r.System, r.Go, r.Time.Format("2006-01-02 15:04 MST"), r.Load, r.LoadEnd)
	if r.Revision != "" {
		fmt.Fprintf(&out, "; revision %s", r.Revision)
	}
	if r.Yardstick > 0 {
		fmt.Fprintf(&out, "; the yardstick (SHA-256 of 32 MB) took %.0f ms of CPU at the start and %.0f at the end", r.Yardstick, r.YardstickEnd)
	}
	fmt.Fprintf(&out, "; %.0f s in all.\n\n", r.Seconds)
	columns(&out, r.beside(), 5)
	out.WriteString("\nEverything that was measured; CPU time and memory are those of the server alone.\n\n")
	columns(&out, r.all(), 2)
	var notes []string
	for _, one := range r.Rows {
		for _, n := range one.Notes {
			line := fmt.Sprintf("- %s, %s: %s.\n", one.Scenario, one.Server, n)
			if !slices.Contains(notes, line) {
				notes = append(notes, line)
			}
		}
	}
	if len(notes) > 0 {
		out.WriteString("\n")
	}
	for _, n := range notes {
		out.WriteString(n)
	}
	return out.String()
}

// beside puts acitap's figures beside the targets and the others.
func (r *report) beside() [][]string {
	cells := [][]string{{"what", "measured", "to reach", "reached", "for comparison"}}
	for _, one := range r.Rows {
		if one.Server != "acitap" {
			continue
		}
		reached := "no"
		switch {
		case one.Met == nil:
			reached = ""
		case *one.Met:
			reached = "yes"
		}
		var others []string
		for _, o := range r.Rows {
			if o.Server != "acitap" && o.Scenario == one.Scenario {
				others = append(others, o.Server+": "+o.Measured)
			}
		}
		if one.Others != "" {
			others = append(others, "given: "+one.Others)
		}
		cells = append(cells, []string{one.Scenario, one.Measured, one.Target, reached, strings.Join(others, "; ")})
	}
	return cells
}

func (r *report) all() [][]string {
	cells := [][]string{{"scenario", "server", "clients", "events/s", "deliveries/s", "CPU µs/event", "CPU µs/delivery", "allocations/event", "p50 ms", "p99 ms", "max ms", "RSS MB", "peak MB", "KB/client", "lost", "repeated", "disordered"}}
	for _, one := range r.Rows {
		if one.Given {
			continue
		}
		cells = append(cells, []string{
			one.Scenario, one.Server, thousands(one.Clients), count(one.EventsPerS), count(one.DeliveriesPerS), short(one.CPUPerEvent), short(one.CPUPerDelivery), short(one.AllocsPerEvent),
			short(one.P50), short(one.P99), short(one.Max), short(one.RSS), short(one.Peak), short(one.KBPerClient), thousands(int(one.Lost)), thousands(int(one.Repeated)), thousands(int(one.Disordered)),
		})
	}
	return cells
}

// columns writes a table in Markdown that can be read as it is: the first
// columns to the left, the others to the right.
func columns(out *strings.Builder, cells [][]string, left int) {
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for n, line := range cells {
		for i, c := range line {
			pad := strings.Repeat(" ", widths[i]-len([]rune(c)))
			if i < left {
				c += pad
			} else {
				c = pad + c
			}
			out.WriteString("| " + c + " ")
		}
		out.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, w := range widths {
			if i < left {
				out.WriteString("|" + strings.Repeat("-", w+2))
			} else {
				out.WriteString("|" + strings.Repeat("-", w+1) + ":")
			}
		}
		out.WriteString("|\n")
	}
}

// The marks in docs/performance.md that the report stands between.
const (
	beginMark = "<!-- bench -->"
	endMark   = "<!-- /bench -->"
)

// between replaces what stands between the marks of a file.
func between(name, text string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(b), beginMark)
	_, tail, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the table: put %s and %s into it", name, beginMark, endMark)
	}
	return os.WriteFile(name, []byte(head+beginMark+"\n"+text+endMark+tail), 0o644)
}

// thousands writes a number as 100,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
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
