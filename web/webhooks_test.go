package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/web/webtest"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A receiver takes what webhooks send, and answers as it is told to.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex // guards all below
	status int
	answer string
	got    []string // bodies
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK, answer: "thank you"}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, string(b))
		w.WriteHeader(r.status)
		fmt.Fprint(w, r.answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) say(status int, answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.answer = status, answer
}

func (r *receiver) bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.got...)
}

// hooked opens the page on an hour of a small fabric, with webhooks.
func hooked(t *testing.T, path string) (*tab, *webtest.Server) {
	t.Helper()
	s := webtest.New()
	s.Story(time.Now())
	if err := s.Webhooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := open(t, s, 1280, 900, path)
	p.ready()
	return p, s
}

// hook makes a webhook by the API and returns its id.
func (p *tab) hook(definition map[string]any) string {
	p.t.Helper()
	b, err := json.Marshal(definition)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.Post(p.url+"/webhooks", "application/json", strings.NewReader(string(b)))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var v struct{ ID, Detail string }
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil || v.ID == "" {
		p.t.Fatalf("the webhook was not made: %v %s", err, v.Detail)
	}
	return v.ID
}

const (
	hookText   = `document.querySelector("#view-webhooks").innerText`
	previewed  = `document.querySelector(".preview-body").textContent`
	fieldError = `document.querySelector("#hook-error-%s").textContent`
)

// set types into a field of the form, as somebody would.
func (p *tab) set(field, text string) {
	p.t.Helper()
	p.do(fmt.Sprintf(`{ const i = document.querySelector(".hook-form [name=%s]"); i.value = %q; i.dispatchEvent(new Event("input", { bubbles: true })) }`, field, text))
}

// From nothing to a webhook that delivers: the form shows what would be sent
// before anything is saved, the secret is told once, and the log what came back.
func TestWebhookIsMade(t *testing.T) {
	t.Parallel()
	p, s := hooked(t, "/")
	r := newReceiver(t)
	p.key("gw")
	p.until(hookText + `.includes("None yet")`)
	p.key("a")
	p.until(`document.activeElement.name === "name"`)
	// Esc leads out and loses nothing; Cancel does.
	p.set("name", "a draft")
	p.do(`document.activeElement.blur()`)
	p.press(kb.Escape)
	p.until(hookText + `.includes("None yet")`)
	p.key("a")
	p.until(`document.querySelector(".hook-form [name=name]")?.value === "a draft"`)
	p.do(`[...document.querySelectorAll(".hook-form button")].find((b) => b.textContent === "Cancel").click()`)
	p.until(hookText + `.includes("None yet")`)
	p.key("a")
	p.until(`document.activeElement.name === "name" && document.activeElement.value === ""`)
	if got := js[string](p, `location.search`); got != "?view=webhooks&hook=new" {
		t.Errorf("the URL is %s", got)
	}
	p.press("noc")
	p.set("class", "faultInst")
	p.until(previewed + `.includes('"class": "faultInst"')`)
	// The filter is that of the events: completion, and mistakes at their place.
	p.run(chromedp.Focus("#view-webhooks .filter-input"))
	p.press("object.seve")
	p.until(`document.querySelector("#view-webhooks .completion li .what")?.textContent === "severity"`)
	p.press(kb.ArrowDown)
	p.enter()
	p.press(`== "criticl" an`)
	p.press(kb.Escape)
	p.enter()
	p.until(`!document.querySelector("#view-webhooks .filter-error").hidden`)
	p.until(`document.querySelector(".hook-edit").classList.contains("stale")`)
	p.do(`{ const b = acitap.views.webhooks.form.bar; b.input.value = 'object.severity == "critical"'; b.submit() }`)
	p.until(previewed + `.includes('"severity": "critical"')`)
	p.until(hookText + `.includes("What would be sent of an event that matches.")`)
	p.set("format", "slack")
	p.until(previewed + `.includes('"blocks"')`)
	p.set("url", "http://user:pw@example.com/")
	p.until(fmt.Sprintf(fieldError, "url") + `.includes("holds credentials")`)
	p.set("url", r.URL+"/hook?key=s3cret")
	p.until(fmt.Sprintf(fieldError, "url") + ` === ""`)
	p.until(`document.querySelector(".request-line").textContent.includes("key=***")`)
	p.set("format", "event")
	p.do(`document.querySelector(".header-rows").parentNode.querySelector("p button").click()`)
	p.press("X-Key")
	p.do(`{ const i = document.querySelector(".header-row input:nth-child(2)"); i.value = "v4lue" }`)
	p.run(chromedp.Click(`.hook-form button[type=submit]`))
	p.until(`document.querySelector("dialog.secret[open] code")?.textContent.startsWith("whsec_")`)
	p.press(kb.Escape)
	p.until(`!document.querySelector("dialog") && document.querySelector(".hook-actions button")`)
	if page := js[string](p, `document.documentElement.outerHTML`); strings.Contains(page, "whsec_") || strings.Contains(page, "v4lue") || strings.Contains(page, "s3cret") {
		t.Error("the page still holds a secret")
	}

	s.Event(time.Now(), apic.Live, apic.Created, "faultInst", "uni/tn-prod/fault-F1", "severity", "critical", "lc", "raised")
	s.Event(time.Now(), apic.Live, apic.Created, "faultInst", "uni/tn-prod/fault-F2", "severity", "minor", "lc", "raised")
	p.until(`document.querySelectorAll(".log tbody tr").length === 1`)
	p.until(`document.querySelector(".log .outcome.ok").textContent.startsWith("200")`)
	p.until(`document.querySelector(".log .answer").innerText.includes("thank you")`)
	if got := r.bodies(); len(got) != 1 || !strings.Contains(got[0], "fault-F1") {
		t.Errorf("the receiver got %q", got)
	}
	// The list says the same, in short.
	p.press(kb.Escape)
	p.until(`document.querySelector(".hooks tbody tr")?.innerText.includes("noc")`)
	p.until(`document.querySelector(".hooks .state").textContent === "active" && document.querySelector(".hooks td.num").textContent === "1"`)
	p.do(`dispatchEvent(new KeyboardEvent("keydown", { key: "k", ctrlKey: true, bubbles: true }))`)
	p.until(`document.querySelector("dialog.choose[open]")`)
	p.press("webhook noc" + kb.Enter)
	p.until(`acitap.state.hook !== "" && document.querySelector(".hook-actions button")`)
}

// A receiver that fails is told with why; a test, sending one again, moving the
// place, and switching off and on are there to set things right.
func TestWebhookIsMended(t *testing.T) {
	t.Parallel()
	p, s := hooked(t, "/")
	r := newReceiver(t)
	r.say(503, "come back later")
	id := p.hook(map[string]any{"name": "snow", "url": r.URL + "/in", "class": "fvTenant"})
	event := tenant(s, "waits")
	p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s")`, id))
	p.until(`document.querySelector(".hook-state .state")?.textContent === "failing"`)
	p.until(`document.querySelector(".hook-state .error-text").textContent.includes("503")`)
	p.until(`document.querySelector(".log .outcome.bad").textContent.startsWith("503")`)
	p.until(hookText + `.includes("Next try")`)
	press := func(name string) {
		t.Helper()
		p.do(fmt.Sprintf(`[...document.querySelectorAll(".hook-actions button")].find((b) => b.textContent === %q).click()`, name))
	}
	press("Test")
	p.until(`document.querySelector(".menu button")`)
	p.press(kb.Enter)
	p.until(`document.querySelector(".came")?.innerText.includes("The test was not taken.")`)
	p.until(`document.querySelector(".came").innerText.includes("come back later")`)

	press("Disable")
	p.until(`document.querySelector(".hook-state .state").textContent === "disabled" && ` + hookText + `.includes("Enable")`)
	r.say(200, "")
	press("Enable")
	p.until(`document.querySelector(".hook-state .state").textContent === "active"`)
	p.until(fmt.Sprintf(`[...document.querySelectorAll(".log tbody tr")].some((r) => r.querySelector(".outcome.ok") && r.innerText.includes("%d"))`, event))

	before := len(r.bodies())
	p.do(fmt.Sprintf(`document.querySelector('.log button[title="Send event %d again"]').click()`, event))
	p.until(fmt.Sprintf(`document.querySelector(".came")?.innerText.includes("Event %d was taken.")`, event))
	if got := r.bodies(); len(got) != before+1 || !strings.Contains(got[before], "uni/tn-waits") {
		t.Errorf("sent again was %q", got[before:])
	}
	p.until(`document.querySelector(".log tbody tr").innerText.includes("sent again")`)

	press("Move its place")
	p.until(`document.activeElement.id === "rewind-place"`)
	p.press("yesterday" + kb.Enter)
	p.until(`!document.querySelector("#rewind-error").hidden`)
	p.do(`document.querySelector("#rewind-place").select()`)
	p.press("earliest" + kb.Enter)
	p.until(`!document.querySelector("dialog")`)
	p.until(`document.querySelectorAll(".log tbody tr").length > 8`) // the six tenants of the snapshot once more

	press("New secret")
	p.until(`document.querySelector("dialog.confirm[open]")`)
	p.press(kb.Enter)
	p.until(`document.querySelector("dialog.secret[open] code")?.textContent.startsWith("whsec_")`)
	p.press(kb.Escape)

	press("Edit")
	p.until(`document.querySelector(".hook-form")`)
	if got := js[string](p, `location.search`); !strings.HasSuffix(got, "&edit=1") {
		t.Errorf("the URL is %s", got)
	}
	p.set("name", "snow two")
	p.set("batch", "many")
	p.until(fmt.Sprintf(fieldError, "batch") + `.includes("whole number")`)
	p.set("batch", "5")
	p.until(hookText + `.includes("One request with the newest 5 events that match.")`)
	// What was typed is kept while one looks elsewhere.
	p.key("")
	p.do(`acitap.go({ view: "events" })`)
	p.until(`document.documentElement.dataset.view === "events"`)
	p.do(`history.back()`)
	p.until(`document.querySelector(".hook-form [name=name]")?.value === "snow two"`)
	p.run(chromedp.Click(`.hook-form button[type=submit]`))
	p.until(`document.querySelector(".hook-head h2").textContent === "snow two"`)
	p.until(hookText + `.includes("up to 5 events in a request")`)

	press("Delete")
	p.until(`document.querySelector("dialog.confirm[open]")`)
	p.press(kb.Enter)
	p.until(hookText + `.includes("None yet")`)
	p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s")`, id))
	p.until(hookText + `.includes("There is no such webhook")`)
}

// A change keeps what the form does not show: values of headers, the token in
// the URL, other selectors.
func TestWebhookEditKeeps(t *testing.T) {
	t.Parallel()
	p, s := hooked(t, "/")
	r := newReceiver(t)
	id := p.hook(map[string]any{"name": "x", "url": r.URL + "/in?key=k3y", "class": "fvTenant", "tenant": "kept", "headers": map[string]string{"X-A": "one", "X-B": "two"}})
	p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s&edit=1")`, id))
	p.until(`document.querySelectorAll(".header-row").length === 2`)
	p.until(`document.querySelector("#view-webhooks .chip")?.textContent === "tenant kept"`)
	p.do(`document.querySelector(".header-row:first-child button").click()`)
	p.set("format", "template")
	p.until(fmt.Sprintf(fieldError, "template") + `.includes("is needed")`)
	p.set("template", `{"was": {{json .dn}}`)
	p.until(fmt.Sprintf(fieldError, "template") + `.includes("JSON")`)
	p.set("template", `{"was": {{json .dn}}}`)
	p.until(previewed + `.includes('"was":')`)
	p.run(chromedp.Click(`.hook-form button[type=submit]`))
	p.until(`document.querySelector(".hook-actions button")`)
	var v struct {
		Tenant  []string
		Headers map[string]string
	}
	if err := json.Unmarshal([]byte(js[string](p, fmt.Sprintf(`fetch("/webhooks/%s").then((r) => r.text())`, id))), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Tenant) != 1 || v.Tenant[0] != "kept" || len(v.Headers) != 1 || v.Headers["X-B"] != "***" {
		t.Errorf("after the change it is %+v", v)
	}
	tenant(s, "kept")
	p.until(`document.querySelector(".log .outcome.ok")`)
	if got := r.bodies(); len(got) != 1 || got[0] != `{"was": "uni/tn-kept"}` {
		t.Errorf("the receiver got %q", got)
	}
}

// A preset fills in what a known system needs.
func TestWebhookPreset(t *testing.T) {
	t.Parallel()
	p, _ := hooked(t, "/?view=webhooks&hook=new")
	p.until(`document.querySelectorAll(".hook-form [name=preset] option").length > 5`)
	p.do(`{ const s = document.querySelector(".hook-form [name=preset]"); s.value = "pagerduty"; s.dispatchEvent(new Event("change", { bubbles: true })) }`)
	p.until(`document.querySelector(".hook-form [name=template]").value.includes("routing_key")`)
	if got := js[string](p, `document.querySelector(".header-row input").value`); got != "X-Routing-Key" {
		t.Errorf("the header is %q", got)
	}
	p.until(previewed + `.includes('"routing_key": "***"')`)
}

// A reader sees webhooks and changes none.
func TestWebhookReader(t *testing.T) {
	t.Parallel()
	s := webtest.New()
	s.Story(time.Now())
	if err := s.Webhooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.As("noc-wall", "reader")
	p := open(t, s, 1280, 800, "/?view=webhooks")
	p.ready()
	r := newReceiver(t)
	id := p.hook(map[string]any{"name": "seen", "url": r.URL, "class": "fvTenant"})
	tenant(s, "seen")
	p.until(hookText + `.includes("it needs the role operator")`)
	p.until(`document.querySelector(".hooks tbody tr")`)
	p.key("a")
	p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s")`, id))
	p.until(`document.querySelector(".log .outcome")`)
	if n := js[int](p, `document.querySelectorAll("#view-webhooks button:not(summary)").length`); n != 0 {
		t.Errorf("a reader has %d buttons: %s", n, js[string](p, hookText))
	}
	p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s&edit=1")`, id))
	p.until(`acitap.state.edit === "" && !document.querySelector(".hook-form")`)
	// Who is signed in is said, and the way out is there.
	if got := js[string](p, `document.querySelector(".caller").innerText.replace(/\s+/g, " ").trim()`); !strings.HasPrefix(got, "noc-wall reader") {
		t.Errorf("the page says of the caller %q", got)
	}
	p.run(chromedp.Click(".caller button"))
	p.until(`location.pathname === "/signin"`)
}

// Names, URLs and answers of webhooks are texts, whatever they hold.
func TestWebhookHostile(t *testing.T) {
	t.Parallel()
	p, s := hooked(t, "/?view=webhooks")
	r := newReceiver(t)
	for _, h := range hostile {
		clean := strings.Map(func(c rune) rune {
			if c < ' ' {
				return -1
			}
			return c
		}, h)
		r.say(500, h+"\n"+h)
		id := p.hook(map[string]any{"name": clean, "url": r.URL + "/?" + "x=%3Cscript%3E", "class": "fvTenant", "filter": fmt.Sprintf("dn != %q", clean), "headers": map[string]string{"X-A": "b"}})
		tenant(s, strings.ReplaceAll(clean, "/", "|"), "descr", h)
		safe := func(where string) {
			t.Helper()
			if js[bool](p, `"pwned" in window`) {
				t.Fatalf("in %s a text was run", where)
			}
			if bad := js[string](p, `[...document.querySelectorAll("#view-webhooks script, #view-webhooks img, #view-webhooks iframe, #view-webhooks svg:not(.icon), #view-webhooks [onerror], #view-webhooks a[href^='javascript'], dialog img, dialog script")].map((e) => e.outerHTML).join()`); bad != "" {
				t.Fatalf("in %s a text became markup: %s", where, bad)
			}
			if bad := js[string](p, `(/[\u202a-\u202e\u2066-\u2069\u200b]/.exec(document.querySelector("#view-webhooks").textContent) ?? [""])[0]`); bad != "" {
				t.Errorf("in %s a text can turn what stands around it: %q", where, bad)
			}
		}
		p.do(`acitap.visit("/?view=webhooks")`)
		p.until(`document.querySelector(".hooks tbody tr")`)
		safe("the list")
		p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s")`, id))
		p.until(`document.querySelector(".log .answer details")`)
		p.do(`document.querySelector(".log .answer details").open = true; [...document.querySelectorAll(".hook-actions button")].find((b) => b.textContent === "Test").click()`)
		p.until(`document.querySelector(".menu button")`)
		safe("the menu")
		p.press(kb.Enter)
		p.until(`document.querySelector(".came")`)
		safe("one webhook")
		p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s&edit=1")`, id))
		p.until(`document.querySelector(".preview-body")?.textContent.length > 50`)
		safe("the form")
		p.do(fmt.Sprintf(`fetch("/webhooks/%s", { method: "DELETE" })`, id))
	}
}

// The log of deliveries goes back as far as it reaches, and has no hole when
// many come at once.
func TestWebhookLog(t *testing.T) {
	t.Parallel()
	p, s := hooked(t, "/")
	r := newReceiver(t)
	id := p.hook(map[string]any{"name": "busy", "url": r.URL, "class": "fvTenant", "since": "latest"})
	some := func(from, to int) {
		for i := from; i < to; i++ {
			tenant(s, fmt.Sprintf("many-%d", i))
		}
	}
	some(0, 120)
	p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s")`, id))
	rows := `document.querySelectorAll(".log tbody tr").length`
	p.until(`document.querySelector(".facts")?.innerText.includes("120")`)
	p.until(rows + ` === 50`)
	older := `[...document.querySelectorAll(".deliveries button")].find((b) => b.textContent === "Older ones")`
	p.do(older + `.click()`)
	p.until(rows + ` === 100`)
	some(120, 123)
	p.until(`acitap.views.webhooks.deliveries[0].seq === 123 && ` + rows + ` === 100`)
	seqs := js[[]int](p, `acitap.views.webhooks.deliveries.map((d) => d.seq)`)
	for i := 1; i < len(seqs); i++ {
		if seqs[i] != seqs[i-1]-1 {
			t.Fatalf("after %d comes %d", seqs[i-1], seqs[i])
		}
	}
	some(123, 323)
	p.until(`acitap.views.webhooks.current.delivered === 323`)
	p.until(`acitap.views.webhooks.deliveries[0].seq === 323`)
	for range 10 {
		if !js[bool](p, `Boolean(`+older+`)`) {
			break
		}
		n := js[int](p, rows)
		p.do(older + `.click()`)
		p.until(fmt.Sprintf(`%s > %d`, rows, n))
	}
	seqs = js[[]int](p, `acitap.views.webhooks.deliveries.map((d) => d.seq)`)
	if len(seqs) != 323 {
		t.Errorf("the log shows %d attempts of 323", len(seqs))
	}
}

// A view scrolls by itself: the page around it stays, and no table pushes its
// buttons out of sight of a laptop.
func TestOnlyTheViewScrolls(t *testing.T) {
	t.Parallel()
	s := webtest.New()
	s.Story(time.Now())
	if err := s.Webhooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := open(t, s, 1024, 600, "/")
	p.ready()
	r := newReceiver(t)
	r.say(http.StatusServiceUnavailable, "<html>"+strings.Repeat("Maintenance until 14:00. ", 20)+"</html>")
	id := p.hook(map[string]any{"name": "ServiceNow", "url": r.URL + "/api/global/em/jsonv2", "class": "faultInst", "since": "earliest", "headers": map[string]string{"Authorization": "x"}})
	for _, path := range []string{"/?view=objects", "/?view=subscriptions", "/?view=session", "/?view=webhooks", "/?view=webhooks&hook=" + id + "&edit=1", "/?view=webhooks&hook=" + id} {
		p.do(fmt.Sprintf(`acitap.visit(%q)`, path))
		if strings.HasSuffix(path, id) {
			p.until(`document.querySelectorAll(".plain.log tbody tr").length > 1`)
			p.until(`[document.querySelector(".scroll-x:has(.log)")].every((l) => l.scrollWidth <= l.clientWidth)`)
		}
		p.until(`document.scrollingElement.scrollHeight <= innerHeight && document.scrollingElement.scrollWidth <= innerWidth`)
	}
}
