package fanout

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

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
	if c, ok := c.(TryWriter); ok {
		return memorySocket{c}, nil
	}
	with, ok := c.(syscall.Conn)
	if !ok {
		return nil, errUnsupported
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &kernelSocket{Conn: c, raw: raw}
	err = raw.Control(func(fd uintptr) { s.fd = fd })
	return s, err
}

// A kernelSocket is a socket of the kernel's. It stays registered with Go's
// poller, for write to wait.
type kernelSocket struct {
	net.Conn
	raw syscall.RawConn
	fd  uintptr // the socket's own until Close, which only its owner calls
}

// tryWrite makes the system call itself: the socket does not block, so that the
// scheduler need not be told, and nobody else closes it, so that it need not be
// locked. That is a tenth of what a delivery costs.
func (s *kernelSocket) tryWrite(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, _, err := unix.RawSyscall(unix.SYS_WRITE, s.fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch err {
		case 0:
			return int(n), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
			continue
		}
		return 0, os.NewSyscallError("write", err)
	}
}

func (s *kernelSocket) write(b []byte) error { return writeAll(s.Conn, b) }

func (s *kernelSocket) abort() {
	_ = s.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) }) // nor is there anything else to do
}

func (s *kernelSocket) reset() {
	if c, ok := s.Conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // else it is an end like any other
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
