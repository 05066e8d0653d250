package apicsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Control is an HTTP handler that triggers the fabric's faults, for a simulator
// that runs as a program of its own:
//
//	GET  /faults          what there is, with parameters, as JSON
//	POST /faults/{name}   trigger one; parameters in the query string or as a form
//	POST /reset           heal everything
//	GET  /stats           counts; GET /stats?requests=100 with the last requests
//	GET  /sessions        sessions and subscriptions of all controllers
//
// Mount it with its prefix stripped: http.StripPrefix("/sim", fabric.Control()).
// Unknown names and parameters get 400 with a sentence. The parameter controller
// (from 0) picks one controller; without it, all are meant. Durations are written
// as 10s or 1m30s, and counts of -1 do not run out.
func (f *Fabric) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, r *http.Request) {
		type entry struct {
			Name   string  `json:"name"`
			Rows   string  `json:"rows"`
			Doc    string  `json:"doc"`
			Params []param `json:"params"`
		}
		out := []entry{}
		for _, c := range commands() {
			ps := slices.Clone(c.params)
			if c.each != nil {
				ps = append(ps, param{"controller", "int", "", "which one, from 0; all by default"})
			}
			out = append(out, entry{c.name, c.rows, c.doc, ps})
		}
		writeJSON(w, 200, map[string]any{"faults": out})
	})
	mux.HandleFunc("POST /faults/{name}", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			complain(w, err)
			return
		}
		text, err := f.Trigger(r.PathValue("name"), r.Form)
		if err != nil {
			complain(w, err)
			return
		}
		writeJSON(w, 200, map[string]string{"done": text})
	})
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, r *http.Request) {
		f.Heal()
		writeJSON(w, 200, map[string]string{"done": "all faults are healed"})
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, r *http.Request) {
		out := map[string]any{"stats": f.Stats()}
		if n, _ := strconv.Atoi(r.URL.Query().Get("requests")); n > 0 {
			reqs := f.Requests()
			out["requests"] = reqs[max(0, len(reqs)-n):]
		}
		writeJSON(w, 200, out)
	})
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, r *http.Request) {
		type entry struct {
			Sessions      []SessionInfo      `json:"sessions"`
			Subscriptions []SubscriptionInfo `json:"subscriptions"`
		}
		var out []entry
		for _, c := range f.controllers {
			out = append(out, entry{c.Sessions(), c.Subscriptions()})
		}
		writeJSON(w, 200, map[string]any{"controllers": out})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, 404, map[string]string{"error": "There is GET /faults, POST /faults/{name}, POST /reset, GET /stats and GET /sessions."})
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client's loss
}

func complain(w http.ResponseWriter, err error) {
	writeJSON(w, 400, map[string]string{"error": err.Error()})
}

// param is a parameter of a fault.
type param struct {
	Name    string `json:"name"`
	Type    string `json:"type"` // int, float, duration, bool, text, or words with bars between
	Default string `json:"default"`
	Doc     string `json:"doc"`
}

// values are the parameters of one call, of the types declared.
type values map[string]any

func (v values) int(n string) int           { return v[n].(int) }
func (v values) float(n string) float64     { return v[n].(float64) }
func (v values) dur(n string) time.Duration { return v[n].(time.Duration) }
func (v values) bool(n string) bool         { return v[n].(bool) }
func (v values) text(n string) string       { return v[n].(string) }

// command is one fault as the control path sees it. Exactly one of each and all
// is set.
type command struct {
	name, rows, doc string
	params          []param
	each            func(c *Controller, v values) error
	all             func(f *Fabric, v values) error
}

// Trigger triggers a fault by its name on the control path, with parameters as
// text. It returns what was done, in words.
func (f *Fabric) Trigger(name string, params url.Values) (string, error) {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		var names []string
		for _, c := range all {
			names = append(names, c.name)
		}
		return "", fmt.Errorf("there is no fault %q; known are %s", name, strings.Join(names, ", "))
	}
	c := all[i]
	v := values{}
	for key := range params {
		if key == "controller" && c.each != nil {
			continue
		}
		if !slices.ContainsFunc(c.params, func(p param) bool { return p.Name == key }) {
			var names []string
			for _, p := range c.params {
				names = append(names, p.Name)
			}
			if c.each != nil {
				names = append(names, "controller")
			}
			return "", fmt.Errorf("%s has no parameter %q; it knows %s", name, key, cmpOr(strings.Join(names, ", "), "none"))
		}
	}
	for _, p := range c.params {
		text := p.Default
		if params.Has(p.Name) {
			text = params.Get(p.Name)
		}
		x, err := p.parse(text)
		if err != nil {
			return "", fmt.Errorf("%s: parameter %s: %w", name, p.Name, err)
		}
		v[p.Name] = x
	}
	if c.all != nil {
		if err := c.all(f, v); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		return name + " on the fabric", nil
	}
	targets := f.controllers
	on := "all controllers"
	if s := params.Get("controller"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n >= len(targets) {
			return "", fmt.Errorf("%s: controller %q: there are %d, from 0", name, s, len(targets))
		}
		targets = targets[n : n+1]
		on = "controller " + s
	}
	var errs []error
	for _, t := range targets {
		if err := c.each(t, v); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return name + " on " + on, errors.Join(errs...)
}

func (p param) parse(text string) (any, error) {
	switch p.Type {
	case "int":
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, nil
	case "float":
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", text)
		}
		return x, nil
	case "duration":
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a duration such as 10s", text)
		}
		return d, nil
	case "bool":
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		return b, nil
	case "text":
		return text, nil
	case "text!":
		if text == "" {
			return nil, errors.New("it must be given")
		}
		return text, nil
	}
	if !slices.Contains(strings.Split(p.Type, "|"), text) {
		return nil, fmt.Errorf("%q is not one of %s", text, strings.ReplaceAll(p.Type, "|", ", "))
	}
	return text, nil
}

const howWords = "normal|away|reset|cut|none"

func howOf(v values) SocketEnd {
	return SocketEnd(slices.Index(strings.Split(howWords, "|"), v.text("how")))
}

// withAnswer adds the parameters of an Answer.
func withAnswer(ps ...param) []param {
	return append(ps,
		param{"kind", "default|json|html|empty|hang|reset", "default", "what is answered; default is what APIC says in that case"},
		param{"status", "int", "503", "HTTP status, for json, html and empty"},
		param{"code", "text", "", "code of the JSON error; the status by default"},
		param{"text", "text", "Service is busy", "text of the JSON error"},
		param{"delay", "duration", "0s", "before the answer"})
}

func answerOf(v values) Answer {
	a := Answer{Delay: v.dur("delay")}
	switch v.text("kind") {
	case "json":
		a.Status, a.Code, a.Text = v.int("status"), v.text("code"), v.text("text")
	case "html":
		a.Status, a.HTML = v.int("status"), true
	case "empty":
		a.Status = v.int("status")
	case "hang":
		a.Hang = true
	case "reset":
		a.Reset = true
	}
	return a
}

// commands are all faults, in the order of section 7 of the protocol page.
func commands() []command {
	count := func(doc string) param { return param{"n", "int", "1", doc} }
	match := param{"match", "text", "", "part of the URL; all by default"}
	how := param{"how", howWords, "normal", "end of the socket: close 1000, 1001, TCP reset, cut in the middle of a frame, none"}
	on := param{"on", "bool", "true", ""}
	return []command{
		{name: "heal", rows: "", doc: "end all faults of a controller", each: func(c *Controller, v values) error { c.Heal(); return nil }},
		{name: "zone", rows: "N16", doc: "time zone of modTs", params: []param{{"hours", "int", "0", "offset from UTC"}},
			each: func(c *Controller, v values) error {
				h := v.int("hours")
				c.Zone(time.FixedZone(fmt.Sprintf("UTC%+d", h), h*3600))
				return nil
			}},
		{name: "expire-tokens", rows: "F1", doc: "end all sessions at once", params: []param{how},
			each: func(c *Controller, v values) error { c.ExpireTokens(howOf(v)); return nil }},
		{name: "refuse-refresh", rows: "F2", doc: "aaaRefresh fails", params: withAnswer(count("how many; -1 for ever")),
			each: func(c *Controller, v values) error { c.RefuseRefresh(v.int("n"), answerOf(v)); return nil }},
		{name: "refuse-login", rows: "F3", doc: "logins get 401", params: []param{count("how many; -1 for ever")},
			each: func(c *Controller, v values) error { c.RefuseLogin(v.int("n")); return nil }},
		{name: "password", rows: "F3", doc: "change a user's password", params: []param{{"user", "text!", "admin", ""}, {"password", "text!", "", "the new one"}},
			all: func(f *Fabric, v values) error { f.SetPassword(v.text("user"), v.text("password")); return nil }},
		{name: "shape-login", rows: "F4", doc: "login answers look different", params: []param{{"shape", "normal|numbers|refresh-key|bare|extra", "numbers", ""}},
			each: func(c *Controller, v values) error {
				c.ShapeLogin(LoginShape(slices.Index([]string{"normal", "numbers", "refresh-key", "bare", "extra"}, v.text("shape"))))
				return nil
			}},
		{name: "lifetimes", rows: "N1 F5", doc: "shorten the life of tokens and sessions", params: []param{{"refresh", "duration", "0s", "idle life of tokens; 0 leaves it"}, {"maximum", "duration", "0s", "life of sessions; 0 leaves it"}},
			each: func(c *Controller, v values) error { c.Lifetimes(v.dur("refresh"), v.dur("maximum")); return nil }},
		{name: "refuse-socket", rows: "F6", doc: "the handshake fails; status 101 closes at once", params: withAnswer(count("how many; -1 for ever")),
			each: func(c *Controller, v values) error { c.RefuseSocket(v.int("n"), answerOf(v)); return nil }},
		{name: "drop-sockets", rows: "F7", doc: "end all sockets", params: []param{how},
			each: func(c *Controller, v values) error { c.DropSockets(howOf(v)); return nil }},
		{name: "drop-after", rows: "F7", doc: "end the sockets with the n-th frame from now", params: []param{count("frames"), how},
			each: func(c *Controller, v values) error { c.DropAfter(v.int("n"), howOf(v)); return nil }},
		{name: "lose", rows: "F7", doc: "lose the next pushes silently", params: []param{count("pushes")},
			each: func(c *Controller, v values) error { c.LoseNext(v.int("n")); return nil }},
		{name: "half-open", rows: "F8", doc: "the open sockets fall silent, TCP stays", params: []param{{"rest", "bool", "false", "REST too"}},
			each: func(c *Controller, v values) error { c.HalfOpen(v.bool("rest")); return nil }},
		{name: "ignore-pings", rows: "F9", doc: "pings are not answered", params: []param{on},
			each: func(c *Controller, v values) error { c.IgnorePings(v.bool("on")); return nil }},
		{name: "expire-early", rows: "F10 N14", doc: "subscriptions live shorter", params: []param{match, {"by", "duration", "190s", ""}},
			each: func(c *Controller, v values) error { c.ExpireEarly(v.text("match"), v.dur("by")); return nil }},
		{name: "forget-subscriptions", rows: "F10 F12", doc: "subscriptions are gone; their refresh gets 400", params: []param{match},
			each: func(c *Controller, v values) error { c.ForgetSubscriptions(v.text("match")); return nil }},
		{name: "refresh-answer", rows: "F11", doc: "subscriptionRefresh answers otherwise", params: withAnswer(count("how many; -1 for ever")),
			each: func(c *Controller, v values) error { c.RefreshAnswer(v.int("n"), answerOf(v)); return nil }},
		{name: "throttle", rows: "F13", doc: "refuse requests above a rate", params: withAnswer(match, param{"rate", "float", "10", "a second; 0 ends it"}, param{"burst", "int", "10", ""}),
			each: func(c *Controller, v values) error {
				c.ThrottleOnly(v.text("match"), v.float("rate"), v.int("burst"), answerOf(v))
				return nil
			}},
		{name: "fail", rows: "F11 F13", doc: "answer requests otherwise", params: withAnswer(param{"match", "text!", "", "part of the URL"}, count("how many; -1 for ever")),
			each: func(c *Controller, v values) error {
				a := answerOf(v)
				if a.zero() {
					a = Answer{Status: 503, HTML: true}
				}
				c.Fail(v.text("match"), v.int("n"), a)
				return nil
			}},
		{name: "too-big", rows: "F14", doc: "refuse large answers", params: []param{{"n", "int", "100", "objects; 0 ends it"}, {"status", "int", "400", "400 or 503"}},
			each: func(c *Controller, v values) error { c.TooBig(v.int("n"), v.int("status")); return nil }},
		{name: "empty-pages", rows: "F15", doc: "empty imdata, positive totalCount", params: []param{count("answers; -1 for ever")},
			each: func(c *Controller, v values) error { c.EmptyPages(v.int("n")); return nil }},
		{name: "short-pages", rows: "F15", doc: "pages lack objects", params: []param{count("pages; -1 for ever"), {"by", "int", "1", "objects"}},
			each: func(c *Controller, v values) error { c.ShortPages(v.int("n"), v.int("by")); return nil }},
		{name: "delay-answer", rows: "F16", doc: "slow queries; pushes come before the answer", params: []param{match, {"n", "int", "-1", "how many"}, {"delay", "duration", "3s", "before the first byte"}, {"rate", "int", "0", "bytes a second after it; 0 for at once"}, {"late", "bool", "false", "the snapshot is taken after the delay"}},
			each: func(c *Controller, v values) error {
				c.DelayAnswer(&SlowAnswer{Match: v.text("match"), Count: v.int("n"), Delay: v.dur("delay"), Rate: v.int("rate"), Late: v.bool("late")})
				return nil
			}},
		{name: "inject", rows: "F17", doc: "send a frame; {id}, {id:part of URL} and {ids} stand for subscription ids", params: []param{{"payload", "text", "", ""}, {"binary", "bool", "false", ""}, {"raw", "bool", "false", "without a frame around it"}},
			each: func(c *Controller, v values) error {
				c.Inject(Frame{Payload: []byte(v.text("payload")), Binary: v.bool("binary"), Raw: v.bool("raw")})
				return nil
			}},
		{name: "duplicate-frames", rows: "F18", doc: "the next frames come twice", params: []param{count("frames")},
			each: func(c *Controller, v values) error { c.DuplicateFrames(v.int("n")); return nil }},
		{name: "duplicate-objects", rows: "F18", doc: "the object is twice in the next frames", params: []param{count("frames")},
			each: func(c *Controller, v values) error { c.DuplicateObjects(v.int("n")); return nil }},
		{name: "split-frames", rows: "F17", doc: "pushes come in WebSocket fragments", params: []param{{"size", "int", "100", "bytes of a fragment; 0 ends it"}},
			each: func(c *Controller, v values) error { c.SplitFrames(v.int("size")); return nil }},
		{name: "mod-ts", rows: "F19", doc: "modTs of the next pushes", params: []param{count("pushes"), {"text", "text", "never", ""}},
			each: func(c *Controller, v values) error { c.ModTs(v.int("n"), v.text("text")); return nil }},
		{name: "child-first", rows: "F19", doc: "created children are told before their parents", params: []param{on},
			all: func(f *Fabric, v values) error { f.ChildFirst(v.bool("on")); return nil }},
		{name: "status-word", rows: "F20", doc: "status of the next pushes", params: []param{count("pushes"), {"word", "text", "replaced", ""}},
			each: func(c *Controller, v values) error { c.StatusWord(v.int("n"), v.text("word")); return nil }},
		{name: "emit", rows: "F20", doc: "push a change that did not happen", params: []param{{"class", "text!", "", ""}, {"dn", "text!", "", ""}, {"status", "text", "modified", ""}, {"name", "text", "descr", "an attribute"}, {"value", "text", "phantom", "its value"}},
			all: func(f *Fabric, v values) error {
				return f.Emit(v.text("class"), v.text("dn"), v.text("status"), map[string]string{v.text("name"): v.text("value")})
			}},
		{name: "orphan-delete", rows: "F21", doc: "delete a subtree, telling only of its top", params: []param{{"dn", "text!", "", ""}},
			all: func(f *Fabric, v values) error { return f.OrphanDelete(v.text("dn")) }},
		{name: "deafen", rows: "F23", doc: "subscriptions refresh and never push", params: []param{match, {"later", "bool", "false", "new ones too"}},
			each: func(c *Controller, v values) error {
				c.DeafenSubscriptions(v.text("match"), v.bool("later"))
				return nil
			}},
		{name: "leaf-reboot", rows: "F24", doc: "a switch restarts; its objects are not pushed to existing subscriptions", params: []param{{"node", "text!", "topology/pod-1/node-101", "DN of the switch"}, {"down", "duration", "0s", ""}, {"quiet", "bool", "false", "fabricNode is not pushed either"}},
			all: func(f *Fabric, v values) error {
				return f.LeafReboot(v.text("node"), v.dur("down"), v.bool("quiet"))
			}},
		{name: "settle-gap", rows: "F25", doc: "the first child soon after its parent is not pushed", params: []param{{"within", "duration", "5s", "0 ends it"}},
			all: func(f *Fabric, v values) error { f.SettleGap(v.dur("within")); return nil }},
		{name: "reboot", rows: "F28", doc: "a controller restarts", params: []param{{"refuse", "duration", "5s", "connections refused"}, {"unavailable", "duration", "5s", "then 503 HTML"}, {"hollow", "duration", "5s", "then logins work, queries do not"}, {"answer", "empty|timeout", "empty", "what queries say in the last phase"}},
			each: func(c *Controller, v values) error {
				p := Reboot{Refuse: v.dur("refuse"), Unavailable: v.dur("unavailable"), Hollow: v.dur("hollow")}
				if v.text("answer") == "timeout" {
					p.Answer = ResolveTimeout
				}
				c.Reboot(p)
				return nil
			}},
		{name: "stale", rows: "F29", doc: "queries answer from what is true now", params: []param{{"for", "duration", "10s", "0 until healed"}},
			each: func(c *Controller, v values) error { c.Stale(v.dur("for")); return nil }},
		{name: "minority", rows: "F30", doc: "cut off from the other controllers: no pushes, no changes", params: []param{on, {"lag", "bool", "false", "pushes are held back instead of lost"}},
			each: func(c *Controller, v values) error { c.Minority(v.bool("on"), v.bool("lag")); return nil }},
		{name: "pause-pushes", rows: "F30", doc: "hold pushes back", params: []param{on},
			each: func(c *Controller, v values) error { c.PausePushes(v.bool("on")); return nil }},
		{name: "burst", rows: "F31", doc: "change objects of a class many times at once", params: []param{{"class", "text!", "fvTenant", ""}, {"n", "int", "10000", ""}},
			all: func(f *Fabric, v values) error { return f.Burst(v.text("class"), min(v.int("n"), 1_000_000)) }},
		{name: "skew", rows: "F33", doc: "the controller's clock is off", params: []param{{"by", "duration", "10m", ""}},
			each: func(c *Controller, v values) error { c.Skew(v.dur("by")); return nil }},
		{name: "unsupported", rows: "F34", doc: "a class is not supported: 400, code 12", params: []param{{"class", "text!", "", ""}, on},
			each: func(c *Controller, v values) error { c.Unsupported(v.text("class"), v.bool("on")); return nil }},
		{name: "idle-drop", rows: "F35", doc: "a middlebox resets new sockets that are idle", params: []param{{"after", "duration", "60s", "0 ends it"}},
			each: func(c *Controller, v values) error { c.IdleDrop(v.dur("after")); return nil }},
		{name: "buffer", rows: "F35", doc: "a middlebox collects bytes before it passes them on", params: []param{{"n", "int", "65536", "bytes; 0 ends it"}},
			each: func(c *Controller, v values) error { c.Buffer(v.int("n")); return nil }},
		{name: "terminate-sessions", rows: "F36", doc: "an administrator deletes session objects", params: []param{{"user", "text", "", "all by default"}},
			all: func(f *Fabric, v values) error { f.TerminateSessions(v.text("user")); return nil }},
		{name: "forbid", rows: "F37", doc: "403 for a class, or at and below a DN", params: []param{{"what", "text!", "", "class or DN"}},
			each: func(c *Controller, v values) error { c.Forbid(v.text("what")); return nil }},
		{name: "hide", rows: "F37", doc: "leave a subtree out of answers and pushes", params: []param{{"dn", "text!", "", ""}},
			each: func(c *Controller, v values) error { c.Hide(v.text("dn")); return nil }},
		{name: "delete", rows: "F31", doc: "delete an object and all below it", params: []param{{"dn", "text!", "", ""}},
			all: func(f *Fabric, v values) error { return f.Delete(v.text("dn")) }},
		{name: "fault", rows: "N11", doc: "a fault takes a step: created (soaking), or a state", params: []param{{"parent", "text!", "", "DN of what is faulty"}, {"code", "text!", "F0467", ""}, {"severity", "critical|major|minor|warning|info", "major", ""}, {"lc", "soaking|soaking-clearing|raised|raised-clearing|retaining|deleted", "soaking", ""}, {"descr", "text", "made by hand", ""}},
			all: func(f *Fabric, v values) error {
				dn := v.text("parent") + "/fault-" + v.text("code")
				switch lc := v.text("lc"); lc {
				case "deleted":
					return f.Delete(dn)
				case "soaking":
					if _, ok := f.Object(dn); !ok {
						_, err := f.CreateFault(v.text("parent"), v.text("code"), v.text("severity"), v.text("descr"))
						return err
					}
					return f.Transition(dn, lc)
				default:
					return f.Transition(dn, lc)
				}
			}},
	}
}
