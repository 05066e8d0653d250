package handlers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	public Role = "public" // without a token
	nobody Role = ""       // a route that was forgotten here
)

// needs is who may call what: the least role of every route. A route that is
// not here is open to nobody (a test finds it). Beyond this table, taking from a
// class's own queue is an operator's: see [server.next].
var needs = map[string]Role{
	"GET /livez":         public,
	"GET /readyz":        public,
	"GET /healthz":       public,
	"GET /openapi.json":  public,
	"GET /asyncapi.json": public,
	"GET /docs":          public,
	"GET /static/*":      public, // the page's files, which are the same everywhere
	"GET /signin":        public,
	"POST /signin":       public,
	"POST /signout":      public,

	"GET /":        Reader, // a browser without a session is led to /signin
	"GET /metrics": Reader,
	"GET /session": Reader,

	"GET /subscriptions":                 Reader,
	"POST /subscriptions":                Operator,
	"GET /subscriptions/{class}":         Reader,
	"POST /subscriptions/{class}":        Operator,
	"DELETE /subscriptions/{class}":      Operator,
	"GET /subscriptions/{class}/{id}":    Reader,
	"DELETE /subscriptions/{class}/{id}": Operator,

	"GET /events/{class}/next":                Reader, // with consumer=NAME
	"POST /events/{class}/next":               Reader, // with consumer=NAME
	"GET /events/{class}/pending":             Reader,
	"GET /events/{class}/consumers":           Reader,
	"DELETE /events/{class}/consumers/{name}": Reader, // a queue of its own

	"GET /events":                Reader,
	"GET /events/{class}":        Reader,
	"GET /events/{id:[0-9]+}":    Reader,
	"GET /events/stream":         Reader,
	"GET /events/{class}/stream": Reader,
	"GET /wait":                  Reader,
	"GET /objects/{class}":       Reader,
	"GET /objects/{class}/*":     Reader,

	"GET /webhooks":                 Reader,
	"POST /webhooks":                Operator,
	"GET /webhooks/presets":         Reader,
	"POST /webhooks/preview":        Operator, // it runs a template
	"GET /webhooks/{id}":            Reader,
	"PATCH /webhooks/{id}":          Operator,
	"DELETE /webhooks/{id}":         Operator,
	"GET /webhooks/{id}/deliveries": Reader,
	"POST /webhooks/{id}/test":      Operator,
	"POST /webhooks/{id}/rotate":    Operator,
	"POST /webhooks/{id}/redeliver": Operator,
	"POST /webhooks/{id}/rewind":    Operator,
}

// An identity is who sends a request.
type identity struct {
	name string // of the token, "" for none
	role Role   // nobody without a token where there are tokens
	life context.Context
	why  error // with nobody: the answer where a role is needed
}

// identify says who sends a request. It refuses nothing: there are routes that
// need nobody.
func (s *server) identify(r *http.Request) identity {
	if s.tokens == nil {
		return identity{role: Operator} // whoever can reach loopback
	}
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return identity{why: s.unknown("invalid_request", "the header must be Authorization: Bearer TOKEN; there is no other scheme here")}
		}
		g := s.tokens.find(strings.TrimSpace(token))
		if g == nil {
			return identity{why: s.unknown("invalid_token", "this token is not let in: it was replaced or mistyped, or does not stand in the service's ACITAP_TOKENS_FILE; an operator makes one with acitap token NAME --role reader")}
		}
		return identity{name: g.name, role: g.role, life: g.ctx}
	}
	one := s.signed.of(r)
	if one == nil {
		return identity{why: s.unknown("", "a token is needed: send Authorization: Bearer TOKEN, or sign in at /signin with a browser; an operator makes one with acitap token NAME --role reader")}
	}
	if err := s.foreign(r); err != nil {
		return identity{why: refuse(http.StatusForbidden, "the session of acitap's page does not count for requests from another origin: send a token as Authorization: Bearer TOKEN").because(err).counted(refusedCrossSite)}
	}
	return identity{name: one.grant.name, role: one.grant.role, life: one.ctx}
}

// unknown is the answer to who is not known; code is of RFC 6750.
func (s *server) unknown(code, detail string) error {
	e := refuse(http.StatusUnauthorized, "%s", detail).counted(refusedToken)
	e.challenge = `Bearer realm="acitap"`
	if code != "" {
		e.challenge += `, error="` + code + `"`
	}
	return e
}

// foreign returns an error for a request that a browser sends from another
// origin, reading or writing. A link that was followed is none: who made it
// does not see what it leads to.
func (s *server) foreign(r *http.Request) error {
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && (r.Method == http.MethodGet || r.Method == http.MethodHead) && !takes(r.URL.Path) {
		return nil
	}
	asWrite := *r
	asWrite.Method = http.MethodPost
	return s.own.Check(&asWrite)
}

// permit refuses whom a route is not for.
func (s *server) permit(w *response, need Role) error {
	switch {
	case need == public, w.who.role == Operator && need != nobody, w.who.role == Reader && need == Reader:
		return nil
	case need == nobody:
		return refuse(http.StatusForbidden, "nobody may call this: it is not said who may, which is a defect of acitap").counted(refusedRole)
	case w.who.role == nobody:
		return w.who.why
	}
	return operatorsOnly(w)
}

func operatorsOnly(w *response) error {
	return refuse(http.StatusForbidden, "%s is a reader, and this is for an operator: ask for a token made with --role operator (a reader looks, follows, and takes from queues of its own, with consumer=NAME)", w.who.name).counted(refusedRole)
}

// bound returns a context that ends with ctx, and with the life of a token.
func bound(ctx, life context.Context) (context.Context, func()) {
	if life == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(life, func() { cancel(errRevoked) })
	return ctx, func() { stop(); cancel(nil) }
}

const maxURL = 16 << 10

// admit refuses what nobody may send.
func (s *server) admit(r *http.Request) error {
	if len(r.RequestURI) > maxURL {
		return refuse(http.StatusRequestURITooLong, "the URL is longer than %d bytes, which is the most that is accepted; ask for less at once", maxURL).counted(refusedURL)
	}
	if s.tokens == nil && !s.knownHost(r.Host) {
		return refuse(http.StatusForbidden, "no token is configured, so acitap answers only to localhost and to the address that it listens on, not to %.100q (a web site could have made that name lead here): call it by that address, let a proxy send Host: localhost, or set ACITAP_TOKENS_FILE", r.Host).counted(refusedHost)
	}
	if tokenInURL(r.URL) {
		return refuse(http.StatusBadRequest, "a token does not belong in a URL, which ends up in logs and histories: send it as Authorization: Bearer TOKEN, and if it is a real one, replace it").counted(refusedURLToken)
	}
	if r.ContentLength > maxBody {
		return tooLarge()
	}
	return nil
}

// knownHost reports whether a Host header names this machine's loopback, or
// what the service listens on. Without it, a web site whose name is made to
// point at 127.0.0.1 would be of the same origin as acitap.
func (s *server) knownHost(host string) bool {
	name := hostOf(host)
	if name == "" || name == "localhost" || name == s.listen { // "": HTTP/1.0, no browser
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(addr, "[]"), "."))
}

// shownPath is the path of a URL as it may stand in a log: a token that
// somebody has put there is not.
func shownPath(u *url.URL) string {
	return tokenText.ReplaceAllLiteralString(u.Path, "acitap_redacted")
}

// tokenInURL reports whether a URL carries a token, by its name or by how it
// looks.
func tokenInURL(u *url.URL) bool {
	if tokenText.MatchString(u.Path) {
		return true
	}
	if u.RawQuery == "" {
		return false
	}
	values, _ := url.ParseQuery(u.RawQuery) // what can be read of it
	for name, list := range values {
		switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name)) {
		case "token", "accesstoken", "authtoken", "bearer", "bearertoken", "authorization", "apikey", "xapikey":
			return true
		}
		if slices.ContainsFunc(list, tokenText.MatchString) {
			return true
		}
	}
	return false
}

// CheckOrigin says what is wrong with an origin to be listed for CORS.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case origin == "*":
		return errors.New("* would let every web site in: list origins, as https://noc.example.com")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != origin || origin != strings.ToLower(origin):
		return fmt.Errorf("%q is no origin: write it as a browser does, https://noc.example.com, in lower case and with nothing behind host and port", origin)
	}
	return http.NewCrossOriginProtection().AddTrustedOrigin(origin)
}

// cors answers browsers that ask on behalf of another origin, if it is one of
// those listed. It reports whether that was all.
func (s *server) cors(w *response, r *http.Request) (done bool) {
	if len(s.cross) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(s.cross, origin) {
		return false
	}
	// Credentials are not allowed: the cookie is for acitap's own page.
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Acitap-Gap, Link, Location, Retry-After, WWW-Authenticate, X-Request-Id")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, Last-Event-ID, Cache-Control")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
