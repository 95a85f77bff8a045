package spooldir

import (
	"os"

	"golang.org/x/sys/windows"
)

// moveNew renames from to to, in one step, without ever overwriting (fs.ErrExist).
func moveNew(from, to string) error {
	old, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	target, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	if err := windows.MoveFileEx(old, target, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// moveOr is moveNew.
func moveOr(from, to string, _ func(from, to string) error) error { return moveNew(from, to) }
