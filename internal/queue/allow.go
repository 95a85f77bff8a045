package queue

import (
	"errors"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// forbids returns the recipient of m because of which no mail may be sent for it; empty: none.
func (r *Rules) forbids(m *record.Message) string {
	if r.Forbidden == nil {
		return ""
	}
	var to []string
	for _, one := range m.Recipients() {
		if one.Status != record.Done {
			to = append(to, one.Address)
		}
	}
	return r.Forbidden(to)
}

// setAside takes the result of act Hold: the message is in hold/, with the reason.
func setAside(c *core, e *entry, r Result, now time.Time) {
	m := e.msg.Message()
	switch r.Trouble {
	case Fine:
		addr := c.rules.forbids(m)
		e.state, e.before = unread, unread // in no heap
		m.Error, m.Held = heldFor(addr), now
		c.events = append(c.events, Event{
			Kind: Withheld, Time: now, File: e.name, From: m.From, MessageID: m.MessageID, ID: m.ID,
			Size: m.Size, UID: m.UID, Err: errors.New(m.Error),
		})
		hold(c, e, m, r.Version, now)
	case Gone:
		e.state = waiting // in no heap
		c.check(e)
	default:
		outside, isNew := c.trouble.add(e, r), !contains(m.Error, r.Err)
		m.Error = r.Err.Error()
		c.keep(e, m, now)
		c.sched.move(e, finishing, now.Add(c.rules.Freq))
		if isNew && !outside {
			c.events = append(c.events, Event{Kind: Unsendable, Time: now, File: e.name, From: m.From, Err: r.Err})
		}
	}
}

// heldFor returns the reason why a message with a recipient addr is held.
func heldFor(addr string) string {
	if addr == "" { // allowed meanwhile
		return "held: a recipient was not allowed"
	}
	return "held: mail to " + addr + " is not allowed"
}
