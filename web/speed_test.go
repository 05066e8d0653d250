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
	call(p, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
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
	before := p.busy()
	live := js[figures](p, measure)
	live.CPU = (p.busy() - before) / 3
	t.Logf("following: %+v", live)
	// While one reads further up.
	p.do(`document.querySelector("#events-grid").scrollTop -= 400`)
	p.until(`acitap.views.events.store.paused`)
	before = p.busy()
	paused := js[figures](p, `(() => { const g = document.querySelector("#events-grid"); let y = 0; globalThis.scrolling = setInterval(() => { g.scrollTop -= (y++ % 40 < 20 ? 60 : -60) }, 16); })() ?? `+measure)
	paused.CPU = (p.busy() - before) / 3
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

// A watch counts the frames that a tab gets.
const watch = `(() => {
	const f = globalThis.frames1 = { list: [], long: 0, began: performance.now() };
	new PerformanceObserver((l) => { f.long += l.getEntries().length }).observe({ type: "longtask" });
	let last = 0;
	const tick = (t) => { if (last) f.list.push(t - last); last = t; requestAnimationFrame(tick) };
	requestAnimationFrame(tick);
})()`

type frames struct {
	Frames, Dropped, Long int
	P50, P99, Max         float64 // milliseconds
}

func (f frames) share() float64 { return float64(f.Dropped) / float64(f.Frames+f.Dropped) }

func watched(p *tab) frames {
	p.t.Helper()
	return js[frames](p, `(() => {
		const list = frames1.list.sort((a, b) => a - b), one = 1000 / 60;
		const q = (x) => list[Math.min(list.length - 1, Math.floor(list.length * x))];
		return { Frames: list.length, Dropped: list.reduce((n, d) => n + Math.max(0, Math.round(d / one) - 1), 0), Long: frames1.long, P50: q(.5), P99: q(.99), Max: list.at(-1) };
	})()`)
}

// busy is how long the thread of a page has worked, which does not depend on
// what else the machine does.
func (p *tab) busy() float64 {
	p.t.Helper()
	for _, m := range call(p, performance.GetMetrics, cdp.Empty{}).Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	p.t.Fatal("the browser has no figure for the time of its tasks")
	return 0
}

// TestSoak is the page under 2,000 events a second for long: with -soak 10m. An
// idle page beside it says what of its lost frames is the machine's doing.
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
	idle := open(t, webtest.New(), 1440, 900, "/signin")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go s.Pour(ctx, 2000)
	heap := func() float64 {
		call(p, heapprofiler.CollectGarbage, cdp.Empty{})
		return js[float64](p, `performance.memory.usedJSHeapSize / 1e6`)
	}
	// Until the rows that are held are of the kind that comes for ever: every
	// endpoint is known, and each event changes one.
	for n := 10_000; n <= 130_000; n += 10_000 { // each as long as one waits
		p.until(fmt.Sprintf(`acitap.views.events.store.length + acitap.views.events.store.trimmed >= %d`, n))
	}
	p.until(`acitap.views.events.store.length === 50000`)
	before := heap()
	call(p, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
	cpu := p.busy()
	first := js[int64](p, `acitap.views.events.store.rows.at(-1).id`)
	p.do(watch)
	idle.do(watch)
	began := time.Now()
	for end := began.Add(*soak); time.Now().Before(end); {
		select {
		case <-t.Context().Done():
			t.Fatal("stopped")
		case <-time.After(min(time.Minute, time.Until(end))):
		}
		t.Logf("%s to go: heap %.1f MB, %d rows, %s", time.Until(end).Round(time.Second), js[float64](p, `performance.memory.usedJSHeapSize / 1e6`), js[int](p, `acitap.views.events.store.length`), js[string](p, `document.querySelector(".live-state").textContent`))
	}
	f, beside := watched(p), watched(idle)
	took := time.Since(began).Seconds()
	cpu = (p.busy() - cpu) / took
	rate := float64(js[int64](p, `acitap.views.events.store.rows.at(-1).id`)-first) / took
	behind := js[float64](p, `Date.now() - acitap.views.events.store.rows.at(-1).t`)
	p.do(`frames1.list = []`)
	after := heap()
	t.Logf("%.0f s at %.0f events/s: %+v, %.1f %% dropped; an idle page beside it: %+v, %.1f %% dropped; the page's thread is busy %.0f %% of the time; %.0f ms behind; heap %.1f MB before, %.1f MB after",
		took, rate, f, 100*f.share(), beside, 100*beside.share(), 100*cpu, behind, before, after)
	if got := js[int](p, `acitap.views.events.store.length`); got != 50_000 {
		t.Errorf("%d rows are held, want 50,000", got)
	}
	if f.P50 > 20 || cpu > 0.5 || behind > 3000 || rate < 1800 {
		t.Error("the page did not keep up")
	}
	// Where even an idle page loses frames, those of this one say nothing.
	if beside.share() < 0.01 && f.share() > 0.02 {
		t.Errorf("%.1f %% of the frames were dropped", 100*f.share())
	}
	if after > before*1.2+5 {
		t.Errorf("the heap grew from %.1f to %.1f MB with the same number of rows", before, after)
	}
}
