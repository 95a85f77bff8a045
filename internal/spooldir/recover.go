package spooldir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

const (
	// handOver is longer than any program needs between a link and the unlink that completes a move.
	handOver = time.Minute
	// stale is longer than any Put takes.
	stale = 24 * time.Hour
)

// Recover completes or undoes the steps that a crash has interrupted. Call it at start, under the lock, before any
// other method that changes the spool:
//   - A why-file under its temporary name gets its name if its message is in failed/, else it is removed.
//   - A file set aside in tmp/ by Remove is removed if it is the version that was delivered. Another version is moved
//     back into the spool, and so is the name of a message that was moved back from failed/ by hand.
//   - A message with a name in the spool and one in failed/ keeps the one in failed/ if there is a why-file.
//   - A message linked from tmp/ into the spool more than a minute ago loses its name in tmp/.
//   - An unfinished file of the daemon is removed: its writer had the lock.
//   - An unfinished file of Put is removed after a day, unless a process has it open for writing. Files of other
//     programs in tmp/ stay.
//   - The mark for an owed report is removed if its message is not in failed/.
//
// Recover continues after an error and returns all errors.
func (d *Dir) Recover() error {
	r := &recovery{dir: d, now: time.Now()}
	err := errors.Join(
		r.each(failedDir, r.whyFile), // first: other steps ask whether a message has its why-file
		r.each(tmpDir, r.tmpFile),
		r.linkedToFailed(),
		r.each("", r.ownFile),
		r.marks(),
	)
	if err != nil {
		return fmt.Errorf("recover spool: %w", err)
	}
	return nil
}

// recovery is one call of Recover.
type recovery struct {
	dir  *Dir
	now  time.Time
	live bool // the daemon runs, and may be about to move a message to failed/
}

// each calls act for every regular file of a subdirectory, which may be missing. In the spool directory messages are
// left out: there may be many, and no step begins with one.
func (r *recovery) each(sub string, act func(name string, fi fs.FileInfo) error) error {
	var found []fs.DirEntry // a listing of a directory that changes meanwhile may be incomplete
	err := eachEntry(r.dir.fs, r.dir.File(sub), func(entries []fs.DirEntry) error {
		for _, e := range entries {
			if sub != "" || !Usable(e.Name()) {
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

// whyFile recovers a why-file in failed/ that has its temporary name. If its message is in failed/ the content was
// synced before. Another version of the message goes back into the spool: a program has replaced the message at the
// last moment.
func (r *recovery) whyFile(tmp string, _ fs.FileInfo) error {
	message, ok := parseWhyTemp(tmp)
	if !ok {
		return nil
	}
	failed := r.dir.Failed()
	path, why := failed.file(message), failed.why(message)
	fi, err := r.dir.fs.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		id, links := fileID(fi)
		if sameFile(r.dir.fs, failed.file(tmp), why) { // rename(2) of two names of one file has no effect
			return r.dir.fs.Remove(failed.file(tmp))
		}
		if whyTemp(message, id) == tmp {
			return r.dir.fs.Rename(failed.file(tmp), why)
		}
		explained, err := exists(r.dir.fs, why)
		if err == nil && !explained && links == 1 { // with several links dropLink decides
			_, err = moveIn(r.dir, path, message)
		}
		if err != nil {
			return err
		}
	} else if r.isOf(tmp, message) {
		return move(r.dir.fs, failed.file(tmp), why) // the message was moved back, or was not moved yet
	}
	r.dropUnfinished(failed.file(tmp))
	return nil
}

// isOf reports whether tmp is a whole why-file of the message in the spool. A why-file that was not synced before a
// power cut may be torn, and then is no valid JSON.
func (r *recovery) isOf(tmp, message string) bool {
	id, err := r.dir.Stat(message)
	if err != nil || whyTemp(message, id) != tmp {
		return false
	}
	text, err := ReadOn(r.dir.fs, r.dir.Failed().file(tmp))
	return err == nil && json.Valid(text)
}

// parseWhyTemp returns the message whose why-file is called tmp while it is written: a dot, the name, and digits.
func parseWhyTemp(tmp string) (message string, ok bool) {
	if strings.HasPrefix(tmp, untold) {
		return "", false
	}
	name, dotted := strings.CutPrefix(tmp, ".")
	why := strings.TrimRight(name, "0123456789")
	message, suffixed := strings.CutSuffix(why, whySuffix)
	return message, dotted && suffixed && why != name && Usable(message)
}

// tmpFile recovers a file in tmp/.
func (r *recovery) tmpFile(name string, fi fs.FileInfo) error {
	path := r.dir.At(tmpDir, name)
	found, links := fileID(fi)
	if id, original, ok := parseSent(name); ok {
		return r.sentFile(path, original, isMoved(r.dir, found, id), links)
	}
	final, ours := strings.CutPrefix(name, putPrefix)
	if links > 1 && r.now.Sub(fi.ModTime()) >= handOver && sameFile(r.dir.fs, path, r.dir.File(final)) {
		return r.dir.fs.Remove(path)
	}
	// A file of tomorrow is stale, too: the clock was wrong then, or is wrong now. A writer in another process that is
	// alive all the same loses only time: Put returns an error.
	if ours && r.now.Sub(fi.ModTime()).Abs() > stale {
		r.dropUnfinished(path)
	}
	return nil
}

// sentFile recovers a file set aside in tmp/ whose name was original. Delivered means that the file is the version to
// be removed. A file with several links may be in the middle of a move in two steps, to tmp/ or back.
func (r *recovery) sentFile(path, original string, delivered bool, links uint64) error {
	var names []string
	if links > 1 {
		var err error
		if names, err = r.namesOf(path); err != nil {
			return err
		}
	}
	if delivered {
		for _, name := range names {
			if err := r.dropDelivered(name, original); err != nil {
				return err
			}
		}
	}
	if delivered || len(names) > 0 {
		return r.dir.fs.Remove(path)
	}
	if !Usable(original) {
		original = r.dir.newName()
	}
	_, err := moveIn(r.dir, path, original)
	return err
}

// namesOf returns the names in the spool of the file at path.
func (r *recovery) namesOf(path string) (same []string, err error) {
	names, err := r.dir.Names(Spool)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if sameFile(r.dir.fs, path, r.dir.File(name)) {
			same = append(same, name)
		}
	}
	return same, nil
}

// dropDelivered removes name from the spool. The file is the same as a file set aside whose name was original. Version
// 1 also set a message aside after linking the message to failed/. If a person has moved the message back since, by the
// why-file or under another name, name stays, and the message is sent.
func (r *recovery) dropDelivered(name, original string) error {
	if name != original && len(name) <= longName {
		return nil
	}
	_, err := r.dir.Failed().returnedWhy("recover", name)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.dir.fs.Remove(r.dir.File(name))
}

// ownFile removes an unfinished file of the daemon from the spool directory, and one of Put after a day.
func (r *recovery) ownFile(name string, fi fs.FileInfo) error {
	stalePut := strings.HasPrefix(name, putPrefix) && r.now.Sub(fi.ModTime()).Abs() > stale
	if strings.HasPrefix(name, ownTemp) || stalePut {
		r.dropUnfinished(r.dir.File(name))
	}
	return nil
}

// dropUnfinished removes an unfinished file, unless a process writes the file. If the file cannot be removed, for
// instance because it belongs to another user, no error is returned.
func (r *recovery) dropUnfinished(path string) {
	if !r.dir.building.has(path) && !r.hasWriter(path) {
		_ = r.dir.fs.Remove(path)
	}
}

// hasWriter reports whether a process is known to have the file at path open for writing.
func (r *recovery) hasWriter(path string) bool {
	f, err := r.dir.fs.OpenFile(path, openFlags, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	answer, err := probeLease(f)
	return err == nil && answer == leaseBusy
}

// LinkRest is the age at which RecoverLinked removes a link to failed/ without a why-file. A command that moves a
// message back needs a moment between its two steps.
const LinkRest = 5 * time.Second

// RecoverLinked does the step of Recover for messages with a name in the spool and a name in failed/ but without a
// why-file. A running daemon may call RecoverLinked.
func (d *Dir) RecoverLinked() error {
	if err := (&recovery{dir: d, now: time.Now(), live: true}).linkedToFailed(); err != nil {
		return fmt.Errorf("recover spool: %w", err)
	}
	return nil
}

// linkedToFailed recovers messages with a name in the spool and another one in failed/, which is left by a move in two
// steps. Only a file with several links can have both. Such a file is rare, and so is a search of the spool.
func (r *recovery) linkedToFailed() error {
	linked := map[uint64]string{}
	err := r.each(failedDir, func(name string, fi fs.FileInfo) error {
		if id, links := fileID(fi); links > 1 && !IsWhyFile(name) {
			linked[id.Ino] = name
		}
		return nil
	})
	if err != nil || len(linked) == 0 {
		return err
	}
	names, err := r.dir.Names(Spool)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		id, err := lstatAny(r.dir.fs, r.dir.File(name))
		if failed, ok := linked[id.Ino]; err == nil && ok {
			err = r.dropLink(name, failed)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// dropLink removes one of the names of a message in spool and failed/. The message was given up if it has its
// why-file, which Fail writes first. Without one a person is moving the message back by hand, or an undo of version 1
// has removed the why-file only: after a while the message stays in the spool, to be sent.
func (r *recovery) dropLink(name, failed string) error {
	inSpool, inFailed := r.dir.File(name), r.dir.At(Failed, failed)
	if !sameFile(r.dir.fs, inSpool, inFailed) {
		return nil
	}
	explained, err := exists(r.dir.fs, r.dir.Failed().why(failed))
	if err != nil {
		return err
	}
	switch {
	case explained && r.live:
		return nil
	case explained:
		return r.dir.fs.Remove(inSpool)
	}
	stamp, err := r.dir.fs.Stamp(inFailed) // a link changes the change time
	if err != nil || r.now.Sub(stamp.CTime).Abs() < LinkRest {
		return err
	}
	return r.dir.fs.Remove(inFailed)
}

// marks removes the marks of messages that are not in failed/. Such a message is tried again, or was never moved there.
func (r *recovery) marks() error {
	failed := r.dir.Failed()
	names, err := failed.marks()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		kept, err := exists(r.dir.fs, failed.file(name))
		if err == nil && !kept {
			err = failed.ReportMade(name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
