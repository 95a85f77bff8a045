//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package acceptlog

import (
	"errors"
	"os"
)

// lock returns an error: this system has no such lock.
func lock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
