package apic

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
)

// Limits of what is asked of an APIC. Its front web server answers 503 to
// bursts, and an administrator looks at whoever asks 15 times a second.
const (
	requestEvery = 115 * time.Millisecond // never two at once, 9 in a second
	loginEvery   = 6 * time.Second        // one in 5 s at the APIC, whatever the network adds
	// requestTimeout is above the 90 s after which APIC's web server gives up
	// by itself (restTimeoutSeconds).
	requestTimeout = 100 * time.Second
	// openTimeout bounds login and opening the socket, and subscribeTimeout what
	// makes a subscription, so that a controller that is back is not waited for
	// in vain on a request it never saw.
	openTimeout      = 15 * time.Second
	subscribeTimeout = 30 * time.Second

	// webTokenLife is what a client in production takes a web token's session to
	// last [ACIC].
	webTokenLife = 12 * time.Hour

	maxBody  = 512 << 20 // a page of a list
	maxFrame = 64 << 20  // a message of the socket
)

// credentials are how acitap shows who it is.
type credentials struct {
	user, password string
	certDN         string          // with key: signature instead of a password
	key            *rsa.PrivateKey // of the certificate that certDN names
}

// A client speaks REST to one controller over one session. It is safe for
// concurrent use; requests wait for their turn under the limiter that all
// clients of a hub share.
type client struct {
	base    *url.URL
	http    *http.Client
	cred    credentials
	limiter *rate.Limiter

	mu    sync.Mutex // guards token, and the decoder while it is used
	token token
	dec   *decoder
}

// A token is what a login or its refresh gave.
type token struct {
	text        string
	idle        time.Duration // its life without a refresh
	at          time.Time     // when it was given, on our clock
	version     string        // the APIC's release
	maximumLife time.Duration // of the session, from the login on; refreshing does not extend it
}

func newClient(base *url.URL, hc *http.Client, cred credentials, limiter *rate.Limiter) *client {
	c := &client{base: base, http: hc, cred: cred, limiter: limiter, dec: newDecoder()}
	c.dec.keepAll = true
	return c
}

// host names the controller in messages.
func (c *client) host() string { return c.base.Host }

func (c *client) current() token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// signed reports whether requests carry a signature instead of a token.
func (c *client) signed() bool { return c.cred.key != nil }

// login begins a session: with the password, or with a web token for a
// certificate user.
func (c *client) login(ctx context.Context) error {
	method, path, body := http.MethodPost, "/api/aaaLogin.json", loginBody(c.cred.user, c.cred.password)
	if c.signed() {
		method, path, body = http.MethodGet, "/api/webtokenSession.json", nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	a, err := c.do(ctx, "login as "+c.cred.user, method, path, body, noCookie)
	if err != nil {
		return err
	}
	return c.adopt(a, "login")
}

// refresh renews the token. It is not called for certificate users, whose
// sessions have no aaaRefresh.
func (c *client) refresh(ctx context.Context) error {
	a, err := c.get(ctx, "token refresh", "/api/aaaRefresh.json")
	if err != nil {
		return err
	}
	return c.adopt(a, "token refresh")
}

// adopt takes the token out of an answer. The object is aaaLogin, also for a
// refresh, or webtokenSession; what counts is the token.
func (c *client) adopt(a answer, op string) error {
	for _, m := range a.objects {
		text, ok := m.attrs.Lookup("token")
		if !ok || text == "" {
			continue
		}
		t := token{
			text: text, at: time.Now(), version: m.attrs.Get("version"),
			idle:        seconds(m.attrs.Get("refreshTimeoutSeconds"), 600*time.Second),
			maximumLife: seconds(m.attrs.Get("maximumLifetimeSeconds"), 24*time.Hour),
		}
		if c.signed() { // a web token says nothing of its life, and cannot be refreshed
			t.maximumLife = webTokenLife
		}
		c.mu.Lock()
		if t.version == "" {
			t.version = c.token.version
		}
		c.token = t
		c.mu.Unlock()
		return nil
	}
	return &Error{Op: op, Controller: c.host(), HTTPStatus: http.StatusOK, Text: "the answer holds no token"}
}

func seconds(s string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 1 || n > 1e8 {
		return otherwise
	}
	return time.Duration(n * float64(time.Second))
}

func (c *client) logout(ctx context.Context) error {
	_, err := c.do(ctx, "logout", http.MethodPost, "/api/aaaLogout.json", loginBody(c.cred.user, ""), queryCookie)
	return err
}

func loginBody(user, password string) []byte {
	attributes := map[string]string{"name": user}
	if password != "" {
		attributes["pwd"] = password
	}
	b, err := json.Marshal(map[string]any{"aaaUser": map[string]any{"attributes": attributes}})
	if err != nil {
		panic(err) // a map of strings
	}
	return b
}

// subscribe makes a subscription of the query and returns its id with the
// first objects, at most one where the query can be paged.
func (c *client) subscribe(ctx context.Context, path string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	a, err := c.do(ctx, "subscribe "+path, http.MethodGet, path, nil, socketCookie)
	if err == nil && a.subscriptionID == "" {
		err = &Error{Op: "subscribe " + path, Controller: c.host(), HTTPStatus: http.StatusOK, Text: "the answer holds no subscriptionId"}
	}
	return a, err
}

// renew extends the life of a subscription.
func (c *client) renew(ctx context.Context, id string) error {
	_, err := c.do(ctx, "subscription refresh", http.MethodGet, "/api/subscriptionRefresh.json?id="+url.QueryEscape(id), nil, socketCookie)
	return err
}

// get asks for objects.
func (c *client) get(ctx context.Context, op, path string) (answer, error) {
	return c.do(ctx, op, http.MethodGet, path, nil, queryCookie)
}

type cookie int

const (
	noCookie     cookie = iota // a login with a password
	queryCookie                // who asks
	socketCookie               // who asks, and to which socket the pushes belong
)

// do sends one request and decodes the answer. Everything but an answer that
// is APIC's own success is an error: an *Error with APIC's words where it
// answered, else that of the transport.
func (c *client) do(ctx context.Context, op, method, path string, body []byte, with cookie) (answer, error) {
	if err := c.limiter.Wait(ctx); err != nil {
		return answer{}, fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.base.String(), "/")+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", op, err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := c.authorize(req.Header, method, path, body, with); err != nil {
		return answer{}, fmt.Errorf("%s: %w", op, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL is in op
		}
		return answer{}, fmt.Errorf("%s: %s: %w", op, c.host(), err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return answer{}, fmt.Errorf("%s: %s: %w", op, c.host(), err)
	}
	c.mu.Lock()
	a, err := c.dec.answer(b)
	c.mu.Unlock()
	switch {
	case err == nil && a.err != nil:
		a.err.Op, a.err.Controller, a.err.HTTPStatus = op, c.host(), resp.StatusCode
		return a, a.err
	case resp.StatusCode != http.StatusOK || err != nil:
		e := &Error{Op: op, Controller: c.host(), HTTPStatus: resp.StatusCode}
		switch {
		case err != nil:
			e.Text = describe(b)
		case resp.StatusCode == http.StatusAccepted:
			e.Text = "accepted, but its queue is full"
		default:
			e.Text = http.StatusText(resp.StatusCode)
		}
		return answer{}, e
	}
	return a, nil
}

// authorize writes the Cookie header, exactly one line of it. An APIC that
// gets two APIC-cookies answers queries and never pushes, so there is no jar.
func (c *client) authorize(h http.Header, method, path string, body []byte, with cookie) error {
	if c.signed() {
		sig, err := c.sign(method, path, body)
		if err != nil {
			return err
		}
		if with == socketCookie {
			sig += "; APIC-WebSocket-Session=" + c.current().text
		}
		h.Set("Cookie", sig)
		return nil
	}
	if with != noCookie {
		h.Set("Cookie", "APIC-cookie="+c.current().text)
	}
	return nil
}

// sign returns the cookies of a signed request: RSA PKCS #1 v1.5 over SHA-256
// of method, path with its query unescaped, and body.
func (c *client) sign(method, path string, body []byte) (string, error) {
	if before, query, ok := strings.Cut(path, "?"); ok {
		if plain, err := url.PathUnescape(query); err == nil {
			query = plain
		}
		path = before + "?" + query
	}
	sum := sha256.Sum256(append([]byte(method+path), body...))
	sig, err := rsa.SignPKCS1v15(rand.Reader, c.cred.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return "APIC-Certificate-Algorithm=v1.0; APIC-Certificate-Fingerprint=fingerprint; APIC-Certificate-DN=" + c.cred.certDN +
		"; APIC-Request-Signature=" + base64.StdEncoding.EncodeToString(sig), nil
}

// dial opens the socket of the session. The token follows /socket with
// nothing in between, as it is: it can hold slashes and equals signs.
func (c *client) dial(ctx context.Context) (*websocket.Conn, error) {
	if err := c.limiter.Wait(ctx); err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	u := *c.base
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	path := "/socket" + c.current().text
	o := &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: make(http.Header)}
	if c.signed() {
		if err := c.authorize(o.HTTPHeader, http.MethodGet, path, nil, queryCookie); err != nil {
			return nil, err
		}
	}
	ws, resp, err := websocket.Dial(ctx, strings.TrimSuffix(u.String(), "/")+path, o)
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, &Error{Op: "open the socket", Controller: c.host(), HTTPStatus: resp.StatusCode, Text: "the socket was refused"}
		}
		// The error's text holds the URL, and the URL the token.
		return nil, fmt.Errorf("open the socket of %s: %w", c.host(), redacted(err, c.current().text))
	}
	ws.SetReadLimit(maxFrame)
	return ws, nil
}

// redacted keeps a secret out of an error's text and what it wraps in reach.
func redacted(err error, secret string) error {
	if secret == "" {
		return err
	}
	text := err.Error()
	for _, form := range []string{secret, url.PathEscape(secret), url.QueryEscape(secret)} {
		text = strings.ReplaceAll(text, form, "…")
	}
	return &redactedError{text, err}
}

type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }
