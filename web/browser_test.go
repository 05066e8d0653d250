package web_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acitap/acitap/web/webtest"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var (
	serve = flag.String("serve", "", "serve the page with the stand-in on this `address` until the test is stopped, to look at it")
	soak  = flag.Duration("soak", 0, "follow 2,000 events a second for this `time`, and measure")
	shots = flag.String("shots", "", "write pictures of every view into this `directory`")
)

// browser starts one Chromium for all tests of the package.
var browser = sync.OnceValues(func() (context.Context, error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("the tests of the page need a browser, and none is installed: apt-get install chromium")
	}
	dir, err := os.MkdirTemp("", "acitap-browser-")
	if err != nil {
		return nil, err
	}
	opts := append([]chromedp.ExecAllocatorOption{}, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.ExecPath(path), chromedp.UserDataDir(dir),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", false),
		chromedp.WSURLReadTimeout(60*time.Second))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(allocator)
	ended = func() { cancel(); stop(); _ = os.RemoveAll(dir) }
	return ctx, chromedp.Do(ctx)
})

var ended = func() {}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	ended()
	os.Exit(code)
}

// A tab is the page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string
	s   *webtest.Server

	mu       sync.Mutex
	mistakes []string // what the console and the policy complained about
}

// open starts a tab of its own session. What the page writes to its console as an error
// fails the test.
func open(t *testing.T, s *webtest.Server, width, height int, path string) *tab {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p := &tab{t: t, url: server.URL, s: s}
	main, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(main, chromedp.WithNewBrowserContext())
	ctx, stop := context.WithTimeout(ctx, 90*time.Second+2**soak)
	t.Cleanup(func() { stop(); cancel() })
	p.ctx = ctx
	err = chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			text := ev.ExceptionDetails.Text
			if ev.ExceptionDetails.Exception != nil {
				text += " " + ev.ExceptionDetails.Exception.Description
			}
			p.wrong(text)
		case *runtime.EventConsoleAPICalled:
			if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
				var b strings.Builder
				for _, a := range ev.Args {
					fmt.Fprintf(&b, "%s%s ", a.Value, a.Description)
				}
				p.wrong(b.String())
			}
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.EntryLevelError && ev.Entry.Source != log.EntrySourceNetwork {
				p.wrong(fmt.Sprint(ev.Entry.Source, ": ", ev.Entry.Text))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(p, log.Enable, cdp.Empty{})
	call(p, runtime.Enable, cdp.Empty{})
	p.media("prefers-color-scheme", "dark")
	p.run(chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Navigate(server.URL+path))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, m := range p.mistakes {
			t.Errorf("the page complains: %s", m)
		}
	})
	return p
}

func (p *tab) wrong(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mistakes = append(p.mistakes, text)
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

func call[P, R any](p *tab, c cdp.Command[P, R], params P) R {
	p.t.Helper()
	r, err := chromedp.Call(p.ctx, c, params)
	if err != nil {
		p.t.Fatalf("%s: %v", c.Method, err)
	}
	return r
}

// media says what a media query of the page finds.
func (p *tab) media(feature, value string) {
	p.t.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// js evaluates an expression, and waits for what it promises.
func js[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (p *tab) do(expression string) { p.t.Helper(); js[chromedp.Void](p, expression) }

// until waits until an expression is true.
func (p *tab) until(expression string) {
	p.t.Helper()
	for end := time.Now().Add(15 * time.Second); ; {
		is, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && is {
			return
		}
		if p.ctx.Err() != nil || time.Now().After(end) {
			state, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.replace(/\s+/g, " ").slice(0, 700)`))
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("waited in vain for %s: %v\nthe page: %s\nit complains: %q", expression, err, state, p.mistakes)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

// ready waits for the page's own sign.
func (p *tab) ready() { p.t.Helper(); p.until(`document.documentElement.classList.contains("ready")`) }

// key presses one key after the other, as a shortcut: what the page does with
// the press decides whether a character comes of it, as it is with a keyboard.
func (p *tab) key(keys string) {
	p.t.Helper()
	for _, k := range keys {
		call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: string(k), Text: string(k)})
		call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: string(k)})
	}
}

// enter presses Enter once, where [tab.press] would send its character even when
// the page has taken the press: a form would be sent by it.
func (p *tab) enter() {
	p.t.Helper()
	call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, Text: "\r"})
	call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13})
}

// press types.
func (p *tab) press(keys string) { p.t.Helper(); p.run(chromedp.KeyEvent(keys)) }

func (p *tab) shot(dir, name string) {
	p.t.Helper()
	b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), b, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// TestServe is no test: with -serve it serves the page to look at.
func TestServe(t *testing.T) {
	if *serve == "" {
		t.Log("with -args -serve 127.0.0.1:9000 this serves the page with the stand-in")
		return
	}
	s := webtest.New()
	s.Story(time.Now())
	if err := s.Webhooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	go s.Pour(t.Context(), 5)
	l, err := net.Listen("tcp", *serve)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("http://%s/", l.Addr())
	t.Fatal(http.Serve(l, s)) //nolint:gosec // for looking at the page
}

// TestShots is no test either: with -shots it takes pictures of every view.
func TestShots(t *testing.T) {
	if *shots == "" {
		t.Log("with -args -shots DIR this takes pictures of every view")
		return
	}
	s := webtest.New()
	s.Story(time.Now())
	if err := s.Webhooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	go s.Pour(t.Context(), 3)
	good, bad := newReceiver(t), newReceiver(t)
	good.say(200, `{"status":"ok","accepted":1}`)
	bad.say(503, "<html><body><h1>503 Service Unavailable</h1>Maintenance until 14:00, see the status page.</body></html>")
	failing := ""
	for _, size := range []struct{ w, h int }{{1440, 900}, {1024, 768}, {390, 844}} {
		p := open(t, s, size.w, size.h, "/")
		p.ready()
		if failing == "" {
			p.hook(map[string]any{"name": "NOC channel", "url": good.URL + "/services/T024BE7LD/B0153QZ/x", "format": "slack", "class": "faultInst", "filter": `object.severity in ["critical", "major"]`, "since": "1h"})
			failing = p.hook(map[string]any{"name": "ServiceNow", "url": bad.URL + "/api/global/em/jsonv2", "preset": "servicenow", "class": []string{"faultInst", "fvTenant"}, "headers": map[string]string{"Authorization": "Basic x"}, "since": "1h"})
			p.hook(map[string]any{"name": "Config archive", "url": good.URL + "/archive", "class": []string{"fvAEPg", "fvBD", "aaaModLR"}, "tenant": "prod", "batch": 100, "include": "object", "since": "1h"})
			p.hook(map[string]any{"name": "Old collector", "url": good.URL + "/v1/events", "enabled": false, "since": "1h"})
		}
		p.until(`document.querySelectorAll(".rows > .row:not([hidden])").length > 8`)
		for _, theme := range []string{"dark", "light"} {
			name := func(what string) string { return fmt.Sprintf("%d-%s-%s", size.w, theme, what) }
			p.media("prefers-color-scheme", theme)
			visit := func(url, wait string) {
				p.do(fmt.Sprintf("acitap.visit(%q)", url))
				if wait != "" {
					p.until(wait)
				}
				p.do(`new Promise((done) => setTimeout(done, 400))`)
			}
			visit("/", `acitap.views.events.store.length > 20`)
			p.do(`acitap.views.events.redraw()`)
			p.do(`new Promise((done) => setTimeout(done, 1200))`)
			p.shot(*shots, name("events"))
			p.do(`{ const e = acitap.views.events; const i = e.store.rows.findIndex((r) => r.cls === "fvAEPg" && r.chg?.length > 1 && r.org === "live"); e.pause("select"); e.table.select(i); e.open(e.store.rows[i]); e.table.center(i) }`)
			p.until(`!document.querySelector("#detail").hidden`)
			p.do(`new Promise((done) => setTimeout(done, 300))`)
			p.shot(*shots, name("detail"))
			p.do(`acitap.views.events.detail.choose("history")`)
			p.until(`document.querySelector("#detail .history")`)
			p.shot(*shots, name("history"))
			p.do(`acitap.views.events.detail.choose("object")`)
			p.until(`document.querySelector("#detail .changed")`)
			p.shot(*shots, name("moment"))
			p.do(`acitap.views.events.detail.choose("change")`)
			p.do(`acitap.views.events.closeDetail()`)
			visit("/", "")
			p.do(`acitap.views.events.spanSelect.value = "3600000"; acitap.views.events.spanSelect.dispatchEvent(new Event("change"))`)
			p.until(`acitap.views.events.store.rows.some((r) => r.kind === "gap")`)
			p.do(`{ const e = acitap.views.events; const i = e.store.rows.findIndex((r) => r.kind === "gap"); e.pause("scroll"); e.table.center(i); }`)
			p.do(`new Promise((done) => setTimeout(done, 300))`)
			p.shot(*shots, name("gap"))
			p.do(`acitap.views.events.resume()`)
			if size.w == 1440 {
				mend := s.Cut()
				p.until(`document.querySelector(".live-state").textContent.startsWith("Not connected")`)
				p.do(`new Promise((done) => setTimeout(done, 1000))`)
				p.shot(*shots, name("lost"))
				mend()
				p.until(visibleText + `.includes("is back after")`)
				p.do(`new Promise((done) => setTimeout(done, 1000))`)
				p.shot(*shots, name("back"))
			}
			p.do(`{ const b = acitap.views.events.bar; b.input.value = 'tenant == "prod" and object.sev'; b.input.focus(); b.input.setSelectionRange(99, 99); b.input.dispatchEvent(new Event("input")); }`)
			p.shot(*shots, name("completion"))
			p.do(`{ const b = acitap.views.events.bar; b.input.value = 'tenant == "prod" and sevrity == "major"'; b.submit(); }`)
			p.until(`!document.querySelector(".filter-error").hidden`)
			p.shot(*shots, name("error"))
			p.do(`{ const b = acitap.views.events.bar; b.set(""); b.input.blur() }`)
			visit(`/?view=objects&of=faultInst`, `acitap.views.objects.rows.length > 3`)
			p.shot(*shots, name("objects"))
			visit(`/?view=objects&of=fabricNode&object=topology/pod-1/node-103`, `acitap.views.objects.rows.length > 3`)
			p.shot(*shots, name("object"))
			visit(`/?view=subscriptions`, "")
			p.shot(*shots, name("subscriptions"))
			p.do(`document.querySelector("#subscriptions-form .primary[aria-expanded=false]")?.click()`)
			p.shot(*shots, name("subscribe"))
			visit(`/?view=webhooks`, `document.querySelectorAll(".hooks tbody tr").length === 4`)
			p.shot(*shots, name("webhooks"))
			visit(`/?view=webhooks&hook=`+failing, `document.querySelector(".log .outcome")`)
			p.do(`document.querySelector(".log details").open = true`)
			p.shot(*shots, name("webhook"))
			visit(`/?view=webhooks&hook=`+failing+`&edit=1`, `document.querySelector(".preview-body")?.textContent.length > 50`)
			p.shot(*shots, name("webhook-edit"))
			p.do(`document.querySelector("fieldset:nth-of-type(3)").scrollIntoView()`)
			p.shot(*shots, name("webhook-form"))
			visit(`/?view=webhooks&hook=new`, `document.querySelectorAll(".hook-form [name=preset] option").length > 5`)
			p.do(`{ const f = acitap.views.webhooks.form; f.preset.value = "slack"; f.preset.dispatchEvent(new Event("change", { bubbles: true })); f.bar.set('object.severity in ["critical", "major"]') }`)
			p.set("name", "NOC channel")
			p.set("url", "https://hooks.slack.com/services/T024BE7LD/B0153QZ/x")
			p.set("class", "faultInst")
			p.until(`document.querySelector(".preview-body").textContent.includes("blocks") && document.querySelector(".preview-body").textContent.includes("faultInst")`)
			p.do(`document.activeElement.blur()`)
			p.shot(*shots, name("webhook-new"))
			p.do(`acitap.views.webhooks.escape()`)
			visit(`/?view=session`, `document.querySelector(".gap-list")`)
			p.shot(*shots, name("session"))
			visit("/", "")
			p.do(`acitap.run("commands")`)
			p.shot(*shots, name("palette"))
			p.do(`{ document.querySelector("dialog").close(); acitap.run("help") }`)
			p.shot(*shots, name("help"))
			p.do(`document.querySelector("dialog").close()`)
			if size.w == 1440 {
				p.do(`{ const e = acitap.views.events; e.openRange(Date.now() - 30*60e3, Date.now() - 15*60e3) }`)
				p.until(`acitap.views.events.range && !acitap.views.events.range.loading`)
				p.do(`new Promise((done) => setTimeout(done, 300))`)
				p.shot(*shots, name("range"))
			}
		}
	}
}
