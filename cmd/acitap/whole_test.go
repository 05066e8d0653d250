package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
)

// A whole is all of acitap, from the simulated controllers to a reader of the
// stream, on a network in memory and with its log on a real disk.
type whole struct {
	t       *testing.T
	network *apicsim.Network
	fabric  *apicsim.Fabric
	dir     string
	synced  int    // of the write-ahead log, when acitap had started
	stop    func() // as SIGTERM does
	client  *http.Client
}

// serveController serves a fabric's first controller over TCP until the test
// ends, and returns its address.
func serveController(tb testing.TB, fabric *apicsim.Fabric) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	controller := &http.Server{Handler: fabric.Controller(0)}
	go controller.Serve(fabric.Controller(0).Listener(l))
	tb.Cleanup(func() { controller.Close() })
	return l.Addr().String()
}

func newWhole(t *testing.T, seed uint64) *whole {
	w := &whole{t: t, network: apicsim.NewNetwork(), dir: t.TempDir()}
	w.fabric = apicsim.New(apicsim.Options{Seed: seed, Controllers: 2, Housekeeping: true, AnyClass: true})
	for i := range 2 {
		l, err := w.network.Listen(fmt.Sprintf("apic%d:80", i))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: w.fabric.Controller(i)}
		go server.Serve(w.fabric.Controller(i).Listener(l))
		t.Cleanup(func() { server.Close() })
	}
	t.Cleanup(w.fabric.Close)
	w.client = &http.Client{Transport: &http.Transport{DialContext: w.network.DialContext, DisableKeepAlives: true}}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *whole) start() {
	listener, err := w.network.Listen("acitap:80")
	if err != nil {
		w.t.Fatal(err)
	}
	s := &settings{DataDir: w.dir, Retention: 1000 * time.Hour, RetentionBytes: 1 << 30, MaxStreams: 10}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("ACITAP_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	o := apic.Options{
		Fabric: "default", User: "admin", Password: "cisco123", Dial: w.network.DialContext,
		Controllers: []*url.URL{{Scheme: "http", Host: "apic0"}, {Scheme: "http", Host: "apic1"}},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { ended <- s.runOn(ctx, log, o, listener, func(string) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		w.t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(w.dir, "eventlog.db-wal"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.synced = int(info.Size())
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	}
}

// crash puts the log back to what stood on the disk a moment before acitap
// stopped, and starts on that: nothing that a clean end writes is there. Of the
// write-ahead log so many bytes at its end did not reach the disk, as after a
// crash of the machine; what had been shown by then is told again.
func (w *whole) crash(disconnect func(), torn int) {
	disconnect() // nobody may have seen what the crash takes back
	synctest.Wait()
	image := w.t.TempDir()
	for _, name := range []string{"eventlog.db", "eventlog.db-wal"} {
		b, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil && !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
		// What was carried into the database had been synced before: from the
		// size on at which that begins, nothing can be cut off.
		if strings.HasSuffix(name, "-wal") && len(b) < 15<<20 {
			b = b[:max(len(b)-torn, w.synced)]
		}
		if err := os.WriteFile(filepath.Join(image, name), b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	w.stop()
	w.dir = image
	w.start()
}

func (w *whole) post(path string) {
	w.t.Helper()
	resp, err := w.client.Post("http://acitap"+path, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		w.t.Fatalf("POST %s: %s %s", path, resp.Status, b)
	}
}

// A reader follows the stream as a careful client does: it folds what it gets
// and goes on from the last id when the connection ends. Told that what it was
// shown does not stand, it asks what is true now.
type reader struct {
	t      *testing.T
	client *http.Client
	base   string
	last   string // guarded by mu, for place
	fold   map[string]map[string]string
	events int
	gaps   int
	lost   int           // of the gaps, those that are not on the timeline
	asOf   int64         // the fold has all up to it
	hangUp chan struct{} // ends the connection under way

	mu sync.Mutex
}

// place returns the last id that came.
func (r *reader) place() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, _ := strconv.ParseInt(r.last, 10, 64)
	return n
}

type streamed struct {
	ID         int64
	Kind       string
	DN         string
	Status     string
	Attributes map[string]string
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		once, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-r.hangUp:
				cancel()
			case <-once.Done():
			}
		}()
		r.connect(once)
		cancel()
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (r *reader) connect(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/events/stream", nil)
	if err != nil {
		r.t.Error(err)
		return
	}
	if r.last != "" {
		req.Header.Set("Last-Event-ID", r.last)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return // not there just now
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	kind, id := "", ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "":
			kind, id = "", ""
		case strings.HasPrefix(line, "event: "):
			kind = line[7:]
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "data: "):
			r.take(kind, id, []byte(line[6:]))
		}
	}
}

func (r *reader) advance(id string, back bool) {
	if id == "" {
		return
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		r.t.Errorf("id %q", id)
		return
	}
	if last, _ := strconv.ParseInt(r.last, 10, 64); n < last && !back {
		r.t.Errorf("id %d comes after %d", n, last)
	}
	r.mu.Lock()
	r.last = id
	r.mu.Unlock()
}

func (r *reader) take(kind, id string, data []byte) {
	var e struct {
		streamed
		Reason string
	}
	if err := json.Unmarshal(data, &e); err != nil {
		r.t.Errorf("%s: %v", data, err)
		return
	}
	lost := kind == "gap" && (e.Reason == "unknown-id" || e.Reason == "retention")
	r.advance(id, lost)
	switch {
	case lost:
		r.lost++
		r.reload()
		return
	case kind == "gap":
		r.gaps++
		return
	case kind == "status" || e.ID <= r.asOf:
		return
	}
	r.events++
	switch e.Status {
	case "deleted":
		delete(r.fold, e.DN)
		return
	case "created":
		r.fold[e.DN] = map[string]string{}
	}
	if r.fold[e.DN] == nil {
		r.t.Errorf("modified before it was created: %s", data)
		return
	}
	for n, v := range e.Attributes {
		if n != "status" && n != "childAction" && n != "rn" {
			r.fold[e.DN][n] = v
		}
	}
}

// reload makes the fold what acitap says is true now.
func (r *reader) reload() {
	r.fold = map[string]map[string]string{}
	for _, class := range []string{"fvTenant", "fvBD", "fvAEPg"} {
		for next := "/objects/" + class; next != ""; {
			resp, err := r.client.Get(r.base + next)
			if err != nil {
				r.t.Errorf("objects after a loss: %v", err)
				return
			}
			var page struct {
				Objects []struct {
					DN          string
					Attributes  map[string]string
					LastEventID int64
				}
				AsOf int64
				Next string
			}
			err = json.NewDecoder(resp.Body).Decode(&page)
			resp.Body.Close()
			if err != nil {
				r.t.Errorf("objects after a loss: %v", err)
				return
			}
			for _, o := range page.Objects {
				r.fold[o.DN] = o.Attributes
			}
			if next == "/objects/fvTenant" {
				r.asOf = page.AsOf // what comes later is told again, and does no harm
			}
			next = page.Next
		}
	}
}

// TestWhole drives random changes and faults through everything at once, and
// kills and restarts acitap at random points. What a reader of the stream
// folded, over all its own reconnects, must be what the fabric is.
// ACITAP_TEST_SEEDS asks for more.
func TestWhole(t *testing.T) {
	seeds := []uint64{1, 21}
	if n, err := strconv.ParseUint(os.Getenv("ACITAP_TEST_SEEDS"), 10, 64); err == nil {
		for i := uint64(2); i <= n; i++ {
			seeds = append(seeds, i)
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { driveWhole(t, seed) })
		})
	}
}

func driveWhole(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	w := newWhole(t, seed)
	r := &reader{t: t, client: w.client, base: "http://acitap", fold: map[string]map[string]string{}, hangUp: make(chan struct{})}
	w.post("/subscriptions/Tenant")
	w.post("/subscriptions?query=" + url.QueryEscape("/api/mo/uni.json?query-target=subtree&target-subtree-class=fvBD,fvAEPg"))
	r.last = firstID(t, w)
	ctx, cancel := context.WithCancel(context.Background())
	read := make(chan struct{})
	go func() { defer close(read); r.run(ctx) }()
	defer cancel()
	disconnect := func() {
		select {
		case r.hangUp <- struct{}{}:
		default:
		}
	}
	faults := []string{
		"drop-sockets?how=reset", "drop-sockets?how=away", "drop-after?n=3&how=cut", "half-open?rest=false", "half-open?rest=true",
		"expire-tokens?how=normal", "expire-tokens?how=none", "refuse-refresh?n=2", "forget-subscriptions", "deafen", "throttle?rate=2",
		"empty-pages?n=2", "short-pages?n=2", "duplicate-frames?n=20", "duplicate-objects?n=20", "status-word?n=2&word=replaced",
		"orphan-delete?dn=uni/tn-t1", "reboot", "terminate-sessions", "delay-answer?delay=10s", "child-first?on=true", "restart", "crash", "torn", "torn", "hang-up", "hang-up",
	}
	var log []string
	torn := 0
	for range 40 {
		for range rng.IntN(20) {
			tenant := fmt.Sprintf("uni/tn-t%d", rng.IntN(5))
			bd := fmt.Sprintf("%s/BD-b%d", tenant, rng.IntN(4))
			epg := fmt.Sprintf("%s/ap-a/epg-e%d", tenant, rng.IntN(4))
			dn := []string{tenant, bd, epg, bd, epg}[rng.IntN(5)]
			w.fabric.Batch(func(tx *apicsim.Tx) error {
				for _, o := range [][2]string{{"fvTenant", tenant}, {"fvBD", bd}, {"fvAp", tenant + "/ap-a"}, {"fvAEPg", epg}} {
					if !tx.Exists(o[1]) {
						tx.Create(o[0], o[1], nil)
					}
				}
				if rng.IntN(5) == 0 {
					tx.Delete(dn)
				} else {
					tx.Modify(dn, map[string]string{"descr": fmt.Sprint(rng.IntN(1000), " <b>\"é")})
				}
				return nil
			})
			time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
		}
		f := faults[rng.IntN(len(faults))]
		log = append(log, time.Now().Format("15:04:05 ")+f)
		switch f {
		case "restart":
			w.stop()
			time.Sleep(time.Duration(rng.IntN(60)) * time.Second)
			w.start()
		case "crash":
			w.crash(disconnect, 0)
		case "torn":
			torn++
			w.crash(disconnect, rng.IntN(400_000))
		case "hang-up":
			disconnect()
		default:
			name, query, _ := strings.Cut(f, "?")
			params, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := w.fabric.Object("uni/tn-t1"); !ok && name == "orphan-delete" {
				continue
			}
			if _, err := w.fabric.Trigger(name, params); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
		}
		if rng.IntN(4) == 0 {
			time.Sleep(time.Duration(rng.IntN(400)) * time.Second)
		}
		w.fabric.Heal()
	}
	time.Sleep(12 * time.Minute)
	cancel()
	<-read
	want := map[string]map[string]string{}
	for _, c := range []string{"fvTenant", "fvBD", "fvAEPg"} {
		for _, o := range w.fabric.Objects(c) {
			attrs := map[string]string{"dn": o.DN, "modTs": o.ModTs}
			for n, v := range o.Attributes {
				if n != "status" && n != "childAction" && n != "rn" {
					attrs[n] = v
				}
			}
			want[o.DN] = attrs
		}
	}
	if diff := cmp.Diff(want, r.fold); diff != "" {
		t.Errorf("fold of the stream (-fabric +reader):\n%s", diff)
	}
	if r.lost > torn {
		t.Errorf("the reader was told %d times that its place is lost, and %d times some of the log was", r.lost, torn)
	}
	if r.events < 200 || r.gaps == 0 {
		t.Errorf("%d events and %d gaps came: the drive is too tame to show anything", r.events, r.gaps)
	}
	if t.Failed() {
		t.Log(strings.Join(log, "\n"))
	}
}

// firstID returns the place before everything.
func firstID(t *testing.T, w *whole) string {
	resp, err := w.client.Get("http://acitap/events?limit=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range 100 {
		var page struct{ Events []streamed }
		if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
			t.Fatal(err)
		}
		if len(page.Events) > 0 {
			return strconv.FormatInt(page.Events[0].ID-1, 10)
		}
		time.Sleep(time.Second)
		if resp, err = w.client.Get("http://acitap/events?limit=1"); err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	t.Fatal("no event came")
	return ""
}
