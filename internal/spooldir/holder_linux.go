package spooldir

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/fsys"
)

// lockTable lists the locks of all processes that this process can see (proc_locks(5)).
const lockTable = "/proc/locks"

// looks is the number of times that the table is read for a lock that some process holds: if other locks end meanwhile,
// the text may lack a line.
const looks = 10

// holds reports whether process pid holds the lock of f, which some process holds. The process that wrote the number in
// the lock file may run in another container: the number then belongs to another process here. Without a table of locks
// the result is true.
func holds(f fsys.File, pid int) bool {
	info, err := f.Stat()
	if err != nil {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	for range looks {
		text, err := os.ReadFile(lockTable)
		if err != nil || !ok || listed(string(text), pid, stat.Ino) {
			return true
		}
	}
	return false
}

// listed reports whether process pid holds a lock on the file with that inode, by lines as
// "1: FLOCK  ADVISORY  WRITE 4711 00:14:33 0 EOF".
func listed(table string, pid int, inode uint64) bool {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		at := slices.IndexFunc(fields, func(f string) bool { return strings.Count(f, ":") == 2 })
		if at < 1 || fields[at-1] != strconv.Itoa(pid) {
			continue
		}
		if strings.HasSuffix(fields[at], ":"+strconv.FormatUint(inode, 10)) {
			return true
		}
	}
	return false
}
