package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/ratelimit"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Control has the commands to a run. Only the loop calls the commands, in a function given to Post; before Run any
// goroutine may.
type Control struct {
	spool    *spool
	opts     *Options
	delivery *delivery.Delivery
	rate     *rate
	scanner  *scanner
	sender   *sender
	moves    *moves
	status   *statusWriter
	post     func(func())
	pass     func(now time.Time) // passes the queue's decisions on
	pieces   *pieces
	paused   bool
	written  bool     // the pause has written the status file: an edit in the pause is of that file
	reloads  int      // reloads under way
	waiters  []func() // called after them

	publisher *publisher
}

// Flush makes every waiting message due, and scans the directory.
func (c *Control) Flush() {
	now := time.Now()
	c.pieces.add(func() *queue.Work { return c.spool.queue.Flush(time.Now()) }, 16, nil)
	c.delivery.Wake(now)
	c.scanner.rescan()
}

// Pause stops scanning, sending and writing the status file, and brings that file up to date. The loop calls then when
// the file may be edited.
func (c *Control) Pause(then func()) {
	if c.paused {
		c.afterReload(func() { c.afterWrites(func() { c.spool.journal.settled(time.Now(), then) }) })
		return
	}
	c.paused, c.written = true, false
	c.afterReload(func() { c.afterWrites(func() { c.pause(then) }) })
}

// afterWrites calls f when the status file is not being written. Another function that waits may begin a write.
func (c *Control) afterWrites(f func()) {
	if c.status.writing() {
		c.status.afterWrite(func() { c.afterWrites(f) })
		return
	}
	f()
}

// pause writes the status file for a pause.
func (c *Control) pause(then func()) {
	c.status.start(time.Now(), func(err error) {
		if c.written = err == nil; !c.written {
			c.status.since = time.Time{} // the file is not up to date: all outcomes overrule an edit of it
		}
		c.spool.journal.settled(time.Now(), func() { // which the status file covers now
			c.opts.Logger.Info("paused", "dir", c.spool.dir.Path())
			then()
		})
	})
}

// afterReload calls f at once or, if a reload is under way, after it.
func (c *Control) afterReload(f func()) {
	if c.reloads > 0 {
		c.waiters = append(c.waiters, f)
		return
	}
	f()
}

// Paused reports whether Pause is in force, and the status file is written.
func (c *Control) Paused() bool { return c.paused && c.written }

// StartPaused makes Run begin with a pause. It is called before Run.
func (c *Control) StartPaused() { c.paused, c.written = true, true }

// StatusFile returns the path of the status file.
func (c *Control) StatusFile() string { return c.opts.StatusFile }

// Senders returns the sender of each route; the last one is empty.
func (c *Control) Senders() (senders []string) {
	for _, r := range c.opts.Delivery.Routes {
		senders = append(senders, r.Sender)
	}
	return senders
}

// Resume ends a pause.
func (c *Control) Resume() {
	c.afterReload(func() {
		if c.paused {
			c.paused = false
			c.opts.Logger.Info("resumed", "dir", c.spool.dir.Path())
		}
	})
}

// Edited reports whether the status file may hold an edit: in a pause always, otherwise if the last write was not by
// this run. Any goroutine may call Edited.
func (c *Control) Edited(paused bool) (bool, error) {
	ours, err := c.status.isOurs()
	if err != nil {
		return false, err // a missing file has no edit
	}
	return paused || !ours, nil
}

// Written returns the time of the content of the status file as last written. Outcomes since then overrule an edit of
// the file.
func (c *Control) Written() time.Time { return c.status.since }

// Reload takes over the edits of the status file, in pieces. written and paused are the results of Written and Paused
// before the file was read: a pause that begins meanwhile does not make an older file the file of the pause. The loop
// calls then when all messages that the edit has ended have left the spool, and the journal has the acceptances that
// the edit lacks. The status file is not written before the end of the reload.
func (c *Control) Reload(edits *queue.Edits, written time.Time, paused bool, then func()) {
	c.reloads++
	c.status.reloading = true
	how := record.Edit{Since: written, Live: !paused || !c.paused}
	c.pieces.add(func() *queue.Work { return c.spool.queue.Reload(edits, how, time.Now()) }, 16, func() {
		c.opts.Logger.Info("status reloaded", "file", c.opts.StatusFile)
		c.pass(time.Now())
		c.reloads--
		c.status.reloading = c.reloads > 0
		end := c.spool.journal.file.End()
		c.moves.settled(func() { c.spool.journal.stored(end, time.Now(), then) })
		waiters := c.waiters
		c.waiters = nil
		for _, f := range waiters {
			c.afterReload(f)
		}
	})
}

// Check returns an error for options that a run cannot use.
func Check(o Options) error {
	if _, err := ratelimit.Parse(o.Rate); err != nil {
		return err
	}
	_, err := delivery.New(o.Delivery)
	return err
}

// Reconfigure changes the options. After an error all options stay as they were. New ages of messages, and the moves of
// messages that are ready to other routes, follow in pieces.
func (c *Control) Reconfigure(o Options) error {
	if o.StatusFile != c.opts.StatusFile {
		return fmt.Errorf("the status file %s cannot become %s while the spool is run", c.opts.StatusFile, o.StatusFile)
	}
	o.heed()
	rate, err := c.rate.change(o.Rate, time.Now())
	if err != nil {
		return err
	}
	kept, ended, err := c.delivery.Reconfigure(deliveryConfig(o, c.post))
	if err != nil {
		return err
	}
	rules := o.rules()
	rules.RoutesKept = o.Delivery.SameRoutes(c.opts.Delivery)
	*c.rate, *c.opts = *rate, o
	c.publisher.sent.SetLimit(o.Trace)
	work := c.spool.queue.Reconfigure(rules)
	c.pieces.add(func() *queue.Work { return work }, 16, nil)
	o.Logger.Info("options taken over", "dir", c.spool.dir.Path(), "relays_kept", kept, "relays_ended", ended)
	return nil
}

// Snapshot takes a snapshot in pieces. The loop calls then with two functions: records returns the record of every
// message, and causes the reason why the mail of a sender cannot be sent now. Records of files that are missing are
// among them. Any goroutine may call records, once.
func (c *Control) Snapshot(
	then func(records func() []queue.Named, causes func(*record.Message) func(to string) string),
) {
	c.pieces.add(func() *queue.Work {
		return c.spool.queue.Snap(time.Now(), func(records func() []queue.Named) { then(records, c.sender.causes()) })
	}, snapSize, nil)
}

// snapSize is the number of records that are added to a snapshot in one piece.
const snapSize = 512

// Health is how well a spool is run.
type Health struct {
	Paused    bool
	Away      bool              // the directory is missing, or was replaced
	Trouble   error             // error of the directory or its files; nil: none
	Files     int               // number of files that are messages or were not read yet
	Queue     queue.Counts      // files of the spool directory by state
	InFlight  int               // number of messages in a transaction
	RateUntil time.Time         // end of the current wait for the rate; zero: no wait
	RateCount uint64            // number of waits for the rate
	Relays    []delivery.Health // relays of the last route first, then of the other routes in order
}

// Health returns how well the spool is run.
func (c *Control) Health() Health {
	h := Health{
		Paused: c.paused, Away: c.scanner.away(), Trouble: cmp.Or(c.scanner.sick, c.spool.queue.Trouble()),
		Files: c.spool.queue.Len(), Queue: queue.CountsOf(c.spool.queue), InFlight: c.sender.busy,
		RateCount: c.rate.count,
	}
	if c.rate.until.After(time.Now()) {
		h.RateUntil = c.rate.until
	}
	last := c.delivery.Routes() - 1
	h.Relays = c.delivery.Health(last)
	for i := range last {
		h.Relays = append(h.Relays, c.delivery.Health(i)...)
	}
	return h
}

// ReadStatus calls each for every message of the status file at path. A missing file is empty.
func ReadStatus(dir *spooldir.Dir, path string, each func(key string, m *record.Message)) error {
	f, err := spooldir.OpenReadOn(dir.FS(), path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	defer f.Close()
	err = record.DecodeStatus(f, func(key string, m *record.Message) error {
		each(key, m)
		return nil
	})
	if err != nil {
		return statusError(path, err)
	}
	return nil
}

// Rescan has the directory listed now, whether or not the system has notified of a change. The message retried was
// touched, so all its recipients are tried; empty: none was.
func (c *Control) Rescan(retried string) {
	now := time.Now()
	if retried != "" {
		c.spool.queue.Arrived(retried, queue.Noticed, now)
	}
	c.scanner.rescan()
}

// InFlight reports whether the message name is in a transaction.
func (c *Control) InFlight(name string) bool { return queue.InFlight(c.spool.queue, name) }

// Records takes a snapshot in pieces. The loop calls then with a function that returns the record of each message, by
// name. Any goroutine may call the function, once. The records belong to the caller.
func (c *Control) Records(then func(records func() map[string]*record.Message)) {
	c.Snapshot(func(named func() []queue.Named, _ func(*record.Message) func(to string) string) {
		then(func() map[string]*record.Message {
			all := named()
			records := make(map[string]*record.Message, len(all))
			for _, n := range all {
				records[n.Name] = n.Record.Shown()
			}
			return records
		})
	})
}
