package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Create makes a missing spool directory with mode 0700. The parent has to exist. A directory that has been there is
// not made again, since its file system may not be mounted now: Dir has seen the directory, or the file at trace exists
// (empty: no trace). Create then returns nil, and so it does if the directory cannot be looked at: the caller finds the
// reason when it uses the directory.
func Create(d *Dir, trace string) error {
	if d.seen.Load() {
		return nil
	}
	_, err := d.fs.Stat(d.path)
	if err == nil {
		d.seen.Store(true)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if trace != "" {
		if there, err := exists(d.fs, trace); there || err != nil {
			return nil
		}
	}
	if err := makePrivate(d); err != nil && !errors.Is(err, fs.ErrExist) { // another process was faster
		return fmt.Errorf("make spool directory: %w", err)
	}
	d.seen.Store(true)
	return nil
}

func makePrivate(d *Dir) error {
	if err := d.fs.Mkdir(d.path, 0o700); err != nil {
		return err
	}
	if err := d.fs.Chmod(d.path, 0o700); err != nil { // bits cleared by the umask
		return err
	}
	return d.fs.SyncDir(filepath.Dir(d.path))
}
