package engine

import (
	"errors"
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// errDamaged is in the error of a status file that is no valid status file.
var errDamaged = errors.New("is not valid")

// whyHeld is the reason of messages that salvage has held.
const whyHeld = "held: the status file was damaged, and may have said which recipients have got the message; " +
	"release sends it to all recipients that are shown as waiting"

// salvage goes on without a part of the status file, which is damaged. What the file says before the damage counts, and
// so does the journal. Of the other messages, one with several recipients is moved to hold/: some of them may have got
// it. A message with a single recipient was not accepted: the file would have been removed. Then the status file is set
// aside.
func (o *opener) salvage(damage error, now time.Time) error {
	log, dir := o.opts.Logger, o.spool.dir
	held := 0
	err := spooldir.EachName(dir, spooldir.Spool, func(names []string) error {
		for _, name := range o.spool.messages(names) {
			if o.holdUnknown(name, now) {
				held++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	aside := o.spool.status + ".bad-" + now.UTC().Format("20060102T150405Z")
	if err := dir.FS().Rename(o.spool.status, aside); err != nil {
		return err
	}
	log.Error("status file damaged and set aside; messages with several recipients held",
		"file", o.spool.status, "aside", aside, "held", held, "err", damage)
	o.status.changed = true
	return nil
}

// holdUnknown holds the message name if it has several recipients and is not known in full, and reports whether it did.
func (o *opener) holdUnknown(name string, now time.Time) bool {
	old, known := o.spool.queue.Remembered(name)
	if known && !old.Partial() {
		return false
	}
	file, err := msgfile.Open(o.spool.dir, name, msgfile.Look{Now: now, How: spooldir.Renamed})
	if err != nil {
		return false // no message, or one that is just being written
	}
	defer file.Close()
	r, err := o.files.read(&queue.Act{Name: name}, file)
	if err != nil || r.Returned {
		return false // a why-file says who has accepted
	}
	m := record.New(*r.Head, now)
	if known && m.IsSame(old) {
		record.Resume(m, old)
	}
	if m.Len() < 2 || m.Served() {
		return false
	}
	if err := o.spool.dir.Steering().Shift(name, spooldir.Spool, spooldir.Hold); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			o.opts.Logger.Error("message cannot be held; some recipients may get it again", "file", name, "err", err)
		}
		return false
	}
	m.Held, m.Error = now, whyHeld
	o.spool.queue.Remember(name, m, now)
	return true
}
