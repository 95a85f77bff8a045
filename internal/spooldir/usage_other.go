//go:build !unix

package spooldir

import "io/fs"

// Owner returns -1: the user id of an owner is not known.
func Owner(fs.FileInfo) int { return -1 }

// Usage returns zero: the user id of an owner is not known.
func Usage(*Dir, int) (files int, bytes int64, err error) { return 0, 0, nil }
