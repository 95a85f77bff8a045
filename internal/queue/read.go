package queue

import (
	"errors"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/record"
)

const (
	// firstLook is the time until the second look at an incomplete file. The time doubles with each look.
	firstLook = 5 * time.Millisecond
	// maxLooks bounds the doubling.
	maxLooks = 20
	// quietFor is the time that a file may be incomplete without a report.
	quietFor = time.Second
)

// errWritten is the reason for a wait: the file was written to after it was opened.
var errWritten = errors.New("file was written a moment ago")

// opened takes the result of the act a, which is Open.
func opened(c *core, a Act, r Result, now time.Time) {
	e := a.e
	e.state = unread                       // no heap has e
	e.set(created, c.came(e)&created != 0) // postpone notes another time at which the file was seen
	doubtful := e.has(written) && a.How != Written || a.How == Created && !e.has(created|renamed)
	if doubtful && !r.Unchanged && r.Trouble == Fine {
		r = Result{Trouble: Unsettled, Err: errWritten, Version: r.Version}
	}
	var old *record.Message
	switch {
	case !e.msg.Holds():
	case r.Unchanged:
		old = &c.scratch
		e.msg.MessageIn(old)
	default:
		old = e.msg.Message()
	}
	switch {
	case r.Trouble == Differs && c.load != nil:
		c.load.park(e)
	case r.Trouble == Differs: // the Load has ended
		c.open(e)
	case r.Trouble != Fine:
		postpone(c, e, r, now)
	case r.Unchanged && e.has(judged) && r.Version == e.id:
		c.sched.move(e, unread, now.Add(c.rules.Freq))
	case r.Unchanged && old.Partial():
		c.open(e) // the status file was edited meanwhile
	case r.Unchanged:
		adoptRecord(c, e, old, r, now)
	default:
		recognize(c, e, old, r, now)
	}
}

// recognize looks for the record of the message that was just read. old is the record for the file's name; nil: none.
func recognize(c *core, e *entry, old *record.Message, r Result, now time.Time) {
	m := record.New(*r.Head, now)
	known := !e.has(recalled) && !e.has(vanished) // the file is the one of old, as far as this process has seen
	switch {
	case old == nil || record.IsUnreadable(old):
	case m.IsSame(old) || known && m.IsEdit(old):
		makeRecord(c, e, m, old, r, now)
		return
	default:
		e.set(vanished, !known)
		e = c.replaced(e, r.Version, now)
	}
	l := lookup{c: c, e: e, m: m, v: r.Version, now: now}
	f, same := l.entry()
	switch {
	case same:
		rename(c, f, e, r, now)
	case f != nil && (f.state.underWay() || f.state == unread && now.Sub(e.seen.first) < verifyTime):
		e.set(soon, true)
		c.sched.move(e, unread, now.Add(verifyPause))
	case f != nil && isHeld(f): // perhaps its file is no longer in hold/
		l.lookIntoHold()
		e.set(soon, true)
		c.sched.move(e, unread, now.Add(verifyPause))
	case f != nil:
		old := f.msg.Message()
		c.giveUp(f, now)
		e.set(moved, true)
		makeRecord(c, e, m, old, r, now)
	default:
		old, wait := l.recall(now)
		e.set(moved, old != nil)
		if wait {
			e.set(soon, true)
			c.sched.move(e, unread, now.Add(verifyPause))
			return
		}
		makeRecord(c, e, m, old, r, now)
	}
}

// adoptRecord continues with the record old, which describes the present version of the file. The caller may use the
// memory of old again.
func adoptRecord(c *core, e *entry, old *record.Message, r Result, now time.Time) {
	c.setVersion(e, r.Version)
	e.user = r.User
	if n, err := strconv.ParseUint(old.UID, 10, 32); err == nil {
		e.user = uint32(n) // of a program that sent the message over a socket
	}
	c.verified(e)
	c.absent.remove(e)
	e.set(returned, r.Returned)
	e.set(soon|judged|vanished|taken|arrivals, false)
	delete(c.trouble, e)
	old.Error, old.Missing, old.Inode = "", time.Time{}, r.Version.Inode
	record.Release(old, now)
	record.FixTimes(old, now, c.rules.MaxAge)
	keepPacked(c, e, old, c.adopter.Pack(old, now))
	if _, waits := old.NextAttempt(); !waits {
		old = e.msg.Message() // the act that ends the message keeps the record
	}
	c.conclude(e, old, now)
}

// makeRecord stores the record m of a file that was just read. old is the earlier record; nil: none.
func makeRecord(c *core, e *entry, m, old *record.Message, r Result, now time.Time) {
	c.setVersion(e, r.Version)
	e.user = r.User
	c.verified(e)
	c.absent.remove(e)
	e.set(soon|judged|vanished|taken|arrivals, false)
	delete(c.trouble, e)
	if old != nil && r.Why != nil {
		if record.IsOf(m, r.Why) {
			record.TakeGivenUp(old, r.Why)
		}
		record.ForgetGivenUp(m, old, r.Why)
	}
	if old != nil {
		record.Release(old, now)
		record.Resume(m, old)
		if !old.Modified.IsZero() && !old.Modified.Equal(m.Modified) {
			m.RetryAt(now) // touched or corrected: that is how a person has one message tried now
		}
		record.FixTimes(m, now, c.rules.MaxAge)
	}
	e.set(returned, r.Why != nil && record.Recover(m, r.Why) && r.Returned)
	if old != nil && record.ChangedAfterSent(m, old) {
		putAside(c, e, m, now)
		return
	}
	if err := record.RefuseMany(m, c.rules.Most, now); err != nil {
		giveUpWhole(c, e, m, err, now)
		return
	}
	announce(c, e.name, m, old, now)
	c.keep(e, m, now)
	c.conclude(e, m, now)
}

// putAside moves a file to failed/ whose message m has changed after it was sent. So the change is kept, and no
// recipient gets a second copy.
func putAside(c *core, e *entry, m *record.Message, now time.Time) {
	for _, r := range m.Recipients() {
		r.Status, r.GivenUp, r.Error, r.Told = record.Done, true, errChanged.Error(), true
	}
	m.Error = errChanged.Error()
	giveUpWhole(c, e, m, errChanged, now)
}

// giveUpWhole moves the message m, whose recipients are given up, to failed/ with one event.
func giveUpWhole(c *core, e *entry, m *record.Message, err error, now time.Time) {
	c.events = append(c.events, Event{
		Kind: Unsendable, Time: now, File: e.name, From: m.From, MessageID: m.MessageID, ID: m.ID,
		Size: e.id.Size, UID: m.UID, Err: err,
	})
	c.keep(e, m, now)
	c.finish(e, m, Act{})
}

// errChanged is the reason for a move to failed/: the file changed after every recipient had accepted the message.
var errChanged = errors.New("changed after it was sent")

// announce publishes the recipients of m that old does not have.
func announce(c *core, file string, m, old *record.Message, now time.Time) {
	for _, r := range record.Unknown(m, old) {
		ev := Event{
			Kind: Queued, Time: now, File: file, From: m.From, MessageID: m.MessageID, ID: m.ID,
			Size: m.Size, UID: m.UID, To: r.Address,
		}
		switch {
		case r.GivenUp:
			ev.Kind, ev.Since, ev.Err = Failed, m.Since(), errors.New(r.Error)
			ev.Outcome.Fault = attempt.Recipient
		case r.Status != record.Waiting:
			continue
		}
		c.events = append(c.events, ev)
	}
}

// postpone schedules the next look at a file that could not be read, and keeps the reason.
func postpone(c *core, e *entry, r Result, now time.Time) {
	if r.Trouble == Gone {
		if e.msg.Holds() {
			c.check(e) // it may be in hold/
		} else {
			c.drop(e)
		}
		return
	}
	if r.Version != (Version{}) && r.Version != e.id {
		c.setVersion(e, r.Version)
		e.seen = &seenFile{now, e.seen.first, e.seen.err}
	}
	e.set(temporary, r.Trouble == Temporary)
	if r.Trouble == NoMessage {
		reject(c, e, r.Err, now)
		return
	}
	if r.Trouble == Temporary {
		e.set(soon, false)
		c.sched.move(e, unread, now.Add(max(c.rules.Freq, c.rules.Unused-e.unchanged(now))))
		because(c, e, r.Err)
		return
	}
	e.set(judged, r.Trouble == Unusable)
	age, writing := now.Sub(e.seen.first), r.Trouble == Writing
	// A program that is being started holds open, until it runs, what its parent had open: the file of Put, too.
	settles := r.Trouble == Unsettled || writing && age < c.rules.Settle
	e.set(soon, settles)
	wait := c.rules.Freq
	if settles || writing || r.Trouble == Linked { // usual, and often over in a moment
		wait = min(firstLook<<e.looks, wait)
		e.looks = min(e.looks+1, maxLooks)
		if r.Trouble == Unsettled {
			wait = max(firstLook, c.rules.Settle-e.unchanged(now))
		} else if settles {
			wait = min(wait, c.rules.Settle/8)
		}
		if settles || age < quietFor {
			c.sched.move(e, unread, now.Add(wait))
			return
		}
	}
	c.sched.move(e, unread, now.Add(wait))
	outside := c.trouble.add(e, r)
	if because(c, e, r.Err) && !writing && !outside {
		c.events = append(c.events, Event{Kind: Unsendable, Time: now, File: e.name, Err: r.Err})
	}
}

// because keeps err as the reason why the file of e is not read, and reports whether the reason is new.
func because(c *core, e *entry, err error) (news bool) {
	if e.seen.err == err.Error() {
		return false
	}
	e.seen, c.changed = &seenFile{e.seen.at, e.seen.first, err.Error()}, true
	c.sched.counts.count(e)
	return true
}

// unchanged returns how long the file of e has not changed, as far as is known.
func (e *entry) unchanged(now time.Time) time.Duration {
	return max(now.Sub(e.seen.at), now.Sub(e.id.Time()))
}

// reject moves a file that can never be a message to failed/.
func reject(c *core, e *entry, err error, now time.Time) {
	m := e.unreadable(err.Error())
	c.events = append(c.events, Event{Kind: Unsendable, Time: now, File: e.name, Err: err})
	c.absent.remove(e)
	c.keep(e, m, now)
	c.finish(e, m, Act{})
}
