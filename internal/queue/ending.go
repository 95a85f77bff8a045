package queue

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// ended takes the result of act Remove or Fail.
func ended(c *core, a Act, r Result, now time.Time) {
	e := a.e
	if r.Trouble == Fine && r.Kept == "" {
		c.events = append(c.events, a.events...)
		c.drop(e)
		return
	}
	c.packServed(now)
	m := e.msg.Message()
	if r.Kept != "" {
		c.events = append(c.events, Event{
			Kind: Kept, Time: now, File: e.name, From: m.From, MessageID: m.MessageID, ID: m.ID,
			Size: m.Size, UID: m.UID, Err: errors.New(m.Reason()), Path: r.Kept,
		})
	}
	switch {
	case r.Trouble == Fine:
		c.events = append(c.events, a.events...)
		c.drop(e)
		return
	case len(a.events) > 0: // still there: the journal records the acceptances, then the act is repeated
		c.act(e, recording, Act{Kind: Record, Note: record.FullNote(m, e.name), events: a.events})
		return
	}
	switch r.Trouble {
	case Gone:
		c.sched.move(e, finishing, now.Add(c.rules.Freq))
		c.check(e)
	case Replaced:
		e.state = waiting // in no heap
		c.replaced(e, Version{}, now)
	default: // the recipients stay done, and the act is due again
		if _, waits := m.NextAttempt(); waits { // a person has made one wait meanwhile
			e.state = waiting // in no heap
			c.watch(e, m)
			c.conclude(e, m, now)
			return
		}
		c.sched.move(e, finishing, now.Add(c.rules.Freq))
		outside := c.trouble.add(e, r)
		if contains(m.Error, r.Err) {
			return
		}
		m.Error = r.Err.Error()
		c.keep(e, m, now)
		if !outside {
			c.events = append(c.events, Event{Kind: Unsendable, Time: now, File: e.name, From: m.From, Err: r.Err})
		}
	}
}

// contains reports whether text gives the innermost cause of err. The file names in an error may differ each time.
func contains(text string, err error) bool {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			err = e.Unwrap()[0]
		default:
			return err != nil && strings.Contains(text, err.Error())
		}
	}
}

// expire gives up the waiting recipients of e if the message is too old; otherwise a notice to its sender is due.
// TakeExpired has taken e out of expiry.
func expire(c *core, e *entry, now time.Time) {
	if e.state != waiting && e.state != ready {
		return // the next move of e puts e back into expiry
	}
	m := e.msg.Message()
	end := c.rules.expires(e, m)
	if end.After(now) {
		e.set(noticing, true)
		notice := record.NoticeOf(m, c.rules.WarnAfter, end, now)
		c.acts = append(c.acts, Act{Kind: Notify, Name: e.name, Version: e.id, Notice: &notice, e: e})
		c.watch(e, m)
		return
	}
	for _, change := range m.GiveUpWaiting(end) {
		c.events = append(c.events, eventOf(change, Event{
			Time: now, File: e.name, From: m.From, MessageID: m.MessageID, ID: m.ID,
			Size: m.Size, UID: m.UID, Since: m.Since(), Attempt: m.Attempts,
		}))
	}
	c.keep(e, m, now)
	c.conclude(e, m, now)
}

// notified takes the result of act Notify: the sender got the notice, or never will.
func notified(c *core, a Act, r Result, now time.Time) {
	e := a.e
	if c.entries[a.Name] != e || !e.has(noticing) || e.id != a.Version || r.Trouble != Fine {
		return
	}
	e.set(noticing, false)
	c.packServed(now)
	m := e.msg.Message()
	record.Noticed(m, slices.Clone(a.Notice.Recipients))
	c.keep(e, m, now)
}
