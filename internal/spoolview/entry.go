// Package spoolview shows a spool from outside: which messages there are in the spool itself, in hold/ and in failed/, and
// what the status file and the files beside what was given up say of them. It needs no daemon and disturbs none, and it is
// linked with nothing that makes a short command slow to start.
package spoolview

import (
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// A State is what a message is waiting for.
type State string

// The states.
const (
	New       State = "new"       // the daemon has not read the file, or not since it was changed
	Waiting   State = "waiting"   // to be sent as soon as its turn comes: for a connection, a relay at rest, a rate limit
	Sending   State = "sending"   // in a transaction
	Deferred  State = "deferred"  // to be tried again later
	Scheduled State = "scheduled" // not to be sent before its time (notBefore)
	Unusable  State = "unusable"  // the file cannot be sent, or removed, as it is
	Held      State = "held"      // in hold/
	Failed    State = "failed"    // in failed/
)

// States are all of them.
var States = []State{New, Waiting, Sending, Deferred, Scheduled, Unusable, Held, Failed}

// Queued reports whether messages in that state are to be sent as soon as they can be: those that are held, scheduled or
// given up are not.
func (s State) Queued() bool {
	switch s {
	case New, Waiting, Sending, Deferred, Unusable:
		return true
	}
	return false
}

// The states of a recipient in the status file.
const (
	Open       = 0 // to be tried at NextAttempt
	InProgress = 1
	Done       = 2 // accepted or, with GivenUp, not to be tried again
)

// Recipient is one recipient, as the status file has it.
type Recipient struct {
	Address     string
	Status      int // 0 waiting, 1 in progress, 2 done
	Attempts    int
	NextAttempt time.Time `json:",omitzero"`
	Error       string    `json:",omitempty"`
	GivenUp     bool      `json:",omitempty"`
	Relay       string    `json:",omitempty"`
	LastAttempt time.Time `json:",omitzero"`
	Tried       *Tried    `json:",omitempty"`
}

// Served reports whether a relay has the message for r.
func (r *Recipient) Served() bool { return r.Status == Done && !r.GivenUp }

// Tried is what came of the attempts for a recipient.
type Tried struct {
	First, Last Attempt
	Times       int   `json:",omitempty"` // zero: one or, if Last is another than First, two
	Runs        []Run `json:",omitempty"` // empty: First and Last say all
}

// Attempt is one of them.
type Attempt struct {
	Time              time.Time
	Relay, TLS, Reply string
	Status            string `json:",omitempty"`
	Error             string `json:",omitempty"` // where there was no reply
}

// Run is attempts that came one after the other and to the same.
type Run struct {
	Attempt           // the first of them
	Until   time.Time `json:",omitzero"` // when the last of them was; zero: there is but one
	Times   int
}

// Runs are the attempts for r, and how many are left out behind the first run. There are none if nothing is known of them.
func (r *Recipient) Runs() (runs []Run, leftOut int) {
	t, all := r.Tried, 0
	if t == nil {
		return nil, 0
	}
	same := t.First
	same.Time = t.Last.Time
	switch first := (Run{Attempt: t.First, Times: 1}); {
	case len(t.Runs) > 0:
		runs = t.Runs
	case t.Times > 1 && same == t.Last:
		runs = []Run{{t.First, t.Last.Time, t.Times}}
	case same == t.Last && t.First.Time.Equal(t.Last.Time):
		runs = []Run{first}
	default:
		runs = []Run{first, {Attempt: t.Last, Times: 1}}
	}
	for _, run := range runs {
		all += run.Times
	}
	if t.Times > 0 {
		return runs, max(0, t.Times-all)
	}
	return runs, max(0, r.Attempts-all) // an older version of the daemon has kept no others
}

// An Entry is one message. Written as JSON it is a line of "spoolgore list -json", whose names and meanings are fixed.
type Entry struct {
	Name     string
	Size     int64     // of the file, in bytes
	Enqueued time.Time // when the daemon has first seen it; when the file was written, if it has not
	State    State
	From     string
	To       []Recipient `json:",omitempty"`
	Cc       []Recipient `json:",omitempty"`
	Bcc      []Recipient `json:",omitempty"`

	Attempts    int       `json:",omitempty"` // transactions that counted
	NextAttempt time.Time `json:",omitzero"`  // of the recipient who is tried first; zero: nobody waits
	Error       string    `json:",omitempty"` // why the file cannot be sent or removed as it is; empty: it can
	Reason      string    `json:",omitempty"` // why it has not been sent, in one line; empty: nothing is wrong
	GivenUp     time.Time `json:",omitzero"`  // when it went to failed/
	Held        time.Time `json:",omitzero"`  // since when it has been in hold/, by the status file
	NotBefore   time.Time `json:",omitzero"`
	Expire      time.Time `json:",omitzero"`
	Priority    int       `json:",omitempty"`
	MessageID   string    `json:",omitempty"`
	RawName     []byte    `json:",omitempty"` // the name, where JSON cannot hold it

	Place   spooldir.Place `json:"-"` // where the file is
	Info    fs.FileInfo    `json:"-"` // of the file
	Known   bool           `json:"-"` // the status file, or the one beside it in failed/, tells of it
	Changed bool           `json:"-"` // the file is another one since
}

// Recipients calls each for every recipient, in the order To, Cc, Bcc.
func (e *Entry) Recipients(each func(r *Recipient)) {
	for _, list := range [][]Recipient{e.To, e.Cc, e.Bcc} {
		for i := range list {
			each(&list[i])
		}
	}
}

// HasSender reports whether it is known who e is from, be it the null sender: of a file that nobody could read it is not.
func (e *Entry) HasSender() bool {
	return e.From != "" || len(e.To)+len(e.Cc)+len(e.Bcc) > 0 && (e.Known || e.Error == "")
}

// Since is the moment from which the age of the message counts: since when it has been waiting, or been given up.
func (e *Entry) Since() time.Time {
	switch {
	case e.Place == spooldir.Failed && !e.GivenUp.IsZero():
		return e.GivenUp
	case e.NotBefore.After(e.Enqueued):
		return e.NotBefore
	}
	return e.Enqueued
}

// conclude fills in what follows from the rest.
func (e *Entry) conclude(now time.Time) {
	sending, waits, why := false, false, ""
	e.NextAttempt = time.Time{}
	e.Recipients(func(r *Recipient) {
		switch {
		case r.Status == InProgress:
			sending = true
		case r.Status == Open && (!waits || r.NextAttempt.Before(e.NextAttempt)):
			waits, e.NextAttempt = true, r.NextAttempt
		}
		if why == "" && !r.Served() {
			why = r.Error
		}
	})
	if e.Reason == "" {
		e.Reason = e.Error
	}
	if e.Reason == "" {
		e.Reason = why
	}
	if e.State = e.state(sending, waits, now); e.State == New {
		e.NextAttempt = time.Time{} // at once, when it has been read
	}
}

func (e *Entry) state(sending, waits bool, now time.Time) State {
	switch {
	case e.Place == spooldir.Failed:
		return Failed
	case e.Place == spooldir.Hold:
		return Held
	case e.Error != "":
		return Unusable
	case !e.Known, e.Changed:
		return New
	case sending || !waits:
		return Sending
	case !e.NextAttempt.After(now):
		return Waiting
	case e.Attempts == 0 && e.NotBefore.After(now):
		return Scheduled
	}
	return Deferred
}
