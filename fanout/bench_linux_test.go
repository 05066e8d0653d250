//go:build linux

package fanout_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"github.com/acitap/acitap/apic"
)

// beClients is the child process: it opens as many streams as it is told and
// reads them with as little work as it can: one thread, one epoll instance. Once
// it has been told how many events there are and has read so many, it ends and
// says how late they came.
func beClients() {
	n, _ := strconv.Atoi(os.Getenv("ACITAP_TEST_CLIENTS"))
	addr := os.Getenv("ACITAP_TEST_ADDR")
	host, port, _ := net.SplitHostPort(addr)
	p, _ := strconv.Atoi(port)
	to := &unix.SockaddrInet4{Port: p, Addr: [4]byte(net.ParseIP(host).To4())}
	fail := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	poll, err := unix.EpollCreate1(0)
	fail(err)
	for i := range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		fail(err)
		// An address of its own for each so many, as ports are finite.
		fail(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + i/10_000)}}))
		fail(unix.Connect(fd, to))
		_, err = unix.Write(fd, []byte("GET /?"+strings.ReplaceAll(os.Getenv("ACITAP_TEST_QUERY"), "{i}", strconv.Itoa(i))+" HTTP/1.1\r\nHost: x\r\n\r\n"))
		fail(err)
		fail(unix.SetNonblock(fd, true))
		fail(unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
	}
	fmt.Println("open")
	var want atomic.Int64
	want.Store(math.MaxInt64)
	go func() {
		var n int64
		if _, err := fmt.Scan(&n); err != nil {
			os.Exit(0)
		}
		want.Store(n)
	}()
	var events int64
	var late []time.Duration
	ready := make([]unix.EpollEvent, 256)
	b := make([]byte, 256<<10)
	for events < want.Load() {
		n, err := unix.EpollWait(poll, ready, 100)
		if err == unix.EINTR {
			continue
		}
		fail(err)
		for _, e := range ready[:n] {
			n, err := unix.Read(int(e.Fd), b)
			if n <= 0 {
				fmt.Println("a stream ended", err)
				os.Exit(1)
			}
			// A stamp that stands across two reads is not read, but the event counts.
			events += int64(bytes.Count(b[:n], []byte("~")))
			if i := bytes.IndexByte(b[:n], '~'); i >= 0 {
				stamp, _, _ := bytes.Cut(b[i+1:n], []byte(`"`))
				if nanos, err := strconv.ParseInt(string(stamp), 10, 64); err == nil {
					late = append(late, time.Since(time.Unix(0, nanos)))
				}
			}
		}
	}
	slices.Sort(late)
	if len(late) == 0 {
		late = []time.Duration{0}
	}
	fmt.Println(events, int64(late[len(late)/2]), int64(late[len(late)*99/100]), int64(late[len(late)-1]))
}

// clients are streams that another process reads.
type clients struct {
	tb    testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func newClients(tb testing.TB, s *service, n int, query string) *clients {
	tb.Helper()
	raise(tb)
	c := &clients{tb: tb, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), "ACITAP_TEST_BE_CLIENTS=1", "ACITAP_TEST_CLIENTS="+strconv.Itoa(n),
		"ACITAP_TEST_ADDR="+s.server.Listener.Addr().String(), "ACITAP_TEST_QUERY="+query)
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c.in, c.lines = in, bufio.NewScanner(out)
	if !c.lines.Scan() || c.lines.Text() != "open" {
		tb.Fatalf("the clients said %q", c.lines.Text())
	}
	await(tb, "streams", func() bool { return s.open() >= n })
	return c
}

// end waits until so many events have been read, closes the streams from the
// clients' side, and returns how late the events came.
func (c *clients) end(want int64) (p50, p99, most time.Duration) {
	c.tb.Helper()
	fmt.Fprintln(c.in, want)
	c.lines.Scan()
	var events int64
	if _, err := fmt.Sscan(c.lines.Text(), &events, (*int64)(&p50), (*int64)(&p99), (*int64)(&most)); err != nil {
		c.tb.Fatalf("the clients said %q: %v", c.lines.Text(), err)
	}
	c.cmd.Wait()
	if events != want {
		c.tb.Errorf("%d events were read, want %d", events, want)
	}
	return p50, p99, most
}

func (c *clients) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// raise raises the number of descriptors to what is allowed.
func raise(tb testing.TB) (limit int) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		tb.Fatal(err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		tb.Fatal(err)
	}
	return int(l.Cur)
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (s *service) count() int64 {
	return int64(testutil.ToFloat64(s.delivered))
}

// BenchmarkFanout sends events to clients in another process. One operation is
// one event to all of them. cpu-µs/delivery is the CPU time of this process,
// which makes the events too; latencies are from the making of an event to its
// having been read.
func BenchmarkFanout(b *testing.B) {
	for _, over := range []carrier{shards, goroutines} {
		for _, n := range []int{1, 100, 1000} {
			for _, rate := range []int{0, 20, 200} {
				name := fmt.Sprintf("over=%s/clients=%d/rate=%d", over, n, rate)
				if rate == 0 {
					name = fmt.Sprintf("over=%s/clients=%d/saturated", over, n)
				}
				b.Run(name, func(b *testing.B) { benchmarkFanout(b, over, n, rate) })
			}
		}
	}
}

func benchmarkFanout(b *testing.B, over carrier, n, rate int) {
	l := newLine(16384)
	s := newService(b, l, over)
	c := newClients(b, s, n, "")
	defer c.kill()
	want := int64(0)
	before := cpu()
	var tick *time.Ticker
	if rate > 0 {
		tick = time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
	}
	for b.Loop() {
		if rate > 0 {
			<-tick.C
		} else if want > s.count()+2000*int64(n) { // keep up with it, as a fabric's burst does not
			for want > s.count()+1000*int64(n) {
				time.Sleep(time.Millisecond)
			}
		}
		e := numbered(0, "~"+strconv.FormatInt(time.Now().UnixNano(), 10))
		e.Changes[0].New = "after" // one ~ an event
		l.append(e)
		want += int64(n)
	}
	await(b, "delivery", func() bool { return s.count() >= want })
	used := cpu() - before
	b.ReportMetric(float64(used.Nanoseconds())/1e3/float64(want), "cpu-µs/delivery")
	p50, p99, most := c.end(want)
	if rate > 0 {
		reportLate(b, p50, p99, most)
	}
}

func reportLate(b *testing.B, p50, p99, most time.Duration) {
	b.ReportMetric(float64(p50.Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(p99.Microseconds())/1e3, "p99-ms")
	b.ReportMetric(float64(most.Microseconds())/1e3, "max-ms")
}

// Thousands of clients that are there and then, all at once, not: what they had
// comes back.
func TestManyGone(t *testing.T) {
	n := min(5000, raise(t)/2)
	s := newService(t, newLine(1000), shards)
	newClients(t, s, 1, "").kill()
	await(t, "end of the first", func() bool { return s.open() == 0 })
	debug.FreeOSMemory()
	descriptors, goroutines, memory := openFiles(t), runtime.NumGoroutine(), rss(t)
	c := newClients(t, s, n, "tenant=t1")
	await(t, "idle streams without goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+50 })
	runtime.GC()
	debug.FreeOSMemory()
	// The race detector has memory of its own.
	if each := float64(rss(t)-memory) / float64(n); each > 8 && !raceEnabled {
		t.Errorf("an idle client costs %.1f KB, want 8 at the most", each)
	}
	c.kill()
	await(t, "end of all", func() bool { return s.open() == 0 })
	await(t, "descriptors and goroutines back", func() bool {
		return openFiles(t) <= descriptors+2 && runtime.NumGoroutine() <= goroutines+5
	})
	debug.FreeOSMemory()
	if left := float64(rss(t)-memory) / float64(n); left > 2 && !raceEnabled {
		t.Errorf("%.1f KB are left of each client", left)
	}
}

// BenchmarkUnwanted makes events that none of the clients wants: what one costs
// does not grow with clients that share a selector.
func BenchmarkUnwanted(b *testing.B) {
	for _, n := range []int{1, 1000} {
		for name, query := range map[string]string{
			"shared": "filter=" + url.QueryEscape(`object.severity == "x"`),
			"own":    "filter=" + url.QueryEscape(`object.severity == "`) + "{i}" + url.QueryEscape(`"`),
		} {
			b.Run(fmt.Sprintf("clients=%d/selectors=%s", n, name), func(b *testing.B) {
				l := newLine(16384)
				s := newService(b, l, shards)
				c := newClients(b, s, n, query)
				defer c.kill()
				before := cpu()
				for b.Loop() {
					l.append(numbered(0, "x"))
					for !l.waiting() { // each event is a batch of its own
						time.Sleep(100 * time.Microsecond)
					}
				}
				b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/event")
			})
		}
	}
}

// BenchmarkIdle opens streams of clients in another process and reports what
// the memory of this one has grown by, as the system counts it.
func BenchmarkIdle(b *testing.B) {
	for _, over := range []carrier{shards, goroutines} {
		b.Run("over="+string(over), func(b *testing.B) {
			n := min(10_000, raise(b)-1000)
			for b.Loop() {
				s := newService(b, newLine(1000), over)
				debug.FreeOSMemory()
				before, goroutines := rss(b), runtime.NumGoroutine()
				c := newClients(b, s, n, "class=fvTenant")
				asItIs := rss(b)
				runtime.GC()
				debug.FreeOSMemory()
				after := rss(b)
				b.ReportMetric(float64(asItIs-before)/float64(n), "KB/client-uncollected")
				b.ReportMetric(float64(after-before)/float64(n), "KB/client")
				b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(n), "goroutines/client")
				c.end(0)
				await(b, "end of all", func() bool { return s.open() == 0 })
				debug.FreeOSMemory()
				b.ReportMetric(float64(rss(b)-before)/float64(n), "KB/client-left")
			}
		})
	}
}

// rss returns the resident memory in KB.
func rss(tb testing.TB) int {
	f, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip("the system does not say how much memory is resident")
	}
	for line := range strings.Lines(string(f)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// BenchmarkBareWrite is the least that a delivery can cost: the same bytes to
// the same clients at the same rates, by one write system call each from one
// thread, and nothing else.
func BenchmarkBareWrite(b *testing.B) {
	for _, rate := range []int{20, 200} {
		b.Run(fmt.Sprintf("clients=1000/rate=%d", rate), func(b *testing.B) {
			const n = 1000
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer listener.Close()
			s := &service{server: &httptest.Server{Listener: listener}}
			var fds []int
			var mu sync.Mutex
			go func() {
				for {
					c, err := listener.Accept()
					if err != nil {
						return
					}
					f, err := c.(*net.TCPConn).File()
					if err != nil {
						b.Error(err)
						return
					}
					c.Close()
					mu.Lock()
					fds = append(fds, int(f.Fd()))
					b.Cleanup(func() { f.Close() })
					s.mu.Lock()
					s.streams++
					s.mu.Unlock()
					mu.Unlock()
				}
			}()
			c := newClients(b, s, n, "")
			defer c.kill()
			tick := time.NewTicker(time.Second / time.Duration(rate))
			defer tick.Stop()
			before, want := cpu(), int64(0)
			for b.Loop() {
				<-tick.C
				e := numbered(0, "~"+strconv.FormatInt(time.Now().UnixNano(), 10))
				e.Changes[0].New = "after"
				sealed := apic.Entry{Event: &e}.Seal(1)
				frame := fmt.Appendf(nil, "200\r\nid: %d\ndata: %s\n\n\r\n", 1, sealed.JSON)
				for _, fd := range fds {
					if _, err := unix.Write(fd, frame); err != nil {
						b.Fatal(err)
					}
				}
				want += n
			}
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(want), "cpu-µs/delivery")
			p50, p99, most := c.end(want)
			reportLate(b, p50, p99, most)
		})
	}
}
