package spooldir

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// syncFew is the number of files up to which a sync of each is cheaper than a sync of the file system.
const syncFew = 2

// syncFiles makes files survive a power cut, with their names in the directory dir (empty: only their content). For
// many files syncFiles uses one system call, if the system has such a call.
func syncFiles(d *Dir, paths []string, dir string) error {
	if len(paths) > syncFew {
		if err := d.fs.SyncAll(d.path); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	for _, path := range paths {
		f, err := d.fs.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return err
		}
	}
	if dir == "" {
		return nil
	}
	return d.fs.SyncDir(dir)
}

// SyncPlaces makes all moves and removals so far survive a power cut. New names are synced before removed ones.
func (d *Dir) SyncPlaces() error {
	for _, place := range []Place{Hold, Failed, Spool} {
		err := d.fs.SyncDir(d.File(string(place)))
		if place != Spool && errors.Is(err, syscall.ENOTDIR) { // nothing can have been moved there
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
