package handlers

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/acitap/acitap/apic"
)

// subscribeTime is how long POST /subscriptions waits for the APIC; after it
// the subscription is answered as it stands, pending.
const subscribeTime = 30 * time.Second

// anyClass stands in the Location of a subscription that names no class.
const anyClass = "any"

// A subscriptionView is a subscription as JSON. What is not known is null.
type subscriptionView struct {
	ID              string     `json:"id"`
	Class           apic.Class `json:"class"`
	Fabric          string     `json:"fabric"`
	DN              apic.DN    `json:"dn"`
	Scope           apic.Scope `json:"scope"`
	Filter          string     `json:"filter"`
	Query           string     `json:"query"`
	OnlyNew         bool       `json:"onlyNew"`
	State           apic.State `json:"state"`
	Error           string     `json:"error"`
	Objects         int        `json:"objects"`
	Events          int64      `json:"events"`
	Pending         int64      `json:"pending"`
	CreatedAt       *time.Time `json:"createdAt"`
	LastEventAt     *time.Time `json:"lastEventAt"`
	LastProofOfLife *time.Time `json:"lastProofOfLife"`
}

func viewSubscription(s apic.Subscription) subscriptionView {
	scope := s.Query.Scope
	if scope == "" {
		scope = apic.ScopeSelf
	}
	return subscriptionView{
		ID: s.ID, Class: s.Query.Class, Fabric: s.Fabric, DN: s.Query.DN, Scope: scope, Filter: s.Query.Filter,
		Query: s.Query.String(), OnlyNew: s.OnlyNew, State: s.State, Error: s.Error, Objects: s.Objects,
		Events: s.Events, Pending: s.Pending,
		CreatedAt: known(s.CreatedAt), LastEventAt: known(s.LastEventAt), LastProofOfLife: known(s.LastProof),
	}
}

// known returns a time as JSON shows it, nil (null) where there is none.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

type subscriptionList struct {
	Subscriptions []subscriptionView `json:"subscriptions"`
}

func listSubscriptions(subs []apic.Subscription) subscriptionList {
	list := subscriptionList{make([]subscriptionView, 0, len(subs))}
	for _, s := range subs {
		list.Subscriptions = append(list.Subscriptions, viewSubscription(s))
	}
	return list
}

// subscriptions is GET and POST /subscriptions.
func (s *server) subscriptions(w *response, r *http.Request) error {
	p, err := bodyParams(w, r)
	if err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		if err := p.err(); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, listSubscriptions(s.hub.Subscriptions(r.Context())))
	}
	text, ok := p.text("query")
	onlyNew := p.flag("onlyNew")
	s.fabric(p)
	var q apic.Query
	if ok {
		if q, err = apic.ParseQuery(text); err != nil {
			p.refuse("query", "%v", err)
		}
	} else if len(p.wrong) == 0 {
		p.refuse("query", `is needed: an APIC query as {"query": "/api/class/fvTenant.json"}; to name a class alone, POST /subscriptions/{class}`)
	}
	if err := p.err(); err != nil {
		return err
	}
	return s.subscribe(w, r, []apic.Query{q}, onlyNew)
}

// classSubscriptions is GET, POST and DELETE /subscriptions/{class}.
func (s *server) classSubscriptions(w *response, r *http.Request) error {
	list, err := classes(r)
	if err != nil {
		return err
	}
	p, err := bodyParams(w, r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		return s.postClass(w, r, p, list)
	}
	if err := p.err(); err != nil {
		return err
	}
	var found []apic.Subscription
	var ids []string
	for _, sub := range s.hub.Subscriptions(r.Context()) {
		if names(sub.Query, list) {
			found = append(found, sub)
			ids = append(ids, sub.ID)
		}
	}
	if len(found) == 0 {
		return refuse(http.StatusNotFound, "there is no subscription of %s: POST /subscriptions/%s makes one, GET /subscriptions lists all", joined(list), list[0])
	}
	if r.Method == http.MethodDelete {
		return s.unsubscribe(w, r, ids)
	}
	return writeJSON(w, http.StatusOK, listSubscriptions(found))
}

// names reports whether a query names one of the classes. What an abstract
// class covers it does not name: DELETE /subscriptions/faultInst leaves the
// subscription of faultInfo alone.
func names(q apic.Query, list []apic.Class) bool {
	return slices.ContainsFunc(list, func(c apic.Class) bool {
		return q.Class == c || slices.Contains(q.Targets, c)
	})
}

func (s *server) postClass(w *response, r *http.Request, p *params, list []apic.Class) error {
	var dn apic.DN
	text, ok := p.text("dn")
	if ok {
		var err error
		if dn, err = apic.ParseDN(text); err != nil {
			p.refuse("dn", "%v", err)
		}
	}
	words, _ := p.text("scope")
	scope, err := apic.ParseScope(words)
	if err != nil {
		p.refuse("scope", "%v", err)
	}
	filter, _ := p.text("filter")
	onlyNew := p.flag("onlyNew")
	s.fabric(p)
	var queries []apic.Query
	for _, c := range list {
		q, err := apic.NewQuery(c, dn, scope, filter)
		if err != nil {
			p.refuse("filter", "%v", err)
			break
		}
		queries = append(queries, q)
	}
	if err := p.err(); err != nil {
		return err
	}
	return s.subscribe(w, r, queries, onlyNew)
}

// fabric reads the name of a fabric, which must be one that is served; the
// first is the default.
func (s *server) fabric(p *params) string {
	served := s.hub.Fabrics()
	name, ok := p.text("fabric")
	switch {
	case !ok:
		return served[0]
	case !slices.Contains(served, name):
		p.refuse("fabric", "%.60q is not served here; there is %s", name, strings.Join(served, ", "))
	}
	return name
}

// subscribe subscribes all of the queries, or none.
func (s *server) subscribe(w *response, r *http.Request, queries []apic.Query, onlyNew bool) error {
	ctx, cancel := context.WithTimeout(r.Context(), subscribeTime)
	defer cancel()
	var list subscriptionList
	var made []string
	status := http.StatusOK
	for _, q := range queries {
		sub, created, err := s.hub.Subscribe(ctx, q, onlyNew)
		if err != nil {
			if len(made) > 0 {
				err = errors.Join(err, s.hub.Unsubscribe(context.WithoutCancel(ctx), made...))
			}
			return refusedQuery(q, err)
		}
		if created {
			made = append(made, sub.ID)
			status = max(status, http.StatusCreated)
		}
		if sub.State == apic.Pending {
			status = http.StatusAccepted
		}
		list.Subscriptions = append(list.Subscriptions, viewSubscription(sub))
	}
	if len(list.Subscriptions) > 1 {
		return writeJSON(w, status, list)
	}
	one := list.Subscriptions[0]
	w.Header().Set("Location", "/subscriptions/"+cmp.Or(string(one.Class), anyClass)+"/"+one.ID)
	return writeJSON(w, status, one)
}

// refusedQuery says what to do about a query that cannot be subscribed.
func refusedQuery(q apic.Query, err error) error {
	var e *refusal
	words, asked := errors.AsType[*apic.Error](err)
	switch {
	case errors.Is(err, apic.ErrUnprocessable) && asked:
		e = refuse(http.StatusUnprocessableEntity, "the APIC refuses to subscribe %s: %s; check the names of class and attributes, and what its user may read", q, cmp.Or(words.Text, http.StatusText(words.HTTPStatus)))
	case errors.Is(err, apic.ErrUnprocessable) && q.Class.Statistics():
		e = refuse(http.StatusUnprocessableEntity, "%s is a statistics class, and an APIC never pushes for those: read it from the APIC itself at intervals", q.Class)
	case errors.Is(err, apic.ErrLimit):
		e = refuse(http.StatusConflict, "%s cannot be subscribed, as there are too many subscriptions: end some with DELETE /subscriptions/{class}", q)
	default:
		return err
	}
	return e.because(err)
}

// subscription is GET and DELETE /subscriptions/{class}/{id}.
func (s *server) subscription(w *response, r *http.Request) error {
	list, err := classes(r)
	if err != nil {
		return err
	}
	id, err := pathValue(r, "id")
	if err != nil {
		return err
	}
	p, err := queryParams(r)
	if err != nil {
		return err
	}
	if err := p.err(); err != nil {
		return err
	}
	for _, sub := range s.hub.Subscriptions(r.Context()) {
		if sub.ID != id || sub.Query.Class != "" && !names(sub.Query, list) {
			continue
		}
		if r.Method == http.MethodDelete {
			return s.unsubscribe(w, r, []string{id})
		}
		return writeJSON(w, http.StatusOK, viewSubscription(sub))
	}
	return noSubscription(list, id)
}

func noSubscription(list []apic.Class, id string) error {
	return refuse(http.StatusNotFound, "%s has no subscription %.40q: GET /subscriptions lists all", joined(list), id)
}

func (s *server) unsubscribe(w *response, r *http.Request, ids []string) error {
	err := s.hub.Unsubscribe(r.Context(), ids...)
	if errors.Is(err, apic.ErrNotFound) {
		return refuse(http.StatusNotFound, "the subscription has ended meanwhile: GET /subscriptions lists all").because(err)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
