package handlers

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

const (
	defaultObjects = 1000
	objectsAtOnce  = 1000
)

// An objectView is an object as JSON.
type objectView struct {
	Class       apic.Class `json:"class"`
	DN          apic.DN    `json:"dn"`
	Fabric      string     `json:"fabric"`
	Path        apic.Path  `json:"path"`
	Attributes  apic.Attrs `json:"attributes"`
	LastEventID *apic.ID   `json:"lastEventId"` // null when it never had one
}

func viewObject(o apic.Object) objectView {
	v := objectView{Class: o.Class, DN: o.DN, Fabric: o.Fabric, Path: o.DN.Path(), Attributes: o.Attrs}
	if o.Last != 0 {
		v.LastEventID = &o.Last
	}
	return v
}

// objects is GET /objects/{class}.
func (s *server) objects(w *response, r *http.Request) error {
	list, p, err := classCall(r)
	if err != nil {
		return err
	}
	sel := p.selectors(list)
	p.mistaken(sel.CheckObjects())
	limit, _ := p.count("limit", 1, maxLimit, defaultObjects)
	after := p.cursor()
	place, _, past := p.place("at")
	if err := p.err(); err != nil {
		return err
	}
	narrow := sel.Narrow()
	past = past && !place.IsLatest()
	if !past && !s.covered(r.Context(), concrete(list)) {
		return unsubscribed(list)
	}
	var found []apic.Object
	var asOf apic.ID
	more := false
	if past {
		if asOf, err = place.ResolveUntil(r.Context(), apic.Now(), s.hub); err != nil {
			return err
		}
		p.values.Set("at", strconv.FormatInt(int64(asOf), 10))
		all, err := s.hub.ObjectsAt(r.Context(), &narrow, asOf)
		if err != nil {
			return err
		}
		begin, _ := slices.BinarySearchFunc(all, after, func(o apic.Object, dn apic.DN) int {
			if o.DN == dn {
				return -1 // behind it
			}
			return cmp.Compare(o.DN, dn)
		})
		for _, o := range all[begin:] {
			if !sel.MatchObject(&o) {
				continue
			}
			if more = len(found) == limit; more {
				break
			}
			found = append(found, o)
		}
	} else if found, asOf, more, err = s.objectsNow(r.Context(), sel, &narrow, after, limit); err != nil {
		return err
	}
	answer := struct {
		Objects []objectView `json:"objects"`
		AsOf    apic.ID      `json:"asOf"`
		Next    string       `json:"next,omitempty"`
	}{make([]objectView, 0, len(found)), asOf, ""}
	for _, o := range found {
		answer.Objects = append(answer.Objects, viewObject(o))
	}
	if more {
		p.values.Set("cursor", base64.RawURLEncoding.EncodeToString([]byte(found[len(found)-1].DN)))
		answer.Next = r.URL.EscapedPath() + "?" + p.values.Encode()
		w.Header().Set("Link", "<"+answer.Next+`>; rel="next"`)
	}
	w.Header().Set("Content-Type", "application/json")
	out := newParts(w)
	out.buf = encode(answer)
	return out.write()
}

// cursor reads where the page before ended: behind a DN.
func (p *params) cursor() apic.DN {
	v, ok := p.text("cursor")
	if !ok {
		return ""
	}
	dn, err := base64.RawURLEncoding.DecodeString(v)
	if err != nil || len(dn) == 0 {
		p.refuse("cursor", "is none that was handed out: follow next as it stands")
	}
	return apic.DN(dn)
}

// objectsNow returns the objects that match, in the order of their DNs, behind
// one, and whether there are more. asOf is the place of the first look: what
// the objects show is at least as new.
func (s *server) objectsNow(ctx context.Context, sel *selector.Selector, narrow *apic.Narrow, after apic.DN, limit int) (found []apic.Object, asOf apic.ID, more bool, err error) {
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return nil, 0, false, err
		}
		part, at := s.hub.Objects(narrow, after, objectsAtOnce)
		if first {
			asOf = at
		}
		for _, o := range part {
			if !sel.MatchObject(&o) {
				continue
			}
			if len(found) == limit {
				return found, asOf, true, nil
			}
			found = append(found, o)
		}
		if len(part) < objectsAtOnce {
			return found, asOf, false, nil
		}
		after = part[len(part)-1].DN
	}
}

// firstObject returns an object that matches.
func (s *server) firstObject(ctx context.Context, sel *selector.Selector, narrow *apic.Narrow) (apic.Object, bool, error) {
	found, _, _, err := s.objectsNow(ctx, sel, narrow, "", 1)
	if err != nil || len(found) == 0 {
		return apic.Object{}, false, err
	}
	return found[0], true, nil
}

// covered reports whether a subscription can hold objects of one of the
// classes. Where none can, an empty answer would claim what nobody knows.
func (s *server) covered(ctx context.Context, list []apic.Class) bool {
	for _, sub := range s.hub.Subscriptions(ctx) {
		held := sub.Query.Classes()
		if held == nil {
			return true
		}
		for _, c := range list {
			if slices.Contains(held, c) {
				return true
			}
		}
	}
	return false
}

const historySuffix = "/history"

// object is GET /objects/{class}/{dn…} and GET /objects/{class}/{dn…}/history.
// No DN of an APIC ends in an RN "history"; were there one, its slash escaped
// (%2Fhistory) would name the object.
func (s *server) object(w *response, r *http.Request) error {
	list, p, err := classCall(r)
	if err != nil {
		return err
	}
	raw, history := strings.CutSuffix(r.PathValue("*"), historySuffix)
	text, err := unescaped(r, raw)
	if err != nil {
		return err
	}
	dn, err := apic.ParseDN(text)
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	if history {
		return s.objectHistory(w, r, p, list, dn)
	}
	fabric := s.fabric(p)
	place, _, past := p.place("at")
	if err := p.err(); err != nil {
		return err
	}
	o, found := apic.Object{}, false
	if past && !place.IsLatest() {
		at, err := place.ResolveUntil(r.Context(), apic.Now(), s.hub)
		if err != nil {
			return err
		}
		n := apic.Narrow{Classes: concrete(list), DNs: []apic.DN{dn}, Fabrics: []string{fabric}}
		then, err := s.hub.ObjectsAt(r.Context(), &n, at)
		if err != nil {
			return err
		}
		if len(then) == 0 {
			return refuse(http.StatusNotFound, "there was no %s %s at %d; GET %s/history lists what is known of it", joined(list), dn, at, r.URL.EscapedPath())
		}
		o, found = then[0], true
	} else {
		o, found = s.hub.Object(fabric, dn)
	}
	if !found || !slices.Contains(concrete(list), o.Class) {
		if !s.covered(r.Context(), concrete(list)) {
			return unsubscribed(list)
		}
		return s.noObject(list, dn)
	}
	return writeJSON(w, http.StatusOK, viewObject(o))
}

func (s *server) noObject(list []apic.Class, dn apic.DN) error {
	return refuse(http.StatusNotFound, "there is no %s %s now; GET /objects/%s lists those that are, GET /events/%s?dn= what was", joined(list), dn, list[0], list[0])
}

func (s *server) objectHistory(w *response, r *http.Request, p *params, list []apic.Class, dn apic.DN) error {
	fabric := s.fabric(p)
	pg := readPage(r, p, list, "desc", "asc")
	pg.narrow.Kinds = p.kinds(apic.EventsOnly)
	pg.narrow.DNs, pg.narrow.Below = []apic.DN{dn}, nil
	if err := p.err(); err != nil {
		return err
	}
	if err := s.fill(r.Context(), pg); err != nil {
		return err
	}
	if len(pg.entries) == 0 && !pg.more {
		// Nothing asked away, and nobody by this name: not an object without events.
		if _, found := s.hub.Object(fabric, dn); !found && len(p.values) == 0 {
			return s.noObject(list, dn)
		}
	}
	return pg.write(w)
}
