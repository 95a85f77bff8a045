package record

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/unbit/spoolgore/internal/attempt"
)

// Note is one line of the journal: the outcome of one transaction for recipients with a decision.
type Note struct {
	File    string // name of the message file
	Message        // identity of the message; To holds the recipients, in the state after the transaction
}

// NoteOf returns the note about a transaction that offered m to the recipients to. The size depends on the transaction,
// not on the number of recipients of m. A note without recipients need not be written. Call NoteOf after Apply.
func NoteOf(m *Message, file string, to []string, outcomes []attempt.Outcome) *Note {
	n := &Note{File: file, Message: Message{
		From: m.From, Attempts: m.Attempts, Size: m.Size, Modified: m.Modified,
		MessageID: m.MessageID, Digest: m.Digest, Inode: m.Inode, RawName: m.RawName,
		BodyDigest: m.BodyDigest, ID: m.ID,
	}}
	known := make(map[string]*Recipient, len(to))
	for _, r := range m.Recipients() {
		known[r.Address] = r
	}
	for i, address := range to {
		if r := known[address]; r != nil && outcomes[i].Decided() {
			n.To = append(n.To, *r)
			if r.Accepted() {
				n.To[len(n.To)-1].History = nil // of no use to any report
			}
		}
	}
	return n
}

// FullNote returns a note about all recipients of m, which needs no other record of the message.
func FullNote(m *Message, file string) *Note {
	n := NoteOf(m, file, nil, nil)
	n.To = slices.Concat(m.To, m.Cc, m.Bcc)
	for i := range n.To {
		if n.To[i].Status == InProgress {
			n.To[i].Status = Waiting
		}
	}
	n.Enqueued, n.Overdue, n.Removed = m.Enqueued, m.Overdue, m.Removed
	n.Held, n.Missing = m.Held, m.Missing // another message may have the name
	return n
}

// HasAccepted reports whether the transaction was accepted for a recipient.
func (n *Note) HasAccepted() bool {
	return slices.ContainsFunc(n.To, func(r Recipient) bool { return r.Accepted() })
}

// Encode returns n as a line of the journal, without a line end.
func (n *Note) Encode() []byte {
	line, _ := json.Marshal(n) // cannot fail: JSON can hold the times of this process
	return line
}

// DecodeNote reads a line of the journal.
func DecodeNote(line []byte) (*Note, error) {
	n := &Note{}
	if err := json.Unmarshal(line, n); err != nil {
		return nil, err
	}
	return n, nil
}

// Name returns the name of the message file.
func (n *Note) Name() string { return FileName(n.File, &n.Message) }

// AsMessage returns the note as a partial record of its message.
func (n *Note) AsMessage() *Message {
	m := n.Message
	m.MakePartial()
	return &m
}

// Take adds the note n to m, a record of the same message. The note may be older than m.
func Take(m *Message, n *Note) {
	sameVersion := m.Describes(n.Size, n.Modified, n.Inode) == ThisVersion
	known := make(map[string]*Recipient)
	for _, r := range m.Recipients() {
		known[r.Address] = r
	}
	var more []Recipient
	for _, r := range n.To {
		switch k := known[r.Address]; {
		case k != nil:
			if r.Accepted() || !k.Accepted() && !r.LastAttempt.Before(k.LastAttempt) {
				r.Told, r.Warned = r.Told || r.GivenUp && k.Told, r.Warned || k.Warned
				*k = r
			}
		case r.Accepted() || !sameVersion: // otherwise the recipient was removed from the status file by hand
			more = append(more, r)
		}
	}
	m.To = append(m.To, more...)
	if len(more) > 0 && !sameVersion {
		m.MakePartial() // the status file described an older version of the file
	}
	m.Attempts = max(m.Attempts, n.Attempts)
	m.MessageID, m.ID = cmp.Or(n.MessageID, m.MessageID), cmp.Or(m.ID, n.ID)
	m.Digest = cmp.Or(n.Digest, m.Digest)
	if sameVersion || m.Inode == 0 {
		m.Inode = cmp.Or(n.Inode, m.Inode)
	}
	m.BodyDigest = cmp.Or(n.BodyDigest, m.BodyDigest)
}

// Learn adds the content of old, a record of the same message, to m.
func Learn(m, old *Message) {
	n := &Note{Message: *old}
	n.To = slices.Concat(old.To, old.Cc, old.Bcc)
	Take(m, n)
}
