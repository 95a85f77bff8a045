package queue

import (
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// ActKind is the kind of an act.
type ActKind int

// The kinds of acts.
const (
	// Open opens the file and reads what it says. If Known describes the present version, or Skip is the present
	// version, the file need not be read.
	Open ActKind = iota
	// Stat looks for the file in the spool and then in hold/.
	Stat
	// Remove removes the version Version of the file, and the why-file if Returned is set.
	Remove
	// Fail moves the version Version of the file to failed/ and writes the why-file beside it.
	Fail
	// Record writes Note to the journal. The act is done when the note survives a power cut. With Lazy set the note may
	// be written within a second, or left out; the act is not answered then. With Prompt set, too, the note is written
	// at once.
	Record
	// Notify sends the sender of a message that is still being tried a report.
	Notify
	// Hold moves the file to hold/. The answer has its version there.
	Hold
)

// Act is work for the engine. The engine answers with one call of Acted with the same Act.
type Act struct {
	Kind     ActKind
	Name     string          // of the file
	Version  Version         // Remove, Fail, Notify: of the file; Open: as seen last, zero if never
	Since    time.Time       // Open: when Version was first seen; zero: never by this process
	How      How             // Open: how the file came to its name
	Known    record.Compact  // Open: record of the message
	Compare  bool            // Open: do not read the file; the result is Differs if Known does not describe it
	Skip     bool            // Open: do not read the file if Version is the present version
	Message  *record.Message // Fail: the message; Remove: the same, if Sum is set
	Sum      uint64          // Remove: sum of the content that was sent; zero: unknown
	Owed     bool            // Fail: the sender is to be told
	Held     bool            // Stat: Version was in hold/
	Returned bool            // Remove, Fail: the message was moved back from failed/, where its why-file still is
	Note     *record.Note    // Record; Remove: what the journal is to say if the file cannot be removed
	Lazy     bool            // Record
	Prompt   bool            // Record, with Lazy set
	Notice   *record.Notice  // Notify

	e      *entry
	events []Event // Record, Remove: to be published when the act is done
}

// Trouble says why an act was not done.
type Trouble int

// The troubles.
const (
	Fine       Trouble = iota // the act is done
	Gone                      // there is no such file, although the spool directory is there
	Replaced                  // the file is another version, or not a regular file
	Unsettled                 // the file may still be written to; it counts as complete as soon as it is old enough
	Writing                   // a program has the file open for writing
	Differs                   // Compare was set, and Known does not describe the present version
	Temporary                 // a program is still writing the file, by its name
	Linked                    // a writer is about to remove another name of the file
	Unusable                  // the message in this version of the file cannot be sent
	NoMessage                 // the file can never be a message: it belongs in failed/
	System                    // the disk is full or broken, too many files are open, or the spool directory is away
	OtherCause                // permissions, for instance
)

// Place is where a file is.
type Place int

// The places.
const (
	Nowhere Place = iota
	InSpool
	InHold
)

// Result is the result of an act.
type Result struct {
	Trouble Trouble
	Err     error   // reason why the act was not done; nil if Trouble is Fine
	Version Version // Open, Stat: of the file now; zero: not known
	Place   Place   // Stat
	User    uint32  // Open: user id of the owner of the file; zero if the system has none
	Held    bool    // Stat: the version that was in hold/ is still there

	Unchanged bool            // Open: Known describes Version, or Skip was set and Version is the same; Head is nil
	Head      *record.Head    // Open: record of the file's content
	Returned  bool            // Open: a why-file lies in failed/ under the name of the file, and no message beside it
	Why       *record.Failure // Open: its content, if the file was read; or of another why-file about the same message

	Kept string // Fail: path of the file in failed/; it may be set although Err is, too
}

// Acted takes the result of an act.
func (q *Queue) Acted(a Act, r Result, now time.Time) {
	e := a.e
	if a.Kind == Notify {
		notified(&q.core, a, r, now)
		return
	}
	q.underWay--
	if a.Name != e.name && (a.Kind == Open || a.Kind == Stat) {
		again(&q.core, a, now)
		return
	}
	switch a.Kind {
	case Open:
		opened(&q.core, a, r, now)
	case Stat:
		found(&q.core, e, r, now)
	case Remove, Fail:
		ended(&q.core, a, r, now)
	case Hold:
		setAside(&q.core, e, r, now)
	case Record:
		q.events = append(q.events, a.events...)
		m := e.msg.Message()
		q.watch(e, m)
		q.conclude(e, m, now)
	}
	q.settle(e, now)
}

// again repeats the act a for a file that was renamed meanwhile.
func again(c *core, a Act, now time.Time) {
	e := a.e
	e.set(stirred|appeared, false)
	if e.state = unread; a.Kind == Open { // no heap has e
		c.sched.move(e, unread, now)
		return
	}
	e.state = e.before
	c.check(e)
}

// EventsOf returns the events that were to be published when the act a is done, for an act that never will be.
func (a *Act) EventsOf() []Event { return a.events }

// act requests the act a and puts e into the state that lasts until a is done.
func (c *core) act(e *entry, s state, a Act) {
	c.sched.move(e, s, time.Time{})
	e.set(stirred|appeared, false)
	a.Name, a.e = e.name, e
	c.acts = append(c.acts, a)
	c.underWay++
}

// settle looks at the file of e again if something happened to it while a job or an act was under way.
func (c *core) settle(e *entry, now time.Time) {
	if e.state.underWay() {
		return // a new act has seen, or will see, the change
	}
	again := e.has(appeared)
	changed := e.has(stirred)
	e.set(stirred|appeared, false)
	switch current := c.entries[e.name]; {
	case current == nil && again:
		c.add(e.name, seenAt(now), now).set(c.came(e), true)
	case current == nil || !changed:
	case current.state.underWay():
		current.set(stirred, true)
	case current.state == unread:
		current.looks = 0
		c.sched.move(current, unread, now)
	default:
		c.check(current)
	}
}
