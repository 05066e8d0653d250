package fanout

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// carries reports whether newSocket can make a socket of a connection.
func carries(c net.Conn) bool {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn, TryWriter:
		return true
	}
	return false
}

func newSocket(c net.Conn) (socket, error) {
	switch c := c.(type) {
	case TryWriter:
		return memorySocket{c}, nil
	case *net.TCPConn:
		raw, err := c.SyscallConn()
		return &kernelSocket{c, raw}, err
	case *net.UnixConn:
		raw, err := c.SyscallConn()
		return &kernelSocket{c, raw}, err
	}
	return nil, errUnsupported
}

// A kernelSocket is a socket of the kernel's. It stays registered with Go's
// poller, for write to wait.
type kernelSocket struct {
	net.Conn
	raw syscall.RawConn
}

func (s *kernelSocket) tryWrite(a *attempt, b []byte) (int, error) {
	a.b, a.n, a.err = b, 0, nil
	err := s.raw.Write(a.do)
	a.b = nil
	if err == nil {
		err = a.err
	}
	return a.n, err
}

func (s *kernelSocket) write(b []byte) error { return writeAll(s.Conn, b) }

func (s *kernelSocket) reset() {
	if c, ok := s.Conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // else it is an end like any other
	}
}

// An attempt is what tryWrite needs; it is used again, so that a write
// allocates nothing.
type attempt struct {
	b   []byte
	n   int
	err error
	do  func(fd uintptr) bool
}

func (a *attempt) init() {
	a.do = func(fd uintptr) bool {
		for {
			n, err := unix.Write(int(fd), a.b)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.EAGAIN:
			case err != nil:
				a.err = os.NewSyscallError("write", err)
			default:
				a.n = n
			}
			return true // whatever came: nobody waits here
		}
	}
}

// A poller says when the peers of idle sockets hang up: one epoll instance, which
// itself waits at Go's poller, so that no thread is spent on it.
type poller struct {
	file *os.File
	raw  syscall.RawConn
	fd   int

	mu      sync.Mutex // guards all below
	members map[uint64]*member
	last    uint64
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &poller{file: file, raw: raw, fd: fd, members: make(map[uint64]*member)}, nil
}

// add watches over a member. A peer that has hung up already is told as well.
func (p *poller) add(m *member) error {
	p.mu.Lock()
	p.last++
	id := p.last // and not the descriptor, which is given again to others
	p.members[id] = m
	m.watch = id
	p.mu.Unlock()
	s, ok := m.conn.(*kernelSocket)
	if !ok {
		return errUnsupported
	}
	var failed error
	err := s.raw.Control(func(fd uintptr) {
		// EPOLLHUP and EPOLLERR come unasked.
		failed = unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{
			Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(id), Pad: int32(id >> 32),
		})
	})
	return errors.Join(err, os.NewSyscallError("epoll_ctl", failed))
}

// remove forgets a member. Its descriptor leaves the instance as it is closed.
func (p *poller) remove(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.members, id)
}

func (p *poller) run() {
	events := make([]unix.EpollEvent, 128)
	for {
		n := 0
		err := p.raw.Read(func(fd uintptr) bool {
			got, err := unix.EpollWait(int(fd), events, 0)
			n = max(got, 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
		if err != nil { // closed
			return
		}
		for _, e := range events[:n] {
			id := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
			p.mu.Lock()
			m := p.members[id]
			p.mu.Unlock()
			if m != nil {
				m.hangUp()
			}
		}
	}
}

func (p *poller) close() { p.file.Close() }
