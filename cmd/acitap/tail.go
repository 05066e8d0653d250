package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const tailUsage = `acitap tail [CLASS…] [flags]

Follows the events of a running acitap: of the classes (fvTenant or Tenant), or of
all that is subscribed. It comes back by itself after every break, where it
stopped: nothing is left out or shown twice, and where the service has lost sight of
the fabric, or of what it had, a gap is shown.

The token, where one is needed, comes from ACITAP_TOKEN or --token-file; the
address from --url or ACITAP_URL. Colours are for terminals, and off with NO_COLOR.

Exit status:
  0    with --until-match: an event came; without: --timeout is over, or Ctrl-C
  1    something went wrong on this side (a file, the output), or Ctrl-C before a match
  2    the arguments cannot be, or the service refuses them
  3    with --until-match: no event came within --timeout
  4    the service does not let this token in, or not do this

Flags:
`

const (
	exitNoMatch = 3
	exitDenied  = 4
)

// A tailer follows one stream of a service.
type tailer struct {
	client  *http.Client
	base    *url.URL // of the service
	url     *url.URL // of the stream, without a place
	classes []string
	token   secret
	since   string // the place of the first connection
	json    bool
	colour  bool
	until   bool // end at the first event
	stdout  io.Writer
	stderr  io.Writer
	last    string // the place to come back to
	newest  int64  // the id of the last entry that was shown
	state   string // of the sessions, as they were told
	started bool   // a connection has stood
}

// Why a tail ends. Other errors are breaks, after which it comes back.
var (
	errMatched = errors.New("an event came")
	errTimeout = errors.New("the time is over")
)

// A deniedError is an answer that will be the same the next time.
type deniedError struct {
	code int
	text string
}

func (e *deniedError) Error() string { return e.text }

type listFlag []string

func (l *listFlag) String() string     { return strings.Join(*l, ",") }
func (l *listFlag) Set(s string) error { *l = append(*l, s); return nil }

func tail(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	t, timeout, err := newTailer(args, environ, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "acitap tail: %v\n", err)
		return exitUsage
	}
	return t.follow(ctx, timeout)
}

// newTailer reads flags and environment.
func newTailer(args, environ []string, stdout, stderr io.Writer) (t *tailer, timeout time.Duration, err error) {
	env := make(map[string]string)
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	t = &tailer{stdout: stdout, stderr: stderr}
	set := flag.NewFlagSet("acitap tail", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() { fmt.Fprint(stderr, tailUsage); set.PrintDefaults() }
	var attrs listFlag
	selectors := make(map[string]*string)
	for name, help := range map[string]string{
		"dn":     "only this `DN`, what is below uni/tn-prod/ , or a pattern (* within an RN, ** across)",
		"status": "only created, modified or deleted, comma-separated", "origin": "only live, snapshot or resync, comma-separated",
		"fabric": "only of the fabric", "tenant": "only of the tenant", "node": "only of the node",
		"filter": "an `expression`, as object.severity in [\"critical\",\"major\"] and tenant == \"prod\"",
	} {
		selectors[name] = set.String(name, "", help)
	}
	set.Var(&attrs, "attr", "`NAME=VALUE[,VALUE]`: only objects with one of these values; may be repeated")
	var (
		base      = set.String("url", cmp.Or(env["ACITAP_URL"], "http://127.0.0.1:8080"), "`address` of the service (ACITAP_URL)")
		tokenFile = set.String("token-file", "", "read the token from this `file` (default ACITAP_TOKEN)")
		caFile    = set.String("ca-file", "", "trust this CA (PEM `file`) for the service")
		colour    = set.String("color", "auto", "auto, always or never")
	)
	set.StringVar(&t.since, "since", "", "`place` to begin behind: an id, an age (15m), a time, earliest; default now")
	set.BoolVar(&t.json, "json", false, "a line of JSON for each event and each gap, as the service has it")
	set.BoolVar(&t.until, "until-match", false, "end with status 0 at the first event")
	set.DurationVar(&timeout, "timeout", 0, "end after so `long`; 0 for never")
	classes, err := parseAround(set, args)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			err = errors.New("see acitap tail -h")
		}
		return nil, 0, err
	}
	u, err := url.Parse(*base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, 0, fmt.Errorf("--url: %q is no address of a service: write it as http://127.0.0.1:8080", *base)
	}
	if u.User != nil || u.RawQuery != "" {
		return nil, 0, errors.New("--url: must be scheme, host and path only; a token goes into ACITAP_TOKEN or --token-file")
	}
	if timeout < 0 {
		return nil, 0, errors.New("--timeout: must not be below 0")
	}
	query := make(url.Values)
	if len(classes) > 0 {
		query.Set("class", strings.Join(classes, ","))
	}
	for name, value := range selectors {
		if *value != "" {
			query.Set(name, *value)
		}
	}
	for _, a := range attrs {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return nil, 0, fmt.Errorf("--attr: %q is not NAME=VALUE", a)
		}
		query.Set("attr."+name, value)
	}
	t.base, t.classes = u, classes
	t.url = u.JoinPath("events", "stream")
	t.url.RawQuery = query.Encode()

	t.token = secret(env["ACITAP_TOKEN"])
	if *tokenFile != "" {
		b, err := os.ReadFile(*tokenFile)
		if err != nil {
			return nil, 0, fmt.Errorf("--token-file: %w", err)
		}
		t.token = secret(strings.TrimSpace(string(b)))
	}
	if t.token != "" && u.Scheme == "http" && !loopback(u.Hostname()) {
		fmt.Fprintf(stderr, "acitap tail: the token goes to %s in the clear; use https where you can\n", u.Host)
	}
	switch *colour {
	case "always":
		t.colour = true
	case "auto":
		t.colour = env["NO_COLOR"] == "" && env["TERM"] != "dumb" && terminal(stdout)
	case "never":
	default:
		return nil, 0, fmt.Errorf("--color: %q is none of auto, always, never", *colour)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck,forcetypeassert // it is one
	transport.ResponseHeaderTimeout = time.Minute
	if *caFile != "" {
		pem, err := os.ReadFile(*caFile)
		if err != nil {
			return nil, 0, fmt.Errorf("--ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, 0, fmt.Errorf("--ca-file: %s holds no certificate", *caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	// A redirect is followed by nobody: it might lead the token elsewhere.
	t.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return t, timeout, nil
}

// terminal reports whether somebody looks at what is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const (
	tailSilence = 45 * time.Second // the service says something every 15 s
	tailPause   = 30 * time.Second // between tries, at the most
)

// follow comes back until there is a reason to end, and returns the status.
func (t *tailer) follow(ctx context.Context, timeout time.Duration) int {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
		defer cancel()
	}
	pause := time.Duration(0)
	for {
		began := time.Now()
		err := t.connect(ctx)
		var denied *deniedError
		switch {
		case errors.Is(err, errMatched):
			return exitOK
		case ctx.Err() != nil:
			switch {
			case !t.until:
				return exitOK
			case errors.Is(context.Cause(ctx), errTimeout):
				fmt.Fprintf(t.stderr, "acitap tail: no event came within %s\n", timeout)
				return exitNoMatch
			}
			return exitFailed
		case errors.As(err, &denied):
			fmt.Fprintf(t.stderr, "acitap tail: %s\n", printable(denied.text))
			return denied.code
		case errors.Is(err, errOutput):
			fmt.Fprintf(t.stderr, "acitap tail: %v\n", err)
			return exitFailed
		}
		if time.Since(began) > tailPause { // it stood for a while
			pause = 0
		}
		wait := pause + rand.N(time.Second)
		pause = min(max(2*pause, time.Second), tailPause)
		t.note("%v; trying again", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// note says on the terminal what is not an event.
func (t *tailer) note(format string, args ...any) {
	text := printable(fmt.Sprintf(format, args...))
	if t.colour {
		text = "\x1b[2m" + text + "\x1b[0m"
	}
	fmt.Fprintf(t.stderr, "%s acitap tail: %s\n", time.Now().Format("15:04:05"), text)
}

var errOutput = errors.New("the output cannot be written")

// connect follows the stream until it breaks.
func (t *tailer) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	target := *t.url
	if t.last == "" && t.since != "" {
		q := target.Query()
		q.Set("since", t.since)
		target.RawQuery = q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("User-Agent", "acitap-tail")
	t.authorize(req)
	if t.last != "" {
		req.Header.Set("Last-Event-ID", t.last)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok { // the URL says nothing new
			err = e.Err
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return &deniedError{exitFailed, fmt.Sprintf("%s is not trusted: %v; give the CA that signed its certificate as --ca-file", target.Host, err)}
		}
		return fmt.Errorf("%s cannot be reached: %w", target.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusedTail(resp)
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return &deniedError{exitUsage, fmt.Sprintf("what answers at %s is no acitap: it sent %q instead of a stream", target.Host, resp.Header.Get("Content-Type"))}
	}
	if t.started {
		t.note("connected again")
	} else {
		t.unsubscribed(ctx)
	}
	t.started = true
	silence := time.AfterFunc(tailSilence, func() { cancel(errors.New("the service has fallen silent")) })
	defer silence.Stop()
	err = t.read(resp.Body, func() { silence.Reset(tailSilence) })
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errMatched) {
		return cause
	}
	return err
}

func (t *tailer) authorize(req *http.Request) {
	if t.token != "" {
		req.Header.Set("Authorization", "Bearer "+string(t.token))
	}
}

// unsubscribed says of which classes nothing can come. Whatever keeps it from
// finding out, the stream will say.
func (t *tailer) unsubscribed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, class := range t.classes {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base.JoinPath("events", class, "pending").String(), nil)
		if err != nil {
			return
		}
		t.authorize(req)
		resp, err := t.client.Do(req)
		if err != nil {
			return
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound {
			t.note("%s is not subscribed: nothing of it will come until somebody does POST /subscriptions/%s", class, class)
		}
	}
}

// refusedTail says why there is no stream. What may change by itself is an
// ordinary break.
func refusedTail(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var problem struct{ Detail string }
	_ = json.Unmarshal(b, &problem)
	text := cmp.Or(problem.Detail, resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized:
		return &deniedError{exitDenied, text + " (acitap tail takes the token from ACITAP_TOKEN or --token-file)"}
	case code == http.StatusForbidden:
		return &deniedError{exitDenied, text}
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return fmt.Errorf("the service answers %s: %s", resp.Status, text)
	}
	return &deniedError{exitUsage, text}
}

// read reads messages as a browser does. alive is called for every line.
func (t *tailer) read(r io.Reader, alive func()) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	kind, id := "", ""
	var data []byte
	has := false
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil { // a message that was cut off is none
			if errors.Is(err, io.EOF) {
				err = errors.New("the service has ended the stream")
			}
			return err
		}
		alive()
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) == 0 {
			if has {
				if err := t.message(kind, data); err != nil {
					return err
				}
			}
			if id != "" {
				t.last = id
			}
			kind, id, data, has = "", "", data[:0], false
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			id = string(value)
		case "event":
			kind = string(value)
		case "data":
			if has {
				data = append(data, '\n')
			}
			data, has = append(data, value...), true
		}
	}
}

// A tailed entry is what is shown of an event, a gap, or a status.
type tailed struct {
	ID         int64             `json:"id"`
	Time       time.Time         `json:"time"`
	Fabric     string            `json:"fabric"`
	Class      string            `json:"class"`
	DN         string            `json:"dn"`
	Status     string            `json:"status"`
	Origin     string            `json:"origin"`
	Attributes map[string]string `json:"attributes"`
	Changes    map[string]struct {
		Old string `json:"old"`
		New string `json:"new"`
	} `json:"changes"`

	Classes []string  `json:"classes"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Reason  string    `json:"reason"`
	Healed  bool      `json:"healed"`
	Asked   int64     `json:"asked"`
	Oldest  int64     `json:"oldest"`

	Fabrics []struct{ Name, State, LastError string } `json:"fabrics"`
}

func (t *tailer) message(kind string, data []byte) error {
	var e tailed
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("what came is no event: %w", err)
	}
	if kind == "status" {
		t.status(&e)
		return nil
	}
	if e.ID != 0 && e.ID <= t.newest { // an answer from a cache, or of a proxy that repeats
		return nil
	}
	var out []byte
	switch {
	case t.json:
		out = append(slices.Clone(data), '\n')
	case kind == "gap":
		out = t.gap(&e)
	default:
		out = t.event(&e)
	}
	if _, err := t.stdout.Write(out); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	if e.ID != 0 {
		t.newest = e.ID
	} else if kind == "gap" { // a log of other ids may be what follows
		t.newest = 0
	}
	if t.until && kind != "gap" {
		return errMatched
	}
	return nil
}

// status says when a fabric is not connected, and when it is again.
func (t *tailer) status(e *tailed) {
	var states []string
	bad := false
	for _, f := range e.Fabrics {
		text := f.Name + " is " + f.State
		if f.State != "connected" {
			bad = true
			if f.LastError != "" {
				text += " (" + f.LastError + ")"
			}
		}
		states = append(states, text)
	}
	state := strings.Join(states, ", ")
	if state != t.state && (bad || t.state != "") {
		t.note("fabric %s", state)
	}
	t.state = state
}

var tints = map[string]string{
	"created": "\x1b[32m", "modified": "\x1b[33m", "deleted": "\x1b[31m", "gap": "\x1b[1;35m", "class": "\x1b[36m", "faint": "\x1b[2m",
	"critical": "\x1b[1;31m", "major": "\x1b[31m", "minor": "\x1b[33m",
}

func (t *tailer) tint(name, text string) string {
	if !t.colour || tints[name] == "" {
		return text
	}
	return tints[name] + text + "\x1b[0m"
}

const tailClock = "15:04:05.000"

func (t *tailer) event(e *tailed) []byte {
	var b strings.Builder
	b.WriteString(t.tint("faint", e.Time.Local().Format(tailClock)))
	fmt.Fprintf(&b, " %s %s %s", t.tint(e.Status, fmt.Sprintf("%-8s", printable(e.Status))), t.tint("class", printable(e.Class)), printable(e.DN))
	if e.Origin != "live" {
		b.WriteString(" " + t.tint("faint", "("+printable(e.Origin)+")"))
	}
	if severity := e.Attributes["severity"]; severity != "" && e.Changes == nil {
		b.WriteString(" " + t.tint(severity, printable(severity)))
	}
	names := make([]string, 0, len(e.Changes))
	for name := range e.Changes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := e.Changes[name]
		fmt.Fprintf(&b, "  %s: %s → %s", printable(name), t.tint("faint", quotedShort(c.Old)), quotedShort(c.New))
	}
	if len(names) == 0 {
		if descr := e.Attributes["descr"]; descr != "" {
			b.WriteString("  " + t.tint("faint", quotedShort(descr)))
		}
	}
	b.WriteByte('\n')
	return []byte(b.String())
}

func (t *tailer) gap(e *tailed) []byte {
	var text string
	switch {
	case e.ID == 0: // not on the timeline: what the log cannot give any more
		text = fmt.Sprintf("gap: %s: the service no longer has what followed id %d; it goes on at %d", e.Reason, e.Asked, e.Oldest)
	default:
		state := "the state is whole again; what came and went in between is lost"
		if !e.Healed {
			state = "the state has not been compared yet"
		}
		classes := strings.Join(e.Classes, ", ")
		if len(e.Classes) > 4 {
			classes = fmt.Sprintf("%s and %d more", strings.Join(e.Classes[:3], ", "), len(e.Classes)-3)
		}
		text = fmt.Sprintf("gap: %s out of sight from %s to %s (%s): %s", cmp.Or(classes, "everything"),
			e.From.Local().Format(tailClock), e.To.Local().Format(tailClock), e.Reason, state)
	}
	return []byte(t.tint("faint", e.Time.Local().Format(tailClock)) + " " + t.tint("gap", printable(text)) + "\n")
}

// quotedShort shows a value of the fabric: an empty one too, and a long one in
// part.
func quotedShort(s string) string {
	const most = 120
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// printable keeps what strangers wrote from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
