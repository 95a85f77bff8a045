package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// opener locks a spool directory and loads its queue: at the start, and when another directory has replaced the spool.
type opener struct {
	spool     *spool
	opts      *Options
	status    *statusWriter
	files     *files
	notices   *notices
	publisher *publisher
	post      func(func())
	pieces    *pieces
	stream    *stream                 // reading of a long status file; nil: none is under way
	failed    error                   // of this reading: the run ends; nil: none
	adopting  bool                    // the directory has replaced the spool
	busy      func() bool             // reports whether jobs, reads or moves are under way
	past      map[pastKey]queue.Named // the newest record of each message of a replaced directory
}

// open locks the directory, and loads the queue from the status file and the journal. After an error the spool is as
// before.
func (o *opener) open() error {
	dir := o.spool.dir
	incomplete, err := dir.Prepare()
	if err != nil {
		return err
	}
	if incomplete != nil {
		o.opts.Logger.Error("spool directory is incomplete; retrying when a message needs it",
			"dir", dir.Path(), "err", incomplete)
	}
	unlock, err := dir.Lock().Acquire()
	if err != nil {
		if errors.As(err, new(*spooldir.LockedError)) {
			return fmt.Errorf("%w: %w", ErrLocked, err)
		}
		return err
	}
	old := *o.spool
	o.spool.queue = queue.New(o.opts.rules(), time.Now())
	if err = o.load(); err != nil {
		o.spool.queue, o.spool.journal = old.queue, old.journal
		unlock()
		return err
	}
	o.spool.unlock = unlock
	if kind := spooldir.UnstableInodes(dir); kind != "" {
		o.opts.Logger.Info("file system may change inode numbers", "dir", dir.Path(), "type", kind)
	}
	o.status.changed = !o.reading() // write the status file once even if the queue is empty
	return nil
}

// load fills the queue from the status file and the journal. A long status file is read while messages are sent, but
// not if the directory has replaced the spool: then the records of the old directory have to be added.
func (o *opener) load() error {
	l, err := o.openJournal(time.Now())
	if err != nil {
		return err
	}
	f, size, err := o.openStatus()
	if err == nil && size >= longStatus && o.stream == nil && !o.adopting {
		o.recover()
		o.status.since = time.Time{} // all outcomes overrule an edit until the next write
		o.begin(f, l)
		return nil
	}
	if err == nil {
		err = o.loadAll(f, l)
	}
	if err != nil {
		o.spool.journal.close()
	}
	return err
}

// loadAll reads the status file f, which may be nil, and adds the journal. If the journal has records, loadAll writes
// the status file: people may edit the file before the next write.
func (o *opener) loadAll(f fsys.File, l *loading) error {
	var damage error
	if f != nil {
		damage = o.decode(f, l, func(name string, m *record.Message) error {
			o.spool.queue.Remember(name, m, l.now)
			return nil
		})
	}
	if damage != nil && !errors.Is(damage, errDamaged) {
		return damage
	}
	o.recover()
	o.status.since = l.now
	if err := o.replay(l, damage); err != nil {
		return err
	}
	if l.found.Records > 0 || damage != nil {
		if err := o.status.sync(); err != nil {
			o.status.since = time.Time{} // the file is not up to date: all outcomes overrule an edit of it
			o.status.failed(err, false)
		}
	}
	return nil
}

// recover repairs what a crash has left.
func (o *opener) recover() {
	if err := o.spool.dir.Recover(); err != nil { // leftovers are not sent, so the run can go on
		o.opts.Logger.Error("recovery after a crash is incomplete; retrying at next start",
			"dir", o.spool.dir.Path(), "err", err)
	}
}

// remember merges a record of the journal, which may be older than the status file, into the record of the status file.
func (o *opener) remember(n *record.Note, now time.Time) {
	name := n.Name()
	m, ok := o.spool.queue.Remembered(name)
	if !ok || !n.IsSame(m) {
		m = n.AsMessage() // the message is not in the status file
	} else {
		record.Take(m, n)
	}
	o.spool.queue.Remember(name, m, now)
}

var errUnderWay = errors.New("messages of the old directory are still under way")

// working reports whether work on the directory is under way.
func working(o *opener) bool {
	return o.busy() || o.reading() || o.notices.busy() || o.spool.journal.file.Busy() || o.status.file.Busy()
}

// adopt continues with the directory that has replaced the spool, as after a restart. Messages of the old directory
// stay known, in case the directory comes back. During work on the old directory adopt returns an error: the work could
// change the new directory.
func (o *opener) adopt() error {
	old := *o.spool
	if working(o) {
		return errUnderWay
	}
	now := time.Now()
	o.adopting = true
	if err := o.open(); err != nil {
		return err
	}
	old.unlock()
	old.journal.close()
	for _, p := range old.journal.pending {
		o.publisher.publish(p.act.EventsOf()) // the journal of the old directory is out of reach
	}
	o.keepPast(old.queue, now)
	for _, n := range o.past {
		o.learn(n, now)
	}
	o.notices.oweAll()
	o.opts.Logger.Warn("spool directory was replaced; continuing with the new one", "dir", o.spool.dir.Path())
	return nil
}

// pastKey identifies a message of a replaced directory.
type pastKey struct{ name, id string }

// keepPast keeps the records of the old queue, except for messages past their age limit.
func (o *opener) keepPast(old *queue.Queue, now time.Time) {
	if o.past == nil {
		o.past = make(map[pastKey]queue.Named)
	}
	for n := range old.Snapshot(now) {
		m := n.Record.Message()
		o.past[pastKey{n.Name, cmp.Or(m.MessageID, m.Digest)}] = n
	}
	maps.DeleteFunc(o.past, func(_ pastKey, n queue.Named) bool {
		return now.After(n.Record.Message().Since().Add(2 * o.opts.MaxAge))
	})
}

// learn adds a message of a replaced directory to the queue.
func (o *opener) learn(n queue.Named, now time.Time) {
	old := n.Record.Message()
	m, ok := o.spool.queue.Remembered(n.Name)
	switch {
	case !ok:
		m = old
	case !m.IsSame(old):
		return
	default:
		record.Learn(m, old)
	}
	o.spool.queue.Remember(n.Name, m, now)
}
