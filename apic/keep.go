package apic

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	backoffMin = time.Second
	// backoffMax with full jitter and the login limit keeps the promise to be
	// back within 60 s of the APIC's being there again.
	backoffMax = 30 * time.Second
	// healthyAfter is how long a session must hold before the next failure
	// begins with a short pause again.
	healthyAfter = 5 * time.Minute
	// refusedFor is the first pause after wrong credentials: further tries
	// could lock the account. It doubles up to refusedMax.
	refusedFor = 5 * time.Minute
	refusedMax = 30 * time.Minute
)

// A SessionState says how the session with a fabric is.
type SessionState string

// The states of a session.
const (
	Connecting SessionState = "connecting"
	Connected  SessionState = "connected"
	Backoff    SessionState = "backoff" // waiting before the next try
	Refused    SessionState = "failed"  // credentials or certificate refused: tried again rarely
)

// A Session is how the session with a fabric is now.
type Session struct {
	Name           string
	State          SessionState
	Controller     string   // host of the controller, "" when none
	Controllers    []string // hosts of all that may be used, in the order of the settings
	User           string
	Version        string // the APIC's release
	ConnectedSince time.Time
	LastFrameAt    time.Time
	LastProof      time.Time // the last moment the socket was proven to live
	TokenExpiresAt time.Time
	TokenRenewsAt  time.Time // about when the token is renewed next
	EndsAt         time.Time // of the session's life; its successor opens before
	Reconnects     int64
	TokenRenewals  int64 // since the hub began
	Refreshes      int64 // of subscriptions, since the hub began
	Resyncs        int64 // comparisons after an outage
	Gaps           int64
	LastError      string
	NextTry        time.Time
}

// Sessions returns the session of each fabric.
func (h *Hub) Sessions() []Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.session
	s.Gaps, s.Resyncs = h.gaps, h.resyncs
	s.TokenRenewals, s.Refreshes = h.renewals.Load(), h.refreshes.Load()
	for _, u := range h.o.Controllers {
		s.Controllers = append(s.Controllers, u.Host)
	}
	if len(h.conns) > 0 {
		c := h.conns[len(h.conns)-1]
		t := c.client.current()
		s.Controller, s.Version, s.ConnectedSince = c.client.host(), t.version, c.since.UTC()
		s.LastProof = c.alive.get()
		s.TokenExpiresAt = t.at.Add(t.idle).UTC()
		s.EndsAt = c.since.Add(t.maximumLife).UTC()
		if !c.client.signed() {
			s.TokenRenewsAt = t.at.Add(t.idle / 2).UTC()
		}
		if f := c.heard.get(); !f.IsZero() {
			s.LastFrameAt = f
		}
	}
	return []Session{s}
}

// SessionChanged returns a channel that is closed when the state of a session
// next changes.
func (h *Hub) SessionChanged() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions
}

func (h *Hub) changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changedLocked()
}

func (h *Hub) changedLocked() {
	close(h.sessions)
	h.sessions = make(chan struct{})
}

// report changes what is told of the session.
func (h *Hub) report(f func(s *Session)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.session)
	h.changedLocked()
}

// Ready returns nil when a session is up and the log takes entries, else an
// error that says why not.
func (h *Hub) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stuck != nil:
		return fmt.Errorf("the log takes no entries: %w", h.stuck)
	case h.session.State != Connected:
		if h.session.LastError != "" {
			return fmt.Errorf("no session with an APIC (%s): %s", h.session.State, h.session.LastError)
		}
		return fmt.Errorf("no session with an APIC yet (%s)", h.session.State)
	}
	return nil
}

// A health is what is remembered of one controller.
type health struct {
	url      *url.URL
	failures int
	notUntil time.Time
}

// keepSession is back-off around one session after the other, each with the
// controller that failed least, until ctx ends.
func (h *Hub) keepSession(ctx context.Context) {
	controllers := make([]*health, len(h.o.Controllers))
	for i, u := range h.o.Controllers {
		controllers[i] = &health{url: u}
	}
	refusals := 0
	sessions := 0
	var before *health
	for ctx.Err() == nil {
		best := controllers[0]
		for _, c := range controllers[1:] {
			if c.notUntil.Before(best.notUntil) {
				best = c
			}
		}
		if wait := time.Until(best.notUntil); wait > 0 {
			h.report(func(s *Session) {
				if s.State != Refused {
					s.State = Backoff
				}
				s.NextTry = best.notUntil.UTC()
			})
			if !sleep(ctx, wait) {
				return
			}
		}
		h.report(func(s *Session) {
			s.State, s.NextTry, s.Controller = Connecting, time.Time{}, best.url.Host
		})
		began := time.Now()
		c, err := h.open(ctx, best.url)
		if err == nil {
			c.failover = before != nil && before != best
			before = best
			refusals = 0
			if sessions++; sessions > 1 {
				h.metrics.reconnects.Inc()
			}
			h.metrics.connected.Set(1)
			h.log.Info("session is up", "controller", c.client.host(), "version", c.client.current().version)
			h.report(func(s *Session) {
				s.State, s.Reconnects = Connected, int64(sessions-1)
			})
			err = h.hold(ctx, c, best.url)
			h.metrics.connected.Set(0)
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > healthyAfter {
			best.failures = 0
		}
		best.failures++
		pause := time.Duration(rand.Float64() * float64(min(backoffMin<<min(best.failures, 10), backoffMax)))
		state := Backoff
		if e := asError(err); e != nil && e.refusedCredentials() && c == nil {
			state = Refused
			pause = jitter(min(refusedFor<<min(refusals, 8), refusedMax), 0.1)
			refusals++
			for _, other := range controllers { // the same password is wrong everywhere
				other.notUntil = time.Now().Add(pause)
			}
		}
		if hint := untrusted(err); hint != "" {
			state = Refused
			err = fmt.Errorf("%w; %s", err, hint)
			pause = max(pause, backoffMax)
		}
		best.notUntil = time.Now().Add(pause)
		h.log.Warn("no session", "controller", best.url.Host, "state", state, "in", pause.Round(time.Millisecond), "err", err)
		h.report(func(s *Session) {
			s.State, s.LastError, s.ConnectedSince, s.TokenExpiresAt = state, err.Error(), time.Time{}, time.Time{}
		})
	}
}

// hold keeps one session, and opens its successor before its end of life: the
// new socket is subscribed and compared before the old one closes.
func (h *Hub) hold(ctx context.Context, c *conn, controller *url.URL) error {
	var running sync.WaitGroup
	defer running.Wait()
	start := func(c *conn) chan error {
		ended := make(chan error, 1)
		running.Go(func() {
			err := c.run(ctx)
			if doErr := h.do(context.WithoutCancel(ctx), func() { h.left(c, err) }); doErr != nil {
				h.log.Error("the end of a session was not taken", "err", doErr)
			}
			ended <- err
		})
		return ended
	}
	ended := start(c)
	for {
		due := time.NewTimer(time.Until(c.since.Add(time.Duration(float64(c.client.current().maximumLife) * jitter01(rollOver)))))
		select {
		case err := <-ended:
			due.Stop()
			return err
		case <-due.C:
		}
		next, err := h.open(ctx, controller)
		if err != nil {
			h.log.Warn("the next session could not be opened before the end of this one", "err", err)
			select {
			case err := <-ended:
				return err
			case <-time.After(max(loginEvery, time.Until(c.since.Add(c.client.current().maximumLife))/4)):
			}
			continue
		}
		nextEnded := start(next)
		select {
		case err := <-ended: // too late, or a coincidence: the new one goes on, with gaps where it had not taken over yet
			h.log.Warn("the session ended before its successor had taken over", "err", err)
			c, ended = next, nextEnded
			continue
		case err := <-nextEnded:
			h.log.Warn("the next session ended before it had taken over", "err", err)
			continue
		case <-next.settled:
		}
		c.cancel(errOver)
		<-ended
		h.log.Info("a new session has taken over before the end of the old one", "controller", next.client.host())
		c, ended = next, nextEnded
		h.changed()
	}
}

func jitter01(part float64) float64 { return part * (1 - 0.02*rand.Float64()) }

// untrusted explains a certificate that was refused.
func untrusted(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(e.UnverifiedCertificates) > 0 {
		return fmt.Sprintf("the controller's certificate has the SHA-256 fingerprint %s: if it is the right one, set APIC_TLS_FINGERPRINT to it, or APIC_CA_FILE to the CA that signed it",
			fingerprint(e.UnverifiedCertificates[0]))
	}
	if e, ok := errors.AsType[*pinError](err); ok {
		return e.hint()
	}
	return ""
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

type pinError struct{ got string }

func (e *pinError) Error() string {
	return "the controller's certificate is not the one that APIC_TLS_FINGERPRINT names"
}
func (e *pinError) hint() string {
	return "it has the SHA-256 fingerprint " + e.got + ": if the certificate was renewed, set APIC_TLS_FINGERPRINT to it"
}

// TLSConfig makes the TLS settings for the controllers: caFile adds to the
// system's roots, fingerprint (SHA-256, hex, colons allowed) trusts exactly
// one certificate, insecure trusts any. At most one may be given; none trusts
// the system's roots.
func TLSConfig(caFile, fingerprint256 string, insecure bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = x509.NewCertPool()
		}
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
		}
	}
	if fingerprint256 != "" {
		want := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(fingerprint256))
		if b, err := hex.DecodeString(want); err != nil || len(b) != sha256.Size {
			return nil, errors.New("a SHA-256 fingerprint is 64 hexadecimal digits, with or without colons")
		}
		c.InsecureSkipVerify = true // the fingerprint is checked instead
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if got := fingerprint(s.PeerCertificates[0]); got != want {
				return &pinError{got}
			}
			return nil
		}
		return c, nil
	}
	c.InsecureSkipVerify = insecure
	return c, nil
}
