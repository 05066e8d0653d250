package handlers

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/fanout"
	"github.com/acitap/acitap/selector"
)

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
	leaves := true // here, and not when the connection ends that was handed over
	defer func() {
		if leaves {
			leave()
		}
	}()
	w.slot.release()

	rd := fanout.Reader{Selector: sel, Include: include, Form: fanout.SSE}
	if form == "ndjson" {
		rd.Form = fanout.Lines
	}
	if resumes {
		since = selector.After(last)
	}
	rd.At, err = since.Resolve(r.Context(), apic.Now(), s.hub)
	rd.Resumable = err == nil
	if gone, ok := errors.AsType[*apic.GoneError](err); ok {
		rd.At = gone.Asked // told as a gap, by the first read
	} else if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", rd.Form.ContentType())
	h.Set("X-Accel-Buffering", "no") // nginx would hold back what is small
	h.Add("Vary", "Accept")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	_, rd.Version, _ = s.status() // first, so that no change is missed
	rd.Status = marshal(s.sessions("status"))
	if s.fanout.Takes(r) {
		leaves = false
		ended := s.ending(w, r)
		if s.fanout.Take(w, r, rd, w.who.life, func(sent int64) { leave(); ended(sent) }) {
			w.handed = true
			w.status, w.began = http.StatusOK, time.Now()
			s.metrics.began(w)
			return nil
		}
		leaves = true
	}
	w.WriteHeader(http.StatusOK)
	if err := s.fanout.Serve(r.Context(), w, rd); err != nil && r.Context().Err() == nil {
		s.log.DebugContext(r.Context(), "stream ended", "request", w.id, "err", err)
		panic(http.ErrAbortHandler) // the reader is to see a broken stream, and come back
	}
	return nil
}

// ending returns what counts and logs a request that ends when its stream does,
// which is long after its handler.
func (s *server) ending(w *response, r *http.Request) func(sent int64) {
	requests := s.metrics.requests.WithLabelValues(w.route, r.Method, "2xx")
	if !s.log.Enabled(r.Context(), slog.LevelDebug) {
		return func(int64) { requests.Inc() }
	}
	// Nothing here holds the request, which would be kept as long as the stream.
	id, method, path, who, begun := w.id, r.Method, strings.Clone(r.URL.Path), w.who.of(r), w.begun
	return func(sent int64) {
		requests.Inc()
		s.log.Debug("request", "request", id, "method", method, "path", path,
			"status", http.StatusOK, "bytes", sent, "took", time.Since(begun), "caller", who)
	}
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
