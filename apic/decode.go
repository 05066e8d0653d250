package apic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
	"unique"

	"github.com/go-json-experiment/json/jsontext"
)

// An mo is one object as an APIC told it: whole in an answer and when created,
// else what changed.
type mo struct {
	class  Class
	dn     DN
	status string // APIC's word, "" in answers; normally created, modified, deleted
	attrs  Attrs  // as sent
}

// A frame is one message of the socket.
type frame struct {
	at      time.Time
	ids     []string // subscriptions that the change matches
	objects []mo
	skipped int // elements of imdata that are no object
}

// An answer is the body of a REST reply.
type answer struct {
	objects        []mo
	total          int // totalCount: of all matches, not of the page; -1 when absent
	subscriptionID string
	skipped        int
	err            *Error // an error object in imdata, without Op and HTTPStatus
}

// lenient accepts what APICs were seen to send. Numbers and text that are not
// JSON's best are kept as they are.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// maxChildren bounds how deep nested children are followed; answers that we
// ask for have none.
const maxChildren = 32

// A decoder reads frames and answers. It keeps its buffers and the names that
// it has seen, so it belongs to one goroutine.
type decoder struct {
	json    *jsontext.Decoder
	in      bytes.Reader
	scratch []byte
	spans   []span
	names   []byte
	values  []byte
	shapes  map[string]unique.Handle[string] // bounded by maxShapes
	classes map[string]Class                 // bounded by maxShapes
	depth   int

	idsText   []byte   // the last subscriptionId as it stood there
	idsBefore []string // and what it says, shared by frames

	keepAll bool // also objects without a DN, as a login has
}

// maxShapes bounds the caches of a decoder against a hostile variety of names.
const maxShapes = 4096

// A span is one attribute in scratch.
type span struct{ name, value, end int }

func newDecoder() *decoder {
	d := &decoder{shapes: make(map[string]unique.Handle[string]), classes: make(map[string]Class)}
	d.json = jsontext.NewDecoder(&d.in, lenient...)
	return d
}

// A document is what frames and answers have in common.
type document struct {
	ids     []string
	total   int
	objects []mo
	skipped int
	imdata  bool
	err     *Error
}

var errNotJSON = errors.New("not a JSON object")

// frame decodes one message of the socket.
func (d *decoder) frame(b []byte, at time.Time) (frame, error) {
	doc, err := d.document(b)
	if err != nil {
		return frame{}, err
	}
	if !doc.imdata {
		return frame{}, errors.New("no imdata")
	}
	return frame{at: at, ids: doc.ids, objects: doc.objects, skipped: doc.skipped}, nil
}

// answer decodes the body of a REST reply.
func (d *decoder) answer(b []byte) (answer, error) {
	doc, err := d.document(b)
	if err != nil {
		return answer{}, err
	}
	a := answer{objects: doc.objects, total: doc.total, skipped: doc.skipped, err: doc.err}
	if len(doc.ids) > 0 {
		a.subscriptionID = doc.ids[0]
	}
	return a, nil
}

func (d *decoder) document(b []byte) (document, error) {
	doc := document{total: -1}
	b = bytes.TrimLeft(b, " \t\r\n\ufeff")
	if len(b) == 0 || b[0] != '{' {
		return doc, errNotJSON
	}
	if !utf8.Valid(b) {
		b = bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	d.in.Reset(b)
	d.json.Reset(&d.in, lenient...)
	d.depth = 0
	if _, err := d.json.ReadToken(); err != nil {
		return doc, err
	}
	for d.json.PeekKind() != '}' {
		name, err := d.text()
		if err != nil {
			return doc, err
		}
		switch string(name) {
		case "subscriptionId":
			doc.ids, err = d.ids()
		case "totalCount":
			var total []byte
			if total, err = d.text(); err == nil {
				if doc.total, err = strconv.Atoi(string(total)); err != nil || doc.total < 0 {
					doc.total, err = -1, nil
				}
			}
		case "imdata":
			doc.imdata = true
			err = d.imdata(&doc)
		default:
			err = d.json.SkipValue()
		}
		if err != nil {
			return doc, err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return doc, err
	}
	return doc, nil
}

// text reads a scalar as text: what a string holds, or the literal of a number
// or boolean; null is empty. Of an object or array it is the JSON text. The
// bytes are valid until the next read.
func (d *decoder) text() ([]byte, error) {
	v, err := d.json.ReadValue()
	if err != nil {
		return nil, err
	}
	switch v.Kind() {
	case '"':
		if bytes.IndexByte(v, '\\') < 0 {
			return v[1 : len(v)-1], nil
		}
		return jsontext.AppendUnquote(nil, v)
	case 'n':
		return nil, nil
	}
	return v, nil
}

// ids reads subscriptionId: text, a number, or an array of these. As a rule it
// is what the frame before said.
func (d *decoder) ids() ([]string, error) {
	v, err := d.json.ReadValue()
	if err != nil {
		return nil, err
	}
	if bytes.Equal(v, d.idsText) {
		return d.idsBefore, nil
	}
	p := newDecoder()
	p.in.Reset(v)
	p.json.Reset(&p.in, lenient...)
	ids, err := p.list()
	if err != nil || len(v) > maxIDsText {
		return ids, err
	}
	d.idsText, d.idsBefore = append(d.idsText[:0], v...), ids
	return ids, nil
}

// maxIDsText bounds what is remembered of a frame: a dozen ids.
const maxIDsText = 512

// list reads a text, a number, or an array of these.
func (d *decoder) list() ([]string, error) {
	if d.json.PeekKind() != '[' {
		id, err := d.text()
		if err != nil || len(id) == 0 {
			return nil, err
		}
		return []string{string(id)}, nil
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, err
	}
	var ids []string
	for d.json.PeekKind() != ']' {
		id, err := d.text()
		if err != nil {
			return nil, err
		}
		if len(id) > 0 {
			ids = append(ids, string(id))
		}
	}
	_, err := d.json.ReadToken()
	return ids, err
}

// imdata reads the array of objects. Elements that are no object with
// attributes are counted and passed over.
func (d *decoder) imdata(doc *document) error {
	if d.json.PeekKind() != '[' {
		doc.skipped++
		return d.json.SkipValue()
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != ']' {
		if err := d.element(doc, ""); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// element reads {"class":{"attributes":{…},"children":[…]}}, below the object
// at parent when it is a child.
func (d *decoder) element(doc *document, parent DN) error {
	if d.json.PeekKind() != '{' {
		doc.skipped++
		return d.json.SkipValue()
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for d.json.PeekKind() != '}' {
		name, err := d.text()
		if err != nil {
			return err
		}
		class, ok := d.class(name)
		if !ok || d.json.PeekKind() != '{' {
			doc.skipped++
			if err := d.json.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if err := d.object(doc, class, parent); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

func (d *decoder) class(name []byte) (Class, bool) {
	if c, ok := d.classes[string(name)]; ok {
		return c, true
	}
	if len(name) > maxClass || !classPattern.Match(name) && !deviant(name) {
		return "", false
	}
	if len(d.classes) >= maxShapes {
		clear(d.classes)
	}
	c := Class(name)
	d.classes[string(c)] = c
	return c, true
}

// deviant admits the few classes that begin with a capital (DnDomainMapEntry).
func deviant(name []byte) bool {
	return len(name) > 0 && name[0] >= 'A' && name[0] <= 'Z' && classPattern.Match(append([]byte{'a'}, name...))
}

func (d *decoder) object(doc *document, class Class, parent DN) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	at := -1
	var rn string
	for d.json.PeekKind() != '}' {
		name, err := d.text()
		if err != nil {
			return err
		}
		switch {
		case string(name) == "attributes" && d.json.PeekKind() == '{':
			attrs, err := d.attrs()
			if err != nil {
				return err
			}
			if class == "error" {
				doc.err = &Error{Code: attrs.Get("code"), Text: attrs.Get("text")}
				continue
			}
			m := mo{class: class, dn: DN(attrs.Get("dn")), status: attrs.Get("status"), attrs: attrs}
			if m.dn == "" {
				if rn = attrs.Get("rn"); parent != "" && rn != "" {
					m.dn = parent + "/" + DN(rn)
					m.attrs = attrs.With(AttrsOf([]Attr{{"dn", string(m.dn)}}))
				}
			}
			if m.dn == "" && !d.keepAll || len(m.dn) > maxDN {
				continue // counted below
			}
			at = len(doc.objects)
			doc.objects = append(doc.objects, m)
		case string(name) == "children" && d.json.PeekKind() == '[' && at >= 0 && d.depth < maxChildren:
			d.depth++
			if _, err := d.json.ReadToken(); err != nil {
				return err
			}
			for d.json.PeekKind() != ']' {
				if err := d.element(doc, doc.objects[at].dn); err != nil {
					return err
				}
			}
			if _, err := d.json.ReadToken(); err != nil {
				return err
			}
			d.depth--
		default:
			if err := d.json.SkipValue(); err != nil {
				return err
			}
		}
	}
	if at < 0 && class != "error" {
		doc.skipped++
	}
	_, err := d.json.ReadToken()
	return err
}

// attrs reads a JSON object as a set of attributes.
func (d *decoder) attrs() (Attrs, error) {
	if _, err := d.json.ReadToken(); err != nil {
		return Attrs{}, err
	}
	d.scratch, d.spans = d.scratch[:0], d.spans[:0]
	sorted := true
	for d.json.PeekKind() != '}' {
		name, err := d.text()
		if err != nil {
			return Attrs{}, err
		}
		s := span{name: len(d.scratch)}
		d.scratch = append(d.scratch, name...)
		s.value = len(d.scratch)
		value, err := d.text()
		if err != nil {
			return Attrs{}, err
		}
		d.scratch = append(d.scratch, value...)
		s.end = len(d.scratch)
		if n := len(d.spans); n > 0 && sorted {
			last := d.spans[n-1]
			sorted = bytes.Compare(d.scratch[last.name:last.value], d.scratch[s.name:s.value]) < 0
		}
		d.spans = append(d.spans, s)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return Attrs{}, err
	}
	if len(d.spans) == 0 {
		return Attrs{}, nil
	}
	if !sorted {
		slices.SortStableFunc(d.spans, func(a, b span) int {
			return bytes.Compare(d.scratch[a.name:a.value], d.scratch[b.name:b.value])
		})
		kept := d.spans[:0]
		for i, s := range d.spans { // of a name that occurs twice the later value counts
			if i+1 < len(d.spans) {
				next := d.spans[i+1]
				if bytes.Equal(d.scratch[s.name:s.value], d.scratch[next.name:next.value]) {
					continue
				}
			}
			kept = append(kept, s)
		}
		d.spans = kept
	}
	d.names, d.values = d.names[:0], d.values[:0]
	for _, s := range d.spans {
		d.names = append(binary.AppendUvarint(d.names, uint64(s.value-s.name)), d.scratch[s.name:s.value]...)
		d.values = append(binary.AppendUvarint(d.values, uint64(s.end-s.value)), d.scratch[s.value:s.end]...)
	}
	shape, ok := d.shapes[string(d.names)]
	if !ok {
		if len(d.shapes) >= maxShapes {
			clear(d.shapes)
		}
		shape = unique.Make(string(d.names))
		d.shapes[shape.Value()] = shape
	}
	return Attrs{shape, string(d.values)}, nil
}

// describe says what a body is that should have been JSON, for messages: the
// front web server of an APIC answers in HTML.
func describe(b []byte) string {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0:
		return "an empty body"
	case b[0] == '<':
		return fmt.Sprintf("a page instead of JSON (%d bytes)", len(b))
	case b[0] == '{':
		return "JSON that breaks off or is not an APIC's"
	}
	return fmt.Sprintf("%d bytes that are no JSON", len(b))
}
