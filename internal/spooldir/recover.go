package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

const (
	// handOver is longer than any living writer takes between linking its file into the spool and unlinking it in tmp/.
	handOver = time.Minute
	// ownTemp begins the names under which WriteFile builds the daemon's own files in the spool.
	ownTemp = "..spoolgore."
	// ownTempAge is longer than any write of such a file takes.
	ownTempAge = time.Hour
)

// Recover puts right what a crash has left. It is to be called at start, under the lock:
//   - a file that Remove had set aside: the version that was delivered is removed, another one goes back into the spool;
//   - a message linked into failed/ and still in the spool: Fail's last step is done;
//   - a file linked into the spool out of tmp/ over a minute ago and not unlinked there (Open refuses it as ErrLinked):
//     it is unlinked in tmp/;
//   - a half-written file of the daemon's own, older than an hour: it is removed.
//
// It goes on after an error and returns all of them.
func (d *Dir) Recover() error {
	now := time.Now()
	err := errors.Join(
		d.each(tmpDir, func(name string, fi fs.FileInfo) error { return d.recoverTmp(name, fi, now) }),
		d.recoverFailed(),
		d.each("", func(name string, fi fs.FileInfo) error {
			if strings.HasPrefix(name, ownTemp) && now.Sub(fi.ModTime()) > ownTempAge {
				return os.Remove(d.File(name))
			}
			return nil
		}),
	)
	if err != nil {
		return fmt.Errorf("recover spool: %w", err)
	}
	return nil
}

// each calls act for every entry of a subdirectory (none, if that is missing) that is a regular file. Messages in the
// spool itself are left out: they may be many, and no step of Recover begins with one.
func (d *Dir) each(sub string, act func(name string, fi fs.FileInfo) error) error {
	entries, err := os.ReadDir(d.File(sub))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if sub == "" && d.Usable(e.Name()) {
			continue
		}
		fi, err := e.Info()
		if err == nil && fi.Mode().IsRegular() {
			err = act(e.Name(), fi)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// recoverTmp deals with one file in tmp/.
func (d *Dir) recoverTmp(name string, fi fs.FileInfo, now time.Time) error {
	path := d.in(tmpDir, name)
	found, links := fileID(fi)
	if id, original, ok := parseSent(name); ok {
		if found.Equal(id) {
			return os.Remove(path)
		}
		if !d.Usable(original) {
			original = d.ops.newName()
		}
		_, err := d.moveIn(path, original)
		return err
	}
	if links < 2 || now.Sub(fi.ModTime()) < handOver {
		return nil
	}
	if !sameFile(path, d.File(name)) {
		return nil
	}
	return os.Remove(path)
}

// recoverFailed removes from the spool what failed/ has as well. Only a file with several links can be in both, and
// there is hardly ever one, so the spool is rarely searched.
func (d *Dir) recoverFailed() error {
	linked := map[uint64]string{}
	err := d.each(failedDir, func(name string, fi fs.FileInfo) error {
		if id, links := fileID(fi); links > 1 && !strings.HasSuffix(name, whySuffix) {
			linked[id.Ino] = name
		}
		return nil
	})
	if err != nil || len(linked) == 0 {
		return err
	}
	names, err := d.Names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, d.dropFailed(name, linked))
	}
	return errors.Join(errs...)
}

// dropFailed removes name from the spool if it is the same file as one of those in failed/ that have several links, and
// that one has its why-file, which Fail writes first: without one, somebody may be moving it back by hand.
func (d *Dir) dropFailed(name string, linked map[uint64]string) error {
	fi, err := os.Lstat(d.File(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	id, _ := fileID(fi)
	failed, ok := linked[id.Ino]
	if !ok || !sameFile(d.File(name), d.in(failedDir, failed)) {
		return nil
	}
	explained, err := exists(d.in(failedDir, failed+whySuffix))
	if err != nil || !explained {
		return err
	}
	return os.Remove(d.File(name))
}
