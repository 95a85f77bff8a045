package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// A memSpool is a queue with a spool directory and hold/ in memory. No act fails. Every message is for a@x, who
// accepts, and b@x, who defers.
type memSpool struct {
	is    *is.I
	q     *Queue
	now   time.Time
	spool map[string]memFile
	hold  map[string]memFile
	got   map[string]int // acceptances by body and recipient
	jobs  []Job
	notes []*record.Note // notes of the acts Record
}

// A memFile is a file of a memSpool.
type memFile struct {
	id, body string // Message-ID, may be empty; body
	version  Version
}

func newMemSpool(t *testing.T) *memSpool {
	return &memSpool{
		is: is.New(t), q: New(testRules(), time.Now()), now: time.Now(),
		spool: map[string]memFile{}, hold: map[string]memFile{}, got: map[string]int{},
	}
}

// file returns a file with the inode ino.
func file(id, body string, ino uint64) memFile {
	return memFile{id, body, Version{Inode: ino, Size: int64(100 + len(body)), Modified: int64(ino)}}
}

// move moves a file and notifies the queue.
func (d *memSpool) move(from, to map[string]memFile, name, other string) {
	to[other] = from[name]
	delete(from, name)
	d.tell(name, other)
}

func (d *memSpool) tell(names ...string) {
	for _, name := range names {
		if _, ok := d.spool[name]; ok {
			d.q.Notice([]string{name}, nil, d.now)
		} else {
			d.q.Notice(nil, []string{name}, d.now)
		}
	}
}

// scan lists the spool directory and hold/.
func (d *memSpool) scan() {
	scan := d.q.BeginScan(d.now)
	for name, f := range d.spool {
		scan.Listed([]File{{name, f.version}}, d.now)
	}
	for name, f := range d.hold {
		scan.Held([]File{{name, f.version}}, d.now)
	}
	scan.EndHold()
	scan.End(d.now).All(d.now)
}

// rest does everything that is due, except for ending jobs.
func (d *memSpool) rest(t *testing.T) {
	t.Helper()
	for worked := true; worked; {
		worked = d.q.Advance(d.now, Room{Reads: 100, Free: 10}, 100)
		for _, a := range d.q.TakeActs() {
			if a.Kind == Record {
				d.notes = append(d.notes, a.Note)
			}
			if !a.Lazy {
				d.q.Acted(a, d.do(a), d.now)
				worked = true
			}
		}
		for {
			j, ok := d.q.Next(0, Slots{Any: 1, Large: 1}, d.now)
			if !ok {
				break
			}
			d.jobs = append(d.jobs, j)
		}
		inspect(t, d.q)
	}
}

func (d *memSpool) do(a Act) Result {
	f, ok := d.spool[a.Name]
	h, isHeld := d.hold[a.Name]
	switch {
	case a.Kind == Stat && ok:
		return Result{Place: InSpool, Version: f.version, Held: a.Held && h.version == a.Version}
	case a.Kind == Stat && isHeld:
		return Result{Place: InHold, Version: h.version}
	case a.Kind == Stat || a.Kind == Record || a.Kind == Notify:
		return Result{}
	case !ok:
		return Result{Trouble: Gone, Err: errLater}
	case a.Kind == Open:
		head := &record.Head{
			Name: a.Name, Size: f.version.Size, Modified: f.version.Time(), Inode: f.version.Inode, MessageID: f.id,
			Addresses: message.Addresses{From: "s@x", To: []message.Address{{Addr: "a@x"}, {Addr: "b@x"}}},
		}
		if f.id == "" {
			head.MessageID, head.Digest, head.Body = fmt.Sprint(f.version), "header", f.body
		}
		return Result{Version: f.version, Head: head}
	case f.version != a.Version:
		return Result{Trouble: Replaced, Err: errLater}
	}
	delete(d.spool, a.Name)
	return Result{}
}

// finish ends all jobs: a@x accepts, and b@x accepts if b is true.
func (d *memSpool) finish(t *testing.T, body string, b bool) {
	t.Helper()
	for _, j := range d.jobs {
		var outcomes []attempt.Outcome
		for _, to := range j.To {
			if to == "b@x" && !b {
				outcomes = append(outcomes, deferral)
				continue
			}
			outcomes = append(outcomes, acceptance)
			d.got[body+" "+to]++
		}
		d.q.Finished(j, Finish{Outcomes: outcomes}, d.now)
	}
	d.jobs = nil
	d.rest(t)
}

// pass lets time pass, and sends every message that is due.
func (d *memSpool) pass(t *testing.T, by time.Duration, body string) {
	t.Helper()
	d.now = d.now.Add(by)
	d.scan()
	d.rest(t)
	d.finish(t, body, true)
}

// A message that a@x has accepted and that waits for b@x is moved. At the end each has a number of acceptances.
func TestMessageIsKnownAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		id   string
		act  func(t *testing.T, d *memSpool)
		a, b int // acceptances at the end
	}{
		"renamed": {"<1@x>", func(_ *testing.T, d *memSpool) { d.move(d.spool, d.spool, "m", "n") }, 1, 1},
		"renamed without a Message-ID": {"", func(_ *testing.T, d *memSpool) {
			d.move(d.spool, d.spool, "m", "n")
		}, 1, 1},
		"renamed, and the name used again": {"<1@x>", func(_ *testing.T, d *memSpool) {
			d.move(d.spool, d.spool, "m", "n")
			d.spool["m"] = file("<2@x>", "body", 2)
			d.tell("m")
		}, 2, 2},
		"renamed, noticed by a scan": {"<1@x>", func(t *testing.T, d *memSpool) {
			d.spool["n"] = d.spool["m"]
			delete(d.spool, "m")
			d.scan()
			d.rest(t)
		}, 1, 1},
		"renamed and touched": {"<1@x>", func(_ *testing.T, d *memSpool) {
			f := d.spool["m"]
			f.version.Modified += 5
			d.spool["n"] = f
			delete(d.spool, "m")
			d.tell("m", "n")
		}, 1, 1},
		"copied": {"<1@x>", func(_ *testing.T, d *memSpool) {
			d.spool["n"] = file("<1@x>", "body", 2)
			d.tell("n")
		}, 2, 2},
		"moved by copy": {"<1@x>", func(t *testing.T, d *memSpool) {
			delete(d.spool, "m")
			d.tell("m")
			d.rest(t)
			d.spool["n"] = file("<1@x>", "body", 2)
			d.tell("n")
		}, 1, 1},
		"moved by copy, without a Message-ID": {"", func(t *testing.T, d *memSpool) {
			delete(d.spool, "m")
			d.tell("m")
			d.rest(t)
			d.spool["n"] = file("", "body", 2)
			d.tell("n")
		}, 1, 1},
		"removed, and another body in the same inode": {"", func(t *testing.T, d *memSpool) {
			delete(d.spool, "m")
			d.tell("m")
			d.spool["m"] = memFile{"", "BODY", Version{Inode: 1, Size: 104, Modified: 9}}
			d.tell("m")
		}, 2, 1},
		"edited in place, without a Message-ID": {"", func(_ *testing.T, d *memSpool) {
			d.spool["m"] = memFile{"", "BODY", Version{Inode: 1, Size: 104, Modified: 9}}
			d.tell("m")
		}, 1, 1},
		"edited through a new file": {"<1@x>", func(_ *testing.T, d *memSpool) {
			d.spool["m"] = file("<1@x>", "BODY", 2)
			d.tell("m")
		}, 1, 1},
		"away for nine minutes": {"<1@x>", func(t *testing.T, d *memSpool) {
			f := d.spool["m"]
			delete(d.spool, "m")
			d.tell("m")
			d.rest(t)
			for range 9 {
				d.now = d.now.Add(time.Minute)
				d.scan()
				d.rest(t)
			}
			d.spool["n"] = f
			d.tell("n")
		}, 1, 1},
		"held": {"<1@x>", func(t *testing.T, d *memSpool) {
			d.move(d.spool, d.hold, "m", "m")
			d.rest(t)
			d.move(d.hold, d.spool, "m", "m")
		}, 1, 1},
		"held and released under other names": {"<1@x>", func(t *testing.T, d *memSpool) {
			d.move(d.spool, d.hold, "m", "h")
			d.rest(t)
			d.now = d.now.Add(time.Hour)
			d.scan()
			d.rest(t)
			d.now = d.now.Add(time.Hour)
			d.scan()
			d.rest(t)
			d.is.Equal(len(d.q.entries), 1) // the entry of the file in hold/
			d.move(d.hold, d.spool, "h", "n")
		}, 1, 1},
		"held, and the name used again": {"<1@x>", func(t *testing.T, d *memSpool) {
			d.move(d.spool, d.hold, "m", "m")
			d.rest(t)
			d.spool["m"] = file("<2@x>", "body", 2)
			d.tell("m")
			d.rest(t)
			d.finish(t, "body", true)
			d.scan()
			d.rest(t)
			d.move(d.hold, d.spool, "m", "n")
		}, 2, 2},
		"two exchange their names": {"<1@x>", func(t *testing.T, d *memSpool) {
			d.spool["n"] = file("<2@x>", "body", 2)
			d.tell("n")
			d.rest(t)
			d.finish(t, "body", false)
			d.spool["m"], d.spool["n"] = d.spool["n"], d.spool["m"]
			d.q.Notice([]string{"m", "n"}, []string{"m", "n"}, d.now)
		}, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := newMemSpool(t)
			d.spool["m"] = file(tt.id, "body", 1)
			d.tell("m")
			d.rest(t)
			d.finish(t, "body", false)
			tt.act(t, d)
			d.rest(t)
			d.finish(t, "body", false)
			d.pass(t, time.Hour, "body")
			d.pass(t, time.Hour, "body")
			d.is.Equal(d.got["body a@x"], tt.a)
			d.is.Equal(d.got["body b@x"], tt.b)
			d.is.Equal(len(d.spool)+len(d.hold), 0) // no file is left
		})
	}
}

// A message is renamed during its transaction.
func TestMessageInFlightIsKnownAgain(t *testing.T) {
	t.Parallel()
	for name, names := range map[string][]string{"renamed": {"n"}, "renamed twice": {"n", "o"}, "to and fro": {"n", "m"}} {
		t.Run(name, func(t *testing.T) {
			d := newMemSpool(t)
			d.spool["m"] = file("<1@x>", "body", 1)
			d.tell("m")
			d.rest(t)
			d.is.Equal(len(d.jobs), 1)
			was := "m"
			for _, name := range names {
				d.move(d.spool, d.spool, was, name)
				d.rest(t)
				was = name
			}
			d.finish(t, "body", true)
			d.pass(t, time.Hour, "body")
			d.is.Equal(d.got, map[string]int{"body a@x": 1, "body b@x": 1})
			d.is.Equal(len(d.spool), 0)
			d.is.Equal(d.q.Len(), 0)
		})
	}
}

// After a restart a message is recognized by its content.
func TestMessageIsKnownAgainAfterARestart(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(d *memSpool){
		"as it was": func(*memSpool) {},
		"renamed":   func(d *memSpool) { d.spool["n"] = d.spool["m"]; delete(d.spool, "m") },
		"exchanged": func(d *memSpool) { d.spool["m"], d.spool["other"] = d.spool["other"], d.spool["m"] },
		"in its turn": func(d *memSpool) {
			d.spool["n"], d.spool["m"] = d.spool["m"], d.spool["other"]
			delete(d.spool, "other")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newMemSpool(t)
			d.spool["m"], d.spool["other"] = file("<1@x>", "body", 1), file("<2@x>", "body", 2)
			d.scan()
			d.rest(t)
			d.finish(t, "body", false)
			d.is.Equal(d.got["body a@x"], 2)
			old := d.q
			d.q = New(testRules(), d.now)
			for n := range old.Snapshot(d.now) {
				d.q.Remember(n.Name, n.Record.Message(), d.now)
			}
			act(d)
			d.scan()
			d.rest(t)
			d.pass(t, time.Hour, "body")
			d.is.Equal(d.got["body a@x"], 2)
			d.is.Equal(d.got["body b@x"], 2)
			d.is.Equal(len(d.spool), 0)
			d.is.True(d.q.absent.unverified == nil)
		})
	}
}

// The record of a missing message is dropped after some time, and not before the spool and hold/ were listed.
func TestMissingMessageIsForgotten(t *testing.T) {
	t.Parallel()
	d := newMemSpool(t)
	d.spool["m"] = file("<1@x>", "body", 1)
	d.tell("m")
	d.rest(t)
	d.finish(t, "body", false)
	delete(d.spool, "m")
	d.tell("m")
	d.rest(t)
	d.is.True(d.q.Searching())
	d.now = d.now.Add(24 * time.Hour)
	d.q.BeginScan(d.now).End(d.now).All(d.now) // hold/ was not listed
	d.rest(t)
	d.is.True(d.q.Searching())
	d.is.Equal(len(d.q.absent.all), 1)
	d.scan()
	d.is.True(!d.q.Searching())
	d.now = d.now.Add(time.Minute)
	d.rest(t)
	d.is.Equal(len(d.q.absent.all), 0)
	d.is.Equal(d.q.index.len(), 0)
}
