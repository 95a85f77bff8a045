// Package record holds the record of one message in a spool: sender, recipients, every attempt, and the rules by which
// an outcome, an edit or a restart changes the record. The package also has the JSON of the status file, of the
// why-file beside a failed message and of a journal line, and the compact form that the queue keeps in memory.
//
// The package does no I/O, starts no goroutine and reads no clock: time is an argument, files are readers and writers.
package record

import (
	"cmp"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/routing"
)

// State is the progress of one recipient. The numbers are those of the status file.
type State int

// The states of a recipient.
const (
	Waiting    State = 0 // to be tried at NextAttempt
	InProgress State = 1 // in a transaction now
	Done       State = 2 // accepted by a relay or, with GivenUp set, not to be tried again
)

// Recipient is one recipient of a message. The JSON names down to Error are those of the 2014 tool.
type Recipient struct {
	Address     string
	Status      State
	Attempts    int       // failed attempts; trouble of the relay alone is not counted
	NextAttempt time.Time // meaningful while Waiting
	Error       string    // of the last attempt; empty: none

	Added       bool      `json:",omitempty"` // a person added the recipient to the status file
	Copy        bool      `json:",omitempty"` // gets a copy that the operator asked for; no report tells the sender
	GivenUp     bool      `json:",omitempty"` // Done without an acceptance; the message will go to failed/
	Told        bool      `json:",omitempty"` // GivenUp, and a failure report was sent while other recipients waited
	Warned      bool      `json:",omitempty"` // a delay report was due; the report was sent if reports are on
	Relay       string    `json:",omitempty"` // relay of the last attempt
	LastAttempt time.Time `json:",omitzero"`  // zero: none yet
	History     *History  `json:"Tried,omitempty"`
}

// Accepted reports whether a relay has accepted the message for r, or a person marked r as done.
func (r *Recipient) Accepted() bool { return r.Status == Done && !r.GivenUp }

// Message is the record of one message file: the value of an entry of the status file. The JSON names down to Enqueued
// are those of the 2014 tool. People and scripts read and edit the file.
type Message struct {
	From     string // envelope sender; empty: the null sender
	To       []Recipient
	Cc       []Recipient
	Bcc      []Recipient
	Attempts int       // transactions that counted as an attempt
	Enqueued time.Time // when the message was first seen

	Error    string    `json:",omitempty"` // why the file cannot be sent or removed; empty: no trouble
	Expire   time.Time `json:",omitzero"`  // deadline set by the sender; zero: the configured maximum age alone decides
	Priority int       `json:",omitempty"` // higher is sent first
	Size     int64     // size of the file in bytes; negative: the record is partial, see Partial
	Modified time.Time // modification time of the file
	Held     time.Time `json:",omitzero"` // since when the file has been in hold/; zero: not in hold/

	NotBefore time.Time `json:",omitzero"`  // earliest time of the first attempt; the age counts from it; zero: at once
	MessageID string    `json:",omitempty"` // Message-ID with which the message is sent
	Digest    string    `json:",omitempty"` // hash of the header, set only if the header has no Message-ID
	Inode     uint64    `json:",omitempty"` // inode of the file; zero: unknown
	RawName   []byte    `json:",omitempty"` // file name, set only if the name is not valid UTF-8

	// BodyDigest is a hash of the body, set with Digest. Both together identify the message.
	BodyDigest string `json:"Body,omitempty"`
	// Missing is the time when the file was first found missing; zero: the file exists.
	Missing time.Time `json:",omitzero"`
	// Overdue is when a start first found the message older than the maximum age; zero: never.
	Overdue time.Time `json:",omitzero"`
	// Removed are addresses of the file that a person removed from the status file.
	Removed []string `json:",omitempty"`
	ID      string   `json:",omitempty"` // the sender's own id in the envelope; empty: none
	UID     string   `json:",omitempty"` // user id of the owner of the file; empty: not known
}

// Recipients returns pointers to all recipients in the order To, Cc, Bcc.
func (m *Message) Recipients() []*Recipient {
	all := make([]*Recipient, 0, m.Len())
	for _, list := range lists(m) {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}

func lists(m *Message) [3][]Recipient { return [3][]Recipient{m.To, m.Cc, m.Bcc} }

// Len returns the number of recipients.
func (m *Message) Len() int { return len(m.To) + len(m.Cc) + len(m.Bcc) }

// Clone returns a copy of m with recipient lists of its own. Histories are shared: a History is never changed in place.
func (m *Message) Clone() *Message {
	c := *m
	c.To, c.Cc, c.Bcc = slices.Clone(m.To), slices.Clone(m.Cc), slices.Clone(m.Bcc)
	return &c
}

// NextAttempt returns the time of the first waiting recipient; ok is false if no recipient waits.
func (m *Message) NextAttempt() (at time.Time, ok bool) {
	for _, list := range lists(m) {
		for i := range list {
			if r := &list[i]; r.Status == Waiting && (!ok || r.NextAttempt.Before(at)) {
				at, ok = r.NextAttempt, true
			}
		}
	}
	return at, ok
}

// LastAttempt returns the time of the last attempt for any recipient; zero: there was none.
func (m *Message) LastAttempt() (at time.Time) {
	for _, r := range m.Recipients() {
		at = retry.Later(at, r.LastAttempt)
	}
	return at
}

// RetryAt makes every waiting recipient due at the time at, or at NotBefore if that is later.
func (m *Message) RetryAt(at time.Time) {
	for _, r := range m.Recipients() {
		if r.Status == Waiting {
			r.NextAttempt = retry.Later(at, m.NotBefore)
		}
	}
}

// Since returns the time from which the age of m counts.
func (m *Message) Since() time.Time { return retry.Later(m.Enqueued, m.NotBefore) }

// Served reports whether every recipient was accepted. Only then may the file be removed.
func (m *Message) Served() bool {
	all := m.Recipients()
	return len(all) > 0 && !slices.ContainsFunc(all, func(r *Recipient) bool { return !r.Accepted() })
}

// Failed reports whether m belongs in failed/ once no recipient waits: some recipient was given up, or none is known.
func (m *Message) Failed() bool {
	all := m.Recipients()
	return len(all) == 0 || slices.ContainsFunc(all, func(r *Recipient) bool { return r.GivenUp })
}

// RouteSender returns the sender whose route the message takes: From or, for the null sender, the first recipient.
func RouteSender(m *Message) string {
	for _, list := range lists(m) {
		if len(list) > 0 {
			return routing.Sender(m.From, list[0].Address)
		}
	}
	return m.From
}

// WithCause returns m or a copy in which the Error of every due recipient is the cause, if there is one. The cause is
// the reason why the relays for the recipient cannot be used now; empty: they can. A nil function: all can.
func WithCause(m *Message, cause func(to string) string, now time.Time) *Message {
	isDue := func(r *Recipient) bool { return r.Status == Waiting && !r.NextAttempt.After(now) }
	if cause == nil || !m.Held.IsZero() || !slices.ContainsFunc(m.Recipients(), isDue) {
		return m
	}
	c := m.Clone()
	for _, r := range c.Recipients() {
		if isDue(r) {
			r.Error = cmp.Or(cause(r.Address), r.Error)
		}
	}
	return c
}

// Release ends the time in hold/, which does not count as age.
func Release(m *Message, now time.Time) {
	if m.Held.IsZero() {
		return
	}
	if held := now.Sub(m.Held); held > 0 { // otherwise the clock was set back meanwhile
		m.Enqueued = m.Enqueued.Add(held)
	}
	m.Held, m.Error = time.Time{}, ""
}

// Head is the content of a message file for New.
type Head struct {
	Name      string // of the file
	Size      int64
	Modified  time.Time
	Inode     uint64
	Body      string // hash of the body, set with Digest
	UID       string // user id of the owner; empty: not known
	Addresses message.Addresses
	Copy      string            // recipient of a copy that the operator asked for; empty: none
	MessageID string            // with which the message is sent
	Digest    string            // hash of the header; empty: the header has a Message-ID
	Envelope  *message.Envelope // nil: the header is the envelope
}

// New returns the record of a message file that was just read. A recipient whose address is invalid is given up.
func New(h Head, now time.Time) *Message {
	m := &Message{
		From: h.Addresses.From, Enqueued: now, Size: h.Size, Modified: h.Modified,
		RawName: RawName(h.Name), MessageID: h.MessageID, UID: h.UID, Inode: h.Inode,
	}
	if h.Digest != "" {
		m.Digest, m.BodyDigest = h.Digest, h.Body
	}
	if env := h.Envelope; env != nil {
		m.Expire, m.Priority, m.NotBefore, m.ID = env.Expire, env.Priority, env.NotBefore, env.ID
	}
	next := retry.Later(now, m.NotBefore)
	list := func(addresses []message.Address) []Recipient {
		to := make([]Recipient, 0, len(addresses)) // an empty list is [] in JSON, as in the 2014 tool
		for _, a := range addresses {
			r := Recipient{Address: a.Addr, NextAttempt: next}
			if a.Err != nil {
				r.Status, r.GivenUp, r.Error = Done, true, a.Err.Error()
			}
			to = append(to, r)
		}
		return to
	}
	m.To, m.Cc, m.Bcc = list(h.Addresses.To), list(h.Addresses.Cc), list(h.Addresses.Bcc)
	isCopy := func(r *Recipient) bool { return message.SameAddress(r.Address, h.Copy) }
	if h.Copy != "" && m.Len() > 0 && !slices.ContainsFunc(m.Recipients(), isCopy) {
		m.Bcc = append(m.Bcc, Recipient{Address: h.Copy, NextAttempt: next, Copy: true})
	}
	return m
}

// IsUnreadable reports whether m is a record of NewUnreadable. A message whose recipients a person has taken out of the
// status file has no recipients, either.
func IsUnreadable(m *Message) bool { return m.Len() == 0 && m.MessageID == "" }

// NewUnreadable returns the record of a file that cannot be read, for the reason why. Such a record has no recipients.
func NewUnreadable(name, why string, size int64, modified, seen time.Time) *Message {
	none := []Recipient{} // an empty list is [] in JSON, as in the 2014 tool
	return &Message{
		To: none, Cc: none, Bcc: none, Error: why, Enqueued: seen, Size: size, Modified: modified,
		RawName: RawName(name),
	}
}
