package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

const (
	// handOver is longer than any living writer takes between linking its file into the spool and unlinking it in tmp/.
	handOver = time.Minute
	// ownTemp begins the names under which WriteFile builds the daemon's own files in the spool.
	ownTemp = "..spoolgore."
	// stale is longer than any Put takes.
	stale = 24 * time.Hour
)

// Recover puts right what a crash has left. It is to be called at start, under the lock:
//   - a file that Remove had set aside: the version that was delivered is removed, another one goes back into the spool;
//   - a message linked into failed/ and still in the spool: Fail's last step is done;
//   - a file linked into the spool out of tmp/ over a minute ago and not unlinked there (Open refuses it as ErrLinked):
//     it is unlinked in tmp/;
//   - an unfinished file of the daemon's own, or a why-file: it is removed, since its writer must have had the lock;
//   - an unfinished file of Put that is a day old and that nobody is known to write: it is removed. What other programs
//     build in tmp/ is never touched.
//
// It goes on after an error and returns all of them.
func (d *Dir) Recover() error {
	now := time.Now()
	err := errors.Join(
		d.each(tmpDir, func(name string, fi fs.FileInfo) error { return d.recoverTmp(name, fi, now) }),
		d.recoverFailed(),
		d.each("", func(name string, _ fs.FileInfo) error {
			if strings.HasPrefix(name, ownTemp) {
				d.dropUnfinished(d.File(name))
			}
			return nil
		}),
		d.each(failedDir, func(name string, _ fs.FileInfo) error {
			if isWhyTemp(name) {
				d.dropUnfinished(d.in(failedDir, name))
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
	var found []fs.DirEntry // before anything is done: a directory that changes while it is read may not give all
	err := d.eachEntry(d.File(sub), func(entries []fs.DirEntry) error {
		for _, e := range entries {
			if sub != "" || !d.Usable(e.Name()) {
				found = append(found, e)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range found {
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
		return d.recoverSent(path, fi, original, found.Equal(id))
	}
	final, ours := strings.CutPrefix(name, putPrefix)
	if links > 1 && now.Sub(fi.ModTime()) >= handOver && sameFile(d.fs, path, d.File(final)) {
		return d.fs.Remove(path)
	}
	// One from tomorrow is stale too: the clock was wrong when it was written, or is now. Should its writer be alive all the
	// same it loses nothing but time: Put finds its file gone and says so.
	if ours && now.Sub(fi.ModTime()).Abs() > stale {
		d.dropUnfinished(path)
	}
	return nil
}

// recoverSent deals with a file that was set aside in tmp/ and called original. Done says that it is the version that was to
// be removed. If it has several links the crash may have come in the middle of a move by linkMove, there or back.
func (d *Dir) recoverSent(path string, fi fs.FileInfo, original string, done bool) error {
	var twins []string
	if _, links := fileID(fi); links > 1 {
		var err error
		if twins, err = d.twins(path); err != nil {
			return err
		}
	}
	if done {
		for _, name := range twins {
			if err := d.fs.Remove(d.File(name)); err != nil {
				return err
			}
		}
	}
	if done || len(twins) > 0 {
		return d.fs.Remove(path)
	}
	if !d.Usable(original) {
		original = d.newName()
	}
	_, err := d.moveIn(path, original)
	return err
}

// twins returns the names in the spool of the very file at path.
func (d *Dir) twins(path string) (twins []string, err error) {
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if sameFile(d.fs, path, d.File(name)) {
			twins = append(twins, name)
		}
	}
	return twins, nil
}

// dropUnfinished removes a file of ours that was never finished, unless somebody is known to write it. If it cannot be
// removed, as it is another user's, it does no harm.
func (d *Dir) dropUnfinished(path string) {
	if !d.hasWriter(path) {
		_ = d.fs.Remove(path)
	}
}

// hasWriter reports whether somebody is known to have the file at path open for writing.
func (d *Dir) hasWriter(path string) bool {
	f, err := d.fs.OpenFile(path, openFlags, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	answer, err := probeLease(f)
	return err == nil && answer == leaseBusy
}

// isWhyTemp reports whether name, in failed/, is one under which a why-file is written: its own, a dot in front, digits behind.
func isWhyTemp(name string) bool {
	if strings.HasPrefix(name, untold) {
		return false
	}
	name, dotted := strings.CutPrefix(name, ".")
	why := strings.TrimRight(name, "0123456789")
	return dotted && why != name && strings.HasSuffix(why, whySuffix)
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
	fi, err := d.fs.Lstat(d.File(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	id, _ := fileID(fi)
	failed, ok := linked[id.Ino]
	if !ok || !sameFile(d.fs, d.File(name), d.in(failedDir, failed)) {
		return nil
	}
	explained, err := d.exists(d.in(failedDir, failed+whySuffix))
	if err != nil || !explained {
		return err
	}
	return d.fs.Remove(d.File(name))
}
