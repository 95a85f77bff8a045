package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// errDamaged is in the error of a damaged status file.
var errDamaged = errors.New("is not valid")

// statusError returns the error for err, with which reading the status file at path has ended. The file is damaged if
// its content is wrong or the disk cannot read it. After another error of the system, such as a lack of memory, the
// file may be intact, and the next start reads it.
func statusError(path string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) && errno != syscall.EIO {
		return fmt.Errorf("read status: %w", err)
	}
	return fmt.Errorf("status file %s %w: %w", path, errDamaged, err)
}

// whyHeld is the error text of messages held by salvage.
const whyHeld = "held: the status file was damaged, and may have said which recipients have got the message; " +
	"release sends it to all recipients that are shown as waiting"

// salvage continues with a damaged status file. The part before the damage counts, and so does the journal. Another
// message with several recipients is moved to hold/: some recipients may have got the message. A message with a single
// recipient was not accepted, or the file would have been removed. Then the status file is set aside.
func (o *opener) salvage(damage error, now time.Time) error {
	log, dir := o.opts.Logger, o.spool.dir
	files := &files{ // the other one may be reading
		spool: o.spool, host: o.files.host, rules: o.opts.Rewrite, handsOn: o.opts.Delivery.HandsOn,
	}
	files.strays.begin(dir)
	held := 0
	err := spooldir.EachName(dir, spooldir.Spool, func(names []string) error {
		for _, name := range o.spool.messages(names) {
			if o.holdUnknown(files, name, now) {
				held++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	aside := o.spool.status + spooldir.BadStatus + now.UTC().Format("20060102T150405Z")
	if err := dir.FS().Rename(o.spool.status, aside); err != nil {
		return err
	}
	log.Error("status file damaged and set aside; messages with several recipients held",
		"file", o.spool.status, "aside", aside, "held", held, "err", damage)
	o.status.changed = true
	return nil
}

// holdUnknown holds the message name if it has several recipients and no complete record. It reports whether the
// message is held now.
func (o *opener) holdUnknown(files *files, name string, now time.Time) bool {
	old, known := o.spool.queue.Remembered(name)
	if known && !old.Partial() {
		return false
	}
	file, err := msgfile.Open(o.spool.dir, name, msgfile.Look{Now: now, How: spooldir.Renamed})
	if err != nil {
		return o.holdUnread(name, err)
	}
	defer file.Close()
	r, err := files.read(&queue.Act{Name: name}, file)
	if err != nil {
		return o.holdUnread(name, err)
	}
	if r.Returned {
		return false // a why-file names the accepted recipients
	}
	m := record.New(*r.Head, now)
	if known && m.IsSame(old) {
		record.Resume(m, old)
	}
	if m.Len() < 2 || m.Served() {
		return false
	}
	if !shiftToHold(o, name) {
		return false
	}
	m.Held, m.Error = now, whyHeld
	o.spool.queue.Remember(name, m, now)
	return true
}

// holdUnread holds the message name if the system could not read it: it may have several recipients. After another
// error err the file is no message, or an unfinished message.
func (o *opener) holdUnread(name string, err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) || errors.Is(err, fs.ErrNotExist) || errno == syscall.ELOOP {
		return false
	}
	if !shiftToHold(o, name) {
		return false
	}
	o.opts.Logger.Warn("message cannot be read and is held", "file", name, "err", err)
	return true
}

// shiftToHold moves the message name to hold/, and reports whether it did.
func shiftToHold(o *opener, name string) bool {
	err := o.spool.dir.Steering().Shift(name, spooldir.Spool, spooldir.Hold)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.opts.Logger.Error("message cannot be held; some recipients may get it again", "file", name, "err", err)
	}
	return err == nil
}
