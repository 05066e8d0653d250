package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An alternative is another server that hands events to many clients. It is
// measured in the same way, with the same bytes, where it is installed.
type alternative struct {
	name   string
	binary string
	given  string // µs a delivery, saturated, measured before acitap was written
	idle   string // KB a client, the same
	form   form
	// workers is how many processes it starts that do the work.
	workers int
	start   func(ctx context.Context, dir string, port int) (*exec.Cmd, error)
	// request is what a client sends to follow.
	request func(port int) []byte
	// publisher returns what emits events.
	publisher func(port int) (*publisher, error)
}

var alternatives = []alternative{
	{"nchan", "nginx", "2.9", "10", formNchan, 1, startNchan, func(port int) []byte {
		return fmt.Appendf(nil, "GET /sub HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n\r\n", port)
	}, nchanPublisher},
	{"NATS core", "nats-server", "1.6", "", formNATS, 0, startNATS, func(int) []byte {
		return []byte(natsConnect + "SUB bench 1\r\nPING\r\n")
	}, natsPublisher},
}

const natsConnect = `CONNECT {"verbose":false,"pedantic":false,"lang":"bench","version":"0","protocol":0}` + "\r\n"

// sample is an event as acitap sends it, for servers that only pass it on.
const sample = `{"id":1763956931004711,"time":"2026-11-24T03:42:11.123456Z","fabric":"default","class":"fvBD","dn":"uni/tn-common/BD-b123","path":{"tenant":"common","bd":"b123"},"status":"modified","origin":"live","attributes":{"childAction":"","descr":"~0000000000000000.000000000","dn":"uni/tn-common/BD-b123","modTs":"2026-01-01T00:00:00.000+00:00","rn":"","status":"modified"},"changes":{"descr":{"old":"!0000000000000000.000000000","new":"!0000000000000000.000000000"}}}`

// A publisher emits events as an emitter does.
type publisher struct {
	number int64
	send   func(payload []byte, last bool) error
	close  func()
}

func (p *publisher) emit(ctx context.Context, n int) error {
	b := []byte(sample)
	at := strings.IndexByte(sample, '~')
	for i := range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		putStamp(b[at:], time.Now().UnixMicro(), p.number)
		p.number++
		if err := p.send(b, i == n-1); err != nil {
			return err
		}
	}
	return nil
}

func startNATS(ctx context.Context, dir string, port int) (*exec.Cmd, error) {
	return exec.CommandContext(ctx, "nats-server", "-a", "127.0.0.1", "-p", strconv.Itoa(port), "-P", filepath.Join(dir, "pid")), nil
}

func natsPublisher(port int) (*publisher, error) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	// What the server says (its INFO, and a PING now and then that does not need
	// an answer in so short a time) is read and thrown away.
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	out := []byte(natsConnect)
	return &publisher{number: 1, close: func() { conn.Close() }, send: func(payload []byte, last bool) error {
		out = fmt.Appendf(out, "PUB bench %d\r\n%s\r\n", len(payload), payload)
		if !last && len(out) < 64<<10 {
			return nil
		}
		_, err := conn.Write(out)
		out = out[:0]
		return err
	}}, nil
}

func startNchan(ctx context.Context, dir string, port int) (*exec.Cmd, error) {
	module := ""
	for _, place := range []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/lib/nginx/modules", "/usr/local/libexec/nginx"} {
		if _, err := os.Stat(filepath.Join(place, "ngx_nchan_module.so")); err == nil {
			module = filepath.Join(place, "ngx_nchan_module.so")
		}
	}
	if module == "" {
		return nil, exec.ErrNotFound
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root root;\n"
	}
	files := raiseFiles()
	conf := fmt.Sprintf(`load_module %s;
%sdaemon off;
worker_processes 1;
worker_rlimit_nofile %d;
pid %s/pid;
error_log stderr error;
events { worker_connections %d; }
http {
	access_log off;
	keepalive_requests 100000000;
	client_body_temp_path %[4]s/body;
	proxy_temp_path %[4]s/proxy;
	fastcgi_temp_path %[4]s/fastcgi;
	uwsgi_temp_path %[4]s/uwsgi;
	scgi_temp_path %[4]s/scgi;
	client_body_buffer_size 16k;
	nchan_shared_memory_size 256M;
	server {
		listen 127.0.0.1:%[6]d;
		location = /pub { nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 4000; nchan_message_timeout 60s; }
		location = /sub { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }
	}
}
`, module, user, files, dir, files-50, port)
	name := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(name, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, "nginx", "-e", "stderr", "-p", dir, "-c", name), nil
}

func nchanPublisher(port int) (*publisher, error) {
	c, err := dial(port, 0, nil)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("POST /pub HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", port, len(sample))
	return &publisher{number: 1, close: func() { c.conn.Close() }, send: func(payload []byte, _ bool) error {
		c.request = append(append(c.request[:0], head...), payload...)
		status, body, err := c.do()
		if err == nil && status >= 300 {
			err = fmt.Errorf("publish: %d %s", status, body)
		}
		return err
	}}, nil
}

// A running alternative.
type running struct {
	cmd  *exec.Cmd
	dir  string
	port int
	pids []int
	out  *tailBuffer
}

// usage adds up the server's processes.
func (r *running) usage() (usage, error) {
	var sum usage
	for _, pid := range r.pids {
		u, err := usageOf(pid)
		if err != nil {
			return sum, err
		}
		sum.Known = u.Known
		sum.CPU += u.CPU
		sum.RSS += u.RSS
		sum.Peak += u.Peak
		sum.Private += u.Private
		sum.Files += u.Files
	}
	return sum, nil
}

func (r *running) measure(fn func() error) (x spent, err error) {
	u0, err := r.usage()
	if err != nil {
		return x, err
	}
	begun := time.Now()
	if err := fn(); err != nil {
		return x, err
	}
	x.wall = time.Since(begun)
	time.Sleep(settle)
	x.after, err = r.usage()
	x.cpu = x.after.CPU - u0.CPU
	return x, err
}

func (a *alternative) run(ctx context.Context) (*running, error) {
	if _, err := exec.LookPath(a.binary); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "acitap-bench-")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		return nil, err
	}
	r := &running{dir: dir, port: l.Addr().(*net.TCPAddr).Port, out: new(tailBuffer)}
	l.Close()
	if r.cmd, err = a.start(ctx, dir, r.port); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(syscall.SIGTERM) }
	r.cmd.WaitDelay = 10 * time.Second
	if err := r.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	err = wait(ctx, patience, 10*time.Millisecond, a.name+" answers", func() (bool, error) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
		if err == nil {
			conn.Close()
		}
		return err == nil, err
	})
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	// The kernel takes connections before there is a worker to serve them, and it
	// is the worker that is measured.
	err = wait(ctx, patience, 10*time.Millisecond, a.name+" has its workers", func() (bool, error) {
		r.pids = append([]int{r.cmd.Process.Pid}, children(r.cmd.Process.Pid)...)
		return len(r.pids) > a.workers || runtime.GOOS != "linux", nil
	})
	if err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

func (r *running) stop() error {
	r.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- r.cmd.Wait() }()
	select {
	case <-done: // its status is its own affair
	case <-time.After(5 * time.Second):
		r.cmd.Process.Kill()
		<-done
	}
	return os.RemoveAll(r.dir)
}

// compare puts the fan-out and idle clients on the other servers.
func (b *bench) compare(ctx context.Context) ([]row, error) {
	var rows []row
	for i := range alternatives {
		a := &alternatives[i]
		out, err := b.compareTo(ctx, a)
		if errors.Is(err, exec.ErrNotFound) {
			missing := row{Scenario: fmt.Sprintf("fan-out to %s clients, saturated", thousands(b.size.fanout)), Server: a.name, Given: true, Clients: b.size.fanout,
				Measured: "not installed; given: " + a.given + " µs a delivery"}
			b.log("compare: %s is not installed", a.name)
			rows = append(rows, missing)
			continue
		}
		if err != nil {
			return rows, fmt.Errorf("%s: %w", a.name, err)
		}
		rows = append(rows, out...)
	}
	return rows, nil
}

func (b *bench) compareTo(ctx context.Context, a *alternative) (rows []row, err error) {
	r, err := a.run(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && !errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("%w\n%s", err, r.out.b.String())
		}
	}()
	defer func() { err = errors.Join(err, r.stop()) }()
	follow := func(n int, next int64) (*pool, error) {
		p, err := newPool(2)
		if err != nil {
			return nil, err
		}
		err = connect(ctx, p, n, r.port, func(int) []byte { return a.request(r.port) }, a.form, next, func(int) bool { return true })
		if err != nil {
			p.close()
		}
		return p, err
	}
	// Idle clients first: the fan-out leaves messages behind.
	for _, n := range b.size.idle {
		one, err := follow(1, 1)
		if err != nil {
			return rows, err
		}
		one.close()
		time.Sleep(b.quiet() / 3)
		before, err := r.usage()
		if err != nil {
			return rows, err
		}
		most := raiseFiles() - 100
		p, err := follow(min(n, most), 1)
		if err != nil {
			return rows, err
		}
		time.Sleep(b.quiet())
		during, err := r.usage()
		p.close()
		if err != nil {
			return rows, err
		}
		idle := row{Scenario: thousands(min(n, most)) + " idle clients", Server: a.name, Clients: min(n, most), Rounds: 1}
		if during.Known {
			idle.KBPerClient, idle.RSS = figure(float64(during.RSS-before.RSS)/1024/float64(min(n, most))), figure(float64(during.RSS)/1e6)
			idle.Measured = fmt.Sprintf("%.1f KB each", *idle.KBPerClient)
			if a.idle != "" {
				idle.Others = "given: " + a.idle + " KB"
			}
		}
		b.log("compare: %s: %d idle clients: %s", a.name, idle.Clients, idle.Measured)
		rows = append(rows, idle)
		if n > 2000 { // what was taken for them is not given back: the next would find it there
			if err := r.stop(); err != nil {
				return rows, err
			}
			again, err := a.run(ctx)
			if err != nil {
				return rows, err
			}
			*r = *again
		}
	}
	pub, err := a.publisher(r.port)
	if err != nil {
		return rows, err
	}
	defer pub.close()
	p, err := follow(b.size.fanout, pub.number)
	if err != nil {
		return rows, err
	}
	defer p.close()
	out, err := b.spread(ctx, a.name, p, b.size.fanout, pub.emit, r.measure)
	if err != nil {
		return rows, err
	}
	for i := range out {
		o := &out[i]
		if i == 0 {
			o.Others = "given: " + a.given + " µs"
		}
		o.AllocsPerEvent = nil
		o.Measured = fmt.Sprintf("p99 %.1f ms, %.2f µs a delivery", at(o.P99), at(o.CPUPerDelivery))
	}
	last := &out[len(out)-1]
	last.judge(p, pub.number)
	for i := range out {
		out[i].verdict = last.verdict
	}
	return append(rows, out...), nil
}
