package queue

import (
	"cmp"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// A Load is the reading of a long status file while the queue is in use. A message is offered as soon as its record was
// added, if the record describes exactly the present version of the file: then no other record is about the file. Every
// other file waits for the end of the Load: its recipients may have accepted the message under another name, and the
// record that says so may come later.
//
// Commands on all messages, scans and snapshots wait for the end, too. The owner of the queue sees to that.
type Load struct {
	c      *core
	packer *record.Packer
	now    time.Time // when the Load began
	rest   time.Time // when the next message that waits is to be compared with its file
	parked []*entry  // files that wait for the end
	late   []arrival // notifications of files that no record was known for

	entries []entry // memory of the next entries: the garbage collector has fewer objects to find
}

// entriesTogether is the number of entries that share 4 KiB of memory. The memory is free when the last of the messages
// is gone.
const entriesTogether = 28

// arrival is a call of Arrived.
type arrival struct {
	name string
	how  How
	at   time.Time
}

// A Stored is a record of the status file, for Load.Add.
type Stored struct {
	Name   string
	record record.Compact
	known  *record.Message // of a record that may not be offered before the end; otherwise nil
	hash   uint64          // of the identity
	due    time.Time
	later  group // while no recipient is due
}

// BeginLoad begins a Load of q. No other may be under way.
func BeginLoad(q *Queue, now time.Time) *Load {
	q.absent.noted = cmp.Or(q.absent.noted, new(noted))
	q.load = &Load{c: &q.core, packer: record.NewPacker(now), now: now, rest: now}
	q.load.packer.Join()
	return q.load
}

// Prepare returns the record m of the file name as a Stored. With wait set the record waits for the end of the Load.
// One goroutine may call Prepare while another one uses the queue. The Stored does not need m.
func (l *Load) Prepare(name string, m *record.Message, wait bool) Stored {
	due, waits := m.NextAttempt()
	if wait || !waits || !m.Held.IsZero() || !m.Missing.IsZero() || !exact(m) {
		return Stored{Name: name, known: m.Clone()}
	}
	return Stored{
		Name: name, record: l.packer.Pack(m, l.now), hash: l.c.absent.hash(m), due: due, later: laterGroup(m),
	}
}

// exact reports whether m describes a version of its file with all that tells versions apart.
func exact(m *record.Message) bool {
	return m.Inode != 0 && m.Size > 0 && !m.Modified.IsZero() && !m.Partial()
}

// Add adds records of the status file, in its order.
func (l *Load) Add(records []Stored, now time.Time) {
	c, seen := l.c, seenAt(l.now)
	for _, s := range records {
		e := c.entries[s.Name]
		if e == nil && !c.memory[s.Name].Holds() && s.known == nil {
			l.add(s, seen, now)
			continue
		}
		m := s.known
		if m == nil {
			m = s.record.Message()
		}
		l.second(e, s.Name, m, now)
	}
}

// add adds the only record that the status file has for a name so far.
func (l *Load) add(s Stored, seen *seenFile, now time.Time) {
	due, later := now, uncounted
	if s.due.After(now) {
		due, l.rest, later = l.rest, l.rest.Add(readPace), s.later
	}
	if len(l.entries) == cap(l.entries) {
		l.entries = make([]entry, 0, entriesTogether)
	}
	l.entries = append(l.entries, *newEntry(s.Name, seen))
	e := &l.entries[len(l.entries)-1]
	e.later = later
	e.msg = s.record
	e.set(recalled|soon, true)
	l.c.absent.recalled++
	l.c.absent.noted.add(e, s.hash)
	l.c.entries[s.Name] = e
	l.c.sched.move(e, unread, due)
}

// second adds the record m of the file name, which may have a record already: of e, or in memory.
func (l *Load) second(e *entry, name string, m *record.Message, now time.Time) {
	c := l.c
	switch {
	case e == nil:
	case e.state == unread && e.has(recalled) && e.msg.Holds(): // not compared yet: the record can wait for the end
		known := e.msg
		c.drop(e)
		c.memory[name] = known
	case e.msg.Holds() && m.Held.IsZero() && m.Missing.IsZero() && identity(e.msg.Message()) == identity(m):
		l.merge(e, m, now)
		return
	default: // another message
		away := newEntry(name, seenAt(now))
		away.set(taken, true)
		c.miss(away, m, now)
		return
	}
	c.remember(name, m, now)
}

// merge adds the acceptances of m, a second record of the same message, to e, whose record describes the file.
func (l *Load) merge(e *entry, m *record.Message, now time.Time) {
	if old := e.msg.Message(); !e.state.underWay() && record.Forgets(old, m) {
		record.Learn(old, m)
		editRecord(l.c, e, old, now)
	}
}

// End ends the Load: all records of the status file and the journal are known. Files that waited are read.
func (l *Load) End(now time.Time) {
	c := l.c
	c.load = nil
	for _, e := range l.parked {
		if e.state == unread && c.entries[e.name] == e {
			c.sched.move(e, unread, now)
		}
	}
	for _, a := range l.late {
		c.arrived(a.name, a.how, a.at)
	}
	c.allVerified()
}

// parks reports whether the file of e, which is to be opened, waits for the end of the Load. If so, e is in no heap.
func (l *Load) parks(e *entry) bool {
	if l == nil || e.has(recalled) && e.msg.Holds() {
		return false
	}
	l.park(e)
	return true
}

// park has e wait for the end of the Load.
func (l *Load) park(e *entry) {
	l.c.sched.remove(e)
	e.state = unread
	l.c.sched.counts.count(e)
	l.parked = append(l.parked, e)
}
