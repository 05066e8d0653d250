package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/handlers"
	"github.com/acitap/acitap/webhook"
)

// A spec is one of the documents, with its schemas compiled.
type spec struct {
	t        *testing.T
	name     string
	doc      map[string]any
	mu       sync.Mutex // guards compiler: receivers of webhooks validate too
	compiler *jsonschema.Compiler
	visited  map[string]bool // "GET /events 200"
}

func newSpec(t *testing.T, name, text string) *spec {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("https://acitap.invalid/"+name, v); err != nil {
		t.Fatal(err)
	}
	return &spec{t: t, name: name, doc: v.(map[string]any), compiler: c, visited: make(map[string]bool)}
}

func (s *spec) at(pointer ...string) any {
	var v any = s.doc
	for _, name := range pointer {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// resolve follows a $ref within the document.
func (s *spec) resolve(v any) map[string]any {
	m, _ := v.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return s.resolve(s.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...))
	}
	return m
}

func escape(pointer []string) string {
	var b strings.Builder
	for _, p := range pointer {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return (&url.URL{Fragment: b.String()}).String()
}

// validate holds a JSON text against the schema at a pointer.
func (s *spec) validate(what, text string, pointer ...string) {
	s.t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		s.t.Errorf("%s: %v in %s", what, err, text)
		return
	}
	s.validateValue(what, v, pointer...)
}

func (s *spec) validateValue(what string, v any, pointer ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, err := s.compiler.Compile("https://acitap.invalid/" + s.name + escape(pointer))
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	if err := schema.Validate(v); err != nil {
		b, _ := json.Marshal(v)
		s.t.Errorf("%s: %v\n%s", what, err, b)
	}
}

// route finds the documented path of a request.
func (s *spec) route(path string) string {
	best, fixed := "", -1
	for pattern := range s.doc["paths"].(map[string]any) {
		expr := regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllStringFunc(regexp.QuoteMeta(pattern), func(name string) string {
			if name == `\{dn\}` {
				return ".+"
			}
			return "[^/]+"
		})
		if regexp.MustCompile("^" + expr + "$").MatchString(path) {
			if n := len(regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(pattern, "")); n > fixed {
				best, fixed = pattern, n
			}
		}
	}
	return best
}

// sent holds a body that was taken against what is documented for its call.
func (s *spec) sent(call string, extra ...string) {
	s.t.Helper()
	method, target, _ := strings.Cut(call, " ")
	path, _, _ := strings.Cut(target, "?")
	for _, body := range extra {
		if strings.HasPrefix(body, "{") {
			s.validate("the body of "+call, body, "paths", s.route(path), strings.ToLower(method), "requestBody", "content", "application/json", "schema")
		}
	}
}

// check holds an answer against what is documented for its call.
func (s *spec) check(a answer) {
	s.t.Helper()
	method, target, _ := strings.Cut(a.call, " ")
	path, _, _ := strings.Cut(target, "?")
	pattern := s.route(path)
	if pattern == "" {
		s.t.Errorf("%s: no path of openapi.json", a.call)
		return
	}
	pointer := []string{"paths", pattern, strings.ToLower(method), "responses"}
	responses, _ := s.at(pointer...).(map[string]any)
	if responses == nil {
		s.t.Errorf("%s: openapi.json has no %s %s", a.call, method, pattern)
		return
	}
	code := strconv.Itoa(a.status)
	if _, ok := responses[code]; !ok {
		code = code[:1] + "XX"
	}
	if _, ok := responses[code]; !ok {
		s.t.Errorf("%s: openapi.json has no answer %d of %s: %s", a.call, a.status, pattern, a.body)
		return
	}
	s.visited[method+" "+pattern+" "+code] = true
	response := s.resolve(responses[code])
	if ref, ok := responses[code].(map[string]any)["$ref"].(string); ok {
		pointer = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	} else {
		pointer = append(pointer, code)
	}
	for _, name := range []string{"Location", "Link", "Acitap-Gap", "Retry-After", "ETag"} {
		headers, _ := response["headers"].(map[string]any)
		if a.header.Get(name) != "" && headers[name] == nil {
			s.t.Errorf("%s: the answer has a header %s that openapi.json does not know", a.call, name)
		}
	}
	content, _ := response["content"].(map[string]any)
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	switch {
	case a.status == http.StatusNoContent || a.status == http.StatusSeeOther || a.status == http.StatusNotModified:
		if a.body != "" || content != nil {
			s.t.Errorf("%s: a %d has a body, or openapi.json says so", a.call, a.status)
		}
	case pattern == "/static/{file}" && a.status == 200:
	case content[media] == nil:
		s.t.Errorf("%s: the answer is %s, which openapi.json does not know", a.call, media)
	case strings.HasSuffix(media, "json") && media != "application/x-ndjson":
		s.validate(a.call, a.body, append(pointer, "content", media, "schema")...)
	case media == "application/x-ndjson" && pattern != "/events/stream":
		for line := range strings.Lines(a.body) {
			s.validate(a.call, line, "components", "schemas", "Entry")
		}
	}
}

// documents returns both.
func documents(r *rig) (open, async *spec) {
	return newSpec(r.t, "openapi.json", r.do("GET /openapi.json").want(200).body),
		newSpec(r.t, "asyncapi.json", r.do("GET /asyncapi.json").want(200).body)
}

// Answers of the real stack are what openapi.json and asyncapi.json say, to
// the last field; and every answer of a 2xx is met.
func TestOpenAPITour(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(s *settings) { s.handlers.Version = "v1.2.3" })
		open, async := documents(r)
		messages := r.stream("/events/stream")
		first, err := messages.read()
		if err != nil {
			t.Fatal(err)
		}
		async.validate("status", first.data, "components", "schemas", "Status")

		do := func(status int, call string, extra ...string) answer {
			t.Helper()
			a := r.do(call, extra...).want(status)
			open.check(a)
			if status < 300 {
				open.sent(call, extra...)
			}
			return a
		}
		do(201, "POST /subscriptions/fvTenant")
		do(200, "POST /subscriptions/fvTenant")
		location := do(201, "POST /subscriptions", `{"query":"/api/mo/uni/tn-mgmt.json?query-target=subtree&target-subtree-class=fvBD,fvCtx"}`).header.Get("Location")
		do(200, "POST /subscriptions", `{"query":"/api/mo/uni/tn-mgmt.json?query-target=subtree&target-subtree-class=fvBD,fvCtx"}`)
		do(201, "POST /subscriptions/Endpoint")
		r.network.Refuse("apic1:80", true)
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		r.create("fvTenant", "uni/tn-missed")
		time.Sleep(5 * time.Second)
		do(202, "POST /subscriptions/fvAp")
		do(202, "POST /subscriptions", `{"query":"/api/class/fvSubnet.json"}`)
		do(503, "GET /readyz")
		do(503, "GET /healthz")
		r.network.Refuse("apic1:80", false)
		time.Sleep(2 * time.Minute)
		r.create("fvTenant", "uni/tn-x", "descr", "one")
		r.modify("uni/tn-x", "descr", "two")
		r.settle()
		if err := r.fabric.Delete("uni/tn-missed"); err != nil {
			t.Fatal(err)
		}
		r.settle()
		seen := do(200, "GET /events?kind=gap").events().Events
		if len(seen) == 0 {
			t.Fatal("there is no gap to look at")
		}
		kinds := make(map[string]int)
		for range len(do(200, "GET /events?limit=10000").events().Events) { // the stream began before the first
			m := messages.next()
			kinds[m.kind]++
			async.validate("stream: "+m.kind, m.data, "components", "schemas", map[string]string{"": "Event", "gap": "Gap"}[m.kind])
		}
		if kinds["gap"] == 0 || kinds[""] == 0 {
			t.Errorf("the stream had %v, want events and gaps", kinds)
		}
		lost := r.stream("/events/stream", "Last-Event-ID: 5").next()
		async.validate("gap of a lost place", lost.data, "components", "schemas", "LostGap")
		id := seen[0].ID
		for _, s := range []struct {
			status int
			call   string
		}{
			{200, "GET /livez"}, {200, "GET /readyz"}, {200, "GET /healthz"}, {200, "GET /session"}, {200, "GET /metrics"},
			{200, "GET /subscriptions"}, {200, "GET /subscriptions/fvTenant"}, {404, "GET /subscriptions/fvDomP"}, {422, "POST /subscriptions/fvNoSuch"},
			{422, "POST /subscriptions/l2IngrBytes5min"}, {200, "GET " + location}, {204, "DELETE " + location}, {404, "DELETE " + location},
			{204, "DELETE /subscriptions/Endpoint"}, {404, "DELETE /subscriptions/Endpoint"},
			{200, "GET /events"}, {200, "GET /events?limit=1"}, {200, "GET /events?include=object&order=desc"}, {200, "GET /events?format=ndjson"}, {200, "GET /events?format=csv"},
			{410, "GET /events?since=5"}, {400, "GET /events?limit=0&filter=nope"}, {200, "GET /events/fvTenant"}, {200, "GET /events/fvTenant?format=csv"},
			{200, fmt.Sprintf("GET /events/%d", id)}, {200, fmt.Sprintf("GET /events/%d", id+1)}, {410, "GET /events/5"}, {404, "GET /events/9007199254740991"},
			{200, "GET /events/fvTenant/pending"}, {404, "GET /events/fvDomP/pending"}, {200, "GET /events/fvTenant/next?consumer=me&since=earliest"},
			{200, "GET /events/fvTenant/next?consumer=me&ack=0&max=5&include=object"}, {200, "GET /events/fvTenant/consumers"}, {204, "DELETE /events/fvTenant/consumers/me"},
			{404, "DELETE /events/fvTenant/consumers/me"}, {200, "GET /events/fvTenant/next"}, {200, "POST /events/fvTenant/next"}, {200, "POST /events/fvTenant/next?max=1000"},
			{204, "GET /events/fvTenant/next"}, {204, "POST /events/fvTenant/next"}, {404, "GET /events/fvDomP/next"}, {410, "GET /events/fvTenant/next?consumer=b&since=5"},
			{200, "GET /wait?since=earliest"}, {200, "GET /wait?class=fvTenant&state=true"}, {204, "GET /wait?timeout=1s"}, {410, "GET /wait?since=5"},
			{200, "GET /objects/fvTenant"}, {200, "GET /objects/fvTenant?limit=1"}, {200, "GET /objects/fvTenant?at=earliest"}, {404, "GET /objects/fvDomP"}, {410, "GET /objects/fvTenant?at=5"},
			{200, "GET /objects/fvTenant/uni/tn-x"}, {404, "GET /objects/fvTenant/uni/tn-nope"}, {200, "GET /objects/fvTenant/uni/tn-x/history"},
			{200, "GET /objects/fvTenant/uni/tn-x/history?format=ndjson&include=object&kind=event,gap"}, {404, "GET /objects/fvTenant/uni/tn-nope/history"},
			{200, "GET /openapi.json"}, {200, "GET /asyncapi.json"}, {200, "GET /docs"}, {200, "GET /"}, {200, "GET /static/app.css"}, {404, "GET /static/nope"},
			{303, "GET /signin"}, {303, "POST /signout"}, {204, "DELETE /subscriptions/fvTenant"}, {400, "GET /docs?x=1"},
		} {
			do(s.status, s.call)
		}
		do(303, "POST /signin", "Content-Type: application/x-www-form-urlencoded", "token=x\n")
		do(413, "POST /subscriptions/fvBD", `{"dn":"`+strings.Repeat("x", 1<<20)+`"}`)
		do(304, "GET /static/app.css", "If-None-Match: "+r.do("GET /static/app.css").header.Get("ETag"))
		do(403, "GET /events/fvTenant/next", "Sec-Fetch-Site: cross-site")
		webhookTour(r, open, async)

		unseen := 0
		for pattern, item := range open.doc["paths"].(map[string]any) {
			for method, o := range item.(map[string]any) {
				responses, _ := s2m(o)["responses"].(map[string]any)
				for code := range responses {
					route := strings.ToUpper(method) + " " + pattern + " " + code
					if code[0] == '2' && !open.visited[route] && !strings.Contains(pattern, "stream") && route != "GET /signin 200" {
						unseen++
						t.Errorf("the tour has not met %s", route)
					}
				}
			}
		}
	})
}

func s2m(v any) map[string]any { m, _ := v.(map[string]any); return m }

// webhookTour is the tour of webhooks, with a receiver that holds what it is
// sent against the documents.
func webhookTour(r *rig, open, async *spec) {
	r.t.Helper()
	service, err := webhook.New(r.t.Context(), webhook.Options{Hub: r.hub, Store: webhook.Memory(), Dial: r.network.DialContext})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := contextWithCancel(r.t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := service.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	defer func() { stop(); <-done }()
	side := serveOn(r, "hooks:80", handlers.WebhookRoutes(r.hub, service))
	defer side()
	var mu sync.Mutex // guards names
	names := make(map[string]bool)
	receiver := serveOn(r, "noc.example.com:80", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		media, _, _ := strings.Cut(req.Header.Get("Content-Type"), ";")
		body := read(req.Body)
		open.validate("delivery as "+media, body, "webhooks", "event", "post", "requestBody", "content", media, "schema")
		name := map[string]string{"application/cloudevents+json": "cloudEvent", "application/cloudevents-batch+json": "cloudEventBatch"}[media]
		if name == "" {
			if name = "delivery"; strings.HasPrefix(body, `{"events":`) {
				name = "batch"
			}
		}
		async.validate("delivery as "+media, body, "components", "messages", name, "payload")
		mu.Lock()
		names[name] = true
		mu.Unlock()
		headers := make(map[string]any)
		for _, p := range open.at("webhooks", "event", "post", "parameters").([]any) {
			name := s2m(p)["name"].(string)
			if v := req.Header.Get(name); v != "" {
				headers[name] = v
			} else if s2m(p)["required"] == true {
				r.t.Errorf("a delivery has no header %s", name)
			}
		}
		async.validateValue("headers of a delivery", headers, "components", "messages", name, "headers")
	}))
	defer receiver()
	do := func(status int, call string, extra ...string) answer {
		r.t.Helper()
		req := r.request(r.t.Context(), call, extra...)
		req.URL.Host = "hooks"
		req.Host = "localhost"
		res, err := r.client.Do(req)
		if err != nil {
			r.t.Fatal(err)
		}
		defer res.Body.Close()
		a := answer{r.t, call, res.StatusCode, res.Header, read(res.Body)}.want(status)
		open.check(a)
		if status < 300 {
			open.sent(call, extra...)
		}
		return a
	}
	newest := r.do("GET /events?kind=event&order=desc&limit=1").events().Events[0].ID
	var made struct{ ID string }
	do(201, "POST /webhooks", `{"name":"noc","url":"http://noc.example.com/hook","class":"fvTenant","attr":{"name":["x","missed"]},"since":"earliest","headers":{"Authorization":"Bearer x"}}`).into(&made)
	for _, more := range []string{`"format":"cloudevents"`, `"format":"cloudevents","batch":10`, `"batch":10,"include":"object"`, `"format":"template","template":"{{.dn}}","contentType":"text/plain","enabled":false`} {
		do(201, "POST /webhooks", `{"url":"http://noc.example.com/hook","since":"earliest",`+more+`}`)
	}
	time.Sleep(time.Minute)
	mu.Lock()
	met := len(names)
	mu.Unlock()
	if met != 4 {
		r.t.Errorf("the receiver was sent %d kinds of messages, want all four", met)
	}
	one := "/webhooks/" + made.ID
	for _, s := range []struct {
		status int
		call   string
	}{
		{200, "GET /webhooks"}, {200, "GET /webhooks/presets"}, {200, "GET " + one}, {404, "GET /webhooks/nope"}, {400, "GET /webhooks?x=1"},
		{200, "POST " + one + "/test"}, {200, "POST " + one + "/test?dryRun=true"}, {200, fmt.Sprintf("POST %s/redeliver?event=%d", one, newest)}, {400, "POST " + one + "/redeliver"},
		{410, "POST " + one + "/redeliver?event=5"}, {200, "POST " + one + "/rotate"}, {200, "GET " + one + "/deliveries"}, {200, "GET " + one + "/deliveries?limit=1"},
		{200, "POST " + one + "/rewind?since=latest"},
	} {
		do(s.status, s.call)
	}
	do(400, "POST /webhooks", `{"nope":1}`)
	do(200, fmt.Sprintf("POST /webhooks/preview?event=%d", newest), `{"format":"slack"}`)
	do(200, "POST /webhooks/preview?webhook="+made.ID, `{"batch":5}`)
	do(400, "POST /webhooks/preview", `{"nope":1}`)
	do(404, "POST /webhooks/preview?webhook=nope", `{}`)
	do(410, "POST /webhooks/preview?event=5", `{}`)
	do(200, "PATCH "+one, `{"headers":{"Authorization":null,"X-Team":"noc"},"batch":null,"class":["fvTenant","fvBD"],"filter":"tenant != \"x\""}`)
	do(204, "DELETE "+one)
	do(404, "DELETE "+one)
}

// Examples are what their schemas say.
func TestDocumentExamples(t *testing.T) {
	bubble(t, func(t *testing.T) {
		open, async := documents(newRig(t))
		n := 0
		var walk func(s *spec, v any, at []string)
		walk = func(s *spec, v any, at []string) {
			switch v := v.(type) {
			case []any:
				for i, e := range v {
					walk(s, e, append(slices.Clone(at), strconv.Itoa(i)))
				}
			case map[string]any:
				in := at[len(at)-min(len(at), 2):]
				schema := len(in) == 2 && in[0] == "schemas"
				names := make([]string, 0, len(v))
				for name := range v {
					names = append(names, name)
				}
				sort.Strings(names)
				for _, name := range names {
					here := append(slices.Clone(at), name)
					switch list, isList := v[name].([]any); {
					case name == "examples" && isList && v["type"] != nil: // of a schema
						for _, e := range list {
							n++
							s.validateValue(strings.Join(here, "/"), e, at...)
						}
					case name == "examples" && isList && v["payload"] != nil: // of a message
						for _, e := range list {
							n++
							s.validateValue(strings.Join(here, "/"), s2m(e)["payload"], append(slices.Clone(at), "payload")...)
						}
					case name == "example" && v["schema"] != nil:
						n++
						s.validateValue(strings.Join(here, "/"), v[name], append(slices.Clone(at), "schema")...)
					case name == "examples" && v["schema"] != nil:
						for key, e := range s2m(v[name]) {
							n++
							s.validateValue(strings.Join(here, "/")+"/"+key, s2m(e)["value"], append(slices.Clone(at), "schema")...)
						}
					case name == "example" || name == "examples":
						if !schema && !isList {
							t.Errorf("%s: an example of nothing", strings.Join(here, "/"))
						}
					default:
						walk(s, v[name], here)
					}
				}
			}
		}
		walk(open, open.doc, nil)
		walk(async, async.doc, nil)
		if n < 60 {
			t.Errorf("found %d examples, there are more", n)
		}
	})
}

// Every call knows the parameters that are documented and no others, and
// refuses values out of the documented range.
func TestOpenAPIParameters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newHookRig(t).rig
		open, _ := documents(r)
		r.subscribe("fvTenant")
		ask := func(call string) answer { // of a stream there would be no end
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			a, err := r.try(ctx, call)
			if err != nil {
				t.Errorf("%s: %v", call, err)
			}
			return a
		}
		knows := regexp.MustCompile(`zzz: is no parameter of this call(?:; it has ([^"]*))?"`)
		for pattern, item := range open.doc["paths"].(map[string]any) {
			if strings.HasPrefix(pattern, "/static") || pattern == "/" {
				continue // not looked at
			}
			for method, raw := range s2m(item) {
				op := s2m(raw)
				if op["operationId"] == nil {
					continue
				}
				path := pattern
				var documented []string
				ranges := make(map[string]map[string]any)
				both, _ := s2m(item)["parameters"].([]any)
				own, _ := op["parameters"].([]any)
				for _, p := range append(slices.Clone(both), own...) {
					p := open.resolve(p)
					name := p["name"].(string)
					switch p["in"] {
					case "path":
						path = strings.ReplaceAll(path, "{"+name+"}", fmt.Sprint(p["example"]))
					case "query":
						documented = append(documented, name)
						ranges[name] = s2m(p["schema"])
					}
				}
				call := strings.ToUpper(method) + " " + path
				if pattern == "/signin" && method == "post" {
					continue // its fields are those of a form
				}
				if strings.Contains(pattern, "/subscriptions/{class}/{id}") {
					call = strings.ToUpper(method) + " /subscriptions/fvTenant/x"
				}
				a := ask(call + "?zzz=1")
				if pattern == "/signout" && a.status == 303 {
					t.Errorf("%s takes a parameter that it does not know", call)
				}
				m := knows.FindStringSubmatch(strings.ReplaceAll(a.body, `\"`, `'`))
				if a.status != 400 || m == nil {
					t.Errorf("%s?zzz=1: got %d %s", call, a.status, a.body)
					continue
				}
				got := strings.Split(strings.ReplaceAll(m[1], "and the selectors ", ""), ", ")
				for _, name := range got {
					selects := strings.HasPrefix(pattern, "/objects/{class}")
					switch {
					case name == "" || slices.Contains(documented, name):
					case name == "class" && strings.Contains(pattern, "{class"): // it stands in the path
					case selects && slices.Contains([]string{"status", "origin", "dn"}, name): // refused in another way
					default:
						t.Errorf("%s: knows %s, which openapi.json does not", call, name)
					}
				}
				for _, name := range documented {
					// The list leaves out what has the name of a selector.
					if !slices.Contains(got, name) && !slices.Contains([]string{"fabric", "dn", "filter"}, name) {
						t.Errorf("%s: openapi.json has %s, which it does not know (%s)", call, name, m[1])
					}
					values := []string{}
					if limit, ok := ranges[name]["maximum"].(json.Number); ok && limit != "9007199254740991" {
						n, _ := limit.Int64()
						low, _ := ranges[name]["minimum"].(json.Number).Int64()
						values = append(values, strconv.FormatInt(n+1, 10), strconv.FormatInt(low-1, 10))
					}
					if ranges[name]["enum"] != nil || ranges[name]["pattern"] != nil || ranges[name]["type"] == "boolean" {
						values = append(values, "%3Fno%3F")
					}
					if s2m(ranges[name]["items"])["enum"] != nil || s2m(ranges[name]["items"])["pattern"] != nil {
						values = append(values, "%3Fno%3F")
					}
					for _, value := range values {
						if a := ask(call + "?" + name + "=" + value); a.status != 400 || !strings.Contains(a.body, name) {
							if pattern == "/signin" && name == "next" { // leads to / instead
								continue
							}
							t.Errorf("%s?%s=%s: got %d %s, want 400", call, name, value, a.status, a.body)
						}
					}
				}
			}
		}
	})
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

// serveOn serves on an address of the rig's network until the returned
// function is called.
func serveOn(r *rig, addr string, h http.Handler) (stop func()) {
	l, err := r.network.Listen(addr)
	if err != nil {
		r.t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	return func() { s.Close() }
}

func read(r io.Reader) string {
	b, _ := io.ReadAll(r)
	return string(b)
}
