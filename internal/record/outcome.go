package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/retry"
)

// Rule decides when a recipient is tried again, and how often.
type Rule struct {
	MaxAttempts int                              // failed attempts after which a recipient is given up
	Backoff     func(attempts int) time.Duration // time from the n-th failed attempt, counted from 1, to the next one
}

// Decision is the meaning of an outcome for its recipient.
type Decision int

// The decisions.
const (
	Accepted Decision = iota // by a relay: never to be sent again
	Deferred                 // waits for another attempt
	GivenUp                  // not to be tried again
)

// Change is the result of a transaction for one recipient.
type Change struct {
	Address  string
	Decision Decision
	Err      error           // why; nil if accepted
	Next     time.Time       // Deferred: time of the next attempt
	Outcome  attempt.Outcome // zero if no attempt was the reason
}

// Apply records the outcomes of one transaction, which offered the message to the recipients to; outcomes are in the
// same order. It returns what became of each. Call it after Start for the same recipients. Apply clears Rested in
// outcomes that count as an attempt.
//
// The rows of the outcome table are in Recipient.apply. A transaction counts as an attempt for the message if anything
// but the relay decided something.
func (m *Message) Apply(to []string, outcomes []attempt.Outcome, rule Rule, now time.Time) []Change {
	busy := slices.DeleteFunc(m.Recipients(), func(r *Recipient) bool { return r.Status != InProgress })
	tried := make(map[string]*Recipient, len(busy)) // by address
	for _, r := range busy {
		r.Status = Waiting
		tried[r.Address] = r
	}
	for i, address := range to {
		r := tried[address]
		outcomes[i].Rested = outcomes[i].Rested && (r == nil || now.Sub(r.LastAttempt) >= restedPause)
	}
	decided := slices.ContainsFunc(outcomes, attempt.Outcome.Decided)
	progress := slices.ContainsFunc(outcomes, func(o attempt.Outcome) bool {
		return o.Err == nil || o.Permanent || o.Fault == attempt.Recipient || o.Fault == attempt.Relay
	})
	rule.Backoff = onceForEach(rule.Backoff)
	changes := make([]Change, 0, len(to))
	for i, address := range to {
		r := tried[address]
		if r == nil {
			r = &Recipient{Address: address} // removed from the status file during the transaction
		}
		r.note(outcomes[i], now)
		if m.Len() > manyRecipients {
			r.History = r.History.brief()
		}
		if o := outcomes[i]; o.Undecided && o.Uncounted {
			changes = append(changes, r.postpone(o, undecidedPause(m, rule, now), m.Enqueued, now))
			continue
		}
		changes = append(changes, r.apply(outcomes[i], progress, rule, now))
	}
	for _, r := range busy {
		*r = *tried[r.Address] // a status file that was edited may name an address twice
	}
	if decided {
		m.Attempts++
	}
	return changes
}

// onceForEach returns a Backoff that calls backoff once for each number of attempts, so that recipients with the same
// outcome have the same next attempt, in one transaction.
func onceForEach(backoff func(int) time.Duration) func(int) time.Duration {
	var pauses map[int]time.Duration
	return func(attempts int) time.Duration {
		pause, ok := pauses[attempts]
		if !ok {
			if pauses == nil {
				pauses = make(map[int]time.Duration)
			}
			pause = backoff(attempts)
			pauses[attempts] = pause
		}
		return pause
	}
}

const (
	throttledPause = 10 * time.Second // pause after a refusal that asks for less mail: the relay is used more slowly
	throttledMost  = 5 * time.Minute  // longest such pause
	undecidedMost  = 30 * time.Minute // longest pause after another undecided refusal
)

// restedPause is the time from one attempt to the next one within which an uncertain outcome counts as an attempt,
// although the connection had rested. So a relay that closes each such connection gets few copies.
const restedPause = time.Minute

// undecidedPause returns the pause after an undecided refusal that is no attempt: a tenth of the age of the message,
// but at least the pause after a first attempt.
func undecidedPause(m *Message, rule Rule, now time.Time) time.Duration {
	return max(rule.Backoff(1), min(now.Sub(m.Enqueued)/10, undecidedMost))
}

// postpone records an undecided refusal that is no attempt. pause is the pause unless the relay asks for less mail.
func (r *Recipient) postpone(o attempt.Outcome, pause time.Duration, enqueued, now time.Time) Change {
	if o.Throttled {
		pause = min(max(throttledPause, now.Sub(enqueued)/20), throttledMost)
	}
	r.Relay, r.LastAttempt, r.NextAttempt, r.Error = o.Relay, now, now.Add(pause), boundedText(o.Err)
	return Change{Address: r.Address, Decision: Deferred, Err: o.Err, Next: r.NextAttempt, Outcome: o}
}

// Start marks every due recipient that wanted accepts as in progress, and returns their unique addresses. Nil: all due
// recipients.
func (m *Message) Start(now time.Time, wanted func(to string) bool) (to []string) {
	all := m.Recipients()
	seen := make(map[string]bool, len(all))
	for _, r := range all {
		if r.Status != Waiting || r.NextAttempt.After(now) || wanted != nil && !wanted(r.Address) {
			continue
		}
		r.Status = InProgress
		if !seen[r.Address] {
			seen[r.Address] = true
			to = append(to, r.Address)
		}
	}
	return to
}

// Stop undoes Start for a transaction that did not begin.
func (m *Message) Stop() {
	for _, r := range m.Recipients() {
		if r.Status == InProgress {
			r.Status = Waiting
		}
	}
}

// apply is the outcome table: the meaning of an outcome for its recipient. progress means a decision
// about another recipient of the transaction, or a fault of the relay.
func (r *Recipient) apply(o attempt.Outcome, progress bool, rule Rule, now time.Time) Change {
	c := Change{Address: r.Address, Err: o.Err, Outcome: o}
	r.Relay, r.LastAttempt, r.NextAttempt = o.Relay, now, now
	if o.Err == nil {
		r.Status, r.Error, r.GivenUp = Done, "", false
		return c
	}
	c.Decision, r.Error = Deferred, boundedText(o.Err)
	switch {
	case o.Rested: // most likely never received: offered again at once, on another connection
	case o.Fault == attempt.Relay: // no attempt: the message waits for a relay
	case o.Fault == attempt.None && (progress || o.Withdrawn):
		r.Error = "" // not offered yet: offered in the next transaction, or after the next start
	case o.Permanent:
		r.giveUp(&c)
	default:
		r.Attempts++
		r.NextAttempt = now.Add(max(rule.Backoff(r.Attempts), o.RetryAfter))
		if r.Attempts >= rule.MaxAttempts {
			c.Err = fmt.Errorf("given up after %d attempts: %w", r.Attempts, o.Err)
			r.giveUp(&c)
		}
	}
	if c.Decision == Deferred {
		c.Next = r.NextAttempt
	}
	return c
}

func (r *Recipient) giveUp(c *Change) {
	r.Status, r.GivenUp, r.Error = Done, true, boundedText(c.Err)
	c.Decision = GivenUp
}

// maxError is the limit for the Error of a recipient, in bytes: a reply with the step, and the number of attempts.
const maxError = 640

// boundedText returns the text of err, cut to maxError.
func boundedText(err error) string {
	text := err.Error()
	if len(text) <= maxError {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:maxError], ""))
}

// GiveUpWaiting gives up every waiting recipient of a message that was to be delivered by the time deadline.
func (m *Message) GiveUpWaiting(deadline time.Time) (changes []Change) {
	for _, r := range m.Recipients() {
		if r.Status != Waiting {
			continue
		}
		why := "not delivered by " + deadline.Format(time.RFC3339)
		if r.Error != "" {
			why += ": " + r.Error
		}
		c := Change{
			Address: r.Address, Err: errors.New(why),
			Outcome: attempt.Outcome{Relay: r.Relay, Fault: attempt.Message},
		}
		r.giveUp(&c)
		changes = append(changes, c)
	}
	return changes
}

// Postpone makes every waiting recipient wait until the time at, at least.
func (m *Message) Postpone(at time.Time) {
	for _, r := range m.Recipients() {
		if r.Status == Waiting {
			r.NextAttempt = retry.Later(r.NextAttempt, at)
		}
	}
}

// Reason returns one line with the reason why the message was given up.
func (m *Message) Reason() string {
	var first string
	failed := 0
	for _, r := range m.Recipients() {
		if r.GivenUp {
			if failed++; failed == 1 {
				first = r.Address + ": " + r.Error
			}
		}
	}
	switch {
	case failed == 0 && m.Error == "" && m.Len() == 0:
		return "no recipient is left: all were taken out of the status file"
	case failed == 0:
		return m.Error
	case failed > 1:
		return fmt.Sprintf("%s (and %d more recipients)", first, failed-1)
	}
	return first
}

// Limits for the recipients of a message. The record of a message with more than MostRecipients could be too long for
// the readers of the status file and the journal.
const (
	MaxRecipients  = 10_000 // the usual limit
	MostRecipients = 25_000 // the highest limit
)

// tooManyRecipients is the status code for too many recipients (RFC 3463, section 3.6).
const tooManyRecipients = "5.5.3"

// namedOfMany is the number of recipients in the record of a message with too many.
const namedOfMany = 5

// RefuseMany gives up all recipients of a message that has more than limit (zero: no limit), unless one was accepted
// before. It returns the reason; nil: the message may be sent. The record then has the first recipients only.
func RefuseMany(m *Message, limit int, now time.Time) error {
	n := m.Len()
	if limit == 0 || n <= limit || slices.ContainsFunc(m.Recipients(), (*Recipient).Accepted) {
		return nil
	}
	const why = "the message has %d recipients, more than %d (maxrecipients); no recipient got it"
	err := fmt.Errorf(why, n, limit)
	room := namedOfMany
	for _, list := range []*[]Recipient{&m.To, &m.Cc, &m.Bcc} {
		*list = slices.Clone((*list)[:min(len(*list), room)])
		room -= len(*list)
	}
	for _, r := range m.Recipients() {
		r.Status, r.GivenUp, r.Error = Done, true, err.Error()
		refused := Attempt{Time: now, Status: tooManyRecipients, Error: err.Error()}
		r.History = &History{First: refused, Last: refused}
	}
	m.Error = err.Error()
	m.MakePartial() // a recipient that the record does not name was not removed by a person
	return err
}
