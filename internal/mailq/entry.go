// Package mailq reads a spool from outside: the messages in the spool itself, in hold/ and in failed/, with the status
// file and the why-files. It needs no daemon and disturbs none. It is linked with no package that makes a short command
// slow to start.
package mailq

import (
	"cmp"
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A State is the state of a message, for people.
type State string

// The states.
const (
	New       State = "new"       // the daemon has not read the file, or not since the last change
	Waiting   State = "waiting"   // to be sent at once: waits for a connection, a resting relay, a rate limit
	Sending   State = "sending"   // in a transaction
	Deferred  State = "deferred"  // to be tried again later
	Scheduled State = "scheduled" // not to be sent before the time in the envelope (notBefore)
	Unusable  State = "unusable"  // the file cannot be sent, or removed, in this form
	Temporary State = "temporary" // the name is that of a file which a program is writing; read after an hour
	Held      State = "held"      // in hold/
	Failed    State = "failed"    // in failed/
)

// States are all states.
var States = []State{New, Waiting, Sending, Deferred, Scheduled, Unusable, Temporary, Held, Failed}

// Queued reports whether messages in that state are to be sent as soon as possible: temporary, held, scheduled and
// failed messages are not.
func (s State) Queued() bool {
	switch s {
	case New, Waiting, Sending, Deferred, Unusable:
		return true
	}
	return false
}

// An Entry is one message. Its JSON is a line of "spoolgore list -json"; names and meanings are fixed.
type Entry struct {
	Name     string
	Size     int64     // of the file, in bytes
	Enqueued time.Time // when the daemon first saw the file; of a new file, the time of the file
	State    State
	From     string
	To       Recipients `json:",omitempty"`
	Cc       Recipients `json:",omitempty"`
	Bcc      Recipients `json:",omitempty"`

	Attempts    int       `json:",omitempty"` // transactions that counted
	NextAttempt time.Time `json:",omitzero"`  // the earliest of the recipients; zero: no recipient waits
	Error       string    `json:",omitempty"` // why the file cannot be sent or removed; empty: no problem
	Reason      string    `json:",omitempty"` // why the message has not been sent, on one line; empty: no failure
	GivenUp     time.Time `json:",omitzero"`  // time of the move to failed/
	Held        time.Time `json:",omitzero"`  // time of the move to hold/, by the status file
	NotBefore   time.Time `json:",omitzero"`
	Expire      time.Time `json:",omitzero"`
	Overdue     time.Time `json:",omitzero"`  // when a start first found the message too old
	Removed     []string  `json:",omitempty"` // addresses in the file that a person took out of the status file
	Priority    int       `json:",omitempty"`
	MessageID   string    `json:",omitempty"`
	ID          string    `json:",omitempty"` // the sender's own id, of the envelope
	UID         string    `json:",omitempty"` // user id of the owner of the file; empty: not known
	RawName     []byte    `json:",omitempty"` // the name, if JSON cannot hold it
	Host        string    `json:",omitempty"` // that has put the message into the queue of a fleet; empty: not known

	Place   spooldir.Place `json:"-"` // where the file is
	Info    fs.FileInfo    `json:"-"` // of the file; nil: the message is no file
	Known   bool           `json:"-"` // there is a record in the status file, or a why-file
	Changed bool           `json:"-"` // the file is another version than the record

	temporary bool   // the file has a temporary name, and has changed within the last hour
	partial   bool   // the record does not have all recipients
	digest    string // of the header; empty: the header has a Message-ID
}

// Recipients calls each for every recipient, in the order To, Cc, Bcc.
func (e *Entry) Recipients(each func(r *record.Recipient)) {
	for _, list := range []Recipients{e.To, e.Cc, e.Bcc} {
		for i := range list {
			each(&list[i])
		}
	}
}

// HasSender reports whether the sender of e is known, be it the null sender. It is unknown if the file was never read.
func (e *Entry) HasSender() bool {
	return e.From != "" || len(e.To)+len(e.Cc)+len(e.Bcc) > 0 && (e.Known || e.Error == "")
}

// Since is the time from which the age of the message counts: when it began to wait, or was given up.
func (e *Entry) Since() time.Time {
	switch {
	case e.Place == spooldir.Failed && !e.GivenUp.IsZero():
		return e.GivenUp
	case e.NotBefore.After(e.Enqueued):
		return e.NotBefore
	}
	return e.Enqueued
}

// conclude sets the fields that follow from the others. The reason is that of a waiting recipient, if there is one with
// an error.
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
	if e.isTemporary() {
		e.Error, e.Reason = "", whyTemporary
	}
	e.Reason = cmp.Or(e.Reason, e.Error, whyWaits)
	if !waits {
		e.Reason = cmp.Or(e.Reason, why)
	}
	if e.State = e.state(sending, waits, now); e.State == New {
		e.NextAttempt = time.Time{} // tried as soon as the daemon has read the file
	}
}

func (e *Entry) state(sending, waits bool, now time.Time) State {
	switch {
	case e.Place == spooldir.Failed:
		return Failed
	case e.Place == spooldir.Hold:
		return Held
	case e.isTemporary():
		return Temporary
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

// whyTemporary is the reason of a message in state Temporary.
const whyTemporary = "temporary name: the file is read when it has not changed for an hour"

// isTemporary reports whether the daemon waits until the file has not changed for an hour: a temporary name, and no
// record with recipients.
func (e *Entry) isTemporary() bool {
	return e.temporary && e.Place == spooldir.Spool && (!e.Known || len(e.To)+len(e.Cc)+len(e.Bcc) == 0)
}
