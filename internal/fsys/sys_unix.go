//go:build unix

package fsys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

func stamp(path string) (Stamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Stamp{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return stampOf(&st), nil
}

func stampOf(st *unix.Stat_t) Stamp {
	return Stamp{
		Dev:   uint64(st.Dev),
		Ino:   uint64(st.Ino),
		MTime: time.Unix(st.Mtim.Unix()),
		CTime: time.Unix(st.Ctim.Unix()),
	}
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer f.Close()
	return syncDirError(path, f.Sync())
}

// syncDirError is the error of SyncDir after err of fsync(2).
func syncDirError(path string, err error) error {
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if !errors.As(err, new(*fs.PathError)) {
		err = &fs.PathError{Op: "sync", Path: path, Err: err}
	}
	return fmt.Errorf("sync directory: %w", err)
}

// touch sets both times: Linux reports IN_ATTRIB only then. A user with write access to another user's file cannot set
// an exact time; the system's own time is coarser.
func touch(path string) error {
	if err := touchAt(unix.AT_FDCWD, path); err != nil {
		return &fs.PathError{Op: "touch", Path: path, Err: err}
	}
	return nil
}

func touchAt(dir int, name string) error {
	ts, err := unix.TimeToTimespec(time.Now())
	if err == nil {
		err = unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if errors.Is(err, unix.EPERM) {
		err = unix.UtimesNanoAt(dir, name, nil, unix.AT_SYMLINK_NOFOLLOW)
	}
	return err
}

func replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	// Without WithTempDir the content may go through the system's directory for temporary files.
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithStaticPermissions(perm))
	if err != nil {
		return err
	}
	err = giveToOwner(f.File)
	if err == nil {
		err = write(f)
	}
	if err != nil {
		return errors.Join(err, f.Cleanup())
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return errors.Join(err, f.Cleanup())
	}
	return nil
}
