package handlers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/acitap/acitap/web"
)

const (
	sessionLife   = 12 * time.Hour
	maxSessions   = 10_000 // of all
	tokenSessions = 100    // of one token: the oldest goes

	signinBurst = 10              // attempts of one address at once
	signinEvery = 6 * time.Second // and then one in so long
	maxCallers  = 10_000          // addresses that are told apart

	cookieName       = "acitap_session"
	secureCookieName = "__Host-acitap_session" // a browser takes it over TLS only, for this host only
)

// A pageSession lets a browser in that has shown a token. It lives in memory:
// after a restart one signs in again.
type pageSession struct {
	grant *grant
	began time.Time
	ctx   context.Context // ends with its time, with the token, or when its user signs out
	end   context.CancelFunc
}

type pageSessions struct {
	mu       sync.Mutex                         // guards all below
	byCookie map[[sha256.Size]byte]*pageSession // by the sum, so that memory holds no cookie
	attempts map[string]*attempts
}

// attempts is a bucket of tries to sign in.
type attempts struct {
	left float64
	at   time.Time
}

func newPageSessions() *pageSessions {
	return &pageSessions{byCookie: make(map[[sha256.Size]byte]*pageSession), attempts: make(map[string]*attempts)}
}

func cookieOf(r *http.Request) (sum [sha256.Size]byte, ok bool) {
	for _, name := range []string{secureCookieName, cookieName} {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return sha256.Sum256([]byte(c.Value)), true
		}
	}
	return sum, false
}

// of returns the session that a request's cookie names, nil for none.
func (p *pageSessions) of(r *http.Request) *pageSession {
	sum, ok := cookieOf(r)
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.byCookie[sum]
	if one == nil || one.ctx.Err() != nil {
		return nil
	}
	return one
}

// begin makes a session and returns its cookie's value.
func (p *pageSessions) begin(g *grant) string {
	value := rand.Text() + rand.Text()
	one := &pageSession{grant: g, began: time.Now()}
	one.ctx, one.end = context.WithTimeout(g.ctx, sessionLife)
	p.mu.Lock()
	defer p.mu.Unlock()
	own := 0
	var oldest, oldestOwn [sha256.Size]byte
	var first, firstOwn *pageSession
	for sum, s := range p.byCookie {
		switch {
		case s.ctx.Err() != nil:
			s.end()
			delete(p.byCookie, sum)
			continue
		case s.grant == g:
			own++
			if firstOwn == nil || s.began.Before(firstOwn.began) {
				oldestOwn, firstOwn = sum, s
			}
		}
		if first == nil || s.began.Before(first.began) {
			oldest, first = sum, s
		}
	}
	switch {
	case own >= tokenSessions:
		firstOwn.end()
		delete(p.byCookie, oldestOwn)
	case len(p.byCookie) >= maxSessions:
		first.end()
		delete(p.byCookie, oldest)
	}
	p.byCookie[sha256.Sum256([]byte(value))] = one
	return value
}

// leave ends the session of a request.
func (p *pageSessions) leave(r *http.Request) {
	sum, ok := cookieOf(r)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if one := p.byCookie[sum]; one != nil {
		one.end()
		delete(p.byCookie, sum)
	}
}

func (p *pageSessions) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, one := range p.byCookie {
		if one.ctx.Err() == nil {
			n++
		}
	}
	return n
}

// try takes an attempt of an address, or says how long to wait for the next.
func (p *pageSessions) try(addr string) (wait time.Duration) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.attempts[addr]
	if a == nil && len(p.attempts) >= maxCallers {
		for key, old := range p.attempts {
			if old.refill(now); old.left >= signinBurst {
				delete(p.attempts, key)
			}
		}
		if len(p.attempts) >= maxCallers {
			addr = "" // who comes now shares what is left with all others who do
			a = p.attempts[addr]
		}
	}
	if a == nil {
		a = &attempts{left: signinBurst, at: now}
		p.attempts[addr] = a
	}
	if a.refill(now); a.left < 1 {
		return time.Duration((1 - a.left) * float64(signinEvery))
	}
	a.left--
	return 0
}

func (a *attempts) refill(now time.Time) {
	a.left = min(signinBurst, a.left+float64(now.Sub(a.at))/float64(signinEvery))
	a.at = now
}

// forgive gives an attempt back that was good.
func (p *pageSessions) forgive(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.attempts, addr)
}

// network is the address of a caller, of IPv6 the network: one host has as
// many addresses there as it likes.
func network(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Unmap().Is4() {
		return host
	}
	p, _ := ip.WithZone("").Prefix(64)
	return p.String()
}

// secure reports whether the browser speaks TLS, with us or with a proxy. Who
// claims it falsely gets a cookie that it will not send.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func setCookie(w *response, r *http.Request, value string, life time.Duration) {
	c := &http.Cookie{
		Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		MaxAge: int(life.Seconds()), Secure: secure(r),
	}
	if c.Secure {
		c.Name = secureCookieName
	}
	if life == 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// within returns where to go after signing in: the page, at the view that was
// asked for. Anything else would be an open door to other sites.
func within(next string) string {
	if strings.HasPrefix(next, "/?") && !strings.ContainsAny(next, "\\\r\n") {
		return next
	}
	return "/"
}

// signinFor is the sign-in that leads back to the page as it was asked for.
func signinFor(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return "/signin"
	}
	return "/signin?next=" + url.QueryEscape("/?"+r.URL.RawQuery)
}

func redirect(w *response, to string) error {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// signinForm is GET /signin.
func (s *server) signinForm(w *response, r *http.Request) error {
	p, err := queryParams(r)
	if err != nil {
		return err
	}
	next, _ := p.text("next")
	if err := p.err(); err != nil {
		return err
	}
	if s.tokens == nil {
		return redirect(w, "/")
	}
	v := web.SignIn{Next: within(next)}
	if w.who.role != nobody {
		v.Name, v.Role = w.who.name, string(w.who.role)
	}
	return s.showSignin(w, r, http.StatusOK, v)
}

func (s *server) showSignin(w *response, r *http.Request, status int, v web.SignIn) error {
	var b bytes.Buffer
	if err := web.SignInPage(v).Render(r.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	writeBody(w, b.Bytes())
	return nil
}

// signin is POST /signin, sent by the form.
func (s *server) signin(w *response, r *http.Request) error {
	if err := noParams(r); err != nil {
		return err
	}
	form, err := readForm(w, r, "token", "next")
	if err != nil {
		return err
	}
	if s.tokens == nil {
		return redirect(w, "/")
	}
	next, addr := within(form.Get("next")), network(r)
	if wait := s.signed.try(addr); wait > 0 {
		seconds := int((wait + time.Second - 1) / time.Second)
		e := refuse(http.StatusTooManyRequests, "too many attempts to sign in have come from your address; try again in %d s", seconds).counted(refusedSignin)
		e.retryAfter = seconds
		s.log.WarnContext(r.Context(), "too many attempts to sign in", "request", w.id, "caller", addr)
		return s.signinFailed(w, r, e, next)
	}
	g := s.tokens.find(strings.TrimSpace(form.Get("token")))
	if g == nil {
		s.log.WarnContext(r.Context(), "sign-in refused", "request", w.id, "caller", addr)
		e := refuse(http.StatusUnauthorized, "this token is not let in; check that it was copied whole, or ask an operator for a new one").counted(refusedToken)
		e.challenge = `Bearer realm="acitap"`
		return s.signinFailed(w, r, e, next)
	}
	s.signed.forgive(addr)
	s.signed.leave(r) // of whoever sat here before
	setCookie(w, r, s.signed.begin(g), sessionLife)
	s.log.InfoContext(r.Context(), "signed in", "request", w.id, "caller", addr, "name", g.name, "role", string(g.role))
	return redirect(w, next)
}

// signinFailed shows the form again, or answers a program.
func (s *server) signinFailed(w *response, r *http.Request, e *refusal, next string) error {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return e
	}
	s.refused(e)
	if e.challenge != "" {
		w.Header().Set("WWW-Authenticate", e.challenge)
	}
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.retryAfter))
	}
	return s.showSignin(w, r, e.status, web.SignIn{Next: next, Mistake: e.detail})
}

// signout is POST /signout.
func (s *server) signout(w *response, r *http.Request) error {
	if err := noParams(r); err != nil {
		return err
	}
	s.signed.leave(r)
	setCookie(w, r, "", 0)
	return redirect(w, "/signin")
}

// readForm reads a small form that has no other fields than those named.
func readForm(w *response, r *http.Request, fields ...string) (url.Values, error) {
	if t := r.Header.Get("Content-Type"); !strings.HasPrefix(t, "application/x-www-form-urlencoded") {
		return nil, refuse(http.StatusBadRequest, "this is for the form of the sign-in page, as application/x-www-form-urlencoded; programs send Authorization: Bearer TOKEN and need not sign in")
	}
	b, err := readAll(w, r)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(b))
	if err != nil { // the error would quote what may be a token
		return nil, refuse(http.StatusBadRequest, "the form cannot be read; send it again from /signin")
	}
	p := &params{values: form, known: make(map[string]bool)}
	for _, name := range fields {
		p.text(name)
	}
	return form, p.err()
}
