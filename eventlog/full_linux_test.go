package eventlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tmpfs mounts a small file system, which takes privileges: without them the
// test is skipped, and TestFull stands for it.
func tmpfs(t *testing.T, options string) (dir string, remount func(options string)) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("a file system of a given size cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(options string) {
		t.Helper()
		flags := uintptr(unix.MS_REMOUNT)
		if options == "ro" {
			flags, options = flags|unix.MS_RDONLY, ""
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk fills a real disk, in the middle of the write-ahead log.
func TestFullDisk(t *testing.T) {
	dir, remount := tmpfs(t, "size=8m")
	l := open(t, Options{Dir: filepath.Join(dir, "log")})
	if _, err := l.Append(t.Context(), batchOf(20, 100)); err != nil {
		t.Fatal(err)
	}
	fillUntilFull(t, l)
	remount("size=64m")
	goesOn(t, l)
}

// TestOpenOnFullDisk begins on a disk without room, then with some.
func TestOpenOnFullDisk(t *testing.T) {
	dir, remount := tmpfs(t, "size=64k")
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), ErrFull.Error()) {
		t.Errorf("error is %v, want %v", err, ErrFull)
	}
	remount("size=8m")
	l := open(t, Options{Dir: dir})
	if _, err := l.Append(t.Context(), batchOf(20, 100)); err != nil {
		t.Error(err)
	}
}

// TestReadOnly opens a log on a disk that became read-only, and one that
// becomes so under it.
func TestReadOnly(t *testing.T) {
	dir, remount := tmpfs(t, "size=8m")
	l := open(t, Options{Dir: dir})
	if _, err := l.Append(t.Context(), batchOf(20, 100)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	remount("ro")
	if l, err := Open(t.Context(), Options{Dir: dir}); err == nil {
		l.Close()
		t.Error("a log on a read-only disk is opened")
	} else if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("error is %v, want it to name the directory and what is the matter", err)
	}
	remount("size=8m")
	after, err := os.ReadFile(l.path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file is not what it was (%v)", err)
	}
	if got := len(all(t, open(t, Options{Dir: dir}))); got != 20 {
		t.Errorf("it holds %d entries, want 20", got)
	}
}
