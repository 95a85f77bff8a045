//go:build unix

package main

import "syscall"

// openFiles returns the limit of open files of the process (RLIMIT_NOFILE); zero: no limit, or not known.
func openFiles() uint64 {
	var limit syscall.Rlimit // of signed numbers on FreeBSD
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || int64(limit.Cur) < 0 {
		return 0
	}
	return uint64(limit.Cur)
}
