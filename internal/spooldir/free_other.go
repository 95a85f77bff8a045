//go:build !linux

package spooldir

// Room returns false: the system is not asked.
func Room(*Dir) (bytes int64, known bool) { return 0, false }

// UnstableInodes returns the type of the file system of d if files there may get another inode number. Other systems
// than Linux cannot tell: empty.
func UnstableInodes(*Dir) string { return "" }
