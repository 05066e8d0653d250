// Package drivers holds the two pure-Go SQLite drivers side by side on the
// schema of the event log. It is a module of its own, so that the one that was
// not taken is no dependency of acitap:
//
//	cd eventlog/drivers && go test -bench . -count 5
package drivers

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	_ "modernc.org/sqlite"

	"github.com/acitap/acitap/eventlog"
)

const (
	batch   = 1000 // events in a transaction
	rows    = 32   // events in a statement
	objects = 1000
	columns = 13
	pragmas = "PRAGMA journal_mode = wal; PRAGMA synchronous = normal; PRAGMA wal_autocheckpoint = 8192;"
)

var (
	insertEntries = "INSERT INTO entries VALUES " + strings.TrimSuffix(strings.Repeat("(?"+strings.Repeat(",?", columns-1)+"),", rows), ",")
	insertHead    = "INSERT OR REPLACE INTO heads VALUES (?,?,?,?)"
	selectEntries = "SELECT id, time, status, origin, class, object, shape, whole, json FROM entries WHERE id > ? ORDER BY id LIMIT 512"
	whole         = `["","yes","unspecified","0","regular","10.0.17.3",` + strings.Repeat(`"yes","","unspecified",`, 8) + `"uni/tn-tenant17/BD-bd40"]`
	event         = `{"id":1763956931004711,"time":"2026-11-24T03:42:11.123456Z","fabric":"default","class":"fvBD","dn":"uni/tn-tenant17/BD-bd40","path":{"tenant":"tenant17","bd":"bd40"},"status":"modified","origin":"live","attributes":{"childAction":"","descr":"731","dn":"uni/tn-tenant17/BD-bd40","modTs":"2026-11-24T03:42:11.101+00:00","rn":"","status":"modified"},"changes":{"descr":{"old":"17","new":"731"}}}`
)

// A driver writes and reads the log's file.
type driver interface {
	exec(b *testing.B, sql string)
	// insert writes events from an id on, and the heads of some objects.
	insert(b *testing.B, first int64)
	// page reads the events behind an id and returns the last id and how many.
	page(b *testing.B, after int64) (last int64, n int)
	close(b *testing.B)
}

func row(id int64) [columns]any {
	return [columns]any{id, int64(1763956931004711) + id, int64(3), int64(4), int64(5), id % objects, max(id-1, 0), max(id-objects, 0), id, nil, int64(1), whole, event}
}

func drivers(b *testing.B, f func(b *testing.B, d driver)) {
	for _, kind := range []struct {
		name string
		open func(b *testing.B, path string) driver
	}{{"ncruces", openNcruces}, {"modernc", openModernc}} {
		b.Run(kind.name, func(b *testing.B) {
			dir := b.TempDir()
			l, err := eventlog.Open(b.Context(), eventlog.Options{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			d := kind.open(b, filepath.Join(dir, "eventlog.db"))
			defer d.close(b)
			d.exec(b, pragmas)
			f(b, d)
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	drivers(b, func(b *testing.B, d driver) {
		id, since := int64(1), cpuTime(b)
		for b.Loop() {
			d.exec(b, "BEGIN IMMEDIATE")
			d.insert(b, id)
			d.exec(b, "COMMIT")
			id += batch / rows * rows
		}
		report(b, since, int(id-1))
	})
}

func BenchmarkRead(b *testing.B) {
	drivers(b, func(b *testing.B, d driver) {
		id := int64(1)
		for range 50 {
			d.exec(b, "BEGIN IMMEDIATE")
			d.insert(b, id)
			d.exec(b, "COMMIT")
			id += batch / rows * rows
		}
		n, since := 0, cpuTime(b)
		for b.Loop() {
			for at := int64(0); ; {
				last, rows := d.page(b, at)
				if rows == 0 {
					break
				}
				at, n = last, n+rows
			}
		}
		report(b, since, n)
	})
}

func report(b *testing.B, since time.Duration, n int) {
	b.ReportMetric(float64((cpuTime(b)-since).Nanoseconds())/float64(n), "cpu-ns/event")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}

func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// ncruces/go-sqlite3 has an API of its own beside database/sql's, which the
// log uses.
type ncruces struct {
	c                    *sqlite3.Conn
	entries, head, query *sqlite3.Stmt
}

func openNcruces(b *testing.B, path string) driver {
	c, err := sqlite3.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	d := &ncruces{c: c}
	for _, s := range []struct {
		stmt **sqlite3.Stmt
		sql  string
	}{{&d.entries, insertEntries}, {&d.head, insertHead}, {&d.query, selectEntries}} {
		if *s.stmt, _, err = c.Prepare(s.sql); err != nil {
			b.Fatal(err)
		}
	}
	return d
}

func (d *ncruces) exec(b *testing.B, sql string) {
	if err := d.c.Exec(sql); err != nil {
		b.Fatal(err)
	}
}

func bind(b *testing.B, s *sqlite3.Stmt, at int, args ...any) {
	for i, a := range args {
		var err error
		switch a := a.(type) {
		case int64:
			err = s.BindInt64(at+i+1, a)
		case string:
			err = s.BindText(at+i+1, a)
		default:
			err = s.BindNull(at + i + 1)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func (d *ncruces) insert(b *testing.B, first int64) {
	for range batch / rows {
		for i := range rows {
			r := row(first)
			bind(b, d.entries, i*columns, r[:]...)
			first++
		}
		if err := d.entries.Exec(); err != nil {
			b.Fatal(err)
		}
	}
	for i := range int64(batch) {
		bind(b, d.head, 0, i, first, int64(1), first)
		if err := d.head.Exec(); err != nil {
			b.Fatal(err)
		}
	}
}

func (d *ncruces) page(b *testing.B, after int64) (last int64, n int) {
	bind(b, d.query, 0, after)
	for d.query.Step() {
		last = d.query.ColumnInt64(0)
		for i := 1; i < 7; i++ {
			d.query.ColumnInt64(i)
		}
		if len(d.query.ColumnText(7)) == 0 || len(d.query.ColumnText(8)) == 0 {
			b.Fatal("empty")
		}
		n++
	}
	if err := d.query.Reset(); err != nil {
		b.Fatal(err)
	}
	return last, n
}

func (d *ncruces) close(b *testing.B) {
	for _, s := range []*sqlite3.Stmt{d.entries, d.head, d.query} {
		s.Close()
	}
	if err := d.c.Close(); err != nil {
		b.Error(err)
	}
}

// modernc.org/sqlite is used through database/sql, which is its API.
type modernc struct {
	db                   *sql.DB
	c                    *sql.Conn
	entries, head, query *sql.Stmt
}

func openModernc(b *testing.B, path string) driver {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	d := &modernc{db: db}
	if d.c, err = db.Conn(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, s := range []struct {
		stmt **sql.Stmt
		sql  string
	}{{&d.entries, insertEntries}, {&d.head, insertHead}, {&d.query, selectEntries}} {
		if *s.stmt, err = d.c.PrepareContext(b.Context(), s.sql); err != nil {
			b.Fatal(err)
		}
	}
	return d
}

func (d *modernc) exec(b *testing.B, sql string) {
	if _, err := d.c.ExecContext(b.Context(), sql); err != nil {
		b.Fatal(err)
	}
}

func (d *modernc) insert(b *testing.B, first int64) {
	args := make([]any, 0, rows*columns)
	for range batch / rows {
		args = args[:0]
		for range rows {
			r := row(first)
			args = append(args, r[:]...)
			first++
		}
		if _, err := d.entries.ExecContext(b.Context(), args...); err != nil {
			b.Fatal(err)
		}
	}
	for i := range int64(batch) {
		if _, err := d.head.ExecContext(b.Context(), i, first, int64(1), first); err != nil {
			b.Fatal(err)
		}
	}
}

func (d *modernc) page(b *testing.B, after int64) (last int64, n int) {
	list, err := d.query.QueryContext(b.Context(), after)
	if err != nil {
		b.Fatal(err)
	}
	defer list.Close()
	var numbers [6]int64
	var whole, json sql.RawBytes
	for list.Next() {
		if err := list.Scan(&last, &numbers[0], &numbers[1], &numbers[2], &numbers[3], &numbers[4], &numbers[5], &whole, &json); err != nil {
			b.Fatal(err)
		}
		if len(whole) == 0 || len(json) == 0 {
			b.Fatal("empty")
		}
		n++
	}
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
	return last, n
}

func (d *modernc) close(b *testing.B) {
	for _, c := range []interface{ Close() error }{d.entries, d.head, d.query, d.c, d.db} {
		if err := c.Close(); err != nil {
			b.Error(fmt.Errorf("%T: %w", c, err))
		}
	}
}
