//go:build !linux

package main

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A pool is many clients, each a connection and a reader. Where there is no
// epoll each has a goroutine, and the pool takes more of the machine.
type pool struct {
	pollers []*poller
	pending
	done sync.WaitGroup
}

// pending is what a pool tells while it works.
type pending struct {
	opened atomic.Int64
	ready  atomic.Int64
	events atomic.Int64
	ended  atomic.Int64
	reason atomic.Value // string: how the last of them ended
}

type poller struct {
	mu    sync.Mutex // guards all below
	all   []*reader
	conns []net.Conn
	times histogram
}

func newPool(int) (*pool, error) {
	return &pool{pollers: []*poller{new(poller)}}, nil
}

func (p *pool) open(_ [4]byte, port int, request []byte, f form, next int64, timed bool) error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		conn.Close()
		return err
	}
	p.opened.Add(1)
	one := p.pollers[0]
	r := &reader{form: f}
	r.next = next
	one.mu.Lock()
	defer one.mu.Unlock()
	if timed {
		r.times = &one.times
	}
	one.all = append(one.all, r)
	one.conns = append(one.conns, conn)
	p.done.Go(func() {
		buf := make([]byte, 16<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				p.reason.Store(err.Error())
				p.ended.Add(1)
				return
			}
			one.mu.Lock()
			before, ready := r.got, r.headDone
			r.feed(buf[:n], time.Now().UnixMicro())
			if !ready && r.headDone && r.status == 200 {
				p.ready.Add(1)
			}
			p.events.Add(r.got - before)
			one.mu.Unlock()
		}
	})
	return nil
}

func (p *pool) each(fn func(*reader)) {
	one := p.pollers[0]
	one.mu.Lock()
	defer one.mu.Unlock()
	for _, r := range one.all {
		fn(r)
	}
}

func (p *pool) takeTimes() *histogram {
	one := p.pollers[0]
	one.mu.Lock()
	defer one.mu.Unlock()
	all := one.times
	one.times = histogram{}
	return &all
}

func (p *pool) close() {
	one := p.pollers[0]
	one.mu.Lock()
	for _, c := range one.conns {
		c.Close()
	}
	one.mu.Unlock()
	p.done.Wait()
}
