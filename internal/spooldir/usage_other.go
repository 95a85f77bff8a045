//go:build !unix

package spooldir

import "io/fs"

// Owner returns -1: the user id of an owner is not known.
func Owner(fs.FileInfo) int { return -1 }
