package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
)

func TestFileThatComesDuringRemoveIsRead(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"removing", "failing"} {
		is := is.New(t)
		f := in(t, state)
		f.q.Notice([]string{"m"}, nil, f.now)
		f.answer(Result{})
		is.Equal(strings.TrimSuffix(f.effects(), " |  | sent a, sent b"), "unread now")
		is.Equal(f.q.entries["m"].msg.Holds(), false) // no record of the file
	}
}

func TestUnreadableFileIsReadAfterARestart(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	f.q.Remember("m", record.NewUnreadable("m", "permission denied", thisVersion.Size, thisVersion.Time(), f.now), f.now)
	f.scan(Version{})
	f.advance(0)
	is.Equal(f.effects(), "opening | Open")
	is.True(!f.act.Known.Holds()) // the engine reads the file
	f.answer(Result{Version: thisVersion, Head: headOf(thisVersion)})
	is.Equal(f.effects(), "ready |  | queued a, queued b")
}

func TestRecipientMadeToWaitDuringAnActIsTried(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"removing", "failing"} {
		is := is.New(t)
		f := in(t, state)
		m := recordOf(f.q, f.q.entries["m"])
		m.To[1] = record.Recipient{Address: "b@x"}
		reloadAll(f.q, map[string]*record.Message{"m": m}, record.Edit{Since: f.now.Add(time.Second)}, f.now)
		is.Equal(f.effects(), state) // until the act has ended
		f.answer(Result{Trouble: System, Err: errDisk})
		if state == "removing" {
			is.Equal(f.effects(), "recording | Record")
			f.answer(Result{})
		}
		is.Equal(strings.TrimSuffix(f.effects(), " |  | sent a, sent b"), "ready")
		f.next()
		is.Equal(f.job.To, []string{"b@x"})
	}
}

func TestEditDuringStatCounts(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]struct{ done, removed string }{
		"checking waiting":   {"waiting 1m", "unread now"},
		"checking ready":     {"ready", "unread now"},
		"checking finishing": {"finishing 10s", "unread now"},
		"checking held":      {"held", "held"},
	} {
		is := is.New(t)
		f := in(t, state)
		here := Result{Place: InSpool, Version: thisVersion}
		if state == "checking held" {
			here.Place = InHold
		}
		reloadAll(f.q, f.edited(), record.Edit{Since: f.now.Add(time.Second)}, f.now)
		f.answer(here)
		is.Equal(f.effects(), want.done)

		f = in(t, state)
		all := f.edited()
		all["m"].To[0].Status = record.Done
		reloadAll(f.q, all, record.Edit{Since: f.now.Add(time.Second)}, f.now)
		f.answer(here)
		if all := f.effects(); state != "checking held" && state != "checking finishing" {
			is.Equal(all, "removing | Remove") // both recipients are done
		}

		f = in(t, state)
		reloadAll(f.q, nil, record.Edit{Since: f.now.Add(time.Second)}, f.now)
		f.q.TakeActs() // the acceptances are to be recorded
		f.answer(here)
		is.Equal(f.effects(), want.removed) // the file is read again
		is.True(f.q.entries["m"].msg.Message().Partial())
	}
	is := is.New(t)
	f := in(t, "checking finishing")
	m := f.q.entries["m"].msg.Message()
	m.To[1] = record.Recipient{Address: "b@x"}
	reloadAll(f.q, map[string]*record.Message{"m": m}, record.Edit{Since: f.now.Add(time.Second)}, f.now)
	f.answer(Result{Place: InSpool, Version: thisVersion})
	is.Equal(f.effects(), "ready") // b@x was made to wait again
}

func TestUnknownPlaceIsNotLookedUpInALoop(t *testing.T) {
	t.Parallel()
	unknown := Result{Trouble: OtherCause, Err: errPassword}
	is := is.New(t)
	f := in(t, "busy")
	f.q.Finished(f.job, Finish{Trouble: Gone, Err: errLater}, f.now)
	is.Equal(f.effects(), "checking waiting | Stat")
	f.answer(unknown)
	is.Equal(f.effects(), "waiting 10s")

	f = in(t, "opening again")
	f.answer(Result{Trouble: Gone, Err: errLater})
	is.Equal(f.effects(), "checking unread | Stat")
	f.answer(unknown)
	is.Equal(f.effects(), "unread 10s")

	f = newFixture(t)
	f.q.Remember("m", record.New(*headOf(thisVersion), f.now), f.now)
	f.scan()
	is.Equal(f.effects(), "checking unread | Stat") // there is only a record of the status file
	f.answer(Result{Trouble: System, Err: errDisk})
	is.Equal(f.effects(), "unread 10s")
	f.advance(10 * time.Second)
	is.Equal(f.effects(), "opening | Open")
	f.answer(Result{Trouble: OtherCause, Err: errPassword, Version: thisVersion})
	is.Equal(f.effects(), "unread 10s |  | unusable")
}

func TestRecordThatBecomesPartialDuringOpen(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "opening again")
	reloadAll(f.q, nil, record.Edit{Since: f.now.Add(time.Second)}, f.now)
	f.answer(Result{Version: thisVersion, Unchanged: true})
	is.Equal(f.effects(), "opening | Open")
	is.True(f.act.Known.Message().Partial()) // the engine reads the file
	f.answer(Result{Version: thisVersion, Head: headOf(thisVersion)})
	is.Equal(f.effects(), "ready")
}

func TestTroubleEnds(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "opening again")
	f.answer(Result{Trouble: System, Err: errDisk})
	is.Equal(f.q.Trouble(), errDisk)
	f.advance(10 * time.Second)
	f.take()
	f.answer(Result{Version: thisVersion, Unchanged: true})
	is.NoErr(f.q.Trouble())

	f = in(t, "finishing")
	is.Equal(f.q.Trouble(), errDisk)
	f.q.Notice(nil, []string{"m"}, f.now)
	f.take()
	f.answer(Result{Place: InHold, Version: thisVersion})
	is.Equal(f.effects(), "held")
	is.NoErr(f.q.Trouble())
}

func TestTimeInHoldIsNoAgeAfterAnEdit(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "held")
	f.advance(2 * maxAge)
	f.q.Notice([]string{"m"}, nil, f.now)
	f.take()
	f.answer(Result{Place: InSpool, Version: otherVersion})
	is.Equal(f.effects(), "unread now")
	f.advance(0)
	f.take()
	f.answer(Result{Version: otherVersion, Head: headOf(otherVersion)})
	is.Equal(f.effects(), "ready")
	f.advance(maxAge - time.Minute)
	is.Equal(f.effects(), "ready | Notify")
	is.Equal(f.q.entries["m"].msg.Message().Enqueued.Sub(f.start), 2*maxAge)
}

func TestFlushLeavesAHeldMessageAlone(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"held", "checking held"} {
		is := is.New(t)
		f := in(t, state)
		before, _ := f.q.entries["m"].msg.Message().NextAttempt()
		f.q.Flush(f.now).All(f.now)
		after, _ := f.q.entries["m"].msg.Message().NextAttempt()
		is.True(before.Equal(after))
	}
}

func TestBudgetLosesNoExpiry(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "waiting")
	f.now = f.now.Add(maxAge)
	is.True(f.q.Advance(f.now, Room{Reads: 1000, Free: 10}, 0)) // more is to be done
	is.Equal(f.effects(), "waiting now")
	f.advance(0)
	is.Equal(f.effects(), "failing | Fail | failed a, failed b")
}

func TestHeldMessageIsNotInExpiry(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "checking held")
	reload(f, true, true)
	f.answer(Result{Trouble: System, Err: errDisk})
	is.Equal(f.effects(), "held") // effects checks the heaps
}

// A file that cannot be sent takes the name of a message, and then the message takes its name again.
func TestMessageThatComesBackInPlaceOfAnUnusableFile(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "opening again")
	f.answer(Result{Trouble: Unusable, Err: errLater, Version: otherVersion})
	is.Equal(f.effects(), "unread 10s |  | unusable")
	f.advance(10 * time.Second)
	f.take()
	is.True(f.act.Skip)
	f.answer(Result{Version: otherVersion, Unchanged: true})
	is.Equal(f.effects(), "unread 10s") // the file has not changed
	f.advance(10 * time.Second)
	f.take()
	f.answer(Result{Version: thisVersion, Unchanged: true})
	is.Equal(f.effects(), "waiting 59m40s")
}
