//go:build !linux

package shell

// Orphans does nothing: the daemon is process 1 only in containers, which are Linux.
func Orphans() {}
