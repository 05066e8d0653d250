package webhook_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/acitap/acitap/webhook"
)

// A proxy that was named is used for all that is not excepted, whatever its
// address; what goes past it is judged as without one.
func TestProxy(t *testing.T) {
	var taken []string
	receive := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { taken = append(taken, r.Host) })
	open, secure := httptest.NewServer(receive), httptest.NewTLSServer(receive)
	defer open.Close()
	defer secure.Close()
	var asked []string
	refuse := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host)
		if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("acitap:s3cret")); r.Header.Get("Proxy-Authorization") != want {
			t.Errorf("got Proxy-Authorization %q, want %q", r.Header.Get("Proxy-Authorization"), want)
		}
		if refuse != 0 {
			w.WriteHeader(refuse)
			return
		}
		if r.Method != http.MethodConnect {
			receive(w, r)
			return
		}
		there, err := net.Dial("tcp", secure.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(there, here); there.Close() }()
		go func() { io.Copy(here, there); here.Close() }()
	}))
	defer proxy.Close()

	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	by, err := webhook.ParseProxy("http://acitap:s3cret@"+proxy.Listener.Addr().String(), "past.invalid,192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	s, err := webhook.New(t.Context(), webhook.Options{Hub: newLine(), Store: webhook.Memory(), TLS: &tls.Config{RootCAs: roots}, Proxy: by})
	if err != nil {
		t.Fatal(err)
	}
	send := func(url string) webhook.Attempt {
		t.Helper()
		v, err := s.Create(t.Context(), fmt.Appendf(nil, `{"url":%q}`, url))
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Test(t.Context(), v.ID, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(a.Error, "s3cret") {
			t.Errorf("the error shows the proxy's password: %s", a.Error)
		}
		return a
	}
	for _, url := range []string{"http://example.com/hook", "https://example.com/hook"} { // example.com is what the certificate names
		if a := send(url); !a.OK() {
			t.Errorf("%s: got %+v, want it taken", url, a.Delivery)
		}
	}
	if want := []string{"POST example.com", "CONNECT example.com:443"}; !slices.Equal(asked, want) || len(taken) != 2 {
		t.Errorf("the proxy was asked %q, want %q; the receivers took %q", asked, want, taken)
	}
	asked, refuse = nil, http.StatusForbidden
	if a := send("https://elsewhere.invalid/hook"); a.OK() || !strings.Contains(a.Error, "through the proxy: Forbidden") {
		t.Errorf("refused by the proxy: got %+v", a.Delivery)
	}

	asked = nil
	if a := send("http://past.invalid/hook"); a.OK() || len(asked) != 0 {
		t.Errorf("excepted: the proxy was asked %q, and it got %+v", asked, a.Delivery)
	}
	if _, err := s.Create(t.Context(), fmt.Appendf(nil, `{"url":%q}`, open.URL)); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("got %v, want that loopback is refused with a proxy too", err)
	}
	if _, err := s.Create(t.Context(), []byte(`{"url":"https://169.254.169.254/"}`)); err == nil || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("got %v, want that metadata are refused with a proxy too", err)
	}
}

func TestParseProxy(t *testing.T) {
	for text, good := range map[string]bool{
		"http://proxy.example.com:3128": true, "https://u:pw@proxy/": true, "proxy:3128": false, "": false, "socks5://u:pw@proxy": false,
		"http://u:pw@proxy/path": false, "http://u:p w@proxy": false, "http://:80": false,
	} {
		_, err := webhook.ParseProxy(text, "")
		if (err == nil) != good || err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
