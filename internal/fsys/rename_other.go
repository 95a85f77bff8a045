//go:build !linux && !windows

package fsys

import (
	"errors"
	"os"
)

func renameNew(from, to string) error {
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: errors.ErrUnsupported}
}

func renameNewAt(int, string, int, string) error { return errors.ErrUnsupported }
