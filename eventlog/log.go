package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/apic"
)

// Options say where a log lies and how much of the timeline it holds.
type Options struct {
	// Dir is the directory of the log. It is made when it is not there.
	Dir string
	// Retention is the age at which entries are removed, 0 for never.
	Retention time.Duration
	// RetentionBytes bounds what the database uses of its file; the oldest
	// entries go when it is more. 0 for no bound.
	RetentionBytes int64
	// Entries bounds a [MemoryLog]; 0 is 100,000.
	Entries int
	// Logger takes what an operator should know; nil is silence.
	Logger *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Now tells the time; nil is time.Now.
	Now func() time.Time
}

const (
	// softPages and hardPages are lengths of the write-ahead log. Beyond the first, 16 MB, it is carried into the database beside
	// the writer. When that does not keep up, beyond the second, 64 MB, the
	// writer waits for it, for some ten milliseconds, so that the file begins
	// again from its start.
	softPages = 16 << 20 / pageSize
	hardPages = 64 << 20 / pageSize

	// tick is how often Run syncs, looks at the write-ahead log and at what is
	// too old: a crash of the machine takes back at most what came within it.
	tick = time.Second

	// readerCount bounds the reads that go on at once; one page of a long
	// read holds a connection for milliseconds.
	readerCount = 4

	// skip is how far ids jump over what a crash of the machine may have taken
	// back, beside going to the time of day: a thousand times what is lost.
	skip = 1 << 20
)

// ErrClosed is the error of a log that has been closed.
var ErrClosed = errors.New("the event log is closed")

// A Log is an [apic.Journal] on disk.
type Log struct {
	dir       string
	path      string
	retention time.Duration
	bytes     int64
	log       *slog.Logger
	now       func() time.Time
	metrics   *metrics
	lock      *lock
	fresh     bool   // this is its first opening
	identity  []file // what must still be there when something is written

	bounds atomic.Pointer[apic.Bounds] // stored by the holder of writing
	shapes shapeCache

	appending sync.Mutex    // held by Append from giving ids to having written them
	nextID    apic.ID       // guarded by appending
	writing   chan struct{} // holds a token while somebody uses w
	w         *writer       // used by the holder of the token; nil once closed

	queue   sync.Mutex
	waiting []*saving // guarded by queue

	readers chan *conn // free ones, nil for one not opened yet; closed by Close
	closing sync.Mutex // guards closed
	closed  bool

	used   atomic.Int64 // bytes of the file, as last looked at
	pages  atomic.Int64 // in the write-ahead log after the last commit
	synced atomic.Int64 // commits that were on disk at the last sync
	wrote  atomic.Int64 // commits
	wal    *os.File     // to sync it; owned by Run until Close

	warned map[string]time.Time // by Run, so that what lasts is told once a minute
}

var _ apic.Journal = (*Log)(nil)

type file struct {
	path string
	info os.FileInfo
}

// Open opens the log in a directory, or begins a new one. Nobody else may use
// the directory: a second process gets [ErrLocked].
func Open(ctx context.Context, o Options) (_ *Log, err error) {
	if o.Dir == "" {
		return nil, errors.New("open the event log: no directory is given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the event log: %w", err)
	}
	l := &Log{
		dir: dir, path: filepath.Join(dir, fileName),
		retention: o.Retention, bytes: o.RetentionBytes, log: o.Logger, now: o.Now,
		writing: make(chan struct{}, 1), readers: make(chan *conn, readerCount),
		warned: make(map[string]time.Time),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.now == nil {
		l.now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the event log: the directory cannot be made: %w", err)
	}
	if l.lock, err = takeLock(dir); err != nil {
		return nil, fmt.Errorf("open the event log: %w", err)
	}
	defer func() {
		if err != nil {
			if l.w != nil {
				err = errors.Join(err, l.w.Close())
			}
			err = errors.Join(fmt.Errorf("open the event log: %w", err), l.lock.release())
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.w, err = l.openWriter(); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, explain(err, l.dir))
	}
	if err := l.begin(); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, explain(err, l.dir))
	}
	for range readerCount {
		l.readers <- nil
	}
	if l.metrics, err = newMetrics(o.Registerer, l); err != nil {
		return nil, errors.Join(err, l.wal.Close())
	}
	return l, nil
}

func (l *Log) openWriter() (*writer, error) {
	// SQLite would open a file that cannot be written, and fail later.
	if info, err := os.Stat(l.path); err == nil && info.Size() > 0 {
		f, err := os.OpenFile(l.path, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("cannot be written: %w", err)
		}
		f.Close()
	}
	c, err := openConn(l.path, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE, fmt.Sprintf("PRAGMA page_size = %d; PRAGMA cache_size = -16000", pageSize))
	if err != nil {
		return nil, err
	}
	if l.fresh, err = migrate(c, int64(apic.FirstID(l.now()))); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	mode := ""
	if _, err := c.row(func(s *sqlite3.Stmt) { mode = s.ColumnText(0) }, "PRAGMA journal_mode = wal"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if mode != "wal" {
		return nil, errors.Join(fmt.Errorf("the file system does not support SQLite's write-ahead log (journal mode %s); a local disk does", mode), c.Close())
	}
	if err := c.Exec("PRAGMA synchronous = normal"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.WALAutoCheckpoint(0); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	w, err := newWriter(c)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		l.pages.Store(int64(pages))
		return nil
	})
	return w, nil
}

// begin reads where the log stands and marks it as in use, on disk before the
// first id is given: if this process does not close it, the next one knows.
func (l *Log) begin() error {
	w := l.w
	var b apic.Bounds
	var passed apic.ID
	closed := false
	if ok, err := w.row(func(s *sqlite3.Stmt) {
		b.Origin, b.Floor, passed, closed = apic.ID(s.ColumnInt64(0)), apic.ID(s.ColumnInt64(1)), apic.ID(s.ColumnInt64(2)), s.ColumnInt64(3) == 1
	}, "SELECT origin, floor, passed, closed FROM log"); err != nil {
		return err
	} else if !ok {
		return errors.New("is damaged: its table log is empty")
	}
	newest, err := w.number("SELECT max(id) FROM entries")
	if err != nil {
		return err
	}
	b.Newest = max(b.Floor, apic.ID(newest), passed)
	if !closed && !l.fresh {
		// The machine may have gone down and taken back what had been shown
		// already. Ids grow by one an event from the time of creation on, far
		// slower than a million a second, so the time of day lies beyond every
		// id that was given; the jump helps where the clock was set back.
		after := b.Newest
		b.Newest = max(b.Newest+skip, apic.FirstID(l.now()))
		if err := w.run("INSERT INTO lost VALUES (?, ?)", int64(after), int64(b.Newest)); err != nil {
			return err
		}
	}
	if err := w.run("DELETE FROM lost WHERE until <= ?", int64(b.Floor)); err != nil {
		return err
	}
	if err := w.each(func(s *sqlite3.Stmt) error {
		b.Lost = append(b.Lost, apic.Span{After: apic.ID(s.ColumnInt64(0)), Until: apic.ID(s.ColumnInt64(1))})
		return nil
	}, "SELECT after, until FROM lost ORDER BY after"); err != nil {
		return err
	}
	l.bounds.Store(&b)
	w.floor = int64(b.Floor)
	l.nextID = b.Newest + 1
	if err := w.run("UPDATE log SET passed = ?, closed = 0", int64(b.Newest)); err != nil {
		return err
	}
	for _, path := range []string{l.path, l.path + "-wal"} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		l.identity = append(l.identity, file{path, info})
	}
	if l.wal, err = os.OpenFile(l.path+"-wal", os.O_RDWR, 0); err != nil {
		return err
	}
	return l.wal.Sync()
}

// Bounds implements [apic.Journal].
func (l *Log) Bounds() apic.Bounds { return *l.bounds.Load() }

// Dir returns the directory of the log.
func (l *Log) Dir() string { return l.dir }

// hold waits for the writer. Its caller lets go.
func (l *Log) hold(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.w == nil {
		<-l.writing
		return ErrClosed
	}
	return nil
}

func (l *Log) letGo() { <-l.writing }

// transact runs f in a transaction of the writer, which its caller holds.
// When it returns an error, nothing of it has happened.
func (l *Log) transact(f func(*writer) error) error {
	if err := l.present(); err != nil {
		return err
	}
	w := l.w
	err := w.begin.Exec()
	if err == nil {
		err = f(w)
	}
	if err == nil {
		err = w.commit.Exec()
	}
	if err != nil {
		w.rollback()
		w.forget() // what the caches know may have been taken back
		err = explain(err, l.dir)
		l.metrics.failed(err)
		return err
	}
	l.wrote.Add(1)
	if l.pages.Load() > 2*hardPages { // Run is not there, or does not come through
		l.w.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE) // it is only tried: the transaction stands
	}
	return nil
}

// present checks that the files are where they were. SQLite would go on to
// write into files that have been removed, and all would be lost at the end.
func (l *Log) present() error {
	if runtime.GOOS == "windows" { // which does not remove an open file
		return nil
	}
	for _, f := range l.identity {
		info, err := os.Stat(f.path)
		if err != nil {
			return fmt.Errorf("the event log has gone from under acitap: %w; bring it back, or restart acitap to begin a new one", err)
		}
		if !os.SameFile(info, f.info) {
			return fmt.Errorf("the event log has gone from under acitap: %s is not the file that was opened; restart acitap", f.path)
		}
	}
	return nil
}

// Run keeps the log in order until ctx ends: it syncs what was written, carries
// the write-ahead log into the database, and removes what is too old or too
// much. Trouble is logged and tried again. Without Run the log works, but a
// crash of the machine may lose more, and nothing is removed.
func (l *Log) Run(ctx context.Context) error {
	keeper, err := openConn(l.path, sqlite3.OPEN_READWRITE, "PRAGMA cache_size = -512; PRAGMA synchronous = normal")
	if err != nil {
		return fmt.Errorf("run the event log: %w", err)
	}
	defer keeper.Close()
	if err := keeper.WALAutoCheckpoint(0); err != nil {
		return fmt.Errorf("run the event log: %w", err)
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		l.warn("sync", l.sync())
		l.warn("checkpoint", l.checkpoint(ctx, keeper))
		l.warn("retention", l.retain(ctx))
	}
}

// warn tells of a step of the log's upkeep that failed, once a minute each.
func (l *Log) warn(step string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	if now := l.now(); now.Sub(l.warned[step]) >= time.Minute {
		l.warned[step] = now
		l.log.Warn("the event log's upkeep failed and is tried again", "step", step, "dir", l.dir, "err", err)
	}
}

func (l *Log) sync() error {
	wrote := l.wrote.Load()
	if wrote == l.synced.Load() {
		return nil
	}
	if err := l.wal.Sync(); err != nil {
		return err
	}
	l.synced.Store(wrote)
	return nil
}

func (l *Log) checkpoint(ctx context.Context, keeper *conn) error {
	if l.pages.Load() < softPages {
		return nil
	}
	if _, _, err := keeper.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE); err != nil && !errors.Is(err, sqlite3.BUSY) {
		return explain(err, l.dir)
	}
	if l.pages.Load() < hardPages {
		return nil
	}
	// Carried over without a writer beside it, all of it is; then the next
	// transaction begins the file again.
	if err := l.hold(ctx); err != nil {
		return err
	}
	defer l.letGo()
	if _, _, err := keeper.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE); err != nil && !errors.Is(err, sqlite3.BUSY) {
		return explain(err, l.dir)
	}
	return nil
}

// Close writes everything to disk and lets go of the directory. Run must have
// returned. Calls that are under way end first; later ones get [ErrClosed].
func (l *Log) Close() error {
	l.closing.Lock()
	defer l.closing.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.writing <- struct{}{}
	w := l.w
	l.w = nil
	<-l.writing
	var errs []error
	for range readerCount {
		if c := <-l.readers; c != nil {
			errs = append(errs, c.Close())
		}
	}
	close(l.readers)
	if err := l.present(); err != nil {
		errs = append(errs, err)
	} else if err := w.run("UPDATE log SET closed = 1"); err != nil {
		errs = append(errs, explain(err, l.dir))
	} else if _, _, err := w.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil {
		errs = append(errs, explain(err, l.dir)) // it stays in the write-ahead log, which is as good
	}
	errs = append(errs, l.wal.Sync(), l.wal.Close(), w.Close(), l.lock.release())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the event log: %w", err)
	}
	return nil
}
