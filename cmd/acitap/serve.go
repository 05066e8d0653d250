package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/eventlog"
	"github.com/acitap/acitap/handlers"
	"github.com/acitap/acitap/webhook"
)

func serve(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	s, err := load("serve", args, environ, stderr, false)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "acitap: the settings cannot be used:\n%v\n", err)
		return exitUsage
	}
	log := s.logger(stderr)
	tlsConfig, err := apic.TLSConfig(s.CAFile, s.Fingerprint, s.Insecure)
	if err != nil {
		fmt.Fprintf(stderr, "acitap: %v\n", err)
		return exitUsage
	}
	if s.Insecure {
		log.Warn("APIC_TLS_INSECURE is set: whoever stands between acitap and the controllers can read the password")
	}
	o := apic.Options{
		Fabric: s.Fabric, Controllers: s.controllers, User: s.Login, Password: string(s.Password),
		CertName: s.CertName, Key: s.key, TLS: tlsConfig,
	}
	started := func(addr string) {
		fmt.Fprintf(stdout, "acitap %s serves on %s\n", version(), addr)
	}
	if err := s.run(ctx, log, o, started); err != nil {
		fmt.Fprintf(stderr, "acitap: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// run serves on the address of the settings until ctx ends. started is called
// with the page's address once it can be reached.
func (s *settings) run(ctx context.Context, log *slog.Logger, o apic.Options, started func(addr string)) error {
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return err
	}
	return s.runOn(ctx, log, o, listener, started)
}

// runOn builds the service, serves until ctx ends, and stops it in the order of
// the flow: streams and long polls, the server, webhooks, the
// session, the log. It closes
// the listener.
func (s *settings) runOn(ctx context.Context, log *slog.Logger, o apic.Options, listener net.Listener, started func(addr string)) (err error) {
	defer listener.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	journal, err := eventlog.Open(ctx, eventlog.Options{
		Dir: s.DataDir, Retention: s.Retention, RetentionBytes: int64(s.RetentionBytes), Logger: log, Registerer: registry,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()

	o.Journal, o.Logger, o.Registerer = journal, log, registry
	hub, err := apic.New(ctx, o)
	if err != nil {
		return err
	}

	store, err := webhook.OpenSQLite(ctx, s.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	hooks, err := webhook.New(ctx, webhook.Options{Hub: hub, Store: store, Allow: s.allow, TLS: s.hooksTLS, Proxy: s.hooksProxy, Log: log, Registerer: registry})
	if err != nil {
		return err
	}

	var tokens *handlers.Tokens
	if s.TokensFile != "" {
		if tokens, err = handlers.OpenTokens(s.TokensFile, log, registry); err != nil {
			return fmt.Errorf("ACITAP_TOKENS_FILE: %w", err)
		}
	}
	var keys *keyPair
	if s.TLSCertFile != "" {
		if keys, err = loadKeyPair(s.TLSCertFile, s.TLSKeyFile, log); err != nil {
			return fmt.Errorf("ACITAP_TLS_CERT_FILE: %w", err)
		}
	} else if host, _, err := net.SplitHostPort(s.Listen); err == nil && !loopback(host) {
		log.Warn("tokens and events go over the network in the clear: set ACITAP_TLS_CERT_FILE and ACITAP_TLS_KEY_FILE, or put a proxy with TLS before acitap", "listen", s.Listen)
	}

	// Each layer has a context of its own, so that they stop one after the other.
	journalCtx, stopJournal := context.WithCancel(context.WithoutCancel(ctx))
	hubCtx, stopHub := context.WithCancel(context.WithoutCancel(ctx))
	hooksCtx, stopHooks := context.WithCancel(context.WithoutCancel(ctx))
	baseCtx, stopStreams := context.WithCancelCause(context.WithoutCancel(ctx))
	var journaling, tapping, delivering, streaming, serving sync.WaitGroup
	failed := make(chan error, 4)
	journaling.Go(func() {
		if err := journal.Run(journalCtx); err != nil {
			failed <- err
		}
	})
	tapping.Go(func() {
		if err := hub.Run(hubCtx); err != nil {
			failed <- err
		}
	})
	delivering.Go(func() {
		if err := hooks.Run(hooksCtx); err != nil {
			failed <- err
		}
	})
	tapping.Go(func() { subscribeAll(hubCtx, hub, s.queries, log) })
	if tokens != nil {
		tapping.Go(func() { tokens.Run(hubCtx) })
	}

	handler := handlers.New(handlers.Options{
		Hub: hub, Webhooks: hooks, Log: log, Version: version(), MaxStreams: s.MaxStreams,
		Tokens: tokens, Listen: listener.Addr().String(), CORSOrigins: s.origins, Registerer: registry, Gatherer: registry,
	})
	streaming.Go(func() { handler.Run(baseCtx) })
	server := newServer(handler, keys, log)
	server.BaseContext = func(net.Listener) context.Context { return baseCtx }
	server.ConnContext = handler.ConnContext
	scheme := "http"
	if keys != nil {
		scheme = "https"
	}
	serving.Go(func() {
		serve := func() error { return server.Serve(listener) }
		if server.TLSConfig != nil {
			serve = func() error { return server.ServeTLS(listener, "", "") }
		}
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
	started(scheme + "://" + listener.Addr().String())

	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	log.Info("stopping")
	stopStreams(handlers.ErrStopping)
	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if shutdownErr := server.Shutdown(shutdownCtx); shutdownErr != nil {
		server.Close()
	}
	serving.Wait()
	streaming.Wait()
	stopHooks()
	delivering.Wait()
	stopHub()
	tapping.Wait()
	stopJournal()
	journaling.Wait()
	return err
}

// newServer returns a server with the limits that a handler cannot set. There is
// no WriteTimeout, which would cut streams: the handler sets deadlines.
func newServer(handler http.Handler, keys *keyPair, log *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if keys != nil {
		server.TLSConfig = &tls.Config{GetCertificate: keys.get, MinVersion: tls.VersionTLS12}
	}
	return server
}

// subscribeAll makes the subscriptions that the settings ask for.
func subscribeAll(ctx context.Context, hub *apic.Hub, queries []apic.Query, log *slog.Logger) {
	for _, q := range queries {
		if _, _, err := hub.Subscribe(ctx, q, false); err != nil && ctx.Err() == nil {
			log.Error("a subscription of ACITAP_SUBSCRIPTIONS could not be made", "query", q.String(), "err", err)
		}
	}
}

// tempDir makes a directory that is removed again.
func tempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "acitap-demo-")
	return dir, func() { os.RemoveAll(dir) }, err
}
