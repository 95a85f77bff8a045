package fsys

import (
	"os"

	"golang.org/x/sys/unix"
)

func syncAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syncAllOf(int(f.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: path, Err: err}
	}
	return nil
}

func syncAllOf(dir int) error { return unix.Syncfs(dir) }

// searchOnly is the flag that opens a directory which may be searched and not read.
const searchOnly = unix.O_PATH
