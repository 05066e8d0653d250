package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func event(number int64) []byte {
	b := []byte(sample)
	putStamp(b[bytes.IndexByte(b, '~'):], 1_000_000, number)
	return b
}

// conversations are what readers of each form get for the numbers 1 to 3.
func conversations() map[form]string {
	sse := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 2000\nid: 10\nevent: status\ndata: {}\n\n: alive\n\n"
	ndjson := "HTTP/1.1 200 OK\r\n\r\n{\"kind\":\"status\"}\n\n"
	nats := "INFO {}\r\nPONG\r\n"
	nchan := "HTTP/1.1 200 OK\r\n\r\n: hi\n\n"
	for i := range int64(3) {
		e := event(i + 1)
		sse += fmt.Sprintf("id: %d\ndata: %s\n\n", 11+i, e)
		ndjson += strings.Replace(string(e), "1763956931004711", fmt.Sprint(11+i), 1) + "\n"
		nats += fmt.Sprintf("MSG bench 1 %d\r\n%s\r\n", len(e), e)
		nchan += fmt.Sprintf("id: 1763956931:%d\ndata: %s\n\n", i, e)
	}
	sse += "event: gap\nid: 20\ndata: {}\n\n"
	return map[form]string{formSSE: sse, formNDJSON: ndjson, formNATS: nats, formNchan: nchan}
}

// A reader makes the same of a conversation however the network cuts it.
func TestReaderPieces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for form, text := range conversations() {
		variants := []string{text}
		if head, body, _ := strings.Cut(text, "\r\n\r\n"); form != formNATS {
			chunked := head + "\r\nTransfer-Encoding: chunked\r\n\r\n"
			for len(body) > 0 { // chunks end anywhere too
				n := min(1+rng.IntN(300), len(body))
				chunked += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
				body = body[n:]
			}
			variants = append(variants, chunked+"0\r\n\r\n")
		}
		for v, text := range variants {
			for try := range 200 {
				r := &reader{form: form, times: new(histogram)}
				r.next = 1
				for b := []byte(text); len(b) > 0; {
					n := len(b)
					if try > 0 {
						n = min(1+rng.IntN(1+try*3), len(b))
					}
					r.feed(bytes.Clone(b[:n]), 1_002_000)
					b = b[n:]
				}
				if r.status != 200 || r.got != 3 || r.until(4) != (verdict{}) || r.times.n != 3 || r.times.max != 2000 {
					t.Fatalf("form %d, variant %d, try %d: status %d, %d events, %+v, %d times up to %d", form, v, try, r.status, r.got, r.until(4), r.times.n, r.times.max)
				}
				if form == formSSE && (r.gaps != 1 || r.id != 13) {
					t.Fatalf("SSE: %d gaps, last id %d", r.gaps, r.id)
				}
			}
		}
	}
}

func TestReaderFindsFaults(t *testing.T) {
	for _, test := range []struct {
		numbers []int64
		want    verdict
	}{
		{[]int64{1, 2, 3, 4}, verdict{}},
		{[]int64{1, 2, 4}, verdict{Lost: 1}},
		{[]int64{1, 2, 3}, verdict{Lost: 1}}, // the last
		{nil, verdict{Lost: 4}},
		{[]int64{1, 2, 2, 3, 4}, verdict{Repeated: 1}},
		{[]int64{1, 3, 2, 4}, verdict{Disordered: 1}},
		{[]int64{1, 4, 3}, verdict{Lost: 1, Disordered: 1}},
	} {
		r := &reader{form: formNchan, headDone: true}
		r.next = 1
		for _, n := range test.numbers {
			r.feed(fmt.Appendf(nil, "data: %s\n\n", event(n)), 0)
		}
		if got := r.until(5); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.numbers, got, test.want)
		}
	}
	// Ids must grow as well, whatever stands behind them.
	r := &reader{form: formSSE, headDone: true}
	r.next = 1
	for i, id := range []int{5, 7, 7, 6} {
		r.feed(fmt.Appendf(nil, "id: %d\ndata: %s\n\n", id, event(int64(i+1))), 0)
	}
	if got := r.until(5); got != (verdict{Repeated: 1, Disordered: 1}) {
		t.Errorf("ids: %+v", got)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for v := range int64(100_000) {
		h.add(v)
	}
	for q, want := range map[float64]float64{0.5: 50, 0.99: 99, 0.01: 1} {
		if got := h.quantile(q); got < want*0.97 || got > want*1.03 {
			t.Errorf("quantile %v: %v ms, want %v", q, got, want)
		}
	}
	for v := int64(0); v < 1<<35; v = v*5/4 + 1 {
		if got := value(bucket(v)); float64(got) < float64(v)*0.96 || float64(got) > float64(v)*1.04 {
			t.Errorf("%d is counted as %d", v, got)
		}
	}
}

func TestReport(t *testing.T) {
	met := false
	r := &report{Rows: []row{
		{Scenario: "fan-out", Server: "acitap", Clients: 1000, CPUPerDelivery: figure(1.234), Measured: "1.23 µs", Target: "1 µs", Met: &met, Others: "Mercure 9", Notes: []string{"a note"}},
		{Scenario: "fan-out", Server: "nchan", Measured: "not installed; given: 2.9", Given: true},
	}}
	name := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(name, []byte("before "+beginMark+"\nold\n"+endMark+" after"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again and again
		if err := between(name, r.text()); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before " + beginMark + "\n", endMark + " after", "| fan-out | 1.23 µs  | 1 µs     | no      | nchan: not installed; given: 2.9; given: Mercure 9 |",
		"1,000", "- fan-out, acitap: a note.",
	} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("no %q in:\n%s", want, b)
		}
	}
	if bytes.Contains(b, []byte("old")) || bytes.Count(b, []byte(beginMark)) != 1 {
		t.Errorf("the old table is still there:\n%s", b)
	}
	if err := os.WriteFile(name, []byte("no marks"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := between(name, "x"); err == nil {
		t.Error("a file without marks is written to")
	}
}
