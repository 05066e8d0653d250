package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/acitap/acitap/apicsim"
)

// patience is how long anything may take that takes a moment: the machine may
// be busy with other things, and a test must not fail for it.
const patience = time.Minute

// usage is what a process has used.
type usage struct {
	Known   bool // false where the system does not tell
	CPU     time.Duration
	RSS     int64 // bytes
	Peak    int64 // of the RSS
	Private int64 // pages of it that are nobody else's
	Files   int
}

// build makes the program under test and returns its path.
func build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "acitap")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "github.com/acitap/acitap/cmd/acitap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
}

// A simulator is the fabric, in the process of the load program.
type simulator struct {
	*apicsim.Fabric
	url    string
	server *http.Server
}

func newSimulator(o apicsim.Options) (*simulator, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &simulator{Fabric: apicsim.New(o), url: "http://" + l.Addr().String()}
	s.server = &http.Server{Handler: s.Controller(0), ReadHeaderTimeout: 10 * time.Second}
	go s.server.Serve(s.Controller(0).Listener(l))
	return s, nil
}

func (s *simulator) close() {
	s.Fabric.Close()
	s.server.Close()
}

// A service is a running acitap serve.
type service struct {
	cmd    *exec.Cmd
	dir    string
	url    string
	port   int
	client *http.Client
	stderr *tailBuffer
	exited chan error
	began  time.Time
}

// A tailBuffer keeps the newest bytes of what a process says.
type tailBuffer struct{ b bytes.Buffer }

func (t *tailBuffer) Write(p []byte) (int, error) {
	if t.b.Len() > 64<<10 {
		t.b.Reset()
	}
	return t.b.Write(p)
}

// start runs the service against a simulator, on an empty data directory of
// its own, with no settings but the given ones.
func start(ctx context.Context, program string, sim *simulator, settings ...string) (*service, error) {
	dir, err := os.MkdirTemp("", "acitap-bench-")
	if err != nil {
		return nil, err
	}
	s := &service{
		dir: dir, stderr: new(tailBuffer), exited: make(chan error, 1), began: time.Now(),
		client: &http.Client{Timeout: patience, Transport: &http.Transport{}},
	}
	s.cmd = exec.CommandContext(ctx, program, "serve")
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 20 * time.Second
	s.cmd.Dir = dir
	s.cmd.Env = append([]string{
		"HOME=" + dir, "TMPDIR=" + dir, "APIC_URL=" + sim.url, "APIC_LOGIN=admin", "APIC_PASSWORD=cisco123",
		"ACITAP_LISTEN=127.0.0.1:0", "ACITAP_DATA_DIR=" + filepath.Join(dir, "data"), "ACITAP_LOG_LEVEL=warn",
		"ACITAP_MAX_STREAMS=100000",
	}, settings...)
	for _, name := range []string{"GOGC", "GODEBUG", "GOMEMLIMIT", "GOMAXPROCS"} { // for experiments
		if v := os.Getenv(name); v != "" {
			s.cmd.Env = append(s.cmd.Env, name+"="+v)
		}
	}
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	go func() {
		io.Copy(io.Discard, stdout)
		s.exited <- s.cmd.Wait()
	}()
	_, s.url, _ = strings.Cut(strings.TrimSpace(line), " serves on ")
	u, parseErr := url.Parse(s.url)
	if err != nil || s.url == "" || parseErr != nil {
		s.cmd.Process.Signal(syscall.SIGTERM)
		<-s.exited
		return nil, errors.Join(fmt.Errorf("acitap serve did not start: %q\n%s", line, s.stderr.b.String()), os.RemoveAll(dir))
	}
	s.port, _ = strconv.Atoi(u.Port())
	return s, nil
}

// stop ends the service as an operator would. What it complained of is an
// error: a service in trouble makes no figures.
func (s *service) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case err = <-s.exited:
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.exited
		err = errors.New("acitap serve did not end within a minute")
	}
	s.client.CloseIdleConnections()
	if err != nil {
		err = fmt.Errorf("acitap serve: %w\n%s", err, s.stderr.b.String())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *service) usage() (usage, error) { return usageOf(s.cmd.Process.Pid) }

// get reads a JSON answer.
func (s *service) get(path string, into any) error {
	resp, err := s.client.Get(s.url + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, b)
	}
	return json.Unmarshal(b, into)
}

// post sends a body and returns the answer's.
func (s *service) post(path string, body any) ([]byte, error) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	resp, err := s.client.Post(s.url+path, "application/json", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("POST %s: %s: %s", path, resp.Status, answer)
	}
	return answer, nil
}

// metrics reads /metrics: the values by name, with labels as they stand.
func (s *service) metrics() (map[string]float64, error) {
	resp, err := s.client.Get(s.url + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	m := make(map[string]float64)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(text, 64); ok && err == nil {
			m[name] = v
		}
	}
	return m, lines.Err()
}

// wait asks until cond is true.
func wait(ctx context.Context, limit, every time.Duration, what string, cond func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	var last error
	for {
		ok, err := cond()
		if ok {
			return nil
		}
		if err != nil {
			last = err
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("%s: not within %s", what, limit), last)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// subscribe subscribes a class and waits until it is active.
func (s *service) subscribe(ctx context.Context, class string, limit time.Duration) error {
	return wait(ctx, limit, 20*time.Millisecond, "subscribe "+class, func() (bool, error) {
		b, err := s.post("/subscriptions/"+class, nil)
		return bytes.Contains(b, []byte(`"state":"active"`)), err
	})
}

// request is what a client of a stream sends.
func (s *service) request(path, accept string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: %s\r\n\r\n", path, s.port, accept)
}

// source spreads clients over addresses: one address has 28,000 ports, and 60
// requests in flight at the service.
func source(i int) [4]byte { return [4]byte{127, 0, 1, byte(1 + i/5000)} }

// connect opens n clients and waits until each has had the head of its answer.
func connect(ctx context.Context, p *pool, n, port int, request func(i int) []byte, f form, next int64, timed func(i int) bool) error {
	begun := p.opened.Load()
	for i := range n {
		if err := p.open(source(i), port, request(i), f, next, timed(i)); err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
		// A caller may have 60 requests in flight, and a stream is one until it
		// has begun.
		for limit := time.Now().Add(patience); begun+int64(i)-p.ready.Load() > 40; time.Sleep(100 * time.Microsecond) {
			if p.ended.Load() > 0 {
				return fmt.Errorf("client %d: the server has refused or closed %d connections, the last with %v", i, p.ended.Load(), p.reason.Load())
			}
			if time.Now().After(limit) || ctx.Err() != nil {
				return fmt.Errorf("client %d: %d of the clients before it have not been answered", i, begun+int64(i)-p.ready.Load())
			}
		}
	}
	return wait(ctx, patience, time.Millisecond, "clients connected", func() (bool, error) {
		if p.ended.Load() > 0 {
			return false, fmt.Errorf("the server has refused or closed %d connections, the last with %v", p.ended.Load(), p.reason.Load())
		}
		return p.ready.Load() == begun+int64(n), nil
	})
}
