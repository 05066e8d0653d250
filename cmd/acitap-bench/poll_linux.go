package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A pool is many clients, each a connection and a reader, served by a few
// goroutines with epoll and one buffer each: ten thousand of them must be
// cheap enough not to be what is measured.
type pool struct {
	pollers []*poller
	pending
	stopped atomic.Bool
	done    sync.WaitGroup
}

// pending is what a pool tells while it works.
type pending struct {
	opened atomic.Int64
	ready  atomic.Int64 // answered with 200
	events atomic.Int64 // of the load program, over all readers
	ended  atomic.Int64 // closed by the server, or refused
	reason atomic.Value // string: how the last of them ended
}

type poller struct {
	pool *pool
	fd   int

	mu    sync.Mutex // guards all below
	conns map[int32]*reader
	gone  []*reader // whose connection has ended
	times histogram
}

func newPool(pollers int) (*pool, error) {
	p := new(pool)
	for range pollers {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			p.close()
			return nil, err
		}
		one := &poller{pool: p, fd: fd, conns: make(map[int32]*reader)}
		p.pollers = append(p.pollers, one)
		p.done.Go(one.run)
	}
	return p, nil
}

// open connects from a source address, sends the request, and hands the
// connection to a poller. The numbers of its events begin with next.
func (p *pool) open(source [4]byte, port int, request []byte, f form, next int64, timed bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// The port is chosen when the connection is: with its destination, not for all.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("bind to %v: %w", source, err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("connect: %w", err)
	}
	if _, err := unix.Write(fd, request); err != nil {
		unix.Close(fd)
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	one := p.pollers[int(p.opened.Add(1))%len(p.pollers)]
	r := &reader{form: f}
	r.next = next
	one.mu.Lock()
	defer one.mu.Unlock()
	if timed {
		r.times = &one.times
	}
	one.conns[int32(fd)] = r
	return unix.EpollCtl(one.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// look is how often a poller looks what has come. It does not sleep in epoll:
// on loopback the one who writes pays for waking the one who waits, several µs
// a delivery on a virtual machine, which clients elsewhere would not cost it. It
// is in the latencies.
const look = 500 * time.Microsecond

func (p *poller) run() {
	events := make([]unix.EpollEvent, 8192)
	buf := make([]byte, 256<<10)
	pause := unix.NsecToTimespec(look.Nanoseconds())
	for !p.pool.stopped.Load() {
		n, err := unix.EpollWait(p.fd, events, 0)
		if err != nil && err != unix.EINTR {
			return
		}
		for i := range max(n, 0) {
			p.read(events[i].Fd, buf)
		}
		_ = unix.Nanosleep(&pause, nil) // finer than the timers of the runtime
	}
}

func (p *poller) read(fd int32, buf []byte) {
	n, err := unix.Read(int(fd), buf)
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	now := time.Now().UnixMicro()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.conns[fd]
	if r == nil {
		return
	}
	if n <= 0 || err != nil {
		p.pool.reason.Store(fmt.Sprintf("read: %d bytes, %v; status %d, %d events before", n, err, r.status, r.got))
		p.endLocked(fd, r)
		return
	}
	before, ready := r.got, r.headDone
	r.feed(buf[:n], now)
	if !ready && r.headDone {
		if r.status != 200 {
			p.pool.reason.Store(fmt.Sprintf("status %d", r.status))
			p.endLocked(fd, r)
			return
		}
		p.pool.ready.Add(1)
	}
	if d := r.got - before; d > 0 {
		p.pool.events.Add(d)
	}
}

func (p *poller) endLocked(fd int32, r *reader) {
	delete(p.conns, fd)
	p.gone = append(p.gone, r)
	unix.Close(int(fd)) // takes it out of the epoll set too
	p.pool.ended.Add(1)
}

// each calls fn for every reader there was.
func (p *pool) each(fn func(*reader)) {
	for _, one := range p.pollers {
		one.mu.Lock()
		for _, r := range one.conns {
			fn(r)
		}
		for _, r := range one.gone {
			fn(r)
		}
		one.mu.Unlock()
	}
}

// takeTimes returns the latencies since the last call.
func (p *pool) takeTimes() *histogram {
	all := new(histogram)
	for _, one := range p.pollers {
		one.mu.Lock()
		all.merge(&one.times)
		one.times = histogram{}
		one.mu.Unlock()
	}
	return all
}

// close ends all connections.
func (p *pool) close() {
	p.stopped.Store(true)
	p.done.Wait()
	for _, one := range p.pollers {
		for fd := range one.conns {
			unix.Close(int(fd))
		}
		unix.Close(one.fd)
	}
}
