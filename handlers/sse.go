package handlers

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/apic"
)

// A wire writes one stream in its form. What it is given it gathers; flush
// sends it. Its caller is the stream's goroutine, alone.
type wire interface {
	// begin is the first message, with the status of the session. at is the
	// place that the stream begins behind, and is told only if it can be resumed
	// from.
	begin(status []byte, at apic.ID, resumable bool)
	entry(e *apic.Entry)
	// lost tells of what the log can no longer give. The stream goes on behind
	// the place at.
	lost(gap lostGap, at apic.ID)
	status(body []byte)
	// beat says that the stream lives.
	beat()
	// place says that nothing up to at is missing, if the reader does not know.
	place(at apic.ID, status []byte)

	contentType() string
	buffered() int
	flush() error
}

// A lostGap is a gap that does not stand on the timeline: the reader asked for
// a place that the log does not reach.
type lostGap struct {
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"` // retention or unknown-id
	Asked  apic.ID   `json:"asked"`  // the place asked for
	Oldest apic.ID   `json:"oldest"` // the oldest id that is held: what is between is lost
	Healed bool      `json:"healed"`
}

func newLostGap(e *apic.GoneError) lostGap {
	return lostGap{Time: apic.Now(), Kind: "gap", Reason: e.Reason, Asked: e.Asked, Oldest: e.Oldest}
}

// batch is how many entries a stream reads at once.
const batch = 256

// An out gathers bytes and sends them in one write, under a deadline.
type out struct {
	w       *response
	c       *http.ResponseController
	buf     []byte
	include bool

	entries   int // in buf
	delivered prometheus.Counter
}

func (o *out) buffered() int { return len(o.buf) }

// flush sends what has been gathered. All three results count: a connection
// that is gone shows in any of them.
func (o *out) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	if err := o.c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := o.w.Write(o.buf); err != nil {
		return err
	}
	if err := o.c.Flush(); err != nil {
		return err
	}
	if o.entries > 0 {
		o.delivered.Add(float64(o.entries))
		o.entries = 0
	}
	if o.buf = o.buf[:0]; cap(o.buf) > 2*partSize { // an idle stream is to cost little
		o.buf = nil
	}
	return nil
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // structs of text and times
		panic(err)
	}
	return b
}

// An sse writes Server-Sent Events.
type sse struct {
	out
	told apic.ID // the last id: line
}

func (s *sse) contentType() string { return "text/event-stream" }

// begin tells the place before anything has happened: a browser whose
// connection breaks before the first event would otherwise come back without
// a Last-Event-ID, begin at a later now, and miss what came in between.
//
// The place stands with the status. By the HTML standard an id: alone would do,
// and dispatch nothing; but there are clients that make an empty event of it
// (tmaxmax/go-sse does).
func (s *sse) begin(status []byte, at apic.ID, resumable bool) {
	s.buf = append(s.buf, "retry: 2000\n"...)
	if resumable {
		s.id(at)
	}
	s.status(status)
}

func (s *sse) id(id apic.ID) {
	s.buf = append(s.buf, "id: "...)
	s.buf = strconv.AppendInt(s.buf, int64(id), 10)
	s.buf = append(s.buf, '\n')
	s.told = id
}

func (s *sse) data(b []byte) {
	s.buf = append(s.buf, "data: "...)
	s.buf = append(s.buf, b...) // JSON has no line breaks
	s.buf = append(s.buf, "\n\n"...)
}

func (s *sse) entry(e *apic.Entry) {
	if e.Gap != nil {
		s.buf = append(s.buf, "event: gap\n"...)
	}
	s.id(e.ID)
	s.data(entryJSON(e, s.include))
	s.entries++
}

// lost names the place where the stream goes on, so that a reader that comes
// back after it is not told of the same loss again.
func (s *sse) lost(gap lostGap, at apic.ID) {
	s.buf = append(s.buf, "event: gap\n"...)
	s.id(at)
	s.data(marshal(gap))
}

func (s *sse) status(body []byte) {
	s.buf = append(s.buf, "event: status\n"...)
	s.data(body)
}

// beat is a comment, for proxies and for clients that watch for silence.
func (s *sse) beat() { s.buf = append(s.buf, ": alive\n\n"...) }

func (s *sse) place(at apic.ID, status []byte) {
	if at > s.told {
		s.id(at)
		s.status(status)
	}
}

// lines writes an object a line.
type lines struct{ out }

func (l *lines) contentType() string { return "application/x-ndjson" }

func (l *lines) line(b []byte) {
	l.buf = append(append(l.buf, b...), '\n')
}

func (l *lines) begin(status []byte, _ apic.ID, _ bool) { l.line(status) }
func (l *lines) entry(e *apic.Entry)                    { l.line(entryJSON(e, l.include)); l.entries++ }
func (l *lines) lost(g lostGap, _ apic.ID)              { l.line(marshal(g)) }
func (l *lines) status(body []byte)                     { l.line(body) }
func (l *lines) beat()                                  { l.line(nil) }
func (l *lines) place(apic.ID, []byte)                  {} // a line has its place as an event, or not at all
