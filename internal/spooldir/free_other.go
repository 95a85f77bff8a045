//go:build !linux

package spooldir

// Room returns false: the system is not asked.
func Room(*Dir) (bytes int64, known bool) { return 0, false }
