package handlers

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/acitap/acitap/apic"
)

const (
	maxWait = 60 * time.Second
	maxTake = 1000
)

var consumerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// consumer reads the name of a consumer, "" for none.
func (p *params) consumer() string {
	name, ok := p.text("consumer")
	if ok && !consumerName.MatchString(name) {
		p.refuse("consumer", "%.80q is no name: 1 to 64 letters, digits, - and _", name)
		return ""
	}
	return name
}

// next is GET and POST /events/{class}/next.
func (s *server) next(w *response, r *http.Request) error {
	// A GET that takes is a write, and a prefetch is nobody's wish.
	asWrite := *r
	asWrite.Method = http.MethodPost
	if err := s.origins.Check(&asWrite); err != nil {
		return crossSite(err)
	}
	if r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Purpose") == "prefetch" {
		return refuse(http.StatusForbidden, "a browser has sent this ahead of its user, and taking an event is not done on suspicion")
	}
	list, err := classes(r)
	if err != nil {
		return err
	}
	p, err := bodyParams(w, r)
	if err != nil {
		return err
	}
	limit, many := p.count("max", 1, maxTake, 1)
	acked, ack := p.id("ack")
	o := apic.NextOptions{
		Consumer: p.consumer(), Max: limit, Ack: ack, Acked: acked,
		Wait: p.duration("wait", maxWait, 0),
	}
	since, _, begins := p.place("since")
	include := p.include()
	if o.Consumer == "" && (ack || begins) && len(p.wrong) == 0 {
		for _, name := range []string{"ack", "since"} {
			if p.values.Has(name) {
				p.refuse(name, "is for a queue of your own: give it one with consumer=NAME (the class's own queue has one place for all its callers)")
			}
		}
	}
	if err := p.err(); err != nil {
		return err
	}
	if o.Consumer == "" && w.who.role != Operator {
		return operatorsOnly(w)
	}
	if begins {
		id, err := since.Resolve(r.Context(), apic.Now(), s.hub)
		gone := errors.Is(err, apic.ErrGone)
		if err != nil && !gone {
			return err
		}
		// Only the first call of a name looks at its beginning: one that is gone
		// by now does not disturb the later ones that still say it. The hub
		// refuses it where it counts.
		if gone {
			id, _ = since.ID()
		}
		o.Begin = &id
	}
	taken, err := s.hub.Next(r.Context(), concrete(list), o)
	switch {
	case errors.Is(err, apic.ErrNotSubscribed):
		return unsubscribed(list)
	case err != nil && r.Context().Err() != nil: // nothing was taken
		linger(r.Context())
		w.WriteHeader(http.StatusNoContent)
		return nil
	case err != nil:
		return err
	}
	if taken.Gap != 0 {
		w.Header().Set("Acitap-Gap", strconv.FormatInt(int64(taken.Gap), 10))
	}
	if len(taken.Events) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	s.metrics.delivered.WithLabelValues(viaQueue).Add(float64(len(taken.Events)))
	w.Header().Set("Content-Type", "application/json")
	if !many {
		writeBody(w, append(entryJSON(taken.Events[0], include), '\n'))
		return nil
	}
	return writeEvents(w, taken.Events, include, "}\n")
}

// entryJSON returns an entry's encoding with room behind it that is not
// shared.
func entryJSON(e *apic.Entry, include bool) []byte {
	if include {
		b := e.WithObject()
		return b[:len(b):len(b)]
	}
	return e.JSON[:len(e.JSON):len(e.JSON)]
}

// pending is GET /events/{class}/pending.
func (s *server) pending(w *response, r *http.Request) error {
	list, p, err := classCall(r)
	if err != nil {
		return err
	}
	consumer := p.consumer()
	if err := p.err(); err != nil {
		return err
	}
	n, err := s.hub.PendingEvents(r.Context(), concrete(list), consumer)
	switch {
	case errors.Is(err, apic.ErrNotSubscribed):
		return unsubscribed(list)
	case errors.Is(err, apic.ErrNotFound):
		return noConsumer(list, consumer)
	case err != nil:
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Pending   int64 `json:"pending"`
		HasEvents bool  `json:"hasEvents"`
	}{n, n > 0})
}

func classCall(r *http.Request) ([]apic.Class, *params, error) {
	list, err := classes(r)
	if err != nil {
		return nil, nil, err
	}
	p, err := queryParams(r)
	return list, p, err
}

func noConsumer(list []apic.Class, name string) error {
	return refuse(http.StatusNotFound, "%s has no consumer %.64q: one begins with its first GET /events/%s/next?consumer=NAME", joined(list), name, list[0])
}

type consumerView struct {
	Name      string     `json:"name"`
	Class     apic.Class `json:"class"`
	Place     apic.ID    `json:"place"` // all up to this id is taken, or acked
	Lag       int64      `json:"lag"`   // events behind its place
	Taken     int64      `json:"taken"`
	UpdatedAt *time.Time `json:"updatedAt"`
}

// consumers is GET /events/{class}/consumers.
func (s *server) consumers(w *response, r *http.Request) error {
	list, p, err := classCall(r)
	if err != nil {
		return err
	}
	if err := p.err(); err != nil {
		return err
	}
	found, err := s.hub.Consumers(r.Context(), concrete(list))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if _, err := s.hub.PendingEvents(r.Context(), concrete(list), ""); errors.Is(err, apic.ErrNotSubscribed) {
			return unsubscribed(list)
		}
	}
	views := make([]consumerView, 0, len(found))
	for _, c := range found {
		views = append(views, consumerView{c.Consumer, c.Class, c.At, c.Pending, c.Taken, known(c.UpdatedAt)})
	}
	return writeJSON(w, http.StatusOK, struct {
		Consumers []consumerView `json:"consumers"`
	}{views})
}

// deleteConsumer is DELETE /events/{class}/consumers/{name}.
func (s *server) deleteConsumer(w *response, r *http.Request) error {
	list, p, err := classCall(r)
	if err != nil {
		return err
	}
	name, err := pathValue(r, "name")
	if err != nil {
		return err
	}
	if !consumerName.MatchString(name) {
		p.refuse("name", "%.80q is no name of a consumer: 1 to 64 letters, digits, - and _", name)
	}
	if err := p.err(); err != nil {
		return err
	}
	err = s.hub.DeleteConsumer(r.Context(), concrete(list), name)
	if errors.Is(err, apic.ErrNotFound) {
		return noConsumer(list, name)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
