package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/fsys"
)

const (
	// untold is the prefix of the mark for an owed report on a message in failed/: an empty file.
	untold = ".untold-"
	// maxWhy is the maximum size of a why-file in bytes.
	maxWhy = 64 << 20
)

// FailedDir is the directory failed/ of messages that were given up, with a why-file beside each message.
type FailedDir struct{ dir *Dir }

// file returns the path of name in failed/.
func (d FailedDir) file(name string) string { return d.dir.At(Failed, name) }

// why returns the path of the why-file of the message name.
func (d FailedDir) why(name string) string { return d.file(WhyFile(name)) }

// Open opens the message name in failed/. Errors: fs.ErrNotExist if there is none; ErrNotRegular.
func (d FailedDir) Open(name string) (fsys.File, ID, error) {
	if err := check("open failed", name); err != nil {
		return nil, ID{}, err
	}
	f, err := openRegular(d.dir.fs, d.file(name), openFlags)
	if err != nil {
		return nil, ID{}, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, ID{}, err
	}
	return f, IDOf(fi), nil
}

// Why returns the why-file of the message name. Errors: fs.ErrNotExist if there is none.
func (d FailedDir) Why(name string) ([]byte, error) {
	if err := check("read why", name); err != nil {
		return nil, err
	}
	return readWhy(d.dir.fs, d.why(name))
}

// ReturnedWhy returns the why-file of a message that was moved out of failed/, most likely back into the spool. Errors:
// fs.ErrNotExist if there is no why-file, or if the message is in failed/. A why-file of more than 64 MiB is an error.
func (d FailedDir) ReturnedWhy(name string) ([]byte, error) {
	path, err := d.returnedWhy("read why", name)
	if err != nil {
		return nil, err
	}
	return readWhy(d.dir.fs, path)
}

func readWhy(on fsys.FS, path string) ([]byte, error) {
	fi, err := on.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read why", Path: path, Err: ErrNotRegular}
	}
	if fi.Size() > maxWhy {
		return nil, fmt.Errorf("read %s: larger than %d bytes", path, maxWhy)
	}
	f, err := on.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, fi.Size())) // a why-file is replaced, it never grows
}

// RemoveWhy removes the why-file that ReturnedWhy returns, and the mark for an owed report. A missing why-file is no
// error. If the message is in failed/, both files stay.
func (d FailedDir) RemoveWhy(name string) error {
	_, err := d.returnedWhy("remove why", name)
	if err == nil {
		err = d.removeWhy(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeWhy removes the why-file and the mark of name, even if the message is in failed/.
func (d FailedDir) removeWhy(name string) error {
	return errors.Join(d.dir.fs.Remove(d.why(name)), d.ReportMade(name))
}

// returnedWhy returns the path of the why-file of name: fs.ErrNotExist while the message is in failed/.
func (d FailedDir) returnedWhy(act, name string) (string, error) {
	if err := check(act, name); err != nil {
		return "", err
	}
	path := d.why(name)
	_, err := d.dir.fs.Lstat(path) // first: nearly always there is none
	// Fail gives a message of a longer name another one; a file called failed/ holds no why-file.
	if errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.ENOTDIR) {
		err = &fs.PathError{Op: act, Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		return "", err
	}
	present, err := exists(d.dir.fs, d.file(name))
	if err != nil {
		return "", err
	}
	if present {
		return "", &fs.PathError{Op: act, Path: path, Err: fs.ErrNotExist}
	}
	return path, nil
}

// ReportsOwed returns the names of the messages in failed/ with an owed report.
func (d FailedDir) ReportsOwed() (names []string, err error) {
	marks, err := d.marks()
	if err != nil {
		return nil, fmt.Errorf("look for owed reports: %w", err)
	}
	for _, name := range marks {
		// Fail makes the mark first. The mark of a message that is being moved to failed/ must not be taken for an
		// old one.
		if present, err := exists(d.dir.fs, d.file(name)); present || err != nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// marks returns the names of messages with a mark, whether the messages are in failed/ or not.
func (d FailedDir) marks() (names []string, err error) {
	f, err := d.dir.fs.OpenFile(d.dir.File(failedDir), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for {
		entries, err := f.Readdirnames(1024)
		for _, e := range entries {
			if name, ok := strings.CutPrefix(e, untold); ok && Usable(name) {
				names = append(names, name)
			}
		}
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// mark makes the mark of a message that will be called name in failed/.
func (d FailedDir) mark(name string) error {
	return withSub(d.dir, failedDir, func() error {
		f, err := d.dir.fs.OpenFile(d.file(untold+name), lockFlags, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	})
}

// ReportMade removes the mark of name, after the report was made or is no longer wanted. The removal is not synced:
// after a power cut the report may be made again.
func (d FailedDir) ReportMade(name string) error {
	if err := d.dir.fs.Remove(d.file(untold + name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
