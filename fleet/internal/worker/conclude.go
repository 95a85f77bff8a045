package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/dsn"
	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/retry"
)

// settlement is what has to be recorded of one lease.
type settlement struct {
	job     *job
	served  bool // every recipient has accepted
	change  store.Change
	reports []store.Report
	spent   int // recipients for which the relay got MAIL
	events  []queue.Event
	plain   bool // texts are ASCII, and the outcomes are not remembered
}

// omitTexts makes texts of relays ASCII. Addresses are in the database already.
func (s *settlement) omitTexts() {
	s.plain = true
	s.change.Reason = ascii(s.change.Reason)
	m := s.job.record
	m.Error, m.MessageID = ascii(m.Error), ascii(m.MessageID)
	for _, x := range m.Recipients() {
		x.Error, x.Relay, x.History = ascii(x.Error), ascii(x.Relay), nil
	}
	if s.change.Record != nil {
		s.change.Record = encode(m)
	}
}

// ascii returns text with "?" for all other characters.
func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return '?'
		}
		return r
	}, text)
}

// rules turn outcomes into settlements. The methods may be called by several goroutines.
type rules struct {
	maxAge, warnAfter time.Duration
	retry             record.Rule
	reports           bool
	postmaster        string
	host              string // reporting host
	name              string // of the worker
	now               func() time.Time
}

// serial returns rule for several goroutines: one at a time calls Backoff, a function of the application.
func serial(rule record.Rule) record.Rule {
	var mu sync.Mutex
	backoff := rule.Backoff
	rule.Backoff = func(attempts int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return backoff(attempts)
	}
	return rule
}

// attempted returns the settlement of a transaction. stumbled means that the relay failed in the middle.
func (r *rules) attempted(j *job, outcomes []attempt.Outcome, stumbled bool) *settlement {
	now := r.now()
	s := &settlement{job: j, spent: sent(outcomes)}
	if j.cut.Load() || j.body.failed.Load() {
		withdraw(outcomes)
	}
	relayed := r.relayed(j, outcomes, now)
	changes := j.record.Apply(j.to, outcomes, r.retry, now)
	for _, c := range changes {
		s.events = append(s.events, r.event(j, c, now))
	}
	r.conclude(s, now)
	if stumbled && s.change.State == store.Ready {
		later := now.Add(stumblePause)
		s.change.State, s.change.Due, s.change.Suspect = store.Waiting, &later, &now
	}
	r.report(s, relayed, now)
	return s
}

// stumblePause is the time for which a message is left alone after a relay failed in the middle of its transaction.
const stumblePause = 5 * time.Second

// withdraw makes failures of a transaction that this side has cut short no attempts.
func withdraw(outcomes []attempt.Outcome) {
	for i := range outcomes {
		if o := &outcomes[i]; o.Err != nil && !o.Uncertain && o.Code == 0 {
			o.Fault, o.Withdrawn, o.Permanent = attempt.None, true, false
		}
	}
}

// sent returns the number of recipients for which the relay got MAIL.
func sent(outcomes []attempt.Outcome) (n int) {
	for _, o := range outcomes {
		early := []attempt.Op{attempt.OpDial, attempt.OpGreeting, attempt.OpEHLO, attempt.OpTLS, attempt.OpAuth}
		if o.Err == nil || o.Fault != attempt.None && !(o.Fault == attempt.Relay && slices.Contains(early, o.Op)) {
			n++
		}
	}
	return n
}

// conclude sets what follows from the record of the message.
func (r *rules) conclude(s *settlement, now time.Time) {
	j, m := s.job, s.job.record
	c := store.Change{ID: j.ID, Lease: j.Lease, Version: j.Version, Worker: j.worker, Rcpts: waiting(m)}
	next, waits := m.NextAttempt()
	switch {
	case m.Served():
		s.served, s.change = true, c
		return
	case !waits:
		c.State, c.Due = store.Failed, &now
	case next.After(now):
		c.State, c.Due = store.Waiting, &next
	}
	looks := r.looks(m)
	c.Looks, c.Reason = &looks, cut(m.Reason())
	if waits {
		c.Reason = cut(lastError(m))
	}
	s.change = c
}

// cut shortens a reason.
func cut(text string) string {
	if len(text) > 500 {
		text = text[:500]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "?"), "?")
}

// lastError returns the error of a recipient that waits; empty: there is none.
func lastError(m *record.Message) string {
	for _, x := range m.Recipients() {
		if x.Status == record.Waiting && x.Error != "" {
			return x.Error
		}
	}
	return ""
}

// end returns when m is given up for its age.
func (r *rules) end(m *record.Message) time.Time {
	return retry.End(m.Enqueued, m.NotBefore, m.Expire, m.Overdue, r.maxAge)
}

// looks returns when the age of m has to be looked at again, within the years that JSON has.
func (r *rules) looks(m *record.Message) time.Time {
	end := r.end(m)
	if at := record.NoticeAt(m, r.warnAfter); r.reports && !at.IsZero() && at.Before(end) {
		end = at
	}
	if end.Year() > 9999 {
		end = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	return end
}

// aged returns the settlement of a message whose age was to be looked at: the message is given up, or its sender is
// told of a delay.
func (r *rules) aged(j *job) *settlement {
	now := r.now()
	s, m := &settlement{job: j}, j.record
	end := r.end(m)
	switch {
	case end.After(now):
		if at := record.NoticeAt(m, r.warnAfter); r.reports && !at.IsZero() && !at.After(now) {
			r.add(s, record.NoticeOf(m, r.warnAfter, end, now), now)
		}
	case m.Overdue.IsZero() && (m.Expire.IsZero() || m.Expire.After(now)) &&
		m.LastAttempt().Before(end.Add(-retry.LastChance)):
		m.Overdue = now // no worker ran, or no relay could be used: the message gets a last chance
		m.RetryAt(now)
	default:
		for _, c := range m.GiveUpWaiting(end) {
			s.events = append(s.events, r.event(j, c, now))
		}
	}
	r.conclude(s, now)
	r.report(s, nil, now)
	return s
}

// unsendable returns the settlement of a message that can never be sent.
func (r *rules) unsendable(j *job) *settlement {
	now := r.now()
	s := &settlement{job: j}
	j.record.Error = j.bad.Error()
	for _, x := range j.record.Recipients() {
		if x.Status != record.Done {
			x.Status, x.GivenUp, x.Error = record.Done, true, j.bad.Error()
			s.events = append(s.events, r.event(j, record.Change{
				Address: x.Address, Decision: record.GivenUp, Err: j.bad,
				Outcome: attempt.Outcome{Fault: attempt.Message, Err: j.bad},
			}, now))
		}
	}
	r.conclude(s, now)
	if s.served { // no recipient is known
		s.served = false
	}
	r.report(s, nil, now)
	return s
}

// wantsSuccess reports whether the sender may get a notice of success.
func (r *rules) wantsSuccess(j *job) bool {
	return r.reports && slices.ContainsFunc(j.env.Notify, func(n string) bool { return strings.Contains(n, "SUCCESS") })
}

// relayed returns the notice of success for recipients whose relay sends none; nil: the sender does not want one.
func (r *rules) relayed(j *job, outcomes []attempt.Outcome, now time.Time) *record.Notice {
	if !r.wantsSuccess(j) {
		return nil
	}
	n := record.Notice{
		Report:    dsn.Report{To: j.record.From, Arrival: j.record.Enqueued},
		MessageID: j.messageID(), Total: j.record.Len(),
	}
	for i, o := range outcomes {
		if o.Err == nil && !o.DSN {
			n.Recipients = append(n.Recipients, dsn.Recipient{
				Address: j.to[i], Action: dsn.Relayed, Relay: o.Relay, Reply: o.Reply, Last: now,
			})
		}
	}
	if len(n.Recipients) == 0 {
		return nil
	}
	return &n
}

// report adds the reports of the settlement, and encodes the record. A report that cannot be made now makes the message
// wait, with a record of all outcomes: the report is made at the next claim.
func (r *rules) report(s *settlement, relayed *record.Notice, now time.Time) {
	if relayed != nil {
		r.add(s, *relayed, now)
	}
	m := s.job.record
	if !s.served && s.change.State == store.Failed && r.reports && record.OwesNotice(m, r.postmaster) {
		notice := record.FailureOf(m, s.job.name(), now).Notice()
		notice.To = record.ReportTo(m, r.postmaster)
		if !r.add(s, notice, now) {
			later := now.Add(reportPause)
			s.change.State, s.change.Due = store.Waiting, &later
		}
	}
	if !s.served {
		s.change.Record = encode(m)
	}
}

// reportPause is the time to the next try of a report that could not be made.
const reportPause = 10 * time.Second

// encode returns the JSON of a record.
func encode(m *record.Message) json.RawMessage { return json.RawMessage(store.JSON(m)) }

// add makes the report of a notice, and records that the sender gets the report. It returns false if the store could
// not be read.
func (r *rules) add(s *settlement, n record.Notice, now time.Time) bool {
	j := s.job
	if j.header == nil {
		record.Noticed(j.record, n.Recipients) // no report can be made of a message that cannot be read
		return true
	}
	report := notify.Report(r.host, &j.env, n, func() io.Reader { return j.content() }, now)
	if report != nil {
		var text bytes.Buffer
		if err := dsn.Compose(&text, report); err != nil && j.body.failed.Load() {
			return false
		} else if err == nil {
			env, _ := json.Marshal(map[string]any{"from": "", "to": []string{report.To}})
			s.reports = append(s.reports, store.Report{
				ID: j.ID, UID: fmt.Sprintf("report:%d:%d:%d", j.ID, j.Version, len(s.reports)), Host: r.name,
				Envelope: env, Content: text.Bytes(),
			})
		}
	}
	record.Noticed(j.record, n.Recipients)
	return true
}

// event returns the event of a change.
func (r *rules) event(j *job, c record.Change, now time.Time) queue.Event {
	kind := queue.Failed
	switch c.Decision {
	case record.Accepted:
		kind = queue.Sent
	case record.Deferred:
		kind = queue.Deferred
	}
	m := j.record
	return queue.Event{
		Kind: kind, Time: now, File: j.name(), From: m.From, To: c.Address, ID: m.ID, MessageID: m.MessageID,
		Size: m.Size, Since: m.Since(), Attempt: m.Attempts, Err: c.Err, Next: c.Next, Outcome: c.Outcome,
	}
}

// errStopped is the cause of transactions that are cut at the end of a run.
var errStopped = errors.New("the worker is being stopped")
