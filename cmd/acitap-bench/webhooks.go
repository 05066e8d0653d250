package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A receiver takes the webhooks of one endpoint: it says yes to everything and
// counts and checks the events in it.
type receiver struct {
	listener net.Listener
	events   *atomic.Int64 // of all receivers
	running  sync.WaitGroup

	mu       sync.Mutex // guards all below
	conns    []net.Conn
	requests int64
	tracker
	times histogram
}

func newReceiver(events *atomic.Int64, next int64) (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{listener: l, events: events}
	r.next = next
	r.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
			r.running.Go(func() {
				defer conn.Close()
				_ = r.serve(bufio.NewReaderSize(conn, 64<<10), conn) // until the service closes it
			})
		}
	})
	return r, nil
}

func (r *receiver) close() {
	r.listener.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// serve answers the requests of one connection until it ends.
func (r *receiver) serve(in *bufio.Reader, conn net.Conn) error {
	var body []byte
	for {
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) <= 2 {
				break
			}
			const name = "content-length:"
			if len(line) > len(name) && strings.EqualFold(string(line[:len(name)]), name) {
				if length, err = strconv.Atoi(strings.TrimSpace(string(line[len(name):]))); err != nil {
					return err
				}
			}
		}
		if cap(body) < length {
			body = make([]byte, length)
		}
		body = body[:length]
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		n := r.take(body, time.Now().UnixMicro())
		if _, err := io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
			return err
		}
		r.events.Add(n)
	}
}

// take counts the events of a body: each begins with its id.
func (r *receiver) take(body []byte, now int64) (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	begin := []byte(`{"id":`)
	for {
		i := bytes.Index(body, begin)
		if i < 0 {
			return n
		}
		body = body[i+len(begin):]
		at, number, ok := stampOf(body)
		if !ok {
			continue
		}
		r.tracker.take(number)
		r.times.add(now - at)
		n++
	}
}

func (b *bench) webhooks(ctx context.Context) ([]row, error) {
	var rows []row
	for _, batch := range []int{1, 500} {
		r, err := b.webhooksOf(ctx, batch)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (b *bench) webhooksOf(ctx context.Context, batch int) (r row, err error) {
	const endpoints = 8
	rig, err := b.rig(ctx, "ACITAP_WEBHOOK_ALLOW=127.0.0.0/8")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	var events atomic.Int64
	var all []*receiver
	defer func() {
		for _, one := range all {
			one.close()
		}
	}()
	for i := range endpoints {
		one, err := newReceiver(&events, rig.emit.number)
		if err != nil {
			return r, err
		}
		all = append(all, one)
		_, err = rig.svc.post("/webhooks", map[string]any{
			"name": fmt.Sprint("bench ", i), "url": "http://" + one.listener.Addr().String() + "/", "batch": batch, "class": class,
		})
		if err != nil {
			return r, err
		}
	}
	n := b.size.single
	r = row{Scenario: "webhooks, an event a request, 8 endpoints", Server: "acitap", Clients: endpoints}
	if batch > 1 {
		n = b.size.batched
		r.Scenario = fmt.Sprintf("webhooks, %d events a request, 8 endpoints", batch)
	}
	r.Events, r.Deliveries = int64(n), int64(n*endpoints)
	var rounds []spent
	for i := range min(b.size.rounds, 3) + 1 {
		k := n
		if i == 0 {
			k = n / 4 // to warm up
		}
		want := events.Load() + int64(k*endpoints)
		x, err := rig.svc.measure(func() error {
			if err := rig.emit.emit(ctx, k); err != nil {
				return err
			}
			last, since := int64(-1), time.Now()
			for events.Load() < want && time.Since(since) < silence && ctx.Err() == nil {
				if got := events.Load(); got != last {
					last, since = got, time.Now()
				}
				time.Sleep(time.Millisecond)
			}
			return ctx.Err()
		})
		if err != nil {
			return r, err
		}
		if i == 0 {
			for _, one := range all {
				one.mu.Lock()
				one.times, one.requests = histogram{}, 0
				one.mu.Unlock()
			}
			continue
		}
		rounds = append(rounds, x)
		b.log("webhooks: batch %d: %.0f events/s, %.2f µs a delivery", batch, float64(k*endpoints)/x.wall.Seconds(), micros(x.cpu)/float64(k*endpoints))
	}
	r.fill(rounds)
	times := new(histogram)
	requests := int64(0)
	for _, one := range all {
		one.mu.Lock()
		r.verdict.add(one.until(rig.emit.number))
		times.merge(&one.times)
		requests += one.requests
		one.mu.Unlock()
	}
	r.latencies(times)
	if batch == 1 {
		r.reach("20,000 deliveries/s", at(r.DeliveriesPerS) >= 20_000, "%s deliveries/s, %.1f µs each", thousands(int(at(r.DeliveriesPerS))), at(r.CPUPerDelivery))
	} else {
		r.note("%.0f events a request on average", float64(len(rounds))*float64(r.Deliveries)/float64(requests))
		r.reach("200,000 events/s", at(r.DeliveriesPerS) >= 200_000, "%s events/s, %.2f µs each", thousands(int(at(r.DeliveriesPerS))), at(r.CPUPerDelivery))
	}
	return r, nil
}
