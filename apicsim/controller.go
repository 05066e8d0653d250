package apicsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Controller is one APIC of the cluster: an [http.Handler] for /api/… and
// /socket<token>. Serve it at the root of a server, without a ServeMux in
// between: a mux would clean the token's slashes away.
//
// Sessions, tokens, sockets and subscription ids are its own.
type Controller struct {
	f     *Fabric
	index int
	walks atomic.Uint64 // unordered pages served, the seed of their disorder

	// The fabric's lock guards all below.
	sessions []*session // in the order of their logins
	tokens   map[string]*session
	seen     map[string]bool // every token ever given: tells "timeout" from "unknown"
	sockets  []*socket       // open ones, oldest first
	nextID   uint64
	zone     *time.Location
	skew     time.Duration
	stale    *tree // F29: what queries see instead of the tree; nil as a rule
	fault    *faults
	match    [2][]*subscription // scratch of push
	stamped  struct {           // the last modTs that was written
		ms   int64
		zone *time.Location
		text string
	}
	conns *tracker // what Listener has accepted; nil without
}

func newController(f *Fabric, i int) *Controller {
	c := &Controller{f: f, index: i, tokens: map[string]*session{}, seen: map[string]bool{}, zone: time.UTC}
	c.fault = newFaults()
	return c
}

func (c *Controller) nodeDN() string { return fmt.Sprintf("topology/pod-1/node-%d", c.index+1) }

func (c *Controller) refreshTimeout() time.Duration {
	if d := c.fault.refreshTimeout; d > 0 {
		return d
	}
	return c.f.opts.RefreshTimeout
}

func (c *Controller) maximumLife() time.Duration {
	if d := c.fault.maximumLife; d > 0 {
		return d
	}
	return c.f.opts.MaximumLifetime
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	at     int64 // place in the request log
}

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// rawURI is the request target as it came, path and query, nothing cleaned.
func rawURI(r *http.Request) string {
	uri := r.RequestURI
	if uri == "" { // not from a server
		uri = r.URL.RequestURI()
	}
	if strings.HasPrefix(uri, "http://") || strings.HasPrefix(uri, "https://") {
		_, rest, _ := strings.Cut(uri, "://")
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
		return "/"
	}
	return uri
}

// maxBody bounds what a request may bring.
const maxBody = 64 << 20

// ServeHTTP answers one request.
func (c *Controller) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &recorder{ResponseWriter: rw}
	uri := rawURI(r)
	start := time.Now()
	entry := Request{Time: start, Controller: c.index, Method: r.Method, URI: uri, Cookies: len(readCookies(r.Header).all("apic-cookie"))}
	if strings.HasPrefix(uri, "/socket") {
		entry.URI = "/socket"
	}
	w.at = c.f.stats.begin(entry)
	defer func() { c.f.stats.end(w.at, w.status, time.Since(start)) }()
	// What the clock of this controller says, right or wrong.
	c.f.mu.RLock()
	skew := c.skew
	c.f.mu.RUnlock()
	w.Header().Set("Date", start.Add(skew).UTC().Format(http.TimeFormat))
	w.Header().Set("Server", "Cisco APIC")

	if a := c.interfere(r.Method, uri); a != nil {
		if !a.through {
			c.answer(w, r, *a)
			return
		}
		if !c.wait(r, a.Delay) {
			panic(http.ErrAbortHandler)
		}
	}
	if strings.HasPrefix(uri, "/socket") {
		c.serveSocket(w, r, uri)
		return
	}
	path, query, _ := strings.Cut(uri, "?")
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		c.answer(w, r, Answer{Status: 404, HTML: true})
		return
	}
	name, err := url.PathUnescape(rest)
	if err != nil {
		c.answer(w, r, *bad("400", "Invalid request. Malformed escape in the path"))
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		c.answer(w, r, Answer{Status: 413, HTML: true})
		return
	}
	c.serveAPI(w, r, uri, name, query, body)
}

// empty is the answer to what succeeded and has nothing to say.
var empty = []byte(`{"totalCount":"0","imdata":[]}`)

func (c *Controller) serveAPI(w *recorder, r *http.Request, uri, name, query string, body []byte) {
	f := c.f
	method, xml := cutFormat(name)
	switch method {
	case "aaaListDomains":
		c.serveDomains(w)
		return
	case "aaaLogin":
		f.mu.Lock()
		s, a := c.loginLocked(body, r.RemoteAddr)
		c.finishLogin(w, r, s, a)
		return
	}
	f.mu.Lock()
	who, a := c.authenticateLocked(r, uri, body)
	if a != nil {
		f.mu.Unlock()
		c.answerAs(w, r, *a, xml)
		return
	}
	switch method {
	case "aaaRefresh":
		if who.s == nil || who.signed {
			f.mu.Unlock()
			c.answer(w, r, noToken)
			return
		}
		c.renewLocked(who.s)
		_ = f.transactLocked("internal", c.skew, true, func(tx *Tx) error {
			if !tx.Exists(who.s.dn) {
				return nil
			}
			return tx.Modify(who.s.dn, map[string]string{"expiryTime": who.s.idleEnd.Add(c.skew).UTC().Format(timeLayout)})
		})
		c.finishLogin(w, r, who.s, nil)
		return
	case "aaaLogout":
		if who.s != nil {
			c.endLocked(who.s, CloseNormal)
		}
		f.mu.Unlock()
		c.write(w, empty, false)
		return
	case "webtokenSession":
		s := who.s
		if who.signed {
			s = c.openLocked(who.user, r.RemoteAddr, true)
		}
		token := s.token
		f.mu.Unlock()
		c.write(w, fmt.Appendf(nil, `{"totalCount":"1","imdata":[{"webtokenSession":{"attributes":{"token":%q}}}]}`, token), false)
		return
	case "requestAppToken":
		if !who.signed {
			f.mu.Unlock()
			c.answer(w, r, Answer{Status: 403, Code: "403", Text: "Invalid signature: requestAppToken must be signed"})
			return
		}
		c.finishLogin(w, r, c.openLocked(who.user, r.RemoteAddr, false), nil)
		return
	case "subscriptionRefresh":
		a := c.refreshLocked(who, query)
		f.mu.Unlock()
		if a != nil {
			c.answerAs(w, r, *a, xml)
			return
		}
		if xml {
			c.write(w, []byte(`<?xml version="1.0" encoding="UTF-8"?><imdata totalCount="0"></imdata>`), true)
			return
		}
		c.write(w, empty, false)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		c.serveQuery(w, r, who, name, query, uri, xml) // unlocks
	case http.MethodPost, http.MethodDelete:
		a := c.changeLocked(r.Method, who, method, body)
		f.mu.Unlock()
		if a != nil {
			c.answerAs(w, r, *a, xml)
			return
		}
		c.write(w, empty, false)
	default:
		f.mu.Unlock()
		c.answer(w, r, Answer{Status: 405, HTML: true})
	}
}

// finishLogin answers a login or refresh; it releases the fabric's lock.
func (c *Controller) finishLogin(w *recorder, r *http.Request, s *session, a *Answer) {
	if a != nil {
		c.f.mu.Unlock()
		c.answer(w, r, *a)
		return
	}
	out, token := c.loginAnswerLocked(s), s.token
	c.f.mu.Unlock()
	w.Header().Add("Set-Cookie", "APIC-cookie="+token+"; path=/; HttpOnly; Secure")
	c.write(w, out, false)
}

func (c *Controller) serveDomains(w *recorder) {
	var list []any
	for _, d := range c.f.opts.Domains {
		list = append(list, map[string]string{"name": d, "type": "DefaultAuth"})
	}
	b, _ := json.Marshal(map[string]any{"totalCount": strconv.Itoa(len(list)), "imdata": list})
	c.write(w, b, false)
}

// noSocket is the answer to everything about subscriptions without a socket.
var noSocket = Answer{Status: 405, Code: "405", Text: "Subscription request failed, unable to locate opened web socket. Please re-login to the application"}

func (c *Controller) refreshLocked(who caller, query string) *Answer {
	if who.s == nil || who.s.sock == nil {
		return &noSocket
	}
	ps, a := params(query)
	if a != nil {
		return a
	}
	var id string
	var life time.Duration
	for _, p := range ps {
		switch p[0] {
		case "id":
			id = p[1]
		case "refresh-timeout":
			n, _ := strconv.Atoi(p[1])
			life = time.Duration(n) * time.Second
		}
	}
	return who.s.refresh(id, life)
}

// changeLocked carries out POST and DELETE.
func (c *Controller) changeLocked(method string, who caller, path string, body []byte) *Answer {
	if c.fault.readOnly {
		return &Answer{Status: 503, Code: "503", Text: "Unable to deliver the message, Resolve timeout from (type/num/svc/shard) = policymgr:1:1:" + strconv.Itoa(c.index+1)}
	}
	rest := strings.TrimPrefix(path, "node/")
	dn, ok := strings.CutPrefix(rest, "mo/")
	if !ok {
		if rest != "mo" && rest != "class" {
			return bad("400", "Request failed, unresolved class for %s", path)
		}
		dn = ""
	}
	if a := c.forbidden(dn); a != nil {
		return a
	}
	var ops []postOp
	if method == http.MethodPost {
		var err error
		if ops, err = parsePost(body); err != nil {
			return refusal(err)
		}
	}
	err := c.f.transactLocked(who.user, c.skew, false, func(tx *Tx) error {
		if method == http.MethodDelete {
			tx.Delete(dn)
			return nil
		}
		return tx.post(dn, ops)
	})
	if err != nil {
		return refusal(err)
	}
	return nil
}

func refusal(err error) *Answer {
	if p, ok := errors.AsType[*postError](err); ok {
		return bad(p.code, "%s", p.text)
	}
	return bad("400", "%v", err)
}

// serveQuery answers a GET. It is entered with the fabric's lock, and releases it.
func (c *Controller) serveQuery(w *recorder, r *http.Request, who caller, name, raw, uri string, xml bool) {
	f := c.f
	q, a := c.parseQueryLocked(name, raw)
	if a == nil {
		a = c.forbiddenQuery(q)
	}
	if a == nil && q.subscribe && (who.s == nil || who.s.sock == nil) {
		a = &noSocket
	}
	if a == nil && c.fault.hollow != nil {
		a = c.fault.hollow.answer
	}
	if a != nil {
		f.mu.Unlock()
		c.answerAs(w, r, *a, xml)
		return
	}
	if !q.subscribe {
		// Encoding takes a while; other readers need not wait.
		f.mu.Unlock()
		f.mu.RLock()
	}
	unlock := f.mu.RUnlock
	if q.subscribe {
		unlock = f.mu.Unlock
	}
	t := f.tree
	if c.stale != nil {
		t = c.stale
	}
	slow := c.fault.slow(uri)
	late := slow != nil && slow.Late
	fault := c.fault
	var nodes []*node
	if !late {
		nodes = c.runLocked(q, t)
	}
	if fault.hollow != nil {
		nodes = nil
	}
	if limit := cmpLimit(fault.tooBig, f.opts.MaxResult); q.size == 0 && !q.count && len(nodes) > limit {
		status := cmpLimit(fault.tooBigStatus, 400)
		unlock()
		c.answerAs(w, r, Answer{Status: status, Code: "400", Text: "Unable to process the query, result dataset is too big"}, xml)
		return
	}
	id := ""
	if q.subscribe {
		sub := who.s.subscribe(q, uri, who.double)
		id = sub.id
	}
	build := func() []byte {
		total := len(nodes)
		if q.count {
			total = 1
		}
		rng := rand.New(rand.NewPCG(f.opts.Seed, c.walks.Add(1)))
		page := nodes
		if !q.count {
			page = q.cut(nodes, rng, f.opts.StableOrder)
		}
		if who.double && q.subscribe {
			page, total = nil, 0 // F23
		}
		page = fault.shorten(page, q.size > 0)
		return c.encodeLocked(q, t, page, total, id)
	}
	var out []byte
	if !late {
		out = build()
	}
	unlock()
	// The snapshot is of the moment of the subscription; what changes while the
	// answer waits is pushed before it (F16).
	if slow != nil && !c.wait(r, slow.Delay) {
		panic(http.ErrAbortHandler)
	}
	if late {
		f.mu.RLock()
		nodes = c.runLocked(q, t)
		out = build()
		f.mu.RUnlock()
	}
	if slow != nil && slow.Rate > 0 {
		c.trickle(w, r, out, slow.Rate)
		return
	}
	c.write(w, out, q.xml)
}

func cmpLimit(a, b int) int {
	if a > 0 {
		return a
	}
	return b
}

// write sends a 200.
func (c *Controller) write(w *recorder, body []byte, xml bool) {
	ct := "application/json"
	if xml {
		ct = "text/xml"
	}
	w.Header().Set("Content-Type", ct)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Cache-Control", "no-cache=\"Set-Cookie, Set-Cookie2\"")
	_, _ = w.Write(body) // a client that has gone away is its own business
}

// trickle sends a 200 at so many bytes a second.
func (c *Controller) trickle(w *recorder, r *http.Request, body []byte, rate int) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	rc := http.NewResponseController(w.ResponseWriter)
	step := max(rate/10, 1)
	for len(body) > 0 {
		n := min(step, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return
		}
		_ = rc.Flush()
		body = body[n:]
		if !c.wait(r, time.Duration(n)*time.Second/time.Duration(rate)) {
			panic(http.ErrAbortHandler)
		}
	}
}

// wait waits; false if the client or the fabric has gone before.
func (c *Controller) wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	var gone <-chan struct{}
	if r != nil {
		gone = r.Context().Done()
	}
	select {
	case <-t.C:
		return true
	case <-gone:
	case <-c.f.done:
	}
	return false
}

// Answer is what a fault answers instead of the truth.
type Answer struct {
	Status int           // 0 counts as 200
	Code   string        // of the JSON error; "" is the status
	Text   string        // of the JSON error; "" for an empty body
	HTML   bool          // a page of the web server in front, as for 502, 503, 504
	Body   []byte        // a body of its own
	Hang   bool          // no answer until the client gives up or the fault is healed
	Reset  bool          // the connection is torn down
	Delay  time.Duration // before the answer

	through bool // after the delay, go on as usual
}

// answer sends a refusal as JSON.
func (c *Controller) answer(w *recorder, r *http.Request, a Answer) { c.answerAs(w, r, a, false) }

func (c *Controller) answerAs(w *recorder, r *http.Request, a Answer, xml bool) {
	if !c.wait(r, a.Delay) {
		panic(http.ErrAbortHandler)
	}
	if a.Hang {
		c.hang(r)
		a.Reset = true
	}
	if a.Reset {
		if conn, _, err := http.NewResponseController(w.ResponseWriter).Hijack(); err == nil {
			resetConn(conn)
			_ = conn.Close()
			return
		}
		panic(http.ErrAbortHandler)
	}
	status := cmpLimit(a.Status, 200)
	body, ct := a.Body, "application/json"
	switch {
	case body != nil:
	case a.HTML:
		ct = "text/html"
		text := http.StatusText(status)
		if status == 503 {
			text = "Service Temporarily Unavailable"
		}
		body = fmt.Appendf(nil, "<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
			status, text, status, text)
	case a.Text != "":
		code := a.Code
		if code == "" {
			code = strconv.Itoa(status)
		}
		if xml {
			ct = "text/xml"
			body = append(body, `<?xml version="1.0" encoding="UTF-8"?><imdata totalCount="1"><error code=`...)
			body = appendXML(body, code)
			body = appendXML(append(body, " text="...), a.Text)
			body = append(body, "/></imdata>"...)
			break
		}
		body = append(body, `{"totalCount":"1","imdata":[{"error":{"attributes":{"code":`...)
		body = appendString(body, code)
		body = appendString(append(body, `,"text":`...), a.Text)
		body = append(body, "}}}]}"...)
	}
	w.Header().Set("Content-Type", ct)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
