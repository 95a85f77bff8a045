package queue

import (
	"slices"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/record"
)

// known returns a record of the last run: a@x has accepted the message, and b@x waits.
func known(head *record.Head, now time.Time) *record.Message {
	m := record.New(*head, now)
	m.Start(now, nil)
	m.Apply([]string{"a@x", "b@x"}, []attempt.Outcome{acceptance, deferral}, testRules().Retry, now)
	return m
}

// A message of the last run was replaced by another message, which goes to hold/ before it is read, and is released.
// The file is read then, and not sent to the recipients of the first message.
func TestUnreadFileThatReplacedAnotherIsReadAfterHold(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	f.q.Remember("m", known(headOf(thisVersion), f.now), f.now)
	f.scan(otherVersion)
	f.advance(time.Hour)
	is.Equal(f.effects(), "opening | Open")
	f.answer(Result{Trouble: Unsettled, Err: errLater, Version: otherVersion})
	f.effects()
	f.advance(time.Hour)
	f.effects()
	f.answer(Result{Trouble: Gone, Err: errLater})
	is.Equal(f.effects(), "checking unread | Stat")
	f.answer(Result{Place: InHold, Version: otherVersion})
	is.Equal(f.effects(), "held")
	f.q.Notice([]string{"m"}, nil, f.now)
	is.Equal(f.effects(), "checking held | Stat")
	f.answer(Result{Place: InSpool, Version: otherVersion})
	is.Equal(f.effects(), "unread now")
}

// A message of the last run was renamed to the name of a file that was found long before. The record is found after the
// file of the old name was examined, as far as that is possible.
func TestRenamedToAnOldNameAfterARestart(t *testing.T) {
	t.Parallel()
	edited, another := Version{Inode: 3, Size: 12, Modified: 7}, Version{Inode: 4, Size: 13, Modified: 8}
	for name, tt := range map[string]struct {
		v   Version // version of the renamed file
		old Result  // answer for the file of the old name
	}{
		"being read":           {thisVersion, Result{}},
		"no permission":        {thisVersion, Result{Trouble: OtherCause, Err: errPassword}},
		"edited, and replaced": {edited, Result{Trouble: Writing, Err: errLater, Version: another}},
	} {
		looked := tt.old.Err != nil
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			f := newFixture(t)
			f.q.Remember("old", known(headOf(thisVersion), f.now), f.now)
			scan := f.q.BeginScan(f.now)
			scan.Listed([]File{{Name: "m"}, {Name: "old"}}, f.now)
			scan.End(f.now).All(f.now)
			open := func(name string, r Result) {
				acts := f.q.TakeActs()
				for f.q.Advance(f.now, Room{Reads: 100, Free: 10}, 100) {
				}
				acts = append(slices.Clone(acts), f.q.TakeActs()...)
				i := slices.IndexFunc(acts, func(a Act) bool { return a.Kind == Open && a.Name == name })
				is.True(i >= 0) // the file is opened
				for j, a := range acts {
					if j != i && looked {
						f.q.Acted(a, tt.old, f.now)
					}
				}
				f.q.Acted(acts[i], r, f.now)
				inspect(t, f.q)
			}
			f.now = f.now.Add(2 * verifyTime)
			open("m", Result{Trouble: Writing, Err: errLater, Version: otherVersion})
			f.now = f.now.Add(2 * verifyTime)
			open("m", Result{Head: headOf(tt.v), Version: tt.v})
			j, ok := f.q.Next(0, Slots{Any: 1}, f.now)
			is.Equal(ok, looked) // otherwise the answer for the old name is awaited
			if looked {
				is.Equal(j.To, []string{"b@x"})
			}
		})
	}
}

// The name of a message in hold/ is taken by another file. The message itself is released under a new name, and read
// before the other file.
func TestHeldUnderANameThatIsTaken(t *testing.T) {
	t.Parallel()
	d := newMemSpool(t)
	d.spool["m"] = file("<1@x>", "body", 1)
	d.scan()
	d.rest(t)
	d.finish(t, "body", false)
	d.move(d.spool, d.hold, "m", "m")
	d.rest(t)
	first := d.hold["m"]
	d.hold["m"] = file("<2@x>", "other", 2)
	d.scan()
	d.rest(t)
	d.move(d.hold, d.spool, "m", "m")
	d.spool["n"] = first
	d.tell("n")
	d.rest(t)
	d.pass(t, time.Second, "body")
	d.pass(t, time.Hour, "body")
	d.is.Equal(d.got["body a@x"], 2) // of the first message and of the other file
	d.is.Equal(d.got["body b@x"], 2)
	d.is.Equal(len(d.spool), 0)
}
