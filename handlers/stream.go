package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

// heartbeat is the silence after which a stream says that it lives. The
// contract has 15 s; the rest is for timers and networks.
const heartbeat = 12 * time.Second

// A stream is one reader of the timeline.
type stream struct {
	hub    Hub
	server *server
	sel    *selector.Selector
	narrow apic.Narrow
	at     apic.ID // all up to it was written or is not for this reader
	wire   wire
	placed time.Time // when the reader was last told at, other than by an event
}

// stream is GET /events/stream and GET /events/{class}/stream.
func (s *server) stream(w *response, r *http.Request) error {
	var list []apic.Class
	if r.PathValue("class") != "" {
		var err error
		if list, err = classes(r); err != nil {
			return err
		}
	}
	p, err := queryParams(r)
	if err != nil {
		return err
	}
	sel := p.selectors(list)
	since, _, _ := p.place("since")
	last, resumes := p.lastEventID(r)
	include := p.include()
	form := format(r, p, "sse", "ndjson")
	if err := p.err(); err != nil {
		return err
	}
	leave, err := s.limits.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	w.slot.release()

	st := &stream{hub: s.hub, server: s, sel: sel, narrow: sel.Narrow()}
	if resumes {
		since = selector.After(last)
	}
	st.at, err = since.Resolve(r.Context(), apic.Now(), s.hub)
	resumable := err == nil
	if gone, ok := errors.AsType[*apic.GoneError](err); ok {
		st.at = gone.Asked // told as a gap, by the first read
	} else if err != nil {
		return err
	}
	o := out{w: w, c: http.NewResponseController(w), include: include, delivered: s.metrics.delivered.WithLabelValues(viaStream)}
	if form == "ndjson" {
		st.wire = &lines{o}
	} else {
		st.wire = &sse{out: o}
	}
	h := w.Header()
	h.Set("Content-Type", st.wire.contentType())
	h.Set("X-Accel-Buffering", "no") // nginx would hold back what is small
	h.Add("Vary", "Accept")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if err := st.run(r.Context(), resumable); err != nil && r.Context().Err() == nil {
		s.log.DebugContext(r.Context(), "stream ended", "request", w.id, "id", st.at, "err", err)
		panic(http.ErrAbortHandler) // the reader is to see a broken stream, and come back
	}
	return nil
}

// lastEventID reads where a reader comes back to. The header is the browser's
// own and newer than what stands in the URL. A number beyond every id is an id
// of another log all the same.
func (p *params) lastEventID(r *http.Request) (apic.ID, bool) {
	name := "Last-Event-ID"
	v := r.Header.Get(name)
	inURL, ok := p.text("lastEventId")
	if v == "" && ok {
		name, v = "lastEventId", inURL
	}
	if v == "" {
		return 0, false
	}
	id, err := apic.ParseID(v)
	if err != nil && strings.Trim(v, "0123456789") == "" {
		return apic.MaxID, true
	}
	if err != nil {
		p.refuse(name, "%v", err)
		return 0, false
	}
	return id, true
}

// run writes the stream until its reader or the service ends it.
func (st *stream) run(ctx context.Context, resumable bool) error {
	_, told, changed := st.server.status()
	st.wire.begin(marshal(st.server.sessions("status")), st.at, resumable)
	st.placed = time.Now()
	if err := st.wire.flush(); err != nil {
		return err
	}
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	for {
		wrote, err := st.catchUp(ctx)
		if err != nil {
			return err
		}
		if wrote {
			beat.Reset(heartbeat)
		}
		select {
		case <-st.hub.Grown(st.at):
		case <-changed:
			var body []byte
			before := told
			if body, told, changed = st.server.status(); told == before {
				continue
			}
			st.wire.status(body)
			if err := st.wire.flush(); err != nil {
				return err
			}
			beat.Reset(heartbeat)
		case <-beat.C:
			st.beat()
			if err := st.wire.flush(); err != nil {
				return err
			}
			beat.Reset(heartbeat)
		case <-ctx.Done():
			linger(ctx)
			return nil
		}
	}
}

// placeEvery is how often a stream whose events are all for others tells its
// place: a reader that comes back after hours would else ask for one that
// retention has taken, and be told of a loss that never was.
const placeEvery = time.Minute

func (st *stream) beat() {
	st.wire.beat()
	if time.Since(st.placed) >= placeEvery {
		st.placed = time.Now()
		body, _, _ := st.server.status()
		st.wire.place(st.at, body)
	}
}

// catchUp writes what there is behind the stream's place, until there is no
// more. It gathers what a part holds into one write.
func (st *stream) catchUp(ctx context.Context) (wrote bool, err error) {
	began := time.Now()
	for {
		entries, at, err := st.hub.After(ctx, st.at, &st.narrow, batch)
		if gone, ok := errors.AsType[*apic.GoneError](err); ok {
			st.at = gone.Oldest - 1
			st.wire.lost(newLostGap(gone), st.at)
			wrote = true
			continue
		}
		if err != nil {
			if ctx.Err() != nil { // run ends it, in good order
				return wrote, nil
			}
			return wrote, err
		}
		for _, e := range entries {
			if !st.sel.Match(e) {
				continue
			}
			st.wire.entry(e)
			if st.wire.buffered() >= partSize {
				if err := st.wire.flush(); err != nil {
					return wrote, err
				}
				began, wrote = time.Now(), true
			}
		}
		st.at = at
		if len(entries) < batch {
			wrote = wrote || st.wire.buffered() > 0
			return wrote, st.wire.flush()
		}
		// A long way through the log with few events for this reader must not look
		// like silence.
		if time.Since(began) >= heartbeat {
			st.beat()
		}
		if st.wire.buffered() > 0 {
			if err := st.wire.flush(); err != nil {
				return wrote, err
			}
			began, wrote = time.Now(), true
		}
		if ctx.Err() != nil {
			return wrote, nil
		}
	}
}
