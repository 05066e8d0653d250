package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
)

// BenchmarkBurst is the main promise of speed: sparse modified events in one
// burst over a real socket, made durable with old and new values, read by one
// client of the stream. One operation is one event. The CPU time is of the
// whole process: the simulated APIC and the client are in it.
func BenchmarkBurst(b *testing.B) {
	fabric := apicsim.New(apicsim.Options{})
	defer fabric.Close()
	const objects = 500
	err := fabric.Batch(func(tx *apicsim.Tx) error {
		for i := range objects {
			if err := tx.Create("fvBD", fmt.Sprintf("uni/tn-common/BD-b%d", i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	controller := &http.Server{Handler: fabric.Controller(0)}
	go controller.Serve(fabric.Controller(0).Listener(l))
	defer controller.Close()

	s := &settings{Listen: "127.0.0.1:0", DataDir: b.TempDir(), Retention: time.Hour, RetentionBytes: 10 << 30, MaxStreams: 10}
	o := apic.Options{Fabric: "default", User: "admin", Password: "cisco123", Controllers: []*url.URL{{Scheme: "http", Host: l.Addr().String()}}}
	ctx, stop := context.WithCancel(context.Background())
	started, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- s.run(ctx, slog.New(slog.DiscardHandler), o, func(addr string) { started <- addr })
	}()
	addr := <-started
	defer func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	for { // until the session is up and the class subscribed
		resp, err := http.Post(addr+"/subscriptions/fvBD", "", nil)
		if err != nil {
			b.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if bytes.Contains(body, []byte(`"state":"active"`)) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	id, err := fabric.Controller(0).SubscriptionID("fvBD")
	if err != nil {
		b.Fatal(err)
	}
	stream, err := http.Get(addr + "/events/fvBD/stream")
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewReaderSize(stream.Body, 1<<20)

	const burst = 100_000
	var payloads [][]byte
	for i := range burst { // each changes something, so that none is a duplicate
		payloads = append(payloads, fmt.Appendf(nil, `{"subscriptionId":["%s"],"imdata":[{"fvBD":{"attributes":{"childAction":"","descr":"%d","dn":"uni/tn-common/BD-b%d","modTs":"2026-01-01T00:00:00.000+00:00","rn":"","status":"modified"}}}]}`, id, i, i%objects))
	}
	var spent time.Duration
	var cpu time.Duration
	events := 0
	for b.Loop() {
		cpu0, began := cpuTime(b), time.Now()
		go fabric.Controller(0).Blast(ctx, id, burst, payloads...)
		for n := 0; n < burst; {
			line, err := lines.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if bytes.HasPrefix(line, []byte("data: {\"id\"")) {
				n++
			}
		}
		spent += time.Since(began)
		cpu += cpuTime(b) - cpu0
		events += burst
	}
	b.ReportMetric(float64(events)/spent.Seconds(), "events/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(events), "cpu-ns/event")
	b.ReportMetric(0, "ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
