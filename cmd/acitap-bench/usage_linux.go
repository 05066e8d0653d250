package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// usageOf reads what a process has used so far.
func usageOf(pid int) (usage, error) {
	u := usage{Known: true}
	// The CPU clock of another process, in nanoseconds: what clock_getcpuclockid
	// of the C library makes of a process id. /proc/PID/stat counts in hundredths
	// of a second, too coarse for an idle service.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return u, fmt.Errorf("the CPU clock of process %d: %w", pid, err)
	}
	u.CPU = time.Duration(ts.Nano())
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	u.RSS, u.Peak = field(b, "VmRSS:"), field(b, "VmHWM:")
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)); err == nil {
		u.Private = field(b, "Private_Dirty:") + field(b, "Private_Clean:")
	}
	if list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
		u.Files = len(list)
	}
	return u, nil
}

// field reads a line "name: 123 kB", in bytes.
func field(b []byte, name string) int64 {
	_, rest, ok := bytes.Cut(b, []byte("\n"+name))
	if !ok {
		return 0
	}
	words := bytes.Fields(rest)
	n, _ := strconv.ParseInt(string(words[0]), 10, 64)
	return n << 10
}

// resetPeak makes the peak of the RSS begin anew.
func resetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// raiseFiles raises the number of descriptors as far as it goes and returns it.
func raiseFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	l.Cur = l.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return int(l.Cur)
}

// machine says what the figures were taken on.
func machine() (cpu, load string) {
	b, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, ok := bytes.Cut(b, []byte("model name")); ok {
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		cpu = string(bytes.TrimSpace(bytes.TrimLeft(line, "\t :")))
	}
	b, _ = os.ReadFile("/proc/loadavg")
	if f := bytes.Fields(b); len(f) > 2 {
		load = string(bytes.Join(f[:3], []byte(" ")))
	}
	return cpu, load
}

// children lists the processes that a process has started.
func children(pid int) (pids []int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, f := range bytes.Fields(b) {
		if n, err := strconv.Atoi(string(f)); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}
