package fanout

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

// A Timeline is what readers stand on; [apic.Hub] is one.
type Timeline interface {
	Recent(after apic.ID, n *apic.Narrow, limit int) (entries []*apic.Entry, at apic.ID, ok bool)
	After(ctx context.Context, after apic.ID, n *apic.Narrow, limit int) (entries []*apic.Entry, at apic.ID, err error)
	Grown(after apic.ID) <-chan struct{}
}

// Options of [New]. Those without a default are required.
type Options struct {
	Timeline Timeline
	// Status returns the state of the sessions as streams tell it, a version
	// that grows when that says something else, and a channel that is closed when
	// it may.
	Status    func() (body []byte, version uint64, changed <-chan struct{})
	Delivered prometheus.Counter // entries written to streams
	Dropped   prometheus.Counter // streams cut off because their readers took nothing
	// Spread returns over how long streams are to end once a context has: a
	// while if the service stops, so that clients do not come back all at once.
	Spread func(context.Context) time.Duration
	Shards int // 0 is one for each processor
}

// A Reader is what the reader of a stream asks for.
type Reader struct {
	Selector  *selector.Selector
	Include   bool // the whole object with each event
	Form      Form
	At        apic.ID // the place behind which it begins; one that the log has lost is told as a gap
	Resumable bool    // At is a place that one can come back to
	Status    []byte  // what it is told of the sessions at first
	Version   uint64  // of the status; no newer than Status
}

// A Fanout sends the timeline to many readers. Its methods may be called from
// any goroutine.
type Fanout struct {
	o      Options
	line   Timeline
	behind atomic.Int64 // streams that catch up

	shards  []*shard
	running atomic.Bool   // Take takes
	turn    atomic.Uint64 // the shard whose turn it is

	mu    sync.Mutex // guards all below
	feeds map[feedKey]*feed
	over  bool // no watch begins any more
	poll  *poller
	side  sync.WaitGroup // watchers of peers that hang up
}

// New returns a Fanout. It starts nothing: until Run is called, and on systems
// without epoll, only Serve works.
func New(o Options) *Fanout {
	if o.Shards <= 0 {
		o.Shards = runtime.GOMAXPROCS(0)
	}
	f := &Fanout{o: o, line: o.Timeline, feeds: make(map[feedKey]*feed)}
	for range o.Shards {
		f.shards = append(f.shards, newShard(f))
	}
	return f
}

// Run carries the streams that Take takes until ctx ends. Then it ends them, as
// Options.Spread says over how long, and returns when all are
// closed.
func (f *Fanout) Run(ctx context.Context) {
	f.running.Store(true)
	var shards sync.WaitGroup
	for _, sh := range f.shards {
		shards.Go(func() { sh.run(ctx) })
	}
	shards.Wait()
	f.running.Store(false)
	f.mu.Lock()
	f.over = true
	if f.poll != nil {
		f.poll.close()
	}
	f.mu.Unlock()
	f.side.Wait()
}

// CatchingUp returns how many streams are behind the newest entry at the
// moment: they read what is older, or are slow to take it.
func (f *Fanout) CatchingUp() int64 { return f.behind.Load() }

func (f *Fanout) status() ([]byte, uint64, <-chan struct{}) { return f.o.Status() }

func (f *Fanout) delivered(entries int) {
	if entries > 0 {
		f.o.Delivered.Add(float64(entries))
	}
}

// ended counts a stream that ended with an error.
func (f *Fanout) ended(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.o.Dropped.Inc()
	}
}

// open returns a stream at its beginning; close ends its part in the feed.
func (f *Fanout) open(r *Reader) stream {
	key := feedKey{r.Selector.String(), r.Include, r.Form}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.feeds[key]
	if d == nil {
		d = &feed{key: key, line: f.line, sel: r.Selector, narrow: r.Selector.Narrow()}
		f.feeds[key] = d
	}
	d.readers.Add(1)
	return stream{f: f, feed: d, at: r.At, status: r.Version}
}

func (f *Fanout) close(d *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.readers.Add(-1) == 0 {
		delete(f.feeds, d.key)
	}
}

// linger waits for a moment when ctx has ended, as Options.Spread says.
func (f *Fanout) linger(ctx context.Context) {
	if ctx.Err() == nil {
		return
	}
	if d := f.o.Spread(ctx); d > 0 {
		time.Sleep(rand.N(d))
	}
}

// errUnsupported says that a connection cannot be carried by a shard.
var errUnsupported = errors.New("this connection cannot be written to without waiting")

// A key of contexts: the connection can be carried by a shard.
type connKey struct{}

// ConnContext is for [http.Server]'s field of that name. Connections of servers
// that do not have it are served by Serve alone.
func (f *Fanout) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if carries(c) {
		return context.WithValue(ctx, connKey{}, f)
	}
	return ctx
}

// Takes reports whether Take would take over the request's connection.
func (f *Fanout) Takes(r *http.Request) bool {
	return f.running.Load() && r.ProtoMajor == 1 && r.Context().Value(connKey{}) == f
}
