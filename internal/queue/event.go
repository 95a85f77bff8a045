package queue

import (
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
)

// Kind is the kind of an Event.
type Kind string

// The kinds of events.
const (
	Queued     Kind = "queued"    // a recipient of a message that is new in the spool
	Sent       Kind = "sent"      // accepted by a relay
	HandedOn   Kind = "handed on" // accepted by another queue; the engine makes it of Sent
	Deferred   Kind = "deferred"  // not accepted now, will be tried again
	Failed     Kind = "failed"    // given up
	Kept       Kind = "kept"      // a message was moved to failed/; To is empty
	Unsendable Kind = "unusable"  // a file cannot be read, sent or removed; To is empty
	Withheld   Kind = "held"      // a message was moved to hold/, as a recipient is not allowed; To is empty
)

// Event is a change of one recipient or, for Kept, Unsendable and Withheld, of one file.
type Event struct {
	Kind      Kind
	Time      time.Time
	File      string          // name of the file
	From      string          // envelope sender
	ID        string          // the sender's own id; empty: none
	MessageID string          // of the message as sent; empty: the file cannot be read
	Size      int64           // of the file, in bytes; zero: the file cannot be read
	UID       string          // user id of the owner of the file; empty: not known
	To        string          // recipient
	Since     time.Time       // Sent, Deferred and Failed: from when the age of the message counts
	Attempt   int             // number of the transaction of this message, from 1; zero: there was none
	Err       error           // why; nil if Sent or Queued
	Next      time.Time       // Deferred: time of the next attempt
	Path      string          // Kept: path of the file now
	Outcome   attempt.Outcome // outcome of the attempt; zero if there was no attempt
}
