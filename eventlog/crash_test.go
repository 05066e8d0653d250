package eventlog

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
)

// child is what the test binary does when it is run as a process to be killed:
// it appends batches until then, and says what has been acknowledged.
func child() bool {
	dir := os.Getenv("ACITAP_TEST_CRASH_DIR")
	if dir == "" {
		return false
	}
	ctx := context.Background()
	l, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		return true
	}
	go l.Run(ctx) // it ends with the process, as everything here
	r := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	for n := 0; ; n++ {
		b := batchOf(1+r.IntN(300), r.IntN(2000))
		b.Positions = []apic.Position{{PositionKey: apic.PositionKey{Class: "fvTenant"}, At: apic.ID(n)}}
		list, err := l.Append(ctx, b)
		if err != nil {
			fmt.Println("error", err)
			return true
		}
		if err := l.SavePosition(ctx, apic.Position{PositionKey: apic.PositionKey{Class: "fvBD"}, At: apic.ID(n)}); err != nil {
			fmt.Println("error", err)
			return true
		}
		fmt.Println("kept", n, int64(list[0].ID), int64(list[len(list)-1].ID))
	}
}

// TestKilled kills a process with SIGKILL in the middle of bursts, again and
// again: nothing that was acknowledged is lost, no batch is there in part, and
// no id is used twice.
func TestKilled(t *testing.T) {
	t.Parallel()
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	given := make(map[apic.ID]bool)
	for round := range rounds {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "ACITAP_TEST_CRASH_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		type kept struct{ n, first, last int64 }
		var acknowledged []kept
		read := func() bool {
			line, err := lines.ReadString('\n')
			if err != nil {
				return false
			}
			var k kept
			if _, err := fmt.Sscanf(line, "kept %d %d %d", &k.n, &k.first, &k.last); err != nil {
				t.Fatalf("the child says %q", line)
			}
			acknowledged = append(acknowledged, k)
			return true
		}
		read() // it has begun
		timer := time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, func() { cmd.Process.Kill() })
		for read() {
		}
		timer.Stop()
		io.Copy(io.Discard, lines)
		cmd.Wait()
		if len(acknowledged) == 0 {
			t.Fatalf("round %d: the child has done nothing", round)
		}

		l := open(t, Options{Dir: dir})
		held := make(map[apic.ID]bool)
		for _, e := range all(t, l) {
			held[e.ID] = true
		}
		for _, k := range acknowledged {
			for id := apic.ID(k.first); id <= apic.ID(k.last); id++ {
				if !held[id] {
					t.Fatalf("round %d: entry %d was acknowledged and is not there", round, id)
				}
				if given[id] {
					t.Fatalf("round %d: id %d was given twice", round, id)
				}
				given[id] = true
			}
		}
		last := acknowledged[len(acknowledged)-1]
		saved, err := l.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range saved.Positions {
			if int64(p.At) < last.n || int64(p.At) > last.n+1 {
				t.Errorf("round %d: position of %s is %d, want %d", round, p.Class, p.At, last.n)
			}
		}
		if len(saved.Positions) != 2 {
			t.Errorf("round %d: %d positions, want 2", round, len(saved.Positions))
		}
		foldMatches(t, l)
		integrity(t, l.w.conn)
		for id := range held { // also what was kept and not acknowledged any more
			given[id] = true
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// foldMatches checks that the objects are the fold of the entries, of a log
// that holds all it was ever given.
func foldMatches(t *testing.T, l *Log) {
	t.Helper()
	want := make(map[apic.DN]apic.Object)
	for _, e := range all(t, l) {
		want[e.Event.DN] = apic.Object{Fabric: e.Event.Fabric, Class: e.Event.Class, DN: e.Event.DN, Attrs: e.Event.Object, Last: e.ID}
	}
	saved, err := l.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for o, err := range saved.Objects {
		if err != nil {
			t.Fatal(err)
		}
		if n++; o != want[o.DN] {
			t.Errorf("object %s is %+v, the fold says %+v", o.DN, o, want[o.DN])
		}
	}
	if n != len(want) {
		t.Errorf("there are %d objects, the fold has %d", n, len(want))
	}
}

// copyLog copies a log that is open, as the disk would hold it after a crash
// that left so many bytes of the write-ahead log; -1 for all.
func copyLog(t *testing.T, from, to string, wal int) {
	t.Helper()
	for _, name := range []string{fileName, fileName + "-wal"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "-wal") && wal >= 0 {
			b = b[:wal]
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTornWrites cuts the write-ahead log at any byte: what is left is always
// a beginning of the batches, each whole, and the log goes on from there. All
// bytes of the last batch are tried with ACITAP_TEST_EVERY_BYTE=1, which takes
// minutes; else its frames' ends, their headers and a random sample.
func TestTornWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	var ends []apic.ID
	var sizes []int64
	for i := range 6 {
		list, err := l.Append(t.Context(), batchOf(1+5*i, 400))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, list[len(list)-1].ID)
		info, err := os.Stat(l.path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	const frame = 24 + pageSize
	from, to := sizes[len(sizes)-2], sizes[len(sizes)-1]
	if (to-32)%frame != 0 || to == from {
		t.Fatalf("the write-ahead log has %d bytes, which are no frames", to)
	}
	cuts := make(map[int64]bool)
	switch {
	case os.Getenv("ACITAP_TEST_EVERY_BYTE") != "":
		for n := from; n <= to; n++ {
			cuts[n] = true
		}
	default:
		for n := from; n <= to; n += frame {
			for d := int64(-1); d <= 1; d++ {
				cuts[min(n+d, to)] = true
			}
		}
		for d := int64(3); d < 24; d += 4 { // the header of the frame that commits
			cuts[to-frame+d] = true
		}
		for range 8 {
			cuts[from+rand.Int64N(to-from)] = true
			cuts[rand.Int64N(to)] = true
		}
	}
	for _, n := range []int64{0, 31, 32} {
		cuts[n] = true
	}
	for n := range cuts {
		torn := filepath.Join(t.TempDir(), "torn")
		if err := os.Mkdir(torn, 0o700); err != nil {
			t.Fatal(err)
		}
		copyLog(t, dir, torn, int(n))
		c, err := Open(t.Context(), Options{Dir: torn})
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		whole := 0
		for whole < len(sizes) && sizes[whole] <= n {
			whole++
		}
		held := all(t, c)
		switch {
		case n < sizes[0]: // the schema itself may be gone: then it is a new log
			if len(held) > 0 {
				t.Errorf("cut at %d there are entries, want none", n)
			}
		case len(held) == 0 || held[len(held)-1].ID != ends[whole-1]:
			t.Errorf("cut at %d %d entries are held, want them up to %d, the end of batch %d", n, len(held), ends[whole-1], whole)
		}
		if b := c.Bounds(); n >= sizes[0] && b.Newest < ends[len(ends)-1] {
			t.Errorf("cut at %d the newest is %d, and %d had been shown", n, b.Newest, ends[len(ends)-1])
		}
		if len(held) > 0 && int(held[len(held)-1].ID-held[0].ID)+1 != len(held) {
			t.Errorf("cut at %d there are %d entries from %d to %d", n, len(held), held[0].ID, held[len(held)-1].ID)
		}
		foldMatches(t, c)
		list, err := c.Append(t.Context(), batchOf(1, 1))
		if err != nil {
			t.Errorf("cut at %d, Append: %v", n, err)
		} else if list[0].ID <= ends[len(ends)-1] {
			t.Errorf("cut at %d, id %d is given again", n, list[0].ID)
		}
		if err := c.Close(); err != nil {
			t.Errorf("cut at %d, Close: %v", n, err)
		}
		os.RemoveAll(torn)
	}
}
