// Package spooldir handles the files of a spool directory: how one gets in, is noticed, opened and moved aside.
// It knows nothing of what the files say.
//
//	SPOOL/NAME              one message; names that start with a dot are no messages
//	SPOOL/tmp/              files being built (.put-* by Put), and files being removed (.sent-*)
//	SPOOL/failed/NAME       a message given up, and beside it NAME.json: why; .untold-NAME: its sender is to be told
//	SPOOL/hold/             messages set aside by hand
//	SPOOL/.spoolgore.lock   held while a daemon runs the spool
package spooldir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

const (
	tmpDir    = "tmp"
	failedDir = "failed"
	holdDir   = "hold"
)

// A Dir is a spool directory. It keeps no descriptor open and is safe for concurrent use by several goroutines,
// and beside other processes that work on the same directory.
type Dir struct {
	path    string
	fs      fsys.FS
	newName func() string
	locked  atomic.Pointer[fs.FileInfo] // the lock file that Lock has locked last; nil: none
}

// New returns the spool directory at path, which is made absolute. It does not look at the disk; the only error is
// that of a relative path without a working directory.
func New(path string) (*Dir, error) { return NewOn(path, fsys.System()) }

// NewOn is New for a directory on the file system on: all calls for files of the spool go there, but for locks and
// notification.
func NewOn(path string, on fsys.FS) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("make %s absolute: %w", path, err)
	}
	return &Dir{path: abs, fs: on, newName: func() string { return newName(time.Now()) }}, nil
}

// FS returns the file system that the spool is on.
func (d *Dir) FS() fsys.FS { return d.fs }

// newName returns a name that sorts by time and was never used before: 80 random bits follow the nanosecond.
func newName(now time.Time) string {
	random := strings.ToLower(rand.Text()[:16])
	return now.UTC().Format("20060102T150405.000000000-") + random + ".eml"
}

// Path returns the absolute path of the spool directory.
func (d *Dir) Path() string { return d.path }

// File returns the absolute path of the entry name.
func (d *Dir) File(name string) string { return filepath.Join(d.path, name) }

// in returns the path of name in one of the subdirectories.
func (d *Dir) in(sub, name string) string { return filepath.Join(d.path, sub, name) }

// Usable reports whether name can be that of a message: not empty, no dot in front, no path separator in it.
func (d *Dir) Usable(name string) bool {
	return name != "" && name[0] != '.' && !strings.ContainsRune(name, '/') &&
		!strings.ContainsRune(name, filepath.Separator)
}

// check keeps a name from leading out of the spool directory.
func (d *Dir) check(act, name string) error {
	if d.Usable(name) {
		return nil
	}
	return &fs.PathError{Op: act, Path: name, Err: fs.ErrInvalid}
}

// Prepare makes the subdirectories that are missing, with the permission bits of the spool directory, which has to
// exist (else fs.ErrNotExist): a mistyped path must not become a new spool.
func (d *Dir) Prepare() error {
	fi, err := d.fs.Stat(d.path)
	if err != nil {
		return fmt.Errorf("prepare spool: %w", err)
	}
	if !fi.IsDir() {
		return fmt.Errorf("prepare spool: %s is not a directory", d.path)
	}
	for _, sub := range []string{tmpDir, failedDir, holdDir} {
		if err := d.makeSub(sub); err != nil {
			return fmt.Errorf("prepare spool: %w", err)
		}
	}
	return nil
}

// makeSub makes a subdirectory, unless it is there.
func (d *Dir) makeSub(sub string) error {
	path := d.File(sub)
	if fi, err := d.fs.Stat(path); err == nil {
		if !fi.IsDir() {
			return fmt.Errorf("%s is not a directory", path)
		}
		return nil
	}
	spool, err := d.fs.Stat(d.path)
	if err != nil {
		return err
	}
	// A spool shared by a group, or by everybody, has to have subdirectories that are shared the same way.
	mode := spool.Mode() & (fs.ModePerm | fs.ModeSetgid | fs.ModeSticky)
	if err := d.fs.Mkdir(path, mode); errors.Is(err, fs.ErrExist) {
		return nil // somebody else was faster
	} else if err != nil {
		return err
	}
	if err := d.fs.Chmod(path, mode); err != nil { // what the umask took away
		return err
	}
	return d.fs.SyncDir(d.path) // or what is moved there could be gone with it
}

// withSub runs act, and once more if it may have failed only because the subdirectory it needs was missing. That may be
// there by now without our doing: somebody else was missing it too.
func (d *Dir) withSub(sub string, act func() error) error {
	err := act()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.makeSub(sub); err != nil {
		return err
	}
	return act()
}

// Names returns the names in the spool that may be messages, sorted: usable ones, directories left out. After an
// error there are none, since with half a list the other half would look deleted.
func (d *Dir) Names() (names []string, err error) { return d.NamesIn(Spool) }

// NamesIn is Names for one of the places.
func (d *Dir) NamesIn(place Place) (names []string, err error) {
	err = d.eachNameIn(place, func(some []string) error {
		names = append(names, some...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// EachName gives do the names that Names would return, some at a time and in no order: there may be a million. An error of
// do ends it. After an error what was not given may be there all the same.
func (d *Dir) EachName(do func(names []string) error) error { return d.eachNameIn(Spool, do) }

func (d *Dir) eachNameIn(place Place, do func(names []string) error) error {
	err := d.eachEntry(d.File(string(place)), func(entries []fs.DirEntry) error {
		names := make([]string, 0, len(entries))
		for _, e := range entries {
			if d.Usable(e.Name()) && !e.IsDir() {
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

// eachEntry reads a directory and gives do what it holds: in parts, as entries are much larger than their names. An error of
// do ends it.
func (d *Dir) eachEntry(path string, do func([]fs.DirEntry) error) error {
	f, err := d.fs.OpenFile(path, os.O_RDONLY, 0)
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
