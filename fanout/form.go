package fanout

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/acitap/acitap/apic"
)

// A Form is how a stream looks on the wire: [SSE] or [Lines].
type Form interface {
	ContentType() string

	// The others append a message each.

	// begin is the first message, with the status of the sessions. at is the
	// place that the stream begins behind, and is told only if it can be resumed
	// from.
	begin(b, status []byte, at apic.ID, resumable bool) []byte
	entry(b []byte, e *apic.Entry, include bool) []byte
	// lost tells of what the log can no longer give. The stream goes on behind
	// the place at.
	lost(b []byte, gap lostGap, at apic.ID) []byte
	status(b, body []byte) []byte
	// beat says that the stream lives.
	beat(b []byte) []byte
	// place says that nothing up to at is missing.
	place(b []byte, at apic.ID, status []byte) []byte
}

// The forms of a stream.
var (
	SSE   Form = sse{}   // Server-Sent Events
	Lines Form = lines{} // an object a line
)

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

func entryJSON(e *apic.Entry, include bool) []byte {
	if include {
		return e.WithObject()
	}
	return e.JSON
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // structs of text and times
		panic(err)
	}
	return b
}

type sse struct{}

func (sse) ContentType() string { return "text/event-stream" }

// begin tells the place before anything has happened: a browser whose
// connection breaks before the first event would otherwise come back without
// a Last-Event-ID, begin at a later now, and miss what came in between.
//
// The place stands with the status. By the HTML standard an id: alone would do,
// and dispatch nothing; but there are clients that make an empty event of it
// (tmaxmax/go-sse does).
func (s sse) begin(b, status []byte, at apic.ID, resumable bool) []byte {
	b = append(b, "retry: 2000\n"...)
	if resumable {
		b = s.id(b, at)
	}
	return s.status(b, status)
}

func (sse) id(b []byte, id apic.ID) []byte {
	b = append(b, "id: "...)
	b = strconv.AppendInt(b, int64(id), 10)
	return append(b, '\n')
}

func (sse) data(b, data []byte) []byte {
	b = append(b, "data: "...)
	b = append(b, data...) // JSON has no line breaks
	return append(b, "\n\n"...)
}

func (s sse) entry(b []byte, e *apic.Entry, include bool) []byte {
	if e.Gap != nil {
		b = append(b, "event: gap\n"...)
	}
	return s.data(s.id(b, e.ID), entryJSON(e, include))
}

// lost names the place where the stream goes on, so that a reader that comes
// back after it is not told of the same loss again.
func (s sse) lost(b []byte, gap lostGap, at apic.ID) []byte {
	b = append(b, "event: gap\n"...)
	return s.data(s.id(b, at), marshal(gap))
}

func (s sse) status(b, body []byte) []byte {
	return s.data(append(b, "event: status\n"...), body)
}

// beat is a comment, for proxies and for clients that watch for silence.
func (sse) beat(b []byte) []byte { return append(b, ": alive\n\n"...) }

func (s sse) place(b []byte, at apic.ID, status []byte) []byte {
	return s.status(s.id(b, at), status)
}

type lines struct{}

func (lines) ContentType() string { return "application/x-ndjson" }

func (lines) line(b, line []byte) []byte { return append(append(b, line...), '\n') }

func (l lines) begin(b, status []byte, at apic.ID, resumable bool) []byte {
	if !resumable {
		return l.line(b, status)
	}
	return l.place(b, at, status)
}

func (l lines) entry(b []byte, e *apic.Entry, include bool) []byte {
	return l.line(b, entryJSON(e, include))
}

func (l lines) lost(b []byte, gap lostGap, _ apic.ID) []byte { return l.line(b, marshal(gap)) }
func (l lines) status(b, body []byte) []byte                 { return l.line(b, body) }
func (l lines) beat(b []byte) []byte                         { return l.line(b, nil) }

// place tells the place in the line of the status, a JSON object.
func (lines) place(b []byte, at apic.ID, status []byte) []byte {
	b = append(b, status[:len(status)-1]...)
	b = append(b, `,"at":`...)
	b = strconv.AppendInt(b, int64(at), 10)
	return append(b, "}\n"...)
}

// A frame is bytes for a stream, made once for all that are sent them: a
// payload, and around it what makes it a chunk of HTTP/1.1. It does not change
// once it was made.
type frame struct {
	buf   []byte
	chunk int // where the chunk begins; the payload always stands in between frameHead and two bytes
}

// frameHead is room for the size of a chunk before its payload.
const frameHead = len("ffffffff\r\n")

// newFrame makes a frame of b, whose first frameHead bytes are to be
// overwritten. It takes b over.
func newFrame(b []byte) frame {
	at := frameHead - 2
	b[at], b[at+1] = '\r', '\n'
	for n := len(b) - frameHead; ; n >>= 4 {
		at--
		b[at] = "0123456789abcdef"[n&15]
		if n < 16 {
			break
		}
	}
	return frame{append(b, "\r\n"...), at}
}

// startFrame returns a buffer to which a payload of about size bytes can be
// appended, for newFrame.
func startFrame(size int) []byte { return make([]byte, frameHead, frameHead+size+2) }

// payload is empty only for the zero frame and where there is nothing to send:
// an empty chunk would end the stream.
func (f frame) payload() []byte {
	if len(f.buf) == 0 {
		return nil
	}
	return f.buf[frameHead : len(f.buf)-2]
}

func (f frame) bytes(chunked bool) []byte {
	switch {
	case len(f.payload()) == 0:
		return nil
	case chunked:
		return f.buf[f.chunk:]
	}
	return f.payload()
}

// lastChunk ends a chunked body.
const lastChunk = "0\r\n\r\n"
