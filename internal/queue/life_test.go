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
	is.Equal(f.told(), "unread now")
	f.advance(0)
	is.Equal(f.told(), "opening | Open")
	f.answer(Result{Version: thisVersion, Head: headOf(thisVersion)})
	is.Equal(f.told(), "ready |  | queued a, queued b")
	f.next()
	is.Equal(f.job.To, []string{"a@x", "b@x"})
	is.Equal(f.told(), "busy")
	f.finish(acceptance, acceptance)
	is.Equal(f.told(), "removing | Remove")
	is.Equal(f.act.Version, thisVersion)
	f.answer(Result{})
	is.Equal(f.told(), "gone |  | sent a, sent b") // only the removal makes the acceptances durable
	is.Equal([]int{f.q.Len(), f.q.underWay}, []int{0, 0})
}

// A file that cannot be removed is no record of its acceptances: the journal is, before they are published.
func TestAcceptancesAreRecordedIfTheFileCannotBeRemoved(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "removing")
	f.answer(Result{Trouble: System, Err: errDisk})
	is.Equal(f.told(), "recording | Record")
	is.Equal(len(f.act.Note.To), 2)
	f.answer(Result{})
	is.Equal(f.told(), "removing | Remove | sent a, sent b")
	f.answer(Result{Trouble: System, Err: errDisk})
	is.Equal(f.told(), "finishing 10s") // is in the journal already
}

// The record of a message that is about to be removed is packed late. The snapshot shows the acceptances all the same,
// and so does the record if the file cannot be removed.
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
		is.Equal(f.told(), "recording | Record")
		is.Equal(accepted(), 2)
		f.answer(Result{})
		is.Equal(f.state(), "removing") // sent to no recipient again
	}
}
