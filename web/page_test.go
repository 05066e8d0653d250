package web_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/static"
	"github.com/acitap/acitap/web"
	"golang.org/x/net/html"
)

// hostile are texts that a fabric can send and that must stay texts.
var hostile = []string{
	`<script>window.pwned=1</script>`,
	`"><img src=x onerror="window.pwned=1">`,
	`'-alert(1)-'`,
	`javascript:window.pwned=1`,
	`{{constructor.constructor('window.pwned=1')()}}`,
	"\u202Egpj.exe\u2066\u200B",
	"</title></textarea></style><svg onload=window.pwned=1>",
	`%3Cscript%3E${window.pwned=1}`,
	"line\nbreak\ttab\x00nul",
}

func view(now time.Time) web.View {
	v := web.View{
		Version: "1.2.3", Now: now,
		Fabrics:       []web.Fabric{{Name: "default", State: "connected", Controller: "apic1", ConnectedSince: now.Add(-time.Hour), LastProof: now}},
		Subscriptions: []web.Subscription{{ID: "a1", Class: "fvTenant", Query: "/api/class/fvTenant.json", State: "active", Objects: 1234, Events: 5678901, LastProof: now}},
	}
	v.Entries = []web.Entry{
		{ID: 1, Time: now, Class: "fvTenant", DN: "uni/tn-common", Status: "modified", Origin: "live", Changes: []web.Change{{Name: "descr", Old: "", New: "new"}}},
		{ID: 2, Time: now, Class: "faultInst", DN: "topology/pod-1/node-101/sys/phys-[eth1/1]/fault-F1", Status: "created", Severity: "major", Text: "Port is down"},
		{ID: 3, Time: now, Gap: &web.Gap{Classes: []string{"fvBD"}, From: now.Add(-time.Minute), To: now, Reason: "socket closed", Healed: true}},
	}
	return v
}

func render(t *testing.T, v web.View) string {
	t.Helper()
	var b strings.Builder
	if err := web.Page(v).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func walk(t *testing.T, page string, visit func(*html.Node)) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		visit(n)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// What the page says without any script.
func TestFirstPaint(t *testing.T) {
	page := render(t, view(time.Date(2026, 11, 24, 3, 42, 11, 123e6, time.UTC)))
	var text strings.Builder
	walk(t, page, func(n *html.Node) {
		if n.Type == html.TextNode {
			text.WriteString(n.Data + " ")
		}
	})
	got := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{
		"connected to apic1", "03:42:11.123", "modified", "uni/ tn-common", `descr "" → new`, "major", "Port is down",
		"Gap: fvBD out of sight from 03:41:11.123 to 03:42:11.123: socket closed.", "1,234", "5,678,901", "2026-11-24 03:42:11 UTC",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page does not say %q; it says %s", want, got)
		}
	}
	empty := render(t, web.View{Now: time.Now()})
	if !strings.Contains(empty, "Nothing is subscribed yet") {
		t.Errorf("an empty page does not say what to do next")
	}
}

// The page must work under a policy without inline script and style, whatever
// the fabric calls its objects.
func TestMarkupIsSafe(t *testing.T) {
	now := time.Now()
	for _, h := range hostile {
		v := view(now)
		v.Version, v.Caller = h, h
		v.Fabrics[0] = web.Fabric{Name: h, State: h, Controller: h, Version: h, LastError: h, NextTry: now}
		v.Subscriptions[0] = web.Subscription{ID: h, Class: h, Query: h, State: h, DN: h, Error: h}
		v.Entries = []web.Entry{
			{Time: now, Class: h, DN: "uni/tn-" + h, Status: h, Origin: h, Severity: h, Text: h},
			{Time: now, Class: h, DN: h, Status: "modified", Changes: []web.Change{{Name: h, Old: h, New: h}}},
			{Time: now, Gap: &web.Gap{Classes: []string{h}, Reason: h}},
		}
		walk(t, render(t, v), func(n *html.Node) {
			if n.Type != html.ElementNode {
				return
			}
			if n.Data == "script" && (attr(n, "src") == "" || n.FirstChild != nil) || n.Data == "style" || n.Data == "img" || n.Data == "iframe" {
				t.Errorf("with %q the page has an element that it should not have: %s %v", h, n.Data, n.Attr)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
					t.Errorf("with %q the page has the attribute %s=%q", h, a.Key, a.Val)
				}
				if (a.Key == "href" || a.Key == "src") && !strings.HasPrefix(a.Val, "/") && a.Val != "#main" {
					t.Errorf("with %q the page points to %q", h, a.Val)
				}
				if a.Key == "class" && strings.ContainsAny(a.Val, "<>\"'{%") {
					t.Errorf("with %q a text became a class: %q", h, a.Val)
				}
			}
		})
	}
}

// All that the page loads is embedded, and all scripts are asked for at once.
func TestAssets(t *testing.T) {
	page := render(t, view(time.Now()))
	preloaded := map[string]bool{}
	walk(t, page, func(n *html.Node) {
		for _, name := range []string{attr(n, "src"), attr(n, "href")} {
			name, _, _ = strings.Cut(name, "#")
			if path, ok := strings.CutPrefix(name, "/static/"); ok {
				if _, err := fs.Stat(static.Files(), path); err != nil {
					t.Errorf("the page asks for %s: %v", name, err)
				}
				if attr(n, "rel") == "modulepreload" {
					preloaded[path] = true
				}
			}
		}
	})
	imports := regexp.MustCompile(`(?m)^import (?:[^"]+ from )?"\./([^"]+)"`)
	reached := map[string]bool{}
	var follow func(name string)
	follow = func(name string) {
		if reached[name] {
			return
		}
		reached[name] = true
		b, err := fs.ReadFile(static.Files(), name)
		if err != nil {
			t.Errorf("a script imports %s: %v", name, err)
			return
		}
		for _, m := range imports.FindAllStringSubmatch(string(b), -1) {
			if strings.HasPrefix(m[1], "vendor/") {
				if _, err := fs.Stat(static.Files(), m[1]); err != nil {
					t.Errorf("%s imports %s: %v", name, m[1], err)
				}
				continue
			}
			follow(m[1])
		}
	}
	follow("app.js")
	for name := range reached {
		if !preloaded[name] {
			t.Errorf("%s is imported and not among web's modules", name)
		}
	}
	for name := range preloaded {
		if !reached[name] {
			t.Errorf("%s is among web's modules and nobody imports it", name)
		}
	}
	follow("feed-worker.js")
	follow("boot.js")
	follow("docs.js") // of /docs
	files, err := fs.Glob(static.Files(), "*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if !reached[name] && !strings.HasSuffix(name, ".test.js") {
			t.Errorf("%s is embedded and nobody loads it", name)
		}
	}
}

// Our own scripts and styles reach outside for nothing, and turn no text into markup or code.
func TestScriptsAreSafe(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\("style|https?://|\bdangerously`)
	allowed := []string{"http://www.w3.org/2000/svg", "https?:"}
	err := fs.WalkDir(static.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "vendor/") {
			return err
		}
		b, err := fs.ReadFile(static.Files(), name)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(b), "\n") {
			for _, a := range allowed {
				line = strings.ReplaceAll(line, a, "")
			}
			if m := forbidden.FindString(line); m != "" {
				t.Errorf("%s:%d has %s", name, i+1, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewEntry(t *testing.T) {
	now := apic.Now()
	object := apic.AttrsOf([]apic.Attr{{Name: "severity", Value: "major"}, {Name: "descr", Value: "Port is down"}})
	e := apic.Entry{Event: &apic.Event{
		Time: now, Fabric: "default", Class: "faultInst", DN: "uni/fault-F1", Status: apic.Modified, Origin: apic.Live,
		Attributes: apic.AttrsOf([]apic.Attr{{Name: "lc", Value: "raised"}}), Changes: []apic.Change{{Name: "lc", Old: "soaking", New: "raised"}}, Object: object,
	}}.Seal(7)
	got := web.NewEntry(&e)
	if got.ID != 7 || got.Severity != "major" || got.Text != "Port is down" || !slices.Equal(got.Changes, []web.Change{{Name: "lc", Old: "soaking", New: "raised"}}) {
		t.Errorf("got %+v", got)
	}
	g := apic.Entry{Gap: &apic.Gap{Time: now, Classes: []apic.Class{"fvBD"}, Reason: "why", Healed: true}}.Seal(8)
	if got := web.NewEntry(&g); got.Gap == nil || got.Gap.Reason != "why" || !got.Gap.Healed || got.Class != "" {
		t.Errorf("got %+v", got)
	}
}

// The generated files belong to the templates.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	names := []string{"layout", "page", "signin"}
	for _, name := range names {
		b, err := os.ReadFile(name + ".templ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name+".templ", b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "tool", "templ", "generate", "-path", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range names {
		want, err := os.ReadFile(dir + "/" + name + "_templ.go")
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name + "_templ.go")
		if err != nil {
			t.Fatal(err)
		}
		where := regexp.MustCompile(`FileName: .[^,]+,`)
		if where.ReplaceAllString(string(got), "") != where.ReplaceAllString(string(want), "") {
			t.Errorf("%s_templ.go is not what %[1]s.templ says: run go generate ./web", name)
		}
	}
}
