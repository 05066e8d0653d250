package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acitap/acitap/handlers"
)

// A screen is what a tail wrote so far.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A tailing is acitap tail at a whole acitap.
type tailing struct {
	out, err screen
	ended    chan int
	stop     context.CancelFunc
}

func (w *whole) tail(args ...string) *tailing {
	w.t.Helper()
	g := &tailing{ended: make(chan int, 1)}
	t, timeout, err := newTailer(append([]string{"--url", "http://acitap", "--color", "never"}, args...), nil, &g.out, &g.err)
	if err != nil {
		w.t.Fatal(err)
	}
	t.client = w.client
	var ctx context.Context
	ctx, g.stop = context.WithCancel(w.t.Context())
	go func() { g.ended <- t.follow(ctx, timeout) }()
	return g
}

func (w *whole) settle() { time.Sleep(3 * time.Second); synctest.Wait() }

func TestTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWhole(t, 1)
		w.post("/subscriptions/fvTenant")
		w.post("/subscriptions/fvBD")
		w.settle()
		all := w.tail("--since", "earliest", "Tenant")
		lines := w.tail("--json", "--since", "earliest", "fvTenant", "fvBD")
		chosen := w.tail("fvTenant", "--filter", `"descr" in changes`, "--dn", "uni/tn-a")
		w.settle()
		w.fabric.Create("fvTenant", "uni/tn-a", map[string]string{"descr": "one"})
		w.settle()
		w.fabric.Modify("uni/tn-a", map[string]string{"descr": "two\x1b[31m\nlines"})
		w.settle()

		// The service goes and comes back, and what happened meanwhile is shown.
		w.stop()
		w.fabric.Create("fvTenant", "uni/tn-b", nil)
		time.Sleep(20 * time.Second)
		w.start()
		time.Sleep(time.Minute)
		w.fabric.Delete("uni/tn-b")
		w.settle()

		text := all.out.String()
		for _, want := range []string{
			"created  fvTenant uni/tn-common (snapshot)\n", "created  fvTenant uni/tn-a  \"one\"\n",
			`modified fvTenant uni/tn-a  descr: "one" → "two\x1b[31m\nlines"` + "\n", "created  fvTenant uni/tn-b (resync)\n",
			"gap: fvTenant out of sight from ", "the state is whole again", "deleted  fvTenant uni/tn-b\n",
		} {
			if strings.Count(text, want) != 1 {
				t.Errorf("got %d times %q in\n%s", strings.Count(text, want), want, text)
			}
		}
		if strings.Contains(text, "\x1b") {
			t.Errorf("a value of the fabric steers the terminal: %q", text)
		}
		if got := chosen.out.String(); strings.Count(got, "\n") < 1 || !strings.Contains(got, "two") || strings.Contains(got, "tn-common") {
			t.Errorf("got %q of what was chosen", got)
		}
		if got := all.err.String(); !strings.Contains(got, "trying again") || !strings.Contains(got, "connected again") {
			t.Errorf("got on stderr %s", got)
		}

		// JSON is what the service has, each once and in order.
		resp, err := w.client.Get("http://acitap/events?since=earliest&class=fvTenant,fvBD&limit=10000&format=ndjson")
		if err != nil {
			t.Fatal(err)
		}
		want, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := lines.out.String(); got != string(want) {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
		for _, g := range []*tailing{all, lines, chosen} {
			g.stop()
			if code := <-g.ended; code != exitOK {
				t.Errorf("exit status %d after Ctrl-C", code)
			}
		}
	})
}

func TestTailUntilMatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWhole(t, 1)
		w.post("/subscriptions/fvTenant")
		w.settle()
		hit := w.tail("--until-match", "--status", "created", "fvTenant", "--timeout", "1m")
		miss := w.tail("--until-match", "--attr", "name=b", "fvTenant", "--timeout", "1m")
		plain := w.tail("fvTenant", "--timeout", "30s")
		nothing := w.tail("fvCtx", "--timeout", "30s")
		interrupted := w.tail("--until-match", "fvCtx")
		w.settle()
		w.fabric.Create("fvTenant", "uni/tn-a", nil)
		w.fabric.Create("fvTenant", "uni/tn-c", nil)
		w.settle()
		interrupted.stop()
		for name, c := range map[string]struct {
			g    *tailing
			code int
		}{"hit": {hit, 0}, "miss": {miss, exitNoMatch}, "plain": {plain, 0}, "nothing": {nothing, 0}, "interrupted": {interrupted, exitFailed}} {
			if code := <-c.g.ended; code != c.code {
				t.Errorf("%s: exit status %d, want %d; %s", name, code, c.code, c.g.err.String())
			}
		}
		if got := hit.out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "uni/tn-a") {
			t.Errorf("got %q, want the first event alone", got)
		}
		if got := nothing.err.String(); !strings.Contains(got, "fvCtx is not subscribed") {
			t.Errorf("got on stderr %q", got)
		}
	})
}

func TestTailRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWhole(t, 1)
		for args, want := range map[string]string{
			"1x": "no class name", "--status nope": "status", "--since yesterday": "since", "--filter nope(": "filter",
		} {
			g := w.tail(strings.Fields(args)...)
			if code := <-g.ended; code != exitUsage || !strings.Contains(g.err.String(), want) {
				t.Errorf("%s: exit status %d, %s", args, code, g.err.String())
			}
		}
	})
	for args, want := range map[string]string{
		"--url nowhere": "--url", "--url http://u:p@h": "--url", "--attr x": "--attr", "--color blue": "--color", "--nonsense": "-nonsense", "--timeout -1s": "--timeout",
		"--token-file /nowhere/x": "--token-file", "--ca-file /nowhere/x": "--ca-file",
	} {
		var out bytes.Buffer
		if code := run(t.Context(), append([]string{"tail"}, strings.Fields(args)...), nil, io.Discard, &out); code != exitUsage || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit status %d, %s", args, code, out.String())
		}
	}
}

// The token of acitap token, through the file, to acitap tail.
func TestTailWithToken(t *testing.T) {
	var made bytes.Buffer
	if code := run(t.Context(), []string{"token", "ann", "--role", "reader"}, nil, &made, io.Discard); code != exitOK {
		t.Fatalf("acitap token: exit status %d", code)
	}
	lines := strings.Split(made.String(), "\n")
	i := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "acitap_") })
	j := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "ann reader ") })
	if i < 0 || j < 0 || strings.Count(made.String(), lines[i]) != 1 {
		t.Fatalf("got %s", made.String())
	}
	dir := t.TempDir()
	file, secretFile := filepath.Join(dir, "tokens"), filepath.Join(dir, "token")
	os.WriteFile(file, []byte(lines[j]+"\n"), 0o600)
	os.WriteFile(secretFile, []byte(lines[i]+"\n"), 0o600)
	tokens, err := handlers.OpenTokens(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "id: 7\nevent: status\ndata: {\"fabrics\":[]}\n\nid: 8\ndata: {\"id\":8,\"class\":\"fvBD\",\"dn\":\"uni\",\"status\":\"created\",\"origin\":\"live\"}\n\n")
	}))
	defer server.Close()
	_ = tokens
	for _, c := range []struct{ args, environ []string }{
		{[]string{"--token-file", secretFile}, nil},
		{nil, []string{"ACITAP_TOKEN=" + lines[i]}},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"tail", "--url", server.URL, "--until-match"}, c.args...)
		if code := run(t.Context(), args, c.environ, &out, &errs); code != exitOK || !strings.Contains(out.String(), "created  fvBD uni") {
			t.Errorf("%v: exit status %d, %s%s", args, code, out.String(), errs.String())
		}
	}
	if len(seen) != 2 || seen[0] != "Bearer "+lines[i] || seen[1] != seen[0] {
		t.Errorf("got Authorization %q", seen)
	}
	denied := httptest.NewServer(handlers.New(handlers.Options{Tokens: tokens, Hub: nil}))
	defer denied.Close()
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"tail", "--url", denied.URL}, nil, io.Discard, &errs); code != exitDenied || !strings.Contains(errs.String(), "ACITAP_TOKEN") {
		t.Errorf("without a token: exit status %d, %s", code, errs.String())
	}
	for _, args := range [][]string{{"token"}, {"token", "a", "b"}, {"token", "a/b"}, {"token", "a", "--role", "root"}} {
		if code := run(t.Context(), args, nil, io.Discard, io.Discard); code != exitUsage {
			t.Errorf("%v: exit status %d", args, code)
		}
	}
}

func TestTailColours(t *testing.T) {
	var out bytes.Buffer
	tl, _, err := newTailer([]string{"--color", "always"}, nil, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := tl.message("", []byte(`{"id":1,"class":"fvBD","dn":"uni/x","status":"deleted","origin":"live"}`)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\x1b[31mdeleted \x1b[0m") {
		t.Errorf("got %q", out.String())
	}
	for _, environ := range [][]string{nil, {"NO_COLOR=1"}} {
		if tl, _, err = newTailer(nil, environ, &out, io.Discard); err != nil || tl.colour {
			t.Errorf("colours for what is no terminal (%v)", err)
		}
	}
	// An entry that comes twice is shown once; one of another log is shown.
	out.Reset()
	for _, m := range []string{`{"id":5,"dn":"a"}`, `{"id":5,"dn":"a"}`, `{"id":4,"dn":"a"}`} {
		tl.message("", []byte(m))
	}
	tl.message("gap", []byte(`{"kind":"gap","reason":"unknown-id","asked":5,"oldest":1}`))
	tl.message("", []byte(`{"id":1,"dn":"b"}`))
	if got := strings.Count(out.String(), "\n"); got != 3 {
		t.Errorf("got %d lines, want 3: %s", got, out.String())
	}
}
