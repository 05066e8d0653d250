package main

import (
	"fmt"
	"io"
)

func completion(args []string, stdout, stderr io.Writer) int {
	fmt.Fprintln(stderr, "not yet")
	return exitUsage
}
