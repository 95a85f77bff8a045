package record

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

// The outcome table: every fault, permanent or not, with and without an acceptance of another recipient, canceled or
// not. The recipient has failed once before, and is given up at the third failure.
func TestOutcomeTable(t *testing.T) {
	t.Parallel()
	type row struct {
		fault                         attempt.Fault
		permanent, progress, canceled bool
		want                          string // decision, failed attempts, minutes to the next attempt, error
	}
	rows := []row{}
	for _, r := range []struct {
		fault attempt.Fault
		other string // a temporary failure without progress
		perm  string // a permanent failure
	}{
		{ofRelay, "deferred 1 0m later", "deferred 1 0m later"}, // the relay is at fault: no attempt is counted
		{ofMessage, "deferred 2 2m later", "given up 1 - later"},
		{ofRecipient, "deferred 2 2m later", "given up 1 - later"},
	} {
		for _, progress := range []bool{false, true} {
			for _, canceled := range []bool{false, true} {
				rows = append(rows, row{r.fault, false, progress, canceled, r.other}, row{r.fault, true, progress, canceled, r.perm})
			}
		}
	}
	rows = append(rows,
		// Not offered, because the transaction had no room or was canceled: the next transaction offers the recipient
		// at once.
		row{ofNone, false, true, false, "deferred 1 0m "}, row{ofNone, true, true, false, "deferred 1 0m "},
		row{ofNone, false, false, true, "deferred 1 0m "}, row{ofNone, true, false, true, "deferred 1 0m "},
		row{ofNone, false, true, true, "deferred 1 0m "}, row{ofNone, true, true, true, "deferred 1 0m "},
		// Not offered although nothing was decided about any other recipient: an attempt is counted, or the recipient
		// would be tried for ever.
		row{ofNone, false, false, false, "deferred 2 2m later"}, row{ofNone, true, false, false, "given up 1 - later"},
	)
	if len(rows) != 4*2*2*2 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, tt := range rows {
		r := &Recipient{Address: "a@x", Status: Waiting, Attempts: 1, Error: "before"}
		o := failed(tt.fault, errLater)
		o.Permanent, o.Withdrawn = tt.permanent, tt.canceled
		rule := Rule{MaxAttempts: 3, Backoff: func(n int) time.Duration { return time.Duration(n) * time.Minute }}
		c := r.apply(o, tt.progress, rule, start)
		if got := outcomeOf(r, c); got != tt.want {
			t.Errorf("fault %d, permanent %v, progress %v, canceled %v: %q, want %q",
				tt.fault, tt.permanent, tt.progress, tt.canceled, got, tt.want)
		}
		if !r.LastAttempt.Equal(start) || r.Relay != "mail:25" {
			t.Errorf("last attempt %v at %q", r.LastAttempt, r.Relay)
		}
	}
}

// outcomeOf returns the decision c and the state of r after it as text.
func outcomeOf(r *Recipient, c Change) string {
	words := []string{map[Decision]string{Accepted: "accepted", Deferred: "deferred", GivenUp: "given up"}[c.Decision]}
	words = append(words, string(rune('0'+r.Attempts)))
	switch {
	case (c.Decision == GivenUp) != r.GivenUp, (c.Decision == Deferred) != (r.Status == Waiting):
		return "the decision and the state differ"
	case (c.Decision == Deferred) != !c.Next.IsZero():
		return "next attempt without need"
	case c.Decision == Deferred:
		words = append(words, strings.TrimSuffix(c.Next.Sub(start).Truncate(time.Minute).String(), "0s"))
		if words[2] == "" {
			words[2] = "0m"
		}
	default:
		words = append(words, "-")
	}
	return strings.Join(append(words, r.Error), " ")
}

func TestAcceptanceIsFinal(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r := &Recipient{Address: "a@x", Attempts: 1, Error: "before", GivenUp: true}
	c := r.apply(accepted(), true, everyMinute(1), start)
	is.Equal(outcomeOf(r, c), "accepted 1 - ")
	is.True(r.Accepted())
	is.NoErr(c.Err)
}

func TestLastAttemptGivesUp(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r := &Recipient{Address: "a@x"}
	rule := everyMinute(3)
	for n := 1; n < 3; n++ {
		is.Equal(r.apply(failed(ofRecipient, errLater), false, rule, start).Decision, Deferred)
	}
	c := r.apply(failed(ofRecipient, errLater), false, rule, start)
	is.Equal(c.Decision, GivenUp)
	is.Equal(r.Error, "given up after 3 attempts: later")
	is.True(errors.Is(c.Err, errLater))
	for range 10 {
		r = &Recipient{Address: "a@x", Attempts: 2}
		// however often the relay cannot be used
		is.Equal(r.apply(failed(ofRelay, errLater), false, rule, start).Decision, Deferred)
	}
}

// A recipient for whom a transaction had no room is offered in the next one, also if all recipients before were refused
// for now: at the same time as them there would never be room. A refusal of the message is for all of them.
func TestRecipientsWithoutRoom(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first    outcome
		attempts int
		at       time.Time
	}{
		"recipient refused":  {failed(ofRecipient, errLater), 0, start},
		"relay unusable":     {failed(ofRelay, errLater), 0, start},
		"accepted":           {accepted(), 0, start},
		"message refused":    {failed(ofMessage, errLater), 1, at(1)},
		"no recipient tried": {failed(ofNone, errLater), 1, at(1)},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			m := &Message{To: []Recipient{{Address: "a"}, {Address: "b"}}}
			m.Apply(m.Start(start, nil), []outcome{tt.first, failed(ofNone, errLater)}, everyMinute(9), start)
			is.Equal(m.To[1].Attempts, tt.attempts)
			is.Equal(m.To[1].NextAttempt, tt.at)
		})
	}
}

func TestApplyCountsTransactions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		o    outcome
		want int
	}{
		{"accepted", accepted(), 1},
		{"refused", permanent(failed(ofRecipient, errLater)), 1},
		{"deferred", failed(ofMessage, errLater), 1},
		{"no relay", failed(ofRelay, errLater), 0},
		{"not offered", canceled(failed(ofNone, errLater)), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m := &Message{To: []Recipient{{Address: "a"}, {Address: "later", NextAttempt: at(1)}, {Address: "done", Status: Done}}}
			to := m.Start(start, nil)
			is.Equal(to, []string{"a"}) // the recipient that is due
			is.Equal(m.To[0].Status, InProgress)
			_, waits := m.NextAttempt()
			is.True(waits) // the other recipient waits
			c := m.Apply(to, []outcome{tt.o}, everyMinute(9), start)
			is.Equal(len(c), 1)
			is.Equal(m.Attempts, tt.want)
			is.Equal(m.To[1], Recipient{Address: "later", NextAttempt: at(1)})
			is.True(m.To[0].Status != InProgress)
		})
	}
}

// An operator may have put an address into the status file twice.
func TestOneAddressTwiceIsOneRecipient(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{{Address: "a"}}, Cc: []Recipient{{Address: "a"}}}
	to := m.Start(start, nil)
	is.Equal(to, []string{"a"}) // offered once
	c := m.Apply(to, []outcome{accepted()}, everyMinute(9), start)
	is.Equal(len(c), 1)
	is.True(m.Served()) // both recipients have accepted
}

func TestApplyWithoutARecipient(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{{Address: "a"}}}
	to := m.Start(start, nil)
	m.To = nil // the recipient was removed from the status file during the transaction
	c := m.Apply(to, []outcome{accepted()}, everyMinute(9), start)
	is.Equal(len(c), 1)
	is.Equal(c[0].Decision, Accepted) // there is an event all the same
	is.Equal(m.Len(), 0)
}

func TestStopUndoesStart(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{waits("a"), done("b")}}
	m.Start(at(60), nil)
	m.Stop()
	is.Equal(m.To, []Recipient{waits("a"), done("b")})
}

func TestGiveUpWaiting(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{waits("a"), done("b"), givenUp("c", 1), {Address: "d"}, {Address: "e", Status: InProgress}}}
	changes := m.GiveUpWaiting(at(5))
	is.Equal(len(changes), 2)
	is.Equal(changes[0].Decision, GivenUp)
	is.Equal(changes[0].Err.Error(), "not delivered by 2026-11-23T10:05:00Z: 450 later")
	is.Equal(m.To[0].Error, changes[0].Err.Error())
	is.Equal(m.To[3].Error, "not delivered by 2026-11-23T10:05:00Z")
	is.Equal(m.To[1], done("b"))
	is.Equal(m.To[4].Status, InProgress) // its transaction may still accept it
	is.True(m.Failed() && !m.Served())
}

func TestPostponeAndRetryAt(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{{Address: "a", NextAttempt: at(5)}, {Address: "b", NextAttempt: at(50)}, done("c")}}
	m.Postpone(at(10))
	is.True(m.To[0].NextAttempt.Equal(at(10)))
	is.True(m.To[1].NextAttempt.Equal(at(50))) // the time is later already
	is.Equal(m.To[2], done("c"))
	next, ok := m.NextAttempt()
	is.True(ok && next.Equal(at(10)))
	m.NotBefore = at(30)
	m.RetryAt(at(20))
	is.True(m.To[0].NextAttempt.Equal(at(30))) // the time that the sender has set
	m.RetryAt(at(40))
	is.True(m.To[1].NextAttempt.Equal(at(40)))
	m.To = m.To[2:]
	_, ok = m.NextAttempt()
	is.True(!ok)
}

func TestServedAndFailed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		to             []Recipient
		served, failed bool
		reason         string
	}{
		{"every recipient accepted", []Recipient{done("a"), done("b")}, true, false, "trouble"},
		{"one waits", []Recipient{done("a"), waits("b")}, false, false, "trouble"},
		{"one given up", []Recipient{done("a"), givenUp("b", 1)}, false, true, "b: 550 no"},
		{"two given up", []Recipient{givenUp("a", 1), givenUp("b", 1)}, false, true, "a: 550 no (and 1 more recipients)"},
		{"no recipient is known", nil, false, true, "trouble"},
	} {
		m := &Message{To: tt.to, Error: "trouble"}
		if m.Served() != tt.served || m.Failed() != tt.failed || m.Reason() != tt.reason {
			t.Errorf("%s: served %v, failed %v, reason %q", tt.name, m.Served(), m.Failed(), m.Reason())
		}
	}
}

func TestWithCause(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{{Address: "due", NextAttempt: at(-1)}, {Address: "later", NextAttempt: at(1)}, done("c")}}
	c := WithCause(m, func(string) string { return "relay is down" }, start)
	is.Equal([]string{c.To[0].Error, c.To[1].Error, c.To[2].Error}, []string{"relay is down", "", ""})
	is.Equal(m.To[0].Error, "") // m is not changed
	is.True(WithCause(m, nil, start) == m)
	m.Held = start
	// an unusable file keeps its own reason
	is.True(WithCause(m, func(string) string { return "relay is down" }, start) == m)
}

func TestRouteSender(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	is.Equal(RouteSender(&Message{From: "s@x", To: []Recipient{{Address: "a@y"}}}), "s@x")
	is.Equal(RouteSender(&Message{Bcc: []Recipient{{Address: "a@y"}}}), "a@y") // the null sender
	is.Equal(RouteSender(&Message{}), "")
}

// An uncertain outcome on a connection that was idle before is repeated at once without counting an attempt, but only
// once within a minute.
func TestApplyAfterRest(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := New(head("<1@x>", "a@x.org"), start)
	rested := attempt.Outcome{Fault: attempt.Message, Uncertain: true, Rested: true, Err: errors.New("uncertain")}
	rule := Rule{MaxAttempts: 9, Backoff: func(int) time.Duration { return time.Hour }}
	for _, want := range []struct {
		now, next time.Time
		attempts  int
	}{{at(0), at(0), 0}, {at(0), at(60), 1}, {at(60), at(60), 1}} {
		m.Start(want.now, nil)
		changes := m.Apply([]string{"a@x.org"}, []attempt.Outcome{rested}, rule, want.now)
		is.Equal(changes[0].Decision, Deferred)
		is.True(changes[0].Outcome.Uncertain) // the event is uncertain
		r := m.To[0]
		is.Equal(r.Error, "uncertain") // and so is the error in the status file
		is.Equal(r.NextAttempt, want.next)
		is.Equal(r.Attempts, want.attempts)
		is.Equal(m.Attempts, want.attempts)
	}
}
