package handlers

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

const (
	maxLimit     = 10_000
	defaultLimit = 100

	// A page ends early, with a next, once it has looked at so many entries or
	// holds so many bytes: a selective filter over a long log must neither keep
	// a caller waiting nor the log busy, and a page must fit into memory.
	maxScan      = 50_000
	maxScanTime  = 2 * time.Second
	maxPageBytes = 16 << 20
)

// A page is one answer of history: what was asked for, and how far it got.
type page struct {
	path     string     // of the call
	values   url.Values // its parameters, those of the next page in the end
	sel      *selector.Selector
	narrow   apic.Narrow
	since    selector.Place
	until    selector.Place
	hasSince bool
	hasUntil bool
	desc     bool
	limit    int
	include  bool
	format   string

	entries []*apic.Entry
	asOf    apic.ID // the newest id that it could have held
	more    bool    // there is a next page
}

// history is GET /events and GET /events/{class}.
func (s *server) history(w *response, r *http.Request) error {
	var list []apic.Class
	if r.PathValue("class") != "" {
		var err error
		if list, err = classes(r); err != nil {
			return err
		}
	}
	p, err := queryParams(r)
	if err != nil {
		return err
	}
	pg := readPage(r, p, list, "asc", "desc")
	pg.narrow.Kinds = p.kinds(apic.EventsAndGaps)
	if err := p.err(); err != nil {
		return err
	}
	if err := s.fill(r.Context(), pg); err != nil {
		return err
	}
	return pg.write(w)
}

// readPage reads what all calls have that answer with events in pages. The
// first of the orders is the default.
func readPage(r *http.Request, p *params, list []apic.Class, orders ...string) *page {
	pg := &page{path: r.URL.EscapedPath(), values: p.values, sel: p.selectors(list)}
	pg.desc = p.word("order", orders...) == "desc"
	pg.since, _, pg.hasSince = p.place("since")
	pg.until, _, pg.hasUntil = p.place("until")
	pg.limit, _ = p.count("limit", 1, maxLimit, defaultLimit)
	pg.include = p.include()
	pg.format = format(r, p, "json", "ndjson", "csv")
	if pg.sel != nil {
		pg.narrow = pg.sel.Narrow()
	}
	return pg
}

// kinds reads kind=event,gap.
func (p *params) kinds(otherwise apic.Kinds) apic.Kinds {
	v, ok := p.text("kind")
	if !ok {
		return otherwise
	}
	var event, gap bool
	for k := range strings.SplitSeq(v, ",") {
		switch strings.TrimSpace(k) {
		case "event":
			event = true
		case "gap":
			gap = true
		default:
			p.refuse("kind", "%.40q is neither event nor gap, nor both with a comma", v)
			return otherwise
		}
	}
	switch {
	case event && gap:
		return apic.EventsAndGaps
	case gap:
		return apic.GapsOnly
	}
	return apic.EventsOnly
}

// format returns what the answer is written as: format= stands over Accept,
// of which the first type that is understood counts, and of which what nobody
// understands is passed over.
func format(r *http.Request, p *params, formats ...string) string {
	if p.values.Has("format") {
		return p.word("format", formats...)
	}
	p.known["format"] = true
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			media, _, _ := strings.Cut(part, ";")
			name := ""
			switch strings.ToLower(strings.TrimSpace(media)) {
			case "application/x-ndjson", "application/jsonl", "application/ndjson":
				name = "ndjson"
			case "text/csv":
				name = "csv"
			case "application/json":
				name = "json"
			case "text/event-stream":
				name = "sse"
			}
			if slices.Contains(formats, name) {
				return name
			}
		}
	}
	return formats[0]
}

// fill reads the page's entries.
func (s *server) fill(ctx context.Context, pg *page) error {
	now := apic.Now()
	until := s.hub.Bounds().Newest
	if pg.hasUntil {
		var err error
		if until, err = pg.until.ResolveUntil(ctx, now, s.hub); err != nil {
			return err
		}
	}
	pg.asOf = until
	pg.pin("since", pg.since, now)
	pg.pin("until", pg.until, now)
	for try := 0; ; try++ {
		after := s.hub.Bounds().Floor
		if pg.hasSince {
			var err error
			if after, err = pg.since.Resolve(ctx, now, s.hub); err != nil {
				return err
			}
		}
		err := s.walk(ctx, pg, after, until)
		if _, named := pg.since.ID(); errors.Is(err, apic.ErrGone) && !named && try < 3 {
			continue // retention went by; no id was asked for, so what is there now is the answer
		}
		return err
	}
}

// pin writes what the next page must not take anew: an age is a time by then,
// and the newest end is where it was.
func (pg *page) pin(name string, at selector.Place, now time.Time) {
	if !pg.values.Has(name) {
		return
	}
	if at.IsLatest() {
		pg.values.Set(name, strconv.FormatInt(int64(pg.asOf), 10))
		if name == "since" {
			pg.since = selector.After(pg.asOf)
		}
	} else if age, err := selector.ParseDuration(pg.values.Get(name), 0, longest); err == nil {
		pg.values.Set(name, now.Add(-age).UTC().Format(time.RFC3339Nano))
	}
}

const longest = 1<<63 - 1

// walk collects entries from one place to the other until the page is full. It
// holds nothing of the log between the parts that it reads.
func (s *server) walk(ctx context.Context, pg *page, after, until apic.ID) error {
	pg.entries, pg.more = nil, false
	begun := time.Now()
	scanned, size := 0, 0
	last := until // of a page that is full: where the next begins
	for after < until {
		part := min(max(pg.limit-len(pg.entries)+1, 100), 1000)
		got := 0
		r := apic.Range{After: after, Until: until, Desc: pg.desc, Limit: part, Narrow: pg.narrow}
		for e, err := range s.hub.Read(ctx, r) {
			if err != nil {
				return err
			}
			got++
			matches := pg.sel.Match(e)
			if matches && (len(pg.entries) == pg.limit || size >= maxPageBytes) {
				pg.end(last)
				return nil
			}
			if last = e.ID; pg.desc {
				until = e.ID - 1
			} else {
				after = e.ID
			}
			if matches {
				pg.entries = append(pg.entries, e)
				size += len(e.JSON)
			}
		}
		if got < part {
			return nil
		}
		if scanned += got; after < until && (scanned >= maxScan || time.Since(begun) >= maxScanTime) {
			pg.end(last)
			return nil
		}
	}
	return nil
}

// end notes that the page goes on behind an entry.
func (pg *page) end(last apic.ID) {
	pg.more = true
	if pg.values == nil {
		return // nobody asks for it
	}
	if pg.desc {
		pg.values.Set("until", strconv.FormatInt(int64(last-1), 10))
	} else {
		pg.values.Set("since", strconv.FormatInt(int64(last), 10))
	}
}

func (pg *page) next() string { return pg.path + "?" + pg.values.Encode() }

func (pg *page) write(w *response) error {
	h := w.Header()
	h.Add("Vary", "Accept")
	if pg.more { // also for the forms that have no room for it
		h.Set("Link", "<"+pg.next()+`>; rel="next"`)
	}
	switch pg.format {
	case "ndjson":
		h.Set("Content-Type", "application/x-ndjson")
		return writeLines(w, pg.entries, pg.include)
	case "csv":
		h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
		return pg.writeCSV(w)
	}
	h.Set("Content-Type", "application/json")
	tail := fmt.Sprintf(`,"asOf":%d`, pg.asOf)
	if pg.more {
		tail += `,"next":` + strings.TrimSuffix(string(encode(pg.next())), "\n")
	}
	return writeEvents(w, pg.entries, pg.include, tail+"}\n")
}

// writeEvents writes {"events":[…] and what is to stand behind it.
func writeEvents(w *response, entries []*apic.Entry, include bool, tail string) error {
	out := newParts(w)
	out.buf = append(out.buf, `{"events":[`...)
	for i, e := range entries {
		if i > 0 {
			out.buf = append(out.buf, ',')
		}
		out.buf = append(out.buf, entryJSON(e, include)...)
		if err := out.full(); err != nil {
			return err
		}
	}
	out.buf = append(out.buf, ']')
	out.buf = append(out.buf, tail...)
	return out.write()
}

func writeLines(w *response, entries []*apic.Entry, include bool) error {
	out := newParts(w)
	for _, e := range entries {
		out.buf = append(append(out.buf, entryJSON(e, include)...), '\n')
		if err := out.full(); err != nil {
			return err
		}
	}
	return out.write()
}

// parts writes a long body part by part, each under a deadline of its own.
type parts struct {
	w   *response
	c   *http.ResponseController
	buf []byte
}

const partSize = 64 << 10

// batch is how many entries a long poll looks at at once.
const batch = 256

func newParts(w *response) *parts {
	return &parts{w: w, c: http.NewResponseController(w)}
}

func (o *parts) full() error {
	if len(o.buf) < partSize {
		return nil
	}
	return o.write()
}

func (o *parts) write() error {
	if err := o.c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if o.w.status == 0 {
		o.w.WriteHeader(http.StatusOK)
	}
	if len(o.buf) == 0 {
		return nil
	}
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}

// writeCSV writes a header row and a row for each entry: text as text, all
// else as JSON.
func (pg *page) writeCSV(w *response) error {
	columns := []string{"id", "time", "fabric", "class", "dn", "path", "status", "origin", "attributes", "changes"}
	if pg.include {
		columns = append(columns, "object")
	}
	if pg.narrow.Kinds != apic.EventsOnly {
		columns = append(columns, "kind", "classes", "from", "to", "reason", "healed")
	}
	out := newParts(w)
	var b bytes.Buffer
	rows := csv.NewWriter(&b)
	write := func(row []string) {
		_ = rows.Write(row) // a bytes.Buffer takes everything
		rows.Flush()
		out.buf = append(out.buf, b.Bytes()...)
		b.Reset()
	}
	write(columns)
	row := make([]string, len(columns))
	for _, e := range pg.entries {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(entryJSON(e, pg.include), &fields); err != nil {
			return fmt.Errorf("entry %d as CSV: %w", e.ID, err)
		}
		for i, name := range columns {
			row[i] = cell(fields[name])
		}
		write(row)
		if err := out.full(); err != nil {
			return err
		}
	}
	return out.write()
}

// cell returns a value as it stands in CSV. Text that a spreadsheet would
// take for a formula gets an apostrophe in front, as spreadsheets do it: DNs
// come from whoever may name objects in the fabric. Attributes cannot be
// taken for one, as they stand in JSON.
func cell(raw json.RawMessage) string {
	if len(raw) == 0 || raw[0] != '"' {
		return string(raw)
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return string(raw)
	}
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// event is GET /events/{id}.
func (s *server) event(w *response, r *http.Request) error {
	p, err := queryParams(r)
	if err != nil {
		return err
	}
	include := p.include()
	if err := p.err(); err != nil {
		return err
	}
	id, err := apic.ParseID(r.PathValue("id"))
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	e, err := s.hub.Entry(r.Context(), id)
	if errors.Is(err, apic.ErrNotFound) {
		return refuse(http.StatusNotFound, "no event has the id %d; GET /events lists what there is", id).because(err)
	}
	if gone, ok := errors.AsType[*apic.GoneError](err); ok {
		return &apic.GoneError{Asked: id, Oldest: gone.Oldest, Reason: gone.Reason}
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	writeBody(w, append(entryJSON(e, include), '\n'))
	return nil
}

const (
	maxTimeout     = time.Hour
	defaultTimeout = time.Minute
)

// wait is GET /wait.
func (s *server) wait(w *response, r *http.Request) error {
	p, err := queryParams(r)
	if err != nil {
		return err
	}
	sel := p.selectors(nil)
	timeout := p.duration("timeout", maxTimeout, defaultTimeout)
	since, _, _ := p.place("since")
	state := p.flag("state")
	include := p.include()
	narrow := sel.Narrow()
	narrow.Kinds = apic.EventsOnly
	if state && slices.Equal(narrow.Statuses, []apic.Status{apic.Deleted}) {
		p.refuse("state", "asks whether an object is there, and status=deleted waits for it to go: leave one of them out")
	}
	if err := p.err(); err != nil {
		return err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	at, err := since.Resolve(r.Context(), apic.Now(), s.hub)
	if err != nil {
		return err
	}
	if state {
		// What changes while the objects are looked through is behind at.
		o, found, err := s.firstObject(r.Context(), sel, &narrow)
		if err != nil {
			return err
		}
		if found {
			return writeJSON(w, http.StatusOK, viewObject(o))
		}
	}
	for {
		entries, next, err := s.hub.After(r.Context(), at, &narrow, batch)
		if err != nil && r.Context().Err() == nil {
			return err
		}
		for _, e := range entries {
			if sel.Match(e) {
				s.metrics.delivered.WithLabelValues(viaWait).Inc()
				w.Header().Set("Content-Type", "application/json")
				writeBody(w, append(entryJSON(e, include), '\n'))
				return nil
			}
		}
		at = max(at, next)
		select {
		case <-s.hub.Grown(at):
			continue
		case <-timer.C:
		case <-r.Context().Done():
			linger(r.Context())
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}
