package queue

import (
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// readPace is the time between two looks, after a start, at files whose messages are not due. It leaves room for those
// that are, and for new files.
const readPace = 50 * time.Microsecond

// Notice says that files of these names may have come or changed, and that others are said to be gone.
func (q *Queue) Notice(came, gone []string, now time.Time) {
	for _, name := range came {
		switch e := q.entries[name]; {
		case e == nil:
			q.add(name, seenAt(now), now)
		case e.state.underWay():
			e.set(stirred|appeared, true)
		case e.state == unread:
			e.looks = 0
			q.sched.move(e, unread, now)
		default:
			q.check(e)
		}
	}
	for _, name := range gone {
		switch e := q.entries[name]; {
		case e == nil || e.state == unread:
		case e.state.underWay():
			e.set(stirred, true)
		default:
			q.check(e)
		}
	}
}

// Scan is one listing of the spool directory. If the listing fails, do not call End: then no new file is added,
// and no file that was not listed is looked for. A Scan must not be used after the next BeginScan.
type Scan struct {
	c     *core
	round uint16    // number of the scan
	fresh []string  // listed names that the queue did not know
	rest  time.Time // when the next listed message that is known and waits is to be read
	now   time.Time // when the scan began
}

// BeginScan returns a Scan for the names in the spool directory, which are about to be listed.
func (q *Queue) BeginScan(now time.Time) *Scan {
	q.round++
	return &Scan{c: &q.core, round: q.round, rest: now, now: now}
}

// Listed takes a part of the listing. A file whose version is not zero is compared with what is known of it.
func (s *Scan) Listed(files []File, now time.Time) {
	c, seen := s.c, seenAt(s.now)
	for _, f := range files {
		e, known := c.entries[f.Name], c.memory[f.Name]
		switch {
		case e != nil:
			e.round = s.round
			compareVersion(c, e, f.Version, now)
		case rests(known, now):
			e := c.add(f.Name, seen, s.rest)
			e.round = s.round
			e.set(soon, s.rest.After(now))
			s.rest = s.rest.Add(readPace)
		default:
			s.fresh = append(s.fresh, f.Name)
		}
	}
}

// File is a file in a listing.
type File struct {
	Name    string
	Version Version // zero: not looked at
}

// rests reports whether the message known waits for a time after now.
func rests(known record.Compact, now time.Time) bool {
	if !known.Holds() {
		return false
	}
	at, waits := known.Message().NextAttempt()
	return waits && at.After(now)
}

// compareVersion compares the version v, in the spool, with what is known of e.
func compareVersion(c *core, e *entry, v Version, now time.Time) {
	switch {
	case e.state == held:
		c.check(e) // back from hold/
	case v == (Version{}) || v == e.id:
	case e.state.underWay():
		e.set(stirred, true)
	case e.state == waiting || e.state == ready:
		c.reread(e, now)
	}
}

// End says that the listing is complete. A message whose file was not in it is looked for by its name. New files are
// read in the order of their names, which may be the order of their age.
func (s *Scan) End(now time.Time) {
	slices.Sort(s.fresh)
	c, seen := s.c, seenAt(s.now)
	for _, name := range s.fresh {
		if c.entries[name] == nil {
			c.add(name, seen, now).round = s.round
		}
	}
	s.fresh = nil
	for _, e := range c.entries {
		switch {
		case e.round == s.round:
		case e.state.underWay():
			e.set(stirred, true)
		default:
			c.check(e)
		}
	}
	for name := range c.memory { // in hold/, or gone
		c.check(c.add(name, nil, now))
	}
	if len(c.memory) == 0 {
		c.memory = make(map[string]record.Compact) // a map keeps the room of a million entries
	}
}
