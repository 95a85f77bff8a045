package spooldir

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"strconv"

	"github.com/unbit/spoolgore/internal/fsys"
)

// keptName is the maximum length of a name that a message keeps in failed/, in bytes. A number, the suffix of the
// why-file, and the digits of its temporary name must fit into 255 bytes too.
const keptName = 200

// Failing is one message to be moved to failed/.
type Failing struct {
	Name string // in the spool
	ID   ID     // version to move
	Why  []byte // content of the why-file
	Own  bool   // a why-file of that name without a message belongs to this message, and is replaced
	Owed bool   // a report is owed: the message is among those of ReportsOwed until ReportMade

	NewName string // set by Fail: name in failed/; NewName may be set although Err is, too
	Err     error  // set by Fail: why the message is still in the spool; an item with Err set before is left out

	half     string // name in failed/ if the move is half done, see Complete
	tmp      string // path under which the why-file is written
	replaces bool   // the why-file takes the place of an older one of this message
	linked   bool   // the message has the name NewName in failed/ already, beside its name in the spool
}

// Fail moves messages to failed/ and puts a why-file, failed/NAME.json, beside each, with few syncs for all messages.
//
// No message is overwritten: NewName is Name or, if that is taken, NAME.1, NAME.2 and so on. A name that ends in
// .json always gets a number, since only why-files end so in failed/. A name that is too long is replaced. A why-file
// without a message counts as taken, because its message was moved back by hand.
//
// The why-files and the marks of owed reports survive a power cut before the first message is moved. The moves
// survive a power cut after SyncPlaces. Before that a power cut may leave a message in the spool, with its why-file
// in failed/: the message is then tried again, for the recipients that had failed. After a crash Recover completes or
// undoes a move.
//
// Errors of an item: fs.ErrNotExist; ErrChanged for another version, which stays in the spool; errors of the disk.
// Fail is for one goroutine of one process, under the lock.
func (d FailedDir) Fail(items []*Failing) {
	b := &failBatch{FailedDir: d, fs: d.dir.fs, taken: make(map[string]bool)}
	var paths []string
	for _, f := range items {
		if f.Err == nil {
			if f.Err = b.prepare(f); f.Err == nil {
				paths = append(paths, f.tmp)
			}
		}
	}
	var syncErr error
	if len(paths) > 0 {
		syncErr = syncFiles(d.dir, paths, d.dir.File(failedDir))
	}
	for _, f := range items {
		switch {
		case f.tmp == "":
		case syncErr != nil:
			b.drop(f, syncErr)
		default:
			b.place(f)
		}
		if f.Err != nil {
			f.Err = fmt.Errorf("fail %s: %w", f.Name, f.Err)
		}
	}
}

// HalfDone reports whether the message of f is in failed/ while its why-file still has its temporary name, because two
// calls in a row have failed. Complete ends such a move, and so does Recover.
func (f *Failing) HalfDone() bool { return f.half != "" }

// Complete renames the why-files of half-done moves to their names, sets NewName, and returns the items that failed
// again. A message that was moved back meanwhile gets its why-file too: the file names the accepted recipients.
func (d FailedDir) Complete(items []*Failing) (left []*Failing) {
	for _, f := range items {
		files := d.dir.fs
		kept, back := movedVersion(d.dir, d.file(f.half), f.ID), sameVersion(files, d.dir.File(f.Name), f.ID)
		var err error
		switch {
		case kept == nil || back == nil:
			if err = files.Rename(f.tmp, d.why(f.half)); err == nil && kept == nil {
				f.NewName = f.half
			}
		case errors.Is(kept, fs.ErrNotExist) && errors.Is(back, fs.ErrNotExist):
			err = files.Remove(f.tmp) // the message was deleted
		default:
			err = kept
		}
		if err != nil {
			left = append(left, f)
		}
	}
	return left
}

// failBatch is one call of Fail.
type failBatch struct {
	FailedDir
	fs    fsys.FS
	taken map[string]bool // names in failed/ that messages of the batch will get
}

// prepare chooses a name in failed/, makes the mark, and writes the why-file under a temporary name.
func (b *failBatch) prepare(f *Failing) error {
	if err := check("fail", f.Name); err != nil {
		return err
	}
	if err := sameVersion(b.fs, b.dir.File(f.Name), f.ID); err != nil {
		return err
	}
	name, err := b.chooseName(f)
	if err != nil {
		return err
	}
	if f.Owed {
		if err := b.mark(name); err != nil {
			return err
		}
	}
	tmp, err := b.writeWhy(name, f)
	if err != nil {
		return errors.Join(err, b.ReportMade(name))
	}
	b.taken[name] = true
	f.NewName, f.tmp = name, tmp
	return nil
}

// chooseName returns the name that the message of f gets in failed/.
func (b *failBatch) chooseName(f *Failing) (string, error) {
	base, n := f.Name, 0
	if len(base) > keptName {
		base = b.dir.newName()
	}
	if IsWhyFile(base) {
		n = 1
	}
	for ; ; n++ {
		name := base
		if n > 0 {
			name += "." + strconv.Itoa(n)
		}
		if b.taken[name] {
			continue
		}
		free, err := b.free(f, name)
		if free || err != nil {
			return name, err
		}
	}
}

// free reports whether the message of f can be called name in failed/.
func (b *failBatch) free(f *Failing, name string) (bool, error) {
	taken, err := exists(b.fs, b.file(name))
	if err != nil {
		return false, err
	}
	if taken { // by an earlier Fail, perhaps, that could not undo its link
		f.linked = sameFile(b.fs, b.dir.File(f.Name), b.file(name))
		f.replaces = f.linked
		return f.linked, nil
	}
	if f.Own && name == f.Name {
		f.replaces = true
		return true, nil
	}
	taken, err = exists(b.fs, b.why(name))
	return !taken, err
}

// writeWhy writes the why-file of f, for a message that will be called name in failed/, under a temporary name,
// unsynced.
func (b *failBatch) writeWhy(name string, f *Failing) (tmp string, err error) {
	tmp = b.file(whyTemp(name, f.ID))
	var file fsys.File
	err = withSub(b.dir, failedDir, func() error {
		const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
		if file, err = b.fs.OpenFile(tmp, flags, 0o600); errors.Is(err, fs.ErrExist) { // an undo could not remove it
			if err = b.fs.Remove(tmp); err == nil {
				file, err = b.fs.OpenFile(tmp, flags, 0o600)
			}
		}
		return err
	})
	if err != nil {
		return "", err
	}
	_, err = file.Write(f.Why)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", errors.Join(err, b.fs.Remove(tmp))
	}
	return tmp, nil
}

// whyTemp returns the temporary name of the why-file of the version id of a message. The digits tell Recover the
// version of the message in failed/.
func whyTemp(message string, id ID) string {
	h := fnv.New64a()
	fmt.Fprint(h, id.Ino, id.Size, id.ModTime.UnixNano())
	return fmt.Sprintf(".%s%020d", WhyFile(message), h.Sum64())
}

// drop undoes prepare because of err. A why-file is kept while its message has a name in failed/, beside the one in the
// spool: the next Fail finds that name, or Recover does.
func (b *failBatch) drop(f *Failing, err error) {
	f.Err = err
	if !sameFile(b.fs, b.dir.File(f.Name), b.file(f.NewName)) {
		f.Err = errors.Join(err, b.fs.Remove(f.tmp), b.ReportMade(f.NewName))
	}
	f.NewName = ""
}

// place moves the message and then its why-file to their names in failed/.
func (b *failBatch) place(f *Failing) {
	// The sync took its time. A version that has changed meanwhile is best found before the message is moved.
	if err := sameVersion(b.fs, b.dir.File(f.Name), f.ID); err != nil {
		b.drop(f, err)
		return
	}
	from, to := b.dir.File(f.Name), b.file(f.NewName)
	if err := b.moveMessage(f, from, to); err != nil && !b.moved(f, from, to) {
		b.drop(f, err)
		return
	}
	err := movedVersion(b.dir, to, f.ID)
	if err == nil || errors.Is(err, fs.ErrNotExist) { // not there: a person has moved the message already
		if err = b.placeWhy(f); err == nil {
			return
		}
	}
	// Another version belongs in the spool, and so does a message that cannot have its why-file.
	if _, back := moveIn(b.dir, to, f.Name); back != nil {
		f.Err, f.half, f.NewName = errors.Join(err, back), f.NewName, ""
		return
	}
	b.drop(f, err)
}

// moveMessage moves the message of f to failed/.
func (b *failBatch) moveMessage(f *Failing, from, to string) error {
	if f.linked {
		return endMove(b.fs, from, to, false)
	}
	return moveOr(b.fs, from, to, linkMoveSynced)
}

// moved reports whether the message of f was moved in spite of an error.
func (b *failBatch) moved(f *Failing, from, to string) bool {
	return movedVersion(b.dir, to, f.ID) == nil && !sameFile(b.fs, from, to)
}

// placeWhy gives the why-file of f its name.
func (b *failBatch) placeWhy(f *Failing) error {
	place := move
	if f.replaces {
		place = fsys.FS.Rename
	}
	err := place(b.fs, f.tmp, b.why(f.NewName))
	if there, unknown := exists(b.fs, f.tmp); err != nil && unknown == nil && !there { // done in spite of the error
		return nil
	}
	return err
}
