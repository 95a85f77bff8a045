package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/dsn"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// sender starts jobs, one for each transaction, and passes their results to the queue.
type sender struct {
	spool    *spool
	opts     *Options
	delivery *delivery.Delivery
	rate     *rate
	files    *files // may have the message open
	host     string // reporting host of reports about success
	post     func(func())
	beside   func(func())      // does work beside the loop
	ctx      context.Context   // of the transactions
	busy     int               // jobs under way
	turn     int               // route whose turn is next, modulo the number of routes
	need     int               // recipients of the message that waits for the rate; zero: none waits
	accepted func(name string) // is called before the message may be removed

	pieces     *pieces
	diversions map[int]*diversion // by route
}

// start starts as many jobs as may be under way. It returns the time until more may be started; negative: a job has to
// end first.
func (s *sender) start(now time.Time) (wait time.Duration) {
	wait = s.startAll(now)
	moved := false
	for i := range s.delivery.Routes() {
		if m, more := s.divert(i, now); more {
			moved, wait = moved || m, sooner(wait, divertPause)
		}
	}
	if moved {
		s.startAll(now)
	}
	return wait
}

// sooner returns the shorter of two waits. A negative wait has no end.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// startAll starts the jobs of all routes and returns the result of start. The limits of the rate are for all routes
// together. So the routes take turns with limits, and the next message may wait for room while no other one goes.
func (s *sender) startAll(now time.Time) (wait time.Duration) {
	wait, s.need = -1, 0
	routes := s.delivery.Routes()
	for i := 0; s.rate.text == "" && i < routes; i++ {
		started, w := true, time.Duration(-1)
		for started {
			started, w = s.startOne(i, now)
		}
		wait = sooner(wait, w)
	}
	for idle := 0; s.rate.text != "" && idle < routes; s.turn++ {
		i := s.turn % routes
		if s.need = s.upcoming(i, now); s.need > 0 {
			if w := s.rate.hold(s.need, now); w > 0 {
				return sooner(wait, w)
			}
		}
		started, w := s.startOne(i, now)
		wait = sooner(wait, w)
		if idle++; started {
			idle = 0
		}
	}
	return wait
}

// upcoming returns the number of recipients of the next message of route i; zero: none can be sent now.
func (s *sender) upcoming(i int, now time.Time) int {
	if s.spool.queue.Ready(i) == 0 || s.delivery.Wait(i, now) != 0 {
		return 0
	}
	n := queue.Upcoming(s.spool.queue, i, queue.Slots(s.delivery.Slots(i)), now)
	if s.opts.rulesOf(i).Redirect() != "" {
		n = min(n, 1)
	}
	return n
}

// divertPause is the time between two searches for messages that can go by another route. After a long search the time
// is longer: divertShare times what the search took.
const (
	divertPause = time.Second
	divertShare = 20
)

// A diversion is the search for messages of a route that can go by another route.
type diversion struct {
	searching bool
	more      bool      // the last search found messages that can go by another route later
	next      time.Time // when the next search may begin
}

// divert moves messages of route i to other routes of their recipients, if route i cannot be used. The work is done in
// pieces, and is often done at once. moved is whether messages were moved, more whether another search is to follow.
func (s *sender) divert(i int, now time.Time) (moved, more bool) {
	if s.spool.queue.Ready(i) == 0 || s.delivery.Trouble(i) == nil {
		return false, false
	}
	d := s.diversions[i]
	if d == nil {
		d = &diversion{}
		s.diversions[i] = d
	}
	if d.searching || now.Before(d.next) {
		return false, d.more
	}
	d.searching = true
	s.pieces.add(func() *queue.Work {
		began := time.Now()
		return s.spool.queue.Divert(i, func(some, others bool) {
			d.searching, moved, d.more = false, some, others
			d.next = time.Now().Add(max(divertPause, divertShare*time.Since(began)))
		})
	}, 16, nil)
	return moved, d.more
}

// startOne starts a job of route i. If there is none to start, wait is the result of start.
func (s *sender) startOne(i int, now time.Time) (started bool, wait time.Duration) {
	slots := s.delivery.Slots(i)
	if s.spool.queue.Ready(i) == 0 || slots.Any == 0 {
		return false, -1
	}
	lease := s.delivery.Take(i, now)
	if lease == nil {
		return false, s.delivery.Wait(i, now)
	}
	j, ok := s.spool.queue.Next(i, queue.Slots(slots), now)
	if !ok {
		lease.Release()
		return false, -1
	}
	lease.Last = j.Last
	lease.Begin(j.Large)
	s.busy++
	a := &attempting{
		sender: s, job: j, dir: s.spool.dir, reports: s.opts.Reports, pickupDots: s.opts.PickupDots,
		file: s.files.take(j.Name, j.Version), result: delivery.Result{Lease: lease}, rules: s.opts.rulesOf(i),
		on: s.opts.OnAttempt,
	}
	s.rate.spend(len(a.recipients()), now)
	s.beside(func() { a.begin(s.ctx) })
	return true, -1
}

// attempting is one running job, beside the loop.
type attempting struct {
	sender *sender
	job    queue.Job
	dir    *spooldir.Dir
	file   *msgfile.File // nil: not open yet

	reports, pickupDots bool // options when the job began
	rules               *rewrite.Rules
	on                  OnAttempt // nil: none

	result delivery.Result
	err    error  // why the file could not be offered
	report string // name of the report about success in the spool; empty: none
	unsent error  // why there is no such report
	sum    uint64 // checksum of the sent content, see msgfile.File
	signed string // domain of a DKIM signature because of which the From field was not replaced; empty: none
}

// begin opens the message and offers the message to the route.
func (a *attempting) begin(ctx context.Context) {
	if a.file == nil {
		a.err = a.dir.Lock().Here() // another process may have sent the message
	}
	if a.file == nil && a.err == nil {
		a.file, a.err = msgfile.Reopen(a.dir, a.job.Name, idOf(a.job.Version))
	}
	var t *delivery.Transaction
	if a.err == nil {
		a.file.Arrival, a.file.PickupDots = a.job.Enqueued, a.pickupDots
		t, a.err = a.transaction()
	}
	if a.err != nil {
		a.end()
		return
	}
	within, end := ctx, func([]attempt.Outcome) {}
	if a.on != nil {
		within, end = a.on(ctx, t)
	}
	a.result.Lease.Offer(within, t, func(r delivery.Result) {
		end(r.Outcomes)
		for i := range r.Outcomes { // the application may have ended the attempt: that is a failure
			r.Outcomes[i].Withdrawn = r.Outcomes[i].Withdrawn && (within.Err() == nil || ctx.Err() != nil)
		}
		r.Outcomes = a.spread(r.Outcomes)
		a.result = r
		if !a.reports || !a.wantsSuccess() {
			a.end()
			return
		}
		go func() { // the disk may take its time
			a.report, a.unsent = a.handOn()
			a.end()
		}()
	})
}

func (a *attempting) end() {
	if a.file != nil {
		accepted := slices.ContainsFunc(a.result.Outcomes, isAccepted)
		if a.file.Changed() && !accepted {
			a.err = fmt.Errorf("send %s: %w", a.job.Name, spooldir.ErrChanged)
		}
		a.sum = a.file.Sum()
		a.file.Close()
	}
	a.sender.post(func() { a.sender.attempted(a) })
}

// handOn puts a report about success into the spool if the sender wants one and the relay will not send one (RFC 3461,
// section 5.2.2). The message is still in the spool.
func (a *attempting) handOn() (name string, err error) {
	now := time.Now()
	n := record.Notice{
		Report:    dsn.Report{To: a.job.From, Arrival: a.job.Enqueued},
		MessageID: a.job.MessageID, Total: len(a.file.Envelope.To),
	}
	for i, o := range a.result.Outcomes {
		if o.Err == nil && !o.DSN {
			n.Recipients = append(n.Recipients, dsn.Recipient{
				Address: a.job.To[i], Action: dsn.Relayed, Relay: o.Relay, Reply: o.Reply, Last: now,
			})
		}
	}
	return notify.Put(a.dir, a.sender.host, a.file, n, now)
}

// attempted takes the result of a job.
func (s *sender) attempted(a *attempting) {
	now := time.Now()
	s.busy--
	s.rate.refund(unsent(a), a.job.Began, now)
	settled := s.delivery.Settle(&a.result, a.job.Suspect, now)
	for _, f := range settled.Down {
		s.opts.Logger.Warn("relay unavailable", "relay", f.Relay, "next", f.Until, "err", f.Err)
	}
	for _, relay := range settled.Up {
		s.opts.Logger.Info("relay available again", "relay", relay)
	}
	for _, x := range settled.Slowed {
		if x.Limit != "" {
			s.opts.Logger.Warn("relay has a limit", "relay", x.Relay, "limit", x.Limit)
			continue
		}
		s.opts.Logger.Warn("relay used more slowly", "relay", x.Relay, "reply", x.Reply)
	}
	if a.report != "" {
		s.spool.arrived(a.report)
	}
	if a.unsent != nil {
		s.opts.Logger.Error("report about delivery cannot be made", "file", a.job.Name, "err", a.unsent)
	}
	if a.signed != "" {
		s.opts.Logger.Info("From field kept, as it is signed", "file", a.job.Name, "domain", a.signed)
	}
	f := queue.Finish{Outcomes: a.result.Outcomes, Stumbled: settled.Stumbled, Sum: a.sum}
	if a.err != nil {
		f.Trouble, f.Err = troubleOf(s.spool.dir, a.err), a.err
		if errors.Is(a.err, spooldir.ErrNotRegular) {
			f.Trouble = queue.Replaced
		}
	}
	if spooldir.IsNameOfID(a.job.Name) && slices.ContainsFunc(f.Outcomes, isAccepted) {
		s.accepted(a.job.Name)
	}
	s.spool.queue.Finished(a.job, f, now)
}

func isAccepted(o attempt.Outcome) bool { return o.Err == nil }

// stuck reports whether no ready message can be sent, even at a second attempt.
func (s *sender) stuck() bool {
	stuck := false
	for i := range s.delivery.Routes() {
		if s.spool.queue.Ready(i) > 0 {
			if !s.delivery.Stuck(i) {
				return false
			}
			stuck = true
		}
	}
	return stuck
}

// drainWait is the longest wait for the rate limit in a drain.
const drainWait = 2 * time.Second

// held returns the number of ready messages that the rate limit holds back for longer than a drain waits, and the time
// when the next may be sent.
func (s *sender) held(now time.Time) (messages int, next time.Time) {
	for i := range s.delivery.Routes() {
		messages += s.spool.queue.Ready(i)
	}
	wait := s.rate.quota.Wait(max(1, s.need), now)
	if messages == 0 || wait <= drainWait {
		return 0, time.Time{}
	}
	return messages, now.Add(wait)
}

// relayTrouble returns the reason why no ready message can be sent; nil if a message can be sent or none is ready.
func (s *sender) relayTrouble() error {
	var errs []error
	for i := range s.delivery.Routes() {
		if s.spool.queue.Ready(i) > 0 {
			err := s.delivery.Trouble(i)
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// causes returns a function that returns, for a message, the reason why no relay of a recipient can be used now; empty
// if one can, nil if the relays of all routes can be used. Any goroutine may call the functions.
func (s *sender) causes() func(m *record.Message) func(to string) string {
	causes, any := make([]string, s.delivery.Routes()), false
	for i := range causes {
		if err := s.delivery.Trouble(i); err != nil {
			causes[i], any = err.Error(), true
		}
	}
	routeOf, routeTo := s.opts.Delivery.RouteOf(), s.opts.Delivery.RouteTo()
	return func(m *record.Message) func(to string) string {
		if !any {
			return nil
		}
		cause := causes[routeOf(record.RouteSender(m))]
		if routeTo == nil && cause == "" {
			return nil
		}
		return func(to string) string {
			if routeTo != nil {
				if i, ok := routeTo(to); ok {
					return causes[i]
				}
			}
			return cause
		}
	}
}
