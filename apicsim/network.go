package apicsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Network is a network in memory, for tests on virtual time: connections have
// buffers (which net.Pipe has not) and deadlines, and wait on condition variables
// only, so that a synctest bubble can be idle.
//
//	network := apicsim.NewNetwork()
//	l, _ := network.Listen("apic1:443")
//	go server.Serve(l)
//	client.Transport = &http.Transport{DialContext: network.DialContext}
//
// A bubble must make its own.
type Network struct {
	mu        sync.Mutex // guards all below
	listeners map[string]*memListener
	refused   map[string]bool
	frozen    map[string]bool
	pairs     map[*memConn]string // open client ends, by the address they dialled
	dials     map[string]int
	nextPort  int
}

// NewNetwork returns an empty network.
func NewNetwork() *Network {
	return &Network{
		listeners: map[string]*memListener{}, refused: map[string]bool{}, frozen: map[string]bool{},
		pairs: map[*memConn]string{}, dials: map[string]int{}, nextPort: 40000,
	}
}

type memAddr string

func (memAddr) Network() string  { return "mem" }
func (a memAddr) String() string { return string(a) }

// bufferSize is how much a connection holds in each direction, as a kernel would.
const bufferSize = 256 << 10

type memListener struct {
	n      *Network
	addr   string
	accept chan *memConn
	done   chan struct{}
	once   sync.Once
}

// Listen waits for connections to an address, which is any text.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Addr: memAddr(addr), Err: syscall.EADDRINUSE}
	}
	l := &memListener{n: n, addr: addr, accept: make(chan *memConn, 16), done: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.n.mu.Lock()
		delete(l.n.listeners, l.addr)
		l.n.mu.Unlock()
		for {
			select {
			case c := <-l.accept:
				c.reset()
			default:
				return
			}
		}
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return memAddr(l.addr) }

// DialContext connects to an address. Nobody listening, or [Network.Refuse], gives
// "connection refused"; a frozen address answers not at all.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: network, Addr: memAddr(addr), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return nil, fail(err)
	}
	n.mu.Lock()
	n.dials[addr]++
	l := n.listeners[addr]
	refused, frozen := n.refused[addr], n.frozen[addr]
	n.nextPort++
	local := memAddr(fmt.Sprintf("192.0.2.1:%d", n.nextPort))
	n.mu.Unlock()
	switch {
	case frozen:
		<-ctx.Done()
		return nil, fail(ctx.Err())
	case l == nil || refused:
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	a, b := newPair(n, local, memAddr(addr))
	select {
	case l.accept <- b:
	case <-l.done:
		return nil, fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case <-ctx.Done():
		return nil, fail(ctx.Err())
	}
	n.mu.Lock()
	n.pairs[a] = addr
	n.mu.Unlock()
	return a, nil
}

// Dials returns how often an address was dialled.
func (n *Network) Dials(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials[addr]
}

// Refuse makes an address refuse new connections, or accept them again. Open ones
// live on.
func (n *Network) Refuse(addr string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused[addr] = on
}

// Cut resets all connections to an address, once after more bytes have come from
// the server on each (0 for at once): that is how a frame ends in the middle.
func (n *Network) Cut(addr string, after int) {
	for _, c := range n.conns(addr) {
		if after <= 0 {
			c.sever()
			continue
		}
		c.in.mu.Lock()
		c.in.cutIn = after
		c.in.mu.Unlock()
	}
}

// Freeze makes an address fall silent: what either side writes is taken and lost,
// nothing arrives, no connection ends. New connections hang. That is what a
// half-open connection looks like.
func (n *Network) Freeze(addr string) { n.freeze(addr, true) }

// Thaw ends Freeze. What was lost stays lost: connections that had something
// under way are reset, as TCP would find out.
func (n *Network) Thaw(addr string) { n.freeze(addr, false) }

func (n *Network) freeze(addr string, on bool) {
	n.mu.Lock()
	n.frozen[addr] = on
	n.mu.Unlock()
	for _, c := range n.conns(addr) {
		a, b := c.in.freeze(on), c.out.freeze(on)
		if a || b {
			c.sever()
		}
	}
}

func (n *Network) conns(addr string) []*memConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*memConn
	for c, a := range n.pairs {
		if a == addr {
			out = append(out, c)
		}
	}
	return out
}

// Conns returns how many connections to an address are open.
func (n *Network) Conns(addr string) int { return len(n.conns(addr)) }

// half is one direction of a connection.
type half struct {
	mu     sync.Mutex // guards all below
	cond   *sync.Cond
	buf    []byte
	rerr   error // what the reader gets when buf is empty
	werr   error // what the writer gets
	frozen bool
	lost   bool // bytes were swallowed while frozen
	cutIn  int  // bytes until the reset, 0 for never
	cut    func()

	rclosed, wclosed bool // that end itself is closed: it is told at once

	readBy, writeBy deadline
}

// deadline of one side of a half.
type deadline struct {
	t    *time.Timer
	past bool
	gen  int
}

func newHalf() *half {
	h := &half{}
	h.cond = sync.NewCond(&h.mu)
	return h
}

// set makes the deadline d of h expire at t.
func (h *half) set(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.t != nil {
		d.t.Stop()
		d.t = nil
	}
	d.gen++
	d.past = false
	if !t.IsZero() {
		if left := time.Until(t); left <= 0 {
			d.past = true
		} else {
			gen := d.gen
			d.t = time.AfterFunc(left, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				if d.gen == gen {
					d.past = true
					h.cond.Broadcast()
				}
			})
		}
	}
	h.cond.Broadcast()
}

func (h *half) stopTimers() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range []*deadline{&h.readBy, &h.writeBy} {
		d.gen++
		if d.t != nil {
			d.t.Stop()
		}
	}
}

// end ends the direction: its reader gets r (once the buffer is empty, if it is
// the other side that ended it), its writer w. byReader and byWriter say who did
// it: whoever did knows at once, the other not while the line is frozen.
func (h *half) end(r, w error, byReader, byWriter bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rerr == nil || byReader {
		h.rerr = r
	}
	if h.werr == nil || byWriter {
		h.werr = w
	}
	h.rclosed = h.rclosed || byReader
	h.wclosed = h.wclosed || byWriter
	h.cond.Broadcast()
}

// freeze reports, when it ends, whether something was lost.
func (h *half) freeze(on bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frozen = on
	lost := h.lost
	if !on {
		h.lost = false
	}
	h.cond.Broadcast()
	return lost && !on
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.rclosed:
			return 0, h.rerr
		case h.readBy.past:
			return 0, os.ErrDeadlineExceeded
		case h.frozen:
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			h.cond.Broadcast()
			return n, nil
		case h.rerr != nil:
			return 0, h.rerr
		}
		h.cond.Wait()
	}
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	total := 0
	for {
		switch {
		case h.wclosed:
			return total, h.werr
		case h.writeBy.past:
			return total, os.ErrDeadlineExceeded
		case h.frozen:
			h.lost = h.lost || len(p) > 0
			return total + len(p), nil
		case h.werr != nil:
			return total, h.werr
		case len(p) == 0:
			return total, nil
		case len(h.buf) < bufferSize:
			n := min(len(p), bufferSize-len(h.buf))
			if h.cutIn > 0 {
				n = min(n, h.cutIn)
				h.cutIn -= n
				if h.cutIn == 0 {
					// What is in the buffer can still be read, then comes the reset.
					h.buf = append(h.buf, p[:n]...)
					h.rerr, h.werr = errReset, errReset
					h.cond.Broadcast()
					h.mu.Unlock()
					h.cut()
					h.mu.Lock()
					return total + n, errReset
				}
			}
			h.buf = append(h.buf, p[:n]...)
			total += n
			p = p[n:]
			h.cond.Broadcast()
			continue
		}
		h.cond.Wait()
	}
}

var errPipe = os.NewSyscallError("write", syscall.EPIPE)

var errReset = os.NewSyscallError("read", syscall.ECONNRESET)

// memConn is one end of a connection.
type memConn struct {
	n             *Network
	in, out       *half
	local, remote net.Addr
	peer          *memConn
	once          sync.Once
}

func newPair(n *Network, local, remote net.Addr) (client, server *memConn) {
	up, down := newHalf(), newHalf()
	client = &memConn{n: n, in: down, out: up, local: local, remote: remote}
	server = &memConn{n: n, in: up, out: down, local: remote, remote: local}
	client.peer, server.peer = server, client
	down.cut = func() { up.end(errReset, errReset, true, false); n.forget(client) }
	up.cut = func() { down.end(errReset, errReset, true, false); n.forget(client) }
	return client, server
}

func (n *Network) forget(c *memConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pairs, c)
	delete(n.pairs, c.peer)
}

func (c *memConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

func (c *memConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// TryWrite writes what there is room for, without waiting: fewer bytes than there
// are, and no error, when that is not all.
func (c *memConn) TryWrite(p []byte) (int, error) {
	c.out.mu.Lock()
	room := bufferSize - len(c.out.buf)
	c.out.mu.Unlock()
	// The caller is the only writer: there can only be more room by now.
	return c.Write(p[:max(0, min(len(p), room))])
}

func (c *memConn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}

// Close ends both directions; what was written can still be read by the peer.
func (c *memConn) Close() error {
	c.once.Do(func() {
		c.in.end(net.ErrClosed, errPipe, true, false)
		c.out.end(io.EOF, net.ErrClosed, false, true)
		c.in.stopTimers()
		c.out.stopTimers()
		c.n.forget(c)
	})
	return nil
}

// reset ends both directions; the peer learns it as a reset, once it has read what
// had arrived, if the line is not frozen.
func (c *memConn) reset() {
	c.once.Do(func() {
		c.in.end(net.ErrClosed, errReset, true, false)
		c.out.end(errReset, net.ErrClosed, false, true)
		c.in.stopTimers()
		c.out.stopTimers()
		c.n.forget(c)
	})
}

// sever resets the connection for both ends, as somebody between them does.
func (c *memConn) sever() {
	for _, h := range []*half{c.in, c.out} {
		h.end(errReset, errReset, true, true)
	}
	c.n.forget(c)
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }

func (c *memConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.readBy, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.writeBy, t)
	return nil
}
