//go:build mutants

package apic_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant is a deliberate defect. The tests of this package must not pass
// with it: make mutants.
type mutant struct {
	name     string
	file     string
	old, new string
}

var mutants = []mutant{
	{"what a list says is not compared", "apply.go", "\t\tsettle(m.dn, m)\n", "\t\t_ = m\n"},
	{"absences are not compared", "apply.go", "\t\tsettle(dn, found)\n", "\t\t_ = found\n"},
	{"every fiftieth frame is dropped", "apply.go", "\th.metrics.frames.Inc()\n", "\th.metrics.frames.Inc()\n\tif h.seq++; h.seq%50 == 0 {\n\t\treturn\n\t}\n"},
	{"gaps are not written", "apply.go", "\th.batch.Entries = append(h.batch.Entries, Entry{Gap:", "\t_ = append(h.batch.Entries, Entry{Gap:"},
	{"a gap begins when its end is seen", "link.go", "s.gapFrom, s.gapReason = from, reason", "s.gapFrom, s.gapReason = Now(), reason"},
	{"a pong counts as proof of every subscription", "link.go", "if c := l.counted.get(); c.After(l.framed) {", "if c := l.conn.alive.get(); c.After(l.framed) {"},
	{"frames before the answer are thrown away", "apply.go", "\t\th.strays = append(h.strays, stray{c, f})\n", ""},
	{"frames beside a list are all told again", "compare.go", "\t\t\tn = i + 1\n", "\t\t\t_ = i\n"},
	{"frames beside a list are all taken for told", "compare.go", "\t\t\tn = i + 1\n\t\t}\n\t}\n\treturn n\n", "\t\t\tn = i + 1\n\t\t}\n\t}\n\t_ = n\n\treturn len(changes)\n"},
	{"two sessions tell everything twice", "twins.go", "\t\t\t\treturn true\n", "\t\t\t\treturn false\n"},
	{"children of a deleted object stay", "apply.go", "\t\th.doom(m.dn)\n", ""},
	{"a change that says nothing new is told", "apply.go", "\t\tif e.Object == old.attrs {\n\t\t\th.metrics.duplicates.Inc()\n\t\t\treturn\n\t\t}\n", ""},
	{"subscriptions are not refreshed", "session.go", "time.Since(l.refreshed.get()) >= subscriptionLife/3", "time.Since(l.refreshed.get()) >= 100*subscriptionLife"},
	{"a silent socket is kept", "session.go", "c.ponged && idle >= silentAfter", "c.ponged && idle >= 100*silentAfter"},
	{"a deaf subscription is kept", "session.go", "\t\t\tc.h.renewLink(l, l.counted.get(), ReasonSilent)\n", ""},
	{"a lapsed subscription is kept", "session.go", "c.h.renewLink(l, l.proof(), ReasonLapsed)", "_ = l"},
	{"short pages are believed", "session.go", "\t\treturn 0, 0, short(q, c, read, total) // a short", "\t\treturn page + 1, read, nil // a short"},
	{"an empty list is believed at once", "session.go", "if len(list.objects) == 0 && held > 0", "if len(list.objects) == 0 && held < 0"},
	{"rebooted switches are not noticed", "session.go", "\t\t\tif rebooted {", "\t\t\tif false && rebooted {"},
	{"the end of the session's life is not met beforehand", "session.go", "rollOver = 0.92", "rollOver = 1.5"},
	{"a queue hands out one too far", "timeline.go", "return sort.Search(len(l.events), func(i int) bool { return l.events[i].ID > id })", "return min(len(l.events), 1+sort.Search(len(l.events), func(i int) bool { return l.events[i].ID > id }))"},
	{"a failed write of a place keeps what was taken", "queue.go", "\t\t\tq.at, q.taken, q.ahead, q.below = q.durable.At, q.durable.Taken, nil, -1\n", ""},
	{"passwords are tried again at once", "keep.go", "e.refusedCredentials() && c == nil", "false && e.refusedCredentials() && c == nil"},
	{"requests are not paced", "client.go", "requestEvery = 115 * time.Millisecond", "requestEvery = 15 * time.Millisecond"},
}

func TestMutants(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			path := filepath.Join(dir, m.file)
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.old); n == 0 {
				t.Fatalf("%s no longer holds %q: rewrite the mutant", m.file, m.old)
			}
			tmp := t.TempDir()
			changed := filepath.Join(tmp, m.file)
			if err := os.WriteFile(changed, []byte(strings.ReplaceAll(string(source), m.old, m.new)), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(tmp, "overlay.json")
			if err := os.WriteFile(file, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("go", "test", "-overlay", file, "-count=1", "-failfast", "-timeout=3m", ".").CombinedOutput()
			if err == nil {
				t.Errorf("the tests pass with this defect")
			} else if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]") {
				t.Errorf("the mutant does not compile:\n%s", out)
			}
		})
	}
}
