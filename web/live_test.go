package web_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/web/webtest"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const visibleText = `document.querySelector("main").innerText`

// story opens the page on an hour of a small fabric.
func story(t *testing.T, path string) (*tab, *webtest.Server) {
	t.Helper()
	s := webtest.New()
	s.Story(time.Now())
	p := open(t, s, 1280, 800, path)
	p.ready()
	return p, s
}

func tenant(s *webtest.Server, name string, attributes ...string) apic.ID {
	return s.Event(time.Now(), apic.Live, apic.Created, "fvTenant", apic.DN("uni/tn-"+name), append([]string{"name", name}, attributes...)...)
}

// Events appear as they happen; scrolling up pauses, nothing moves, what waits
// is counted, and resuming shows it.
func TestFollowPauseResume(t *testing.T) {
	t.Parallel()
	p, s := story(t, "/")
	p.until(`document.querySelector(".live-state").textContent.startsWith("Live")`)
	tenant(s, "fresh-one", "descr", "said by the test")
	p.until(visibleText + `.includes("fresh-one")`)
	s.Event(time.Now(), apic.Live, apic.Modified, "fvTenant", "uni/tn-fresh-one", "descr", "and changed")
	p.until(visibleText + `.includes("said by the test → and changed")`)

	// Scroll up as with a wheel.
	p.do(`{ const g = document.querySelector("#events-grid"); g.scrollTop -= 600 }`)
	p.until(`document.querySelector(".live-state").textContent.startsWith("Paused")`)
	top := `[...document.querySelectorAll("#events-grid .rows > .row:not([hidden])")].map((r) => r.querySelector(".c-time").textContent + Math.round(r.getBoundingClientRect().top)).join()`
	before := js[string](p, top)
	for i := range 40 {
		tenant(s, fmt.Sprintf("waiting-%d", i))
	}
	p.until(`document.querySelector(".resume").textContent.startsWith("40 waiting")`)
	if after := js[string](p, top); after != before {
		t.Errorf("the list moved while paused\nbefore %s\nafter  %s", before, after)
	}
	p.run(chromedp.Click(".resume"))
	p.until(visibleText + `.includes("waiting-39")`)
	p.until(`document.querySelector(".live-state").textContent.startsWith("Live")`)

	// Keys: pause, clear, and a row that comes after it.
	p.key(" ")
	p.until(`document.querySelector(".live-state").textContent.startsWith("Paused")`)
	p.key(" ")
	p.key("c")
	p.until(visibleText + `.includes("Cleared")`)
	tenant(s, "after-clear")
	p.until(visibleText + `.includes("after-clear")`)
}

// History comes in above the live rows as one scrolls up, without a seam: no
// event twice, none missing, none out of order, and the row that is read stays.
func TestHistoryHasNoSeam(t *testing.T) {
	t.Parallel()
	s := webtest.New()
	s.Subscribe("fvTenant")
	begin := time.Now().Add(-50 * time.Hour)
	const n = 5000
	for i := range n {
		s.Event(begin.Add(time.Duration(i)*30*time.Second), apic.Live, apic.Created, "fvTenant", apic.DN(fmt.Sprintf("uni/tn-%d", i)))
	}
	p := open(t, s, 1000, 700, "/")
	p.ready()
	p.until(`acitap.views.events.store.length >= 400`)
	// Each reach back must leave the row at the top of the window where it is.
	moved := js[string](p, `(async () => {
		const e = acitap.views.events, g = document.querySelector("#events-grid");
		const topRow = () => { const y = g.getBoundingClientRect().top + 40; const r = document.elementFromPoint(300, y).closest(".row"); return r.entry.id + "@" + Math.round(r.getBoundingClientRect().top); };
		for (let round = 0; round < 60 && e.store.hasOlder; round++) {
			const held = e.store.length;
			g.scrollTop = 300;
			await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));
			if (e.store.length !== held) continue;
			const before = topRow();
			for (let i = 0; i < 200 && e.store.length === held && e.store.hasOlder; i++) await new Promise((r) => setTimeout(r, 10));
			await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)));
			const after = topRow();
			if (before !== after) return before + " became " + after;
		}
		return "";
	})()`)
	if moved != "" {
		t.Errorf("the list jumped: %s", moved)
	}
	got := js[[]int64](p, `acitap.views.events.store.rows.map((r) => r.id)`)
	if len(got) != n {
		t.Errorf("got %d rows, want %d", len(got), n)
	}
	for i := 1; i < len(got); i++ {
		if got[i] != got[i-1]+1 {
			t.Fatalf("after %d comes %d", got[i-1], got[i])
		}
	}
	p.until(`document.querySelector("#events-pane .foot").textContent.includes("beginning of the log")`)
}

// The filter is the server's; its mistakes are shown where they are, and what
// was shown before stays.
func TestFilter(t *testing.T) {
	t.Parallel()
	p, s := story(t, "/")
	p.key("/")
	p.until(`document.activeElement.classList.contains("filter-input")`)
	p.press(`tenant == "prod" and sevrity == "major"` + kb.Enter)
	p.until(`document.querySelector(".filter-error").innerText.startsWith("Column 22 unknown name sevrity")`)
	if got := js[string](p, `document.querySelector(".t-wrong").textContent`); got != "sevrity" {
		t.Errorf("marked is %q", got)
	}
	if got := js[string](p, `location.search`); got != "" {
		t.Errorf("a wrong filter is in the URL: %s", got)
	}
	p.run(chromedp.Click(".filter-error .fix"))
	p.until(`acitap.state.filter === 'tenant == "prod" and object.severity == "major"'`)
	p.until(`acitap.views.events.store.rows.filter((r) => r.kind === "event").length === 1`)

	// Completion: type, choose, apply.
	p.do(`acitap.go({ filter: "" })`)
	p.until(`acitap.views.events.store.length > 20`)
	p.run(chromedp.Focus(".filter-input"))
	p.press("sta")
	p.until(`document.querySelector(".completion li .what")?.textContent === "status"`)
	p.press(kb.ArrowDown + kb.Enter + kb.ArrowDown + kb.Enter)
	p.press("del")
	p.until(`document.querySelector(".completion li .what")?.textContent === "deleted"`)
	p.press(kb.ArrowDown + kb.Enter + kb.Escape + kb.Enter)
	p.until(`acitap.state.filter === 'status == "deleted"'`)
	p.until(`acitap.views.events.store.length > 0 && acitap.views.events.store.rows.every((r) => r.kind !== "event" || r.st === "deleted")`)
	// Only what matches comes live.
	tenant(s, "unseen")
	s.Event(time.Now(), apic.Live, apic.Deleted, "fvTenant", "uni/tn-unseen")
	p.until(visibleText + `.includes("unseen")`)
	if n := js[int](p, `acitap.views.events.store.rows.filter((r) => r.st === "created").length`); n != 0 {
		t.Errorf("%d rows came that the filter does not let through", n)
	}

	// Words are searched for, and become a filter that one can read.
	p.run(chromedp.SetValue(".filter-input", "drained"), chromedp.Focus(".filter-input"))
	p.press(kb.Enter)
	p.until(`acitap.state.filter.includes("lower(object.descr) contains \"drained\"")`)
	p.until(`acitap.views.events.store.rows.filter((r) => r.kind === "event").length === 1`)

	// By what one sees: in and out.
	p.do(`acitap.go({ filter: "" })`)
	p.until(`acitap.views.events.store.length > 20`)
	p.do(`{ const e = acitap.views.events; e.pause("scroll"); const i = e.store.rows.findIndex((r) => r.cls === "fvBD" && r.st === "modified"); e.table.center(i); e.openId(e.store.rows[i].id) }`)
	p.until(`document.querySelector("#detail .changes")`)
	p.run(chromedp.Click("#detail .crumbs li:nth-child(2) button"))
	p.until(`acitap.state.filter.startsWith("tenant == ")`)
	p.key("-")
	p.until(`document.querySelector("dialog.choose[open]")`)
	p.press("class" + kb.Enter)
	p.until(`acitap.state.filter.includes(' and class != "fvBD"')`)
	p.until(`acitap.views.events.store.rows.every((r) => r.kind !== "event" || r.cls !== "fvBD")`)
}

// A link shows another the same: filter, range and the open event.
func TestLinkHoldsTheView(t *testing.T) {
	t.Parallel()
	p, _ := story(t, "/")
	p.until(`acitap.views.events.store.rows.some((r) => r.kind === "gap")`)
	p.do(`acitap.go({ filter: 'class == "fvCEp"' })`)
	p.until(`acitap.views.events.store.length > 10 && acitap.state.filter !== ""`)
	// Drag over the histogram.
	p.do(`acitap.views.events.openRange(Date.now() - 10 * 60e3, Date.now() - 5 * 60e3)`)
	p.until(`acitap.views.events.range?.loading === false`)
	p.do(`acitap.views.events.openId(acitap.views.events.range.at(3).id)`)
	p.until(`!document.querySelector("#detail").hidden`)
	url := js[string](p, `location.pathname + location.search`)
	want := js[string](p, `acitap.views.events.range.rows.map((r) => r.id).join()`)
	title := js[string](p, `document.querySelector(".detail-time").textContent`)
	p.run(chromedp.Navigate(p.url + url))
	p.ready()
	p.until(`acitap.views.events.range?.loading === false`)
	p.until(`!document.querySelector("#detail").hidden`)
	if got := js[string](p, `acitap.views.events.range.rows.map((r) => r.id).join()`); got != want {
		t.Errorf("another sees other events\ngot  %.200s\nwant %.200s", got, want)
	}
	if got := js[string](p, `document.querySelector(".detail-time").textContent`); got[:20] != title[:20] {
		t.Errorf("another sees the event of %s, not of %s", got, title)
	}
	// In context: what else happened around it, without the filter.
	p.key("x")
	p.until(`acitap.state.filter === "" && acitap.views.events.range?.loading === false && acitap.state.until !== ""`)
	p.key("b")
	p.until(`acitap.views.events.range === null && acitap.views.events.store.length > 0`)
	p.until(`document.querySelector(".live-state").textContent.startsWith("Live")`)
	p.do(`history.back()`)
	p.until(`acitap.views.events.range !== null`)
}

// The histogram: a drag chooses a range, the keys as well, and a gap is drawn.
func TestHistogram(t *testing.T) {
	t.Parallel()
	p, _ := story(t, "/")
	p.do(`acitap.views.events.spanSelect.value = "3600000"; acitap.views.events.spanSelect.dispatchEvent(new Event("change"))`)
	p.until(`document.querySelector(".legend").textContent.includes("gap") && document.querySelector(".legend").textContent.includes("resync")`)
	p.until(`document.querySelector("#histogram").getAttribute("aria-label").includes("1 gap. 2 found by comparing after an outage.")`)
	// What is drawn of the resync is no bar and no hatch: its diamond is of one colour.
	p.until(`(() => {
		const c = document.querySelector(".plot canvas"), ctx = c.getContext("2d"), u = acitap.views.events.chart.plot;
		const x = u.valToPos(acitap.views.events.resyncs[0].t / 1000, "x", true), y = u.bbox.top + 14 * devicePixelRatio;
		return ctx.getImageData(Math.round(x), Math.round(y), 1, 1).data.slice(0, 3).join() === "196,154,214";
	})()`)
	box := js[struct{ Left, Top, Width, Height float64 }](p, `(() => { const r = document.querySelector(".u-over").getBoundingClientRect(); return { Left: r.left, Top: r.top, Width: r.width, Height: r.height } })()`)
	y := box.Top + box.Height/2
	p.run(chromedp.DragAndDropXY(box.Left+box.Width*0.5, y, box.Left+box.Width*0.7, y, 4))
	p.until(`acitap.views.events.range?.loading === false`)
	from, to := js[float64](p, `Date.now() - acitap.views.events.range.from`), js[float64](p, `Date.now() - acitap.views.events.range.to`)
	if from < 28*60e3 || from > 32*60e3 || to < 16*60e3 || to > 20*60e3 {
		t.Errorf("chosen were %.0f to %.0f minutes ago, want 30 to 18", from/60e3, to/60e3)
	}
	p.until(`document.querySelector(".legend").textContent.includes("gap")`)
	p.key("b")
	p.until(`acitap.views.events.range === null`)
	p.key("h")
	p.until(`document.activeElement.id === "histogram"`)
	p.press(kb.ArrowLeft + kb.ArrowLeft)
	p.until(`document.querySelector(".hover-text").textContent !== ""`)
	p.press(kb.Enter)
	p.until(`acitap.views.events.range?.loading === false`)
}

// The panel: changes, the object at that moment, its history, JSON.
func TestDetail(t *testing.T) {
	t.Parallel()
	p, s := story(t, "/")
	p.until(`acitap.views.events.store.length > 20`)
	s.Event(time.Now(), apic.Live, apic.Modified, "fvAEPg", "uni/tn-prod/ap-shop/epg-app", "prio", "level2", "descr", "one")
	id := s.Event(time.Now(), apic.Live, apic.Modified, "fvAEPg", "uni/tn-prod/ap-shop/epg-app", "descr", "two")
	s.Event(time.Now(), apic.Live, apic.Modified, "fvAEPg", "uni/tn-prod/ap-shop/epg-app", "descr", "three")
	p.until(fmt.Sprintf(`acitap.views.events.store.indexOf(%d) >= 0`, id))
	p.do(fmt.Sprintf(`acitap.views.events.openId(%d)`, id))
	text := `document.querySelector("#detail").innerText`
	p.until(text + `.includes("one") && ` + text + `.includes("two")`)
	p.key("2")
	p.until(`document.querySelector("#detail tr.changed")?.innerText.includes("two")`)
	if !js[bool](p, text+`.includes("level2")`) {
		t.Errorf("the whole object at that moment lacks what it had from before")
	}
	p.run(chromedp.Click("#detail .segmented button:last-child"))
	p.until(`document.querySelector("#detail tr.changed")?.innerText.includes("three")`)
	p.key("3")
	p.until(`document.querySelectorAll("#detail .history li").length === 4`)
	p.key("4")
	p.until(`document.querySelector("#detail pre.json")`)
	var event struct{ ID int64 }
	if err := json.Unmarshal([]byte(js[string](p, `document.querySelector("#detail pre.json").textContent`)), &event); err != nil || event.ID != int64(id) {
		t.Errorf("the JSON is of event %d, %v; want %d", event.ID, err, id)
	}
	p.key("1")
	p.press(kb.Escape)
	p.until(`document.querySelector("#detail").hidden && document.querySelector(".live-state").textContent.startsWith("Live")`)
}

// A lost connection is said, in the strip and as a row, and nothing is missing
// after it; so are gaps and the state of the session.
func TestConnectionIsTold(t *testing.T) {
	t.Parallel()
	p, s := story(t, "/")
	p.until(`document.querySelector(".live-state").textContent.startsWith("Live")`)
	mend := s.Cut()
	p.until(`document.querySelector(".live-state").textContent.startsWith("Not connected")`)
	for i := range 3 {
		tenant(s, fmt.Sprintf("meanwhile-%d", i))
	}
	mend()
	p.until(`document.querySelector(".live-state").textContent.startsWith("Live")`)
	p.until(visibleText + `.includes("The connection to acitap was lost")`)
	p.until(visibleText + `.includes("The connection to acitap is back after")`)
	// Both stand on the histogram, in words too.
	p.until(`document.querySelector(".legend").textContent.includes("page not connected")`)
	p.until(`document.querySelector("#histogram").getAttribute("aria-label").includes("acitap did not answer this page.")`)
	if lost := js[[]float64](p, `acitap.views.events.breaks.filter((b) => b.kind === "lost").map((b) => b.to - b.from)`); len(lost) != 1 || lost[0] <= 0 || lost[0] > 10_000 {
		t.Errorf("the losses of the connection took %v ms, want one of a moment", lost)
	}
	p.until(visibleText + `.includes("meanwhile-0") && ` + visibleText + `.includes("meanwhile-2")`)
	ids := js[[]int64](p, `acitap.views.events.store.rows.filter((r) => r.kind !== "note").map((r) => r.id)`)
	for i := 1; i < len(ids); i++ {
		if ids[i] != ids[i-1]+1 {
			t.Fatalf("after %d comes %d", ids[i-1], ids[i])
		}
	}
	s.Session(func(x *apic.Session) {
		x.State, x.LastError, x.NextTry = apic.Backoff, "dial apic1: no route to host", time.Now().Add(9*time.Second)
	})
	p.until(visibleText + `.includes("is lost: dial apic1: no route to host")`)
	p.until(`document.querySelector("#fabric-chip").innerText.includes("not connected")`)
	p.until(`document.querySelector(".legend").textContent.includes("no session")`)
	s.Gap(time.Now(), time.Now().Add(-42*time.Second), "no route to host", true, "fvTenant")
	p.until(visibleText + `.includes("(42 s): no route to host. Out of sight: fvTenant.")`)
	p.key("gc")
	p.until(`document.querySelector("#session").innerText.includes("The next try to connect is in")`)
	p.until(`document.querySelectorAll(".gap-list li").length === 2`)
}

// The view of the session: which controller is in use and which are not, how
// often was renewed, and what comes next.
func TestSessionView(t *testing.T) {
	t.Parallel()
	p, s := story(t, "/?view=session")
	text := `document.querySelector("#session").innerText`
	p.until(`[...document.querySelectorAll(".controllers li")].map((l) => l.innerText.replace(/\s+/g, " ")).join() === "apic1 in use,apic2 not in use,apic3 not in use"`)
	p.until(text + `.includes("Renewals of the token\n35") && ` + text + `.includes("Refreshes of subscriptions\n4,312")`)
	p.until(text + `.includes("The token is renewed in about ") && ` + text + `.includes("The session ends in 21 h")`)
	p.until(text + `.includes("socket closed by apic1 (1006)")`)
	s.Session(func(x *apic.Session) {
		x.State, x.Controller, x.LastError, x.NextTry = apic.Backoff, "apic2", "dial apic2: no route to host", time.Now().Add(9*time.Second)
	})
	p.until(text + `.includes("The next try to connect is in")`)
	p.until(`document.querySelectorAll(".controllers li")[1].innerText.includes("is tried")`)
	if js[bool](p, text+`.includes("The token is renewed")`) {
		t.Error("without a session it says when the token is renewed")
	}
	// Who comes while it is down sees it too.
	p.run(chromedp.Navigate(p.url + "/"))
	p.ready()
	p.until(`document.querySelector(".legend").textContent.includes("no session")`)
}

func TestObjects(t *testing.T) {
	t.Parallel()
	p, s := story(t, "/")
	p.key("go")
	p.until(`acitap.views.objects.rows.length === 7`)
	if got := js[string](p, `acitap.views.objects.rows.map((o) => o.attributes.severity).join()`); got != "critical,major,major,minor,warning,warning,cleared" {
		t.Errorf("sorted by severity they are %s", got)
	}
	p.run(chromedp.Click(`.fault-board tbody tr:nth-child(2) td:nth-child(3) button`)) // major, raised
	p.until(`acitap.state.filter === 'object.severity == "major" and object.lc == "raised"' && acitap.views.objects.rows.length === 1`)
	p.do(`acitap.go({ filter: "" })`)
	p.until(`acitap.views.objects.rows.length === 7`)
	// It keeps up with what happens.
	s.Event(time.Now(), apic.Live, apic.Deleted, "faultInst", "uni/tn-voice/ap-shop/epg-db/fault-F0467")
	p.until(`acitap.views.objects.rows.length === 6`)
	p.run(chromedp.Click(`#view-objects .head .cell:nth-child(3) button`)) // by code
	p.until(`acitap.state.sort === "code"`)
	p.run(chromedp.Click(`#view-objects .rows .row:first-child`))
	p.until(`document.querySelector("#view-objects .detail .attrs")`)
	p.until(`location.search.includes("object=")`)
	p.do(`acitap.views.objects.go("vzBrCP")`)
	p.until(visibleText + `.includes("vzBrCP is not subscribed")`)
	p.run(chromedp.Click(`#view-objects .empty button`))
	p.until(visibleText + `.includes("There is no vzBrCP now")`)
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	s := webtest.New()
	p := open(t, s, 1280, 800, "/")
	p.ready()
	p.until(visibleText + `.includes("Nothing is subscribed yet")`)
	p.key("gs")
	p.until(`document.querySelector("#subscriptions-form .pick")`)
	p.run(chromedp.SendKeys(`#subscriptions-form input[name=class]`, "who changed"))
	p.until(`document.querySelectorAll(".pick").length === 1`)
	p.run(chromedp.Click(".pick"))
	p.until(`document.querySelector("#subscriptions-list").innerText.includes("aaaModLR")`)
	p.do(`document.querySelector(".segmented [data-id=query]").click()`)
	p.run(chromedp.SendKeys(`#subscriptions-form input[name=query]`, "https://apic1/api/mo/uni/tn-prod.json?query-target=subtree&target-subtree-class=fvAEPg,fvBD&page=0"+kb.Enter))
	p.until(`document.querySelector("#subscriptions-list").innerText.includes("/api/mo/uni/tn-prod.json")`)
	p.do(`document.querySelector(".segmented [data-id=dn]").click()`)
	p.run(chromedp.SendKeys(`#subscriptions-form input[name=dn]`, "uni/tn-stage"), chromedp.SendKeys(`#subscriptions-form input[name=class]`, "Tenant"+kb.Enter))
	p.until(`document.querySelector("#subscriptions-list").innerText.includes("uni/tn-stage")`)
	// What was typed stays while others add subscriptions.
	p.do(`{ const i = document.querySelector("#subscriptions-form input[name=dn]"); i.value = "uni/tn-half"; document.activeElement.blur() }`)
	s.Subscribe("fvCtx")
	p.do(`acitap.refreshSubscriptions()`)
	if got := js[string](p, `document.querySelector("#subscriptions-form input[name=dn]").value`); got != "uni/tn-half" {
		t.Errorf("after a refresh the field has %q", got)
	}
	// A refusal is said where one is.
	p.do(`document.querySelector(".segmented [data-id=class]").click()`)
	p.run(chromedp.SendKeys(`#subscriptions-form input[name=class]`, "eqptIngrTotal5min"+kb.Enter))
	p.until(`document.querySelector(".form-message").textContent.includes("statistics class")`)
	// What somebody has marked, to copy it, stays while the list is refreshed.
	p.do(`getSelection().selectAllChildren(document.querySelector("#subscriptions-list .query"))`)
	p.do(`acitap.refreshSubscriptions()`)
	if got := js[string](p, `String(getSelection())`); !strings.HasPrefix(got, "/api/") {
		t.Errorf("after a refresh %q is marked", got)
	}
	p.do(`getSelection().removeAllRanges()`)
	p.do(`document.querySelector("#subscriptions-list [data-remove]").click()`)
	p.until(`document.querySelector("dialog.confirm[open]")`)
	p.press(kb.Enter)
	p.until(`!document.querySelector("#subscriptions-list").innerText.includes("aaaModLR")`)
}

// What stays in this browser, and what leaves it.
func TestKeep(t *testing.T) {
	t.Parallel()
	p, _ := story(t, `/?filter=status+%3D%3D+"deleted"`)
	p.until(`acitap.views.events.store.length > 0`)
	p.key("s")
	p.until(`document.querySelector("dialog.choose[open]")`)
	p.press("my deletions" + kb.Enter)
	p.until(`JSON.parse(localStorage.acitap).saved[0].name === "my deletions"`)
	p.key("v")
	p.until(`document.querySelector(".menu")`)
	p.do(`[...document.querySelectorAll(".menu button")].find((b) => b.textContent.includes("Tenant")).click()`)
	p.press(kb.Escape)
	p.key("u")
	p.until(`document.querySelector("#toggle-zone").textContent === "Local"`)
	p.run(chromedp.Navigate(p.url + "/"))
	p.ready()
	p.until(`[...document.querySelectorAll("#events-grid [role=columnheader]")].map((c) => c.textContent).join() === "Time local,Status,Class,Tenant,Object,What changed"`)
	p.key("p")
	p.do(`[...document.querySelectorAll(".menu button")].find((b) => b.textContent.includes("my deletions")).click()`)
	p.until(`acitap.state.filter === 'status == "deleted"'`)

	// Export: what is filtered, and nothing else.
	p.until(`acitap.views.events.loadedKey.includes("deleted") && !acitap.views.events.reaching`)
	p.do(`{ globalThis.saved = []; URL.createObjectURL = (b) => { saved.push(b); return "blob:none" }; HTMLAnchorElement.prototype.click = () => {}; }`)
	for i, format := range []string{"JSON", "NDJSON", "CSV"} {
		p.key("e")
		p.until(`document.querySelector(".menu")`)
		p.do(fmt.Sprintf(`[...document.querySelectorAll(".menu button")].find((b) => b.textContent.startsWith(%q)).click()`, format))
		p.until(fmt.Sprintf(`saved.length === %d`, i+1))
	}
	// More of history may have come in meanwhile.
	n := js[int](p, `saved[0].text().then((t) => { const first = JSON.parse(t).events[0].id; return acitap.views.events.store.rows.filter((r) => r.id >= first).length })`)
	var all struct{ Events []struct{ Status string } }
	if err := json.Unmarshal([]byte(js[string](p, `saved[0].text()`)), &all); err != nil || len(all.Events) != n || all.Events[0].Status != "deleted" {
		t.Errorf("exported as JSON are %d events, %v; want %d", len(all.Events), err, n)
	}
	if lines := strings.Count(js[string](p, `saved[1].text()`), "\n"); lines != n {
		t.Errorf("exported as NDJSON are %d lines, want %d", lines, n)
	}
	csv := js[string](p, `saved[2].text()`)
	if !strings.HasPrefix(csv, "id,time,kind,") || strings.Count(csv, "\r\n") != n+1 {
		t.Errorf("exported as CSV is %.80q, %d lines; want %d", csv, strings.Count(csv, "\r\n"), n+1)
	}
	if requests := p.s.Requests(); !strings.Contains(strings.Join(requests, "\n"), "limit=10000") {
		t.Errorf("an export should read history: %q", requests)
	}
}

// Columns have the widths and the order that one gives them, by hand and with
// the keys, and this browser keeps both.
func TestColumns(t *testing.T) {
	t.Parallel()
	p, _ := story(t, "/")
	p.until(`acitap.views.events.store.length > 20`)
	heads := `[...document.querySelectorAll("#events-grid [role=columnheader]")].map((c) => c.textContent).join()`
	edge := func(n int) (x, y float64) {
		t.Helper()
		r := js[[]float64](p, fmt.Sprintf(`(() => { const r = document.querySelector("#events-grid .head .cell:nth-child(%d)").getBoundingClientRect(); return [r.left, r.right, r.top + r.height / 2] })()`, n))
		return r[1] - 3, r[2]
	}
	width := func(n int) string {
		return fmt.Sprintf(`Math.round(document.querySelector("#events-grid .head .cell:nth-child(%d)").getBoundingClientRect().width)`, n)
	}
	before := js[int](p, width(3))
	x, y := edge(3)
	p.run(chromedp.DragAndDropXY(x, y, x+60, y, 4))
	p.until(fmt.Sprintf(`%s === %d`, width(3), before+60))
	if row := js[int](p, `Math.round(document.querySelector("#events-grid .rows .row:not([hidden]) .cell:nth-child(3)").getBoundingClientRect().width)`); row != before+60 {
		t.Errorf("the heading is %d pixels wide, its cells %d", before+60, row)
	}
	// Class to the front.
	x, y = edge(3)
	p.run(chromedp.DragAndDropXY(x-40, y, 20, y, 4))
	p.until(heads + `.startsWith("Class,Time")`)
	p.until(`document.querySelector("#events-grid .rows .row.k-event .cell:first-child").classList.contains("c-class")`)
	// The same with the keys: back, and narrower.
	p.key("v")
	p.until(`document.querySelector(".menu [role=menuitemcheckbox]").textContent.includes("Class")`)
	alt := func(key string) {
		p.do(fmt.Sprintf(`document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: %q, altKey: true, bubbles: true, cancelable: true }))`, key))
	}
	alt("ArrowDown")
	p.until(heads + `.startsWith("Time UTC,Class,Status")`)
	p.until(`document.activeElement.textContent.includes("Class")`)
	alt("ArrowLeft")
	p.until(fmt.Sprintf(`%s === %d`, width(2), before+44))
	p.until(`document.querySelector("#announce").textContent.startsWith("Class is ")`)
	// One that is added stands at its usual place among them.
	p.do(`[...document.querySelectorAll(".menu button")].find((b) => b.textContent.includes("Tenant")).click()`)
	p.press(kb.Escape)
	p.run(chromedp.Navigate(p.url + "/"))
	p.ready()
	p.until(heads + ` === "Time UTC,Class,Status,Tenant,Object,What changed"`)
	p.until(fmt.Sprintf(`%s === %d`, width(2), before+44))
	p.do(`document.querySelector("#events-grid .head .cell:nth-child(2) .grip").dispatchEvent(new MouseEvent("dblclick", { bubbles: true }))`)
	p.until(fmt.Sprintf(`%s === %d`, width(2), before))
	p.key("v")
	p.do(`[...document.querySelectorAll(".menu button")].find((b) => b.textContent.includes("The usual ones")).click()`)
	p.until(heads + ` === "Time UTC,Status,Class,Object,What changed"`)
}

func TestFind(t *testing.T) {
	t.Parallel()
	p, _ := story(t, "/")
	p.until(`acitap.views.events.store.length > 100`)
	p.key("f")
	p.until(`document.activeElement.classList.contains("find-input")`)
	p.press("chg0048213" + kb.Enter)
	p.until(`document.querySelector(".rows mark")?.textContent === "CHG0048213"`)
	p.until(`document.querySelector(".findbar .hint").textContent.startsWith("1 of")`)
	// Esc stands over what was typed a moment before.
	p.do(`{ const i = document.querySelector(".find-input"); i.value = "chg00"; i.dispatchEvent(new Event("input")); i.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true })) }`)
	p.until(`!document.querySelector(".rows mark")`)
	if js[bool](p, `new Promise((done) => setTimeout(() => done(acitap.state.find !== "" || Boolean(document.querySelector(".rows mark"))), 400))`) {
		t.Error("the rows are searched after Esc")
	}
	p.key("?")
	p.until(`document.querySelector("dialog.help[open]")`)
	p.press(kb.Escape)
	p.do(`dispatchEvent(new KeyboardEvent("keydown", { key: "k", ctrlKey: true, bubbles: true }))`)
	p.until(`document.querySelector("dialog.choose[open]")`)
	p.press("serious" + kb.Enter)
	p.until(`acitap.state.filter.includes("critical")`)
}

// Everything that a fabric says is a text, in every view.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	s := webtest.New()
	s.Subscribe("fvTenant")
	s.Subscribe("faultInst")
	for i, h := range hostile {
		dn := apic.DN("uni/tn-" + strings.ReplaceAll(h, "/", "|"))
		s.Event(time.Now(), apic.Live, apic.Created, "fvTenant", dn, "name", h, "descr", h, h, h)
		s.Event(time.Now(), apic.Live, apic.Modified, "fvTenant", dn, "descr", h+h, h, "new "+h)
		s.Event(time.Now(), apic.Live, apic.Created, "faultInst", dn+"/fault-F1", "severity", h, "lc", h, "descr", h, "code", h, "cause", h)
		s.Gap(time.Now(), time.Now().Add(-time.Second), h, i%2 == 0, apic.Class("fvTenant"))
	}
	s.Session(func(x *apic.Session) {
		x.LastError, x.Controller, x.User, x.Version = hostile[0], hostile[1], hostile[2], hostile[3]
	})
	p := open(t, s, 1440, 900, "/")
	p.ready()
	p.until(`acitap.views.events.store.length === ` + fmt.Sprint(4*len(hostile)))
	safe := func(where string) {
		t.Helper()
		if js[bool](p, `"pwned" in window`) {
			t.Fatalf("in %s a text was run", where)
		}
		if bad := js[string](p, `[...document.querySelectorAll("main script, main img, main iframe, main [onerror], main [onload], main a[href^='javascript']")].map((e) => e.outerHTML).join()`); bad != "" {
			t.Fatalf("in %s a text became markup: %s", where, bad)
		}
		if bad := js[string](p, `(/[\u202a-\u202e\u2066-\u2069\u200b]/.exec(document.querySelector("main").textContent) ?? [""])[0]`); bad != "" {
			t.Errorf("in %s a text can turn what stands around it: %q", where, bad)
		}
	}
	safe("the list")
	for i := 0; i < 4*len(hostile); i++ {
		p.do(fmt.Sprintf(`acitap.views.events.open(acitap.views.events.store.at(%d))`, i))
		for _, tab := range []string{"change", "object", "history", "json"} {
			p.do(fmt.Sprintf(`acitap.views.events.detail.choose(%q)`, tab))
			if i < 3 {
				p.until(`!document.querySelector("#detail .detail-body").innerText.includes("Reading")`)
			}
			safe("the panel, " + tab)
		}
	}
	p.do(`acitap.views.events.closeDetail()`)
	// A filter by such a value is a filter that the server understands.
	p.do(`acitap.views.events.filterBy(acitap.views.events.condition("dn", acitap.views.events.store.at(0)))`)
	p.until(`acitap.views.events.store.rows.filter((r) => r.kind === "event").length === 2`)
	p.do(`acitap.go({ filter: "" })`)
	for _, v := range []string{"objects&of=fvTenant", "objects&of=faultInst", "subscriptions", "session"} {
		p.do(fmt.Sprintf(`acitap.visit("/?view=%s")`, v))
		p.until(`document.querySelector("main").innerText.length > 100`)
		safe(v)
	}
}

// The accessibility of each view, as axe-core judges it.
func TestAccessible(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("testdata/axe-core-4.14.1/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	p, s := hooked(t, "/")
	s.As("noc-wall", "operator")
	r := newReceiver(t)
	r.say(503, "come back later")
	failing := p.hook(map[string]any{"name": "snow", "url": r.URL, "class": "fvTenant", "since": "earliest", "headers": map[string]string{"X-A": "b"}})
	p.hook(map[string]any{"name": "off", "url": r.URL, "enabled": false})
	p.run(chromedp.Navigate(p.url + "/"))
	p.ready()
	p.until(`acitap.views.events.store.length > 20`)
	p.do(string(axe) + ";0")
	check := func(where string) {
		t.Helper()
		for theme, only := range map[string]string{"dark": "", "light": `runOnly: ["color-contrast"]`} {
			p.media("prefers-color-scheme", theme)
			found := js[[]struct {
				ID, Impact, Help string
				Nodes            []struct{ HTML, FailureSummary string }
			}](p, `axe.run(document, { resultTypes: ["violations"], `+only+` }).then((r) => r.violations.map((v) => ({ ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 3).map((n) => ({ HTML: n.html.slice(0, 200), FailureSummary: n.failureSummary })) })))`)
			for _, v := range found {
				report := t.Logf
				if v.Impact == "serious" || v.Impact == "critical" {
					report = t.Errorf
				}
				report("%s, %s: %s: %s (%s) %+v", where, theme, v.Impact, v.Help, v.ID, v.Nodes)
			}
		}
	}
	check("events")
	p.do(`{ const e = acitap.views.events; const i = e.store.rows.findIndex((r) => r.chg?.length > 1); e.openId(e.store.rows[i].id) }`)
	p.until(`document.querySelector("#detail .changes")`)
	check("detail")
	p.do(`{ acitap.views.events.closeDetail(); acitap.run("commands") }`)
	check("palette")
	p.do(`{ document.querySelector("dialog").close(); acitap.views.events.presets() }`)
	check("menu")
	p.do(`{ document.querySelector(".menu").dismiss(); acitap.views.events.bar.input.focus(); acitap.views.events.bar.suggest() }`)
	check("completion")
	p.do(`acitap.visit("/?view=objects&of=faultInst")`)
	p.until(`acitap.views.objects.rows.length > 3`)
	check("objects")
	p.do(`acitap.visit("/?view=subscriptions")`)
	p.until(`document.querySelector("#subscriptions-list tbody tr")`)
	p.do(`document.querySelector("#subscriptions-form .primary")?.click()`)
	check("subscriptions")
	p.do(`acitap.visit("/?view=webhooks")`)
	p.until(`document.querySelectorAll(".hooks tbody tr").length === 2 && document.querySelector(".state.failing")`)
	check("webhooks")
	p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s")`, failing))
	p.until(`document.querySelector(".log .answer details")`)
	p.do(`document.querySelector(".log .answer details").open = true; [...document.querySelectorAll(".hook-actions button")].find((b) => b.textContent === "Test").click()`)
	p.until(`document.querySelector(".menu button")`)
	p.press(kb.Enter)
	p.until(`document.querySelector(".came")`)
	check("a webhook")
	p.do(`[...document.querySelectorAll(".hook-actions button")].find((b) => b.textContent === "Move its place").click()`)
	check("moving its place")
	p.do(`document.querySelector("dialog").close()`)
	p.do(fmt.Sprintf(`acitap.visit("/?view=webhooks&hook=%s&edit=1")`, failing))
	p.until(`document.querySelector(".preview-body")?.textContent.length > 50`)
	check("the form")
	p.set("url", "nowhere")
	p.until(`document.querySelector(".hook-edit.stale")`)
	check("the form with a mistake")
	p.do(`acitap.visit("/?view=session")`)
	p.until(`document.querySelector(".gap-list")`)
	check("session")
}

// Without a token that holds, the page leads to the sign-in, and that to where
// one was.
func TestSignIn(t *testing.T) {
	t.Parallel()
	p, s := story(t, "/")
	s.Fail(401)
	// It leads away from the page that runs it, so the answer must not wait for it.
	p.do(`void setTimeout(() => acitap.go({ filter: 'tenant == "prod"' }))`)
	p.until(`location.pathname === "/signin"`)
	p.until(`document.querySelector("input[type=password]")?.checkVisibility() && document.activeElement.id === "token"`)
	if got := js[string](p, `document.querySelector("input[name=next]").value`); !strings.HasPrefix(got, "/?filter=") {
		t.Errorf("the form leads to %q", got)
	}
	p.run(chromedp.Navigate(p.url + "/signin?mistake=This+token+is+not+known"))
	p.until(`document.querySelector("[role=alert]").checkVisibility()`)
	if *shots != "" {
		p.shot(*shots, "1280-dark-signin")
	}
}
