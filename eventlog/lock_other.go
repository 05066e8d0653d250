//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package eventlog

import (
	"errors"
	"os"
)

// lockFile refuses rather than let two processes write one log.
func lockFile(*os.File) error { return errors.ErrUnsupported }
