package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pemPair writes a new certificate and its key.
func pemPair(t *testing.T, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	pair, err := selfSigned("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A renewed certificate is taken without a restart; a broken one is not, and
// says so once.
func TestCertificateIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		first := pemPair(t, certFile, keyFile)
		var log bytes.Buffer
		keys, err := loadKeyPair(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		serves := func(want *x509.Certificate) {
			t.Helper()
			time.Sleep(keyPairEvery)
			if got, err := keys.get(nil); err != nil || !got.Leaf.Equal(want) {
				t.Errorf("got another certificate (%v)", err)
			}
		}
		serves(first)
		os.WriteFile(keyFile, []byte("half a k"), 0o600)
		serves(first)
		serves(first)
		if got := strings.Count(log.String(), "ERROR"); got != 1 {
			t.Errorf("a broken key was logged %d times: %s", got, log.String())
		}
		second := pemPair(t, certFile, keyFile)
		serves(second)
	})
}

// HTTPS of the real server: HTTP/2, and nothing in the clear.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := pemPair(t, certFile, keyFile)
	keys, err := loadKeyPair(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }), keys, slog.New(slog.DiscardHandler))
	go server.ServeTLS(listener, "", "")
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "HTTP/2.0" {
		t.Errorf("got %s, want HTTP/2.0", b)
	}
	if resp.TLS.Version < tls.VersionTLS12 {
		t.Errorf("got TLS version %x", resp.TLS.Version)
	}
}

// A client that never ends its header is sent away.
func TestSlowLoris(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
	if server.Config.ReadHeaderTimeout != 10*time.Second || server.Config.IdleTimeout != 2*time.Minute || server.Config.WriteTimeout != 0 {
		t.Errorf("got timeouts %v, %v, %v", server.Config.ReadHeaderTimeout, server.Config.IdleTimeout, server.Config.WriteTimeout)
	}
	server.Config.ReadHeaderTimeout = 200 * time.Millisecond // the test's patience
	server.Start()
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(c); err != nil {
		t.Errorf("got %q and %v, want the connection closed", b, err)
	}
}
