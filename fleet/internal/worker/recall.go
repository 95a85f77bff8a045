package worker

import (
	"context"
	"slices"

	"github.com/unbit/spoolgore/fleet/internal/acceptlog"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/record"
)

// keep writes the acceptances of a transaction to the journal. A message whose sender wants a notice of success is not
// written: the notice is made with the outcome only.
func keep(w *worker, j *job, outcomes []attempt.Outcome) {
	if w.journal == nil || w.rules.wantsSuccess(j) {
		return
	}
	line := acceptlog.Line{
		ID: j.ID, UID: j.UID, Created: j.Created, Worker: j.worker, Lease: j.Lease, At: w.clock.now(),
	}
	for i, o := range outcomes {
		if o.Err == nil {
			line.To, line.Relay = append(line.To, j.to[i]), o.Relay
		}
	}
	if len(line.To) == 0 {
		return
	}
	err := w.journal.Add(line)
	if err != nil && w.blind.CompareAndSwap(false, true) {
		w.opts.Logger.Error("journal of acceptances cannot be written: a kill may make copies", "err", err)
	}
	if err == nil {
		w.blind.Store(false)
	}
}

// recall opens the journal, and records the acceptances of workers that have ended without doing so.
func (w *worker) recall(ctx context.Context) error {
	if w.opts.Journal == "" {
		return nil
	}
	journal, lines, release, err := acceptlog.Open(w.opts.Journal)
	if err != nil {
		return err
	}
	err = recordOld(ctx, w, lines)
	release(err == nil)
	if err != nil {
		journal.Close()
		return err
	}
	w.journal = journal
	return nil
}

// recordOld records lines of the journal, unless the database has them.
func recordOld(ctx context.Context, w *worker, lines []acceptlog.Line) error {
	ids := make([]int64, len(lines))
	for i, x := range lines {
		ids[i] = x.ID
	}
	present, err := w.store.Present(ctx, ids)
	if err != nil {
		return err
	}
	n := 0
	for _, x := range lines {
		if !slices.Contains(present, x.ID) {
			continue
		}
		c := store.Change{ID: x.ID, Worker: x.Worker, Lease: x.Lease}
		err := w.store.Recall(ctx, c, len(x.To), w.newLimits(), func(m store.Lost) ([]byte, int, bool) {
			return accepted(m, x)
		})
		if err != nil {
			return err
		}
		n++
	}
	if n > 0 {
		w.opts.Logger.Info("acceptances of a worker that was killed are recorded", "messages", n)
	}
	return nil
}

// accepted returns the record of m with the acceptances of a line of the journal. A message of another database, or
// one that was held meanwhile, is not that of the line.
func accepted(m store.Lost, x acceptlog.Line) (text []byte, rcpts int, served bool) {
	if m.UID != x.UID || !m.Created.Equal(x.Created) {
		return nil, 0, false
	}
	j := &job{Leased: store.Leased{ID: x.ID, UID: m.UID, Created: m.Created}}
	if j.readEnvelope(m.Envelope) != nil {
		return nil, 0, false
	}
	r, err := recordOf(m, j)
	if err != nil {
		return nil, 0, false
	}
	for _, to := range r.Recipients() {
		if !to.Accepted() && !to.GivenUp && slices.Contains(x.To, to.Address) {
			to.Status, to.Error, to.Relay, to.LastAttempt = record.Done, "", x.Relay, x.At
		}
	}
	return encode(r), waiting(r), r.Served()
}
