package record

import (
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
)

// History has the results of all attempts for one recipient. A new attempt makes a new History.
type History struct {
	First, Last Attempt
	// Times is the number of attempts. Zero means one attempt or, if Last differs from First, two.
	Times int `json:",omitempty"`
	// Runs are all attempts in order: the first run, and the newest others up to 16 runs and 2 KiB of text. If Times is
	// more than their sum, some were left out behind the first run. Empty: First and Last say all.
	Runs []AttemptRun `json:",omitempty"`
}

// AttemptRun is a series of consecutive attempts for one recipient with the same result.
type AttemptRun struct {
	Attempt           // the first of the series
	Until   time.Time `json:",omitzero"` // time of the last of the series; zero: there was one attempt
	Times   int       // number of attempts
}

// Attempt is one attempt for one recipient.
type Attempt struct {
	Time   time.Time
	Relay  string // relay of the attempt
	TLS    string // version of TLS, such as "TLS 1.3"; empty: none
	Reply  string // reply of the relay, at most 500 bytes; empty: none
	Status string `json:",omitempty"` // enhanced status code (RFC 3463) of a final failure without a reply
	Error  string `json:",omitempty"` // failure without a reply, at most 500 bytes
}

// manyRecipients is the number of recipients above which a message has brief histories. The readers of the status file
// and the journal have a limit for the size of a message.
const manyRecipients = 1000

// Limits of a history.
const (
	maxRuns     = 16
	maxRunText  = 2 << 10 // bytes of text in all runs
	maxAttempt  = 500     // bytes of a reply or an error
	manyUnknown = 2       // from more failed attempts on, a History without Times does not say what came between
)

// note adds the outcome o to the history of r.
func (r *Recipient) note(o attempt.Outcome, now time.Time) {
	if o.Err != nil && o.Fault == attempt.None {
		return // the message was not offered to r
	}
	last := Attempt{Time: now, Relay: o.Relay, TLS: o.TLS, Reply: shorten(o.Reply)}
	if o.Err != nil {
		last.Status = o.FinalStatus()
		if last.Reply == "" {
			last.Error = shorten(withoutLocalPort(o.Err.Error()))
		}
	}
	r.History = r.History.with(last, r.Attempts)
}

// shorten returns the first bytes of text, which would otherwise be kept once for every recipient.
func shorten(text string) string {
	if len(text) <= maxAttempt {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:maxAttempt], ""))
}

// withoutLocalPort removes the local address, which differs for each connection, from an error text: "ours->theirs"
// becomes "theirs".
func withoutLocalPort(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if _, theirs, ok := strings.Cut(word, "->"); ok {
			words[i] = theirs
		}
	}
	return strings.Join(words, " ")
}

// with returns h, which may be nil, with one attempt added. failed is the number of failed attempts before.
func (h *History) with(a Attempt, failed int) *History {
	if h == nil {
		return &History{First: a, Last: a}
	}
	runs, times := h.all(failed)
	runs, times = extend(runs, a), times+1
	n := &History{First: h.First, Last: a}
	if times == 2 && !a.Time.Equal(h.First.Time) {
		return n
	}
	for len(runs) > maxRuns || len(runs) > 2 && textIn(runs) > maxRunText {
		runs = slices.Delete(runs, 1, 2)
	}
	if n.Times = times; len(runs) > 1 || runs[0].Times < times {
		n.Runs = runs
	}
	return n
}

// brief returns h with the first and the last attempt only.
func (h *History) brief() *History {
	if h == nil || len(h.Runs) == 0 {
		return h
	}
	b := *h
	b.Runs = nil
	return &b
}

// all returns the known attempts in a list of the caller's own, and the number of attempts. A History written by an
// older version has no number: then failed counts.
func (h *History) all(failed int) (runs []AttemptRun, times int) {
	first := AttemptRun{Attempt: h.First, Times: 1}
	switch once := h.First.Time.Equal(h.Last.Time) && h.First.sameResult(&h.Last); {
	case len(h.Runs) > 0:
		runs = slices.Clone(h.Runs)
	case once && h.Times == 0:
		runs = []AttemptRun{first}
	case h.Times > 0 && h.First.sameResult(&h.Last):
		runs = []AttemptRun{{h.First, h.Last.Time, h.Times}}
	case h.Times == 0 && failed > manyUnknown:
		runs = []AttemptRun{first, {Attempt: h.Last, Times: 1}}
	default:
		runs = extend([]AttemptRun{first}, h.Last)
	}
	for _, run := range runs {
		times += run.Times
	}
	if h.Times == 0 {
		return runs, max(times, failed)
	}
	return runs, max(times, h.Times)
}

// sameResult reports whether a and b differ only in their time.
func (a Attempt) sameResult(b *Attempt) bool {
	a.Time = b.Time
	return a == *b
}

// extend adds an attempt to runs.
func extend(runs []AttemptRun, a Attempt) []AttemptRun {
	last := &runs[len(runs)-1]
	if !last.sameResult(&a) {
		return append(runs, AttemptRun{Attempt: a, Times: 1})
	}
	last.Until, last.Times = a.Time, last.Times+1
	return runs
}

func textIn(runs []AttemptRun) (bytes int) {
	for i := range runs {
		for _, text := range runs[i].texts() {
			bytes += len(*text)
		}
	}
	return bytes
}

// texts returns the fields of a that are text.
func (a *Attempt) texts() [5]*string {
	return [...]*string{&a.Relay, &a.TLS, &a.Reply, &a.Status, &a.Error}
}

// Attempts returns the attempts for r as runs, and the number of attempts that were left out behind the first run.
// Without a History both are zero.
func (r *Recipient) AttemptRuns() (runs []AttemptRun, leftOut int) {
	h := r.History
	if h == nil {
		return nil, 0
	}
	runs, times := h.all(r.Attempts)
	for _, run := range runs {
		times -= run.Times
	}
	return runs, max(0, times)
}
