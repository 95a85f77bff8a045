package queue

import (
	"testing"

	"github.com/matryer/is"
)

// A message is read, offered and removed.
func TestLifeOfAMessage(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	f.scan(Version{})
	is.Equal(f.effects(), "unread now")
	f.advance(0)
	is.Equal(f.effects(), "opening | Open")
	f.answer(Result{Version: thisVersion, Head: headOf(thisVersion)})
	is.Equal(f.effects(), "ready |  | queued a, queued b")
	f.next()
	is.Equal(f.job.To, []string{"a@x", "b@x"})
	is.Equal(f.effects(), "busy")
	f.finish(acceptance, acceptance)
	is.Equal(f.effects(), "removing | Remove")
	is.Equal(f.act.Version, thisVersion)
	f.answer(Result{})
	is.Equal(f.effects(), "gone |  | sent a, sent b") // the removal of the file makes the acceptances durable
	is.Equal([]int{f.q.Len(), f.q.underWay}, []int{0, 0})
}

// If the file cannot be removed, the acceptances are written to the journal before their events.
func TestAcceptancesAreRecordedIfTheFileCannotBeRemoved(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "removing")
	f.answer(Result{Trouble: System, Err: errDisk})
	is.Equal(f.effects(), "recording | Record")
	is.Equal(len(f.act.Note.To), 2)
	f.answer(Result{})
	is.Equal(f.effects(), "removing | Remove | sent a, sent b")
	f.answer(Result{Trouble: System, Err: errDisk})
	is.Equal(f.effects(), "finishing 10s") // the acceptances are in the journal already
}

// The record of a message whose file is being removed is packed later. A snapshot has the acceptances anyway, and so
// has the record if the file cannot be removed.
func TestAcceptancesShowWhileTheFileIsRemoved(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	for _, look := range []bool{false, true} {
		f := in(t, "removing")
		accepted := func() (n int) {
			for known := range f.q.Snapshot(f.now) {
				for _, r := range known.Record.Shown().Recipients() {
					if r.Accepted() {
						n++
					}
				}
			}
			return n
		}
		if look {
			is.Equal(accepted(), 2)
		}
		f.answer(Result{Trouble: System, Err: errDisk})
		is.Equal(f.effects(), "recording | Record")
		is.Equal(accepted(), 2)
		f.answer(Result{})
		is.Equal(f.state(), "removing") // the message is offered to no recipient again
	}
}
