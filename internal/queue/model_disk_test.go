package queue

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// A disk has what a restart knows: the status file as last written, and the journal since. A restart reads a long
// status file while messages are sent.
type disk struct {
	status []filed
	notes  [][]byte
	saving *saving // nil: no write of the status file is under way

	load  *Load // under way; nil: none
	todo  []filed
	note  int // next note to be replayed
	known []*record.Note
	noted map[string]bool
}

// A filed is an entry of the status file.
type filed struct {
	name string
	m    *record.Message
}

// A saving is a write of the status file in pieces.
type saving struct {
	taking
	mark int // number of notes that the file covers
}

func (d *disk) loading() bool { return d != nil && d.load != nil }

// append adds a line to the journal.
func (d *disk) append(n *record.Note) {
	if d != nil && n != nil {
		d.notes = append(d.notes, n.Encode())
	}
}

// write replaces the status file. The journal is empty then.
func (d *disk) write(all map[string]*record.Message) {
	if d == nil {
		return
	}
	for d.saving != nil {
		d.save(10)
	}
	d.status, d.notes = nil, nil
	for _, name := range slices.Sorted(maps.Keys(all)) {
		d.status = append(d.status, filed{name, all[name].Clone()})
	}
}

// begin begins to write the status file.
func (w *world) begin() {
	if w.disk.saving != nil {
		return
	}
	way := pick(w.d, []string{"Snap", "Stream"})
	w.logf("the status file is to be written, %s", way)
	w.disk.saving = &saving{takings[way](w.q, w.now), len(w.disk.notes)}
}

// save goes on with the write of the status file.
func (d *disk) save(n int) {
	if d == nil || d.saving == nil || d.saving.do(n) {
		return
	}
	d.status = nil
	for _, n := range d.saving.all() {
		d.status = append(d.status, filed{n.Name, n.Record.Shown()})
	}
	slices.SortStableFunc(d.status, func(a, b filed) int { return strings.Compare(a.name, b.name) })
	d.notes, d.saving = d.notes[d.saving.mark:], nil
}

// crash ends the process and starts another one with the status file and the journal.
func (w *world) crash() {
	d := w.disk
	w.logf("crash, loading %v", d.loading())
	w.events()
	for e := range w.q.all() {
		w.lost[w.real(e.msg.Message().MessageID)] = true
	}
	for _, f := range d.status {
		w.lost[w.real(f.m.MessageID)] = true
	}
	for _, a := range w.acts {
		if w.d.oneIn(2) {
			w.do(a) // the act was done, and the answer is lost
			if a.Kind == Record {
				d.append(a.Note)
			}
		}
	}
	w.acts, w.jobs = nil, nil
	for range w.d.roll(4) - 1 {
		w.change()
	}
	w.newQueue()
	d.saving, d.load, d.known, d.noted, d.note, d.todo = nil, nil, nil, map[string]bool{}, 0, slices.Clone(d.status)
	for _, line := range d.notes {
		n, err := record.DecodeNote(line)
		if err != nil {
			w.fatalf("%v", err)
		}
		d.known = append(d.known, n)
		d.noted[n.Name()] = true
	}
	for _, f := range d.todo {
		w.logf("status %s: %s", f.name, shownRecord(f.m))
	}
	for _, n := range d.known {
		w.logf("note %s: %s", n.Name(), shownRecord(&n.Message))
	}
	if w.d.oneIn(2) {
		w.logf("long status file")
		d.load = BeginLoad(w.q, w.now)
		return
	}
	for _, f := range d.todo {
		w.q.Remember(path.Base(f.name), w.stored(f), w.now)
	}
	for d.note < len(d.known) {
		w.replay()
	}
	w.scan(true)
}

// stored returns the record of the status file, with what the journal says under other names.
func (w *world) stored(f filed) *record.Message {
	m := f.m.Clone()
	for _, r := range m.Recipients() {
		if r.Status == record.InProgress {
			r.Status = record.Waiting
		}
		if r.Status != record.Done {
			r.GivenUp, r.Told = false, false
		}
	}
	for i := len(w.disk.known) - 1; i >= 0; i-- {
		n := w.disk.known[i]
		if n.Inode == m.Inode && n.Size == m.Size && n.Modified.Equal(m.Modified) && n.Inode != 0 && n.Size > 0 &&
			n.Name() != path.Base(f.name) && n.IsSame(m) {
			record.Take(m, n)
		}
	}
	return m
}

// replay adds the next note.
func (w *world) replay() {
	n := w.disk.known[w.disk.note]
	w.disk.note++
	m, ok := w.q.Remembered(n.Name())
	if !ok || !n.IsSame(m) {
		m = n.AsMessage()
	} else {
		record.Take(m, n)
	}
	w.q.Remember(n.Name(), m, w.now)
}

// loadSome does a step while the status file is read.
func (w *world) loadSome() {
	d := w.disk
	switch n := w.d.roll(20); {
	case n < 3:
		w.change()
	case n < 7 && len(w.acts) > 0:
		w.act(w.d.roll(len(w.acts)))
	case n < 9 && len(w.jobs) > 0:
		w.finish(w.d.roll(len(w.jobs)))
	case n < 12:
		w.next(w.d.roll(w.routes), Slots{Any: w.d.roll(3), Large: w.d.roll(2), LargeBusy: w.d.roll(2)})
	case n < 16:
		w.pass()
	case n == 16 && w.d.oneIn(6):
		w.routes = 1 + w.d.roll(3)
		w.works = append(w.works, w.q.Reconfigure(w.rules()))
	case n == 17 && w.d.oneIn(6):
		w.crash()
	case len(d.todo) > 0:
		n := 1 + w.d.roll(min(3, len(d.todo)))
		var part []Stored
		for _, f := range d.todo[:n] {
			base := path.Base(f.name)
			part = append(part, d.load.Prepare(base, w.stored(f), d.noted[base]))
		}
		d.todo = d.todo[n:]
		d.load.Add(part, w.now)
	case d.note < len(d.known):
		w.replay()
	default:
		w.logf("the status file is read")
		d.load.End(w.now)
		d.load = nil
		w.scan(true)
	}
	w.take()
}

// TestModelOfTheDisk is TestModel with crashes after which the status file and the journal are read, and with
// recipients that have routes of their own.
func TestModelOfTheDisk(t *testing.T) {
	t.Parallel()
	first, runs, end := labSeeds(t, 100)
	for seed := first; seed < first+runs && time.Now().Before(end); seed++ {
		ok := t.Run("", func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			w := newWorld(t, seed, nil)
			w.disk, w.split, w.ageless = &disk{}, seed%2 == 0, seed%4 > 1
			w.newQueue()
			for range 400 {
				w.step()
			}
			w.settle()
		})
		if !ok {
			t.Fatalf("seed %d", seed)
		}
	}
}

func shownRecord(m *record.Message) string {
	text := fmt.Sprint(m.MessageID, " inode ", m.Inode, " size ", m.Size)
	for _, r := range m.Recipients() {
		text += fmt.Sprint(" ", r.Address, ":", r.Status, r.GivenUp)
	}
	return text
}

// tryAgain moves all messages back from failed/, and returns these messages.
func (d *disk) tryAgain(w *world) (back []*fakeFile) {
	if d == nil || !w.ageless {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(w.failed)) {
		if f := w.failed[name]; w.spool[name] == nil {
			w.logf("%s is moved back from failed/", name)
			w.spool[name] = f
			delete(w.failed, name)
			back = append(back, f)
		}
	}
	return back
}
