package queue

import (
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/chunks"
	"github.com/unbit/spoolgore/internal/record"
)

// readPace is the time between two looks, after a start, at files whose messages are not due. It leaves room for those
// that are, and for new files.
const readPace = 50 * time.Microsecond

// How is the way in which a file got its name.
type How uint8

// The ways in which a file gets its name.
const (
	Noticed How = iota // not known
	Renamed            // renamed, and not written to since
	Created            // created or linked, and not written to since
	Written            // written to under its name
)

// arrivals are the flags for How.
const arrivals = renamed | created | written | touched

// arrive notes how the file of e got its name, or that the file was changed.
func (e *entry) arrive(how How, now time.Time) {
	switch how {
	case Renamed:
		e.set(created|written, false)
		e.set(renamed, true)
	case Created:
		e.set(renamed|written, false)
		e.set(created, true)
	case Written:
		e.set(renamed|created, false)
		e.set(written, true)
		if e.state == unread && e.seen != nil {
			e.seen = &seenFile{now, e.seen.first, e.seen.err}
		}
	default:
		e.set(touched, true)
	}
}

// came returns the flags that say how the file of e got its name. A file that was created before a call of arrive may
// have been missed may have been written to since.
func (f *files) came(e *entry) flags {
	if f.missed.IsZero() || e.firstSeen().After(f.missed) {
		return e.flags & arrivals
	}
	return e.flags & arrivals &^ created
}

// how returns how a file got its name.
func (f flags) how() How {
	switch {
	case f&written != 0:
		return Written
	case f&renamed != 0:
		return Renamed
	case f&created != 0:
		return Created
	}
	return Noticed
}

// Arrived tells that a file got its name, or was changed.
func (q *Queue) Arrived(name string, how How, now time.Time) { q.arrived(name, how, now) }

func (c *core) arrived(name string, how How, now time.Time) {
	e := c.entries[name]
	switch {
	case e == nil && c.load != nil:
		c.load.late = append(c.load.late, arrival{name, how, now})
		return
	case e == nil:
		e = c.add(name, seenAt(now), now)
		e.arrive(how, now)
		c.sched.arrived(e)
		return
	}
	e.arrive(how, now)
	switch {
	case e.state.underWay():
		e.set(stirred|appeared, true)
	case e.state == unread:
		e.looks = 0
		c.sched.move(e, unread, now)
	default:
		c.check(e)
	}
}

// MissedNotices tells that calls of Arrived may be missing: a file that was created before may have been written to.
func (q *Queue) MissedNotices(now time.Time) { q.missed = now }

// Notice tells that the named files may have come or changed, and that others may be gone.
func (q *Queue) Notice(came, gone []string, now time.Time) {
	for _, name := range came {
		q.Arrived(name, Noticed, now)
	}
	for _, name := range gone {
		e := q.entries[name]
		if e != nil {
			e.set(vanished, true)
		}
		switch {
		case e == nil || e.state == unread:
		case e.state.underWay():
			q.suspect(e)
		default:
			q.check(e)
		}
	}
}

// Scan is one listing of the spool directory. If the listing fails, do not call End: then no new file is added,
// and no file that was not listed is looked for. A Scan must not be used after the next BeginScan.
type Scan struct {
	c      *core
	round  uint16              // number of the scan
	found  chunks.List[string] // listed names that the queue did not know
	fresh  []string            // the same after Sort
	sorted bool                // Sort was called
	rest   time.Time           // when the next listed message that is known and waits is to be read
	hold   bool                // hold/ was listed

	absent map[string]*entry // absent entries by name; nil: not needed yet
	now    time.Time         // when the scan began
}

// BeginScan returns a Scan for the names in the spool directory, which are about to be listed.
func (q *Queue) BeginScan(now time.Time) *Scan {
	q.round++
	for e := range q.absent.all {
		e.set(sought, e.state == missing)
	}
	return &Scan{c: &q.core, round: q.round, rest: now, now: now}
}

// Listed takes a part of the listing. A file with a version that is not zero is compared with its record.
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
			e.round, e.later = s.round, laterGroup(known.Message())
			c.sched.counts.count(e)
			e.set(soon, s.rest.After(now))
			s.rest = s.rest.Add(readPace)
		default:
			s.found.Push(f.Name)
		}
	}
}

// Held takes a part of the listing of hold/, with versions. Call EndHold after the last part.
func (s *Scan) Held(files []File, now time.Time) {
	c := s.c
	for _, f := range files {
		e := c.index.find(f.Version, func(e *entry) bool { return e.state == missing || e.state == held })
		if e == nil {
			e = s.heldAs(f.Name)
		}
		if e == nil {
			continue
		}
		e.round = s.round
		if e.state == missing || c.entries[e.name] != e {
			c.leave(e)
			e.name = f.Name
			e.set(taken, false)
			e.set(moved, true)
			hold(c, e, e.msg.Message(), f.Version, now)
		}
		if e.state == held && e.id == f.Version {
			e.due = c.sched.moment(s.now)
		}
	}
}

// heldAs returns the absent entry that had the name in hold/ before, or in the spool directory; nil: there is none. An
// entry whose name another version took comes last: its file may have been edited, and held before it was read.
func (s *Scan) heldAs(name string) *entry {
	if s.absent == nil {
		s.absent = make(map[string]*entry)
		for _, e := range s.c.absent.inOrder() {
			if f := s.absent[e.name]; f == nil || f.has(taken) || !e.has(taken) {
				s.absent[e.name] = e
			}
		}
	}
	e := s.absent[name]
	if _, ok := s.c.absent.all[e]; !ok {
		return nil // found meanwhile
	}
	return e
}

// EndHold tells that the listing of hold/ is complete.
func (s *Scan) EndHold() {
	s.hold = true
	if !s.c.stranger.After(s.now) {
		s.c.stranger = time.Time{}
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

// compareVersion compares the version v, in the spool, with the version of e.
func compareVersion(c *core, e *entry, v Version, now time.Time) {
	switch {
	case e.state == held:
		c.check(e) // back from hold/
	case v == (Version{}) || v == e.id:
	case e.state.underWay():
		e.set(stirred, true)
	case e.state == waiting || e.state == ready:
		c.replaced(e, v, now)
	}
}

// Sort prepares End. Any goroutine may call Sort when the listing is complete, while no other method is running.
func (s *Scan) Sort() {
	s.fresh, s.found, s.sorted = slices.Sorted(s.found.All()), chunks.List[string]{}, true
}

// End tells that the listing is complete. A message whose file is not in the listing is looked for by its name. New
// files are read in the order of their names, which may be the order of their age. The work is done in pieces.
func (s *Scan) End(now time.Time) *Work {
	if !s.sorted {
		s.Sort()
	}
	c, seen, fresh := s.c, seenAt(s.now), s.fresh
	s.fresh = nil
	do := func(x subject, now time.Time) {
		switch e := c.here(x); {
		case x.e == nil && e == nil:
			c.add(x.name, seen, now).round = s.round
		case x.e == nil, e == nil, e.round == s.round:
		case e.state.underWay():
			c.suspect(e)
		default:
			c.check(e)
		}
	}
	end := func(now time.Time) *Work {
		s.endAbsent(now)
		return s.lookForRest()
	}
	names := func(yield func(subject) bool) {
		for _, name := range fresh {
			if !yield(subject{name: name}) {
				return
			}
		}
	}
	return newLongWork(c, len(fresh)+c.Known(), do, end, names, present(c))
}

// lookForRest looks for the messages whose files were not seen: they are in hold/, or gone.
func (s *Scan) lookForRest() *Work {
	c := s.c
	do := func(x subject, now time.Time) {
		if _, ok := c.memory[x.name]; ok {
			c.check(c.add(x.name, nil, now))
		}
	}
	end := func(time.Time) *Work {
		if len(c.memory) == 0 {
			c.memory = make(map[string]record.Compact) // a map keeps the room of a million entries
		}
		return nil
	}
	return newWork(c, do, end, unseen(c))
}

// endAbsent ends the search for missing files, if hold/ was listed, too.
func (s *Scan) endAbsent(now time.Time) {
	if !s.hold {
		return
	}
	var gone []*entry
	for e := range s.c.absent.all {
		switch {
		case e.state == missing && e.has(sought):
			e.set(searched, true)
		case e.state == held && e.round != s.round:
			gone = append(gone, e)
		}
	}
	for _, e := range sorted(gone) {
		s.c.miss(e, e.msg.Message(), now)
	}
}
