package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// healthcheck asks a running acitap whether it is alive: an image without
// curl needs one. It asks /livez, as a restart does not bring an APIC back that
// is out of reach; --ready asks /readyz.
func healthcheck(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	set := flag.NewFlagSet("acitap healthcheck", flag.ContinueOnError)
	set.SetOutput(stderr)
	address := set.String("listen", "", "`address` that acitap serve listens on (ACITAP_LISTEN, default 127.0.0.1:8080)")
	ready := set.Bool("ready", false, "ask whether the session is up, too")
	if err := set.Parse(args); err != nil || set.NArg() > 0 {
		return exitUsage
	}
	values, err := readEnvFile("")
	if err != nil {
		fmt.Fprintf(stderr, "acitap healthcheck: %v\n", err)
		return exitUsage
	}
	for _, line := range environ {
		if name, value, _ := strings.Cut(line, "="); value != "" {
			values[name] = value
		}
	}
	if *address == "" {
		*address = values["ACITAP_LISTEN"]
	}
	if *address == "" {
		*address = "127.0.0.1:8080"
	}
	host, port, err := net.SplitHostPort(*address)
	if err != nil {
		fmt.Fprintf(stderr, "acitap healthcheck: %v\n", err)
		return exitUsage
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // all addresses: loopback is one
		host = "localhost"
	}
	scheme, path := "http", "/livez"
	if values["ACITAP_TLS_CERT_FILE"] != "" {
		scheme = "https"
	}
	if *ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		fmt.Fprintf(stderr, "acitap healthcheck: %v\n", err)
		return exitUsage
	}
	// The certificate names what others call, not loopback; nothing secret is
	// sent, and the answer is yes or no.
	transport := &http.Transport{Proxy: nil, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		fmt.Fprintf(stderr, "acitap healthcheck: %v\n", err)
		return exitFailed
	}
	defer res.Body.Close()
	var says struct{ Status, Detail any }
	_ = json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&says)
	if res.StatusCode != http.StatusOK {
		fmt.Fprintf(stderr, "acitap healthcheck: %s: %v\n", res.Status, says.Detail)
		return exitFailed
	}
	fmt.Fprintln(stdout, says.Status)
	return exitOK
}
