//go:build linux

package fanout_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

// everywhere runs a test over all carriers.
func everywhere(t *testing.T, f func(t *testing.T, over carrier)) {
	for _, over := range []carrier{shards, goroutines, http2} {
		t.Run(string(over), func(t *testing.T) { f(t, over) })
	}
}

// Whoever reads what, stalls, hangs up and comes back, while events come as
// fast as they can, gets exactly his, each once and in order.
func TestEachOnceInOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		const events, readers = 50_000, 24
		l := newLine(3000)
		s := newService(t, l, over)
		s.narrow()
		queries := []string{
			"", "class=fvTenant", "class=fvBD,faultInst&status=created", "tenant=t1", "dn=uni/tn-t2/BD-b7",
			"filter=" + url.QueryEscape(`attributes.descr endsWith "7"`), "status=deleted&include", "class=fvCtx",
		}
		var wg sync.WaitGroup
		burst := make(chan struct{})
		begun := l.newest()
		for i := range readers {
			query := queries[i%len(queries)]
			rng := rand.New(rand.NewPCG(7, uint64(i)))
			last := begun
			var got []apic.ID
			r := s.stream(query + "&since=" + strconv.Itoa(int(last)))
			wg.Go(func() {
				// Until a last event that all get.
				for last < begun+events+1 {
					id, kind, _, err := r.message()
					if err != nil {
						t.Errorf("%s, behind %d: %v", query, last, err)
						return
					}
					if kind != "" && id != begun+events+1 {
						t.Errorf("%s: got a %s, %d", query, kind, id)
						return
					}
					if id == last { // the place at the beginning or in a heartbeat
						continue
					}
					last = id
					got = append(got, id)
					switch rng.IntN(1500) {
					case 0, 1: // hang up and come back
						r.close()
						if r, err = s.tryStream(query + "&since=" + strconv.Itoa(int(last))); err != nil {
							t.Error(err)
							return
						}
					case 2, 3: // stall until much has happened
						for to := min(l.newest()+8000, begun+events); l.newest() < to; {
							<-l.Grown(l.newest())
						}
					}
				}
				r.close()
				sel, err := selector.Parse(filterParams(must(url.ParseQuery(query))))
				if err != nil {
					t.Error(err)
				}
				n := 0
				l.mu.RLock()
				defer l.mu.RUnlock()
				for _, e := range l.all {
					if !sel.Match(e) {
						continue
					}
					if n == len(got) || got[n] != e.ID {
						t.Errorf("%s: number %d of %d is not %d", query, n, len(got), e.ID)
						return
					}
					n++
				}
				if n != len(got) {
					t.Errorf("%s: got %d, want %d", query, len(got), n)
				}
			})
		}
		go func() {
			defer close(burst)
			rng := rand.New(rand.NewPCG(7, 7))
			for i := 0; i < events; {
				var some []apic.Event
				for n := min(1+rng.IntN(400), events-i); n > 0; n-- {
					some = append(some, numbered(i, fmt.Sprint("event ", i)))
					i++
				}
				l.append(some...)
				if rng.IntN(4) == 0 {
					runtime.Gosched()
				}
			}
			l.appendGap() // which concerns everybody
		}()
		<-burst
		wg.Wait()
		if s.taken > 0 != (over == shards) {
			t.Errorf("%d connections were taken over", s.taken)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A reader that takes nothing holds up no other of the same shard, and gets all
// once it reads again.
func TestStalled(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(500)
		s := newService(t, l, over, 1)
		quick := s.stream("")
		s.client.CloseIdleConnections()
		s.narrow()
		stalled := s.stream("")
		begun := l.newest()
		read := begun
		follow := func() {
			for read < l.newest() {
				if id := quick.next(); id != read+1 && id != read {
					t.Fatalf("the quick reader got %d behind %d", id, read)
				} else {
					read = id
				}
			}
		}
		big := strings.Repeat("x", 4000)
		caught := 0
		for caught < 50 { // 50 looks in a row at which it is behind, and the quick one is not
			l.append(numbered(0, big), numbered(1, big))
			follow()
			if s.fan.CatchingUp() > 0 {
				caught++
			} else {
				caught = 0
			}
			if l.newest() > begun+100_000 {
				t.Fatal("the stalled reader takes everything")
			}
		}
		s.change()
		l.append(numbered(0, "last"))
		follow()
		for at := begun; at < l.newest(); {
			id := stalled.next()
			if id != at+1 && id != at {
				t.Fatalf("the stalled reader got %d behind %d", id, at)
			}
			at = id
		}
		await(t, "return to the others", func() bool { return s.fan.CatchingUp() == 0 })
		l.append(numbered(0, "together"))
		follow()
		if id := stalled.next(); id != l.newest() {
			t.Errorf("got %d, want %d", id, l.newest())
		}
		const want = `{"version":1}`
		if quick.status != want || stalled.status != want {
			t.Errorf("the quick reader was told the status %s, the stalled one %s, want %s", quick.status, stalled.status, want)
		}
	})
}

// What waits for stalled readers is not held in memory.
func TestStalledMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it moves 100 MB")
	}
	// Not over HTTP/2, whose clients hold megabytes themselves, in this process.
	for _, over := range []carrier{shards, goroutines} {
		t.Run(string(over), func(t *testing.T) { testStalledMemory(t, over) })
	}
}

func testStalledMemory(t *testing.T, over carrier) {
	l := newLine(100)
	s := newService(t, l, over)
	s.narrow()
	var stalled []*reader
	const n = 100
	for i := range n {
		stalled = append(stalled, s.stream("tenant=t"+strconv.Itoa(i%5)))
	}
	// The timeline's own memory is not to hide that of the streams: its entries
	// share their bytes.
	var few [5]apic.Entry
	for i := range few {
		few[i] = apic.Entry{Event: new(numbered(i, strings.Repeat("x", 4000)))}.Seal(1)
	}
	grow := func(n int) {
		for i := range n {
			l.appendEntry(few[i%len(few)])
		}
	}
	inUse := func() int64 {
		var m runtime.MemStats
		debug.FreeOSMemory()
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	before := inUse()
	grow(20_000) // 30 MB for each reader: more than the kernel takes
	await(t, "stall of all", func() bool { return s.fan.CatchingUp() == n })
	grow(20_000)
	if grown := inUse() - before; grown > n*(64<<10)+(8<<20) {
		t.Errorf("memory grew by %d KB for each of %d stalled readers", grown/n>>10, n)
	} else {
		t.Logf("%d KB for each", grown/n>>10)
	}
	for _, r := range stalled {
		r.close()
	}
	await(t, "end of all", func() bool { return s.open() == 0 })
}

// appendEntry appends an entry whose JSON has another id.
func (l *line) appendEntry(e apic.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.ID = l.newestLocked() + 1
	l.all = append(l.all, &e)
	close(l.grown)
	l.grown = make(chan struct{})
}

// A peer that hangs up frees its stream, descriptor and goroutines, whether it
// closes both directions or its own only.
func TestHangUp(t *testing.T) {
	l := newLine(100)
	s := newService(t, l, shards)
	begun := runtime.NumGoroutine()
	for _, how := range []string{"close", "half", "reset"} {
		descriptors := openFiles(t)
		var conns []*net.TCPConn
		for i := range 50 {
			c := s.dial("GET /?tenant=t" + strconv.Itoa(i) + " HTTP/1.1\r\nHost: x\r\n\r\nGET /pipelined HTTP/1.1\r\n\r\n")
			conns = append(conns, c)
		}
		await(t, "streams", func() bool { return s.open() == 50 })
		await(t, "idle streams without goroutines", func() bool { return runtime.NumGoroutine() < begun+10 })
		for _, c := range conns {
			switch how {
			case "close":
				c.Close()
			case "half":
				c.CloseWrite()
			case "reset":
				c.SetLinger(0)
				c.Close()
			}
		}
		await(t, "end of the streams", func() bool { return s.open() == 0 })
		for _, c := range conns {
			c.Close()
		}
		await(t, "descriptors back", func() bool { return openFiles(t) <= descriptors+2 }) // two pollers' first
	}
}

func (s *service) dial(request string) *net.TCPConn {
	s.tb.Helper()
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		s.tb.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		s.tb.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("the system does not say which files are open")
	}
	return len(list)
}

// What is said before the body: chunked for HTTP/1.1, until the end of the
// connection for HTTP/1.0, with the header that stood in the response.
func TestHeader(t *testing.T) {
	l := newLine(100)
	s := newService(t, l, shards)
	for version, want := range map[string]string{"1.1": "chunked", "1.0": ""} {
		c := s.dial("GET / HTTP/" + version + "\r\nHost: x\r\n\r\n")
		defer c.Close()
		r := bufio.NewReader(c)
		first, err := r.ReadString('\n')
		if err != nil || first != "HTTP/"+version+" 200 OK\r\n" {
			t.Errorf("got %q (%v)", first, err)
		}
		res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(first), r)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(res.TransferEncoding, ","); got != want || !res.Close || res.ContentLength != -1 {
			t.Errorf("HTTP/%s: got transfer encoding %q, close %t, length %d", version, got, res.Close, res.ContentLength)
		}
		if _, err := http.ParseTime(res.Header.Get("Date")); err != nil || res.Header.Get("X-Test") != "kept" || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HTTP/%s: got header %v", version, res.Header)
		}
		l.append(numbered(0, "x"))
		m := &reader{tb: t, body: res.Body, lines: bufio.NewReader(res.Body)}
		if id := m.next(); id != l.newest() {
			t.Errorf("HTTP/%s: got %d, want %d", version, id, l.newest())
		}
	}
	s.stop(errStopping)
}

// When the service stops, streams end whole, those of stalled readers too as far
// as they can, and nothing is left.
func TestStop(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(100)
		s := newService(t, l, over)
		var wg sync.WaitGroup
		for i := range 20 {
			r := s.stream("tenant=t" + strconv.Itoa(i%3))
			wg.Go(func() {
				if _, err := io.Copy(io.Discard, r.lines); err != nil {
					t.Errorf("a stream broke: %v", err)
				}
			})
		}
		s.stop(errStopping)
		wg.Wait()
		await(t, "end of all", func() bool { return s.open() == 0 })
		<-s.ended
	})
	t.Run("stalled", func(t *testing.T) {
		l := newLine(100)
		s := newService(t, l, shards)
		s.narrow()
		s.stream("")
		big := strings.Repeat("x", 8000)
		for stalled := 0; stalled < 20; {
			for range 100 {
				l.append(numbered(0, big))
			}
			if s.fan.CatchingUp() > 0 {
				stalled++
			}
		}
		began := time.Now()
		s.stop(errStopping)
		<-s.ended
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("a reader that takes nothing held up the end for %v", took)
		}
		if n := s.open(); n != 0 {
			t.Errorf("%d streams are open", n)
		}
	})
}

// Who is not let in any more is cut off, whole.
func TestRevoked(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(100)
		s := newService(t, l, over)
		stays := s.stream("")
		life, end := context.WithCancel(context.Background())
		defer end()
		s.mu.Lock()
		s.life = life
		s.mu.Unlock()
		goes := s.stream("")
		l.append(numbered(0, "x"))
		goes.next()
		stays.next()
		end()
		if _, err := io.Copy(io.Discard, goes.lines); err != nil {
			t.Errorf("the stream broke: %v", err)
		}
		await(t, "end of the one", func() bool { return s.open() == 1 })
		l.append(numbered(0, "y"))
		for stays.next() != l.newest() {
		}
	})
}

// A token outlives the streams that it let in, and does not remember them.
func TestLifeLetsGo(t *testing.T) {
	s := newService(t, newLine(100), shards)
	life := &countedLife{done: make(chan struct{})}
	s.life = life
	var list []*reader
	for range 10 {
		list = append(list, s.stream(""))
	}
	await(t, "streams that depend on it", func() bool { return life.n.Load() == 10 })
	for _, r := range list {
		r.close()
	}
	await(t, "none", func() bool { return life.n.Load() == 0 })
}

// A countedLife counts what is to be called when it ends.
type countedLife struct {
	context.Context
	done chan struct{}
	n    atomic.Int64
}

func (c *countedLife) Done() <-chan struct{} { return c.done }
func (c *countedLife) Err() error            { return nil }
func (c *countedLife) Value(any) any         { return nil }

func (c *countedLife) AfterFunc(func()) func() bool {
	c.n.Add(1)
	return func() bool { c.n.Add(-1); return true }
}

// Who is cut off while he is far behind gets no more of it.
func TestRevokedBehind(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(100)
		s := newService(t, l, over)
		s.narrow()
		life, end := context.WithCancel(context.Background())
		defer end()
		s.life = life
		r := s.stream("")
		big := strings.Repeat("x", 4000)
		for stalled := 0; stalled < 50; {
			for range 20 {
				l.append(numbered(0, big))
			}
			if s.fan.CatchingUp() > 0 {
				stalled++
			}
		}
		for range 5000 {
			l.append(numbered(0, big))
		}
		end()
		for {
			if _, _, _, err := r.message(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if r.last > l.newest()-1000 {
			t.Errorf("it got all up to %d of %d", r.last, l.newest())
		}
		await(t, "end", func() bool { return s.open() == 0 })
	})
}

// A stream that the log fails breaks off, so that its reader comes back.
func TestBroken(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(2)
		for i := range 10 {
			l.append(numbered(i, "x"))
		}
		l.fail = io.ErrUnexpectedEOF
		s := newService(t, l, over)
		r := s.stream("since=" + strconv.Itoa(int(origin)))
		if _, err := io.Copy(io.Discard, r.lines); err == nil {
			t.Error("a stream that broke off looked whole")
		}
		if over == shards { // where the end of the connection is the end of the body
			c := s.dial("GET /?since=" + strconv.Itoa(int(origin)) + " HTTP/1.0\r\n\r\n")
			defer c.Close()
			if _, err := io.Copy(io.Discard, c); err == nil {
				t.Error("over HTTP/1.0 a stream that broke off looked whole")
			}
		}
		await(t, "end", func() bool { return s.open() == 0 })
	})
}

// What the log has lost is told, and the stream goes on from there.
func TestLost(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(5)
		for i := range 20 {
			l.append(numbered(i, "x"))
		}
		l.floor = origin + 7
		s := newService(t, l, over)
		for since, reason := range map[apic.ID]string{origin + 2: "retention", origin + 500: "unknown-id", 3: "unknown-id"} {
			r := s.stream("since=" + strconv.Itoa(int(since)))
			for {
				id, kind, data, err := r.message()
				if err != nil {
					t.Fatal(err)
				}
				if kind == "" { // the place asked for
					continue
				}
				if kind != "gap" || id != l.floor || !strings.Contains(data, `"reason":"`+reason+`"`) {
					t.Errorf("behind %d: got %d %s %s", since, id, kind, data)
				}
				break
			}
			for want := l.floor + 1; want <= l.newest(); want++ {
				if id := r.next(); id != want {
					t.Errorf("behind %d: got %d, want %d", since, id, want)
				}
			}
			r.close()
		}
	})
}

// Readers that ask for the same share the work of finding and encoding it.
func TestShared(t *testing.T) {
	l := newLine(1000)
	s := newService(t, l, shards)
	var list []*reader
	for range 50 {
		list = append(list, s.stream("class=fvTenant"))
	}
	for range 50 {
		list = append(list, s.stream("class=fvBD"))
	}
	await(t, "rest", func() bool { return s.fan.CatchingUp() == 0 })
	l.mu.Lock()
	before := l.looks
	l.mu.Unlock()
	const events = 20
	for range events {
		l.append(numbered(0, "x")) // a tenant
		for _, r := range list[:50] {
			for r.next() != l.newest() {
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Two feeds, and each shard has a look of its own at the second, which has
	// nothing. Alone each stream would have looked.
	if looks := l.looks - before; looks > events*2*(2*runtime.GOMAXPROCS(0)) {
		t.Errorf("the timeline was asked %d times for %d events", looks, events)
	}
}

// Who comes while others have still to be sent what is older gets only what came
// after.
func TestNewcomer(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(1000)
		s := newService(t, l, over, 1)
		s.stream("")
		for range 20 {
			l.append(numbered(0, "sent at once"))
			l.append(numbered(0, "gathered"), numbered(0, "gathered"))
			before := l.newest()
			r := s.stream("")
			l.append(numbered(0, "new"))
			l.append(numbered(0, "newer"))
			for want := before + 1; want <= before+2; want++ {
				id := r.next()
				if id == before { // the place
					id = r.next()
				}
				if id != want {
					t.Errorf("got %d, want %d: it came at %d", id, want, before)
				}
			}
			r.close()
		}
	})
}

// A reader for whom there has been nothing in a long time has missed nothing when
// the log forgets what was not for him.
func TestQuiet(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(5)
		s := newService(t, l, over)
		r := s.stream("class=fvCtx")
		for range 50 {
			l.append(numbered(0, "x"))
			await(t, "rest", func() bool { return s.fan.CatchingUp() == 0 && l.waiting() })
		}
		l.mu.Lock()
		l.floor = l.newestLocked()
		l.mu.Unlock()
		var many []apic.Event // more than memory holds
		for range 20 {
			many = append(many, numbered(0, "y"))
		}
		l.append(many...)
		l.appendGap()
		if id := r.next(); id != l.newest() {
			t.Errorf("got %d, want the entry %d: no loss is to be told of what was not for him", id, l.newest())
		}
	})
}

// waiting reports whether somebody has been told all that there is.
func (l *line) waiting() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.waitAt == l.newestLocked()
}

// The sessions' state reaches all, whatever carries them, each once.
func TestStatus(t *testing.T) {
	everywhere(t, func(t *testing.T, over carrier) {
		l := newLine(100)
		s := newService(t, l, over)
		var list []*reader
		for i := range 6 {
			list = append(list, s.stream([]string{"", "lines", "class=fvBD"}[i%3]))
		}
		await(t, "rest", func() bool { return s.fan.CatchingUp() == 0 })
		for version := range 3 {
			for _, r := range list {
				for {
					line, err := r.lines.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					if _, said, ok := strings.Cut(line, `{"version":`); ok {
						said, _, at := strings.Cut(said, ",\"at\":") // lines have the place there
						if said = strings.TrimSuffix(said, "}\n"); said != fmt.Sprint(version) || at && version > 0 {
							t.Fatalf("got %q, want version %d", line, version)
						}
						break
					}
				}
			}
			s.change()
		}
	})
}

// appendGap appends a gap in everything.
func (l *line) appendGap() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	sealed := apic.Entry{Gap: &apic.Gap{Time: now, Fabric: "default", From: now, To: now, Reason: "x", Healed: true}}.Seal(l.newestLocked() + 1)
	l.all = append(l.all, &sealed)
	close(l.grown)
	l.grown = make(chan struct{})
}
