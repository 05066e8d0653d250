package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthcheck(t *testing.T) {
	inEmptyDir(t)
	live := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez":
			w.WriteHeader(live)
			w.Write([]byte(`{"status":"alive"}`))
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(`{"status":503,"detail":"not ready: no session"}`))
		}
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	_, port, _ := strings.Cut(addr, ":")
	for _, c := range []struct {
		args, environ []string
		code          int
		says          string
	}{
		{[]string{"--listen", addr}, nil, exitOK, "alive"},
		{nil, []string{"ACITAP_LISTEN=" + addr}, exitOK, "alive"},
		{nil, []string{"ACITAP_LISTEN=0.0.0.0:" + port}, exitOK, "alive"},
		{nil, []string{"ACITAP_LISTEN=:" + port}, exitOK, "alive"},
		{[]string{"--listen", addr, "--ready"}, nil, exitFailed, "not ready: no session"},
		{[]string{"--listen", "127.0.0.1:1"}, nil, exitFailed, "refused"},
		{[]string{"--listen", "nothing"}, nil, exitUsage, "port"},
		{[]string{"extra"}, nil, exitUsage, ""},
	} {
		var out bytes.Buffer
		if code := healthcheck(t.Context(), c.args, c.environ, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("healthcheck %v %v: got %d %q, want %d with %q", c.args, c.environ, code, out.String(), c.code, c.says)
		}
	}
}
