package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/handlers"
)

func TestStream(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvBD")
		newest := strconv.FormatInt(int64(r.hub.Bounds().Newest), 10)
		s := r.stream("/events/stream?include=object")
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
			if got := s.res.Header.Get(name); got != want {
				t.Errorf("got %s %q, want %q", name, got, want)
			}
		}
		// The first bytes come before anything happens, and name a place to come
		// back to.
		line, err := s.lines.ReadString('\n')
		if err != nil || line != "retry: 2000\n" {
			t.Fatalf("got first line %q (%v), want retry: 2000", line, err)
		}
		if m, err := s.read(); err != nil || m.kind != "status" || m.id != newest || !strings.Contains(m.data, `"state":"connected"`) {
			t.Errorf("got %+v (%v), want the status, and %s as the place", m, err, newest)
		}
		r.create("fvBD", "uni/tn-common/BD-x", "descr", "one\ntwo")
		m := s.next()
		if e := m.event(); m.kind != "" || m.id != strconv.FormatInt(e.ID, 10) || e.DN != "uni/tn-common/BD-x" || e.Object["descr"] != "one\ntwo" {
			t.Errorf("got %+v, want the event", m)
		}
		// What arrives together is in order and without a seam.
		for i := range 1000 {
			r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%04d", i))
		}
		for i := range 1000 {
			if got, want := s.next().event().DN, fmt.Sprintf("uni/tn-common/BD-%04d", i); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	})
}

// Where a stream begins: the header over the URL's lastEventId over since.
func TestStreamStart(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvTenant")
		events := r.do("GET /events").events().Events
		first, second, third := events[0], events[1], events[2]
		id := func(e event) string { return strconv.FormatInt(e.ID, 10) }
		for _, c := range []struct {
			params, header string
			want           event
		}{
			{"since=earliest", "", first},
			{"since=1h", "", first},
			{"since=" + id(first), "", second},
			{"since=earliest&lastEventId=" + id(first), "", second},
			{"since=earliest&lastEventId=" + id(first), id(second), third},
			{"since=latest&lastEventId=", id(second), third},
			{"dn=uni/tn-mgmt", id(first), third},
			{"class=tenant&status=created&since=earliest&dn=uni/tn-infra", "", second},
		} {
			s := r.stream("/events/stream?"+c.params, "Last-Event-ID: "+c.header)
			if m := s.next(); m.id != id(c.want) {
				t.Errorf("%s, Last-Event-ID %q: got %+v, want %s", c.params, c.header, m, c.want)
			}
			s.close()
		}
	})
}

// What the log can no longer give is told, and the stream goes on from the
// oldest there is; who comes back after that is not told again.
func TestStreamGone(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over, func(s *settings) { s.hub.Ring = 2 })
		r.subscribe("fvTenant")
		r.create("fvTenant", "uni/tn-x")
		r.settle()
		events := r.do("GET /events").events().Events
		r.journal.Forget(r.hub.Bounds().Newest - 2)
		oldest := r.hub.Bounds().Newest - 1
		for last, reason := range map[string]string{
			"5":                                      "unknown-id",
			strconv.FormatInt(events[0].ID, 10):      "retention",
			strconv.FormatInt(int64(oldest)+100, 10): "unknown-id",
			"9007199254740993":                       "unknown-id",
			"99999999999999999999999999":             "unknown-id",
		} {
			s := r.stream("/events/fvBD/stream?status=deleted", "Last-Event-ID: "+last)
			m := s.next()
			if e := m.event(); m.kind != "gap" || e.Kind != "gap" || e.Reason != reason || e.Oldest != int64(oldest) || m.id != strconv.FormatInt(int64(oldest)-1, 10) {
				t.Errorf("behind %s: got %+v, want a gap (%s), going on from %d", last, m, reason, oldest)
			}
			s.close()
			s = r.stream("/events/stream", "Last-Event-ID: "+s.lastID)
			if m := s.next(); m.kind != "" || m.id != strconv.FormatInt(int64(oldest), 10) {
				t.Errorf("behind the gap: got %+v, want the oldest event, %d", m, oldest)
			}
			s.close()
			s = r.stream("/events/stream?since=" + strings.TrimLeft(last[:min(len(last), 15)], "0"))
			if m := s.next(); m.kind != "gap" {
				t.Errorf("since=%s: got %+v, want a gap", last, m)
			}
			s.close()
		}
		var lines []string
		s := r.stream("/events/stream?format=ndjson&since=5")
		for range 4 {
			line, err := s.lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		if !strings.Contains(lines[0], `"kind":"status"`) || !strings.Contains(lines[1], `"kind":"gap","reason":"unknown-id","asked":5,"oldest":`) ||
			!strings.HasPrefix(lines[2], `{"id":`) || !strings.HasPrefix(lines[3], `{"id":`) {
			t.Errorf("got lines %q, want status, gap, two events", lines)
		}
	})
}

// Gaps of the timeline reach every stream that they concern, whatever else it
// selects, and the session's state is told as it changes.
func TestStreamOutage(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvBD")
		concerned := r.stream("/events/stream?status=deleted&tenant=nobody")
		other := r.stream("/events/fvTenant/stream")
		states := make(map[string]bool)
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		for {
			m, err := concerned.read()
			if err != nil {
				t.Fatal(err)
			}
			if m.kind == "status" {
				var v struct{ Fabrics []struct{ State string } }
				if err := json.Unmarshal([]byte(m.data), &v); err != nil {
					t.Fatal(err)
				}
				states[v.Fabrics[0].State] = true
			}
			if m.kind == "gap" {
				if e := m.event(); m.id != strconv.FormatInt(e.ID, 10) || fmt.Sprint(e.Classes) != "[fvBD]" {
					t.Errorf("got %+v, want the gap of fvBD", m)
				}
				break
			}
			if !m.comment && m.kind == "" {
				t.Errorf("got %+v", m)
			}
		}
		if !states["connected"] || len(states) < 2 {
			t.Errorf("got states %v, want those of an outage", states)
		}
		time.Sleep(time.Minute)
		other.close()
		for {
			m, err := other.read()
			if err != nil {
				break
			}
			if m.kind == "gap" || !m.comment && m.kind == "" {
				t.Errorf("a stream of another class got %+v", m)
			}
		}
	})
}

// In silence a stream says that it lives at least every 15 s, and moves the
// place of its reader past what was not for him.
func TestHeartbeat(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvBD")
		s := r.stream("/events/stream?tenant=nobody")
		if m, err := s.read(); err != nil || m.kind != "status" {
			t.Fatalf("got %+v (%v), want the status", m, err)
		}
		before := s.lastID
		last := time.Now()
		beats := 0
		for begun := time.Now(); time.Since(begun) < 3*time.Minute; {
			r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%d", beats))
			m, err := s.read()
			if err != nil || !m.comment && m.kind != "status" {
				t.Fatalf("got %+v (%v), want only comments and the status", m, err)
			}
			if m.comment && m.id != "" {
				t.Errorf("got an id alone, which some clients take for an event: %+v", m)
			}
			if gap := time.Since(last); gap > 15*time.Second {
				t.Errorf("silence of %v", gap)
			}
			last = time.Now()
			beats++
		}
		if at, _ := strconv.ParseInt(s.lastID, 10, 64); s.lastID == before || at < int64(r.hub.Bounds().Newest)-10 {
			t.Errorf("the reader's place is %s, was %s, want one about %d", s.lastID, before, r.hub.Bounds().Newest)
		}

		// Those that share a selector came at different times.
		var wg sync.WaitGroup
		for range 8 {
			time.Sleep(2500 * time.Millisecond)
			s := r.stream("/events/fvTenant/stream")
			last := time.Now()
			wg.Go(func() {
				for i := range 12 {
					m, err := s.read()
					if err != nil || time.Since(last) > 15*time.Second {
						t.Errorf("silence of %v (%v)", time.Since(last), err)
					}
					if i > 0 && !m.comment {
						t.Errorf("got %+v where nothing has happened", m)
					}
					last = time.Now()
				}
			})
		}
		wg.Wait()

		// Who has had an event knows where he is.
		all := r.stream("/events/stream")
		r.create("fvBD", "uni/tn-common/BD-last")
		all.next()
		for range 20 {
			if m, err := all.read(); err != nil || !m.comment {
				t.Errorf("got %+v (%v) in silence, want a comment", m, err)
			}
		}

		nd := r.stream("/events/fvTenant/stream", "Accept: application/x-ndjson")
		if _, err := nd.lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if line, err := nd.lines.ReadString('\n'); err != nil || line != "\n" || time.Since(begun) > 15*time.Second {
			t.Errorf("got %q (%v) after %v, want a blank line within 15 s", line, err, time.Since(begun))
		}
	})
}

// A stream that ends with the service ends whole, within two seconds, not all
// at the same moment; a client's own leaving frees its stream at once.
func TestShutdownOfStreams(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvBD")
		begun := time.Now()
		var ends []time.Duration
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 40 {
			s := r.stream("/events/stream")
			wg.Go(func() {
				if _, err := io.Copy(io.Discard, s.lines); err != nil {
					t.Errorf("a stream broke: %v", err)
				}
				mu.Lock()
				ends = append(ends, time.Since(begun))
				mu.Unlock()
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		r.stop(handlers.ErrStopping)
		wg.Wait()
		spread(t, ends, time.Second)
	})
}

// A reader that takes nothing is cut off in the end, holds up nobody, and
// comes back without loss.
func TestSlowReader(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		registry := prometheus.NewRegistry()
		r := newRig(t, over, func(s *settings) {
			s.hub.Ring, s.handlers.MaxStreams, s.handlers.Registerer, s.handlers.Gatherer = 128, 2, registry, registry
		})
		r.subscribe("fvBD")
		slow := r.stream("/events/stream?include=object")
		quick := r.stream("/events/stream")
		const n = 2000
		go func() {
			for i := range n {
				r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%04d", i), "descr", strings.Repeat("x", 500))
				if i%100 == 99 {
					time.Sleep(10 * time.Millisecond)
				}
			}
		}()
		for i := range n {
			if got, want := quick.next().event().DN, fmt.Sprintf("uni/tn-common/BD-%04d", i); got != want {
				t.Fatalf("the quick reader got %s, want %s", got, want)
			}
		}
		r.do("GET /metrics").want(200, "acitap_streams_catching_up 1", "acitap_streams_dropped_total 0")
		time.Sleep(time.Minute)
		synctest.Wait()
		r.do("GET /metrics").want(200, "acitap_streams_catching_up 0", "acitap_streams_dropped_total 1")
		r.stream("/events/stream").close() // the slow one's place is free
		r.settle()                         // and so is this one's
		got := 0
		for {
			m, err := slow.read()
			if err != nil {
				break
			}
			if m.kind == "" && !m.comment {
				got++
			}
		}
		if got == 0 || got == n {
			t.Fatalf("the slow reader got %d of %d events before it was cut off", got, n)
		}
		back := r.stream("/events/stream", "Last-Event-ID: "+slow.lastID)
		for i := got; i < n; i++ {
			if got, want := back.next().event().DN, fmt.Sprintf("uni/tn-common/BD-%04d", i); got != want {
				t.Fatalf("back again it got %s, want %s", got, want)
			}
		}
	})
}

// The lines of NDJSON are those of SSE.
func TestStreamLines(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvTenant")
		s := r.stream("/events/Tenant/stream?since=earliest&format=ndjson")
		if got := s.res.Header.Get("Content-Type"); got != "application/x-ndjson" {
			t.Errorf("got Content-Type %q", got)
		}
		in := bufio.NewScanner(s.lines)
		var got []string
		for len(got) < 4 && in.Scan() {
			got = append(got, in.Text())
		}
		sse := r.stream("/events/Tenant/stream?since=earliest")
		for i := range 3 {
			if m := sse.next(); m.data != got[i+1] {
				t.Errorf("line %d: got %s, want %s", i, got[i+1], m.data)
			}
		}
	})
}

// A stream of lines tells its place with the status, at the start and when what
// came was not for its reader.
func TestStreamLinesPlace(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvBD")
		in := bufio.NewScanner(r.stream("/events/stream?format=ndjson&tenant=nobody").lines)
		var before int64
		begun := time.Now()
		for i := 0; ; i++ {
			r.create("fvBD", fmt.Sprintf("uni/tn-common/BD-%d", i))
			if !in.Scan() {
				t.Fatal(in.Err())
			}
			if in.Text() == "" {
				continue // it lives
			}
			var line struct {
				Kind string
				At   int64
			}
			if err := json.Unmarshal(in.Bytes(), &line); err != nil || line.Kind != "status" {
				t.Fatalf("got %s (%v), want the status", in.Text(), err)
			}
			if before == 0 {
				if before = line.At; before == 0 {
					t.Fatalf("got %s, want a place", in.Text())
				}
				continue
			}
			if newest := int64(r.hub.Bounds().Newest); line.At <= before || line.At < newest-10 {
				t.Errorf("the place is %d, was %d, want one about %d", line.At, before, newest)
			}
			if since := time.Since(begun); since > 90*time.Second {
				t.Errorf("the place came after %v", since)
			}
			return
		}
	})
}

// A stream that cannot be read on from the log breaks off, so that its reader
// comes back.
func TestStreamBreaks(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvBD")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		res, err := r.client.Do(r.request(ctx, "GET /events/stream"))
		if err != nil {
			t.Fatal(err)
		}
		r.network.Cut("acitap:80", 0)
		if _, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Error("want an error of a stream that was cut")
		}
		res.Body.Close()
		r.create("fvBD", "uni/tn-common/BD-x")
		r.settle()
		r.do("GET /session").want(200)
	})
}

// A connection that was taken over answers as any other: header, counts, log, the
// end of the request when the stream ends, and not before.
func TestStreamTakenOver(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		registry := prometheus.NewRegistry()
		var set settings
		over(&set)
		var log bytes.Buffer
		r := newRig(t, over, func(s *settings) {
			s.handlers.Registerer, s.handlers.Gatherer = registry, registry
			s.logTo = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		r.subscribe("fvTenant")
		s := r.stream("/events/fvTenant/stream?since=earliest")
		if s.res.Close != (set.carrier == shards) {
			t.Errorf("got close %t from %v", s.res.Close, set.carrier)
		}
		for _, name := range []string{"X-Request-Id", "Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Date", "Vary", "Cross-Origin-Resource-Policy"} {
			if s.res.Header.Get(name) == "" {
				t.Errorf("got no %s", name)
			}
		}
		if got := strings.Join(s.res.TransferEncoding, ","); got != "chunked" {
			t.Errorf("got transfer encoding %q", got)
		}
		for range 3 {
			s.next()
		}
		r.settle()
		const requests = `acitap_http_requests_total{code="2xx",method="GET",route="/events/{class}/stream"} 1`
		m := r.do("GET /metrics").want(200, "acitap_streams_open 1", "acitap_streams_catching_up 0", `acitap_events_delivered_total{via="stream"} 3`, "acitap_http_requests_in_flight 1")
		if strings.Contains(m.body, requests) {
			t.Error("the request is counted before its stream has ended")
		}
		s.close()
		r.settle()
		r.do("GET /metrics").want(200, "acitap_streams_open 0", requests, `acitap_http_request_duration_seconds_count{route="/events/{class}/stream"} 1`)
		if got := log.String(); strings.Count(got, "path=/events/fvTenant/stream status=200 bytes=") != 1 || strings.Contains(got, "stream status=200 bytes=0") {
			t.Errorf("got log %s, want the request once", got)
		}
	})
}

// A lone event is sent as soon as it is there. Those that come fast are gathered,
// for a few milliseconds and no longer.
func TestGathering(t *testing.T) {
	carriers(t, func(t *testing.T, over with) {
		r := newRig(t, over)
		r.subscribe("fvBD")
		s := r.stream("/events/stream")
		s.read()
		r.settle()
		grown := func() time.Time { // the moment at which the next event is there
			<-r.hub.Grown(r.hub.Bounds().Newest)
			return time.Now()
		}
		for i := range 3 {
			time.Sleep(time.Second)
			go r.fabric.Create("fvBD", fmt.Sprintf("uni/tn-common/BD-%d", i), nil)
			there := grown()
			s.next()
			if late := time.Since(there); late != 0 {
				t.Errorf("a lone event came %v late", late)
			}
		}
		moments := make(map[time.Time]int)
		go func() {
			for i := range 100 {
				if err := r.fabric.Modify("uni/tn-common/BD-0", map[string]string{"descr": strconv.Itoa(i)}); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
		}()
		for range 100 {
			s.next()
			moments[time.Now()]++
		}
		if n := len(moments); n < 10 || n > 60 {
			t.Errorf("100 events, one each millisecond, came at %d moments", n)
		}
		// What is there already waits for nothing.
		err := r.fabric.Batch(func(tx *apicsim.Tx) error {
			for i := range 3000 {
				if err := tx.Create("fvBD", fmt.Sprintf("uni/tn-common/BD-many%d", i), nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.next()
		first := time.Now()
		for range 2999 {
			s.next()
		}
		if took := time.Since(first); took > 10*time.Millisecond {
			t.Errorf("3000 events that were there came within %v", took)
		}
	})
}

// Over HTTP/2, on a real network.
func TestStreamHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(handlers.New(handlers.Options{Hub: stale(t)}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/events/stream?since=earliest", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 {
		t.Errorf("got %s, want HTTP/2", res.Proto)
	}
	s := &reader{t: t, res: res, cancel: cancel, lines: bufio.NewReader(res.Body)}
	if m := s.next(); m.event().DN != "uni/tn-a" {
		t.Errorf("got %+v, want the event of uni/tn-a", m)
	}
	if m := s.next(); m.kind != "gap" {
		t.Errorf("got %+v, want the gap", m)
	}
}
