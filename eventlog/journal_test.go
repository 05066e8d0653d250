package eventlog

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/eventlog/journaltest"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	goleak.VerifyTestMain(m)
}

func TestMemory(t *testing.T) {
	journaltest.Run(t, journaltest.Subject{
		Open:   func(*testing.T) apic.Journal { return Memory(Options{}) },
		Forget: func(_ *testing.T, j apic.Journal, upTo apic.ID) { j.(*MemoryLog).Forget(upTo) },
	})
}

func TestLog(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, journaltest.Subject{
		Open: func(t *testing.T) apic.Journal { return open(t, Options{Dir: t.TempDir()}) },
		Reopen: func(t *testing.T, j apic.Journal) apic.Journal {
			l := j.(*Log)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, Options{Dir: l.dir})
		},
		Forget: func(t *testing.T, j apic.Journal, upTo apic.ID) {
			if err := j.(*Log).step(t.Context(), upTo); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// open opens a log that is closed with the test.
func open(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
