package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmap releases the pages of the program's own file, most of which only the start needs. Needed pages come back from
// the page cache. Only unmodified pages are released.
func unmap() {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range untouched(f, exe) {
		// the advice may fail without harm
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

// A mapping is a part of the address space.
type mapping struct{ from, to uintptr }

// untouched returns the mappings of the file exe, in smaps (proc_pid_smaps(5)), that are neither writable nor modified,
// unlike the relocations by the loader.
func untouched(smaps io.Reader, exe string) (all []mapping) {
	var m mapping
	ours := false
	clean := 0 // number of lines that show an unmodified mapping
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		var from, to uintptr
		var perm string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perm); n == 3 {
			m, clean = mapping{from, to}, 0
			ours = strings.HasSuffix(line, " "+exe) && !strings.Contains(perm, "w")
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if !ours || strings.TrimSpace(value) != "0 kB" {
			continue
		}
		if name == "Anonymous" || name == "Swap" {
			clean++
		}
		if clean == 2 {
			all, ours = append(all, m), false
		}
	}
	return all
}
