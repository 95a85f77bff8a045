package shell

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// Orphans waits for the processes that have ended and that Start has not started. Process 1 of a container gets the
// children of commands that have ended themselves, and has to do so: otherwise they stay as zombies.
func Orphans() {
	children.Lock()
	defer children.Unlock()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || children.pids[pid] || !isZombie(pid) {
			continue
		}
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
}

// isZombie reports whether the process has ended, and this process is its parent.
func isZombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	// The name in brackets may hold anything: the fields after it begin with state and parent (proc_pid_stat(5)).
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	return len(fields) > 1 && string(fields[0]) == "Z" && string(fields[1]) == strconv.Itoa(os.Getpid())
}
