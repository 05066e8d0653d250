package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	strict "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

// A Format says what a request's body is made of events by.
type Format string

// The formats.
const (
	FormatEvent       Format = "event"       // the event as everywhere; {"events": […]} where Batch is above 1
	FormatCloudEvents Format = "cloudevents" // structured mode; batched mode where Batch is above 1
	FormatSlack       Format = "slack"       // an incoming webhook's message
	FormatTeams       Format = "teams"       // an adaptive card, as a Teams workflow takes it
	FormatTemplate    Format = "template"    // what a Go template makes
)

// Formats are the formats, in the order of the documentation.
var formats = []string{string(FormatEvent), string(FormatCloudEvents), string(FormatSlack), string(FormatTeams), string(FormatTemplate)}

const (
	maxBatch      = 1000
	maxName       = 100  // characters
	maxURL        = 4096 // bytes
	maxHeaders    = 32
	maxHeader     = 8 << 10  // bytes of a value
	maxTemplate   = 64 << 10 // bytes
	mask          = "***"
	typeJSON      = "application/json"
	batchOfSlack  = 40 // a message has at most 50 blocks
	batchOfTeams  = 10 // a message has at most 28 KB
	includeObject = "object"
)

// An Endpoint is what somebody asked for: where to send which events, and in
// what form. It is not modified once the service has it.
type Endpoint struct {
	Name        string
	URL         string
	Selector    *selector.Selector
	Include     bool // of the whole object
	Format      Format
	Template    string            // where Format is FormatTemplate
	ContentType string            // likewise; "" is application/json
	Headers     map[string]string // sent with each request; values are never shown
	Batch       int               // events in a request at the most
	RetryFor    time.Duration     // how long a message is tried before the endpoint is disabled
	Enabled     bool
	CreatedAt   time.Time
	UpdatedAt   time.Time

	secret Secret
	old    []oldSecret
	since  selector.Place // where a new one begins
}

// mistakes gather what is wrong with a definition.
type mistakes []error

func (m *mistakes) add(param, format string, args ...any) {
	*m = append(*m, &selector.Error{Param: param, Detail: fmt.Sprintf(format, args...)})
}

// fieldNames are the fields of a definition, selectors aside.
var fieldNames = []string{
	"name", "url", "format", "template", "contentType", "preset", "include", "batch", "headers", "secret", "since",
	"retryFor", "enabled",
}

// decode applies a JSON object to an endpoint: to nil for a new one, else as a
// merge patch (RFC 7396), where null takes a field back to its default. The
// error joins a *selector.Error for each mistake.
func decode(body []byte, base *Endpoint) (*Endpoint, error) {
	e, wrong := read(body, base)
	if e != nil {
		wrong = append(wrong, e.check()...)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return e, nil
}

// decodeDraft is decode for a definition that somebody is still writing: the
// URL may be missing, and nowhere says that it is.
func decodeDraft(body []byte, base *Endpoint) (e *Endpoint, nowhere bool, err error) {
	e, wrong := read(body, base)
	if e != nil {
		if nowhere = e.URL == ""; nowhere {
			e.URL = "https://receiver.example/"
		}
		wrong = append(wrong, e.check()...)
	}
	if len(wrong) > 0 {
		return nil, nowhere, errors.Join(wrong...)
	}
	return e, nowhere, nil
}

// read reads a definition without checking it as a whole. There is none when
// the body is no JSON object.
func read(body []byte, base *Endpoint) (*Endpoint, mistakes) {
	var fields map[string]jsontext.Value
	if err := strict.Unmarshal(body, &fields); err != nil || fields == nil {
		detail := `must be one JSON object, as {"name": "noc", "url": "https://noc.example.com/hook"}`
		if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			line := 1 + bytes.Count(body[:min(max(int(syntax.ByteOffset), 0), len(body))], []byte("\n"))
			detail += fmt.Sprintf("; line %d: %v", line, syntax.Err)
		}
		return nil, mistakes{&selector.Error{Param: "body", Detail: detail}}
	}
	d := &decoder{fields: fields, patch: base != nil}
	e := &Endpoint{Format: FormatEvent, Batch: 1, RetryFor: giveUpAfter, Enabled: true}
	if base != nil {
		*e = *base
		e.Headers = maps.Clone(base.Headers)
	}
	d.read(e, base)
	return e, d.wrong
}

type decoder struct {
	fields map[string]jsontext.Value
	patch  bool
	wrong  mistakes
}

// get returns a field; present with null it has isNull.
func (d *decoder) get(name string) (v jsontext.Value, given, isNull bool) {
	v, given = d.fields[name]
	isNull = given && v.Kind() == jsontext.KindNull
	return v, given, isNull
}

func (d *decoder) text(name, otherwise string, into *string) bool {
	v, given, isNull := d.get(name)
	switch {
	case !given:
		return false
	case isNull:
		*into = otherwise
	case v.Kind() != jsontext.KindString:
		d.wrong.add(name, "must be text, not a JSON %s", v.Kind())
		return false
	default:
		*into = unquote(v)
	}
	return !isNull
}

func unquote(v jsontext.Value) string {
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil { // the decoder has read it before
		return ""
	}
	return string(b)
}

func (d *decoder) read(e, base *Endpoint) {
	var preset string
	if d.text("preset", "", &preset) {
		if p := presetOf(preset); p != nil {
			e.Format, e.Template, e.ContentType, e.Include, e.Batch = p.Format, p.Template, p.ContentType, p.Include, 1
		} else {
			d.wrong.add("preset", "%.40q is none of %s", preset, strings.Join(presetNames(), ", "))
		}
	}
	d.text("name", "", &e.Name)
	if d.text("url", "", &e.URL) && base != nil && e.URL == base.shownURL() {
		e.URL = base.URL // somebody has sent back what he was shown
	}
	format := string(e.Format)
	d.text("format", string(FormatEvent), &format)
	e.Format = Format(format)
	d.text("template", "", &e.Template)
	d.text("contentType", "", &e.ContentType)
	if e.Format != FormatTemplate && base != nil { // another format has left them behind
		if _, given := d.fields["template"]; !given {
			e.Template = ""
		}
		if _, given := d.fields["contentType"]; !given {
			e.ContentType = ""
		}
	}
	var include string
	if d.text("include", "", &include) && include != includeObject {
		d.wrong.add("include", "%.40q cannot be included; object can", include)
	}
	if _, given := d.fields["include"]; given {
		e.Include = include == includeObject
	}
	if v, given, isNull := d.get("batch"); given {
		n, err := strconv.Atoi(string(v))
		switch {
		case isNull:
			e.Batch = 1
		case err != nil || n < 1 || n > maxBatch:
			d.wrong.add("batch", "must be a whole number from 1 to %d: how many events a request has at the most", maxBatch)
		default:
			e.Batch = n
		}
	}
	if v, given, isNull := d.get("enabled"); given {
		switch {
		case isNull, v.Kind() == jsontext.KindTrue:
			e.Enabled = true
		case v.Kind() == jsontext.KindFalse:
			e.Enabled = false
		default:
			d.wrong.add("enabled", "must be true or false")
		}
	}
	retry := ""
	if d.text("retryFor", "", &retry) {
		t, err := selector.ParseDuration(retry, giveUpMin, giveUpMax)
		if err != nil {
			d.wrong.add("retryFor", "%v", err)
		}
		e.RetryFor = t
	} else if _, _, isNull := d.get("retryFor"); isNull {
		e.RetryFor = giveUpAfter
	}
	d.headers(e)
	d.secret(e)
	d.since(e)
	d.selector(e)
	for _, name := range slices.Sorted(maps.Keys(d.fields)) {
		if !slices.Contains(fieldNames, name) && !selector.IsParam(name) && name != "attr" {
			d.wrong.add(fmt.Sprintf("%.60s", name), "is no field of a webhook; it has %s, and the selectors %s",
				strings.Join(fieldNames, ", "), strings.Join(selector.ParamNames(), ", "))
		}
	}
}

func (d *decoder) headers(e *Endpoint) {
	v, given, isNull := d.get("headers")
	if !given {
		return
	}
	if isNull {
		e.Headers = nil
		return
	}
	var list map[string]jsontext.Value
	if strict.Unmarshal(v, &list) != nil || list == nil {
		d.wrong.add("headers", `must be an object of names and values, as {"Authorization": "Bearer …"}`)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		v := list[name]
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case v.Kind() == jsontext.KindNull:
			delete(e.Headers, canonical)
		case v.Kind() != jsontext.KindString:
			d.wrong.add("headers", "%.60q must have text as its value", name)
		case unquote(v) == mask && d.patch && e.Headers[canonical] != "":
			// Somebody has sent back what he was shown: as it was.
		case unquote(v) == mask:
			d.wrong.add("headers", "%.60q has %s as its value, which stands for one that is not shown: give the value itself", name, mask)
		default:
			if e.Headers == nil {
				e.Headers = make(map[string]string)
			}
			e.Headers[canonical] = unquote(v)
		}
	}
}

func (d *decoder) secret(e *Endpoint) {
	var text string
	if !d.text("secret", "", &text) {
		if !d.patch {
			e.secret = NewSecret()
		}
		return
	}
	if d.patch {
		d.wrong.add("secret", "is changed with POST /webhooks/{id}/rotate, so that both secrets sign for %s", short(rotation))
		return
	}
	s, err := ParseSecret(text)
	if err != nil {
		d.wrong.add("secret", "%v", err)
	}
	e.secret = s
}

func (d *decoder) since(e *Endpoint) {
	v, given, isNull := d.get("since")
	if !given || isNull {
		return
	}
	if d.patch {
		d.wrong.add("since", "says where a new webhook begins; POST /webhooks/{id}/rewind?since=… moves the place of this one")
		return
	}
	text := string(v)
	switch v.Kind() {
	case jsontext.KindString:
		text = unquote(v)
	case jsontext.KindNumber:
	default:
		d.wrong.add("since", "must be text or a number, not a JSON %s", v.Kind())
		return
	}
	p, err := selector.ParsePlace(text)
	if err != nil {
		d.wrong.add("since", "%v", err)
	}
	e.since = p
}

// selector reads the selectors, which stand beside the other fields. In a
// patch each replaces the one of its name.
func (d *decoder) selector(e *Endpoint) {
	asked := make(map[string]jsontext.Value)
	if d.patch {
		b, err := e.Selector.MarshalJSON()
		if err == nil {
			err = strict.Unmarshal(b, &asked)
		}
		if err != nil { // it was made by the same package
			d.wrong.add("filter", "%v", err)
			return
		}
	}
	for name, v := range d.fields {
		if !selector.IsParam(name) && name != "attr" {
			continue
		}
		if v.Kind() == jsontext.KindNull {
			delete(asked, name)
			if name == "attr" {
				maps.DeleteFunc(asked, func(n string, _ jsontext.Value) bool { return strings.HasPrefix(n, "attr.") })
			}
			continue
		}
		asked[name] = v
	}
	b, err := strict.Marshal(asked)
	if err != nil {
		d.wrong.add("filter", "%v", err)
		return
	}
	s := new(selector.Selector)
	if err := s.UnmarshalJSON(b); err != nil {
		for _, one := range selector.Errors(err) {
			d.wrong = append(d.wrong, one)
		}
		return
	}
	e.Selector = s
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")

// reserved are headers that are acitap's or the connection's.
var reserved = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade", headerID, headerTimestamp, headerSignature, headerHub,
}

// check returns what is wrong with an endpoint, however it came about.
func (e *Endpoint) check() []error {
	var wrong mistakes
	u, err := parseURL(e.URL)
	if err != nil {
		wrong.add("url", "%v", err)
	}
	if e.Name == "" && u != nil {
		e.Name = u.Hostname()
	}
	if n := utf8.RuneCountInString(e.Name); n > maxName || !validText(e.Name) {
		wrong.add("name", "must be at most %d characters without control characters", maxName)
	}
	if !slices.Contains(formats, string(e.Format)) {
		wrong.add("format", "%.40q is none of %s", e.Format, strings.Join(formats, ", "))
	}
	switch {
	case e.Format == FormatTemplate && e.Template == "":
		wrong.add("template", "is needed with the format template: a Go template, as {\"text\": {{json .dn}}}")
	case e.Format != FormatTemplate && e.Template != "":
		wrong.add("template", "belongs to the format template, and this is %s", e.Format)
	case len(e.Template) > maxTemplate:
		wrong.add("template", "has %d bytes; a template has at most %d", len(e.Template), maxTemplate)
	}
	if e.ContentType != "" {
		media, _, err := mime.ParseMediaType(e.ContentType)
		switch {
		case e.Format != FormatTemplate:
			wrong.add("contentType", "belongs to the format template: %s has its own", e.Format)
		case err != nil || !strings.Contains(media, "/") || !validText(e.ContentType) || len(e.ContentType) > 200:
			wrong.add("contentType", "%.60q is no media type: write it as application/json or text/plain; charset=utf-8", e.ContentType)
		}
	}
	switch {
	case e.Format == FormatSlack && e.Batch > batchOfSlack:
		wrong.add("batch", "is at most %d with the format slack: a message of Slack holds no more", batchOfSlack)
	case e.Format == FormatTeams && e.Batch > batchOfTeams:
		wrong.add("batch", "is at most %d with the format teams: a message of Teams holds no more", batchOfTeams)
	}
	if len(e.Headers) > maxHeaders {
		wrong.add("headers", "are %d; there may be %d", len(e.Headers), maxHeaders)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		value := e.Headers[name]
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !headerName.MatchString(name):
			wrong.add("headers", "%.60q is no name of a header", name)
		case slices.Contains(reserved, canonical) || strings.HasPrefix(canonical, "Proxy-"):
			wrong.add("headers", "%s is set by acitap or by the connection itself and cannot be given", canonical)
		case len(value) > maxHeader || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError }):
			// The value itself is never told.
			wrong.add("headers", "the value of %s must be at most %d bytes of one line", canonical, maxHeader)
		}
	}
	return wrong
}

func validText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// parseURL reads where to send to. Its errors do not repeat the URL, which may
// hold a secret.
func parseURL(s string) (*url.URL, error) {
	const form = "write it as https://noc.example.com/hook"
	if s == "" {
		return nil, errors.New("is needed: where to send to; " + form)
	}
	if len(s) > maxURL {
		return nil, fmt.Errorf("has %d bytes; a URL has at most %d", len(s), maxURL)
	}
	if !validText(s) || strings.ContainsAny(s, " \"<>\\^`{|}") {
		return nil, errors.New("has characters that a URL has not, or has only as %XX; " + form)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("is no URL; " + form)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("has the scheme %.20q: https and http can be sent to; %s", u.Scheme, form)
	case u.User != nil:
		return nil, errors.New(`holds credentials, and a URL is shown: give them as {"headers": {"Authorization": "Basic …"}}, which are not`)
	case strings.Contains(u.Host, "%"):
		return nil, errors.New("has a host with a zone or with escapes; " + form)
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("names no host; " + form)
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("has a fragment (#…), which is never sent: leave it out, or write %23")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("has the port %.10q; a port is a number from 1 to 65535", p)
		}
	}
	if strings.HasSuffix(u.Host, ":") {
		return nil, errors.New("has a colon behind the host and no port; " + form)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// shownURL returns the URL without what a receiver may take for a secret:
// values of its query, and parts of its path that look like a token.
func (e *Endpoint) shownURL() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return mask
	}
	shown := u.Scheme + "://" + u.Host
	parts := strings.Split(u.EscapedPath(), "/")
	for i, p := range parts {
		if looksSecret(p) || i > 1 && strings.HasPrefix(u.Hostname(), "hooks.slack") {
			parts[i] = mask
		}
	}
	shown += strings.Join(parts, "/")
	if u.RawQuery != "" {
		var pairs []string
		for pair := range strings.SplitSeq(u.RawQuery, "&") {
			name, _, ok := strings.Cut(pair, "=")
			if ok {
				name += "=" + mask
			}
			pairs = append(pairs, name)
		}
		shown += "?" + strings.Join(pairs, "&")
	}
	return shown
}

// looksSecret reports whether a part of a path looks like a random token: long,
// of one piece, with digits among letters, and not just lower-case words.
func looksSecret(s string) bool {
	digits, lower, upper := 0, 0, 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r >= 'a' && r <= 'z':
			lower++
		case r >= 'A' && r <= 'Z':
			upper++
		case r != '-' && r != '_' && r != '.' && r != '~' && r != '%':
			return false
		}
	}
	return len(s) >= 20 && digits > 0 && lower > 0 && upper > 0 || len(s) >= 28 && digits >= 4
}

// host names the endpoint's host, for logs.
func (e *Endpoint) host() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// stored is an endpoint as a [Store] keeps it: whole, with its secrets.
type stored struct {
	Name        string            `json:"name"`
	URL         string            `json:"url"`
	Selector    json.RawMessage   `json:"selector"`
	Include     bool              `json:"include,omitempty"`
	Format      Format            `json:"format"`
	Template    string            `json:"template,omitempty"`
	ContentType string            `json:"contentType,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Batch       int               `json:"batch"`
	RetryFor    time.Duration     `json:"retryForNanoseconds"`
	Enabled     bool              `json:"enabled"`
	CreatedAt   time.Time         `json:"createdAt"`
	UpdatedAt   time.Time         `json:"updatedAt"`
	Secret      string            `json:"secret"`
	Old         []storedSecret    `json:"old,omitempty"`
}

type storedSecret struct {
	Secret string    `json:"secret"`
	Until  time.Time `json:"until"`
}

func (e *Endpoint) store() ([]byte, error) {
	sel, err := e.Selector.MarshalJSON()
	if err != nil {
		return nil, err
	}
	s := stored{
		Name: e.Name, URL: e.URL, Selector: sel, Include: e.Include, Format: e.Format, Template: e.Template,
		ContentType: e.ContentType, Headers: e.Headers, Batch: e.Batch, RetryFor: e.RetryFor, Enabled: e.Enabled,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, Secret: e.secret.text,
	}
	for _, o := range e.old {
		s.Old = append(s.Old, storedSecret{o.text, o.until})
	}
	return json.Marshal(s)
}

func restore(b []byte) (*Endpoint, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	e := &Endpoint{
		Name: s.Name, URL: s.URL, Selector: new(selector.Selector), Include: s.Include, Format: s.Format, Template: s.Template,
		ContentType: s.ContentType, Headers: s.Headers, Batch: max(s.Batch, 1), RetryFor: s.RetryFor, Enabled: s.Enabled,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
	if e.RetryFor <= 0 {
		e.RetryFor = giveUpAfter
	}
	if err := e.Selector.UnmarshalJSON(s.Selector); err != nil {
		return e, err
	}
	var err error
	if e.secret, err = ParseSecret(s.Secret); err != nil {
		return e, errors.New("the stored secret cannot be read")
	}
	for _, o := range s.Old {
		if old, err := ParseSecret(o.Secret); err == nil {
			e.old = append(e.old, oldSecret{old, o.Until})
		}
	}
	return e, nil
}

// The states of an endpoint.
const (
	Active   = "active"
	Failing  = "failing"  // what is next was not taken; it is tried again
	Disabled = "disabled" // by its owner, or as nothing was taken for too long: Error says which
)

// A View is an endpoint and how it is, for those who may see it: without
// secrets and values of headers. Its JSON has the definition's fields as they
// are given in a request.
type View struct {
	ID string
	Endpoint
	Secret Secret // of a View that Create or Rotate returned; else zero

	State         string
	Place         apic.ID       // all up to it is done with
	Lag           int64         // entries of the timeline behind its place, wanted or not
	Behind        time.Duration // how old the entry is that it is about to send, 0 when there is none
	Error         string        // why it is failing or disabled
	FailingSince  time.Time
	Attempt       int // failures of the message that is next
	NextTry       time.Time
	LastSuccessAt time.Time
	Delivered     int64 // events and gaps that were taken, repeats included
	Skipped       int64 // events that a template made nothing of
}

// MarshalJSON shows no secret but the one of Create and Rotate.
func (v View) MarshalJSON() ([]byte, error) {
	known := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC().Truncate(time.Microsecond)
		return &t
	}
	headers := make(map[string]string, len(v.Headers))
	for name := range v.Headers {
		headers[name] = mask
	}
	var include, tmpl, contentType, secret *string
	if v.Include {
		include = new(includeObject)
	}
	if v.Format == FormatTemplate {
		tmpl, contentType = &v.Template, new(v.contentType())
	}
	if !v.Secret.IsZero() {
		secret = new(v.Secret.Reveal())
	}
	b, err := encode(struct {
		ID            string            `json:"id"`
		Name          string            `json:"name"`
		URL           string            `json:"url"`
		Format        Format            `json:"format"`
		Template      *string           `json:"template,omitempty"`
		ContentType   *string           `json:"contentType,omitempty"`
		Include       *string           `json:"include,omitempty"`
		Batch         int               `json:"batch"`
		Headers       map[string]string `json:"headers"`
		Secret        *string           `json:"secret,omitempty"`
		RetryFor      string            `json:"retryFor"`
		Enabled       bool              `json:"enabled"`
		CreatedAt     *time.Time        `json:"createdAt"`
		UpdatedAt     *time.Time        `json:"updatedAt"`
		State         string            `json:"state"`
		Place         apic.ID           `json:"place"`
		Lag           int64             `json:"lag"`
		LagSeconds    float64           `json:"lagSeconds"`
		Error         string            `json:"error"`
		FailingSince  *time.Time        `json:"failingSince"`
		Attempt       int               `json:"attempt"`
		NextTry       *time.Time        `json:"nextTry"`
		LastSuccessAt *time.Time        `json:"lastSuccessAt"`
		Delivered     int64             `json:"delivered"`
		Skipped       int64             `json:"skipped"`
	}{
		v.ID, v.Name, v.shownURL(), v.Format, tmpl, contentType, include, v.Batch, headers, secret, short(v.RetryFor), v.Enabled,
		known(v.CreatedAt), known(v.UpdatedAt), v.State, v.Place, v.Lag, v.Behind.Truncate(time.Millisecond).Seconds(), v.Error,
		known(v.FailingSince), v.Attempt, known(v.NextTry), known(v.LastSuccessAt), v.Delivered, v.Skipped,
	})
	if err != nil {
		return nil, err
	}
	sel, err := v.Selector.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if len(sel) > len("{}") { // the selectors stand among the fields
		b = append(append(b[:len(b)-1], ','), sel[1:]...)
	}
	return b, nil
}

func (e *Endpoint) contentType() string {
	switch e.Format {
	case FormatCloudEvents:
		if e.Batch > 1 {
			return "application/cloudevents-batch+json; charset=utf-8"
		}
		return "application/cloudevents+json; charset=utf-8"
	case FormatTemplate:
		if e.ContentType != "" {
			return e.ContentType
		}
	}
	return typeJSON
}

// encode is json.Marshal without the escaping for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
