//go:build !linux

package fanout

import "net"

// carries reports whether newSocket can make a socket of a connection. Here
// nothing tells that a peer has hung up without a goroutine that reads, so that
// nothing would be won.
func carries(c net.Conn) bool {
	_, ok := c.(TryWriter)
	return ok
}

func newSocket(c net.Conn) (socket, error) {
	if c, ok := c.(TryWriter); ok {
		return memorySocket{c}, nil
	}
	return nil, errUnsupported
}

type poller struct{}

func newPoller() (*poller, error) { return nil, errUnsupported }

func (*poller) add(*member) error { return errUnsupported }
func (*poller) remove(uint64)     {}
func (*poller) run()              {}
func (*poller) close()            {}
