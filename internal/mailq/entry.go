// Package mailq shows a spool from outside: which messages there are in the spool itself, in hold/ and in failed/, and
// what the status file and the files beside what was given up say of them. It needs no daemon and disturbs none, and it is
// linked with nothing that makes a short command slow to start.
package mailq

import (
	"cmp"
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/record"
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

// An Entry is one message. As JSON it is a line of "spoolgore list -json", whose names and meanings are fixed.
type Entry struct {
	Name     string
	Size     int64     // of the file, in bytes
	Enqueued time.Time // when the daemon has first seen it; when the file was written, if it has not
	State    State
	From     string
	To       Recipients `json:",omitempty"`
	Cc       Recipients `json:",omitempty"`
	Bcc      Recipients `json:",omitempty"`

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
func (e *Entry) Recipients(each func(r *record.Recipient)) {
	for _, list := range []Recipients{e.To, e.Cc, e.Bcc} {
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

// conclude sets the fields that follow from the others. The reason is that of a waiting recipient, if one has an error.
func (e *Entry) conclude(now time.Time) {
	sending, waits, why, whyWaits := false, false, "", ""
	e.NextAttempt = time.Time{}
	e.Recipients(func(r *record.Recipient) {
		switch {
		case r.Status == record.InProgress:
			sending = true
		case r.Status == record.Waiting && (!waits || r.NextAttempt.Before(e.NextAttempt)):
			waits, e.NextAttempt = true, r.NextAttempt
		}
		switch {
		case r.Status == record.Waiting:
			whyWaits = cmp.Or(whyWaits, r.Error)
		case !r.Accepted():
			why = cmp.Or(why, r.Error)
		}
	})
	e.Reason = cmp.Or(e.Reason, e.Error, whyWaits)
	if !waits {
		e.Reason = cmp.Or(e.Reason, why)
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
