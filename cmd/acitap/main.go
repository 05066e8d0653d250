// Acitap is a tap on the events of a Cisco ACI fabric: it keeps one session
// with an APIC and serves its events over HTTP.
//
//	acitap serve     run the service
//	acitap demo      the same with a simulated fabric in place of an APIC
//	acitap sim       the simulated fabric alone, as an APIC for other tools
//	acitap tail      follow a running service on a terminal
//	acitap token     make a token for somebody who may call
//	acitap version
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const usage = `acitap is a tap on the events of a Cisco ACI fabric.

  acitap serve     run the service (settings: .env, environment, flags; see acitap serve -h)
  acitap demo      try it: the service with a simulated fabric in place of an APIC
  acitap sim       the simulated fabric alone, as an APIC for other tools
  acitap tail      follow a running service: acitap tail CLASS…; see acitap tail -h
  acitap token     make a token for somebody who may call: acitap token NAME --role reader
  acitap healthcheck   ask a running service whether it is alive (for containers)
  acitap version   print the version
  acitap completion bash|zsh|fish   print what the shell needs to complete commands and flags

`

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // settings or arguments that cannot be
)

// run is main without the process: environ as os.Environ gives it.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	command, args := args[0], args[1:]
	switch command {
	case "serve":
		return serve(ctx, args, environ, stdout, stderr)
	case "demo":
		return demo(ctx, args, environ, stdout, stderr)
	case "sim":
		return sim(ctx, args, stdout, stderr)
	case "token":
		return token(args, stdout, stderr)
	case "tail":
		return tail(ctx, args, environ, stdout, stderr)
	case "healthcheck":
		return healthcheck(ctx, args, environ, stdout, stderr)
	case "completion":
		return completion(args, stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, "acitap", version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
		return exitOK
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	fmt.Fprintf(stderr, "acitap: %q is no command\n\n%s", command, usage)
	return exitUsage
}

// version tells what the build knows of itself.
func version() string {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return versionOf(b)
}

// versionOf is the version that Go has given the module, which holds commit and
// "dirty" where there is no tag; where there is none, the commit.
func versionOf(b *debug.BuildInfo) string {
	if v := b.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, modified := "", ""
	for _, s := range b.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = "-" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	return "devel" + revision + modified
}
