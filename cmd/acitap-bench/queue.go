package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A call is one keep-alive connection on which the same request is sent again
// and again.
type call struct {
	conn    net.Conn
	r       *bufio.Reader
	request []byte
	body    []byte
}

func dial(port, from int, request []byte) (*call, error) {
	ip := source(from)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: ip[:]}, Timeout: patience}
	conn, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	return &call{conn: conn, r: bufio.NewReaderSize(conn, 32<<10), request: request}, nil
}

// do sends the request and returns status and body, which is valid until the
// next call.
func (c *call) do() (int, []byte, error) {
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, nil, err
	}
	status, length := 0, 0
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if first {
			status, _ = strconv.Atoi(string(line[9:12]))
			continue
		}
		if len(line) <= 2 {
			break
		}
		const name = "content-length:"
		if len(line) > len(name) && strings.EqualFold(string(line[:len(name)]), name) {
			length, err = strconv.Atoi(strings.TrimSpace(string(line[len(name):])))
			if err != nil {
				return 0, nil, err
			}
		}
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err := io.ReadFull(c.r, c.body)
	return status, c.body, err
}

func (b *bench) next(ctx context.Context) (_ []row, err error) {
	rig, err := b.rig(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	n, callers := b.size.taken, 16
	rounds := min(b.size.rounds, 3)
	r := row{Scenario: "next on a filled queue, a request an event", Server: "acitap", Clients: callers, Events: int64(n), Deliveries: int64(n),
		Others: "a bare chi handler 98,000/s"}
	var all []spent
	times := new(histogram)
	for range rounds {
		// Fill, and take all that was there before: the snapshot of the objects.
		if err := drain(rig.svc); err != nil {
			return nil, err
		}
		first := rig.emit.number
		if err := rig.emit.emit(ctx, n); err != nil {
			return nil, err
		}
		err := wait(ctx, patience, 10*time.Millisecond, "the queue is filled", func() (bool, error) {
			var p struct{ Pending int }
			err := rig.svc.get("/events/"+class+"/pending", &p)
			return p.Pending == n, err
		})
		if err != nil {
			return nil, err
		}
		// Two callers must never get the same event, and each gets its own in order.
		seen := make([]uint8, n)
		var mu sync.Mutex // guards seen, times, r.verdict
		x, err := rig.svc.measure(func() error {
			var group sync.WaitGroup
			failed := make(chan error, callers)
			for i := range callers {
				group.Go(func() {
					failed <- func() error {
						c, err := dial(rig.svc.port, i, rig.svc.request("/events/"+class+"/next", "application/json"))
						if err != nil {
							return err
						}
						defer c.conn.Close()
						var got []int64
						own := new(histogram)
						for ctx.Err() == nil {
							begun := time.Now()
							status, body, err := c.do()
							if err != nil {
								return err
							}
							if status == 204 {
								break
							}
							_, number, ok := stampOf(body)
							if status != 200 || !ok {
								return fmt.Errorf("next: %d %s", status, body)
							}
							own.add(time.Since(begun).Microseconds())
							got = append(got, number)
						}
						mu.Lock()
						defer mu.Unlock()
						times.merge(own)
						last := int64(0)
						for _, number := range got {
							if number <= last {
								r.Disordered++
							}
							last = number
							if i := number - first; i >= 0 && i < int64(n) {
								seen[i]++
							} else {
								r.Repeated++
							}
						}
						return ctx.Err()
					}()
				})
			}
			group.Wait()
			close(failed)
			for err := range failed {
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, k := range seen {
			switch {
			case k == 0:
				r.Lost++
			case k > 1:
				r.Repeated += int64(k) - 1
			}
		}
		all = append(all, x)
		b.log("next: %.0f requests/s, %.1f µs a request", float64(n)/x.wall.Seconds(), micros(x.cpu)/float64(n))
	}
	r.fill(all)
	r.latencies(times)
	r.note("latency is that of the request, from %d callers at once", callers)
	r.reach("20,000 requests/s, durable places", at(r.EventsPerS) >= 20_000, "%s requests/s, %.1f µs each", thousands(int(at(r.EventsPerS))), at(r.CPUPerEvent))
	return []row{r}, nil
}

// drain takes all that a queue holds.
func drain(s *service) error {
	for {
		resp, err := s.client.Get(s.url + "/events/" + class + "/next?max=1000")
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		switch resp.StatusCode {
		case 204:
			return nil
		case 200:
		default:
			return fmt.Errorf("next: %s", resp.Status)
		}
	}
}

// longPoll is queues of their own that wait for the next event: what each takes
// is durable before it has it.
func (b *bench) longPoll(ctx context.Context) (_ []row, err error) {
	rig, err := b.rig(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	const rate = 100
	consumers := b.size.consumers
	n := max(1, int(rate*b.size.seconds))
	r := row{Scenario: fmt.Sprintf("next with wait, %d consumers, %d events/s", consumers, rate), Server: "acitap", Clients: consumers,
		Events: int64(n), Deliveries: int64(n * consumers), Target: "none of its own"}
	var calls []*call
	defer func() {
		for _, c := range calls {
			c.conn.Close()
		}
	}()
	for i := range consumers {
		path := fmt.Sprintf("/events/%s/next?consumer=bench%d", class, i)
		c, err := dial(rig.svc.port, i, rig.svc.request(path, "application/json"))
		if err != nil {
			return nil, err
		}
		calls = append(calls, c)
		// The first call makes the consumer, which begins with the next event.
		if status, body, err := c.do(); err != nil || status != 204 {
			return nil, errors.Join(err, fmt.Errorf("next: %d %s", status, body))
		}
		c.request = rig.svc.request(path+"&wait=30s", "application/json")
	}
	first := rig.emit.number
	trackers, times := make([]tracker, consumers), make([]histogram, consumers)
	x, err := rig.svc.measure(func() error {
		limit := time.Now().Add(time.Duration(b.size.seconds*float64(time.Second)) + patience)
		var group sync.WaitGroup
		failed := make(chan error, consumers)
		for i, c := range calls {
			trackers[i].next = first
			if err := c.conn.SetDeadline(limit); err != nil {
				return err
			}
			group.Go(func() {
				for trackers[i].got < int64(n) {
					status, body, err := c.do()
					if err != nil {
						failed <- err
						return
					}
					at, number, ok := stampOf(body)
					if status != 200 || !ok {
						failed <- fmt.Errorf("next: %d %s", status, body)
						return
					}
					times[i].add(time.Now().UnixMicro() - at)
					trackers[i].take(number)
				}
			})
		}
		_, err := pace(ctx, rate, b.size.seconds, rig.emit.emit)
		group.Wait()
		close(failed)
		return errors.Join(err, <-failed)
	})
	if err != nil {
		return nil, err
	}
	all := new(histogram)
	for i := range trackers {
		r.verdict.add(trackers[i].until(rig.emit.number))
		all.merge(&times[i])
	}
	r.fill([]spent{x})
	r.latencies(all)
	r.Measured = fmt.Sprintf("p99 %.1f ms, %.1f µs a delivery", at(r.P99), at(r.CPUPerDelivery))
	b.log("long-poll: %s", r.Measured)
	return []row{r}, nil
}
