package queue

import "github.com/unbit/spoolgore/internal/record"

// Counts are the numbers of files in the spool directory, by state as people see the state.
type Counts struct {
	New       int // not read yet, or not since the last change
	Waiting   int // due
	Sending   int // in a transaction, or about to leave the spool
	Deferred  int // tried again later
	Scheduled int // not tried before the time in the envelope
	Unusable  int // cannot be read, or cannot be removed
	Temporary int // a program is writing the file, by its name
}

// group is a field of Counts.
type group uint8

const (
	uncounted group = iota // not in the spool directory
	groupNew
	groupWaiting
	groupSending
	groupDeferred
	groupScheduled
	groupUnusable
	groupTemporary
	groups // number of groups
)

// counter counts the entries in each group.
type counter [groups]int

// CountsOf returns the numbers of files in the spool directory. The queue q keeps the numbers, so the call is cheap at
// any depth.
func CountsOf(q *Queue) Counts {
	n := &q.sched.counts
	return Counts{
		New: n[groupNew], Waiting: n[groupWaiting], Sending: n[groupSending], Deferred: n[groupDeferred],
		Scheduled: n[groupScheduled], Unusable: n[groupUnusable], Temporary: n[groupTemporary],
	}
}

// count counts e in the group of its present state.
func (n *counter) count(e *entry) { n.put(e, groupOf(e)) }

// remove counts e no more.
func (n *counter) remove(e *entry) { n.put(e, uncounted) }

func (n *counter) put(e *entry, g group) {
	n[e.group]--
	n[g]++
	e.group = g
}

// groupOf returns the group of e. A look at the file of e does not change the group.
func groupOf(e *entry) group {
	switch e.state {
	case unread:
		return unreadGroup(e)
	case opening:
		return max(e.group, groupNew)
	case checking:
		return e.group
	case waiting:
		return e.later
	case ready:
		return groupWaiting
	case busy, recording, removing, failing:
		return groupSending
	case finishing:
		return groupUnusable
	}
	return uncounted // held or missing
}

// unreadGroup returns the group of e, which is to be read.
func unreadGroup(e *entry) group {
	switch {
	case e.seen == nil:
		return uncounted // remembered only: the file may be in hold/
	case e.has(temporary):
		return groupTemporary
	case e.seen.err != "":
		return groupUnusable
	case e.has(recalled) && e.later != uncounted:
		return e.later
	case e.has(recalled):
		return groupWaiting
	}
	return groupNew
}

// laterGroup returns the group of the message m while its recipients wait for a later time.
func laterGroup(m *record.Message) group {
	if at, _ := m.NextAttempt(); m.Attempts == 0 && !m.NotBefore.IsZero() && !at.After(m.NotBefore) {
		return groupScheduled
	}
	return groupDeferred
}
