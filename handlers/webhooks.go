package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
	"github.com/acitap/acitap/webhook"
)

// webhooks answers what is asked about webhooks.
type webhooks struct{ service *webhook.Service }

// webhookRoutes registers the routes of a service, none where there is none.
func webhookRoutes(on func(methods, pattern string, h handler), service *webhook.Service) {
	if service == nil {
		return
	}
	s := webhooks{service}
	on("GET POST", "/webhooks", s.collection)
	on("GET", "/webhooks/presets", s.presets)
	on("POST", "/webhooks/preview", s.preview)
	on("GET PATCH DELETE", "/webhooks/{id}", s.one)
	on("POST", "/webhooks/{id}/test", s.test)
	on("POST", "/webhooks/{id}/rotate", s.rotate)
	on("GET", "/webhooks/{id}/deliveries", s.deliveries)
	on("POST", "/webhooks/{id}/redeliver", s.redeliver)
	on("POST", "/webhooks/{id}/rewind", s.rewind)
}

type webhookList struct {
	Webhooks []webhook.View `json:"webhooks"`
}

// collection is GET and POST /webhooks.
func (s webhooks) collection(w *response, r *http.Request) error {
	if err := noParams(r); err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return writeJSON(w, http.StatusOK, webhookList{s.service.List()})
	}
	b, err := definition(w, r)
	if err != nil {
		return err
	}
	v, err := s.service.Create(r.Context(), b)
	if err != nil {
		return refusedWebhook("", err)
	}
	w.Header().Set("Location", "/webhooks/"+v.ID)
	return writeJSON(w, http.StatusCreated, v)
}

type presetList struct {
	Presets []webhook.Preset `json:"presets"`
}

// presets is GET /webhooks/presets.
func (s webhooks) presets(w *response, r *http.Request) error {
	if err := noParams(r); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, presetList{webhook.Presets()})
}

// previewMost is how many events can be named for a preview: enough to judge a
// batch by.
const previewMost = 20

// preview is POST /webhooks/preview.
func (s webhooks) preview(w *response, r *http.Request) error {
	p, err := queryParams(r)
	if err != nil {
		return err
	}
	id, given := p.text("webhook")
	if given && id == "" {
		p.refuse("webhook", "is empty: give the id of the webhook that is to be changed, or leave it out")
	}
	events := p.ids("event", previewMost)
	if err := p.err(); err != nil {
		return err
	}
	b, err := definition(w, r)
	if err != nil {
		return err
	}
	a, err := s.service.Preview(r.Context(), id, b, events)
	if gone, ok := errors.AsType[*apic.GoneError](err); ok {
		return &apic.GoneError{Asked: slices.Min(events), Oldest: gone.Oldest, Reason: gone.Reason}
	}
	if err != nil {
		return refusedWebhook(id, err)
	}
	return writeJSON(w, http.StatusOK, a)
}

// definition returns the body of a call that must have one.
func definition(w *response, r *http.Request) ([]byte, error) {
	b, err := readBody(w, r)
	if err == nil && len(b) == 0 {
		err = refuse(http.StatusBadRequest, `a body is needed: a JSON object, as {"name": "noc", "url": "https://noc.example.com/hook", "class": "faultInst"}`)
	}
	return b, err
}

// one is GET, PATCH and DELETE /webhooks/{id}.
func (s webhooks) one(w *response, r *http.Request) error {
	id, err := pathValue(r, "id")
	if err != nil {
		return err
	}
	if err := noParams(r); err != nil {
		return err
	}
	var v webhook.View
	switch r.Method {
	case http.MethodDelete:
		if err := s.service.Delete(r.Context(), id); err != nil {
			return refusedWebhook(id, err)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPatch:
		var b []byte
		if b, err = definition(w, r); err != nil {
			return err
		}
		v, err = s.service.Update(r.Context(), id, b)
	default:
		v, err = s.service.Get(id)
	}
	if err != nil {
		return refusedWebhook(id, err)
	}
	return writeJSON(w, http.StatusOK, v)
}

// test is POST /webhooks/{id}/test.
func (s webhooks) test(w *response, r *http.Request) error {
	id, p, err := webhookCall(w, r)
	if err != nil {
		return err
	}
	event, given := p.id("event")
	dry := p.flag("dryRun")
	if given && event == 0 {
		p.refuse("event", "0 is the id of no event")
	}
	if err := p.err(); err != nil {
		return err
	}
	a, err := s.service.Test(r.Context(), id, event, dry)
	return attempted(w, id, event, a, err)
}

// redeliver is POST /webhooks/{id}/redeliver.
func (s webhooks) redeliver(w *response, r *http.Request) error {
	id, p, err := webhookCall(w, r)
	if err != nil {
		return err
	}
	event, given := p.id("event")
	if !given || event == 0 {
		p.refuse("event", "is needed: the id of the event that is to be sent again")
	}
	if err := p.err(); err != nil {
		return err
	}
	a, err := s.service.Redeliver(r.Context(), id, event)
	return attempted(w, id, event, a, err)
}

// attempted answers with what came back.
func attempted(w *response, id string, event apic.ID, a webhook.Attempt, err error) error {
	if mistakes := selector.Errors(err); len(mistakes) > 0 {
		return refuse(http.StatusUnprocessableEntity, "nothing was sent: %v", err)
	}
	if gone, ok := errors.AsType[*apic.GoneError](err); ok {
		return &apic.GoneError{Asked: event, Oldest: gone.Oldest, Reason: gone.Reason}
	}
	if err != nil {
		return refusedWebhook(id, err)
	}
	return writeJSON(w, http.StatusOK, a)
}

// rotate is POST /webhooks/{id}/rotate.
func (s webhooks) rotate(w *response, r *http.Request) error {
	id, err := pathValue(r, "id")
	if err != nil {
		return err
	}
	if err := noParams(r); err != nil { // a secret must not stand in a URL
		return err
	}
	p, err := bodyParams(w, r)
	if err != nil {
		return err
	}
	secret, _ := p.text("secret")
	if err := p.err(); err != nil {
		return err
	}
	v, err := s.service.Rotate(r.Context(), id, secret)
	if err != nil {
		return refusedWebhook(id, err)
	}
	return writeJSON(w, http.StatusOK, v)
}

// rewind is POST /webhooks/{id}/rewind.
func (s webhooks) rewind(w *response, r *http.Request) error {
	id, p, err := webhookCall(w, r)
	if err != nil {
		return err
	}
	since, _, given := p.place("since")
	if !given && len(p.wrong) == 0 {
		p.refuse("since", "is needed: the place to go on from, as an id, an age (24h), a time, earliest or latest")
	}
	if err := p.err(); err != nil {
		return err
	}
	v, err := s.service.Rewind(r.Context(), id, since)
	if err != nil {
		return refusedWebhook(id, err)
	}
	return writeJSON(w, http.StatusOK, v)
}

type deliveryList struct {
	Deliveries []webhook.Delivery `json:"deliveries"`
	Next       string             `json:"next,omitempty"`
}

// deliveries is GET /webhooks/{id}/deliveries: newest first.
func (s webhooks) deliveries(w *response, r *http.Request) error {
	id, p, err := webhookCall(w, r)
	if err != nil {
		return err
	}
	limit, _ := p.count("limit", 1, 1000, 100)
	before, _ := p.id("before")
	if err := p.err(); err != nil {
		return err
	}
	list, err := s.service.Deliveries(r.Context(), id, int64(before), limit)
	if err != nil {
		return refusedWebhook(id, err)
	}
	answer := deliveryList{Deliveries: list}
	if list == nil {
		answer.Deliveries = []webhook.Delivery{}
	}
	if len(list) == limit && list[limit-1].Seq > 1 {
		answer.Next = fmt.Sprintf("/webhooks/%s/deliveries?before=%d&limit=%s", id, list[limit-1].Seq, strconv.Itoa(limit))
	}
	return writeJSON(w, http.StatusOK, answer)
}

// webhookCall returns the webhook and the parameters of a call about it.
func webhookCall(w *response, r *http.Request) (id string, p *params, err error) {
	if id, err = pathValue(r, "id"); err != nil {
		return "", nil, err
	}
	p, err = bodyParams(w, r)
	return id, p, err
}

// refusedWebhook says what to do about a webhook that cannot be made, changed
// or found.
func refusedWebhook(id string, err error) error {
	if list := selector.Errors(err); len(list) > 0 {
		var wrong mistakes
		for _, e := range list {
			wrong = append(wrong, mistake{e.Param, e.Line, e.Column, e.Detail})
		}
		return wrong
	}
	switch {
	case errors.Is(err, apic.ErrNotFound):
		return refuse(http.StatusNotFound, "there is no webhook %.40q, or no such event: GET /webhooks lists the webhooks, GET /events the events", id).because(err)
	case errors.Is(err, apic.ErrLimit):
		return refuse(http.StatusConflict, "%v", err)
	}
	return err
}
