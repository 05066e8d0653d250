package webhook

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

// An endpoint is a definition with its place on the timeline. When there is
// something to send a worker does it, one goroutine for the endpoint; at rest
// it has none. The fields are guarded by the service's mu, where nothing else
// is said.
type endpoint struct {
	s       *Service
	id      string
	sending chan struct{} // holds a value while a request is in flight: one at a time
	kick    chan struct{} // ends a worker's pause
	atRest  atomic.Bool   // as resting, for those without the lock
	ctx     context.Context
	cancel  context.CancelFunc // ends requests, when the endpoint is removed

	def       *definition
	redefined bool // the definition is to be written
	broken    bool // it cannot be used as it is
	gone      bool // removed

	working bool // a worker has it
	resting bool // nobody has: the dispatcher offers it what is new
	era     int  // grows when somebody moves the place

	at      apic.ID // all up to it is done with
	saved   apic.ID // what the store has of it
	state   state
	nextTry time.Time
	pace    time.Duration // between requests
	head    time.Time     // when the entry was written that is about to be sent
	log     []Delivery    // not written yet
}

// state is what outlives the process beside the place.
type state struct {
	Seq           int64     `json:"seq"` // of the last attempt
	Attempt       int       `json:"attempt,omitempty"`
	FailingSince  time.Time `json:"failingSince,omitzero"`
	Error         string    `json:"error,omitempty"`
	LastSuccessAt time.Time `json:"lastSuccessAt,omitzero"`
	Delivered     int64     `json:"delivered,omitempty"`
	Skipped       int64     `json:"skipped,omitempty"`
	Failures      int64     `json:"failures,omitempty"` // attempts
	Successes     int64     `json:"successes,omitempty"`
}

func newEndpoint(s *Service, id string) *endpoint {
	ctx, cancel := context.WithCancel(context.Background())
	return &endpoint{s: s, id: id, sending: make(chan struct{}, 1), kick: make(chan struct{}, 1), ctx: ctx, cancel: cancel}
}

// placeLocked is the place as it counts: at rest, it moves with the timeline.
func (e *endpoint) placeLocked() apic.ID {
	if e.resting {
		return max(e.at, e.s.at)
	}
	return e.at
}

func (e *endpoint) viewLocked() View {
	now := time.Now()
	v := View{
		ID: e.id, Endpoint: *e.def.Endpoint, State: Active, Place: e.placeLocked(), Error: e.state.Error,
		FailingSince: e.state.FailingSince, Attempt: e.state.Attempt, NextTry: e.nextTry,
		LastSuccessAt: e.state.LastSuccessAt, Delivered: e.state.Delivered, Skipped: e.state.Skipped,
	}
	v.secret, v.old = Secret{}, nil
	v.Lag = int64(max(e.s.hub.Bounds().Newest-v.Place, 0))
	if !e.head.IsZero() && v.Lag > 0 {
		v.Behind = max(now.Sub(e.head), 0)
	}
	switch {
	case !e.def.Enabled:
		v.State = Disabled
		v.NextTry = time.Time{}
	case e.state.Attempt > 0:
		v.State = Failing
	}
	return v
}

// startLocked has a worker look after the endpoint, if it may.
func (e *endpoint) startLocked() {
	if !e.s.running || e.working || e.gone || !e.def.Enabled {
		return
	}
	e.settleLocked()
	e.working = true
	e.s.workers.Go(e.work)
}

// settleLocked takes the endpoint out of rest, at the place that it has come
// to.
func (e *endpoint) settleLocked() {
	e.at = e.placeLocked()
	e.resting = false
	e.atRest.Store(false)
}

// restLocked leaves the endpoint to the dispatcher. It reports false when there
// is more to look at.
func (e *endpoint) restLocked() bool {
	if e.at < e.s.at {
		return false
	}
	e.resting, e.working = true, false
	e.head = time.Time{}
	e.atRest.Store(true)
	e.s.rested = append(e.s.rested, e)
	return true
}

// kickLocked ends the pause of a worker.
func (e *endpoint) kickLocked() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// afreshLocked forgets failures: somebody has changed what may have been their
// reason.
func (e *endpoint) afreshLocked() {
	e.state.Attempt, e.state.FailingSince, e.state.Error = 0, time.Time{}, ""
	e.nextTry, e.pace = time.Time{}, 0
}

// changeLocked takes what is to be written.
func (e *endpoint) changeLocked() (Change, error) {
	c := Change{Record: Record{ID: e.id, At: e.placeLocked()}, Deliveries: e.log, Forget: e.state.Seq - int64(e.s.o.KeepDeliveries)}
	var err error
	if c.State, err = json.Marshal(&e.state); err != nil {
		return c, err
	}
	if e.redefined {
		if c.Definition, err = e.def.store(); err != nil {
			return c, err
		}
	}
	e.log, e.redefined, e.saved = nil, false, c.At
	return c, nil
}

// undoLocked gives back what could not be written.
func (e *endpoint) undoLocked(c Change) {
	e.log = append(c.Deliveries, e.log...)
	e.redefined = e.redefined || c.Definition != nil
	e.saved = 0
}

// logAtMost is how many attempts may wait to be written. While the store takes
// nothing, an endpoint stops at it: what it sent would all be sent again.
const logAtMost = 1024

// A job is what a worker is about to send.
type job struct {
	def   *definition
	era   int
	items []item
	upTo  apic.ID // the place once it is done with; with no items, the place already
}

// work sends until there is nothing more to send.
func (e *endpoint) work() {
	s := e.s
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	sendCtx, stop := context.WithCancelCause(s.sendCtx)
	defer stop(nil)
	defer context.AfterFunc(e.ctx, func() { stop(errRemoved) })()
	w := &worker{endpoint: e, sendCtx: sendCtx}
	for {
		if !w.pause(ctx) {
			break
		}
		s.mu.Lock()
		if ctx.Err() != nil || !e.def.Enabled || e.gone {
			s.mu.Unlock()
			break
		}
		j := job{def: e.def, era: e.era, upTo: e.at}
		full := len(e.log) >= logAtMost
		s.mu.Unlock()
		if full {
			if err := s.flush(ctx); err != nil {
				sleep(ctx, time.Second)
			}
			continue
		}
		if err := w.next(ctx, &j); err != nil {
			if ctx.Err() == nil {
				s.log.Error("a webhook cannot read the timeline; trying again", logName(e.id, j.def.Endpoint), "err", err)
				sleep(ctx, time.Second)
			}
			continue
		}
		if len(j.items) == 0 {
			s.mu.Lock()
			if e.era == j.era {
				e.at = max(e.at, j.upTo)
				if e.def == j.def && e.restLocked() {
					s.mu.Unlock()
					return
				}
			}
			s.mu.Unlock()
			continue
		}
		w.deliver(ctx, &j)
	}
	s.mu.Lock()
	e.working = false
	if ctx.Err() == nil {
		e.startLocked() // enabled again meanwhile
	}
	s.mu.Unlock()
}

// pause waits until the next attempt may be made. It returns false when there
// is to be none.
func (w *worker) pause(ctx context.Context) bool {
	e := w.endpoint
	for {
		e.s.mu.Lock()
		wait := time.Until(e.nextTry)
		stop := !e.def.Enabled || e.gone
		e.s.mu.Unlock()
		switch {
		case stop || ctx.Err() != nil:
			return false
		case wait <= 0:
			return true
		}
		if wait > 100*time.Millisecond {
			w.ahead, w.at = nil, 0 // nothing is held over a long pause
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-e.kick:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// A worker is what the goroutine of an endpoint holds.
type worker struct {
	*endpoint
	sendCtx context.Context // of requests: outlives the service's a little, not the endpoint
	ahead   []*apic.Entry   // read and wanted, for the definition and era of the last job
	def     *definition
	era     int
	at      apic.ID // all up to it is done with or in ahead
	window  int     // how many entries are read at once: grows with success
	hold    apic.ID // the last event of a message that failed: it is sent again as it was
	lost    *hole   // to be told next
}

const (
	maxWindow = 256
	maxScan   = 2048
)

// next fills a job with what is to be sent next, or with nothing and the place
// that has been reached.
func (w *worker) next(ctx context.Context, j *job) error {
	if w.def != j.def || w.era != j.era {
		w.def, w.era, w.at, w.hold, w.lost = j.def, j.era, 0, 0, nil
	}
	if w.at < j.upTo {
		w.ahead, w.at = nil, j.upTo
	}
	if w.lost != nil {
		j.items, j.upTo = []item{{hole: *w.lost}}, w.lost.oldest-1
		return nil
	}
	batch := j.def.Batch
	enough := func() bool {
		return len(w.ahead) >= batch || w.hold != 0 && len(w.ahead) > 0 && w.ahead[len(w.ahead)-1].ID >= w.hold
	}
	window := max(w.window, batch)
	for rounds := 0; !enough() && rounds < 64; rounds++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		want := max(window, batch-len(w.ahead))
		entries, at, err := w.s.hub.After(ctx, w.at, &j.def.narrow, want)
		if gone, ok := errors.AsType[*apic.GoneError](err); ok {
			if len(w.ahead) > 0 { // first what was read before
				break
			}
			w.lost = &hole{asked: gone.Asked, oldest: gone.Oldest, reason: gone.Reason, time: apic.Now()}
			j.items, j.upTo = []item{{hole: *w.lost}}, gone.Oldest-1
			return nil
		}
		if err != nil {
			return err
		}
		before := len(w.ahead)
		for _, entry := range entries {
			if j.def.Selector.Match(entry) {
				w.ahead = append(w.ahead, entry)
			}
		}
		w.at = max(w.at, at)
		if len(w.ahead) == before { // few are wanted: look at more at once, they are not held
			window = min(2*window, maxScan)
		}
		if len(entries) < want { // the end of the timeline
			break
		}
	}
	size := 0
	for _, entry := range w.ahead {
		if len(j.items) == batch || len(j.items) > 0 && size+len(entry.JSON) > maxBatchBytes || w.hold != 0 && entry.ID > w.hold {
			break
		}
		size += len(entry.JSON)
		j.items = append(j.items, item{Entry: entry})
		j.upTo = entry.ID
	}
	if len(j.items) == 0 {
		j.upTo = w.at
	}
	return nil
}

// taken drops what has been sent.
func (w *worker) taken(j *job) {
	if w.lost != nil { // the place may have gone back, to that of another log
		w.ahead, w.at = nil, 0
	}
	n := 0
	for n < len(w.ahead) && w.ahead[n].ID <= j.upTo {
		n++
	}
	clear(w.ahead[:n]) // the log's own entries must not stay alive
	w.ahead = w.ahead[n:]
	w.window = min(max(2*w.window, 2*j.def.Batch), max(maxWindow, j.def.Batch))
	w.hold, w.lost = 0, nil
}

// failed keeps of what was read the message that failed, by its last event.
func (w *worker) failed(j *job) {
	w.ahead, w.at, w.window = nil, 0, 0
	if w.lost == nil {
		w.hold = j.upTo
	}
}

// deliver makes one attempt at a job and draws its conclusions.
func (w *worker) deliver(ctx context.Context, j *job) {
	e, s := w.endpoint, w.s
	select {
	case e.sending <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-e.sending }()
	s.mu.Lock()
	if e.era != j.era || e.def != j.def || e.gone { // changed meanwhile: look again
		s.mu.Unlock()
		return
	}
	e.head = j.items[0].when()
	s.mu.Unlock()

	begun := time.Now()
	b, err := j.def.render(j.items, false)
	var o outcome
	switch {
	case err != nil:
		o.err = fmt.Errorf("the template %w", err)
	case b.skip:
	default:
		o = s.send(w.sendCtx, j.def, messageID(j.items, j.def.Batch > 1), b.text, Regular)
		if errors.Is(o.err, errStopped) || errors.Is(o.err, errRemoved) {
			return // not the receiver's fault; it goes out again
		}
	}

	s.mu.Lock()
	now := time.Now()
	if b.skip {
		e.state.Skipped += int64(len(j.items))
		if e.era == j.era {
			e.at = j.upTo
			e.afreshLocked()
		}
		if !e.gone {
			s.dirty[e] = true
		}
		s.mu.Unlock()
		s.markDirty()
		w.taken(j)
		return
	}
	verdict, why := judge(&o, e.state.FailingSince, now, j.def.RetryFor)
	attempt := 1
	if e.era == j.era && e.def == j.def {
		attempt += e.state.Attempt
	}
	e.recordLocked(j.items, Regular, messageID(j.items, j.def.Batch > 1), begun, attempt, &o, why)
	s.metrics.observe(&o)
	if verdict == done {
		e.state.Successes++
		e.state.Delivered += int64(len(j.items))
		e.state.LastSuccessAt = now.UTC().Truncate(time.Microsecond)
		if j.items[0].Entry == nil {
			s.metrics.overtaken.Inc()
		}
	} else {
		e.state.Failures++
	}
	var disabled, began bool
	if e.era == j.era && !e.gone {
		e.pace = pace(e.pace, o.status)
		switch {
		case verdict == done:
			recovered := e.state.Attempt > 0
			e.at = j.upTo // of a place in another log, this may be less
			p := e.pace
			e.afreshLocked()
			if e.pace = p; p > 0 {
				e.nextTry = now.Add(p)
			}
			if recovered {
				defer s.log.Info("a webhook's receiver takes events again", logName(e.id, j.def.Endpoint))
			}
		case e.def != j.def:
			// Corrected while the request was on its way: tried again at once.
		default:
			began = e.state.Attempt == 0
			if began {
				e.state.FailingSince = now.UTC().Truncate(time.Microsecond)
			}
			e.state.Attempt++
			e.state.Error = why
			e.nextTry = now.Add(max(pause(e.state.Attempt, o.retryAfter), e.pace))
			if verdict == disable {
				disabled = true
				off := *e.def
				ep := *off.Endpoint
				ep.Enabled = false
				off.Endpoint = &ep
				e.def, e.redefined = &off, true
			}
		}
	}
	if !e.gone {
		s.dirty[e] = true
	}
	s.mu.Unlock()
	s.markDirty()
	if verdict == done {
		w.taken(j)
	} else {
		w.failed(j)
	}
	switch {
	case disabled:
		s.log.Error("a webhook is disabled; it keeps its place, and goes on from it when it is enabled again", logName(e.id, j.def.Endpoint), "err", why)
	case began:
		s.log.Warn("a webhook's receiver does not take an event; trying again", logName(e.id, j.def.Endpoint), "err", why)
	}
}

var errRemoved = errors.New("the webhook was removed")

// recordLocked puts an attempt into the log.
func (e *endpoint) recordLocked(items []item, kind Kind, message string, begun time.Time, attempt int, o *outcome, why string) Delivery {
	e.state.Seq++
	d := Delivery{
		Seq: e.state.Seq, Kind: kind, Message: message, Time: begun.UTC().Truncate(time.Microsecond), Attempt: attempt,
		Status: o.status, Duration: o.duration, Error: why, Answer: o.answer,
	}
	if !strings.HasPrefix(message, samplePrefix) {
		d.Events = make([]apic.ID, 0, len(items))
		for i := range items {
			if items[i].Entry != nil {
				d.Events = append(d.Events, items[i].ID)
			}
		}
	}
	e.log = append(e.log, d)
	return d
}

const samplePrefix = "test-"

// An Attempt is what was sent, or would be, out of turn, and what came of it.
type Attempt struct {
	Delivery
	URL         string            // as it is shown
	Headers     map[string]string // with values masked
	ContentType string
	Body        []byte // with header values masked where a template uses them
	Skipped     bool   // the template makes nothing of it: nothing was sent
}

// Test sends a sample, or the entry with the id that is given, out of turn, and
// returns what came back. With dry it is only rendered. A *selector.Error with
// the parameter template says that it could not be rendered.
func (s *Service) Test(ctx context.Context, id string, event apic.ID, dry bool) (Attempt, error) {
	kind := Testing
	if dry {
		kind = Rendered
	}
	return s.outOfTurn(ctx, id, event, kind)
}

// Redeliver sends one entry again, out of turn; the endpoint's place stays.
func (s *Service) Redeliver(ctx context.Context, id string, event apic.ID) (Attempt, error) {
	if event == 0 {
		return Attempt{}, apic.ErrNotFound
	}
	return s.outOfTurn(ctx, id, event, Again)
}

func (s *Service) outOfTurn(ctx context.Context, id string, event apic.ID, kind Kind) (Attempt, error) {
	e, err := s.get(id)
	if err != nil {
		return Attempt{}, err
	}
	s.mu.Lock()
	d, broken := e.def, e.broken
	s.mu.Unlock()
	if broken {
		return Attempt{}, &selector.Error{Param: "id", Detail: "names a webhook that cannot be used as it is: correct it first with PATCH /webhooks/{id}; its error says what is wrong"}
	}
	var events []apic.ID
	if event != 0 {
		events = []apic.ID{event}
	}
	one, message, err := s.items(ctx, d, events)
	if err != nil {
		return Attempt{}, err
	}
	a, err := d.attempt(one, message, kind)
	if err != nil {
		return Attempt{}, err
	}
	a.Events = events
	if kind == Rendered || a.Skipped {
		a.Time = apic.Now()
		return a, nil
	}
	b, err := d.render(one, false)
	if err != nil {
		return Attempt{}, &selector.Error{Param: "template", Detail: err.Error()}
	}
	select { // one request in flight
	case e.sending <- struct{}{}:
	case <-ctx.Done():
		return Attempt{}, context.Cause(ctx)
	}
	defer func() { <-e.sending }()
	begun := time.Now()
	o := s.send(ctx, d, message, b.text, kind)
	why := o.why()
	s.metrics.observe(&o)
	s.mu.Lock()
	if !e.gone {
		a.Delivery = e.recordLocked(one, kind, message, begun, 1, &o, why)
		s.dirty[e] = true
	}
	s.mu.Unlock()
	s.markDirty()
	return a, nil
}

// items returns what is sent out of turn, with its message id: the entries with
// the ids, or a sample of what the definition selects where there are none.
func (s *Service) items(ctx context.Context, d *definition, events []apic.ID) ([]item, string, error) {
	if len(events) == 0 {
		class := apic.Class("faultInst")
		if list := d.Selector.Classes(); len(list) > 0 {
			class = list[0]
		}
		return samples(class)[:1], samplePrefix + rand.Text(), nil
	}
	list := make([]item, len(events))
	for i, id := range events {
		entry, err := s.hub.Entry(ctx, id)
		if err != nil {
			return nil, "", err
		}
		list[i].Entry = entry
	}
	return list, messageID(list, d.Batch > 1), nil
}

// attempt renders items as they can be shown, with header values masked.
func (d *definition) attempt(items []item, message string, kind Kind) (Attempt, error) {
	shown, err := d.render(items, true)
	if err != nil {
		return Attempt{}, &selector.Error{Param: "template", Detail: err.Error()}
	}
	a := Attempt{URL: d.shownURL(), ContentType: d.contentType(), Body: shown.text, Skipped: shown.skip, Headers: make(map[string]string)}
	a.Kind, a.Message, a.Attempt = kind, message, 1
	for name := range d.Headers {
		a.Headers[name] = mask
	}
	return a, nil
}

// Preview renders a definition that is not saved: a new one, or with an id a
// change of an endpoint as [Service.Update] takes it. The URL may be missing.
// What is rendered are the entries with the ids, in one request as far as the
// definition's batch allows, or a sample. Nothing is sent or kept. Errors that
// join *selector.Error are the caller's mistakes; [apic.ErrNotFound] and
// *apic.GoneError are of the events, or of the endpoint.
func (s *Service) Preview(ctx context.Context, id string, body []byte, events []apic.ID) (Attempt, error) {
	var base *Endpoint
	if id != "" {
		e, err := s.get(id)
		if err != nil {
			return Attempt{}, err
		}
		s.mu.Lock()
		base = e.def.Endpoint
		s.mu.Unlock()
	}
	ep, nowhere, err := decodeDraft(body, base)
	if err != nil {
		return Attempt{}, err
	}
	d, err := s.compile(ep)
	if err != nil {
		return Attempt{}, err
	}
	list, message, err := s.items(ctx, d, events[:min(len(events), d.Batch)])
	if err != nil {
		return Attempt{}, err
	}
	a, err := d.attempt(list, message, Rendered)
	if err != nil {
		return Attempt{}, err
	}
	if nowhere {
		a.URL = ""
	}
	a.Events, a.Time = events[:min(len(events), d.Batch)], apic.Now()
	return a, nil
}

// answerText is the answer as it can be shown: valid text.
func answerText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

type deliveryJSON struct {
	Seq       int64     `json:"seq,omitempty"`
	Kind      Kind      `json:"kind"`
	Events    []apic.ID `json:"events"`
	MessageID string    `json:"messageId"`
	Time      time.Time `json:"time"`
	Attempt   int       `json:"attempt"`
	OK        bool      `json:"ok"`
	Status    *int      `json:"status"` // null: no answer
	Duration  float64   `json:"durationMs"`
	Error     string    `json:"error"`
	Answer    string    `json:"answer"`
}

func (d *Delivery) view() deliveryJSON {
	v := deliveryJSON{
		Seq: d.Seq, Kind: d.Kind, Events: d.Events, MessageID: d.Message, Time: d.Time, Attempt: d.Attempt, OK: d.OK(),
		Duration: float64(d.Duration.Microseconds()) / 1000, Error: d.Error, Answer: answerText(d.Answer),
	}
	if v.Events == nil {
		v.Events = []apic.ID{}
	}
	if d.Status != 0 {
		v.Status = &d.Status
	}
	return v
}

// MarshalJSON encodes the attempt as the API shows it.
func (d Delivery) MarshalJSON() ([]byte, error) { return encode(d.view()) }

// MarshalJSON encodes the attempt with what was sent.
func (a Attempt) MarshalJSON() ([]byte, error) {
	type request struct {
		Method      string            `json:"method"`
		URL         string            `json:"url"`
		ContentType string            `json:"contentType"`
		Headers     map[string]string `json:"headers"`
		Body        string            `json:"body"`
	}
	return encode(struct {
		deliveryJSON
		Skipped bool    `json:"skipped"`
		Request request `json:"request"`
	}{a.Delivery.view(), a.Skipped, request{"POST", a.URL, a.ContentType, a.Headers, string(a.Body)}})
}
