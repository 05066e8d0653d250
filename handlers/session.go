package handlers

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/acitap/acitap/apic"
)

// A sessionView is the session with a fabric as JSON. What is not known is
// null.
type sessionView struct {
	Name            string            `json:"name"`
	State           apic.SessionState `json:"state"`
	Controller      string            `json:"controller"`
	Controllers     []string          `json:"controllers"`
	User            string            `json:"user"`
	APICVersion     string            `json:"apicVersion"`
	ConnectedSince  *time.Time        `json:"connectedSince"`
	LastFrameAt     *time.Time        `json:"lastFrameAt"`
	LastProofOfLife *time.Time        `json:"lastProofOfLife"`
	TokenExpiresAt  *time.Time        `json:"tokenExpiresAt"`
	TokenRenewsAt   *time.Time        `json:"tokenRenewsAt"`
	EndsAt          *time.Time        `json:"endsAt"`
	TokenRenewals   int64             `json:"tokenRenewals"`
	Refreshes       int64             `json:"refreshes"`
	Reconnects      int64             `json:"reconnects"`
	Resyncs         int64             `json:"resyncs"`
	Gaps            int64             `json:"gaps"`
	LastError       string            `json:"lastError"`
	NextTry         *time.Time        `json:"nextTry"`
}

type sessionList struct {
	Kind    string        `json:"kind,omitempty"` // status, on streams
	Fabrics []sessionView `json:"fabrics"`
}

func (s *server) sessions(kind string) sessionList {
	list := sessionList{kind, []sessionView{}}
	for _, f := range s.hub.Sessions() {
		list.Fabrics = append(list.Fabrics, sessionView{
			Name: f.Name, State: f.State, Controller: f.Controller, User: f.User, APICVersion: f.Version,
			ConnectedSince: known(f.ConnectedSince), LastFrameAt: known(f.LastFrameAt),
			LastProofOfLife: known(f.LastProof), TokenExpiresAt: known(f.TokenExpiresAt),
			Controllers: f.Controllers, TokenRenewsAt: known(f.TokenRenewsAt), EndsAt: known(f.EndsAt),
			TokenRenewals: f.TokenRenewals, Refreshes: f.Refreshes,
			Reconnects: f.Reconnects, Resyncs: f.Resyncs, Gaps: f.Gaps,
			LastError: f.LastError, NextTry: known(f.NextTry),
		})
	}
	return list
}

// A status is what streams tell of the sessions, made once for all of them.
type status struct {
	mu      sync.Mutex      // guards all below
	changed <-chan struct{} // of the hub, taken before the sessions were read; nil at first
	body    []byte
	told    string // the body without what moves all the time
	version uint64 // grows when told changes
}

// status returns the sessions as streams tell them, the version of what it
// says, and a channel that is closed when it may say something else.
func (s *server) status() (body []byte, version uint64, changed <-chan struct{}) {
	c := &s.current
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.changed:
	default:
		if c.changed != nil {
			return c.body, c.version, c.changed
		}
	}
	c.changed = s.hub.SessionChanged() // first, so that no change is missed
	list := s.sessions("status")
	c.body = marshal(list)
	for i := range list.Fabrics {
		f := &list.Fabrics[i]
		f.LastFrameAt, f.LastProofOfLife, f.TokenExpiresAt, f.TokenRenewsAt = nil, nil, nil, nil
		f.TokenRenewals, f.Refreshes = 0, 0
	}
	if told := string(marshal(list)); told != c.told {
		c.told = told
		c.version++
	}
	return c.body, c.version, c.changed
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // structs of text and times
		panic(err)
	}
	return b
}

// noParams refuses the parameters of a call that has none.
func noParams(r *http.Request) error {
	p, err := queryParams(r)
	if err != nil {
		return err
	}
	return p.err()
}

// session is GET /session.
func (s *server) session(w *response, r *http.Request) error {
	if err := noParams(r); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.sessions(""))
}

type health struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

// livez is GET /livez: who answers is alive.
func (s *server) livez(w *response, r *http.Request) error {
	if err := noParams(r); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, health{"alive", s.version})
}

// readyz is GET /readyz and /healthz.
func (s *server) readyz(w *response, r *http.Request) error {
	if err := noParams(r); err != nil {
		return err
	}
	if err := s.hub.Ready(); err != nil {
		e := refuse(http.StatusServiceUnavailable, "not ready: %v; GET /session says more", err)
		e.retryAfter = 5
		return e
	}
	return writeJSON(w, http.StatusOK, health{"ready", s.version})
}
