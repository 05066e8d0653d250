package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/acitap/acitap/handlers"
)

const tokenUsage = `acitap token NAME --role reader|operator

Makes a token. The token itself is printed once, for whom it is; the service gets
the line, in the file that ACITAP_TOKENS_FILE names, and reads it within ten seconds.
A reader looks, follows, and takes from queues of its own; an operator also takes
from the class queues and changes subscriptions and webhooks.

`

// token makes a token and the line that lets it in.
func token(args []string, stdout, stderr io.Writer) int {
	set := flag.NewFlagSet("acitap token", flag.ContinueOnError)
	set.SetOutput(stderr)
	role := set.String("role", "reader", "reader or operator")
	set.Usage = func() { fmt.Fprint(stderr, tokenUsage); set.PrintDefaults() }
	names, err := parseAround(set, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case len(names) != 1:
		fmt.Fprintln(stderr, "acitap token: give one name, of who will use the token: acitap token NAME --role reader")
		return exitUsage
	}
	r, err := handlers.ParseRole(*role)
	if err != nil {
		fmt.Fprintf(stderr, "acitap token: --role: %v\n", err)
		return exitUsage
	}
	text, line, err := handlers.NewToken(names[0], r)
	if err != nil {
		fmt.Fprintf(stderr, "acitap token: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stdout, "# The token, for %s; it is not shown again:\n%s\n\n# The line for ACITAP_TOKENS_FILE:\n%s\n", names[0], text, line)
	return exitOK
}

// parseAround parses flags that stand before, between and behind arguments,
// and returns these.
func parseAround(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, set.Arg(0))
		args = set.Args()[1:]
	}
}
