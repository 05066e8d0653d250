package apic

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// An Error is what an APIC, or the web server in front of it, answered.
type Error struct {
	Op         string // what was asked, as "subscribe /api/class/fvTenant.json"
	Controller string // host of the controller that answered
	HTTPStatus int
	Code       string // APIC's own code, "" when the answer was not APIC's
	Text       string // APIC's own words
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	if e.Controller != "" {
		b.WriteString(e.Controller)
		b.WriteString(" ")
	}
	b.WriteString("answered")
	if e.HTTPStatus != 0 {
		fmt.Fprintf(&b, " %d", e.HTTPStatus)
	}
	if e.Code != "" && e.Code != fmt.Sprint(e.HTTPStatus) {
		fmt.Fprintf(&b, " (code %s)", e.Code)
	}
	if e.Text != "" {
		fmt.Fprintf(&b, ": %s", e.Text)
	}
	return b.String()
}

// contains looks for APIC's words without regard to case, as they differ
// between releases.
func (e *Error) contains(words string) bool {
	return strings.Contains(strings.ToLower(e.Text), words)
}

// refusedCredentials reports a wrong user or password: trying again soon could
// lock the account.
func (e *Error) refusedCredentials() bool {
	return e.HTTPStatus == http.StatusUnauthorized || e.Code == "401"
}

// sessionOver reports that the token is not honoured any more.
func (e *Error) sessionOver() bool {
	return e.HTTPStatus == http.StatusForbidden &&
		(e.contains("token") || e.contains("webtoken cookie"))
}

// socketLost reports that the APIC has no open socket for the session.
func (e *Error) socketLost() bool {
	return e.HTTPStatus == http.StatusMethodNotAllowed && e.contains("web socket")
}

// tooBig reports a result above what an APIC answers at once.
func (e *Error) tooBig() bool { return e.contains("dataset is too big") }

// unknownSubscription reports a refresh of an id that has lapsed.
func (e *Error) unknownSubscription() bool {
	return e.HTTPStatus == http.StatusBadRequest
}

// permanent reports an answer that asking again does not change: an unknown
// class, a wrong filter, a missing privilege.
func (e *Error) permanent() bool {
	if e.tooBig() || e.contains("resolve timeout") || e.contains("not available") {
		return false
	}
	return e.HTTPStatus == http.StatusBadRequest || e.HTTPStatus == http.StatusForbidden && !e.sessionOver()
}

// The reasons for which the hub refuses a call. Callers ask with errors.Is.
var (
	ErrNotFound      = errors.New("not found")
	ErrNotSubscribed = errors.New("not subscribed")
	ErrUnprocessable = errors.New("cannot be subscribed")
	ErrLimit         = errors.New("limit reached")
	ErrClosed        = errors.New("shutting down")
)

// asError returns the APIC's own error inside err, nil when there is none.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}
