//go:build unix

package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/unbit/spoolgore/internal/fsys"
)

// Owner returns the user id of the owner of the file that fi describes; -1 if the owner is unknown.
func Owner(fi fs.FileInfo) int {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// mayMakeSub returns an error if the process, which is not the daemon, must not make a subdirectory in spool: the
// daemon refuses a directory of a third user.
func mayMakeSub(spool fs.FileInfo) error {
	owner, euid := Owner(spool), os.Geteuid()
	if owner < 0 || euid == 0 || euid == owner {
		return nil
	}
	return fmt.Errorf("%w; become user %d, the owner, or root", errNotOurs, owner)
}

// Usage counts the files of the user uid in d, and their bytes: in the spool, in tmp/, in hold/ and in failed/. Usage
// looks at every file of every user, about 2 ms for a thousand.
func Usage(d *Dir, uid int) (files int, bytes int64, err error) {
	for _, sub := range []string{"", tmpDir, holdDir, failedDir} {
		f, err := d.fs.OpenFile(d.File(sub), os.O_RDONLY, 0)
		if errors.Is(err, fs.ErrNotExist) && sub != "" {
			continue
		}
		if err != nil {
			return 0, 0, fmt.Errorf("count files: %w", err)
		}
		n, size, err := usage(f, uid)
		f.Close()
		if err != nil {
			return 0, 0, fmt.Errorf("count files: %w", err)
		}
		files, bytes = files+n, bytes+size
	}
	return files, bytes, nil
}

// usage is Usage for one directory.
func usage(dir fsys.File, uid int) (files int, bytes int64, err error) {
	for {
		entries, err := dir.ReadDir(1024)
		for _, e := range entries {
			if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && Owner(fi) == uid {
				files, bytes = files+1, bytes+fi.Size()
			}
		}
		if err == io.EOF {
			return files, bytes, nil
		}
		if err != nil {
			return 0, 0, err
		}
	}
}
