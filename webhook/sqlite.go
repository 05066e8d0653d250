package webhook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // database/sql's "sqlite3"
)

// sqliteName is the store's file in the data directory. It is a file of its
// own beside the event log's, so that what receivers do never holds up what
// the fabric does. Its directory is locked by the event log.
const sqliteName = "webhooks.db"

const sqliteSchema = `
CREATE TABLE IF NOT EXISTS webhooks (
  id         TEXT PRIMARY KEY,
  definition TEXT NOT NULL, -- JSON, with the secrets
  at         INTEGER NOT NULL, -- the place on the timeline: all up to it is done with
  state      TEXT -- JSON
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS deliveries (
  webhook  TEXT NOT NULL,
  seq      INTEGER NOT NULL, -- counts the attempts of a webhook, from 1
  kind     TEXT NOT NULL, -- delivery, redelivery, test
  events   TEXT NOT NULL, -- a JSON array of event ids
  message  TEXT NOT NULL, -- webhook-id
  time     INTEGER NOT NULL, -- microseconds since 1970
  attempt  INTEGER NOT NULL,
  status   INTEGER NOT NULL, -- of the answer, 0 when there was none
  duration INTEGER NOT NULL, -- microseconds
  error    TEXT NOT NULL,
  answer   BLOB, -- the first KiB
  PRIMARY KEY (webhook, seq)
) WITHOUT ROWID;
PRAGMA user_version = 1;
`

// A SQLiteStore is a [Store] in a file, readable by its owner only.
type SQLiteStore struct {
	db                   *sql.DB
	update, insert, trim *sql.Stmt // what a commit does for each attempt is not parsed anew
}

const (
	sqlUpdate = "UPDATE webhooks SET at = ?, state = ? WHERE id = ?"
	sqlInsert = "INSERT OR REPLACE INTO deliveries VALUES (?,?,?,?,?,?,?,?,?,?,?)"
	sqlTrim   = "DELETE FROM deliveries WHERE webhook = ? AND seq <= ?"
	// What is old lies at the beginning: no index of times has to be kept for
	// it, which would cost each attempt more than the attempt itself.
	sqlPrune = `DELETE FROM deliveries WHERE webhook = ?1 AND seq <
  ifnull((SELECT seq FROM deliveries WHERE webhook = ?1 AND time >= ?2 ORDER BY seq LIMIT 1), 9223372036854775807)`
)

// OpenSQLite opens the store in a directory, or begins a new one.
func OpenSQLite(ctx context.Context, dir string) (_ *SQLiteStore, err error) {
	path := filepath.Join(dir, sqliteName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the webhooks: %w", err)
	}
	f.Close()
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(path)+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, fmt.Errorf("open the webhooks: %w", err)
	}
	db.SetMaxOpenConns(2) // one writes, one shows deliveries
	defer func() {
		if err != nil {
			db.Close()
			err = fmt.Errorf("open the webhooks: %s: %w", path, err)
		}
	}()
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return nil, err
	}
	if version > 1 {
		return nil, fmt.Errorf("was written by a newer acitap (schema %d, this one knows 1)", version)
	}
	if version == 0 {
		if _, err := db.ExecContext(ctx, sqliteSchema); err != nil {
			return nil, err
		}
	}
	s := &SQLiteStore{db: db}
	for query, stmt := range map[string]**sql.Stmt{sqlUpdate: &s.update, sqlInsert: &s.insert, sqlTrim: &s.trim} {
		if *stmt, err = db.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close lets go of the file.
func (s *SQLiteStore) Close() error {
	return errors.Join(s.update.Close(), s.insert.Close(), s.trim.Close(), s.db.Close())
}

// Load implements [Store].
func (s *SQLiteStore) Load(ctx context.Context) ([]Record, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, definition, at, state FROM webhooks ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Record
	for rows.Next() {
		var r Record
		if err := rows.Scan(&r.ID, &r.Definition, &r.At, &r.State); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Commit implements [Store].
func (s *SQLiteStore) Commit(ctx context.Context, changes []Change) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	w := &writer{tx, tx.StmtContext(ctx, s.update), tx.StmtContext(ctx, s.insert), tx.StmtContext(ctx, s.trim)}
	for _, c := range changes {
		if err := w.write(ctx, &c); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// A writer is a transaction with its statements.
type writer struct {
	tx                   *sql.Tx
	update, insert, trim *sql.Stmt
}

func (w *writer) write(ctx context.Context, c *Change) error {
	var state any
	if c.State != nil {
		state = string(c.State)
	}
	if c.Definition != nil {
		if _, err := w.tx.ExecContext(ctx, "INSERT OR REPLACE INTO webhooks VALUES (?,?,?,?)", c.ID, string(c.Definition), int64(c.At), state); err != nil {
			return err
		}
	} else {
		r, err := w.update.ExecContext(ctx, int64(c.At), state, c.ID)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err // there is none: the change is left out
		}
	}
	for _, d := range c.Deliveries {
		if d.Seq <= c.Forget { // more than are kept came at once
			continue
		}
		events, err := json.Marshal(d.Events)
		if err != nil {
			return err
		}
		if _, err := w.insert.ExecContext(ctx,
			c.ID, d.Seq, string(d.Kind), string(events), d.Message, d.Time.UnixMicro(), d.Attempt, d.Status, d.Duration.Microseconds(), d.Error, d.Answer); err != nil {
			return err
		}
	}
	if c.Forget < 1 {
		return nil
	}
	_, err := w.trim.ExecContext(ctx, c.ID, c.Forget)
	return err
}

// Delete implements [Store].
func (s *SQLiteStore) Delete(ctx context.Context, id string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, q := range []string{"DELETE FROM webhooks WHERE id = ?", "DELETE FROM deliveries WHERE webhook = ?"} {
		if _, err := tx.ExecContext(ctx, q, id); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Deliveries implements [Store].
func (s *SQLiteStore) Deliveries(ctx context.Context, id string, before int64, limit int) ([]Delivery, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT seq, kind, events, message, time, attempt, status, duration, error, answer FROM deliveries
WHERE webhook = ? AND (? = 0 OR seq < ?) ORDER BY seq DESC LIMIT ?`, id, before, before, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Delivery
	for rows.Next() {
		var d Delivery
		var events []byte
		var at, took int64
		if err := rows.Scan(&d.Seq, &d.Kind, &events, &d.Message, &at, &d.Attempt, &d.Status, &took, &d.Error, &d.Answer); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(events, &d.Events); err != nil {
			return nil, errors.Join(fmt.Errorf("delivery %d of %s", d.Seq, id), err)
		}
		d.Time, d.Duration = time.UnixMicro(at).UTC(), time.Duration(took)*time.Microsecond
		list = append(list, d)
	}
	return list, rows.Err()
}

// Prune implements [Store].
func (s *SQLiteStore) Prune(ctx context.Context, t time.Time) error {
	records, err := s.Load(ctx)
	for _, r := range records {
		if err == nil {
			_, err = s.db.ExecContext(ctx, sqlPrune, r.ID, t.UnixMicro())
		}
	}
	return err
}

var _ Store = (*SQLiteStore)(nil)
