package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/webhook"
)

func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", "webhooks", name+".md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// block returns the first block of code in a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "```"+language+"\n")
	code, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatalf("there is no block of %s", language)
	}
	return code
}

var curl = regexp.MustCompile(`(?s)curl --json '(.*)' http://127\.0\.0\.1:8080/webhooks\n`)

// Every preset has a page, and the call that stands there makes the webhook.
func TestPages(t *testing.T) {
	readme := page(t, "README")
	for _, p := range webhook.Presets() {
		text := page(t, p.Name)
		if !strings.Contains(readme, p.Name+".md") {
			t.Errorf("README.md does not lead to %s.md", p.Name)
		}
		m := curl.FindStringSubmatch(text)
		if m == nil {
			t.Errorf("%s.md has no call that makes a webhook", p.Name)
			continue
		}
		body := strings.ReplaceAll(m[1], "'$SECRET'", webhook.NewSecret().Reveal())
		s, err := webhook.New(t.Context(), webhook.Options{Hub: newLine(), Store: webhook.Memory()})
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Create(t.Context(), []byte(body))
		if err != nil {
			t.Errorf("%s.md: %v", p.Name, err)
			continue
		}
		if v.Format != p.Format || !strings.Contains(body, fmt.Sprintf(`"preset": %q`, p.Name)) {
			t.Errorf("%s.md makes a webhook of format %s, want the preset's %s", p.Name, v.Format, p.Format)
		}
		for _, h := range p.Headers {
			name, _, _ := strings.Cut(h, ":")
			if !strings.Contains(text, name) {
				t.Errorf("%s.md does not speak of the header %s", p.Name, name)
			}
		}
	}
	for _, f := range webhook.Funcs() {
		name, _, _ := strings.Cut(f.Usage, " ")
		if !strings.Contains(readme, "`"+name) {
			t.Errorf("README.md does not speak of the function %s", name)
		}
	}
}

// The receivers of generic.md take what is signed, and nothing else.
func TestSampleReceivers(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts programs")
	}
	text := page(t, "generic")
	dir := t.TempDir()
	for _, language := range []string{"python", "go"} {
		t.Run(language, func(t *testing.T) {
			var cmd *exec.Cmd
			if language == "python" {
				python, err := exec.LookPath("python3")
				if err != nil {
					t.Skip("there is no python3")
				}
				file := filepath.Join(dir, "receiver.py")
				if err := os.WriteFile(file, []byte(block(t, text, "python")), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd = exec.Command(python, file)
			} else {
				file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "receiver")
				if err := os.WriteFile(file, []byte(block(t, text, "go")), 0o600); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				cmd = exec.Command(program)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			l.Close()
			secret := webhook.NewSecret().Reveal()
			cmd.Env = append(os.Environ(), "SECRET="+secret, "PORT="+port)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { cmd.Process.Kill(); cmd.Wait() }()
			lines := make(chan string, 100)
			go func() {
				for s := bufio.NewScanner(out); s.Scan(); {
					lines <- s.Text()
				}
			}()

			// A first attempt before it listens would be followed by a pause.
			for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
				c, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err == nil {
					c.Close()
					break
				}
				if time.Now().After(end) {
					t.Fatalf("the receiver does not listen: %v", err)
				}
			}

			line := newLine()
			s, err := webhook.New(t.Context(), webhook.Options{Hub: line, Store: webhook.Memory(), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); _ = s.Run(ctx) }()
			defer func() { cancel(); <-done }()
			body, _ := json.Marshal(map[string]string{"url": "http://127.0.0.1:" + port + "/hook", "secret": secret})
			if _, err := s.Create(ctx, body); err != nil {
				t.Fatal(err)
			}
			line.add(tenant(1), gap(apic.ReasonConnection), tenant(2))
			for _, want := range []string{"fvTenant created uni/tn-t1", "events may be missing: connection-lost", "fvTenant created uni/tn-t2"} {
				select {
				case got := <-lines:
					if got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				case <-time.After(30 * time.Second):
					t.Fatalf("got nothing, want %q; %+v", want, s.List())
				}
			}
			req, _ := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+port+"/hook", bytes.NewReader([]byte(`{"id":1}`)))
			req.Header.Set("webhook-id", "1")
			req.Header.Set("webhook-timestamp", fmt.Sprint(time.Now().Unix()))
			req.Header.Set("webhook-signature", "v1,bm90IHNpZ25lZA==")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("got %d for a forged event, want 401", res.StatusCode)
			}
		})
	}
}
