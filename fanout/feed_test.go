package fanout

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/acitap/acitap/apic"
)

func TestFrame(t *testing.T) {
	for _, n := range []int{1, 9, 15, 16, 17, 255, 256, 4095, 4096, 70_000, 1 << 20} {
		f := newFrame(append(startFrame(n/2), strings.Repeat("x", n)...))
		if got := len(f.bytes(false)); got != n || string(f.payload()) != strings.Repeat("x", n) {
			t.Errorf("got a payload of %d, want %d", got, n)
		}
		if got := string(f.bytes(true)); !strings.HasPrefix(got, fmt.Sprintf("%x\r\n", n)) {
			t.Errorf("got a chunk %.12q of %d bytes", got, n)
		}
		got, err := io.ReadAll(httputil.NewChunkedReader(io.MultiReader(bytes.NewReader(f.bytes(true)), strings.NewReader(lastChunk))))
		if err != nil || len(got) != n {
			t.Errorf("a chunk of %d is read as %d (%v)", n, len(got), err)
		}
	}
	// An empty chunk would end the stream.
	for _, f := range []frame{{}, newFrame(startFrame(0))} {
		if got := f.bytes(true); len(got) != 0 {
			t.Errorf("got %q for nothing", got)
		}
	}
}

// A plain timeline in which every entry up to newest is in memory.
type plain struct{ newest apic.ID }

func (p *plain) Recent(after apic.ID, _ *apic.Narrow, limit int) (list []*apic.Entry, at apic.ID, ok bool) {
	for id := after + 1; id <= p.newest; id++ {
		list = append(list, &apic.Entry{ID: id, Event: &apic.Event{Class: apic.Class([]string{"even", "odd"}[id%2])}, JSON: fmt.Appendf(nil, "{%d}", id)})
		if len(list) == limit {
			return list, id, true
		}
	}
	return list, p.newest, after <= p.newest
}

func (p *plain) After(context.Context, apic.ID, *apic.Narrow, int) ([]*apic.Entry, apic.ID, error) {
	panic("nobody is to read the log")
}

func (p *plain) Grown(apic.ID) <-chan struct{} { return nil }

// From every place, pieces lead on over each entry once, whoever else has been
// where, whether runs are kept or not.
func TestPieces(t *testing.T) {
	for _, readers := range []int64{1, 2, 0} { // 0: now one, now two

		line := &plain{newest: 40}
		f := &feed{key: feedKey{form: Lines}, line: line}
		f.readers.Store(readers)
		place := apic.ID(3)
		for step := range 600 {
			if readers == 0 {
				f.readers.Store(int64(1 + step/5%2))
			}
			if step%7 == 0 {
				line.newest += apic.ID(step % 5 * 30)
			}
			from := place
			p, ok := f.recent(from)
			if !ok {
				t.Fatalf("memory does not reach %d", from)
			}
			var want strings.Builder
			for id := from + 1; id <= p.to; id++ {
				fmt.Fprintf(&want, "{%d}\n", id)
			}
			got, n := frame{}, 0
			if p.run != nil {
				got, n = p.run.behind(from)
			}
			if string(got.payload()) != want.String() || n != int(p.to-from) {
				t.Fatalf("behind %d, up to %d: got %q (%d), want %q", from, p.to, got.payload(), n, want.String())
			}
			// The next is where this one is, or far behind, or at the end, or in
			// the middle of a run.
			switch place = p.to; step % 4 {
			case 1:
				place = max(1, line.newest-apic.ID(step%300))
			case 2:
				place = line.newest
			case 3:
				place = max(1, p.to-apic.ID(step%17))
			}
		}
		if kept := len(f.runs) > 0; readers > 0 && kept != (readers > 1) || len(f.runs) > window {
			t.Errorf("of %d readers %d runs are kept", readers, len(f.runs))
		}
		f.trim(f.made.Add(windowTime + 1))
		if len(f.runs) > 0 {
			t.Error("runs are kept though nobody comes for them")
		}
	}
}
