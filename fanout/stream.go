package fanout

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/acitap/acitap/apic"
)

const (
	// heartbeat is the silence after which a stream says that it lives. The
	// contract has 15 s; the rest is for timers and networks.
	heartbeat = 12 * time.Second
	// placeEvery is how often a stream whose events are all for others tells its
	// place: a reader that comes back after hours would else ask for one that
	// retention has taken, and be told of a loss that never was.
	placeEvery = time.Minute
	// writeTimeout is how long a reader may take to make room for one write.
	writeTimeout = 30 * time.Second
	// gather is the least time between two looks for new entries: a lone one is
	// sent at once, and more are sent together. It is what the promise of 10 ms
	// leaves beside a thousand writes.
	gather = 4 * time.Millisecond
)

// A stream is one reader of the timeline, whatever carries it: where it stands,
// and what is to be said to it next.
type stream struct {
	f      *Fanout
	feed   *feed
	at     apic.ID // all up to it was sent or is not for this reader
	told   apic.ID // the last place that the reader was told
	status uint64  // version of the status that the reader was told last
	wrote  time.Time
	placed time.Time // when the reader was last told at, other than by an event
}

// A sender sends frames and waits until they are taken.
type sender interface {
	send(f frame, entries int) error
}

func (s *stream) begin(r *Reader) frame {
	s.wrote = time.Now()
	s.placed = s.wrote
	if r.Resumable {
		s.told = r.At
	}
	return newFrame(s.feed.key.form.begin(startFrame(len(r.Status)+64), r.Status, r.At, r.Resumable))
}

// beat is what is said in silence.
func (s *stream) beat(now time.Time) frame {
	b := s.feed.key.form.beat(startFrame(16))
	if now.Sub(s.placed) >= placeEvery {
		s.placed = now
		if s.at > s.told {
			body, _, _ := s.f.status()
			b = s.feed.key.form.place(b, s.at, body)
			s.told = s.at
		}
	}
	return newFrame(b)
}

func statusFrame(form Form, body []byte) frame {
	return newFrame(form.status(startFrame(len(body)+32), body))
}

// catchUp sends what there is behind the stream's place, until there is no
// more, or ctx ends: an end in good order.
func (s *stream) catchUp(ctx context.Context, out sender) error {
	for ctx.Err() == nil {
		p, err := s.feed.next(ctx, s.at)
		if gone, ok := errors.AsType[*apic.GoneError](err); ok {
			s.at = gone.Oldest - 1
			s.told = s.at
			err := s.send(out, newFrame(s.feed.key.form.lost(startFrame(256), newLostGap(gone), s.at)), 0)
			if err != nil {
				return err
			}
			continue
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if p.run == nil && p.to == s.at {
			return nil
		}
		if p.run != nil {
			rest, n := p.run.behind(s.at)
			if n > 0 {
				s.told = p.run.last()
			}
			if err := s.send(out, rest, n); err != nil {
				return err
			}
		}
		s.at = p.to
		// A long way through the log with few events for this reader must not look
		// like silence.
		if now := time.Now(); now.Sub(s.wrote) >= heartbeat {
			if err := s.send(out, s.beat(now), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stream) send(out sender, f frame, entries int) error {
	if len(f.payload()) == 0 {
		return nil
	}
	err := out.send(f, entries)
	s.wrote = time.Now()
	return err
}

// Serve writes a stream until its reader or the service ends it, and uses the
// request's goroutine for it. The header must have been written. When the
// service stops, Serve waits a moment, as Options.Spread says. It returns nil when ctx has ended.
func (f *Fanout) Serve(ctx context.Context, w http.ResponseWriter, r Reader) (err error) {
	defer func() { f.ended(err) }()
	s := f.open(&r)
	defer f.close(s.feed)
	out := response{w, http.NewResponseController(w), f}
	if err := out.send(s.begin(&r), 0); err != nil {
		return err
	}
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	var changed <-chan struct{}
	ask := true // what the sessions do
	var looked time.Time
	for {
		if ask {
			ask = false
			body, version, c := f.status()
			changed = c
			if version != s.status {
				s.status = version
				if err := s.send(&out, statusFrame(s.feed.key.form, body), 0); err != nil {
					return err
				}
			}
		}
		if d := gather - time.Since(looked); d > 0 {
			pause(ctx, d)
		}
		looked = time.Now()
		f.behind.Add(1)
		err := s.catchUp(ctx, &out)
		f.behind.Add(-1)
		if err != nil {
			return err
		}
		now := time.Now()
		if now.Sub(s.wrote) >= heartbeat {
			if err := s.send(&out, s.beat(now), 0); err != nil {
				return err
			}
			s.feed.trim(now)
		}
		beat.Reset(heartbeat - now.Sub(s.wrote))
		select {
		case <-f.line.Grown(s.at):
		case <-changed:
			ask = true
		case <-beat.C:
		case <-ctx.Done():
			f.linger(ctx)
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// A response carries a stream as net/http does.
type response struct {
	w http.ResponseWriter
	c *http.ResponseController
	f *Fanout
}

// send sends a frame in one write. All three results count: a connection that
// is gone shows in any of them.
func (o *response) send(f frame, entries int) error {
	if err := o.c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := o.w.Write(f.payload()); err != nil {
		return err
	}
	if err := o.c.Flush(); err != nil {
		return err
	}
	o.f.delivered(entries)
	return nil
}
