package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/apic"
)

// modified returns an event of a tenant, whose attributes are as long as size.
func modified(tenant, size int) apic.Entry {
	dn := fmt.Sprintf("uni/tn-t%d", tenant)
	whole := apic.AttrsMap(map[string]string{"dn": dn, "name": "t", "descr": strings.Repeat("x", size)})
	return apic.Entry{Event: &apic.Event{
		Time: apic.Now(), Fabric: "default", Class: "fvTenant", DN: apic.DN(dn), Status: apic.Modified, Origin: apic.Live,
		Attributes: apic.AttrsMap(map[string]string{"dn": dn, "status": "modified", "descr": strings.Repeat("x", size)}), Object: whole,
	}}
}

func batchOf(n, size int) *apic.Batch {
	b := &apic.Batch{}
	for i := range n {
		b.Entries = append(b.Entries, modified(i, size))
	}
	return b
}

func all(t *testing.T, l *Log) []*apic.Entry {
	t.Helper()
	var list []*apic.Entry
	for e, err := range l.Read(t.Context(), apic.Range{After: l.Bounds().Floor}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// raw opens the file of a log as sqlite3 would.
func raw(t *testing.T, dir string) *conn {
	t.Helper()
	c, err := openConn(filepath.Join(dir, fileName), sqlite3.OPEN_READWRITE, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestNewLogBeginsAtItsCreation(t *testing.T) {
	at := time.Date(2026, 11, 24, 3, 42, 11, 4711000, time.UTC)
	l := open(t, Options{Dir: filepath.Join(t.TempDir(), "not", "there yet"), Now: func() time.Time { return at }})
	list, err := l.Append(t.Context(), batchOf(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := list[0].ID, apic.FirstID(at)+1; got != want {
		t.Errorf("first id is %d, want %d", got, want)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	_, err := Open(t.Context(), Options{Dir: dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("(process %d)", os.Getpid())) {
		t.Errorf("a second log in the same directory: %v", err)
	}
	if _, err := l.Append(t.Context(), batchOf(1, 1)); err != nil {
		t.Errorf("the first does not go on: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Options{Dir: dir})
}

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"a newer version", func(t *testing.T, dir string) {
			l := open(t, Options{Dir: dir})
			if _, err := l.Append(t.Context(), batchOf(3, 10)); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			c := raw(t, dir)
			if err := c.Exec("PRAGMA user_version = 99"); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}, "newer acitap (schema 99"},
		{"a database of somebody else", func(t *testing.T, dir string) {
			c, err := openConn(filepath.Join(dir, fileName), sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE, "CREATE TABLE users (name TEXT)")
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}, "not an event log of acitap"},
		{"no database", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, fileName), []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a database"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.spoil(t, dir)
			before, err := os.ReadFile(filepath.Join(dir, fileName))
			if err != nil {
				t.Fatal(err)
			}
			l, err := Open(t.Context(), Options{Dir: dir})
			if err == nil {
				l.Close()
				t.Fatal("it is opened")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error is %q, want the directory and %q in it", err, test.want)
			}
			after, err := os.ReadFile(filepath.Join(dir, fileName))
			if err != nil || string(after) != string(before) {
				t.Errorf("the file is not what it was before (%v)", err)
			}
		})
	}
	t.Run("a file in place of the directory", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Options{Dir: path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		if _, err := Open(t.Context(), Options{}); err == nil {
			t.Error("it is opened")
		}
	})
	t.Run("a context that has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Open(ctx, Options{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestMigrationBeginsAgainAfterACrash(t *testing.T) {
	// What a first start leaves that was killed before its first transaction.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, Options{Dir: dir})
	if _, err := l.Append(t.Context(), batchOf(1, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestVanishedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), batchOf(5, 10)); err != nil {
		t.Fatal(err)
	}
	before := l.Bounds()
	if err := os.Rename(dir, dir+"-moved"); err != nil {
		t.Skipf("this system does not let go of a directory in use: %v", err)
	}
	for what, try := range map[string]func() error{
		"Append":         func() error { _, err := l.Append(t.Context(), batchOf(5, 10)); return err },
		"SavePosition":   func() error { return l.SavePosition(t.Context(), apic.Position{}) },
		"DeletePosition": func() error { return l.DeletePosition(t.Context(), apic.PositionKey{}) },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), "gone") || errors.Is(err, ErrFull) {
			t.Errorf("%s into a log that is gone: %v", what, err)
		}
	}
	// Another one in its place is not ours.
	other := open(t, Options{Dir: dir})
	if _, err := l.Append(t.Context(), batchOf(5, 10)); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("Append into a log that was replaced: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(l.Bounds(), before) {
		t.Errorf("bounds are %+v, want %+v", l.Bounds(), before)
	}
	// When it comes back, all goes on.
	if err := os.Rename(dir+"-moved", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), batchOf(5, 10)); err != nil {
		t.Errorf("Append when it is back: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(all(t, open(t, Options{Dir: dir}))); got != 10 {
		t.Errorf("reopened it holds %d entries, want 10", got)
	}
}

func TestFull(t *testing.T) {
	dir := t.TempDir()
	registry := prometheus.NewRegistry()
	l := open(t, Options{Dir: dir, Registerer: registry})
	if _, err := l.Append(t.Context(), batchOf(20, 100)); err != nil {
		t.Fatal(err)
	}
	if err := l.w.Exec("PRAGMA max_page_count = 40"); err != nil {
		t.Fatal(err)
	}
	fillUntilFull(t, l)
	if err := l.w.Exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	goesOn(t, l)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "acitap_log_failures_total" {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == "full" && m.GetCounter().GetValue() == 0 {
					t.Error("a full disk is not counted")
				}
			}
			return
		}
	}
	t.Error("there is no acitap_log_failures_total")
}

// fillUntilFull appends until there is no room and checks that nothing of what
// failed is left.
func fillUntilFull(t *testing.T, l *Log) {
	t.Helper()
	held := len(all(t, l))
	for i := 0; ; i++ {
		before := l.Bounds()
		list, err := l.Append(t.Context(), batchOf(50, 3000))
		if err == nil {
			held += len(list)
			if i > 5000 {
				t.Fatal("the disk does not fill")
			}
			continue
		}
		if !errors.Is(err, ErrFull) {
			t.Fatalf("error is %v, want ErrFull", err)
		}
		if !reflect.DeepEqual(l.Bounds(), before) {
			t.Fatalf("bounds went from %+v to %+v", before, l.Bounds())
		}
		break
	}
	if _, err := l.Append(t.Context(), batchOf(50, 3000)); !errors.Is(err, ErrFull) {
		t.Fatalf("still full, the error is %v", err)
	}
	if got := len(all(t, l)); got != held {
		t.Fatalf("it holds %d entries, want %d", got, held)
	}
}

// goesOn checks that a log that had been full works as if nothing had been.
func goesOn(t *testing.T, l *Log) {
	t.Helper()
	held := len(all(t, l))
	list, err := l.Append(t.Context(), batchOf(50, 3000))
	if err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	if err := l.SavePosition(t.Context(), apic.Position{At: list[0].ID}); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	integrity(t, l.w.conn)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, Options{Dir: l.dir})
	entries := all(t, l)
	if len(entries) != held+50 {
		t.Errorf("reopened it holds %d entries, want %d", len(entries), held+50)
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].ID <= entries[i-1].ID {
			t.Errorf("id %d follows %d", entries[i].ID, entries[i-1].ID)
		}
	}
}

func integrity(t *testing.T, c *conn) {
	t.Helper()
	err := c.each(func(s *stmt) error {
		if got := s.ColumnText(0); got != "ok" {
			t.Errorf("integrity: %s", got)
		}
		return nil
	}, "PRAGMA integrity_check")
	if err != nil {
		t.Error(err)
	}
}

func TestRetentionByAge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 3, 42, 11, 0, time.UTC)
	l := open(t, Options{Dir: t.TempDir(), Retention: time.Hour, Now: func() time.Time { return now }})
	for range 10 {
		b := batchOf(700, 10)
		for i := range b.Entries {
			b.Entries[i].Event.Time = now
		}
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Minute)
	}
	// 10 batches, of 0, 10, … 90 minutes, seen at 100: those of 0 to 30 are
	// more than an hour old.
	if err := l.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := l.Bounds()
	if got, want := b.Floor, b.Origin+4*700; got != want {
		t.Errorf("floor is %d after the first, want %d", got-b.Origin, want-b.Origin)
	}
	if got := len(all(t, l)); got != 6*700 {
		t.Errorf("%d entries are left, want %d", got, 6*700)
	}
	if err := l.retain(t.Context()); err != nil || !reflect.DeepEqual(l.Bounds(), b) {
		t.Errorf("once more, bounds are %+v (%v), want %+v", l.Bounds(), err, b)
	}
	integrity(t, l.w.conn)
}

func TestRetentionByBytes(t *testing.T) {
	t.Parallel()
	const limit = 4 << 20
	l := open(t, Options{Dir: t.TempDir(), RetentionBytes: limit})
	var biggest int64
	for range 10 {
		if _, err := l.Append(t.Context(), batchOf(500, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := l.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.w.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(l.path); err != nil {
			t.Fatal(err)
		} else {
			biggest = max(biggest, info.Size())
		}
	}
	if used := l.used.Load(); used > limit {
		t.Errorf("%d bytes are used, want at most %d", used, limit)
	}
	if biggest > limit+4<<20 { // one batch and what the objects take
		t.Errorf("the file had %d bytes, though pages are used again", biggest)
	}
	if b := l.Bounds(); b.Floor == b.Origin || b.Floor >= b.Newest {
		t.Errorf("bounds are %+v", b)
	}
	integrity(t, l.w.conn)
}

func TestRetentionForgetsWhatIsGone(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir()})
	for i := range 50 {
		created, deleted := modified(1000+i, 1), modified(1000+i, 1)
		created.Event.Status, deleted.Event.Status = apic.Created, apic.Deleted
		if _, err := l.Append(t.Context(), &apic.Batch{Entries: []apic.Entry{created, deleted, modified(1, 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.step(t.Context(), l.Bounds().Newest); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int64{"entries": 0, "objects": 1, "heads": 1, "kept": 1} {
		if got, err := l.w.number("SELECT count(*) FROM " + table); err != nil || got != want {
			t.Errorf("table %s has %d rows (%v), want %d", table, got, err, want)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	l := open(t, Options{Dir: t.TempDir(), Retention: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	old := batchOf(10, 10)
	for i := range old.Entries {
		old.Entries[i].Event.Time = time.Now().Add(-2 * time.Hour)
	}
	if _, err := l.Append(ctx, old); err != nil {
		t.Fatal(err)
	}
	// More than the write-ahead log should hold.
	for range 20 {
		if _, err := l.Append(ctx, batchOf(500, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.After(20 * time.Second)
	for {
		b := l.Bounds()
		info, err := os.Stat(l.path)
		if err != nil {
			t.Fatal(err)
		}
		if b.Floor == b.Origin+10 && l.synced.Load() > 0 && info.Size() > 10<<20 {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("after 20 s bounds are %+v, %d commits synced, %d bytes carried over", b, l.synced.Load(), info.Size())
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	wg.Wait()
}

func TestIDsJumpAfterAnEndOutOfOrder(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 24, 3, 42, 11, 0, time.UTC)
	o := Options{Dir: dir, Now: func() time.Time { return now }}
	l := open(t, o)
	first, err := l.Append(t.Context(), batchOf(3, 1))
	if err != nil {
		t.Fatal(err)
	}
	shown, last := first[2].ID, first[2].ID
	// What a crash of the machine leaves: the file, not marked as closed.
	copied := t.TempDir()
	copyLog(t, dir, copied, -1)
	for _, later := range []time.Duration{time.Minute, -time.Hour} {
		c := open(t, Options{Dir: copied, Now: func() time.Time { return now.Add(later) }})
		passed := c.Bounds().Newest
		if passed < shown+skip || later > 0 && passed < apic.FirstID(now.Add(later)) {
			t.Errorf("the newest is %d after %d was shown, want it beyond all that may have been", passed, shown)
		}
		// So it stays when acitap ends in order without another event.
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c = open(t, Options{Dir: copied, Now: func() time.Time { return now.Add(later) }}); c.Bounds().Newest != passed {
			t.Errorf("the newest is %d, want %d as before", c.Bounds().Newest, passed)
		}
		list, err := c.Append(t.Context(), batchOf(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		if list[0].ID != passed+1 {
			t.Errorf("id %d follows %d", list[0].ID, passed)
		}
		if gone, ok := errors.AsType[*apic.GoneError](c.Bounds().Check(shown + 1)); !ok || gone.Oldest != shown+1 || gone.Reason != "unknown-id" {
			t.Errorf("a place that may have been taken back: %+v", gone)
		}
		for _, place := range []apic.ID{last, shown, passed, list[0].ID} {
			if err := c.Bounds().Check(place); err != nil {
				t.Errorf("a place that stands: %v", err)
			}
		}
		shown = list[0].ID
		again := t.TempDir()
		copyLog(t, copied, again, -1)
		copied = again
	}
}

func TestClosed(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir()})
	if _, err := l.Append(t.Context(), batchOf(3, 1)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	var errs []error
	_, err := l.Append(ctx, batchOf(1, 1))
	errs = append(errs, err, l.SavePosition(ctx, apic.Position{}), l.DeletePosition(ctx, apic.PositionKey{}))
	_, err = l.Count(ctx, "fvTenant", l.Bounds().Floor, 0)
	errs = append(errs, err)
	_, err = l.Load(ctx)
	errs = append(errs, err)
	for _, err := range l.Read(ctx, apic.Range{After: l.Bounds().Floor}) {
		errs = append(errs, err)
	}
	for i, err := range errs {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d of a closed log: %v", i, err)
		}
	}
	left, err := os.ReadDir(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if f.Name() != fileName && f.Name() != lockName {
			t.Errorf("it leaves %s behind", f.Name())
		}
	}
}

func TestViews(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	created, changed, other := modified(1, 5), modified(1, 6), modified(2, 1)
	created.Event.Status = apic.Created
	created.Event.Attributes = apic.AttrsMap(map[string]string{"dn": "uni/tn-t1", "name": "t", "descr": "xxxxx", "status": "created", "rn": "", "childAction": ""})
	created.Event.Object = apic.AttrsMap(map[string]string{"dn": "uni/tn-t1", "name": "t", "descr": "xxxxx"})
	gap := apic.Entry{Gap: &apic.Gap{Time: apic.Now(), Fabric: "default", Reason: "connection"}}
	list, err := l.Append(t.Context(), &apic.Batch{
		Entries: []apic.Entry{created, changed, gap, other},
		Put:     []apic.Object{{Fabric: "default", Class: "fvBD", DN: "uni/tn-t1/BD-b", Attrs: apic.AttrsMap(map[string]string{"name": "b"})}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// As an operator sees it, beside the running process.
	c := raw(t, dir)
	var got []string
	show := func(query string) {
		t.Helper()
		got = nil
		err := c.each(func(s *stmt) error {
			var row []string
			for i := range s.ColumnCount() {
				row = append(row, s.ColumnText(i))
			}
			got = append(got, strings.Join(row, " "))
			return nil
		}, query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	show("SELECT id, fabric, class, dn, status, origin, object FROM timeline ORDER BY id")
	id := list[0].ID
	want := []string{
		fmt.Sprintf(`%d default fvTenant uni/tn-t1 created live {"descr":"xxxxx","dn":"uni/tn-t1","name":"t"}`, id),
		fmt.Sprintf(`%d default fvTenant uni/tn-t1 modified live {"descr":"xxxxxx","dn":"uni/tn-t1","name":"t"}`, id+1),
		fmt.Sprintf(`%d default (gap)    `, id+2),
		fmt.Sprintf(`%d default fvTenant uni/tn-t2 modified live {"descr":"x","dn":"uni/tn-t2","name":"t"}`, id+3),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("timeline is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	show("SELECT fabric, class, dn, attributes, last FROM current ORDER BY dn")
	want = []string{
		fmt.Sprintf(`default fvTenant uni/tn-t1 {"descr":"xxxxxx","dn":"uni/tn-t1","name":"t"} %d`, id+1),
		`default fvBD uni/tn-t1/BD-b {"name":"b"} 0`,
		fmt.Sprintf(`default fvTenant uni/tn-t2 {"descr":"x","dn":"uni/tn-t2","name":"t"} %d`, id+3),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("current is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	show("SELECT time FROM timeline ORDER BY id LIMIT 1")
	var sent struct{ Time string }
	if err := json.Unmarshal(list[0].JSON, &sent); err != nil || got[0] != sent.Time {
		t.Errorf("time is %s, want %s (%v)", got[0], sent.Time, err)
	}
	// The comments of the schema are there to be read.
	show("SELECT sql FROM sqlite_schema WHERE name = 'entries'")
	if len(got) != 1 || !strings.Contains(got[0], "-- as sent to readers") {
		t.Errorf("schema of entries is %v", got)
	}
}

// TestQueryPlans fails when a query on the way of a caller would scan a table
// or sort. Run with -v it shows the plans.
func TestQueryPlans(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir()})
	for _, q := range []struct {
		sql, want string
	}{
		{sqlForward, "SEARCH entries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{sqlBackward, "SEARCH entries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{sqlRow, "SEARCH entries USING INTEGER PRIMARY KEY (rowid=?)"},
		{sqlMark, "SEARCH marks USING PRIMARY KEY (kind=? AND key=? AND id>?)"},
		{sqlPrev[byClass], "SEARCH entries USING INTEGER PRIMARY KEY (rowid=?)"},
		{sqlPrev[byObject], "SEARCH entries USING INTEGER PRIMARY KEY (rowid=?)"},
		{sqlPrev[byTenant], "SEARCH entries USING INTEGER PRIMARY KEY (rowid=?)"},
		{sqlPrev[byNode], "SEARCH entries USING INTEGER PRIMARY KEY (rowid=?)"},
		{sqlFromID, "SEARCH entries USING INTEGER PRIMARY KEY (rowid>?)"},
		{sqlObject, "SEARCH o USING PRIMARY KEY (dn=?)"},
		{sqlBelow, "SEARCH o USING PRIMARY KEY (dn>? AND dn<?)"},
		{sqlObjectsOf[byTenant], "SEARCH o USING COVERING INDEX objects_tenant (tenant=? AND class=?)"},
		{sqlObjectsOf[byNode], "SEARCH o USING COVERING INDEX objects_node (node=? AND class=?)"},
		{sqlObjects, "SEARCH o USING PRIMARY KEY ((dn,fabric)>(?,?))"},
		{sqlHeld, "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"},
		{"SELECT word FROM words WHERE text = ?", "SEARCH words USING COVERING INDEX sqlite_autoindex_words_1 (text=?)"},
		{"SELECT max(id) FROM entries", "SEARCH entries"},
		{"DELETE FROM entries WHERE id <= ?", "SEARCH entries USING INTEGER PRIMARY KEY (rowid<?)"},
		{"DELETE FROM marks WHERE id <= ?", "SEARCH marks USING"},
	} {
		var plan []string
		err := l.w.each(func(s *stmt) error {
			plan = append(plan, s.ColumnText(3))
			return nil
		}, "EXPLAIN QUERY PLAN "+q.sql)
		if err != nil {
			t.Fatalf("%s: %v", q.sql, err)
		}
		got := strings.Join(plan, "; ")
		t.Logf("%s\n\t%s", q.sql, got)
		if !strings.HasPrefix(got, q.want) || strings.Contains(got, "SCAN") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s\nis answered by %s\nwant %s", q.sql, got, q.want)
		}
	}
}

func TestDecodeNeverPanics(t *testing.T) {
	entry, err := seal([]apic.Entry{modified(1, 20)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	text := entry[0].JSON
	for i := range text {
		if _, err := decode(1, 0, text[:i]); err == nil {
			t.Errorf("%s is decoded", text[:i])
		}
		for _, c := range []byte(`"\{}[],:x`) {
			broken := append([]byte(nil), text...)
			broken[i] = c
			decode(1, 0, broken)
			whole([]string{"a", "b"}, string(broken[i:]))
		}
	}
}

// TestPlacesDoNotFailWithTheBatch: who saved a place while a batch was written
// that did not fit is none the worse for it.
func TestPlacesDoNotFailWithTheBatch(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir()})
	key := apic.PositionKey{Class: "fvBD"}
	if err := l.SavePosition(t.Context(), apic.Position{PositionKey: key, At: 1}); err != nil {
		t.Fatal(err)
	}
	pages, err := l.w.number("PRAGMA page_count")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.w.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		t.Fatal(err)
	}
	other := &saving{position: apic.Position{PositionKey: key, At: 2}, done: make(chan error, 1)}
	l.waiting = append(l.waiting, other)
	if _, err := l.Append(t.Context(), batchOf(100, 1000)); !errors.Is(err, ErrFull) {
		t.Fatalf("error is %v, want ErrFull", err)
	}
	if err := <-other.done; err != nil {
		t.Errorf("the place: %v", err)
	}
	saved, err := l.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(saved.Positions) != 1 || saved.Positions[0].At != 2 {
		t.Errorf("positions are %+v, want one at 2", saved.Positions)
	}
}

// TestClassOfANameChanges: a name that was given to objects of two classes is
// found by both.
func TestClassOfANameChanges(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir()})
	other := modified(1, 10)
	other.Event.Class = "fvOther"
	if _, err := l.Append(t.Context(), &apic.Batch{Entries: []apic.Entry{modified(1, 10), other, modified(1, 20)}}); err != nil {
		t.Fatal(err)
	}
	for class, want := range map[apic.Class]int{"fvTenant": 2, "fvOther": 1} {
		n := 0
		for _, err := range l.Read(t.Context(), apic.Range{After: l.Bounds().Floor, Narrow: apic.Narrow{Classes: []apic.Class{class}, Tenants: []string{"t1"}}}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Errorf("of %s there are %d entries, want %d", class, n, want)
		}
	}
}
