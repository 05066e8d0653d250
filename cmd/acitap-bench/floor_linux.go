package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// floor measures what no server can go below on the machine as it is at the
// moment: one thread that does nothing but write(2) the same bytes to as many
// sockets at the same pace. Delivering over loopback is charged with the
// receiver's half of TCP, so this is most of what a paced delivery costs.
func (b *bench) floor(ctx context.Context, clients int) (rows []row, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var accepting sync.WaitGroup
	var fds []int
	var acceptErr error
	accepting.Go(func() {
		for range clients {
			conn, err := l.Accept()
			if err != nil {
				acceptErr = err
				return
			}
			f, err := conn.(*net.TCPConn).File()
			conn.Close()
			if err != nil {
				acceptErr = err
				return
			}
			fd, err := unix.Dup(int(f.Fd()))
			f.Close()
			if err != nil {
				acceptErr = err
				return
			}
			fds = append(fds, fd)
			if _, err := unix.Write(fd, []byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
				acceptErr = err
				return
			}
		}
	})
	defer func() {
		l.Close()
		accepting.Wait()
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	p, err := newPool(2)
	if err != nil {
		return nil, err
	}
	defer p.close()
	err = connect(ctx, p, clients, l.Addr().(*net.TCPAddr).Port, func(int) []byte { return []byte("follow") }, formNchan, 1, func(int) bool { return true })
	if err != nil {
		return nil, err
	}
	accepting.Wait()
	if acceptErr != nil {
		return nil, acceptErr
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	message := []byte("id: 1763956931004711\ndata: " + sample + "\n\n")
	stamp := len("id: 1763956931004711\ndata: ")
	for i, c := range sample {
		if c == '~' {
			stamp += i
			break
		}
	}
	number := int64(1)
	for _, rate := range []int{20, 200} {
		var u0, u1 unix.Rusage
		var writes int64
		begun := time.Now()
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u0); err != nil {
			return nil, err
		}
		sent := 0
		for ; sent < max(1, int(float64(rate)*b.size.seconds/2)); sent++ {
			if d := time.Until(begun.Add(time.Duration(sent) * time.Second / time.Duration(rate))); d > 0 {
				pause := unix.NsecToTimespec(d.Nanoseconds())
				_ = unix.Nanosleep(&pause, nil) // the thread stays this one
			}
			putStamp(message[stamp:], time.Now().UnixMicro(), number)
			number++
			for _, fd := range fds {
				if _, err := unix.Write(fd, message); err != nil {
					return nil, errors.Join(errors.New("floor"), err)
				}
				writes++
			}
		}
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u1); err != nil {
			return nil, err
		}
		p.await(ctx, (number-1)*int64(clients))
		cpu := time.Duration(u1.Utime.Nano() - u0.Utime.Nano() + u1.Stime.Nano() - u0.Stime.Nano())
		r := row{Scenario: fmt.Sprintf("fan-out to %s clients, %d events/s", thousands(clients), rate), Server: "bare write(2)", Clients: clients,
			Events: int64(sent), Deliveries: writes}
		r.fill([]spent{{wall: time.Since(begun), cpu: cpu, after: usage{Known: true}}})
		r.RSS, r.Peak, r.AllocsPerEvent = nil, nil, nil
		r.latencies(p.takeTimes())
		r.judge(p, number)
		r.Measured = fmt.Sprintf("%.2f µs a write", at(r.CPUPerDelivery))
		b.log("fan-out: bare write(2) at %d events/s: %.2f µs a delivery, p99 %.1f ms", rate, at(r.CPUPerDelivery), at(r.P99))
		rows = append(rows, r)
	}
	return rows, nil
}
