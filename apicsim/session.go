package apicsim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// session is one login on one controller. The fabric's lock guards it.
type session struct {
	c       *Controller
	id      string // sessionId, also the hash in the DN of its aaaActiveUserSession
	dn      string
	user    string
	remote  string
	web     bool // made by webtokenSession
	token   string
	old     string    // the token before the last refresh
	oldEnd  time.Time // until when that one is honoured
	first   time.Time // of the login
	created time.Time // of the token
	idleEnd time.Time // of the token
	hardEnd time.Time // of the session
	expiry  *timer
	over    bool

	sock *socket // nil: none is open

	// Subscriptions live as long as the socket.
	subs    []*subscription
	byID    map[string]*subscription
	byClass map[*class][]*subscription // those that may concern a class; nil: to be made
}

// tokenTimeout is what every request of a dead session gets.
var tokenTimeout = Answer{Status: 403, Code: "403", Text: "Token was invalid (Error: Token timeout)"}

var noToken = Answer{Status: 403, Code: "403", Text: "Need a valid webtoken cookie (named APIC-Cookie) or a signed request with signature in the cookie APIC-Request-Signature for all REST API requests"}

// cookies are what the Cookie headers say, in order, with names in lower case.
type cookies []struct{ name, value string }

func readCookies(h http.Header) cookies {
	var out cookies
	for _, line := range h.Values("Cookie") {
		for part := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if !ok {
				continue
			}
			if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			out = append(out, struct{ name, value string }{strings.ToLower(name), value})
		}
	}
	return out
}

func (cs cookies) all(name string) []string {
	var out []string
	for _, c := range cs {
		if c.name == name {
			out = append(out, c.value)
		}
	}
	return out
}

func (cs cookies) get(name string) string {
	if all := cs.all(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// caller is who sent a request.
type caller struct {
	s      *session // nil for a signed request without web token
	user   string
	signed bool
	double bool // more than one APIC-cookie: no push will ever come (F23)
}

// authenticateLocked finds the caller of a request, or the refusal.
func (c *Controller) authenticateLocked(r *http.Request, uri string, body []byte) (caller, *Answer) {
	cs := readCookies(r.Header)
	now := time.Now()
	if sig := cs.get("apic-request-signature"); sig != "" {
		user, err := c.f.verify(cs, r.Method, uri, body)
		if err != nil {
			return caller{}, &Answer{Status: 403, Code: "403", Text: err.Error()}
		}
		who := caller{user: user, signed: true}
		if t := cs.get("apic-websocket-session"); t != "" {
			s := c.tokens[t]
			if s == nil || s.over || s.user != user {
				return caller{}, &tokenTimeout
			}
			who.s = s
		}
		return who, nil
	}
	tokens := cs.all("apic-cookie")
	if len(tokens) == 0 {
		return caller{}, &noToken
	}
	for _, t := range tokens {
		if s := c.sessionLocked(t, now); s != nil {
			return caller{s: s, user: s.user, double: len(tokens) > 1}, nil
		}
	}
	if c.seen[tokens[0]] {
		return caller{}, &tokenTimeout
	}
	return caller{}, &noToken
}

// sessionLocked returns the live session of a token.
func (c *Controller) sessionLocked(token string, now time.Time) *session {
	s := c.tokens[token]
	if s == nil || s.over || now.After(s.hardEnd) {
		return nil
	}
	if token == s.token {
		if now.After(s.idleEnd) {
			return nil
		}
		return s
	}
	if token == s.old && now.Before(s.oldEnd) {
		return s
	}
	return nil
}

// verify checks the signature cookies of a request and returns the user.
func (f *Fabric) verify(cs cookies, method, uri string, body []byte) (string, error) {
	dn := cs.get("apic-certificate-dn")
	id, ok := f.opts.CertKeys[dn]
	if !ok || id.Key == nil {
		return "", fmt.Errorf("invalid signature: no certificate %s", dn)
	}
	if cs.get("apic-certificate-algorithm") != "v1.0" || cs.get("apic-certificate-fingerprint") == "" {
		return "", fmt.Errorf("invalid signature: algorithm or fingerprint is missing")
	}
	sig, err := base64.StdEncoding.DecodeString(cs.get("apic-request-signature"))
	if err != nil {
		return "", fmt.Errorf("invalid signature: not base64")
	}
	// What was signed: the query as written, or unescaped.
	path, query, has := strings.Cut(uri, "?")
	texts := []string{uri}
	if has {
		if u, err := url.PathUnescape(query); err == nil {
			texts = append(texts, path+"?"+u)
			if p, err := url.PathUnescape(path); err == nil {
				texts = append(texts, p+"?"+u)
			}
		}
		if query == "" {
			texts = append(texts, path)
		}
	}
	if p, err := url.PathUnescape(path); err == nil && !has {
		texts = append(texts, p)
	}
	for _, t := range texts {
		sum := sha256.Sum256(append([]byte(method+t), body...))
		if rsa.VerifyPKCS1v15(id.Key, crypto.SHA256, sum[:], sig) == nil {
			return cmpOr(id.User, certUser(dn)), nil
		}
	}
	return "", fmt.Errorf("invalid signature: verification failed for certificate %s", dn)
}

// certUser is the user in uni/userext/user-<user>/usercert-<name>.
func certUser(dn string) string {
	parent, _ := splitDN(dn)
	_, rn := splitDN(parent)
	for _, p := range []string{"user-", "appuser-"} {
		if u, ok := strings.CutPrefix(rn, p); ok {
			return u
		}
	}
	return rn
}

// loginLocked checks a login and opens a session.
func (c *Controller) loginLocked(body []byte, remote string) (*session, *Answer) {
	var v struct {
		User struct {
			Attributes struct{ Name, Pwd string }
		} `json:"aaaUser"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, &Answer{Status: 400, Code: "400", Text: "Invalid request. Body is not JSON: " + err.Error()}
	}
	name := v.User.Attributes.Name
	refused := &Answer{Status: 401, Code: "401", Text: "Username or password is incorrect - FAILED local authentication"}
	if rest, ok := cutAny(name, `apic:`, `apic#`); ok {
		domain, user, ok := strings.Cut(rest, `\`)
		if !ok || !slices.Contains(c.f.opts.Domains, domain) {
			return nil, refused
		}
		name = user
	}
	pwd, ok := c.f.passwords[name]
	if !ok || pwd != v.User.Attributes.Pwd {
		return nil, refused
	}
	return c.openLocked(name, remote, false), nil
}

func cutAny(s string, prefixes ...string) (string, bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p); ok {
			return rest, true
		}
	}
	return s, false
}

// openLocked makes a session and the object that shows it.
func (c *Controller) openLocked(user, remote string, web bool) *session {
	now := time.Now()
	if host, _, err := net.SplitHostPort(remote); err == nil {
		remote = host
	}
	s := &session{
		c: c, user: user, remote: remote, web: web, first: now, created: now, hardEnd: now.Add(c.maximumLife()),
		id: base64.StdEncoding.EncodeToString(c.f.randomBytes(16)), byID: map[string]*subscription{},
	}
	s.dn = "uni/usersessext/actsession-" + s.id
	if web {
		s.hardEnd = now.Add(12 * time.Hour)
	}
	c.renewLocked(s)
	c.sessions = append(c.sessions, s)
	stamp := func(t time.Time) string { return t.Add(c.skew).UTC().Format(timeLayout) }
	_ = c.f.transactLocked("internal", c.skew, true, func(tx *Tx) error {
		_ = tx.Create("aaaActiveUserSession", s.dn, pairs([]string{"hashToken", s.id, "ipAddress", cmpOr(remote, "127.0.0.1"),
			"loginTime", stamp(now), "expiryTime", stamp(s.idleEnd), "name", user}))
		if c.f.opts.Records {
			c.f.recordID++
			dn := fmt.Sprintf("subj-[uni/userext/user-%s]/sess-%d", user, c.f.recordID)
			_ = tx.Create("aaaSessionLR", dn, pairs([]string{"affected", "uni/userext/user-" + user, "created", stamp(now),
				"descr", "[user " + user + "] From-" + cmpOr(remote, "127.0.0.1") + "-client-type-REST-Success", "user", user}))
			c.f.records = append(c.f.records, dn)
		}
		return nil
	})
	return s
}

// renewLocked gives the session a new token and a new idle life.
func (c *Controller) renewLocked(s *session) {
	now := time.Now()
	if s.token != "" {
		if s.old != "" {
			delete(c.tokens, s.old)
		}
		s.old, s.oldEnd = s.token, now.Add(c.f.opts.TokenOverlap)
	}
	s.token = c.f.newToken(s)
	s.created = now
	s.idleEnd = now.Add(c.refreshTimeout())
	if s.web {
		s.idleEnd = s.hardEnd
	}
	c.tokens[s.token] = s
	c.seen[s.token] = true
	s.watchLocked()
}

// watchLocked (re)sets the timer that ends the session by itself.
func (s *session) watchLocked() {
	s.expiry.stop()
	end := s.idleEnd
	if s.hardEnd.Before(end) {
		end = s.hardEnd
	}
	s.expiry = s.c.f.after(time.Until(end), func() {
		s.c.f.mu.Lock()
		defer s.c.f.mu.Unlock()
		s.c.endLocked(s, s.c.f.opts.SocketAtEnd)
	})
}

// endLocked ends a session: token, subscriptions, session object, socket.
func (c *Controller) endLocked(s *session, how SocketEnd) {
	if s.over {
		return
	}
	s.over = true
	s.expiry.stop()
	delete(c.tokens, s.old)
	delete(c.tokens, s.token)
	c.sessions = slices.DeleteFunc(c.sessions, func(x *session) bool { return x == s })
	s.dropSubscriptions()
	if k := s.sock; k != nil {
		k.end(how)
	}
	if c.f.tree.object(s.dn) != nil {
		_ = c.f.transactLocked("internal", c.skew, true, func(tx *Tx) error { tx.Delete(s.dn); return nil })
	}
}

// endSessionOf ends the session whose object has been deleted (F36).
func (c *Controller) endSessionOf(dn string) {
	for _, s := range slices.Clone(c.sessions) {
		if s.dn == dn {
			c.endLocked(s, c.f.opts.SocketAtEnd)
		}
	}
}

func (s *session) dropSubscriptions() {
	s.subs, s.byClass = nil, nil
	clear(s.byID)
}

func (f *Fabric) randomBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.rng.Uint32())
	}
	return b
}

func (f *Fabric) newToken(s *session) string {
	if f.opts.TokenStyle == JWTTokens {
		enc := base64.RawURLEncoding.EncodeToString
		head := enc([]byte(`{"alg":"RS256","kid":"` + s.id + `","typ":"jwt"}`))
		body := enc(fmt.Appendf(nil, `{"rbac":[{"domain":"all","rolesR":1,"rolesW":1}],"iss":"ACI APIC","username":%q,"userid":15374,"userflags":0,"iat":%d,"exp":%d,"sessionid":%q,"jti":%q}`,
			s.user, time.Now().Unix(), time.Now().Unix()+600, s.id, base64.StdEncoding.EncodeToString(f.randomBytes(16))))
		return head + "." + body + "." + enc(f.randomBytes(256))
	}
	t := []byte(base64.RawStdEncoding.EncodeToString(f.randomBytes(76))[:101])
	// What breaks careless clients is always there.
	copy(t[17:], "//")
	copy(t[34:], "+")
	copy(t[51:], "/")
	return string(t) + "w=="
}

// loginAnswer is the answer to a login or refresh.
func (c *Controller) loginAnswerLocked(s *session) []byte {
	type m = map[string]any
	attrs := m{
		"token": s.token, "siteFingerprint": "fdsae3r2ewfs",
		"refreshTimeoutSeconds":  fmt.Sprint(int(c.refreshTimeout() / time.Second)),
		"maximumLifetimeSeconds": fmt.Sprint(int(c.maximumLife() / time.Second)),
		"guiIdleTimeoutSeconds":  "1200", "restTimeoutSeconds": "90",
		"creationTime":   fmt.Sprint(s.created.Add(c.skew).Unix()),
		"firstLoginTime": fmt.Sprint(s.first.Add(c.skew).Unix()),
		"userName":       s.user, "remoteUser": "false", "unixUserId": "15374", "sessionId": s.id, "lastName": "", "firstName": "",
		"changePassword": "no", "version": c.f.opts.Version, "buildTime": "Fri Jan 27 05:04:07 UTC 2023",
		"node": c.nodeDN(),
	}
	key := "aaaLogin"
	switch c.fault.loginShape {
	case LoginNumbers:
		for _, k := range []string{"refreshTimeoutSeconds", "maximumLifetimeSeconds", "guiIdleTimeoutSeconds", "restTimeoutSeconds", "creationTime", "firstLoginTime"} {
			attrs[k] = json.Number(attrs[k].(string))
		}
		attrs["remoteUser"] = false
	case LoginRefreshKey:
		key = "aaaRefresh"
	case LoginBare:
		attrs = m{"token": s.token}
	case LoginExtra:
		attrs["quantumState"] = "superposed"
		attrs["limits"] = []string{"a", "b"}
	}
	domain := m{"aaaUserDomain": m{
		"attributes": m{"name": "all", "rolesR": "admin", "rolesW": "admin"},
		"children": []any{
			m{"aaaReadRoles": m{"attributes": m{}}},
			m{"aaaWriteRoles": m{"attributes": m{}, "children": []any{m{"role": m{"attributes": m{"name": "admin"}}}}}},
		}}}
	obj := m{"attributes": attrs, "children": []any{domain,
		m{"DnDomainMapEntry": m{"attributes": m{"dn": "uni/tn-common", "readPrivileges": "admin", "writePrivileges": "admin"}}}}}
	if c.fault.loginShape == LoginBare {
		delete(obj, "children")
	}
	b, err := json.Marshal(m{"totalCount": "1", "imdata": []any{m{key: obj}}})
	if err != nil {
		panic(err) // only strings in maps
	}
	return b
}
