package fanout

import (
	"context"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

const (
	// batch is how many entries are read at once.
	batch = 256
	// runSize is where a run ends: 60 usual events, so that the price of a
	// write vanishes beside that of copying.
	runSize = 32 << 10
	// window is how many of a feed's newest runs are kept for readers that come
	// to them a little later than the first.
	window = 8
	// windowTime is how long they are kept in silence.
	windowTime = 2 * time.Second
)

// A run is a piece of the timeline as readers of one feed are sent it. It is
// shared and does not change.
type run struct {
	frame
	from, to apic.ID // it is all that matches of what is behind from, up to to
	more     bool    // there was more when it was made
	marks    []mark  // one for each entry; at least one
}

// A mark says where an entry ends.
type mark struct {
	id  apic.ID
	end int // offset in the payload
}

func (r *run) last() apic.ID { return r.marks[len(r.marks)-1].id }

// behind returns what of the run is behind a place, and how many entries.
func (r *run) behind(at apic.ID) (frame, int) {
	if at < r.marks[0].id {
		return r.frame, len(r.marks)
	}
	i := sort.Search(len(r.marks), func(i int) bool { return r.marks[i].id > at })
	rest := r.payload()[r.marks[i-1].end:]
	if len(rest) == 0 {
		return frame{}, 0
	}
	return newFrame(append(startFrame(len(rest)), rest...)), len(r.marks) - i
}

// What readers of one feed have in common.
type feedKey struct {
	selector string // canonical
	include  bool
	form     Form
}

// A feed makes runs for the readers that ask for the same. Its newest runs are
// kept for a moment: whoever comes first to the end of them makes the next, for
// all. A reader that is elsewhere on the timeline has runs made for itself.
type feed struct {
	key    feedKey
	line   Timeline
	sel    *selector.Selector
	narrow apic.Narrow

	readers atomic.Int64 // changed under the mutex of the Fanout

	fill sync.Mutex // held while the log is read for all

	mu   sync.Mutex // guards all below; never held while the log is read
	at   apic.ID    // the end of the newest run, and of what is known not to match behind it
	runs []*run     // Invariant: hold all that matches behind the first's from, up to at
	made time.Time  // the newest
}

// A piece is what comes next behind a place.
type piece struct {
	run  *run    // may begin before the place: see [run.behind]. nil when nothing up to matches
	to   apic.ID // the place reached with it; the same place: there is nothing more
	more bool    // more is there already
}

// recent returns the next piece behind a place, out of memory. It returns false
// for a place that only the log has, if anything.
func (f *feed) recent(at apic.ID) (piece, bool) {
	f.mu.Lock()
	if len(f.runs) > 0 && at >= f.runs[0].from && at < f.at {
		for _, r := range f.runs {
			if r.to > at {
				p := piece{r, r.to, r.more || r.to < f.at}
				f.mu.Unlock()
				return p, true
			}
		}
		at = f.at // nothing between matches
	}
	if at < f.at {
		f.mu.Unlock()
		return f.make(at) // for this reader alone: nobody is to wait for it
	}
	defer f.mu.Unlock()
	p, ok := f.make(at)
	if ok {
		f.keepLocked(at, p)
	}
	return p, ok
}

func (f *feed) make(at apic.ID) (piece, bool) {
	entries, to, ok := f.line.Recent(at, &f.narrow, batch)
	if !ok {
		return piece{to: at}, false
	}
	return f.encode(at, to, entries), true
}

// keepLocked keeps what was made at the end of the newest run, or beyond it.
func (f *feed) keepLocked(from apic.ID, p piece) {
	if from != f.at {
		f.runs = nil
	}
	f.at = p.to
	if p.run == nil || f.readers.Load() < 2 {
		if p.run != nil {
			f.runs = nil // what follows would have a hole before it
		}
		return
	}
	if len(f.runs) == window {
		copy(f.runs, f.runs[1:])
		f.runs = f.runs[:window-1]
	}
	f.runs = append(f.runs, p.run)
	f.made = time.Now()
}

// trim lets go of runs that nobody came for in a while.
func (f *feed) trim(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.runs != nil && now.Sub(f.made) > windowTime {
		f.runs = nil
	}
}

// next is recent for those who may wait for the log. A place that the log has
// lost gives a [*apic.GoneError].
func (f *feed) next(ctx context.Context, at apic.ID) (piece, error) {
	if p, ok := f.recent(at); ok {
		return p, nil
	}
	f.mu.Lock()
	shared := at >= f.at
	f.mu.Unlock()
	if shared {
		// Many may have fallen behind together; one of them reads.
		f.fill.Lock()
		defer f.fill.Unlock()
		if p, ok := f.recent(at); ok {
			return p, nil
		}
	}
	entries, to, err := f.line.After(ctx, at, &f.narrow, batch)
	if err != nil {
		return piece{to: at}, err
	}
	p := f.encode(at, to, entries)
	if shared {
		f.mu.Lock()
		defer f.mu.Unlock()
		if at >= f.at {
			f.keepLocked(at, p)
		}
	}
	return p, nil
}

// scratch holds buffers in which runs are made before their size is known.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 2*runSize); return &b }}

// encode makes a run of those entries that match. It ends where it is full.
func (f *feed) encode(from, to apic.ID, entries []*apic.Entry) piece {
	p := piece{to: to, more: len(entries) == batch}
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	b := (*buf)[:0]
	for _, e := range entries {
		if !f.sel.Match(e) {
			continue
		}
		if p.run == nil {
			p.run = &run{from: from}
		}
		b = f.key.form.entry(b, e, f.key.include)
		p.run.marks = append(p.run.marks, mark{e.ID, len(b)})
		if len(b) >= runSize {
			p.more = p.more || e != entries[len(entries)-1]
			p.to = e.ID
			break
		}
	}
	if cap(b) <= 4*runSize { // one huge object is not to stay for ever
		*buf = b
	}
	if p.run != nil {
		p.run.to, p.run.more = p.to, p.more
		p.run.frame = newFrame(append(startFrame(len(b)), b...))
	}
	return p
}
