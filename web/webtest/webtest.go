// Package webtest serves the browser page with a small stand-in for the
// service behind it: enough of the HTTP API, kept in memory, to develop and to
// test the page. What happens in its fabric is said by the test.
package webtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
	"github.com/acitap/acitap/static"
	"github.com/acitap/acitap/web"
)

// CSP is the policy that the service sends with the page.
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// A Server is the stand-in. All methods may be called from any goroutine.
type Server struct {
	mux *http.ServeMux

	mu       sync.Mutex // guards all below
	origin   apic.ID
	floor    apic.ID // all up to it is gone from the log
	keep     int     // entries that the log holds about; 0: all
	entries  []*apic.Entry
	grown    chan struct{} // closed when entries or the session change
	objects  map[apic.DN]*object
	subs     []apic.Subscription
	session  apic.Session
	down     chan struct{} // closed while streams are refused
	caller   string        // name of the token, "" for none
	role     string
	requests []string
	problem  int // status that history answers with, 0 for none
}

type object struct {
	class apic.Class
	attrs apic.Attrs
	last  apic.ID
}

// New returns a server whose log is empty and whose session is up.
func New() *Server {
	now := apic.Now()
	s := &Server{
		mux: http.NewServeMux(), origin: apic.FirstID(now.Add(-time.Hour)), grown: make(chan struct{}), objects: make(map[apic.DN]*object),
		session: apic.Session{
			Name: "default", State: apic.Connected, Controller: "apic1", Controllers: []string{"apic1", "apic2", "apic3"}, User: "acitap", Version: "6.0(5h)",
			ConnectedSince: now.Add(-3 * time.Hour), LastFrameAt: now, LastProof: now, TokenExpiresAt: now.Add(9 * time.Minute),
			TokenRenewsAt: now.Add(4 * time.Minute), EndsAt: now.Add(21 * time.Hour), TokenRenewals: 35, Refreshes: 4312,
		},
	}
	s.floor = s.origin
	s.mux.Handle("GET /static/", static.Handler())
	s.mux.HandleFunc("GET /{$}", s.page)
	s.mux.HandleFunc("GET /signin", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = web.SignInPage(web.SignIn{Next: r.URL.Query().Get("next"), Mistake: r.URL.Query().Get("mistake")}).Render(r.Context(), w)
	})
	s.mux.HandleFunc("POST /signout", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/signin", http.StatusSeeOther)
	})
	s.mux.HandleFunc("GET /session", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.sessions()) })
	s.mux.HandleFunc("GET /subscriptions", s.listSubscriptions)
	s.mux.HandleFunc("POST /subscriptions", s.subscribe)
	s.mux.HandleFunc("POST /subscriptions/{class}", s.subscribe)
	s.mux.HandleFunc("DELETE /subscriptions/{class}/{id}", s.unsubscribe)
	s.mux.HandleFunc("GET /events", s.history)
	s.mux.HandleFunc("GET /events/{id}", s.event)
	s.mux.HandleFunc("GET /events/stream", s.stream)
	s.mux.HandleFunc("GET /objects/{class}", s.listObjects)
	s.mux.HandleFunc("GET /objects/{class}/{dn...}", s.object)
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	s.mu.Unlock()
	w.Header().Set("Content-Security-Policy", CSP)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, r)
}

// Requests returns what was asked for so far.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Subscribe adds a subscription.
func (s *Server) Subscribe(class apic.Class) {
	q, err := apic.NewQuery(class, "", "", "")
	if err != nil {
		panic(err)
	}
	s.add(q)
}

func (s *Server) add(q apic.Query) (apic.Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if sub.Query.String() == q.String() {
			return sub, false
		}
	}
	now := apic.Now()
	sub := apic.Subscription{ID: fmt.Sprintf("%x", 0xa0+len(s.subs)), Fabric: "default", Query: q, CreatedAt: now, State: apic.Active, LastProof: now}
	s.subs = append(s.subs, sub)
	return sub, true
}

// Event appends an event. For modified, what changes is found by comparing with
// the object; attributes are a flat list of names and values.
func (s *Server) Event(at time.Time, origin apic.Origin, status apic.Status, class apic.Class, dn apic.DN, attributes ...string) apic.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.event1(at, origin, status, class, dn, attributes)
}

func (s *Server) event1(at time.Time, origin apic.Origin, status apic.Status, class apic.Class, dn apic.DN, attributes []string) apic.ID {
	pairs := []apic.Attr{{Name: "dn", Value: string(dn)}, {Name: "status", Value: string(status)}, {Name: "modTs", Value: at.Format("2006-01-02T15:04:05.000-07:00")}, {Name: "childAction", Value: ""}}
	for i := 0; i+1 < len(attributes); i += 2 {
		pairs = append(pairs, apic.Attr{Name: attributes[i], Value: attributes[i+1]})
	}
	e := apic.Event{Time: at.UTC().Truncate(time.Microsecond), Fabric: "default", Class: class, DN: dn, Status: status, Origin: origin, Attributes: apic.AttrsOf(pairs)}
	before := s.objects[dn]
	switch status {
	case apic.Created:
		e.Object = e.Attributes
	case apic.Modified:
		e.Changes = []apic.Change{}
		if before != nil {
			for n, v := range e.Attributes.All() {
				if old := before.attrs.Get(n); old != v && n != "modTs" && n != "status" {
					e.Changes = append(e.Changes, apic.Change{Name: n, Old: old, New: v})
				}
			}
			e.Object = before.attrs.With(e.Attributes)
		} else {
			e.Object = e.Attributes
		}
	case apic.Deleted:
		if before != nil {
			e.Object = before.attrs
		}
	}
	id := s.append(apic.Entry{Event: &e})
	if status == apic.Deleted {
		delete(s.objects, dn)
	} else {
		s.objects[dn] = &object{class, e.Object, id}
	}
	for i := range s.subs {
		if s.subs[i].Query.Class == class {
			s.subs[i].Events++
			s.subs[i].LastEventAt = e.Time
		}
	}
	return id
}

// Gap appends a gap.
func (s *Server) Gap(at, from time.Time, reason string, healed bool, classes ...apic.Class) apic.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append(apic.Entry{Gap: &apic.Gap{Time: at.UTC().Truncate(time.Microsecond), Fabric: "default", Classes: classes, From: from.UTC(), To: at.UTC(), Reason: reason, Healed: healed}})
}

func (s *Server) append(e apic.Entry) apic.ID {
	id := s.floor + apic.ID(len(s.entries)) + 1
	sealed := e.Seal(id)
	s.entries = append(s.entries, &sealed)
	if s.keep > 0 && len(s.entries) > 2*s.keep {
		gone := len(s.entries) - s.keep
		s.floor += apic.ID(gone)
		s.entries = append(make([]*apic.Entry, 0, 2*s.keep+1), s.entries[gone:]...)
	}
	s.wake()
	return id
}

func (s *Server) wake() {
	close(s.grown)
	s.grown = make(chan struct{})
}

// As has the page belong to somebody who is signed in with a role.
func (s *Server) As(caller, role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caller, s.role = caller, role
}

// Keep has the log hold the newest n entries or somewhat more, for tests that
// run for long.
func (s *Server) Keep(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = n
}

// Count returns the number of entries that there were.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.floor-s.origin) + len(s.entries)
}

// Session changes the state of the session.
func (s *Server) Session(change func(*apic.Session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.session)
	s.wake()
}

// Cut ends all streams and refuses new ones until the returned function is
// called.
func (s *Server) Cut() (mend func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = make(chan struct{})
	s.wake()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.down = nil
	}
}

// Fail makes history answer with a status; 0 ends it.
func (s *Server) Fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = status
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	v := web.View{Version: "test", Now: apic.Now(), Caller: s.caller, Role: s.role, ReadOnly: s.role == "reader", Fabrics: []web.Fabric{web.NewFabric(&s.session)}}
	for i := range s.subs {
		v.Subscriptions = append(v.Subscriptions, web.NewSubscription(&s.subs[i]))
	}
	for _, e := range s.entries[max(0, len(s.entries)-100):] {
		v.Entries = append(v.Entries, web.NewEntry(e))
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = web.Page(v).Render(r.Context(), w)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, err error) {
	type mistake struct {
		Param  string `json:"param"`
		Line   int    `json:"line,omitempty"`
		Column int    `json:"column,omitempty"`
		Detail string `json:"detail"`
	}
	list := []mistake{}
	for _, e := range selector.Errors(err) {
		list = append(list, mistake{e.Param, e.Line, e.Column, e.Detail})
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": err.Error(), "errors": list})
}

func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func (s *Server) sessions() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.session
	return map[string]any{"fabrics": []any{map[string]any{
		"name": x.Name, "state": x.State, "controller": x.Controller, "controllers": x.Controllers, "user": x.User, "apicVersion": x.Version,
		"connectedSince": moment(x.ConnectedSince), "lastFrameAt": moment(x.LastFrameAt), "lastProofOfLife": moment(x.LastProof),
		"tokenExpiresAt": moment(x.TokenExpiresAt), "tokenRenewsAt": moment(x.TokenRenewsAt), "endsAt": moment(x.EndsAt),
		"tokenRenewals": x.TokenRenewals, "refreshes": x.Refreshes, "reconnects": x.Reconnects, "resyncs": x.Resyncs, "gaps": x.Gaps,
		"lastError": x.LastError, "nextTry": moment(x.NextTry),
	}}}
}

func (s *Server) view(x *apic.Subscription) any {
	n := 0
	for _, o := range s.objects {
		if o.class == x.Query.Class {
			n++
		}
	}
	return map[string]any{
		"id": x.ID, "class": x.Query.Class, "fabric": x.Fabric, "dn": x.Query.DN, "scope": x.Query.Scope, "filter": x.Query.Filter,
		"query": x.Query.String(), "onlyNew": x.OnlyNew, "state": x.State, "error": x.Error, "objects": n, "events": x.Events,
		"pending": 0, "createdAt": x.CreatedAt, "lastEventAt": moment(x.LastEventAt), "lastProofOfLife": moment(x.LastProof),
	}
}

func (s *Server) listSubscriptions(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	list := []any{}
	for i := range s.subs {
		list = append(list, s.view(&s.subs[i]))
	}
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"subscriptions": list})
}

func (s *Server) subscribe(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Query, DN, Scope, Filter string
		OnlyNew                  bool
	}
	if r.ContentLength != 0 {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
	}
	var q apic.Query
	var err error
	if name := r.PathValue("class"); name != "" {
		var classes []apic.Class
		if classes, err = apic.ResolveClass(name); err == nil {
			if classes[0].Statistics() {
				refuse(w, http.StatusUnprocessableEntity, fmt.Errorf("%s is a statistics class, and an APIC never pushes for those", classes[0]))
				return
			}
			q, err = apic.NewQuery(classes[0], apic.DN(body.DN), apic.Scope(body.Scope), body.Filter)
		}
	} else {
		q, err = apic.ParseQuery(body.Query)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	sub, created := s.add(q)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	s.mu.Lock()
	v := s.view(&sub)
	s.mu.Unlock()
	answer(w, status, v)
}

func (s *Server) unsubscribe(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.subs = slices.DeleteFunc(s.subs, func(x apic.Subscription) bool { return x.ID == r.PathValue("id") })
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// Bounds and IDAt make a selector.Log of the server; its lock is held.
func (s *Server) Bounds() apic.Bounds {
	return apic.Bounds{Origin: s.origin, Floor: s.floor, Newest: s.floor + apic.ID(len(s.entries))}
}

// IDAt returns the largest id of an entry written before t.
func (s *Server) IDAt(_ context.Context, t time.Time) (apic.ID, error) {
	i := slices.IndexFunc(s.entries, func(e *apic.Entry) bool { return !e.Time().Before(t) })
	if i < 0 {
		i = len(s.entries)
	}
	return s.floor + apic.ID(i), nil
}

func selectors(r *http.Request, also ...string) (*selector.Selector, url.Values, error) {
	q := r.URL.Query()
	chosen := url.Values{}
	for name, v := range q {
		if selector.IsParam(name) {
			chosen[name] = v
		} else if !slices.Contains(also, name) {
			return nil, nil, &selector.Error{Param: name, Detail: "is not known"}
		}
	}
	sel, err := selector.Parse(chosen)
	return sel, q, err
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	sel, q, err := selectors(r, "since", "until", "limit", "order", "include", "kind")
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem != 0 {
		refuse(w, s.problem, errors.New("the log does not answer at the moment; try again"))
		return
	}
	now := apic.Now()
	since, until := s.floor, s.Bounds().Newest
	if v := q.Get("since"); v != "" {
		p, err := selector.ParsePlace(v)
		if err == nil {
			since, err = p.Resolve(r.Context(), now, s)
		}
		if err != nil {
			refuse(w, status(err), err)
			return
		}
	}
	if v := q.Get("until"); v != "" {
		p, err := selector.ParsePlace(v)
		if err == nil {
			until, err = p.ResolveUntil(r.Context(), now, s)
		}
		if err != nil {
			refuse(w, status(err), err)
			return
		}
	}
	limit := 100
	if v := q.Get("limit"); v != "" {
		limit, _ = strconv.Atoi(v)
	}
	kinds := q.Get("kind")
	desc := q.Get("order") == "desc"
	list := s.entries[since-s.floor : max(until, since)-s.floor]
	out := []json.RawMessage{}
	next := ""
	for i := range list {
		e := list[i]
		if desc {
			e = list[len(list)-1-i]
		}
		if kinds != "" && (e.Gap == nil && !strings.Contains(kinds, "event") || e.Gap != nil && !strings.Contains(kinds, "gap")) || !sel.Match(e) {
			continue
		}
		if len(out) == limit {
			more := maps(q)
			if desc {
				more.Set("until", strconv.FormatInt(int64(e.ID), 10))
			} else {
				more.Set("since", strconv.FormatInt(int64(e.ID)-1, 10))
			}
			next = "/events?" + more.Encode()
			break
		}
		if q.Get("include") == "object" {
			out = append(out, e.WithObject())
		} else {
			out = append(out, e.JSON)
		}
	}
	v := map[string]any{"events": out}
	if next != "" {
		v["next"] = next
	}
	answer(w, http.StatusOK, v)
}

func maps(q url.Values) url.Values {
	c := url.Values{}
	for k, v := range q {
		c[k] = v
	}
	return c
}

func status(err error) int {
	if errors.Is(err, apic.ErrGone) {
		return http.StatusGone
	}
	return http.StatusBadRequest
}

func (s *Server) event(w http.ResponseWriter, r *http.Request) {
	id, err := apic.ParseID(r.PathValue("id"))
	s.mu.Lock()
	defer s.mu.Unlock()
	i := int(id - s.floor - 1)
	if err != nil || i < 0 || i >= len(s.entries) {
		refuse(w, http.StatusNotFound, errors.New("there is no such event"))
		return
	}
	b := s.entries[i].JSON
	if r.URL.Query().Get("include") == "object" {
		b = s.entries[i].WithObject()
	}
	answer(w, http.StatusOK, json.RawMessage(b))
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	sel, q, err := selectors(r, "since", "lastEventId")
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	s.mu.Lock()
	cut := s.down
	at := s.Bounds().Newest
	if v := r.Header.Get("Last-Event-ID"); v != "" {
		at, err = apic.ParseID(v)
	} else if v := q.Get("since"); v != "" {
		var p selector.Place
		if p, err = selector.ParsePlace(v); err == nil {
			at, err = p.Resolve(r.Context(), apic.Now(), s)
		}
	}
	s.mu.Unlock()
	if cut != nil {
		refuse(w, http.StatusServiceUnavailable, errors.New("the service is stopping; try again in a moment"))
		return
	}
	if err != nil {
		refuse(w, status(err), err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	c := http.NewResponseController(w)
	fmt.Fprint(w, "retry: 2000\n: welcome\n\n")
	said := ""
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	for {
		s.mu.Lock()
		grown, cut := s.grown, s.down
		list := s.entries[min(max(at-s.floor, 0), apic.ID(len(s.entries))):]
		at = s.Bounds().Newest
		s.mu.Unlock()
		if cut != nil {
			return
		}
		if state, _ := json.Marshal(s.sessions()); string(state) != said {
			said = string(state)
			fmt.Fprintf(w, "event: status\ndata: %s\n\n", said)
		}
		for _, e := range list {
			if !sel.Match(e) {
				continue
			}
			if e.Gap != nil {
				fmt.Fprint(w, "event: gap\n")
			}
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.ID, e.JSON)
		}
		if c.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-grown:
		case <-beat.C:
			fmt.Fprint(w, ": beat\n\n")
		}
	}
}

type objectView struct {
	Class       apic.Class `json:"class"`
	DN          apic.DN    `json:"dn"`
	Fabric      string     `json:"fabric"`
	Path        apic.Path  `json:"path"`
	Attributes  apic.Attrs `json:"attributes"`
	LastEventID apic.ID    `json:"lastEventId"`
}

func (o *object) view(dn apic.DN) objectView {
	return objectView{o.class, dn, "default", dn.Path(), o.attrs, o.last}
}

func (s *Server) listObjects(w http.ResponseWriter, r *http.Request) {
	class := apic.Class(r.PathValue("class"))
	sel, q, err := selectors(r, "limit", "cursor", "at")
	if err == nil {
		err = sel.CheckObjects()
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.subs, func(x apic.Subscription) bool { return x.Query.Class == class }) {
		refuse(w, http.StatusNotFound, fmt.Errorf("%s is not subscribed, so nothing is known of it: POST /subscriptions/%[1]s first", class))
		return
	}
	dns := []apic.DN{}
	for dn, o := range s.objects {
		if o.class == class && string(dn) > q.Get("cursor") && sel.MatchObject(&apic.Object{Fabric: "default", Class: class, DN: dn, Attrs: o.attrs}) {
			dns = append(dns, dn)
		}
	}
	slices.Sort(dns)
	limit := 1000
	if v := q.Get("limit"); v != "" {
		limit, _ = strconv.Atoi(v)
	}
	v := map[string]any{"asOf": s.Bounds().Newest}
	if len(dns) > limit {
		dns = dns[:limit]
		more := maps(q)
		more.Set("cursor", string(dns[limit-1]))
		v["next"] = r.URL.Path + "?" + more.Encode()
	}
	list := []objectView{}
	for _, dn := range dns {
		list = append(list, s.objects[dn].view(dn))
	}
	v["objects"] = list
	answer(w, http.StatusOK, v)
}

func (s *Server) object(w http.ResponseWriter, r *http.Request) {
	dn := apic.DN(r.PathValue("dn"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := strings.CutSuffix(string(dn), "/history"); ok {
		out := []json.RawMessage{}
		for _, e := range slices.Backward(s.entries) {
			if e.Event != nil && e.Event.DN == apic.DN(d) {
				out = append(out, e.JSON)
			}
		}
		answer(w, http.StatusOK, map[string]any{"events": out})
		return
	}
	o := s.objects[dn]
	if o == nil {
		refuse(w, http.StatusNotFound, errors.New("there is no such object"))
		return
	}
	answer(w, http.StatusOK, o.view(dn))
}
