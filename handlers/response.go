package handlers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
)

// A response is the writer of every answer, with what belongs to its request.
type response struct {
	http.ResponseWriter
	id     string // of the request, in the log and in a problem
	slot   *slot  // among the caller's requests in flight; nil when not counted
	who    identity
	route  string    // the pattern that it matched, "" for none
	begun  time.Time // when the request came
	status int       // 0 until the header is written
	began  time.Time // when it was
	bytes  int64
	handed bool // to somebody who answers, counts and logs it
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status, w.began = status, time.Now()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status, w.began = http.StatusOK, time.Now()
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets [http.ResponseController] through.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// ServeHTTP is what stands around every route.
func (s *server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &response{ResponseWriter: rw, id: s.ids.next(), begun: time.Now()}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Request-Id", w.id)
	h.Set("Cache-Control", "no-store") // what is cached says so itself

	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	defer func() {
		if w.handed {
			return
		}
		s.metrics.answered(w, r)
		if s.log.Enabled(r.Context(), slog.LevelDebug) {
			// The path only: a query can hold what its caller would not want in a log.
			s.log.DebugContext(r.Context(), "request", "request", w.id, "method", r.Method, "path", shownPath(r.URL),
				"status", w.status, "bytes", w.bytes, "took", time.Since(w.begun), "caller", w.who.of(r))
		}
	}()
	defer s.recover(w, r)

	if r.ContentLength != 0 && r.Body != nil {
		// Whether a route reads its body or not: net/http reads what is left of it
		// before it answers, and would wait for it as long as a client likes.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	}
	if err := s.admit(r); err != nil {
		s.fail(w, r, err)
		return
	}
	if s.cors(w, r) {
		return
	}
	w.who = s.identify(r)
	ctx, done := bound(r.Context(), w.who.life)
	defer done()
	r = r.WithContext(ctx)

	if !probe(r) {
		slot, err := s.limits.enter(w.who.of(r))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		w.slot = slot
		defer slot.release()
	}
	if err := s.origins.Check(r); err != nil {
		s.fail(w, r, crossSite(err))
		return
	}
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		// Nobody else reads it, and the deadline above would end a stream.
		if _, err := readAll(w, r); err != nil {
			s.fail(w, r, err)
			return
		}
	}

	if r.Method == http.MethodHead && !takes(r.URL.Path) {
		// net/http leaves the body out.
		rctx := chi.NewRouteContext()
		rctx.Routes, rctx.RouteMethod = s.routes, http.MethodGet
		r = r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, rctx))
	}
	s.routes.ServeHTTP(w, r)
}

// recover turns a panic into an answer and a line in the log.
func (s *server) recover(w *response, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	s.log.ErrorContext(r.Context(), "handler panicked", "request", w.id, "path", shownPath(r.URL), "err", fmt.Sprint(p), "stack", stack())
	if w.status != 0 {
		panic(http.ErrAbortHandler) // a broken answer must not look like a whole one
	}
	s.writeProblem(w, problem{Status: http.StatusInternalServerError, Detail: internal(w.id)})
}

// probe reports whether the request asks how the service is: that is answered
// however busy its caller keeps it.
func probe(r *http.Request) bool {
	switch r.URL.Path {
	case "/livez", "/readyz", "/healthz":
		return true
	}
	return false
}

// requestIDs makes ids: a number behind what tells one process from another.
type requestIDs struct {
	prefix string
	n      *atomic.Uint64
}

func newRequestIDs() requestIDs {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return requestIDs{hex.EncodeToString(b[:]) + "-", new(atomic.Uint64)}
}

func (i requestIDs) next() string { return i.prefix + strconv.FormatUint(i.n.Add(1), 10) }

// stopping reports whether a request's context has ended because the service
// stops, not because its client has hung up: that has no cause of its own.
func stopping(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded)
}

// spread is over how long streams and long polls end when the service stops.
const spread = 2 * time.Second

// spreadOf returns over how long streams and long polls end once a context has.
func spreadOf(ctx context.Context) time.Duration {
	if stopping(ctx) {
		return spread
	}
	return 0
}

// linger waits for a moment within spread, if the service stops.
func linger(ctx context.Context) {
	if d := spreadOf(ctx); d > 0 {
		time.Sleep(mathrand.N(d))
	}
}
