package handlers

import (
	"cmp"
	"net"
	"net/http"
	"sync"
)

const (
	defaultInFlight = 60
	defaultStreams  = 20_000
)

// limits counts what each caller has in flight, and the streams.
type limits struct {
	inFlight, maxStreams int

	mu      sync.Mutex     // guards all below
	callers map[string]int // no entry for none
	streams int
}

func newLimits(inFlight, streams int) *limits {
	l := &limits{inFlight: inFlight, maxStreams: streams, callers: make(map[string]int)}
	if l.inFlight <= 0 {
		l.inFlight = defaultInFlight
	}
	if l.maxStreams <= 0 {
		l.maxStreams = defaultStreams
	}
	return l
}

// A slot is one of the requests that a caller may have in flight. It is used
// by the request's goroutine only.
type slot struct {
	limits *limits
	caller string // "" once released
}

func (l *limits) enter(caller string) (*slot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.callers[caller] >= l.inFlight {
		e := refuse(http.StatusTooManyRequests, "you have %d requests in flight, which is as many as one caller may have; wait for their answers (streams are not counted)", l.inFlight).counted(refusedInFlight)
		e.retryAfter = 1
		return nil, e
	}
	l.callers[caller]++
	return &slot{l, caller}, nil
}

func (s *slot) release() {
	if s == nil || s.caller == "" {
		return
	}
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	if s.limits.callers[s.caller]--; s.limits.callers[s.caller] == 0 {
		delete(s.limits.callers, s.caller)
	}
	s.caller = ""
}

// enterStream counts a stream until the returned function is called.
func (l *limits) enterStream() (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams >= l.maxStreams {
		e := refuse(http.StatusTooManyRequests, "%d streams are open, which is as many as the service allows (ACITAP_MAX_STREAMS); close one, or read history with GET /events?since=", l.streams).counted(refusedStreams)
		e.retryAfter = 5
		return nil, e
	}
	l.streams++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.streams--
	}, nil
}

// open returns how many requests and how many streams are under way.
func (l *limits) open() (requests, streams int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.callers {
		requests += n
	}
	return requests, l.streams
}

// of names who sent a request: its token, or else its address. No address
// looks as a token's name does here.
func (i identity) of(r *http.Request) string {
	if i.name != "" {
		return "token " + i.name
	}
	return caller(r)
}

// caller is a request's address without the port.
func caller(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || host == "" {
		return cmp.Or(r.RemoteAddr, "unknown") // an in-memory network
	}
	return host
}
