package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"
	"unicode/utf8"

	"github.com/acitap/acitap/apic"
)

const (
	maxRendered = 1 << 20 // bytes that a template may make
	// maxSteps bounds what a template may do: a round of a loop and a call of a
	// part pay for the size of what they run, functions for what they make. It
	// is some tenths of a second at worst.
	maxSteps = 100_000
	noValue  = "<no value>"
)

// A renderer is a compiled template. It is used by one goroutine at a time.
type renderer struct {
	mu    sync.Mutex // held while it renders
	tmpl  *template.Template
	json  bool // what it makes must be JSON
	steps int  // left to the rendering under way

	headers map[string]string // of the endpoint that it renders for
	veil    bool
	items   map[string]*item // of the batch, by id: for summary
}

var (
	errSteps = errors.New("the template does too much: it is stopped after 100,000 steps of its loops and functions")
	errSize  = errors.New("the template makes too much: a body has at most 1 MiB")
)

// spend pays for n bytes that a function makes.
func (r *renderer) spend(n int) error {
	if n > maxRendered {
		return errSize
	}
	if r.steps -= 1 + n/16; r.steps < 0 {
		return errSteps
	}
	return nil
}

// compileTemplate reads a template. The error is for its author.
func compileTemplate(text, contentType string) (*renderer, error) {
	r := &renderer{}
	media, _, _ := mime.ParseMediaType(contentType)
	r.json = media == typeJSON || strings.HasSuffix(media, "+json")
	t, err := template.New("template").Option("missingkey=zero").Funcs(r.funcs()).Parse(text)
	if err != nil {
		return nil, plainError(err)
	}
	for _, part := range t.Templates() {
		if part.Tree == nil || part.Root == nil {
			continue
		}
		cost := 1
		if part != t {
			cost = 100 // it may call itself: the stack stays small
		}
		if err := meter(part.Root, cost); err != nil {
			return nil, err
		}
	}
	r.tmpl = t
	return r, nil
}

// meter has the rounds of every loop, and every call of a part, pay: a
// template comes from somebody who may ask for a loop that never ends.
func meter(root *parse.ListNode, cost int) error {
	var failed error
	pay := func(l *parse.ListNode, cost int) {
		cost += len(l.String()) / 16
		trees, err := parse.Parse("step", fmt.Sprintf("{{acitapStep %d}}", cost), "{{", "}}", map[string]any{"acitapStep": func(int) string { return "" }})
		if err != nil {
			failed = err
			return
		}
		l.Nodes = append([]parse.Node{trees["step"].Root.Nodes[0]}, l.Nodes...)
	}
	var walk func(l *parse.ListNode)
	walk = func(l *parse.ListNode) {
		if l == nil {
			return
		}
		for _, n := range l.Nodes {
			switch n := n.(type) {
			case *parse.RangeNode:
				pay(n.List, 1)
				walk(n.List)
				walk(n.ElseList)
			case *parse.IfNode:
				walk(n.List)
				walk(n.ElseList)
			case *parse.WithNode:
				walk(n.List)
				walk(n.ElseList)
			}
		}
	}
	pay(root, cost)
	walk(root)
	return failed
}

// plainError leaves out of the engine's words what only its programmer needs.
func plainError(err error) error {
	if errors.Is(err, errSteps) {
		return errSteps
	}
	if errors.Is(err, errSize) {
		return errSize
	}
	text := strings.TrimPrefix(err.Error(), "template: ")
	text = strings.TrimPrefix(text, "template:")
	text = strings.Replace(text, `executing "template" at `, "at ", 1)
	return errors.New("line " + text)
}

type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRendered {
		return 0, errSize
	}
	return b.Buffer.Write(p)
}

func (r *renderer) render(d *definition, items []item, veil bool) (body, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data := make([]map[string]any, len(items))
	r.items = make(map[string]*item, len(items))
	for i := range items {
		m, err := dataOf(&items[i], d.Include)
		if err != nil {
			return body{}, err
		}
		m[itemKey] = items[i].id()
		r.items[items[i].id()] = &items[i]
		data[i] = m
	}
	var root any = data[0]
	if d.Batch > 1 {
		root = map[string]any{"events": data}
	}
	r.steps, r.headers, r.veil = maxSteps, d.Headers, veil
	defer func() { r.headers, r.items = nil, nil }()
	var out limitedBuffer
	if err := r.tmpl.Execute(&out, root); err != nil {
		return body{}, plainError(err)
	}
	b := out.Bytes()
	if len(bytes.TrimSpace(b)) == 0 {
		return body{skip: true}, nil
	}
	if r.json && !json.Valid(b) {
		return body{}, errors.New(`what the template makes of this is no JSON; have values written by json, as {"dn": {{json .dn}}}, or within a text by esc, as {"text": "changed: {{esc .dn}}"}`)
	}
	return body{text: b}, nil
}

// itemKey is where the data of a template holds which item it is. It cannot be
// written as a field.
const itemKey = "\x00item"

// dataOf returns what a template sees of an item: the names of its JSON. Those
// that an event or a gap does not have are there too, and empty, so that a
// condition can ask for them.
func dataOf(i *item, include bool) (map[string]any, error) {
	var v struct {
		ID         int64  `json:"id"`
		Time       string `json:"time"`
		Kind       string `json:"kind"`
		Fabric     string `json:"fabric"`
		Class      string `json:"class"`
		DN         string `json:"dn"`
		Path       map[string]string
		Status     string
		Origin     string
		Attributes map[string]string
		Changes    map[string]map[string]string
		Object     map[string]string
		Classes    []string
		From, To   string
		Reason     string
		Healed     bool
		Asked      int64
		Oldest     int64
	}
	if err := json.Unmarshal(i.json(include), &v); err != nil {
		return nil, fmt.Errorf("reading event %s: %w", i.id(), err)
	}
	return map[string]any{
		"id": v.ID, "time": v.Time, "kind": v.Kind, "fabric": v.Fabric, "class": v.Class, "dn": v.DN, "path": v.Path,
		"status": v.Status, "origin": v.Origin, "attributes": v.Attributes, "changes": v.Changes, "object": v.Object,
		"classes": v.Classes, "from": v.From, "to": v.To, "reason": v.Reason, "healed": v.Healed,
		"asked": v.Asked, "oldest": v.Oldest,
	}, nil
}

// A Func is a function that templates have beside those of Go's own.
type Func struct{ Usage, Does string }

// Funcs returns the functions of templates, for the documentation.
func Funcs() []Func {
	return []Func{
		{"json V", "any value as JSON, text in its quotes"},
		{"esc V", "text as it may stand between the quotes of a JSON text"},
		{"summary EVENT", "one line that says what has happened, as in Slack: {{summary .}}"},
		{"brief EVENT", "the event with long texts and long lists cut, for systems that take little: {{json (brief .)}}"},
		{"pick V A X B Y … Z", "X when V is A, Y when it is B, else Z"},
		{"default D V", "V, or D where V is empty"},
		{"short N V", "text of at most N characters, … at its end where some are missing"},
		{"key N V", "text of at most N bytes that stays unique: the end of a longer one is its SHA-256"},
		{"upper V, lower V, trim V", "the text in other letters, or without white space around it"},
		{"replace OLD NEW V", "the text with every OLD replaced"},
		{"contains PART V, hasPrefix PART V, hasSuffix PART V", "whether the text has the part"},
		{"split SEP V, join SEP LIST", "a list of a text, a text of a list"},
		{"header NAME", "the value of one of the webhook's own headers: a secret that must stand in the body lives there"},
	}
}

func (r *renderer) funcs() template.FuncMap {
	text := func(v any) string {
		switch v := v.(type) {
		case string:
			return v
		case nil:
			return ""
		case []byte:
			return string(v)
		}
		return fmt.Sprint(v)
	}
	paid := func(s string) (string, error) { return s, r.spend(len(s)) }
	toJSON := func(v any) (string, error) {
		b, err := encode(clean(v))
		if err != nil {
			return "", err
		}
		return paid(string(b))
	}
	return template.FuncMap{
		"acitapStep": func(n int) (string, error) { return "", r.spend(16 * (n - 1)) },
		"json":       toJSON,
		"esc": func(v any) (string, error) {
			s, err := toJSON(text(v))
			return strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`), err
		},
		"summary": func(v map[string]any) (string, error) {
			key, _ := v[itemKey].(string)
			i := r.items[key]
			if i == nil {
				return "", errors.New("summary wants an event: {{summary .}}, or in a batch {{range .events}}{{summary .}}{{end}}")
			}
			n := noteOf(i)
			return paid(n.line())
		},
		"brief": func(v map[string]any) (map[string]any, error) { return brief(v), r.spend(16 << 10) },
		"pick": func(v any, pairs ...any) (any, error) {
			s := text(v)
			for i := 0; i+1 < len(pairs); i += 2 {
				if text(pairs[i]) == s {
					return pairs[i+1], r.spend(len(pairs))
				}
			}
			if len(pairs)%2 == 1 {
				return pairs[len(pairs)-1], r.spend(len(pairs))
			}
			return "", r.spend(len(pairs))
		},
		"default": func(otherwise, v any) any {
			if truth, _ := template.IsTrue(v); truth {
				return v
			}
			return otherwise
		},
		"short": func(n int, v any) (string, error) { return paid(cut(text(v), min(max(n, 1), maxRendered))) },
		"key": func(n int, v any) (string, error) {
			s := text(v)
			if len(s) <= n {
				return paid(s)
			}
			h := sha256.Sum256([]byte(s))
			end := hex.EncodeToString(h[:])
			if n < len(end) {
				return "", fmt.Errorf("key wants at least %d bytes", len(end))
			}
			return paid(strings.ToValidUTF8(s[:n-len(end)], "") + end)
		},
		"upper": func(v any) (string, error) { return paid(strings.ToUpper(text(v))) },
		"lower": func(v any) (string, error) { return paid(strings.ToLower(text(v))) },
		"trim":  func(v any) (string, error) { return paid(strings.TrimSpace(text(v))) },
		"replace": func(old, new, v any) (string, error) {
			s, o, n := text(v), text(old), text(new)
			if err := r.spend(len(s) + strings.Count(s, o)*len(n)); err != nil {
				return "", err
			}
			return strings.ReplaceAll(s, o, n), nil
		},
		"contains": func(part, v any) (bool, error) {
			s := text(v)
			return strings.Contains(s, text(part)), r.spend(len(s))
		},
		"hasPrefix": func(part, v any) bool { return strings.HasPrefix(text(v), text(part)) },
		"hasSuffix": func(part, v any) bool { return strings.HasSuffix(text(v), text(part)) },
		"split": func(sep, v any) ([]string, error) {
			s := text(v)
			if err := r.spend(len(s) + 16*strings.Count(s, text(sep))); err != nil {
				return nil, err
			}
			return strings.Split(s, text(sep)), nil
		},
		"join": func(sep any, list []string) (string, error) { return paid(strings.Join(list, text(sep))) },
		"header": func(name string) (string, error) {
			value, ok := r.headers[http.CanonicalHeaderKey(name)]
			if !ok {
				return "", fmt.Errorf("the webhook has no header %.60q: give it in headers", name)
			}
			if r.veil {
				value = mask
			}
			return paid(value)
		},

		// Those of Go's own that make text of arguments, within the bounds.
		"print":   func(v ...any) (string, error) { return paid(fmt.Sprint(v...)) },
		"println": func(v ...any) (string, error) { return paid(fmt.Sprintln(v...)) },
		"printf": func(format string, v ...any) (string, error) {
			if err := checkFormat(format); err != nil {
				return "", err
			}
			return paid(fmt.Sprintf(format, v...))
		},
		"html":     func(v ...any) (string, error) { return paid(template.HTMLEscaper(v...)) },
		"js":       func(v ...any) (string, error) { return paid(template.JSEscaper(v...)) },
		"urlquery": func(v ...any) (string, error) { return paid(template.URLQueryEscaper(v...)) },
		"call":     func(...any) (string, error) { return "", errors.New("there is nothing to call") },
	}
}

// clean takes what only summary needs out of an event before it is shown.
func clean(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		if list, ok := v.([]map[string]any); ok {
			out := make([]any, len(list))
			for i, m := range list {
				out[i] = clean(m)
			}
			return out
		}
		return v
	}
	out := make(map[string]any, len(m))
	gap := m["kind"] == "gap"
	for name, value := range m {
		switch value := value.(type) {
		case []map[string]any:
			out[name] = clean(value)
			continue
		case map[string]string:
			if value == nil {
				continue
			}
		case map[string]map[string]string:
			if value == nil {
				continue
			}
		case []string:
			if value == nil {
				continue
			}
		case string:
			if value == "" && name != "dn" && name != "fabric" || name == itemKey {
				continue
			}
			if value == "" && gap {
				continue
			}
		case int64:
			if value == 0 && name != "id" || value == 0 && gap {
				continue
			}
		case bool:
			if !gap {
				continue
			}
		}
		out[name] = value
	}
	return out
}

const (
	briefText = 300 // characters
	briefList = 40
)

// brief cuts what may be long in the data of an event.
func brief(v map[string]any) map[string]any {
	out := make(map[string]any, len(v))
	for name, value := range v {
		switch value := value.(type) {
		case map[string]string:
			if value == nil {
				continue
			}
			m := make(map[string]string)
			for _, k := range first(value) {
				m[cut(k, briefText)] = cut(value[k], briefText)
			}
			out[name] = m
		case map[string]map[string]string:
			if value == nil {
				continue
			}
			m := make(map[string]map[string]string)
			for _, k := range first(value) {
				m[cut(k, briefText)] = map[string]string{"old": cut(value[k]["old"], briefText), "new": cut(value[k]["new"], briefText)}
			}
			out[name] = m
		case []string:
			out[name] = value[:min(len(value), briefList)]
		case string:
			if name != itemKey {
				value = cut(value, 4*briefText)
			}
			out[name] = value
		default:
			out[name] = value
		}
	}
	return out
}

func first[T any](m map[string]T) []string {
	names := slices.Sorted(maps.Keys(m))
	return names[:min(len(names), briefList)]
}

// checkFormat refuses widths that make much of little.
func checkFormat(format string) error {
	digits := 0
	for _, c := range format {
		switch {
		case c >= '0' && c <= '9':
			if digits++; digits > 3 {
				return errors.New("printf takes widths of at most 3 digits")
			}
		case c == '*':
			return errors.New("printf takes no width from its arguments (*)")
		default:
			digits = 0
		}
	}
	if utf8.RuneCountInString(format) > 4096 {
		return errors.New("printf takes a format of at most 4096 characters")
	}
	return nil
}

// Samples are what a template is tried on when it is saved, and what a test
// sends. Their texts are of the kind that breaks JSON that is put together
// without care.
func samples(class apic.Class) []item {
	at := apic.Now()
	const nasty = "a \"quoted\" word, a back\\slash,\na second line, a tab\t, <b>, & and ü"
	dn := apic.DN("uni/tn-sample/ap-shop/epg-web/fault-F0000")
	whole := apic.AttrsMap(map[string]string{
		"dn": string(dn), "descr": nasty, "severity": "major", "code": "F0000", "name": "sample", "lc": "raised", "modTs": at.Format("2006-01-02T15:04:05.000-07:00"),
	})
	event := func(id apic.ID, status apic.Status, attrs, object apic.Attrs, changes []apic.Change) item {
		e := apic.Entry{Event: &apic.Event{Time: at, Fabric: "default", Class: class, DN: dn, Status: status, Origin: apic.Live,
			Attributes: attrs, Object: object, Changes: changes}}.Seal(id)
		return item{Entry: &e}
	}
	gap := apic.Entry{Gap: &apic.Gap{Time: at, Fabric: "default", Classes: []apic.Class{class}, From: at.Add(-90 * 1e9), To: at, Reason: apic.ReasonConnection, Healed: true}}.Seal(4)
	return []item{
		event(1, apic.Created, whole, whole, nil),
		event(2, apic.Modified, apic.AttrsMap(map[string]string{"dn": string(dn), "descr": "better", "status": "modified"}),
			whole.With(apic.AttrsMap(map[string]string{"descr": "better"})), []apic.Change{{Name: "descr", Old: nasty, New: "better"}}),
		event(3, apic.Deleted, apic.AttrsMap(map[string]string{"dn": string(dn), "status": "deleted"}), apic.Attrs{}, nil),
		{Entry: &gap},
		{hole: hole{asked: 1, oldest: 5, reason: "retention", time: at}},
	}
}

// try renders the samples, alone and as a batch, and returns what is wrong
// with the template.
func (d *definition) try() error {
	class := apic.Class("faultInst")
	if list := d.Selector.Classes(); len(list) > 0 {
		class = list[0]
	}
	all := samples(class)
	for i := range all {
		b, err := d.render(all[i:i+1], true)
		if err != nil {
			return fmt.Errorf("fails on a sample (%s): %w", sampleNames[i], err)
		}
		if bytes.Contains(b.text, []byte(noValue)) {
			return fmt.Errorf("uses a name that there is not (%s, on a sample: %s): an event has id, time, fabric, class, dn, path, status, origin, attributes, changes, object; a gap has kind, classes, from, to, reason, healed%s", noValue, sampleNames[i], batchHint(d.Batch))
		}
	}
	if d.Batch > 1 {
		if _, err := d.render(all, true); err != nil {
			return fmt.Errorf("fails on a batch of samples: %w", err)
		}
	}
	return nil
}

func batchHint(batch int) string {
	if batch > 1 {
		return "; where batch is above 1 they are the members of events: {{range .events}}"
	}
	return ""
}

var sampleNames = []string{"a created object", "a modified object", "a deleted object", "a gap", "a gap by retention"}
