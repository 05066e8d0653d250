package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked is the error of a directory that another process uses.
var ErrLocked = errors.New("is in use by another acitap")

// errWouldBlock is what lockFile returns when somebody else holds the lock.
var errWouldBlock = errors.New("locked")

// A lock keeps a second process off the directory. It ends with the process,
// however that ends: a file that stays behind locks nobody out.
type lock struct{ file *os.File }

func takeLock(dir string) (*lock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		holder := ""
		if b, readErr := os.ReadFile(path); readErr == nil && len(b) > 0 && len(b) < 20 {
			holder = " (process " + strings.TrimSpace(string(b)) + ")"
		}
		f.Close()
		if errors.Is(err, errWouldBlock) {
			return nil, fmt.Errorf("%s %w%s; each needs a directory of its own", dir, ErrLocked, holder)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// Who holds it, for the one who is refused. It does not matter if this
	// cannot be written.
	if f.Truncate(0) == nil {
		f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &lock{f}, nil
}

func (l *lock) release() error { return l.file.Close() }
