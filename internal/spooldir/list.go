package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/unbit/spoolgore/internal/fsys"
)

// A Place is one of the directories of messages.
type Place string

// The places.
const (
	Spool  Place = "" // the spool directory
	Hold   Place = holdDir
	Failed Place = failedDir
)

// Known reports whether p is one of the places. A path of another place may lead out of the spool.
func (p Place) Known() bool { return p == Spool || p == Hold || p == Failed }

// Names returns the sorted names in place that may be messages: usable names, without directories. After an error the
// list is empty, since messages missing in half a list would look deleted.
func (d *Dir) Names(place Place) (names []string, err error) {
	err = EachName(d, place, func(some []string) error {
		names = append(names, some...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// EachName calls do for parts of what Names returns, in no order. A spool may hold a million names. EachName stops at
// an error of do. After an error the names not given to do may exist.
func EachName(d *Dir, place Place, do func(names []string) error) error {
	err := eachEntry(d.fs, d.File(string(place)), func(entries []fs.DirEntry) error {
		names := make([]string, 0, len(entries))
		for _, e := range entries {
			if Usable(e.Name()) && !e.IsDir() {
				names = append(names, e.Name())
			}
		}
		return do(names)
	})
	if err != nil {
		return fmt.Errorf("read spool: %w", err)
	}
	return nil
}

// eachEntry calls do for parts of the directory at path, since entries need much more memory than names. eachEntry
// stops at an error of do.
func eachEntry(on fsys.FS, path string, do func([]fs.DirEntry) error) error {
	f, err := on.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1024)
		if err != nil && err != io.EOF {
			return err
		}
		if err := do(entries); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
	}
}

// exists reports whether there is an entry at path.
func exists(on fsys.FS, path string) (bool, error) {
	_, err := on.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// sameFile reports whether both paths exist and are names of one file.
func sameFile(on fsys.FS, a, b string) bool {
	fa, errA := on.Lstat(a)
	fb, errB := on.Lstat(b)
	return errA == nil && errB == nil && fsys.SameFile(fa, fb)
}
