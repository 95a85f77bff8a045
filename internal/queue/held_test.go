package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
)

// A message in hold/ is corrected, and moved back under another name. No notification tells of changes in hold/. A copy is
// another message.
func TestHeldMessageIsCorrectedAndRenamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		other bool // another file has the name of the message in the spool
		copy  bool
		a, b  int // acceptances, of b@x also of the other file
	}{
		"moved":                              {false, false, 1, 1},
		"copied":                             {false, true, 2, 1},
		"moved, and its name is used again":  {true, false, 1, 2},
		"copied, and its name is used again": {true, true, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent(t)
			d.move(d.spool, d.hold, "m", "m")
			if tt.other {
				d.rest(t)
				d.spool["m"] = file("<2@x>", "other", 9)
				d.tell("m")
			}
			d.rest(t)
			d.finish(t, "other", false)
			d.spool["n"] = file("<1@x>", "BODY", 2)
			if !tt.copy {
				delete(d.hold, "m")
			}
			d.tell("n")
			for range 5 {
				d.rest(t)
				d.now = d.now.Add(3 * time.Second)
				if tt.other {
					d.scan()
				}
			}
			for range 3 {
				d.pass(t, time.Hour, "body")
			}
			d.is.Equal(d.got["body a@x"], tt.a)
			d.is.Equal(d.got["body b@x"], tt.b)
		})
	}
}

// Very many held messages have one Message-ID, and so has a new message.
func TestManyHeldMessagesWithOneMessageID(t *testing.T) {
	t.Parallel()
	d := newMemSpool(t)
	for n := range 40 {
		name := fmt.Sprint("m", n)
		d.hold[name] = file("<1@x>", "body", uint64(1+n))
		m := record.New(record.Head{
			Name: name, Size: d.hold[name].version.Size, Modified: d.hold[name].version.Time(), Inode: uint64(1 + n), MessageID: "<1@x>",
			Addresses: headOf(thisVersion).Addresses,
		}, d.now)
		m.To[0].Status, m.Held = record.Done, d.now
		d.q.Remember(name, m, d.now)
	}
	d.scan()
	d.rest(t)
	d.spool["n"] = file("<1@x>", "body", 99)
	d.tell("n")
	d.rest(t)
	d.is.Equal(len(d.jobs), 1)
	d.is.Equal(d.jobs[0].To, []string{"a@x", "b@x"}) // the acceptances of another message do not count
}

// A file could not be read, and is moved to hold/ while no daemon runs. When the file is released, it is read again.
func TestUnreadableFileIsReleased(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	is := is.New(t)
	unreadable := record.NewUnreadable("m", "permission denied", thisVersion.Size, thisVersion.Time(), f.now)
	f.q.Remember("m", unreadable, f.now)
	f.scan()
	is.Equal(f.take(), "Stat")
	f.answer(Result{Place: InHold, Version: thisVersion})
	is.Equal(f.effects(), "held")
	f.q.Notice([]string{"m"}, nil, f.now)
	is.Equal(f.take(), "Stat")
	f.answer(Result{Place: InSpool, Version: thisVersion})
	f.opens(0)
	f.answer(Result{Version: thisVersion, Head: headOf(thisVersion)})
	is.Equal(f.effects(), "ready |  | queued a, queued b")
}

// A message for a forbidden recipient cannot be held, as hold/ has a file of its name: one event says so.
func TestMessageThatCannotBeHeldIsReported(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	is := is.New(t)
	f.q.rules.Forbidden = func([]string) string { return "a@x" }
	f.q.Notice([]string{"m"}, nil, f.now)
	f.opens(0)
	f.answer(Result{Version: thisVersion, Head: headOf(thisVersion)})
	is.Equal(f.take(), "Hold")
	f.events()
	f.answer(Result{Trouble: OtherCause, Err: errPassword})
	is.Equal(f.effects(), "finishing 10s |  | unusable")
	f.advance(10 * time.Second)
	is.Equal(f.take(), "Hold")
	f.answer(Result{Trouble: OtherCause, Err: errPassword})
	is.Equal(f.effects(), "finishing 10s")
}
