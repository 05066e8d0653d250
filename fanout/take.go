package fanout

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// A socket is a connection that was taken over. It has one owner at a time, who
// alone calls its methods; abort only is for all.
type socket interface {
	// tryWrite writes what there is room for, without waiting: fewer bytes than
	// there are, and no error, when that is not all.
	tryWrite(b []byte) (int, error)
	// write writes all, under a deadline.
	write(b []byte) error
	// reset makes Close look like a broken connection, not like an end.
	reset()
	// abort makes writes fail, also one that waits. It may be called from any
	// goroutine, and at any time.
	abort()
	Close() error
}

// A TryWriter is a connection that can write without waiting, as the sockets
// of Linux can, for networks in memory.
type TryWriter interface {
	net.Conn
	// TryWrite writes what there is room for, without waiting: fewer bytes than
	// there are, and no error, when that is not all.
	TryWrite(b []byte) (int, error)
}

// writeAll writes all to a connection, under a deadline.
func writeAll(c net.Conn, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{}) // tryWrite would fail behind it
}

// A memorySocket is the socket of a TryWriter.
type memorySocket struct{ TryWriter }

func (s memorySocket) tryWrite(b []byte) (int, error) { return s.TryWrite(b) }
func (s memorySocket) write(b []byte) error           { return writeAll(s.TryWriter, b) }
func (s memorySocket) abort()                         { s.Close() }
func (s memorySocket) reset()                         {}

// Take hijacks the request's connection, answers 200 with the header that
// stands in w, and has a shard carry the stream from there. It is called only
// where [Fanout.Takes] says so, and returns whether the connection was taken;
// if not, nothing was written. The stream ends when its peer hangs up or takes
// nothing, when life ends (nil: never), or with Run. left is called then, once,
// with the number of bytes that were sent.
//
// The body is chunked for HTTP/1.1, so that a stream that breaks off does not
// look whole, and so that proxies can keep it apart from what follows; HTTP/1.0
// has it until the connection closes. The connection is closed in any case, and
// the header says so: what a client might have sent behind its request is not
// answered.
func (f *Fanout) Take(w http.ResponseWriter, r *http.Request, rd Reader, life context.Context, left func(sent int64)) bool {
	c, _, err := http.NewResponseController(w).Hijack() // the buffers are net/http's, and garbage now
	if err != nil {
		return false
	}
	conn, err := newSocket(c)
	if err != nil { // not what ConnContext saw
		c.Close()
		left(0)
		return true
	}
	m := &member{stream: f.open(&rd), conn: conn, chunked: r.ProtoAtLeast(1, 1), left: left}
	m.shard = f.shards[f.turn.Add(1)%uint64(len(f.shards))]
	first := m.begin(&rd)
	head := header(w.Header(), m.chunked)
	if err := conn.write(append(head, first.bytes(m.chunked)...)); err != nil {
		m.finish()
		return true
	}
	m.sent = int64(len(first.payload()))
	if life != nil {
		m.unbind = context.AfterFunc(life, m.revoke)
	}
	// From here on others know it.
	if f.watch(m, c) != nil || !m.shard.post(message{m: m, what: join}) {
		m.finish()
	}
	return true
}

// finish closes the connection and gives back what the stream had. It is called
// once, by whom it belongs to.
func (m *member) finish() {
	m.f.unwatch(m)
	m.conn.Close()
	if m.unbind != nil {
		m.unbind()
	}
	m.f.close(m.feed)
	m.left(m.sent)
}

// header returns a response's status line and header.
func header(h http.Header, chunked bool) []byte {
	var b strings.Builder
	b.WriteString("HTTP/1.0 200 OK\r\n")
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if chunked {
		b.Reset()
		b.WriteString("HTTP/1.1 200 OK\r\n")
		h.Set("Transfer-Encoding", "chunked")
	}
	_ = h.Write(&b) // a strings.Builder takes everything
	b.WriteString("\r\n")
	return []byte(b.String())
}

// watch looks after the peer of m until it hangs up or unwatch is called.
func (f *Fanout) watch(m *member, c net.Conn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return net.ErrClosed
	}
	if _, ok := m.conn.(memorySocket); ok {
		f.side.Go(func() {
			_, _ = io.Copy(io.Discard, c)
			m.hangUp()
		})
		return nil
	}
	if f.poll == nil {
		var err error
		if f.poll, err = newPoller(); err != nil {
			return err
		}
		f.side.Go(f.poll.run)
	}
	return f.poll.add(m)
}

func (f *Fanout) unwatch(m *member) {
	if m.watch != 0 {
		f.poll.remove(m.watch)
	}
}
