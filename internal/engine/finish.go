package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
)

// finish writes the status file, the journal and the rate file. All transactions have ended or are abandoned. The error
// of a drain is the reason for messages that were not sent.
func (e *Engine) finish(ctx context.Context) error {
	for _, f := range e.inbox.take() {
		f()
	}
	for e.pieces.busy() { // an edit of the status file may be under way
		e.pieces.advance()
	}
	e.notices.close() // the queue must learn of finished reports, or the next run would repeat the reports
	e.pass(time.Now())
	if e.abandoned {
		e.opts.Logger.Error("transactions do not end; their messages may be sent again",
			"dir", e.spool.dir.Path(), "transactions", e.sender.busy)
	}
	if n, next := e.sender.held(time.Now()); n > 0 && e.drain {
		e.opts.Logger.Info("rest waits for the rate limit", "dir", e.spool.dir.Path(), "messages", n, "next", next)
	}
	lost := e.end()
	e.moves.sync()
	e.rate.sync()
	e.publisher.sent.Close() // while Accepted can still answer for the entries that wait
	e.opts.Logger.Info("stopped", "dir", e.spool.dir.Path(), "waiting", e.spool.queue.Len())
	if e.opener.failed != nil {
		return e.opener.failed
	}
	if e.spool.lost != nil {
		return fmt.Errorf("%w: %w", ErrLocked, e.spool.lost)
	}
	if e.drain && ctx.Err() == nil {
		return errors.Join(e.scanner.sick, e.spool.queue.Trouble(), e.sender.relayTrouble(), lost)
	}
	return nil
}

// end writes all records that must survive. An error means that a record could be written neither to the status file
// nor to the journal.
func (e *Engine) end() error {
	if e.spool.journal.recording() > 0 {
		e.spool.journal.sync() // first, so that the status file includes the following outcomes
	}
	e.keepStatus()
	e.spool.journal.sync() // records that are missing in the status file; after a successful write the journal is empty
	e.publisher.publish(e.spool.queue.TakeEvents())
	lost := e.spool.journal.recording()
	if lost == 0 {
		return nil
	}
	err := fmt.Errorf("%d messages: acceptances could not be recorded", lost)
	e.opts.Logger.Error("acceptances cannot be recorded; messages may be sent again",
		"dir", e.spool.dir.Path(), "err", err)
	for _, p := range e.spool.journal.pending {
		e.publisher.publish(p.act.EventsOf())
	}
	return err
}

// keepStatus writes the status file at the end. In a pause the file is written only if the queue has changed since, as
// by an outcome or a report, or if the file was edited or removed. Edits are kept: they may lack acceptances.
func (e *Engine) keepStatus() {
	if e.opener.reading() {
		return // the file has records that were not read; the journal has the outcomes
	}
	if e.control.paused && !e.status.writing() { // during the write of a pause the file may not be edited
		_, err := e.status.isOurs()
		if e.status.current() || !errors.Is(err, fs.ErrNotExist) && !e.takeEdits() {
			return
		}
	}
	e.status.failed(e.status.sync(), false)
}

// takeEdits takes over edits of the status file in a pause, and reports whether the file could be read.
func (e *Engine) takeEdits() bool {
	edits := queue.NewEdits(time.Now())
	if err := e.status.read(edits.Add); err != nil {
		e.opts.Logger.Error("status file unreadable; only the journal has the outcomes of the pause", "err", err)
		return false
	}
	now := time.Now()
	e.spool.queue.Reload(edits, record.Edit{Since: e.status.since, Live: !e.control.Paused()}, now).All(now)
	for _, a := range e.spool.queue.TakeActs() {
		if a.Kind == queue.Record { // in case the status file cannot be written; the next run repeats other acts
			e.spool.journal.record(a, now)
		}
	}
	e.publisher.publish(e.spool.queue.TakeEvents())
	return true
}
