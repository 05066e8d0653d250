package handlers

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/acitap/acitap/webhook"
)

// WebhookRoutes returns the routes of webhooks alone, for the tests of the
// documents.
func WebhookRoutes(hub Hub, service *webhook.Service) http.Handler {
	s := New(Options{Hub: hub}).server
	s.routes = chi.NewRouter()
	webhookRoutes(func(methods, pattern string, h handler) {
		for m := range strings.FieldsSeq(methods) {
			s.routes.Method(m, pattern, s.route(m, pattern, h))
		}
	}, service)
	s.log = slog.New(slog.DiscardHandler)
	return s
}

// documented are the routes as OpenAPI writes them where a router writes them
// otherwise: it knows no path that goes on, and takes /events/{class} and
// /events/{id} for the same.
func documented(pattern string) []string {
	switch pattern {
	case "/events/{class}", "/events/{id:[0-9]+}":
		return []string{"/events/{classOrId}"}
	case "/objects/{class}/*":
		return []string{"/objects/{class}/{dn}", "/objects/{class}/{dn}/history"}
	case "/static/*":
		return []string{"/static/{file}"}
	}
	return []string{pattern}
}

type operation struct {
	Role     string           `json:"x-role"`
	Security *json.RawMessage `json:"security"`
}

var methodNames = []string{"get", "post", "put", "patch", "delete", "head", "options"}

// Every route is documented, and every documented call is a route, with the
// role that it needs.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	operations := make(map[string]operation)
	for path, item := range doc.Paths {
		for method, raw := range item {
			if !slices.Contains(methodNames, method) {
				continue
			}
			var o operation
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			operations[strings.ToUpper(method)+" "+path] = o
		}
	}
	routes := make(map[string]Role)
	walk := func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		for _, path := range documented(pattern) {
			routes[method+" "+path] = needs[method+" "+pattern]
		}
		return nil
	}
	s := New(Options{}).server
	webhooks := WebhookRoutes(nil, new(webhook.Service)).(*server)
	for _, mux := range []*chi.Mux{s.routes, webhooks.routes} {
		if err := chi.Walk(mux, walk); err != nil {
			t.Fatal(err)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(routes)) {
		o, ok := operations[route]
		if !ok {
			t.Errorf("%s is a route and not in openapi.json", route)
			continue
		}
		role := Role(o.Role)
		if o.Security != nil && string(*o.Security) == "[]" {
			role = public
		}
		if role != routes[route] {
			t.Errorf("%s: openapi.json says it is for %q, and it is for %q", route, role, routes[route])
		}
	}
	for _, route := range slices.Sorted(maps.Keys(operations)) {
		if _, ok := routes[route]; !ok {
			t.Errorf("%s is in openapi.json and no route", route)
		}
	}
}

// What the two documents describe both, they describe in the same words.
func TestDocumentsAgree(t *testing.T) {
	type document struct {
		Components struct {
			Schemas map[string]any
		}
	}
	var open, async document
	for _, d := range []struct {
		text []byte
		into *document
	}{{openAPI, &open}, {asyncAPI, &async}} {
		if err := json.Unmarshal(d.text, d.into); err != nil {
			t.Fatal(err)
		}
	}
	for name, schema := range async.Components.Schemas {
		other, ok := open.Components.Schemas[name]
		if !ok && name == "Status" { // of streams alone
			continue
		}
		got, _ := json.Marshal(schema)
		want, _ := json.Marshal(other)
		if string(got) != string(want) {
			t.Errorf("%s is in asyncapi.json\n%s\nand in openapi.json\n%s", name, got, want)
		}
	}
	for _, text := range [][]byte{openAPI, asyncAPI} {
		var v any
		_ = json.Unmarshal(text, &v)
		for _, ref := range regexp.MustCompile(`"\$ref": "(#[^"]*)"`).FindAllSubmatch(text, -1) {
			if !points(v, string(ref[1])) {
				t.Errorf("%s leads nowhere", ref[1])
			}
		}
	}
}

// points reports whether there is something at a reference.
func points(v any, ref string) bool {
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, ok := v.(map[string]any)
		if !ok {
			return false
		}
		if v, ok = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]; !ok {
			return false
		}
	}
	return true
}

// The page of the documents brings nothing from elsewhere, and no script or
// style in itself, which the policy would refuse.
func TestDocsPage(t *testing.T) {
	for _, forbidden := range []string{"https://", "style=", "<style", " onclick", "javascript:"} {
		if strings.Contains(string(docsPage), forbidden) {
			t.Errorf("docs.html has %s", forbidden)
		}
	}
	for _, script := range regexp.MustCompile(`<script[^>]*>[^<]*`).FindAllString(string(docsPage), -1) {
		if !strings.Contains(script, ` src="/static/`) || !strings.HasSuffix(script, ">") {
			t.Errorf("docs.html has %s", script)
		}
	}
}
