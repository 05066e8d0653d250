package apicsim

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Request is one line of the request log.
type Request struct {
	Time       time.Time
	Controller int
	Method     string
	URI        string // path and query; of a socket only "/socket", the token is nobody's business
	Status     int    // 0: not answered (yet), or the connection was torn down
	Took       time.Duration
	Cookies    int // how many of them were called APIC-cookie
}

// Stats are counts since the fabric was made.
type Stats struct {
	Requests   int            // all
	Paths      map[string]int // by kind: "aaaLogin", "class/fvTenant", "subscriptionRefresh", "mo", "socket" …
	Statuses   map[int]int
	Logins     int // accepted and refused
	Sockets    int // opened
	Frames     int // handed to sockets
	Suppressed int // pushes that a fault swallowed
	Pings      int // received
	Behind     int // sockets dropped because they were too far behind
	Double     int // requests with more than one APIC-cookie
	Sent       map[string]int
}

// keepRequests bounds the request log; older ones are counted only.
const keepRequests = 100_000

type stats struct {
	sockets, frames, suppressed, pings, behind atomic.Int64

	mu       sync.Mutex // guards all below
	log      []Request
	base     int64 // number of the first in log
	total    int
	double   int
	logins   []time.Time
	paths    map[string]int
	statuses map[int]int
	sent     map[string]int // by session id: frames written to its sockets that have ended
}

// kind is what a request is about, without the values.
func kind(uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	path = strings.TrimPrefix(path, "/api/")
	path, _ = cutFormat(path)
	path = strings.TrimPrefix(path, "node/")
	switch {
	case strings.HasPrefix(path, "mo/") || path == "mo":
		return "mo"
	case strings.HasPrefix(path, "class/"):
		_, c := splitDN(path)
		return "class/" + c
	}
	return strings.TrimPrefix(path, "/")
}

func (s *stats) begin(r Request) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths == nil {
		s.paths, s.statuses = map[string]int{}, map[int]int{}
	}
	if len(s.log) >= keepRequests {
		drop := keepRequests / 4
		s.log = append(s.log[:0:0], s.log[drop:]...)
		s.base += int64(drop)
	}
	s.log = append(s.log, r)
	s.total++
	k := kind(r.URI)
	if len(s.paths) < 1000 || s.paths[k] > 0 {
		s.paths[k]++
	}
	if k == "aaaLogin" {
		s.logins = append(s.logins, r.Time)
	}
	if r.Cookies > 1 {
		s.double++
	}
	return s.base + int64(len(s.log)) - 1
}

// end notes the answer; of several notes the first that has a status counts.
func (s *stats) end(at int64, status int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at < s.base {
		return
	}
	r := &s.log[at-s.base]
	if r.Status != 0 {
		return
	}
	r.Status, r.Took = status, took
	s.statuses[status]++
}

// framesSent notes how many frames a socket that has ended had carried.
func (s *stats) framesSent(of *session, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent = map[string]int{}
	}
	s.sent[of.id] += int(n)
}

// Requests returns the log of requests, oldest first: the last 75,000 at least.
func (f *Fabric) Requests() []Request {
	f.stats.mu.Lock()
	defer f.stats.mu.Unlock()
	return append([]Request(nil), f.stats.log...)
}

// RequestsTo returns those requests of the log whose URI contains text.
func (f *Fabric) RequestsTo(text string) []Request {
	var out []Request
	for _, r := range f.Requests() {
		if strings.Contains(r.URI, text) {
			out = append(out, r)
		}
	}
	return out
}

// Logins returns the times of all logins that were tried.
func (f *Fabric) Logins() []time.Time {
	f.stats.mu.Lock()
	defer f.stats.mu.Unlock()
	return append([]time.Time(nil), f.stats.logins...)
}

// Busiest returns the largest number of requests in any window of that length,
// among those whose URI contains text ("" for all).
func (f *Fabric) Busiest(window time.Duration, text string) int {
	reqs := f.RequestsTo(text)
	most, i := 0, 0
	for j := range reqs {
		for reqs[j].Time.Sub(reqs[i].Time) >= window {
			i++
		}
		most = max(most, j-i+1)
	}
	return most
}

// Stats returns the counts.
func (f *Fabric) Stats() Stats {
	st := Stats{
		Sockets: int(f.stats.sockets.Load()), Frames: int(f.stats.frames.Load()), Suppressed: int(f.stats.suppressed.Load()),
		Pings: int(f.stats.pings.Load()), Behind: int(f.stats.behind.Load()),
		Paths: map[string]int{}, Statuses: map[int]int{}, Sent: map[string]int{},
	}
	f.mu.RLock()
	for _, c := range f.controllers {
		for _, k := range c.sockets {
			st.Sent[k.s.id] += int(k.frames.Load())
		}
	}
	f.mu.RUnlock()
	s := &f.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range s.paths {
		st.Paths[k] = v
	}
	for k, v := range s.statuses {
		st.Statuses[k] = v
	}
	for k, v := range s.sent {
		st.Sent[k] += v
	}
	st.Requests, st.Logins, st.Double = s.total, len(s.logins), s.double
	return st
}

// SessionInfo is one live session of a controller.
type SessionInfo struct {
	ID      string // sessionId, not the token
	User    string
	Remote  string
	Login   time.Time
	IdleEnd time.Time
	HardEnd time.Time
	Web     bool // of a signed webtokenSession
	Socket  bool // a socket is open
	Subs    int
}

// Sessions returns who is logged in.
func (c *Controller) Sessions() []SessionInfo {
	c.f.mu.RLock()
	defer c.f.mu.RUnlock()
	var out []SessionInfo
	for _, s := range c.sessions {
		out = append(out, SessionInfo{ID: s.id, User: s.user, Remote: s.remote, Login: s.first, IdleEnd: s.idleEnd, HardEnd: s.hardEnd,
			Web: s.web, Socket: s.sock != nil, Subs: len(s.subs)})
	}
	return out
}

// Sockets returns how many sockets are open.
func (c *Controller) Sockets() int {
	c.f.mu.RLock()
	defer c.f.mu.RUnlock()
	return len(c.sockets)
}
