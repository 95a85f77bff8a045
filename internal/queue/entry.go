package queue

import (
	"math"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/compact"
	"github.com/unbit/spoolgore/internal/record"
)

// Version tells the versions of a file apart. The zero value is no version.
type Version struct {
	Inode    uint64
	Size     int64 // in bytes
	Modified int64 // in nanoseconds since 1970
}

// Time returns the modification time.
func (v Version) Time() time.Time { return time.Unix(0, v.Modified) }

type state uint8

const (
	unread    state = iota // the file is to be opened
	opening                // act Open is under way
	waiting                // the recipients wait for their next attempt
	ready                  // may be sent now
	busy                   // a job is under way
	recording              // act Record is under way: a recipient has accepted
	finishing              // no recipient waits, and the last act to end the message failed: the act is due again
	removing               // act Remove is under way
	failing                // act Fail is under way
	held                   // the file is in hold/
	checking               // act Stat is under way
	missing                // the file is not at its name, nor in hold/; what is known waits for it
)

// underWay reports whether a job or an act is under way in state s.
func (s state) underWay() bool {
	switch s {
	case opening, busy, recording, removing, failing, checking:
		return true
	}
	return false
}

// entry is one file of the spool. A spool may have a million files, so the record is kept in compact form, beside the
// fields that the heaps compare.
type entry struct {
	name    string         // of the file; held: in hold/; missing: the last one
	msg     record.Compact // unread: what was known of the message before, if anything
	id      Version        // of the file
	due     compact.Moment // when the state ends, for those in pending and ready; held: when hold/ was looked into
	look    compact.Moment // place in expiry
	seen    *seenFile      // time when this process saw the file; nil: not yet
	suspect *time.Time     // when the relay last failed in the middle of a transaction of this message; nil: never

	sender   *string  // of the message; nil: the message was not read yet
	user     uint32   // owner of the file, as the file system says
	priority int32    // of the message
	lane     int32    // ready: number of its lane, see schedule
	place    [3]int32 // index in pending, ready and expiry; -1: not there
	flags    flags
	hash     uint32 // of the identity of the message, for noted
	round    uint16 // number of the scan that last saw the file
	stream   uint8  // number of the last stream that took the record; zero: none that matters
	state    state
	group    group // in which the entry is counted
	later    group // while no recipient is due; uncounted: not known
	before   state // checking: the state to go back to
	looks    uint8 // unread: number of looks at a file that was not complete; each one doubles the pause
}

// from returns the sender of the message; empty: the null sender, or the message was not read yet.
func (e *entry) from() string {
	if e.sender == nil {
		return ""
	}
	return *e.sender
}

// senders are pointers to the last senders, which very many entries share. Package unique would do, but has its callers
// wait for up to 0.3 s while garbage is collected.
type senders map[string]*string

const mostSenders = 1024

// shared returns a pointer to a copy of name.
func (s senders) shared(name string) *string {
	if p := s[name]; p != nil {
		return p
	}
	if len(s) == mostSenders {
		clear(s)
	}
	name = strings.Clone(name)
	s[name] = &name
	return &name
}

// flags are boolean properties of an entry.
type flags uint32

const (
	fresh     flags = 1 << iota // not tried yet, or only in vain because of the relay
	refused                     // the last refusal was undecided: messages that were never refused go first
	soon                        // unread: the file only has to settle, or was not opened yet; a drain waits for it
	judged                      // unread: this version of the file was read and cannot be used
	returned                    // moved back from failed/, where its why-file still is
	noticing                    // act Notify is under way
	stirred                     // something happened to the file while a job or an act was under way
	appeared                    // a file of this name appeared while a job or an act was under way
	recalled                    // the record is of the last run, and was not compared with the file
	vanished                    // a file of this name went away
	renamed                     // a file was renamed to this name, and not written to since
	created                     // a file was created or linked under this name, and not written to since
	written                     // the file was written to under this name
	touched                     // something else has happened to the file
	taken                       // missing: the name had another version of the file, or another file
	sought                      // missing: a scan is under way that began after the file vanished
	listed                      // can be found by the identity of the message, see absent
	searched                    // missing: such a scan has listed the spool directory and hold/
	temporary                   // unread: a program is writing the file, by its name
	moved                       // the file has another name since: the next note in the journal says all of the message
)

func (e *entry) has(f flags) bool { return e.flags&f != 0 }

// set sets the flags f to on.
func (e *entry) set(f flags, on bool) {
	if e.flags &^= f; on {
		e.flags |= f
	}
}

// A seenFile is the first look at a file that was not read yet. Entries share seenFiles; a seenFile never changes.
type seenFile struct {
	at    time.Time // when this version of the file was first seen
	first time.Time // when any version was first seen
	err   string    // why the file cannot be read; empty: not opened yet, or not complete
}

func seenAt(now time.Time) *seenFile { return &seenFile{at: now, first: now} }

func newEntry(name string, seen *seenFile) *entry {
	return &entry{name: name, seen: seen, place: [3]int32{-1, -1, -1}}
}

// firstSeen returns the time when this version of the file was first seen; zero if this process has not seen the
// version.
func (e *entry) firstSeen() time.Time {
	if e.seen == nil {
		return time.Time{}
	}
	return e.seen.at
}

// unreadable returns the record of a file that cannot be read.
func (e *entry) unreadable(why string) *record.Message {
	return record.NewUnreadable(e.name, why, e.id.Size, e.id.Time(), e.seen.first)
}

// describes says whether m was made from the version v.
func describes(m *record.Message, v Version) record.Match {
	return m.Describes(v.Size, v.Time(), v.Inode)
}

func clampPriority(p int) int32 { return int32(max(min(p, math.MaxInt32), math.MinInt32)) }
