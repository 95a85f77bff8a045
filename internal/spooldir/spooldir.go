// Package spooldir handles the files of a spool directory: adding, listing, opening, watching, moving and removing
// messages, and what a crash may leave of these steps. The content of a message is not read here.
//
//	SPOOL/NAME              one message; a name with a leading dot is no message
//	SPOOL/tmp/              files being built (.put-* by Put), and files being removed (.sent-*)
//	SPOOL/failed/NAME       a message given up, beside its why-file NAME.json; .untold-NAME: a report is owed
//	SPOOL/hold/             messages set aside by hand
//	SPOOL/.spoolgore.lock   locked while a daemon runs the spool
package spooldir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

const (
	tmpDir    = TmpDir
	failedDir = "failed"
	holdDir   = "hold"
)

// A Dir is a spool directory. Dir opens the spool and its subdirectories once, without following links (fsys.NewTree),
// and is safe for concurrent use by several goroutines, and beside other processes in the same directory.
type Dir struct {
	path     string
	fs       fsys.FS
	newName  func() string // random name of a message
	lock     Lock
	seen     atomic.Bool // the directory has been there, see Create
	syncs    shared      // of the directory, by Put
	building pathSet     // files that a Put of this Dir builds: Recover leaves them, even if the clock is wrong
	buffers  buffers
	inodes   inodes
}

// New returns the spool directory at path, which is made absolute. New does not look at the disk. The only error is a
// relative path without a working directory.
func New(path string) (*Dir, error) { return NewOn(path, nil) }

// NewOn is New for a directory on the file system on; nil: the one of New. All calls for files of the spool go to on,
// except locking and notification.
func NewOn(path string, on fsys.FS) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("make %s absolute: %w", path, err)
	}
	if on == nil {
		on = fsys.NewTree(abs, lockName, tmpDir, failedDir, holdDir)
	}
	d := &Dir{path: abs, fs: on, newName: func() string { return newName(time.Now()) }}
	d.lock.dir = d
	return d, nil
}

// newName returns a unique name that sorts by time: 80 random bits follow the nanosecond.
func newName(now time.Time) string {
	random := strings.ToLower(rand.Text()[:16])
	return now.UTC().Format("20060102T150405.000000000-") + random + ".eml"
}

// IsPutName reports whether name is one that Put makes: Put builds the file elsewhere.
func IsPutName(name string) bool {
	const at = "20060102T150405.000000000"
	if hash := strings.LastIndexByte(name, '-'); strings.HasPrefix(name, "id-") && len(name)-hash == len("-.eml")+32 {
		return strings.HasSuffix(name, ".eml") // of NameOfID
	}
	if len(name) != len(at)+len("-")+16+len(".eml") || name[len(at)] != '-' {
		return false
	}
	_, err := time.Parse(at, name[:len(at)])
	return err == nil
}

// FS returns the file system of the spool.
func (d *Dir) FS() fsys.FS { return d.fs }

// Path returns the absolute path of the spool directory.
func (d *Dir) Path() string { return d.path }

// File returns the absolute path of the entry name.
func (d *Dir) File(name string) string { return join(d.path, name) }

// At returns the absolute path of the file name in place.
func (d *Dir) At(place Place, name string) string {
	if place == Spool {
		return d.File(name)
	}
	const slash = string(filepath.Separator)
	if isEntry(name) && !strings.HasSuffix(d.path, slash) {
		return d.path + slash + string(place) + slash + name
	}
	return join(join(d.path, string(place)), name)
}

// join is filepath.Join of a clean path and the name of an entry. It is called several times for each message.
func join(dir, name string) string {
	if !isEntry(name) || strings.HasSuffix(dir, string(filepath.Separator)) {
		return filepath.Join(dir, name)
	}
	return dir + string(filepath.Separator) + name
}

// isEntry reports whether name can be the name of an entry of a directory.
func isEntry(name string) bool {
	return Usable(name) || name != "" && name != "." && name != ".." && !strings.ContainsAny(name, `/\`)
}

// Lock returns the lock of the spool.
func (d *Dir) Lock() *Lock { return &d.lock }

// Failed returns the directory of messages that were given up.
func (d *Dir) Failed() FailedDir { return FailedDir{d} }

// Steering returns the operations of a person on single messages.
func (d *Dir) Steering() Steering { return Steering{d} }

// Usable reports whether name can be the name of a message: not empty, no leading dot, no path separator.
func Usable(name string) bool {
	return name != "" && name[0] != '.' && !strings.ContainsRune(name, '/') &&
		!strings.ContainsRune(name, filepath.Separator)
}

// check returns an error unless name is usable. A path of an unusable name may lead out of the spool.
func check(act, name string) error {
	if Usable(name) {
		return nil
	}
	return &fs.PathError{Op: act, Path: name, Err: fs.ErrInvalid}
}

// checkIn is check for a message in place.
func checkIn(act string, place Place, name string) error {
	if !place.Known() {
		return &fs.PathError{Op: act, Path: string(place), Err: fs.ErrInvalid}
	}
	return check(act, name)
}

// Prepare makes the missing subdirectories, with the permission bits of the spool directory. The spool directory has to
// exist (else fs.ErrNotExist): a mistyped path must not become a new spool. A subdirectory for which there is no room
// on the disk, or whose name a file has taken, is no error: incomplete says so, and the spool works but for what that
// subdirectory is for.
func (d *Dir) Prepare() (incomplete, err error) {
	fi, err := d.fs.Stat(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("prepare spool: %w; make the directory, or correct its name", err)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare spool: %w", err)
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("prepare spool: %s is not a directory", d.path)
	}
	d.seen.Store(true)
	for _, sub := range []string{tmpDir, failedDir, holdDir} {
		err := makeSub(d, sub)
		switch {
		case noRoom(err), errors.Is(err, syscall.ENOTDIR):
			incomplete = errors.Join(incomplete, err)
		case err != nil:
			return nil, fmt.Errorf("prepare spool: %w", err)
		}
	}
	return incomplete, nil
}

// errNotOurs is the error of makeSub in the spool of another user.
var errNotOurs = fmt.Errorf("spool of another user: %w", fs.ErrPermission)

// makeSub makes a subdirectory if there is none.
func makeSub(d *Dir, sub string) error {
	path := d.File(sub)
	fi, err := d.fs.Stat(path)
	switch {
	case errors.Is(err, syscall.ENOTDIR): // a link, or the directory of a user that is not trusted
		return err
	case err == nil && !fi.IsDir():
		return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	case err == nil:
		return nil
	}
	spool, err := d.fs.Stat(d.path)
	if err != nil {
		return err
	}
	if err := mayMakeSub(spool); err != nil && d.lock.held.Load() == nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	// The subdirectories of a spool shared by a group, or by all users, are shared the same way.
	mode := spool.Mode() & (fs.ModePerm | fs.ModeSetgid | fs.ModeSticky)
	if err := d.fs.Mkdir(path, mode); errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	} else if err != nil {
		return err
	}
	if err := d.fs.Chmod(path, mode); err != nil { // bits cleared by the umask
		return err
	}
	return d.fs.SyncDir(d.path) // a file moved into an unsynced directory could be lost
}

// withSub runs act, and once more if act failed because the subdirectory sub was missing. Another process may make sub
// at the same time.
func withSub(d *Dir, sub string, act func() error) error {
	err := act()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeSub(d, sub); err != nil {
		return err
	}
	return act()
}
