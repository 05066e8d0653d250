package web_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/web/webtest"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
)

// Two thousand events a second: the frames come on time, the list holds its
// fifty thousand rows and says what it left out.
func TestTwoThousandASecond(t *testing.T) {
	// Not parallel: it measures.
	s := webtest.New()
	s.Subscribe("fvCEp")
	for i := range 30_000 {
		s.Event(time.Now(), apic.Live, apic.Created, "fvCEp", apic.DN(fmt.Sprintf("uni/tn-a/ap-b/epg-c/cep-%05d", i)), "name", "x", "encap", "vlan-1")
	}
	p := open(t, s, 1440, 900, "/")
	p.ready()
	p.until(`document.querySelector(".live-state").textContent.startsWith("Live")`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	poured := make(chan struct{})
	go func() { defer close(poured); s.Pour(ctx, 2000) }()
	p.until(`acitap.views.events.rate > 1000`)
	// CPU time of the page's own thread, which does not depend on what else the
	// machine does.
	call(p, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
	busy := func() float64 {
		for _, m := range call(p, performance.GetMetrics, cdp.Empty{}).Metrics {
			if m.Name == "TaskDuration" {
				return m.Value
			}
		}
		t.Fatal("the browser has no figure for the time of its tasks")
		return 0
	}
	measure := `(async (seconds) => {
		const frames = [], tasks = [];
		const watch = new PerformanceObserver((l) => { for (const e of l.getEntries()) tasks.push(e.duration) });
		watch.observe({ type: "longtask" });
		const from = acitap.views.events.store.rows.at(-1).id, began = performance.now();
		for (let last = await new Promise(requestAnimationFrame); last - began < seconds * 1000;) {
			const t = await new Promise(requestAnimationFrame);
			frames.push(t - last);
			last = t;
		}
		watch.disconnect();
		frames.sort((a, b) => a - b);
		const q = (x) => frames[Math.min(frames.length - 1, Math.floor(frames.length * x))];
		const e = acitap.views.events, newest = e.store.waiting.at(-1) ?? e.store.rows.at(-1);
		return { Frames: frames.length, P50: q(.5), P95: q(.95), P99: q(.99), Max: frames.at(-1), Late: frames.filter((f) => f > 34).length, Long: tasks.length, LongMax: Math.max(0, ...tasks),
			PerSecond: (newest.id - from) / seconds, Rows: e.store.length, Behind: Date.now() - newest.t, HeapMB: performance.memory.usedJSHeapSize / 1e6 };
	})(3)`
	type figures struct {
		Frames, Late, Long, Rows                                    int
		P50, P95, P99, Max, LongMax, PerSecond, Behind, HeapMB, CPU float64
	}
	before := busy()
	live := js[figures](p, measure)
	live.CPU = (busy() - before) / 3
	t.Logf("following: %+v", live)
	// While one reads further up.
	p.do(`document.querySelector("#events-grid").scrollTop -= 400`)
	p.until(`acitap.views.events.store.paused`)
	before = busy()
	paused := js[figures](p, `(() => { const g = document.querySelector("#events-grid"); let y = 0; globalThis.scrolling = setInterval(() => { g.scrollTop -= (y++ % 40 < 20 ? 60 : -60) }, 16); })() ?? `+measure)
	paused.CPU = (busy() - before) / 3
	t.Logf("scrolling: %+v", paused)
	p.do(`clearInterval(scrolling)`)
	stop()
	<-poured
	newest := s.Count()
	p.do(`acitap.views.events.resume()`)
	p.until(fmt.Sprintf(`acitap.views.events.store.rows.at(-1).id - acitap.views.events.store.rows[0].id === acitap.views.events.store.length - 1 && acitap.views.events.store.rows.at(-1).id === %d`, int64(s.Bounds().Newest)))
	// Fifty thousand are held, not more, and it is said that there are others.
	p.do(`acitap.views.events.store.push(Array.from({ length: 60000 }, (_, i) => ({ ...acitap.views.events.store.rows.at(-1), id: acitap.views.events.store.rows.at(-1).id + i + 1 })))`)
	p.do(`acitap.views.events.redraw()`)
	p.until(`acitap.views.events.store.length === 50000 && document.querySelector("#events-pane .foot").textContent.includes("older ones are left out here")`)
	for name, f := range map[string]figures{"following": live, "scrolling": paused} {
		if f.PerSecond < 1500 {
			t.Errorf("%s: got %.0f events a second, want about 2000", name, f.PerSecond)
		}
		// Loose: the machines of tests are slow and shared.
		if f.P50 > 40 {
			t.Errorf("%s: half of the frames took more than %.1f ms", name, f.P50)
		}
		if f.CPU > 0.6 {
			t.Errorf("%s: the page's thread is busy %.0f %% of the time", name, 100*f.CPU)
		}
		if f.Behind > 3000 {
			t.Errorf("%s: the page is %.0f ms behind", name, f.Behind)
		}
	}
	t.Logf("%d entries in the log, %d rows held", newest, js[int](p, `acitap.views.events.store.length`))
}

// Fifty thousand rows are held and scrolled from end to end: the frames come on
// time, none of them shows a hole, and what does not fit is said.
func TestFiftyThousandRows(t *testing.T) {
	// Not parallel: it measures.
	s := webtest.New()
	s.Subscribe("fvCEp")
	begin := time.Now().Add(-40 * time.Minute)
	for i := range 52_000 {
		s.Event(begin.Add(time.Duration(i)*40*time.Millisecond), apic.Live, apic.Created, "fvCEp", apic.DN(fmt.Sprintf("uni/tn-a/ap-b/epg-c/cep-%05d", i)), "name", fmt.Sprint(i), "encap", "vlan-1")
	}
	p := open(t, s, 1440, 900, "/")
	p.ready()
	p.do(`acitap.go({ since: "1h", until: "latest" })`)
	p.until(`acitap.views.events.range?.loading === false`)
	if got := js[int](p, `acitap.views.events.range.length`); got != 50_001 {
		t.Fatalf("%d rows are held, want 50,000 and one that says that there are more", got)
	}
	if got := js[string](p, `acitap.views.events.range.rows.at(-1).text`); !strings.HasPrefix(got, "The range goes on: its first 50,000 entries are shown.") {
		t.Errorf("the last row says %q", got)
	}
	type figures struct {
		Frames, Holes, Seen int
		P50, P95, P99, Max  float64
	}
	f := js[figures](p, `(async () => {
		const g = document.querySelector("#events-grid"), frames = [], seen = new Set();
		let holes = 0;
		const end = g.scrollHeight - g.clientHeight, began = await new Promise(requestAnimationFrame), length = 5000;
		for (let last = began; last - began < length;) {
			const t = await new Promise(requestAnimationFrame);
			frames.push(t - last);
			last = t;
			const look = () => {
				const r = g.getBoundingClientRect();
				for (const y of [.2, .5, .8]) {
					const row = document.elementFromPoint(r.left + 60, r.top + r.height * y)?.closest(".rows > .row");
					if (row?.entry) seen.add(row.entry.id); else holes++;
				}
			};
			// Slowly at first, when there must be rows before the list has heard of
			// the scrolling; then by hundreds of rows a frame, when they must be there
			// once it has.
			const x = Math.min((t - began) / length, 1);
			if (x >= .5) look();
			g.scrollTop = x < .5 ? Math.min((t - began) * .8, g.scrollTop + 150) : end * (x - .5) * 2;
			if (x < .5) look();
		}
		frames.sort((a, b) => a - b);
		const q = (x) => frames[Math.min(frames.length - 1, Math.floor(frames.length * x))];
		return { Frames: frames.length, Holes: holes, Seen: seen.size, P50: q(.5), P95: q(.95), P99: q(.99), Max: frames.at(-1) };
	})()`)
	t.Logf("scrolling: %+v", f)
	if f.P50 > 40 { // loose: the machines of tests are slow and shared
		t.Errorf("half of the frames took more than %.1f ms", f.P50)
	}
	if f.Seen < 60 {
		t.Errorf("only %d rows were seen", f.Seen)
	}
	if f.Holes > 0 {
		t.Errorf("of %d looks %d found no row", 3*f.Frames, f.Holes)
	}
}

// TestSoak is the page under 2,000 events a second for long: with -soak 10m.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Log("with -args -soak 10m this follows 2,000 events a second for ten minutes")
		return
	}
	s := webtest.New()
	s.Subscribe("fvCEp")
	s.Keep(100_000)
	p := open(t, s, 1440, 900, "/")
	p.ready()
	p.until(`document.querySelector(".live-state").textContent.startsWith("Live")`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go s.Pour(ctx, 2000)
	heap := func() float64 {
		call(p, heapprofiler.CollectGarbage, cdp.Empty{})
		return js[float64](p, `performance.memory.usedJSHeapSize / 1e6`)
	}
	for _, rows := range []int{20_000, 40_000, 50_000} { // each as long as one waits
		p.until(fmt.Sprintf(`acitap.views.events.store.length >= %d`, rows))
	}
	before := heap()
	p.do(`(() => {
		const f = globalThis.frames1 = { list: [], tasks: 0, from: acitap.views.events.store.rows.at(-1).id, began: performance.now() };
		new PerformanceObserver((l) => { f.tasks += l.getEntries().length }).observe({ type: "longtask" });
		let last = 0;
		const tick = (t) => { if (last) f.list.push(t - last); last = t; requestAnimationFrame(tick) };
		requestAnimationFrame(tick);
	})()`)
	for end := time.Now().Add(*soak); time.Now().Before(end); {
		select {
		case <-t.Context().Done():
			t.Fatal("stopped")
		case <-time.After(min(time.Minute, time.Until(end))):
		}
		t.Logf("%s to go: heap %.1f MB, %d rows, %s", time.Until(end).Round(time.Second), js[float64](p, `performance.memory.usedJSHeapSize / 1e6`), js[int](p, `acitap.views.events.store.length`), js[string](p, `document.querySelector(".live-state").textContent`))
	}
	type figures struct {
		Frames, Dropped, Late, Long int
		P50, P99, Max               float64
		PerSecond, Behind           float64
	}
	f := js[figures](p, `(() => {
		const { list, tasks, from, began } = frames1, one = 1000 / 60;
		list.sort((a, b) => a - b);
		const q = (x) => list[Math.min(list.length - 1, Math.floor(list.length * x))];
		const newest = acitap.views.events.store.rows.at(-1);
		return { Frames: list.length, Dropped: list.reduce((n, d) => n + Math.max(0, Math.round(d / one) - 1), 0), Late: list.filter((d) => d > 34).length, Long: tasks,
			P50: q(.5), P99: q(.99), Max: list.at(-1), PerSecond: (newest.id - from) / (performance.now() - began) * 1000, Behind: Date.now() - newest.t };
	})()`)
	p.do(`frames1.list = []`)
	after := heap()
	t.Logf("%s: %+v; heap %.1f MB before, %.1f MB after", *soak, f, before, after)
	if got := js[int](p, `acitap.views.events.store.length`); got != 50_000 {
		t.Errorf("%d rows are held, want 50,000", got)
	}
	if f.P50 > 20 || f.P99 > 50 || f.Behind > 3000 || f.PerSecond < 1800 {
		t.Errorf("the page did not keep up: %+v", f)
	}
	if after > before*1.3+10 {
		t.Errorf("the heap grew from %.1f to %.1f MB with the same number of rows", before, after)
	}
}
