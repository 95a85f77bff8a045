package worker

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
)

const (
	gatherTime = 5 * time.Millisecond // time that the first settlement of a batch waits for others
	batchSize  = 64                   // settlements up to which a batch grows
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// recorder records settlements, many in one transaction. A batch that cannot be recorded is repeated until the database
// has taken the batch.
type recorder struct {
	store  *store.Leases
	log    *slog.Logger
	limits func() store.Limits       // nil: there are none
	done   func(batch []*settlement) // called when a batch is recorded
	hurry  func() bool               // reports that no further settlement will come soon
	short  bool                      // outcomes are remembered with short addresses
	abort  context.Context           // its end gives up what cannot be recorded

	mu      sync.Mutex
	waiting []*settlement
	wake    chan struct{}
	closed  bool
	ended   chan struct{}
}

func (r *recorder) start() {
	r.wake, r.ended = make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(r.ended)
		for r.run() {
		}
	}()
}

// add takes a settlement to record. It does not wait.
func (r *recorder) add(s *settlement) {
	r.mu.Lock()
	r.waiting = append(r.waiting, s)
	r.mu.Unlock()
	r.signal()
}

func (r *recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// close records what is left, and waits for the end.
func (r *recorder) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.signal()
	<-r.ended
}

// size returns the number of settlements that wait, and whether close was called.
func (r *recorder) size() (n int, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting), r.closed
}

// run records one batch. It returns false after the last one.
func (r *recorder) run() bool {
	n, closed := r.size()
	for n == 0 {
		if closed {
			return false
		}
		<-r.wake
		n, closed = r.size()
	}
	for end := time.After(gatherTime); n < batchSize && !closed && !r.hurry(); n, closed = r.size() {
		select {
		case <-r.wake:
			continue
		case <-end:
		}
		break
	}
	r.mu.Lock()
	batch := r.waiting[:min(len(r.waiting), batchSize)]
	r.waiting = slices.Clone(r.waiting[len(batch):])
	r.mu.Unlock()
	r.record(batch)
	return true
}

// record records a batch, until it succeeds or abort ends.
func (r *recorder) record(batch []*settlement) {
	b := r.batchOf(batch)
	var stale []int64
	var refused error
	tries := 0
	ok := r.repeat(func(ctx context.Context) (err error) {
		tries++
		stale, err = r.store.Settle(ctx, b, r.limits())
		if store.IsRefusal(err) && (len(batch) > 1 || !batch[0].plain) {
			refused, err = err, nil
		}
		return err
	})
	switch {
	case refused != nil:
		r.apart(batch, refused)
		return
	case !ok:
		return
	}
	for _, s := range batch {
		if !slices.Contains(stale, s.job.ID) {
			continue
		}
		if tries == 1 { // otherwise an earlier try, whose answer was lost, may have recorded the change
			s.events = slices.DeleteFunc(s.events, func(ev queue.Event) bool { return ev.Kind != queue.Sent })
		}
		if !r.amend(s) {
			return // the journal keeps the acceptances
		}
	}
	r.done(batch)
}

// apart records each settlement of a batch that the database refuses, as a text has a character that the database does
// not have. A settlement that is refused alone is recorded without such texts.
func (r *recorder) apart(batch []*settlement, why error) {
	if len(batch) == 1 {
		r.log.Error("outcome recorded without texts of the relay: the database refuses them",
			"file", batch[0].job.name(), "err", why)
		batch[0].omitTexts()
	}
	for _, s := range batch {
		r.record([]*settlement{s})
	}
}

// batchOf returns what is recorded of settlements.
func (r *recorder) batchOf(batch []*settlement) (b store.Batch) {
	for _, s := range batch {
		if s.served {
			b.Served = append(b.Served, s.job.key())
		} else {
			b.Changes = append(b.Changes, s.change)
		}
		b.Reports = append(b.Reports, s.reports...)
		b.Spent += s.spent
		for i := range s.events {
			if !s.plain {
				b.Outcomes = r.remember(b.Outcomes, s.job.ID, &s.events[i])
			}
		}
	}
	return b
}

// remember adds the outcome of a recipient that is done to all.
func (r *recorder) remember(all []store.Outcome, id int64, ev *queue.Event) []store.Outcome {
	if ev.Kind != queue.Sent && ev.Kind != queue.Failed {
		return all
	}
	return append(all, store.Outcome{ID: id, Entry: engine.OutcomeOf(ev, r.short), Failed: ev.Kind == queue.Failed})
}

// repeat calls do until it succeeds, and returns false if abort ends first.
func (r *recorder) repeat(do func(ctx context.Context) error) bool {
	pause, logged := firstPause, false
	for {
		ctx, cancel := context.WithTimeout(r.abort, time.Minute)
		err := do(ctx)
		cancel()
		if err == nil {
			if logged {
				r.log.Info("outcomes can be recorded again")
			}
			return true
		}
		if r.abort.Err() != nil {
			r.log.Error("outcomes were not recorded: messages may be sent twice", "err", err)
			return false
		}
		if !logged {
			r.log.Error("outcomes cannot be recorded; retrying", "err", err)
			logged = true
		}
		select {
		case <-time.After(pause):
		case <-r.abort.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// amend records the acceptances of a settlement whose lease was lost. Everything else in it does not count. amend
// returns false if abort ends first.
func (r *recorder) amend(s *settlement) bool {
	var reports []store.Report
	if s.served {
		reports = s.reports // of success
	}
	return r.repeat(func(ctx context.Context) error {
		return r.store.Amend(ctx, s.change, reports, func(m store.Lost) ([]byte, int, bool) {
			other := &job{Leased: s.job.Leased, header: s.job.header}
			_ = other.readEnvelope(m.Envelope) // newJob has read it
			now, _ := recordOf(m, other)
			record.KeepAccepted(now, s.job.record)
			return encode(now), waiting(now), now.Served()
		})
	})
}

// waiting returns the number of recipients of m that wait.
func waiting(m *record.Message) (n int) {
	for _, x := range m.Recipients() {
		if x.Status == record.Waiting {
			n++
		}
	}
	return n
}
