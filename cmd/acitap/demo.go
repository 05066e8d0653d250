package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
)

// demoClasses are subscribed by the demo: what people watch, a handful.
const demoClasses = "fvTenant,fvBD,fvAEPg,fvCEp,faultInst,ethpmPhysIf,aaaModLR"

func demo(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	s, err := load("demo", append([]string{"--log-level=warn"}, args...), environ, stderr, true)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "acitap: the settings cannot be used:\n%v\n", err)
		return exitUsage
	}
	if s.Subscriptions == "" {
		for item := range splitQueries(demoClasses) {
			queries, err := parseSubscription(item)
			if err != nil {
				fmt.Fprintf(stderr, "acitap: %v\n", err)
				return exitFailed
			}
			s.queries = append(s.queries, queries...)
		}
	}
	if s.DataDir == "acitap-data" { // the demo leaves nothing behind, unless it is told where
		dir, remove, err := tempDir()
		if err != nil {
			fmt.Fprintf(stderr, "acitap: %v\n", err)
			return exitFailed
		}
		defer remove()
		s.DataDir = dir
	}

	fabric := apicsim.New(apicsim.Options{Seed: 1, Housekeeping: true, Records: true})
	defer fabric.Close()
	fabric.Populate(apicsim.Profile{})
	network := apicsim.NewNetwork() // in memory: the demo opens no port but its own
	listener, err := network.Listen("apic1:80")
	if err != nil {
		fmt.Fprintf(stderr, "acitap: %v\n", err)
		return exitFailed
	}
	server := &http.Server{Handler: fabric.Controller(0)}
	fabricCtx, stopFabric := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stopFabric()
	running.Go(func() {
		if err := server.Serve(fabric.Controller(0).Listener(listener)); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintf(stderr, "acitap: the simulated fabric: %v\n", err)
		}
	})
	defer server.Close()
	running.Go(func() {
		if err := fabric.Live(fabricCtx, apicsim.LiveOptions{}); err != nil && fabricCtx.Err() == nil {
			fmt.Fprintf(stderr, "acitap: the simulated fabric: %v\n", err)
		}
	})

	o := apic.Options{
		Fabric: s.Fabric, Controllers: []*url.URL{{Scheme: "http", Host: "apic1"}},
		User: "admin", Password: "cisco123", Dial: network.DialContext,
	}
	started := func(addr string) {
		fmt.Fprintf(stdout, `A simulated fabric lives, and acitap taps it.

  page       %[1]s/
  take one   curl '%[1]s/events/Tenant/next'
  follow     curl -N '%[1]s/events/stream'
  faults     curl '%[1]s/objects/faultInst'

Ctrl-C ends it.
`, addr)
	}
	if err := s.run(ctx, s.logger(stderr), o, started); err != nil {
		fmt.Fprintf(stderr, "acitap: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// sim runs the simulated fabric as an APIC for other tools.
func sim(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	set := flag.NewFlagSet("acitap sim", flag.ContinueOnError)
	set.SetOutput(stderr)
	var (
		listen      = set.String("listen", "127.0.0.1:8443", "loopback `address` of the first controller; further ones take the ports after it")
		plain       = set.Bool("plain", false, "serve HTTP instead of HTTPS with a certificate made at the start")
		controllers = set.Int("controllers", 1, "`number` of controllers in the cluster")
		user        = set.String("user", "admin", "user `name`")
		password    = set.String("password", "cisco123", "the user's password")
		seed        = set.Uint64("seed", 1, "of everything that is random")
		rate        = set.Float64("rate", 3, "changes a second, on average; 0 for a fabric that keeps still")
		objects     = set.Int("endpoints", 300, "`number` of endpoints")
		empty       = set.Bool("empty", false, "nothing but what every fabric has")
	)
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	}
	host, port, err := net.SplitHostPort(*listen)
	if err != nil || !loopback(host) || set.NArg() > 0 || *controllers < 1 || *controllers > 16 || *rate < 0 || *rate > 10000 {
		fmt.Fprintln(stderr, "acitap sim: takes flags only, --listen a loopback address with a port, --controllers 1 to 16, --rate 0 to 10000")
		return exitUsage
	}
	first, err := strconv.Atoi(port)
	if err != nil {
		fmt.Fprintf(stderr, "acitap sim: --listen: %v\n", err)
		return exitUsage
	}
	fabric := apicsim.New(apicsim.Options{
		Seed: *seed, Controllers: *controllers, User: *user, Password: *password, Housekeeping: true, Records: true,
	})
	defer fabric.Close()
	if !*empty {
		n := *objects
		if n == 0 {
			n = -1
		}
		fabric.Populate(apicsim.Profile{Endpoints: n})
	}
	var tlsConfig *tls.Config
	scheme, print := "http", ""
	if !*plain {
		scheme = "https"
		cert, err := selfSigned(host)
		if err != nil {
			fmt.Fprintf(stderr, "acitap sim: %v\n", err)
			return exitFailed
		}
		tlsConfig = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
		sum := sha256.Sum256(cert.Certificate[0])
		print = hex.EncodeToString(sum[:])
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, *controllers)
	urls := ""
	for i := range *controllers {
		addr := net.JoinHostPort(host, "0")
		if first != 0 {
			addr = net.JoinHostPort(host, strconv.Itoa(first+i))
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			fmt.Fprintf(stderr, "acitap sim: %v\n", err)
			return exitFailed
		}
		if i > 0 {
			urls += ","
		}
		urls += scheme + "://" + l.Addr().String()
		c := fabric.Controller(i)
		l = c.Listener(l)
		if tlsConfig != nil {
			l = tls.NewListener(l, tlsConfig)
		}
		control := http.StripPrefix("/sim", fabric.Control())
		server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/sim" || len(r.URL.Path) > 4 && r.URL.Path[:5] == "/sim/" {
				control.ServeHTTP(w, r)
				return
			}
			c.ServeHTTP(w, r)
		})}
		running.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
		defer server.Close()
	}
	if *rate > 0 {
		running.Go(func() {
			if err := fabric.Live(ctx, apicsim.LiveOptions{Rate: *rate}); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	fmt.Fprintf(stdout, "# A simulated APIC. As .env of acitap serve:\nAPIC_URL=%s\nAPIC_LOGIN=%s\nAPIC_PASSWORD=%s\n", urls, *user, *password)
	if print != "" {
		fmt.Fprintf(stdout, "APIC_TLS_FINGERPRINT=%s\n", print)
	}
	fmt.Fprintf(stdout, "# faults: curl -k %s/sim/\n", urls[:len(urls) / *controllers])
	select {
	case <-ctx.Done():
		return exitOK
	case err := <-failed:
		fmt.Fprintf(stderr, "acitap sim: %v\n", err)
		return exitFailed
	}
}

// selfSigned makes a certificate, as an APIC ships with one that nobody signed.
func selfSigned(host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "acitap sim"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, DNSNames: []string{"localhost"},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
