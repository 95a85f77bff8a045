package queue

import (
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/record"
)

// Job is one message with the recipients to offer in one transaction.
type Job struct {
	Name      string
	Version   Version // of the file
	From      string
	To        []string
	Copies    []int  // indexes in To of who gets a copy that the operator asked for
	MessageID string // for a message that has none of its own
	Attempt   int    // number of the transaction of this message, from 1
	Began     time.Time
	Enqueued  time.Time
	Large     bool      // at least LargeSize
	Route     int       // of the sender
	Last      time.Time // previous attempt for a recipient; zero: none
	Suspect   time.Time // when the relay last failed in the middle of a transaction of this message; zero: never

	e *entry
}

// Slots is the free capacity of a route.
type Slots struct {
	Any       int // further jobs
	Large     int // further jobs with large messages
	LargeBusy int // number of large messages in a transaction
}

// Next returns the next message for a route. Only Next and its helpers decide which message is sent. ok is false if no
// message can be sent with these slots: then a job has to end first, or Wake returns the time of the next ready
// message.
func (q *Queue) Next(route int, s Slots, now time.Time) (j Job, ok bool) {
	for s.Any > 0 && !ok {
		lanes := q.sched.ready.route(route)
		lane := lanes.pick(s)
		if lane == nil {
			return j, false
		}
		j, ok = startJob(&q.core, lanes.next(lane), route, now)
	}
	return j, ok
}

// Upcoming returns the number of recipients of the message that Next would return; zero: no message can be sent.
func Upcoming(q *Queue, route int, s Slots, now time.Time) int {
	lane := q.sched.ready.route(route).pick(s)
	if lane == nil || s.Any <= 0 {
		return 0
	}
	m := &q.scratch
	lane.Peek().msg.MessageIn(m)
	return max(1, len(m.Start(now, q.rules.onRoute(m, int32(route)))))
}

// startJob makes the job of e, which was removed from its lane. ok is false if no recipient is due after all, for
// instance because the clock was set back, or if a recipient is forbidden since.
func startJob(c *core, e *entry, route int, now time.Time) (j Job, ok bool) {
	m := &c.scratch
	e.msg.MessageIn(m)
	e.state = waiting // in no lane and no heap
	if c.rules.forbids(m) != "" {
		c.conclude(e, e.msg.Message(), now)
		return j, false
	}
	to := m.Start(now, c.rules.onRoute(m, int32(route)))
	if len(to) == 0 {
		c.conclude(e, e.msg.Message(), now)
		return j, false
	}
	e.state = busy
	c.sched.counts.count(e)
	e.set(stirred|appeared, false)
	c.keep(e, m, now)
	j = Job{
		Name: e.name, Version: e.id, From: m.From, To: to, MessageID: m.MessageID, Attempt: m.Attempts + 1, Began: now,
		Enqueued: m.Enqueued, Large: e.id.Size >= LargeSize, Route: route, e: e,
	}
	for _, r := range m.Recipients() {
		if r.Status == record.InProgress && r.LastAttempt.After(j.Last) {
			j.Last = r.LastAttempt
		}
		if !r.Copy {
			continue // before the search: a message may have many recipients
		}
		if at := slices.Index(to, r.Address); at >= 0 {
			j.Copies = append(j.Copies, at)
		}
	}
	if e.suspect != nil {
		j.Suspect = *e.suspect
	}
	return j, true
}

// Finish is the result of a job.
type Finish struct {
	Outcomes []attempt.Outcome // for each recipient of the job; none if Trouble is not Fine
	Stumbled bool              // the relay failed in the middle of the transaction
	Sum      uint64            // sum of the content that was sent; zero: unknown
	Trouble  Trouble           // why the file could not be offered
	Err      error             // likewise
}

// Finished takes the result of a job.
func (q *Queue) Finished(j Job, f Finish, now time.Time) {
	e := j.e
	m := e.msg.Message()
	e.state = waiting // in no lane and no heap
	delete(q.trouble, e)
	if f.Trouble != Fine {
		m.Stop()
		fileNotOffered(&q.core, e, m, f, now)
	} else {
		takeOutcomes(&q.core, e, m, j, f, now)
	}
	q.settle(e, now)
}

// takeOutcomes takes the outcomes of a transaction.
func takeOutcomes(c *core, e *entry, m *record.Message, j Job, f Finish, now time.Time) {
	m.Error = ""
	e.suspect = nil
	if f.Stumbled {
		e.suspect = &now
	}
	e.set(refused, slices.ContainsFunc(f.Outcomes, func(o attempt.Outcome) bool { return o.Undecided }))
	since := m.Since()
	changes := m.Apply(j.To, f.Outcomes, c.rules.Retry, now)
	events := make([]Event, 0, len(changes))
	for _, change := range changes {
		events = append(events, eventOf(change, Event{
			Time: now, File: e.name, From: m.From, MessageID: m.MessageID, ID: m.ID,
			Size: m.Size, UID: m.UID, Since: since, Attempt: j.Attempt,
		}))
	}
	if m.Served() { // the removal of the file is the record
		c.served[e], c.changed = m, true
		c.finish(e, m, Act{events: events, Message: m, Sum: f.Sum})
		return
	}
	c.keep(e, m, now)
	note := record.NoteOf(m, e.name, j.To, f.Outcomes)
	if e.has(moved) && len(note.To) > 0 { // the files of the spool may know the message by another name only
		note = record.FullNote(m, e.name)
	}
	switch {
	case note.HasAccepted():
		e.set(moved, false)
		c.act(e, recording, Act{Kind: Record, Note: note, events: events})
	default:
		c.events = append(c.events, events...)
		c.conclude(e, m, now)
		if len(note.To) > 0 && e.state != failing { // failed/ and its journal line say it otherwise
			c.acts = append(c.acts, Act{Kind: Record, Name: e.name, Note: note, Lazy: true})
		}
	}
}

// eventOf adds the result for a recipient to ev.
func eventOf(c record.Change, ev Event) Event {
	ev.To, ev.Err, ev.Next, ev.Outcome = c.Address, c.Err, c.Next, c.Outcome
	switch c.Decision {
	case record.Accepted:
		ev.Kind = Sent
	case record.Deferred:
		ev.Kind = Deferred
	default:
		ev.Kind = Failed
	}
	return ev
}

// fileNotOffered handles a file that could not be offered.
func fileNotOffered(c *core, e *entry, m *record.Message, f Finish, now time.Time) {
	r := Result{Trouble: f.Trouble, Err: f.Err}
	switch f.Trouble {
	case Gone:
		c.keep(e, m, now)
		c.sched.move(e, waiting, now)
		c.check(e)
	case Replaced:
		c.keep(e, m, now)
		c.replaced(e, Version{}, now)
	default: // the disk, or permissions: not the fault of the message
		m.Postpone(now.Add(c.rules.Freq))
		isNew := m.Error != f.Err.Error()
		m.Error = f.Err.Error()
		c.keep(e, m, now)
		c.conclude(e, m, now)
		if !c.trouble.add(e, r) && isNew {
			c.events = append(c.events, Event{Kind: Unsendable, Time: now, File: e.name, From: m.From, Err: f.Err})
		}
	}
}
