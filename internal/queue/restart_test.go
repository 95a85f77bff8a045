package queue

import (
	"maps"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
)

// restart continues with a new queue that gets the known records, as after a kill.
func (d *memSpool) restart(t *testing.T, known map[string]*record.Message) {
	t.Helper()
	d.q, d.jobs = New(testRules(), d.now), nil
	for name, m := range known {
		d.q.Remember(name, m, d.now)
	}
	d.scan()
	d.rest(t)
}

// records returns the records of the status file at this moment.
func (d *memSpool) records() map[string]*record.Message {
	all := map[string]*record.Message{}
	for n := range d.q.Snapshot(d.now) {
		all[n.Name] = n.Record.Message()
	}
	return all
}

// sent returns a memSpool with the message m, which a@x has accepted and b@x has not.
func sent(t *testing.T) *memSpool {
	d := newMemSpool(t)
	d.spool["m"] = file("<1@x>", "body", 1)
	d.tell("m")
	d.rest(t)
	d.finish(t, "body", false)
	return d
}

// A file of the same size and time takes the name of a message, goes to hold/ before it is read, and is released.
func TestFileOfSameSizeAndTimeIsAnotherMessage(t *testing.T) {
	t.Parallel()
	other := memFile{"<2@x>", "BODY", Version{Inode: 2, Size: 104, Modified: 1}}
	for name, act := range map[string]func(d *memSpool){
		"held": func(d *memSpool) {
			d.spool["m"] = other
			d.move(d.spool, d.hold, "m", "m")
			d.rest(t)
			d.move(d.hold, d.spool, "m", "m")
		},
		"held before a restart": func(d *memSpool) {
			known := d.records()
			delete(d.spool, "m")
			d.hold["m"] = other
			d.restart(t, known)
			d.move(d.hold, d.spool, "m", "m")
		},
		"renamed before a restart": func(d *memSpool) {
			known := d.records()
			d.spool["m"] = other
			d.restart(t, known)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent(t)
			act(d)
			d.rest(t)
			d.finish(t, "other", true)
			d.is.Equal(d.got["other a@x"], 1)
			d.is.Equal(d.got["other b@x"], 1)
		})
	}
}

// A message is renamed and tried once, and then the process is killed: the journal has a note, and the status file has
// the old name.
func TestNoteAfterRenameKnowsWhoHasAccepted(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(d *memSpool, known map[string]*record.Message){
		"":            func(*memSpool, map[string]*record.Message) {},
		"and renamed": func(d *memSpool, _ map[string]*record.Message) { d.spool["o"] = d.spool["n"]; delete(d.spool, "n") },
		"edited, and renamed": func(d *memSpool, _ map[string]*record.Message) {
			d.spool["o"] = file("<1@x>", "BODY", 3)
			delete(d.spool, "n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent(t)
			known := d.records()
			d.move(d.spool, d.spool, "m", "n")
			d.now = d.now.Add(time.Hour)
			d.rest(t)
			d.finish(t, "body", false)
			d.is.True(len(d.notes) > 0)
			note := d.notes[len(d.notes)-1]
			d.is.Equal(note.File, "n")
			known["n"] = note.AsMessage()
			again(d, known)
			d.restart(t, known)
			for range 4 {
				d.pass(t, time.Hour, "body")
			}
			d.is.Equal(d.got["body a@x"], 1) // it accepted before the restart
			d.is.Equal(d.got["body b@x"], 1)
		})
	}
}

// After a kill, a message in hold/ under another name is recognized by its version only. It is released after the
// record of a missing message would be dropped.
func TestHeldUnderAnotherNameWithoutAProcess(t *testing.T) {
	t.Parallel()
	d := sent(t)
	known := d.records()
	d.hold["h"] = d.spool["m"]
	delete(d.spool, "m")
	d.restart(t, known)
	d.pass(t, time.Hour, "body")
	d.pass(t, time.Hour, "body")
	d.move(d.hold, d.spool, "h", "n")
	d.rest(t)
	d.pass(t, time.Hour, "body")
	d.is.Equal(d.got["body a@x"], 1)
	d.is.Equal(d.got["body b@x"], 1)
}

// The edited status file lacks an acceptance: the acceptance is in the journal before the edit has effect, in a pause
// and without one.
func TestEditForgetsNoAcceptance(t *testing.T) {
	t.Parallel()
	waitsAgain := func(all map[string]*record.Message) { all["m"].To[0].Status = record.Waiting }
	for name, tt := range map[string]struct {
		edit func(all map[string]*record.Message)
		live bool
		a    int // notes of the acceptance of a@x
	}{
		"entry removed":                 {func(all map[string]*record.Message) { delete(all, "m") }, false, 1},
		"entry removed, no pause":       {func(all map[string]*record.Message) { delete(all, "m") }, true, 1},
		"an older file, no pause":       {waitsAgain, true, 1},
		"made to wait again in a pause": {waitsAgain, false, 0}, // the operator wants that
		"as it was":                     {func(map[string]*record.Message) {}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent(t)
			all := d.records()
			edited := maps.Clone(all)
			tt.edit(edited)
			reloadAll(d.q, edited, record.Edit{Since: d.now.Add(time.Second), Live: tt.live}, d.now)
			d.notes = nil
			d.rest(t)
			d.is.Equal(len(d.notes), tt.a)
			if tt.a == 0 {
				return
			}
			edited["m"] = d.notes[0].AsMessage()
			d.restart(t, edited)
			d.pass(t, time.Hour, "body")
			d.is.Equal(d.got["body a@x"], 1)
			d.is.Equal(d.got["body b@x"], 1)
		})
	}
}

// An operator marks b@x as done, and the file has changed since the status file was written.
func TestMarkByHandCountsForAChangedFile(t *testing.T) {
	t.Parallel()
	edited := file("<1@x>", "BODY", 2)
	for name, tt := range map[string]struct {
		read bool // the file is read before the edit
		live bool
		id   string // Message-ID of the changed file
		b    int
	}{
		"not read yet":             {false, false, "<1@x>", 0},
		"read":                     {true, false, "<1@x>", 0},
		"read, no pause":           {true, true, "<1@x>", 0},
		"another message":          {true, false, "<2@x>", 1},
		"another message, no read": {false, true, "<2@x>", 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent(t)
			all := d.records()
			f := edited
			f.id = tt.id
			d.spool["m"] = f
			d.scan()
			if tt.read {
				d.rest(t)
				d.q.Finished(d.jobs[0], Finish{Trouble: OtherCause, Err: errPassword}, d.now)
				d.jobs = nil
			}
			all["m"].To[1].Status = record.Done
			reloadAll(d.q, all, record.Edit{Since: d.now.Add(time.Second), Live: tt.live}, d.now)
			d.rest(t)
			d.finish(t, "body", true)
			d.pass(t, time.Hour, "body")
			d.is.Equal(d.got["body b@x"], tt.b)
		})
	}
}

// After two renamings and kills, records under two old names are about one message. The newer record is used.
func TestNewerOfTwoRecordsCounts(t *testing.T) {
	t.Parallel()
	d := newMemSpool(t)
	d.spool["m"] = file("<1@x>", "body", 1)
	d.tell("m")
	d.rest(t)
	old := d.records()
	old["m"].Stop()
	d.finish(t, "body", false)
	old["n"] = d.records()["m"]
	for range 20 { // the iteration order of a map is random
		d.spool = map[string]memFile{"o": file("<1@x>", "BODY", 3)}
		d.restart(t, old)
		d.now = d.now.Add(time.Second)
		d.rest(t)
		for _, j := range d.jobs {
			d.is.Equal(j.To, []string{"b@x"})
			d.q.Finished(j, Finish{Trouble: OtherCause, Err: errPassword}, d.now)
		}
		d.jobs = nil
	}
}

// The process is killed before the status file says that a message has gone to failed/. The message is moved back while
// its record waits for the file.
func TestMessageIsMovedBackAfterAKill(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	m := record.New(*headOf(thisVersion), f.now)
	m.To[0].Status, m.To[0].GivenUp, m.To[0].LastAttempt = record.Done, true, f.now
	m.To[1].Status, m.To[1].LastAttempt = record.Done, f.now
	f.now = f.now.Add(time.Second)
	why := record.FailureOf(m, "/spool/m", f.now)
	f.q.Remember("m", m, f.now)
	f.scan()
	is.Equal(f.take(), "Stat")
	f.answer(Result{Place: Nowhere})
	is.Equal(f.effects(), "missing 10m")
	f.q.Notice([]string{"m"}, nil, f.now)
	f.opens(0)
	f.answer(Result{Version: thisVersion, Head: headOf(thisVersion), Returned: true, Why: why})
	is.Equal(f.effects(), "ready |  | queued a")
	f.next()
	is.Equal(f.job.To, []string{"a@x"})
}

// Another file has the name of a message that is held or missing. A line of the journal about the message does not take
// the name from the other file, whose record would be lost.
func TestNoteOfAnAbsentMessage(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(m *record.Message, now time.Time){
		"held":    func(m *record.Message, now time.Time) { m.Held = now },
		"missing": func(m *record.Message, now time.Time) { m.Missing = now },
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			f := newFixture(t)
			here, h := record.New(*headOf(thisVersion), f.now), headOf(otherVersion)
			h.MessageID = "<2@x>"
			away := record.New(*h, f.now)
			away.To[0].Status = record.Done
			leave(away, f.now)
			f.q.Remember("m", here, f.now)
			n, err := record.DecodeNote(record.FullNote(away, "m").Encode())
			is.NoErr(err)
			f.q.Remember("m", n.AsMessage(), f.now)
			m, ok := f.q.Remembered("m")
			is.True(ok && m.IsSame(here))
		})
	}
}
