package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apicsim"
	"github.com/acitap/acitap/handlers"
)

// A tour of the real program with all that is secret in it, at the most
// talkative level: what it logs and prints holds none of it. Every line has
// the keys that all lines have, and the log's lines about a request name it as
// its answer does.
func TestLogOfATour(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			logOfATour(t, format)
		})
	}
}

func logOfATour(t *testing.T, format string) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	secrets := map[string]string{"the APIC's password": "apic-pw-7391", "the proxy's password": "proxy-pw-7391", "a header's value": "header-pw-7391", "a webhook's URL": "url-pw-7391"}

	fabric := apicsim.New(apicsim.Options{Password: secrets["the APIC's password"]})
	defer fabric.Close()
	controller := serveController(t, fabric)

	// A receiver that only the proxy reaches, with a certificate of a CA that
	// the settings name.
	received := make(chan string, 100)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received <- r.Header.Get("Authorization") }))
	defer receiver.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there, err := net.Dial("tcp", receiver.Listener.Addr().String())
		here, _, err2 := http.NewResponseController(w).Hijack()
		if err != nil || err2 != nil || r.Method != http.MethodConnect {
			t.Errorf("%s at the proxy: %v, %v", r.Method, err, err2)
			return
		}
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(there, here); there.Close() }()
		go func() { io.Copy(here, there); here.Close() }()
	}))
	defer proxy.Close()
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(file(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw}))
	reader, readers, err := handlers.NewToken("ann", handlers.Reader)
	if err != nil {
		t.Fatal(err)
	}
	operator, operators, err := handlers.NewToken("bob", handlers.Operator)
	if err != nil {
		t.Fatal(err)
	}
	secrets["a reader's token"], secrets["an operator's token"] = reader, operator
	write("tokens", []byte(readers+"\n"+operators+"\n"))

	ctx, stop := context.WithCancel(t.Context())
	var out, log screen
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve"}, []string{
			"APIC_URL=http://" + controller, "APIC_LOGIN=admin", "APIC_PASSWORD=" + secrets["the APIC's password"],
			"ACITAP_LISTEN=127.0.0.1:0", "ACITAP_TOKENS_FILE=" + file("tokens"), "ACITAP_DATA_DIR=" + file("data"), "ACITAP_SUBSCRIPTIONS=fvTenant", "ACITAP_LOG_LEVEL=debug", "ACITAP_LOG_FORMAT=" + format,
			"ACITAP_WEBHOOK_PROXY=http://acitap:" + secrets["the proxy's password"] + "@" + proxy.Listener.Addr().String(), "ACITAP_WEBHOOK_CA_FILE=" + file("ca.pem"),
			"ACITAP_WEBHOOK_NO_PROXY=past.invalid",
		}, &out, &log)
	}()
	defer stop()
	await := func(what string, found func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !found(); time.Sleep(20 * time.Millisecond) {
			select {
			case code := <-ended:
				t.Fatalf("ended with status %d: %s", code, log.String())
			default:
			}
			if time.Now().After(end) {
				t.Fatalf("no %s in 30 s: %s", what, log.String())
			}
		}
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	await("address", func() bool { return address.MatchString(out.String()) })
	base := address.FindString(out.String())

	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ids := make(map[string]int) // of requests, with the status of the answer
	do := func(status int, method, target, body string, header ...string) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, base+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range header {
			name, value, _ := strings.Cut(h, ": ")
			req.Header.Set(name, value)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		if status != 0 && res.StatusCode != status {
			t.Fatalf("%s %s: got %d %s, want %d", method, target, res.StatusCode, b, status)
		}
		ids[res.Header.Get("X-Request-Id")] = res.StatusCode
		for _, c := range res.Cookies() {
			if c.Value != "" {
				secrets["the cookie of "+method+" "+target] = c.Value
			}
		}
		return b
	}
	bob, ann, form := "Authorization: Bearer "+operator, "Authorization: Bearer "+reader, "Content-Type: application/x-www-form-urlencoded"
	await("events", func() bool { return bytes.Contains(do(200, "GET", "/events/fvTenant", "", bob), []byte("snapshot")) })
	do(401, "GET", "/session", "", bob+"x")
	do(401, "GET", "/session", "", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("u:"+operator)))
	do(400, "GET", "/session?token="+operator, "", ann)
	do(400, "GET", "/events/"+operator, "", ann)
	do(401, "GET", "/nothing", "", "Cookie: acitap_session="+operator)
	do(403, "DELETE", "/subscriptions/fvTenant", "", ann)
	do(303, "POST", "/signin", "token="+reader, form)
	do(401, "POST", "/signin", "token="+operator+"x", form)
	do(201, "POST", "/subscriptions/fvBD", "", bob)
	var hook, rotated struct{ ID, Secret string }
	hookOf := func(url string) string {
		return fmt.Sprintf(`{"url":"https://%s/services/%s?key=%[2]s","class":"fvTenant","headers":{"Authorization":"Bearer %s"},"since":"earliest"}`, url, secrets["a webhook's URL"], secrets["a header's value"])
	}
	if err := json.Unmarshal(do(201, "POST", "/webhooks", hookOf("past.invalid"), bob), &hook); err != nil {
		t.Fatal(err)
	}
	secrets["the secret of a webhook past the proxy"] = hook.Secret
	await("failure of a webhook", func() bool { return bytes.Contains(do(200, "GET", "/webhooks/"+hook.ID, "", bob), []byte(`"failing"`)) })
	if err := json.Unmarshal(do(201, "POST", "/webhooks", hookOf("example.com"), bob), &hook); err != nil {
		t.Fatal(err)
	}
	await("delivery through the proxy", func() bool { return len(received) > 0 })
	if got := <-received; got != "Bearer "+secrets["a header's value"] {
		t.Errorf("the receiver got Authorization %q", got)
	}
	if err := json.Unmarshal(do(200, "POST", "/webhooks/"+hook.ID+"/rotate", "", bob), &rotated); err != nil {
		t.Fatal(err)
	}
	secrets["a webhook's secret"], secrets["a webhook's new secret"] = hook.Secret, rotated.Secret
	do(400, "PATCH", "/webhooks/"+hook.ID, `{"secret":"`+rotated.Secret+`","headers":{"Host":"`+secrets["a header's value"]+`"}}`, bob)
	do(204, "DELETE", "/webhooks/"+hook.ID, "", bob)
	write("tokens", []byte(readers+"\nbob operator "+operator+"\n")) // a mistake that many make
	await("complaint about the tokens", func() bool { return strings.Contains(log.String(), "tokens file cannot be used") })
	fabric.Controller(0).DropSockets(apicsim.Reset)
	await("reconnect", func() bool { return strings.Count(log.String(), "session is up") == 2 })
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("got exit status %d", code)
	}

	text := log.String() + out.String()
	for what, secret := range secrets {
		if len(secret) < 8 {
			t.Errorf("%s is %q", what, secret)
			continue
		}
		for _, form := range []string{secret, strings.TrimPrefix(secret, "whsec_"), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(text, form) {
				t.Errorf("the log holds %s", what)
			}
		}
	}
	if strings.Contains(text, "APIC-cookie=") {
		t.Error("the log holds a token of the APIC")
	}
	for id, status := range ids {
		if !strings.Contains(text, id) {
			t.Errorf("no line names the request %s, which was answered %d", id, status)
		}
	}
	if format != "json" {
		return
	}
	levels := make(map[string]bool)
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("no JSON: %s", line)
			continue
		}
		names := slices.Sorted(maps.Keys(fields))
		for _, name := range []string{"time", "level", "msg"} {
			if !slices.Contains(names, name) {
				t.Errorf("no %s in %s", name, line)
			}
		}
		levels[fmt.Sprint(fields["level"])] = true
	}
	for _, level := range []string{"DEBUG", "INFO", "WARN", "ERROR"} {
		if !levels[level] {
			t.Errorf("the tour has not met a line of level %s", level)
		}
	}
}
