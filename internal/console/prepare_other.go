//go:build !windows

package console

import "os"

// Prepare does nothing: a terminal of this system obeys escape sequences.
func Prepare(...*os.File) {}
