package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
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
	addr := serveBench(b, fabric)
	subscribeBench(b, addr, "fvBD")
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
		go fabric.Controller(0).Blast(b.Context(), id, burst, payloads...)
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

// serveBench runs the whole service against a fabric over TCP until the
// benchmark ends, and returns its address.
func serveBench(b *testing.B, fabric *apicsim.Fabric) (addr string) {
	controller := serveController(b, fabric)
	s := &settings{Listen: "127.0.0.1:0", DataDir: b.TempDir(), Retention: time.Hour, RetentionBytes: 10 << 30, MaxStreams: 10}
	o := apic.Options{Fabric: "default", User: "admin", Password: "cisco123", Controllers: []*url.URL{{Scheme: "http", Host: controller}}}
	ctx, stop := context.WithCancel(context.Background())
	started, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- s.run(ctx, slog.New(slog.DiscardHandler), o, func(addr string) { started <- addr })
	}()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return <-started
}

// subscribeBench subscribes a class and waits until it is active.
func subscribeBench(b *testing.B, addr, class string) {
	for {
		resp, err := http.Post(addr+"/subscriptions/"+class, "", nil)
		if err != nil {
			b.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		if bytes.Contains(body, []byte(`"state":"active"`)) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// BenchmarkSnapshot is a class of 100,000 endpoints from the subscription to
// active, and then, after the socket was lost, from its loss to the gap that
// says that the comparison found nothing. The CPU time is of the whole process:
// the simulated APIC, which lists them, is in it.
func BenchmarkSnapshot(b *testing.B) {
	const objects = 100_000
	fabric := apicsim.New(apicsim.Options{})
	defer fabric.Close()
	fabric.Populate(apicsim.Profile{Tenants: 20, Leaves: 60, Endpoints: objects, Faults: -1})
	var snapshot, resync, snapshotCPU, resyncCPU time.Duration
	n := 0
	for b.Loop() {
		n++
		addr := serveBench(b, fabric)
		for { // until the session is up
			resp, err := http.Get(addr + "/readyz")
			if err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		began, cpu := time.Now(), cpuTime(b)
		subscribeBench(b, addr, "fvCEp")
		snapshot, snapshotCPU = snapshot+time.Since(began), snapshotCPU+cpuTime(b)-cpu
		began, cpu = time.Now(), cpuTime(b)
		fabric.Controller(0).DropSockets(apicsim.Reset)
		for found := false; !found; {
			resp, err := http.Get(addr + "/events/fvCEp?kind=gap&since=earliest")
			if err != nil {
				b.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				b.Fatal(err)
			}
			found = bytes.Contains(body, []byte(`"kind":"gap"`))
			time.Sleep(20 * time.Millisecond)
		}
		resync, resyncCPU = resync+time.Since(began), resyncCPU+cpuTime(b)-cpu
	}
	b.ReportMetric(snapshot.Seconds()/float64(n), "snapshot-s")
	b.ReportMetric(snapshotCPU.Seconds()/float64(n), "snapshot-cpu-s")
	b.ReportMetric(resync.Seconds()/float64(n), "resync-s")
	b.ReportMetric(resyncCPU.Seconds()/float64(n), "resync-cpu-s")
	b.ReportMetric(0, "ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkNext takes events off a filled queue, one a request, from 16
// callers at once who do no more than they must. One operation is one event;
// its place is durable. The CPU time is of the whole process, callers included.
func BenchmarkNext(b *testing.B) {
	fabric := apicsim.New(apicsim.Options{})
	defer fabric.Close()
	if err := fabric.Create("fvBD", "uni/tn-common/BD-b", nil); err != nil {
		b.Fatal(err)
	}
	addr := serveBench(b, fabric)
	subscribeBench(b, addr, "fvBD")
	id, err := fabric.Controller(0).SubscriptionID("fvBD")
	if err != nil {
		b.Fatal(err)
	}
	const fill, callers = 40_000, 16
	var payloads [][]byte
	for i := range 500 {
		payloads = append(payloads, fmt.Appendf(nil, `{"subscriptionId":["%s"],"imdata":[{"fvBD":{"attributes":{"childAction":"","descr":"%d","dn":"uni/tn-common/BD-b","modTs":"2026-01-01T00:00:00.000+00:00","rn":"","status":"modified"}}}]}`, id, i))
	}
	host := strings.TrimPrefix(addr, "http://")
	request := []byte("GET /events/fvBD/next HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	var taken atomic.Int64
	var spent, cpu time.Duration
	for b.Loop() {
		if _, err := fabric.Controller(0).Blast(b.Context(), id, fill, payloads...); err != nil {
			b.Fatal(err)
		}
		for !pendingBench(b, addr, fill) {
			time.Sleep(10 * time.Millisecond)
		}
		began, cpu0 := time.Now(), cpuTime(b)
		var callersDone sync.WaitGroup
		for range callers {
			callersDone.Go(func() {
				c, err := net.Dial("tcp", host)
				if err != nil {
					b.Error(err)
					return
				}
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					if _, err := c.Write(request); err != nil {
						b.Error(err)
						return
					}
					resp, err := http.ReadResponse(in, nil)
					if err != nil {
						b.Error(err)
						return
					}
					if resp.StatusCode != http.StatusOK {
						return
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						b.Error(err)
						return
					}
					taken.Add(1)
				}
			})
		}
		callersDone.Wait()
		spent, cpu = spent+time.Since(began), cpu+cpuTime(b)-cpu0
	}
	b.ReportMetric(float64(taken.Load())/spent.Seconds(), "requests/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(taken.Load()), "cpu-ns/request")
	b.ReportMetric(0, "ns/op")
}

// pendingBench reports whether at least so many events wait in a queue.
func pendingBench(b *testing.B, addr string, n int) bool {
	resp, err := http.Get(addr + "/events/fvBD/pending")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Pending int }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		b.Fatal(err)
	}
	return answer.Pending >= n
}
