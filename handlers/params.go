package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

const (
	maxBody  = 1 << 20
	bodyTime = 30 * time.Second // for a client to send its body
)

// pathValue returns a part of the path, unescaped. Where the client escaped
// more than needed (a slash within a DN), chi routes by the escaped path.
func pathValue(r *http.Request, name string) (string, error) {
	return unescaped(r, r.PathValue(name))
}

// unescaped is v, which is a part of the path as chi routes it, unescaped.
func unescaped(r *http.Request, v string) (string, error) {
	if r.URL.RawPath == "" {
		return v, nil
	}
	plain, err := url.PathUnescape(v)
	if err != nil { // net/http has checked it already
		return "", refuse(http.StatusBadRequest, "the path is not escaped as a URL should be: %v", err)
	}
	return plain, nil
}

// params are the parameters of one request, from its query and, where a body
// may hold the same, from its body. A handler asks for each that it knows;
// [params.err] then says all that is wrong, and what nobody asked for.
type params struct {
	values url.Values
	body   map[string]jsontext.Kind // of values that came with a body
	known  map[string]bool
	wrong  mistakes

	selects bool // selectors were asked for
	classed bool // and the class stands in the path
}

func queryParams(r *http.Request) (*params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query of the URL cannot be read: %v; escape what is not letters and digits (curl does it with -G --data-urlencode)", err)
	}
	return &params{values: values, known: make(map[string]bool)}, nil
}

// bodyParams reads the parameters of a request that may have a JSON object as
// its body.
func bodyParams(w *response, r *http.Request) (*params, error) {
	p, err := queryParams(r)
	if err != nil || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return p, err
	}
	b, err := readBody(w, r)
	if err != nil || len(b) == 0 {
		return p, err
	}
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, malformed(b, err)
	}
	if fields == nil {
		return nil, refuse(http.StatusBadRequest, `the body must be a JSON object, as {"dn": "uni/tn-prod"}, not null`)
	}
	p.body = make(map[string]jsontext.Kind, len(fields))
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		raw := fields[name]
		if p.values.Has(name) {
			p.known[name] = true
			p.refuse(name, "stands in the URL and in the body: give it once")
			continue
		}
		switch kind := raw.Kind(); kind {
		case jsontext.KindNull: // as if it were not there, but only where it may be
			p.body[name], p.values[name] = kind, nil
		case jsontext.KindString:
			text, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				return nil, malformed(b, err)
			}
			p.body[name], p.values[name] = kind, []string{string(text)}
		case jsontext.KindNumber, jsontext.KindTrue, jsontext.KindFalse:
			p.body[name], p.values[name] = kind, []string{string(raw)}
		default:
			p.body[name], p.values[name] = kind, []string{""}
		}
	}
	return p, nil
}

func malformed(b []byte, err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		line := 1 + bytes.Count(b[:min(max(int(syntax.ByteOffset), 0), len(b))], []byte("\n"))
		return refuse(http.StatusBadRequest, "the body is not one JSON object: line %d: %v", line, syntax.Err).because(err)
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return refuse(http.StatusBadRequest, "the body must be a JSON object, not a JSON %s", semantic.JSONKind).because(err)
	}
	return refuse(http.StatusBadRequest, "the body is not one JSON object: %v", err)
}

// readBody returns the body, which may be empty.
func readBody(w *response, r *http.Request) ([]byte, error) {
	b, err := readAll(w, r)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return nil, err
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		media, _, err := mime.ParseMediaType(t)
		if err != nil || media != "application/json" {
			return nil, refuse(http.StatusBadRequest, "the body has Content-Type %.60q, and only JSON is understood: add the header Content-Type: application/json (curl: -H or --json), or give the parameters in the URL", t)
		}
	}
	return b, nil
}

func tooLarge() *refusal {
	return refuse(http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB, which is the most that is accepted").counted(refusedBody)
}

// readAll returns the body, whatever its type.
func readAll(w *response, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTime))
	b, err := io.ReadAll(r.Body)
	if err == nil {
		_ = c.SetReadDeadline(time.Time{}) // or it would end a long poll; else net/http waits for the rest
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge().because(err)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body ended early").because(err)
	}
	return b, nil
}

func (p *params) refuse(name, format string, args ...any) {
	p.wrong = append(p.wrong, mistake{Param: name, Detail: fmt.Sprintf(format, args...)})
}

// get returns the one value of a parameter. It is not there when it was not
// given, or is wrong already.
func (p *params) get(name string, kinds ...jsontext.Kind) (string, bool) {
	bad := p.known[name]
	p.known[name] = true
	list := p.values[name]
	switch {
	case bad || len(list) == 0:
		return "", false
	case len(list) > 1:
		p.refuse(name, "is given %d times: give it once", len(list))
		return "", false
	}
	if kind, ok := p.body[name]; ok && !slices.Contains(kinds, kind) {
		p.refuse(name, "must be %s in the body, not a JSON %s", kindNames(kinds), kind)
		return "", false
	}
	return list[0], true
}

func kindNames(kinds []jsontext.Kind) string {
	switch kinds[0] {
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindTrue:
		return "true or false"
	}
	return "text"
}

func (p *params) text(name string) (string, bool) { return p.get(name, jsontext.KindString) }

// word returns one of some words, the first when it is not given.
func (p *params) word(name string, words ...string) string {
	v, ok := p.text(name)
	switch {
	case !ok:
		return words[0]
	case !slices.Contains(words, v):
		p.refuse(name, "%.40q is none of %s", v, strings.Join(words, ", "))
		return words[0]
	}
	return v
}

func (p *params) flag(name string) bool {
	v, ok := p.get(name, jsontext.KindTrue, jsontext.KindFalse)
	if ok && v != "true" && v != "false" {
		p.refuse(name, "%.40q is neither true nor false", v)
	}
	return v == "true"
}

// count returns a whole number between low and high.
func (p *params) count(name string, low, high, otherwise int) (n int, given bool) {
	v, ok := p.get(name, jsontext.KindNumber)
	if !ok {
		return otherwise, false
	}
	n, err := strconv.Atoi(v)
	if err != nil || v[0] == '+' || n < low || n > high {
		p.refuse(name, "%.40q is no whole number from %d to %d", v, low, high)
		return otherwise, false
	}
	return n, true
}

func (p *params) id(name string) (id apic.ID, given bool) {
	v, ok := p.get(name, jsontext.KindNumber, jsontext.KindString)
	if !ok {
		return 0, false
	}
	id, err := apic.ParseID(v)
	if err != nil {
		p.refuse(name, "%v", err)
		return 0, false
	}
	return id, true
}

// ids returns a comma list of ids of events, at most most of them.
func (p *params) ids(name string, most int) []apic.ID {
	v, ok := p.text(name)
	if !ok {
		return nil
	}
	parts := strings.Split(v, ",")
	if len(parts) > most {
		p.refuse(name, "names %d events; it may name %d", len(parts), most)
		return nil
	}
	list := make([]apic.ID, 0, len(parts))
	for _, part := range parts {
		id, err := apic.ParseID(strings.TrimSpace(part))
		if err != nil || id == 0 {
			p.refuse(name, "%.40q is the id of no event", part)
			return nil
		}
		list = append(list, id)
	}
	return list
}

func (p *params) duration(name string, high, otherwise time.Duration) time.Duration {
	v, ok := p.text(name)
	if !ok {
		return otherwise
	}
	d, err := selector.ParseDuration(v, 0, high)
	if err != nil {
		p.refuse(name, "%v", err)
		return otherwise
	}
	return d
}

// place returns a place on the timeline and the words that it was given with.
func (p *params) place(name string) (at selector.Place, words string, given bool) {
	v, ok := p.get(name, jsontext.KindString, jsontext.KindNumber)
	if !ok {
		return at, "", false
	}
	at, err := selector.ParsePlace(v)
	if err != nil {
		p.refuse(name, "%v", err)
		return at, "", false
	}
	return at, v, true
}

// include reports whether the whole object is asked for with each event.
func (p *params) include() bool {
	v, ok := p.text("include")
	if ok && v != "object" {
		p.refuse("include", "%.40q cannot be included; object can", v)
	}
	return ok
}

// selectors compiles the selectors, for the classes of the path if there are.
func (p *params) selectors(list []apic.Class) *selector.Selector {
	asked := make(url.Values)
	p.selects, p.classed = true, list != nil
	for name, values := range p.values {
		if selector.IsParam(name) && (name != "class" || list == nil) {
			p.known[name] = true
			asked[name] = values
		}
	}
	if list != nil {
		asked.Set("class", joined(concrete(list)))
	}
	sel, err := selector.Parse(asked)
	p.mistaken(err)
	return sel
}

// mistaken takes over what package selector found wrong.
func (p *params) mistaken(err error) {
	for _, e := range selector.Errors(err) {
		p.wrong = append(p.wrong, mistake{e.Param, e.Line, e.Column, e.Detail})
	}
}

// err returns all that is wrong, nil for nothing. It is asked once the handler
// has read every parameter that it knows.
func (p *params) err() error {
	var unknown []string
	for name := range p.values {
		if !p.known[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		switch {
		case name == "class" && p.classed:
			p.refuse(name, "is named in the path already")
		case p.body != nil && p.body[name] != 0:
			p.refuse(fmt.Sprintf("%.60s", name), "is no field of this call%s", p.knows())
		default:
			p.refuse(fmt.Sprintf("%.60s", name), "is no parameter of this call%s", p.knows())
		}
	}
	if len(p.wrong) == 0 {
		return nil
	}
	return p.wrong
}

// knows lists what the call has, selectors in short.
func (p *params) knows() string {
	var names []string
	for name := range p.known {
		if !selector.IsParam(name) && p.known[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if p.selects {
		names = append(names, "and the selectors "+strings.Join(selector.ParamNames(), ", "))
	}
	if len(names) == 0 {
		return ""
	}
	return "; it has " + strings.Join(names, ", ")
}
