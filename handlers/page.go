package handlers

import (
	"bytes"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/static"
	"github.com/acitap/acitap/web"
)

// firstPaint is how many of the newest entries stand in the page as it is
// sent.
const firstPaint = 100

func (s *server) pageRoutes(on func(methods, pattern string, h handler)) {
	files, serve := static.Files(), sync.OnceValue(static.Handler) // it compresses all files: not before they are asked for
	on("GET", "/", s.page)
	on("GET", "/static/*", func(w *response, r *http.Request) error {
		name, found := strings.CutPrefix(r.URL.Path, "/static/")
		if !found || !fs.ValidPath(name) {
			return noFile(name)
		}
		if info, err := fs.Stat(files, name); err != nil || info.IsDir() {
			return noFile(name)
		}
		serve().ServeHTTP(w, r)
		return nil
	})
}

// roleOf is the role to show: of a token only.
func roleOf(who identity) string {
	if who.name == "" {
		return ""
	}
	return string(who.role)
}

func noFile(name string) error {
	return refuse(http.StatusNotFound, "the page has no file %.80q; reload it if it is of another version", name)
}

// page is GET /. What its query holds is for its scripts.
func (s *server) page(w *response, r *http.Request) error {
	v := web.View{Version: s.version, Now: apic.Now(), Caller: w.who.name, Role: roleOf(w.who), ReadOnly: w.who.role != Operator}
	for _, f := range s.hub.Sessions() {
		v.Fabrics = append(v.Fabrics, web.NewFabric(&f))
	}
	for _, sub := range s.hub.Subscriptions(r.Context()) {
		v.Subscriptions = append(v.Subscriptions, web.NewSubscription(&sub))
	}
	newest := &page{desc: true, limit: firstPaint}
	if err := s.fill(r.Context(), newest); err != nil {
		return err
	}
	for _, e := range slices.Backward(newest.entries) {
		v.Entries = append(v.Entries, web.NewEntry(e))
	}
	var b bytes.Buffer
	if err := web.Page(v).Render(r.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	out := newParts(w)
	out.buf = b.Bytes()
	return out.write()
}
