package eventlog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"github.com/ncruces/go-sqlite3"
)

// ErrFull is the error of whatever could not be written because the disk, or
// what the system allows acitap of it, is full. Nothing of it has happened,
// and it can be tried again.
var ErrFull = errors.New("the disk of the event log is full: new events wait until there is room")

// explain makes a full disk an [ErrFull]. SQLite does not always know more of
// it than that something could not be written: then the directory is asked.
func explain(err error, dir string) error {
	if err == nil || errors.Is(err, ErrFull) {
		return err
	}
	if errors.Is(err, sqlite3.FULL) || noRoom(err) ||
		(errors.Is(err, sqlite3.IOERR) || errors.Is(err, sqlite3.CANTOPEN)) && noRoom(probe(dir)) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// probe tries to write what a small batch takes.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, "probe")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 16*pageSize))
	return errors.Join(err, f.Close())
}

// A conn is one connection with its prepared statements, used by one
// goroutine at a time.
type conn struct {
	*sqlite3.Conn
	statements map[string]*sqlite3.Stmt
}

func openConn(path string, flags sqlite3.OpenFlag, pragmas string) (*conn, error) {
	c, err := sqlite3.OpenFlags(path, flags)
	if err != nil {
		return nil, err
	}
	if err := c.Exec("PRAGMA busy_timeout = 10000; PRAGMA temp_store = memory; " + pragmas); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &conn{c, make(map[string]*sqlite3.Stmt)}, nil
}

// Close closes the statements and the connection.
func (c *conn) Close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.Conn.Close())...)
}

// prepare returns the statement of a query, made once.
func (c *conn) prepare(query string) (*sqlite3.Stmt, error) {
	if s, ok := c.statements[query]; ok {
		return s, nil
	}
	s, _, err := c.PrepareFlags(query, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	c.statements[query] = s
	return s, nil
}

// query returns the statement of a query with its arguments bound: int64,
// string, []byte (as text) or nil. Its caller steps and resets it.
func (c *conn) query(query string, args ...any) (*sqlite3.Stmt, error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	b := binder{stmt: s}
	for _, a := range args {
		switch a := a.(type) {
		case int64:
			b.int(a)
		case string:
			b.text(a)
		case []byte:
			b.raw(a)
		case nil:
			b.null()
		default:
			return nil, fmt.Errorf("argument of type %T", a)
		}
	}
	return s, b.err
}

// run executes a query that answers nothing.
func (c *conn) run(query string, args ...any) error {
	s, err := c.query(query, args...)
	if err != nil {
		return err
	}
	return s.Exec()
}

// row calls f with the first row of a query and reports whether there is one.
func (c *conn) row(f func(*sqlite3.Stmt), query string, args ...any) (bool, error) {
	s, err := c.query(query, args...)
	if err != nil {
		return false, err
	}
	found := s.Step()
	if found {
		f(s)
	}
	return found, errors.Join(s.Err(), s.Reset())
}

// each calls f with every row of a query.
func (c *conn) each(f func(*sqlite3.Stmt) error, query string, args ...any) error {
	s, err := c.query(query, args...)
	if err != nil {
		return err
	}
	for s.Step() {
		if err := f(s); err != nil {
			return errors.Join(err, s.Reset())
		}
	}
	return errors.Join(s.Err(), s.Reset())
}

// number returns the first column of the first row, 0 when there is none.
func (c *conn) number(query string, args ...any) (int64, error) {
	var n int64
	_, err := c.row(func(s *sqlite3.Stmt) { n = s.ColumnInt64(0) }, query, args...)
	return n, err
}

// manyRows is how many rows one statement of a [many] takes. What a statement
// costs beside its rows is spread over them.
const manyRows = 32

// A many is a statement that takes rows, many at a time.
type many struct {
	one, all *sqlite3.Stmt
}

// many prepares a query that ends in VALUES, for rows of some columns.
func (c *conn) many(query string, columns int) (m many, err error) {
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	if m.one, err = c.prepare(query + row); err != nil {
		return m, err
	}
	m.all, err = c.prepare(query + row + strings.Repeat(","+row, manyRows-1))
	return m, err
}

// each writes n rows, each as f binds it.
func (m *many) each(n int, f func(b *binder, i int) error) error {
	for i := 0; i < n; {
		b, rows := binder{stmt: m.one}, 1
		if n-i >= manyRows {
			b.stmt, rows = m.all, manyRows
		}
		for range rows {
			if err := f(&b, i); err != nil {
				return err
			}
			i++
		}
		if b.err != nil {
			return b.err
		}
		if err := b.stmt.Exec(); err != nil {
			return err
		}
	}
	return nil
}

// rollback ends a transaction that SQLite has not ended itself.
func (c *conn) rollback() {
	if !c.GetAutocommit() {
		c.Exec("ROLLBACK") // what led here is the error that counts
	}
}

// A binder binds arguments from left to right and keeps the first error.
type binder struct {
	stmt *sqlite3.Stmt
	n    int
	err  error
}

func (b *binder) int(v int64) {
	b.n++
	if err := b.stmt.BindInt64(b.n, v); err != nil && b.err == nil {
		b.err = err
	}
}

// ref binds a number that is NULL when it is 0.
func (b *binder) ref(v int64) {
	if v == 0 {
		b.null()
		return
	}
	b.int(v)
}

func (b *binder) null() {
	b.n++
	if err := b.stmt.BindNull(b.n); err != nil && b.err == nil {
		b.err = err
	}
}

func (b *binder) text(v string) {
	b.n++
	if err := b.stmt.BindText(b.n, v); err != nil && b.err == nil {
		b.err = err
	}
}

// raw binds text. SQLite takes a copy before it returns, so that the bytes
// need not be copied into a string first.
func (b *binder) raw(v []byte) {
	b.text(unsafe.String(unsafe.SliceData(v), len(v)))
}
