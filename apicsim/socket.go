package apicsim

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// socket is one WebSocket, from the 101 to the end. Frames are appended to a
// buffer under the socket's own lock; one goroutine writes the buffer out, the
// handler's goroutine reads what the client says. Neither holds a lock over I/O.
type socket struct {
	c    *Controller
	s    *session // whose it is; guarded by the fabric's lock
	conn net.Conn
	wake chan struct{} // something to write, or to end; capacity 1
	gone chan struct{} // closed when the connection has been closed
	once sync.Once     // closes gone

	mu      sync.Mutex // guards all below
	out     []byte     // frames not yet handed to the connection
	spare   []byte     // the buffer of the last write, for reuse
	queued  int        // frames in out
	flying  int        // frames in the write under way
	ending  bool       // nothing is added any more; closed when out is empty
	reset   bool       // then with a TCP reset
	dead    bool       // F8: nothing goes out, nothing is answered
	noPong  bool       // F9
	hold    int        // F35: bytes that a middlebox collects before it passes them on
	dropIn  int        // frames until the cut, 0 for never (F7)
	dropHow SocketEnd
	parked  bool // F30: frames wait in park
	park    []byte
	parkN   int
	room    chan struct{} // closed and replaced after each write, for Blast
	idle    *timer        // F35

	frames atomic.Int64 // given to the connection
	last   atomic.Int64 // Unix nanoseconds of the last byte in or out
}

const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// appendHeader writes the header of an unmasked, unfragmented frame.
func appendHeader(dst []byte, op byte, n int) []byte {
	dst = append(dst, 0x80|op)
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
}

// serveSocket answers GET /socket<token>.
func (c *Controller) serveSocket(w *recorder, r *http.Request, uri string) {
	token := strings.TrimPrefix(uri, "/socket")
	token, _, _ = strings.Cut(token, "?")
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" || r.Header.Get("Sec-WebSocket-Version") != "13" {
		c.answer(w, r, Answer{Status: 400, HTML: true})
		return
	}
	c.f.mu.Lock()
	if a, ok := c.fault.takeSocket(); ok && a.Status != 101 {
		c.f.mu.Unlock()
		c.answer(w, r, a)
		return
	} else if ok { // 101, and the end
		c.f.mu.Unlock()
		if k := c.upgrade(w, key); k != nil {
			k.greet(key)
			k.end(CloseNormal)
			k.write()
		}
		return
	}
	s := c.sessionLocked(token, time.Now())
	if s != nil && s.web {
		cs := readCookies(r.Header)
		user, err := c.f.verify(cs, r.Method, uri, nil)
		if err != nil || user != s.user {
			s = nil
		}
	}
	c.f.mu.Unlock()
	if s == nil {
		c.answer(w, r, tokenTimeout)
		return
	}
	// The socket is known before the client hears of it: otherwise a quick
	// subscribe would find none.
	k := c.upgrade(w, key)
	if k == nil {
		return
	}
	c.f.mu.Lock()
	if s.over || c.f.closed {
		c.f.mu.Unlock()
		k.end(Reset)
		k.write()
		return
	}
	if old := s.sock; old != nil { // U6: the newer one takes over, without the subscriptions
		s.dropSubscriptions()
		old.end(CloseGoingAway)
	}
	k.s = s
	s.sock = k
	c.sockets = append(c.sockets, k)
	k.noPong = c.fault.noPong
	k.hold = c.fault.hold
	k.parked = c.fault.parked
	c.f.wg.Add(1)
	c.f.mu.Unlock()
	c.f.stats.sockets.Add(1)
	k.greet(key)
	k.watch()

	go func() {
		defer c.f.wg.Done()
		k.write()
	}()
	k.read()
	k.shut(false)
	c.f.mu.Lock()
	c.sockets = slices.DeleteFunc(c.sockets, func(x *socket) bool { return x == k })
	if s.sock == k {
		s.sock = nil
		s.dropSubscriptions()
	}
	c.f.mu.Unlock()
	k.stopWatch()
	c.f.stats.framesSent(s, k.frames.Load())
}

// upgrade takes the connection over; nil if it cannot be had.
func (c *Controller) upgrade(w *recorder, key string) *socket {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		c.answer(w, nil, Answer{Status: 500, HTML: true})
		return nil
	}
	w.status = http.StatusSwitchingProtocols
	c.f.stats.end(w.at, w.status, 0)
	_ = conn.SetDeadline(time.Time{})
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Reader.Peek(n)
		conn = &prefixed{Conn: conn, r: slices.Clone(b)}
	}
	return &socket{c: c, conn: conn, wake: make(chan struct{}, 1), gone: make(chan struct{}), room: make(chan struct{})}
}

// prefixed gives back what the HTTP server had read too much.
type prefixed struct {
	net.Conn
	r []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.r) > 0 {
		n := copy(b, p.r)
		p.r = p.r[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// greet puts the 101 in front of all frames.
func (k *socket) greet(key string) {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\nServer: Cisco APIC\r\n\r\n"
	k.mu.Lock()
	k.out = append([]byte(head), k.out...)
	k.mu.Unlock()
	k.poke()
}

func (k *socket) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// sendObject adds a frame for one object. It never blocks. The caller has the
// fabric's lock.
func (k *socket) sendObject(subs []*subscription, body []byte, xml, twice bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.openLocked() {
		return
	}
	n := len(body)
	if twice {
		n = 2 * n
	}
	if xml {
		n += len(`<?xml version="1.0" encoding="UTF-8"?><imdata subscriptionId="`) + len(`">`) + len("</imdata>")
	} else {
		n += len(`{"subscriptionId":[`) + len(`],"imdata":[`) + len("]}")
		n += 2 * len(subs)
		if twice {
			n++
		}
	}
	n += len(subs) - 1
	for _, sub := range subs {
		n += len(sub.id)
	}
	start := len(k.out)
	k.out = appendHeader(k.out, opText, n)
	k.out = appendFrame(k.out, subs, body, xml, twice)
	if size := k.c.fault.split; size > 0 && n > size {
		payload := slices.Clone(k.out[len(k.out)-n:])
		k.out = appendFragments(k.out[:start], payload, size)
	}
	k.addedLocked(start)
}

// appendFragments writes a text message as a first fragment and continuations.
func appendFragments(dst, payload []byte, size int) []byte {
	op := byte(opText)
	for len(payload) > 0 {
		n := min(size, len(payload))
		at := len(dst)
		dst = append(appendHeader(dst, op, n), payload[:n]...)
		if payload = payload[n:]; len(payload) > 0 {
			dst[at] &^= 0x80 // more to come
		}
		op = 0
	}
	return dst
}

// send adds a frame of any kind. It never blocks.
func (k *socket) send(op byte, payload []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.openLocked() {
		return
	}
	start := len(k.out)
	k.out = append(appendHeader(k.out, op, len(payload)), payload...)
	if op == opText || op == opBinary {
		k.addedLocked(start)
	} else {
		k.poke()
	}
}

func (k *socket) openLocked() bool {
	if k.ending {
		return false
	}
	if k.dead {
		k.c.f.stats.suppressed.Add(1)
		return false
	}
	return true
}

// addedLocked does what follows a data frame that begins at start: the cut after
// so many frames, the end of a socket too far behind.
func (k *socket) addedLocked(start int) {
	k.c.f.stats.frames.Add(1)
	if k.parked {
		k.park = append(k.park, k.out[start:]...)
		k.parkN++
		k.out = k.out[:start]
		return
	}
	k.queued++
	if k.dropIn > 0 {
		if k.dropIn--; k.dropIn == 0 {
			if k.dropHow != CutFrame {
				k.endLocked(k.dropHow)
				return
			}
			k.out = k.out[:start+(len(k.out)-start+1)/2]
			k.reset, k.ending = true, true
			k.poke()
			return
		}
	}
	if k.queued+k.flying > k.c.f.opts.MaxBehind {
		k.c.f.log.Info("socket dropped: too far behind", "frames", k.queued+k.flying)
		k.c.f.stats.behind.Add(1)
		k.out, k.queued = k.out[:0], 0
		k.endLocked(Reset)
		// The write under way may wait for ever for this client.
		k.close(true)
		return
	}
	if k.hold > 0 && len(k.out) < k.hold {
		return
	}
	k.poke()
}

// end ends the socket. What was sent before goes out first, unless the client
// does not read.
func (k *socket) end(how SocketEnd) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.endLocked(how)
}

func (k *socket) endLocked(how SocketEnd) {
	if k.ending {
		if how == Reset {
			k.close(true)
		}
		return
	}
	switch how {
	case StayOpen:
		return
	case CloseNormal, CloseGoingAway:
		code := byte(0xE8) // 1000
		if how == CloseGoingAway {
			code = 0xE9
		}
		if !k.dead {
			k.out = append(appendHeader(k.out, opClose, 2), 0x03, code)
		}
	case CutFrame:
		// A frame that never ends: the header promises more than comes.
		if !k.dead {
			k.out = append(appendHeader(k.out, opText, 4096), `{"subscriptionId":["72057`...)
		}
		k.reset = true
	case Reset:
		k.reset = true
	}
	k.ending = true
	k.poke()
	if how == Reset && k.flying > 0 {
		k.close(true)
	}
}

// write is the writer: it takes all that is there and writes it in one piece.
func (k *socket) write() {
	defer k.shut(false)
	for {
		k.mu.Lock()
		for len(k.out) == 0 || k.hold > 0 && len(k.out) < k.hold && !k.ending {
			if k.ending {
				reset := k.reset
				k.mu.Unlock()
				k.shut(reset)
				return
			}
			k.mu.Unlock()
			select {
			case <-k.wake:
			case <-k.gone:
				return
			}
			k.mu.Lock()
		}
		buf := k.out
		k.out, k.spare = k.spare[:0], nil
		k.flying, k.queued = k.queued, 0
		n := k.flying
		k.mu.Unlock()
		_, err := k.conn.Write(buf)
		k.last.Store(time.Now().UnixNano())
		k.mu.Lock()
		k.flying = 0
		if cap(buf) < 4<<20 {
			k.spare = buf[:0]
		}
		close(k.room)
		k.room = make(chan struct{})
		k.mu.Unlock()
		if err != nil {
			return
		}
		k.frames.Add(int64(n))
	}
}

// shut closes the connection; with reset at once, whatever is under way.
func (k *socket) shut(reset bool) {
	k.mu.Lock()
	k.ending = true
	k.mu.Unlock()
	k.close(reset)
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.room) // Blast looks again
	k.room = make(chan struct{})
}

// close does not need the lock. A plain close may take a moment (TLS says
// goodbye); a reset does not, and cuts a plain one short.
func (k *socket) close(reset bool) {
	if reset {
		resetConn(k.conn)
	}
	k.once.Do(func() {
		_ = k.conn.Close()
		close(k.gone)
	})
}

// resetConn makes the next Close of a connection a reset.
func resetConn(conn net.Conn) {
	for {
		switch c := conn.(type) {
		case *prefixed:
			conn = c.Conn
			continue
		case *trackedConn:
			conn = c.Conn
			continue
		case interface{ NetConn() net.Conn }: // TLS: without its farewell
			conn = c.NetConn()
			continue
		case *net.TCPConn:
			_ = c.SetLinger(0)
			_ = c.Close()
		case *memConn:
			c.reset()
		}
		return
	}
}

// read answers pings and close frames until the connection ends. Whatever else a
// client says is ignored, as APIC does.
func (k *socket) read() {
	br := bufio.NewReaderSize(k.conn, 1024)
	for {
		op, payload, err := readFrame(br)
		if err != nil {
			return
		}
		k.last.Store(time.Now().UnixNano())
		k.mu.Lock()
		deaf, noPong := k.dead, k.noPong
		k.mu.Unlock()
		if deaf {
			continue // F8: to the client, nobody is there
		}
		switch op {
		case opPing:
			k.c.f.stats.pings.Add(1)
			if !noPong {
				k.send(opPong, payload)
			}
		case opClose:
			if len(payload) > 2 {
				payload = payload[:2]
			}
			k.mu.Lock()
			if !k.ending {
				k.out = append(appendHeader(k.out, opClose, len(payload)), payload...)
				k.ending = true
			}
			k.mu.Unlock()
			k.poke()
			// Wait for the client to leave, not for ever.
			_ = k.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, _ = io.Copy(io.Discard, br)
			return
		}
	}
}

var errFrame = errors.New("malformed frame")

// readFrame reads one frame of a client.
func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var h [14]byte
	if _, err := io.ReadFull(r, h[:2]); err != nil {
		return 0, nil, err
	}
	op = h[0] & 0x0F
	n := uint64(h[1] & 0x7F)
	switch n {
	case 126:
		if _, err := io.ReadFull(r, h[2:4]); err != nil {
			return 0, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(h[2:4]))
	case 127:
		if _, err := io.ReadFull(r, h[2:10]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(h[2:10])
	}
	if n > 1<<20 {
		return 0, nil, errFrame
	}
	if h[1]&0x80 == 0 {
		return 0, nil, errFrame // clients must mask
	}
	if _, err := io.ReadFull(r, h[10:14]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= h[10+i&3]
	}
	return op, payload, nil
}

// watch starts the timers of a socket: the server's own pings, and the middlebox
// that drops idle connections (F35).
func (k *socket) watch() {
	k.last.Store(time.Now().UnixNano())
	k.c.f.mu.RLock()
	limit := k.c.fault.idleDrop
	k.c.f.mu.RUnlock()
	every := k.c.f.opts.PingEvery
	switch {
	case limit > 0:
		k.watchIdle(limit)
	case every > 0:
		k.watchPing(every)
	}
}

func (k *socket) watchPing(every time.Duration) {
	t := k.c.f.after(every, func() {
		k.send(opPing, nil)
		select {
		case <-k.gone:
		default:
			k.watchPing(every)
		}
	})
	k.setTimer(t)
}

func (k *socket) watchIdle(limit time.Duration) {
	idle := time.Since(time.Unix(0, k.last.Load()))
	if idle >= limit {
		k.end(Reset)
		return
	}
	t := k.c.f.after(limit-idle, func() {
		select {
		case <-k.gone:
		default:
			k.watchIdle(limit)
		}
	})
	k.setTimer(t)
}

func (k *socket) setTimer(t *timer) {
	k.mu.Lock()
	k.idle = t
	k.mu.Unlock()
	select {
	case <-k.gone:
		k.stopWatch()
	default:
	}
}

func (k *socket) stopWatch() {
	k.mu.Lock()
	t := k.idle
	k.mu.Unlock()
	t.stop()
}
