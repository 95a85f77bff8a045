package record

import (
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/retry"
)

// Match says whether a record describes a version of a file.
type Match int

// The answers of Describes.
const (
	OtherVersion Match = iota // the record was made from another version of the file
	ThisVersion               // the record was made from this version of the file
	NoVersion                 // the record has no version, as from the 2014 tool or a script
	PartOnly                  // the record does not know all recipients: the file is to be read
)

// Describes reports whether m was made from the version of its file with that size, modification time and inode. All
// comparisons of versions use Describes. An inode of zero, in m or as argument, is unknown and not compared.
func (m *Message) Describes(size int64, modified time.Time, inode uint64) Match {
	switch {
	case m.Partial():
		return PartOnly
	case m.Size == 0 && m.Modified.IsZero():
		return NoVersion
	case m.Size == size && m.Modified.Equal(modified) && (m.Inode == inode || m.Inode == 0 || inode == 0):
		return ThisVersion
	}
	return OtherVersion
}

// Partial reports whether m does not know the whole message: the file is to be read, and m to be merged into the
// result.
func (m *Message) Partial() bool { return m.Size < 0 }

// MakePartial makes m partial.
func (m *Message) MakePartial() { m.Size = -1 }

// IsSame reports whether old is about the message m, also after a change of the file.
func (m *Message) IsSame(old *Message) bool {
	// The 2014 tool knew a message by its file name alone.
	by2014 := old.MessageID == "" && old.Describes(0, time.Time{}, 0) == NoVersion
	if m.ID != old.ID && m.ID != "" && old.ID != "" { // the sender says so
		return false
	}
	return by2014 || old.MessageID == m.MessageID || sameHeader(m, old) && sameBody(m, old)
}

// IsEdit reports whether m, whose file has the name that the file of old had all the time, is an edit of old: IsSame,
// or only the body has changed, in place.
func (m *Message) IsEdit(old *Message) bool {
	return m.IsSame(old) || sameHeader(m, old) && old.Inode == m.Inode
}

// sameHeader reports whether m and old have no Message-ID and the same header.
func sameHeader(m, old *Message) bool { return m.Digest != "" && old.Digest == m.Digest }

// sameBody compares the bodies of messages without a Message-ID. An old record has no digest of the body, but an inode.
func sameBody(m, old *Message) bool {
	if old.BodyDigest == "" || m.BodyDigest == "" {
		return old.Inode == m.Inode
	}
	return old.BodyDigest == m.BodyDigest
}

// Resume takes over recipients, age and identity from old, the earlier record of the message m, whose file was read
// again.
func Resume(m, old *Message) {
	takeOver(m, old, func(*Recipient) bool { return true })
	m.Attempts, m.Overdue = old.Attempts, old.Overdue
	if !old.Enqueued.IsZero() && old.Enqueued.Before(m.Enqueued) {
		m.Enqueued = old.Enqueued
	}
	if old.MessageID != "" {
		m.MessageID = old.MessageID
	}
}

// ChangedAfterSent reports whether every recipient had accepted the message old, and m is another version of the
// message without a new recipient.
func ChangedAfterSent(m, old *Message) bool {
	changed := !old.Modified.IsZero() && !old.Modified.Equal(m.Modified) || !old.Partial() && old.Size != m.Size
	return changed && old.Served() && m.Served()
}

// KeepAccepted takes over the accepted recipients of old.
func KeepAccepted(m, old *Message) { takeOver(m, old, (*Recipient).Accepted) }

// takeOver replaces recipients of m that may still be tried by those of old for which use reports true.
func takeOver(m, old *Message, use func(*Recipient) bool) {
	keepAdded(m, old)
	remove(m, removedFrom(old, m))
	known := make(map[string]*Recipient)
	for _, r := range old.Recipients() {
		if use(r) {
			known[r.Address] = r
		}
	}
	for _, r := range m.Recipients() {
		if k := known[r.Address]; k != nil && !r.GivenUp {
			*r = *k
		}
	}
}

// keepAdded adds to m, which was read from its file, the recipients that a person has added to old, a record of m. If
// the file names other recipients than before, the file counts.
func keepAdded(m, old *Message) {
	missing := Unknown(old, m)
	if old.Partial() || old.Size != m.Size || slices.ContainsFunc(missing, isFromFile) {
		return
	}
	for _, r := range missing {
		if r.Added {
			m.To = append(m.To, Recipient{Address: r.Address, Added: true, NextAttempt: m.NotBefore})
		}
	}
}

// isFromFile reports whether the file of the message names r.
func isFromFile(r *Recipient) bool { return !r.Added && !r.Copy }

// removedFrom returns the addresses that a person has removed from old, a record of m. m was read from its file. If the
// record is of a file of the same size, a missing address was removed while no daemon ran.
func removedFrom(old, m *Message) []string {
	removed := slices.Clone(old.Removed)
	if old.Partial() || old.Size != m.Size || slices.ContainsFunc(Unknown(old, m), isFromFile) {
		return removed
	}
	for _, r := range slices.DeleteFunc(Unknown(m, old), func(r *Recipient) bool { return r.Copy }) {
		removed = append(removed, r.Address)
	}
	return removed
}

// remove takes the recipients with these addresses out of m, and keeps the addresses in Removed.
func remove(m *Message, addresses []string) {
	for _, list := range []*[]Recipient{&m.To, &m.Cc, &m.Bcc} {
		*list = slices.DeleteFunc(*list, func(r Recipient) bool { return slices.Contains(addresses, r.Address) })
	}
	m.Removed = addresses
}

// FixTimes corrects a record with times of a wrong clock, read from a file: no message was enqueued in the future or
// long before its file was written, and no attempt was made in the future. A message older than maxAge becomes Overdue.
func FixTimes(m *Message, now time.Time, maxAge time.Duration) {
	ahead := m.Enqueued.After(now) // the clock was ahead when the message was queued
	if ahead || !m.Modified.After(now) && m.Enqueued.Before(m.Modified.Add(-maxAge)) {
		m.Enqueued = now
	}
	end := m.Since().Add(maxAge)
	for _, r := range m.Recipients() {
		switch {
		case r.Status != Waiting:
		case r.LastAttempt.After(now):
			r.NextAttempt, r.LastAttempt = retry.Later(now, m.NotBefore), now
		case r.NextAttempt.After(now) && (ahead && r.LastAttempt.IsZero() || r.NextAttempt.After(end.Add(maxAge))):
			r.NextAttempt = retry.Later(now, m.NotBefore)
		}
	}
	if now.Before(end) || m.Overdue.After(now) {
		m.Overdue = time.Time{}
	}
	if m.Overdue.IsZero() && !now.Before(end) {
		m.Overdue = now
	}
	Anchor(m, now)
}

// Anchor gives the times of a record from a file monotonic clock readings, like times measured in this process: setting
// the clock makes no message older and no wait longer. NotBefore and Expire, set by the sender, stay wall clock times.
func Anchor(m *Message, now time.Time) {
	const reach = 100 * 365 * 24 * time.Hour // excludes the zero time, and times that Sub cannot reach
	times := []*time.Time{&m.Enqueued, &m.Overdue}
	for _, r := range m.Recipients() {
		if !r.NextAttempt.Equal(m.NotBefore) {
			times = append(times, &r.NextAttempt)
		}
		times = append(times, &r.LastAttempt)
	}
	for _, t := range times {
		if d := t.Sub(now); d.Abs() < reach {
			*t = now.Add(d)
		}
	}
}

// CanEdit reports whether by, from the status file, can be an edit of old. A record of another version of the file, or
// of some recipients only, was written before old was known.
func CanEdit(by, old *Message) bool {
	match := by.Describes(old.Size, old.Modified, old.Inode)
	part := match == PartOnly && old.Partial() && by.Modified.Equal(old.Modified)
	return match == ThisVersion || match == NoVersion || part
}

// MarkDone takes over from by, a record of the same message in an edited status file, which recipients a person has
// marked as done, and reports whether there are any. By may be about an earlier version of the file. A recipient with
// an attempt that m does not know was not marked by hand: it has accepted another message.
func MarkDone(m, by *Message) (marked bool) {
	if !m.IsSame(by) {
		return false
	}
	done := make(map[string]*Recipient)
	for _, r := range by.Recipients() {
		if r.Accepted() {
			done[r.Address] = r
		}
	}
	for _, r := range m.Recipients() {
		if d := done[r.Address]; d != nil && r.Status == Waiting && !d.LastAttempt.After(r.LastAttempt) {
			r.Status, marked = Done, true
		}
	}
	return marked
}

// Forgets reports whether by, what a status file says of the message m, lacks an acceptance that m has. By may be nil.
func Forgets(by, m *Message) bool {
	accepted := make(map[string]bool)
	if by != nil && m.IsSame(by) {
		for _, r := range by.Recipients() {
			accepted[r.Address] = accepted[r.Address] || r.Accepted()
		}
	}
	return slices.ContainsFunc(m.Recipients(), func(r *Recipient) bool { return r.Accepted() && !accepted[r.Address] })
}

// An Edit is the base of an edited status file.
type Edit struct {
	Since time.Time // outcomes since then are kept, unless a person has marked the recipient as done; zero: all are
	Live  bool      // the file was edited while the daemon wrote: the edit may be older, and every acceptance is kept
}

// Edited returns the record that a person made of m by editing the status file to by. A recipient in progress stays in
// progress.
func Edited(m, by *Message, e Edit) *Message {
	c := by.Clone()
	c.Size, c.Modified, c.RawName, c.Held = m.Size, m.Modified, m.RawName, m.Held
	c.MessageID, c.Digest, c.Inode, c.BodyDigest = m.MessageID, m.Digest, m.Inode, m.BodyDigest
	c.Missing, c.ID = m.Missing, m.ID
	if c.Enqueued.IsZero() { // the age would be more than any maximum
		c.Enqueued = m.Enqueued
	}
	now := make(map[string]*Recipient)
	for _, r := range m.Recipients() {
		now[r.Address] = r
	}
	c.Removed = nil
	if !m.Partial() {
		c.Removed = editRemoved(m, by)
	}
	for _, r := range c.Recipients() {
		k := now[r.Address]
		if k == nil {
			r.Added = true
			continue
		}
		if r.Status == Done && k.Status == Waiting {
			continue
		}
		isNew := !k.LastAttempt.IsZero() && !k.LastAttempt.Before(e.Since)
		if k.Status == InProgress || e.Live && k.Accepted() || isNew {
			*r = *k
		}
		r.Told, r.Warned = r.Told || r.GivenUp && k.Told, r.Warned || k.Warned // a report may be newer than the edit
	}
	return c
}

// editRemoved returns the addresses of m that the edit by does not have, and those that were taken out before.
func editRemoved(m, by *Message) []string {
	var removed []string
	for _, address := range m.Removed {
		if !slices.ContainsFunc(by.Recipients(), func(r *Recipient) bool { return r.Address == address }) {
			removed = append(removed, address)
		}
	}
	for _, r := range Unknown(m, by) {
		removed = append(removed, r.Address)
	}
	return removed
}

// AcceptedOnly returns a record with only the accepted recipients. All other recipients start again, and the record is
// partial, so that the file is read again.
func AcceptedOnly(m *Message, now time.Time) *Message {
	c := m.Clone()
	for _, r := range c.Recipients() {
		if !r.Accepted() {
			*r = Recipient{Address: r.Address, NextAttempt: retry.Later(now, m.NotBefore)}
		}
	}
	c.Attempts, c.Overdue, c.Removed = 0, time.Time{}, nil
	c.MakePartial()
	return c
}

// Recover limits m, a message moved back from failed/, to the recipients without acceptance. It returns false if failed
// is about another message of the same file name.
func Recover(m *Message, failed *Failure) bool {
	if !IsOf(m, failed) {
		return false
	}
	if failed.MessageID != "" {
		m.MessageID = failed.MessageID
	}
	KeepAccepted(m, &failed.Message)
	return true
}

// IsOf reports whether the why-file failed is about the message m. The header of a message without a Message-ID may
// have been corrected meanwhile; the body says then whether it is the same.
func IsOf(m *Message, failed *Failure) bool {
	sameBody := m.BodyDigest != "" && m.BodyDigest == failed.BodyDigest && m.ID == failed.ID
	return sameBody || m.IsSame(&failed.Message)
}

// IsStray reports whether failed, a why-file under another name, is about the message m. Without a Message-ID, the file
// must have the time that it had: the same text may be sent again and again.
func IsStray(m *Message, failed *Failure) bool {
	if m.ID != failed.ID {
		return false
	}
	if m.Digest == "" {
		return failed.Digest == "" && failed.MessageID == m.MessageID
	}
	return failed.Digest == m.Digest && sameBody(m, &failed.Message) && failed.Modified.Equal(m.Modified)
}

// IsOlder reports whether old, a record of the message of the why-file failed, is older than failed: a process was
// killed before the status file said that the message was given up.
func IsOlder(old *Message, failed *Failure) bool {
	return slices.ContainsFunc(old.Recipients(), func(r *Recipient) bool { return waitedBefore(r, failed) })
}

// TakeGivenUp gives up recipients of old, a record of the message of failed, that failed has as given up since.
func TakeGivenUp(old *Message, failed *Failure) {
	givenUp := make(map[string]bool)
	for _, r := range failed.Recipients() {
		givenUp[r.Address] = r.GivenUp
	}
	for _, r := range old.Recipients() {
		if givenUp[r.Address] && waitedBefore(r, failed) {
			r.Status, r.GivenUp = Done, true
		}
	}
}

// waitedBefore reports whether r waits by a record that is older than failed. A message that was moved back begins
// without an attempt.
func waitedBefore(r *Recipient, failed *Failure) bool {
	return r.Status != Done && !r.LastAttempt.IsZero() && !r.LastAttempt.After(failed.Time)
}

// ForgetGivenUp removes from old, a record of the message m, every recipient that was given up before m was moved back
// from failed/. Such a recipient is new in m, and so is the age of the message. Recipients given up after the return
// stay in old, and so do recipients with an invalid address, which m gives up too. Call ForgetGivenUp before Resume.
func ForgetGivenUp(m, old *Message, failed *Failure) {
	if !IsOf(m, failed) && !old.IsSame(&failed.Message) {
		return
	}
	before := make(map[string]bool)
	for _, r := range failed.Recipients() {
		before[r.Address] = r.GivenUp
	}
	for _, r := range m.Recipients() {
		before[r.Address] = before[r.Address] && !r.GivenUp
	}
	known := old.Len()
	for _, list := range []*[]Recipient{&old.To, &old.Cc, &old.Bcc} {
		*list = slices.DeleteFunc(*list, func(r Recipient) bool {
			return r.GivenUp && before[r.Address] && !r.LastAttempt.After(failed.Time)
		})
	}
	if old.Len() < known {
		old.Attempts, old.Enqueued, old.Overdue = 0, m.Enqueued, time.Time{}
		old.MakePartial()
	}
}

// Unknown returns the recipients of m that old does not have; old may be nil.
func Unknown(m, old *Message) (added []*Recipient) {
	known := make(map[string]bool)
	if old != nil {
		for _, r := range old.Recipients() {
			known[r.Address] = true
		}
	}
	return slices.DeleteFunc(m.Recipients(), func(r *Recipient) bool { return known[r.Address] })
}
