package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/acitap/acitap/apic"
)

// A problem is the body of every answer that is an error (RFC 9457). Its type
// is about:blank, whose title is the status's own; the detail tells problems
// apart for people, the members below it for programs.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`

	APIC    *apicWords `json:"apic,omitempty"`    // what the APIC said, in its own words
	Oldest  apic.ID    `json:"oldest,omitempty"`  // with 410: the oldest id that may be there
	Reason  string     `json:"reason,omitempty"`  // with 410: retention or unknown-id
	Errors  []mistake  `json:"errors,omitempty"`  // with 400: all that is wrong with the parameters
	Request string     `json:"request,omitempty"` // with 5xx: the request's id in the log

	retryAfter int    // seconds, 0 for none
	challenge  string // WWW-Authenticate
}

type apicWords struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// A mistake is one thing that is wrong with a parameter.
type mistake struct {
	Param  string `json:"param"`
	Line   int    `json:"line,omitempty"`   // in a filter, from 1
	Column int    `json:"column,omitempty"` // in a filter, from 1
	Detail string `json:"detail"`
}

func (m mistake) String() string {
	if m.Line > 0 {
		return fmt.Sprintf("%s: line %d, column %d: %s", m.Param, m.Line, m.Column, m.Detail)
	}
	return m.Param + ": " + m.Detail
}

// A refusal is an error with its status and with words for the client.
type refusal struct {
	status     int
	detail     string
	cause      error // for apic's words and for the log; may be nil
	retryAfter int
	challenge  string // WWW-Authenticate, of a 401
	reason     string // under which it is counted, "" for not at all
}

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, detail: fmt.Sprintf(format, args...)}
}

func (e *refusal) Error() string {
	if e.cause != nil {
		return e.detail + ": " + e.cause.Error()
	}
	return e.detail
}

func (e *refusal) Unwrap() error { return e.cause }

// counted has the refusal counted, under a reason of the metrics.
func (e *refusal) counted(reason string) *refusal {
	e.reason = reason
	return e
}

// because gives the refusal its cause.
func (e *refusal) because(err error) *refusal {
	e.cause = err
	return e
}

// mistakes are all that is wrong with the parameters of a request.
type mistakes []mistake

func (m mistakes) Error() string {
	list := make([]string, len(m))
	for i, one := range m {
		list[i] = one.String()
	}
	return strings.Join(list, "; ")
}

func crossSite(err error) error {
	return refuse(http.StatusForbidden, "the browser says that another site has sent this request, and it would change something here; open acitap itself, call from outside a browser, or list the site's origin in ACITAP_CORS_ORIGINS").because(err).counted(refusedCrossSite)
}

// unsubscribed is the answer where something of a class is asked for that
// nobody subscribes.
func unsubscribed(list []apic.Class) error {
	return refuse(http.StatusNotFound, "%s is not subscribed, so nothing is known of it: POST /subscriptions/%s first", joined(list), list[0])
}

// explain turns an error into its answer. A cause that it does not know is
// for the log only.
func explain(err error) problem {
	p := problem{Status: http.StatusInternalServerError}
	if e, ok := errors.AsType[*apic.Error](err); ok {
		p.APIC = &apicWords{e.Code, e.Text}
		p.Status = http.StatusBadGateway
		p.Detail = fmt.Sprintf("the APIC refused: %s; try again, and look at /session for the state of its session", cmp.Or(e.Text, http.StatusText(e.HTTPStatus)))
	}
	var wrong mistakes
	if e, ok := errors.AsType[*refusal](err); ok {
		p.Status, p.Detail, p.retryAfter, p.challenge = e.status, e.detail, e.retryAfter, e.challenge
		return p
	}
	switch {
	case errors.As(err, &wrong):
		p.Status, p.Detail, p.Errors = http.StatusBadRequest, wrong.Error(), wrong
	case errors.Is(err, apic.ErrGone):
		p.Status, p.Detail = http.StatusGone, err.Error()
		if gone, ok := errors.AsType[*apic.GoneError](err); ok {
			p.Oldest, p.Reason = gone.Oldest, gone.Reason
			p.Detail = fmt.Sprintf("%v; go on with since=earliest, or with since=%d", gone, gone.Oldest-1)
		}
	case errors.Is(err, apic.ErrUnprocessable):
		p.Status, p.Detail = http.StatusUnprocessableEntity, err.Error()
	case errors.Is(err, apic.ErrBadAck):
		p.Status, p.Detail = http.StatusBadRequest, "ack is above the newest entry, so nothing can have been done with it: ack an id that was handed out, or 0 at first"
	case errors.Is(err, apic.ErrNotSubscribed):
		p.Status, p.Detail = http.StatusNotFound, "the class is not subscribed: POST /subscriptions/{class} first"
	case errors.Is(err, apic.ErrNotFound):
		p.Status, p.Detail = http.StatusNotFound, "there is no such thing here"
	case errors.Is(err, apic.ErrLimit):
		p.Status, p.Detail = http.StatusConflict, err.Error()
	case errors.Is(err, apic.ErrClosed), errors.Is(err, ErrStopping), errors.Is(err, context.Canceled):
		p.Status, p.Detail, p.retryAfter = http.StatusServiceUnavailable, "the service is stopping; try again in a moment", 2
	case errors.Is(err, context.DeadlineExceeded):
		p.Status, p.Detail, p.retryAfter = http.StatusGatewayTimeout, "that took too long; try again", 2
	}
	return p
}

// fail answers a request with an error, or breaks off an answer that has
// begun: a part must not look like the whole.
func (s *server) fail(w *response, r *http.Request, err error) {
	p := explain(err)
	if refused, ok := errors.AsType[*refusal](err); ok {
		s.refused(refused)
	}
	if p.Status >= http.StatusInternalServerError {
		p.Request = w.id
		refused, ok := errors.AsType[*refusal](err)
		if expected := ok && refused.cause == nil; !expected && r.Context().Err() == nil {
			s.log.WarnContext(r.Context(), "request failed", "request", w.id, "method", r.Method, "path", shownPath(r.URL), "status", p.Status, "err", err)
		}
		if p.Detail == "" {
			p.Detail = internal(w.id)
		}
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	s.writeProblem(w, p)
}

// refused counts a refusal.
func (s *server) refused(e *refusal) {
	if e.reason != "" {
		s.metrics.refusals.WithLabelValues(e.reason).Inc()
	}
}

func internal(id string) string {
	return "something went wrong inside the service; its log has the reason under request " + id
}

func (s *server) writeProblem(w *response, p problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	w.WriteHeader(p.Status)
	writeBody(w, encode(p))
}

// encode encodes what cannot fail to be encoded.
func encode(v any) []byte {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return []byte(b.String())
}

func writeJSON(w *response, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeBody(w, encode(v))
	return nil
}

// writeTimeout is how long a client may take to make room for one write.
const writeTimeout = 30 * time.Second

// writeBody writes a whole small body. A client that does not take it is gone,
// and nobody is left to be told.
func writeBody(w *response, b []byte) {
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = w.Write(b)
}

func stack() string { return string(debug.Stack()) }
