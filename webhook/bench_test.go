package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/acitap/acitap/webhook"
)

// receivers are of another process, so that what they cost is not counted as
// the service's: each costs as little as one can, reads requests and says 204.
// They return their addresses, and a function that ends them and says what CPU
// time they took.
func receivers(b *testing.B, n int) (addrs []string, stop func() time.Duration) {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", asReceivers, n))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for len(addrs) < n && lines.Scan() {
		addrs = append(addrs, lines.Text())
	}
	return addrs, func() time.Duration {
		in.Close()
		if err := cmd.Wait(); err != nil || len(addrs) < n {
			b.Fatalf("the receivers: %v", err)
		}
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
}

const asReceivers = "ACITAP_TEST_RECEIVERS" // how many; makes receivers of the test's program

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv(asReceivers)); err == nil {
		for range n {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				panic(err)
			}
			fmt.Println(l.Addr())
			go sink(l)
		}
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is closed
		return
	}
	os.Exit(m.Run())
}

func sink(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			r := bufio.NewReaderSize(c, 64<<10)
			for {
				length := 0
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) <= 2 {
						break
					}
					if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
						length, _ = strconv.Atoi(string(bytes.TrimSpace(n)))
					}
				}
				if _, err := r.Discard(length); err != nil {
					return
				}
				if _, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
					return
				}
			}
		}()
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmark sends a burst of events to several webhooks over TCP, signed, with
// places and the log of deliveries in a file, and reports events and CPU time
// for each.
func benchmark(b *testing.B, hooks, batch, burst int) {
	line := newLine()
	store, err := webhook.OpenSQLite(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	addrs, stop := receivers(b, hooks)
	s, err := webhook.New(b.Context(), webhook.Options{Hub: line, Store: store, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for i := range hooks {
		if _, err := s.Create(ctx, fmt.Appendf(nil, `{"name":"h%d","url":"http://%s/","class":"fvTenant","batch":%d}`, i, addrs[i], batch)); err != nil {
			b.Fatal(err)
		}
	}
	entries := tenants(burst)
	for i := range entries { // as large as an ordinary event
		entries[i] = event("fvTenant", entries[i].Event.DN, "created", "name", "t", "descr", strings.Repeat("x", 40), "modTs", "2026-11-24T03:42:11.101+00:00",
			"annotation", "", "childAction", "", "extMngdBy", "", "lcOwn", "local", "monPolDn", "uni/tn-common/monepg-default", "nameAlias", "",
			"ownerKey", "", "ownerTag", "", "uid", "0", "userdom", ":all:")
	}
	var sent int64
	size := 0
	begun, used := time.Now(), cpu()
	for b.Loop() {
		line.add(entries...)
		if size == 0 {
			size = len(line.entries[0].JSON)
		}
		sent += int64(burst * hooks)
		for {
			var delivered int64
			for _, v := range s.List() {
				delivered += v.Delivered
			}
			if delivered >= sent {
				break
			}
			time.Sleep(time.Millisecond)
		}
		line.forget(line.Bounds().Newest - 1)
	}
	took, used := time.Since(begun), cpu()-used
	theirs := stop()
	b.ReportMetric(float64(sent)/took.Seconds(), "events/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(sent), "cpu-ns/event")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(sent), "receivers-cpu-ns/event")
	b.ReportMetric(float64(size), "bytes/event")
	b.ReportMetric(0, "ns/op")
}

// The promise is 20,000 a second.
func BenchmarkSingle(b *testing.B) { benchmark(b, 8, 1, 1000) }

// The promise is 200,000 a second.
func BenchmarkBatched(b *testing.B) { benchmark(b, 4, 500, 20_000) }

func BenchmarkDryRunTemplate(b *testing.B) {
	s, err := webhook.New(b.Context(), webhook.Options{Hub: newLine(), Store: webhook.Memory()})
	if err != nil {
		b.Fatal(err)
	}
	v, err := s.Create(b.Context(), []byte(`{"name":"x","preset":"pagerduty","url":"http://192.0.2.7/","headers":{"X-Routing-Key":"k"}}`))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Test(b.Context(), v.ID, 0, true); err != nil {
			b.Fatal(err)
		}
	}
}
