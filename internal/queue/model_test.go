package queue

import (
	"cmp"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// step does one random step.
func (w *world) step() {
	if w.disk.loading() {
		w.loadSome()
		return
	}
	switch n := w.d.roll(24); {
	case n < 4:
		w.change()
	case n < 8 && len(w.acts) > 0:
		w.act(w.d.roll(len(w.acts)))
	case n < 12 && len(w.jobs) > 0:
		w.finish(w.d.roll(len(w.jobs)))
	case n < 14:
		w.next(w.d.roll(w.routes), Slots{Any: w.d.roll(3), Large: w.d.roll(2), LargeBusy: w.d.roll(2)})
	case n < 16:
		w.scan(!w.d.oneIn(4))
	case n < 20:
		w.pass()
	case n == 20:
		w.logf("flush")
		w.q.Flush(w.now).All(w.now)
	case n == 21:
		w.reload()
	case n == 22 && w.d.oneIn(2):
		w.routes = 1 + w.d.roll(3)
		if w.forbidden = ""; w.d.oneIn(2) {
			w.forbidden = pick(w.d, []string{"a@x", "b@x"})
		}
		w.logf("%d routes, no mail to %q", w.routes, w.forbidden)
		w.works = append(w.works, w.q.Reconfigure(w.rules()))
	case n == 23 && w.disk != nil && w.d.oneIn(2):
		w.begin()
	case n == 23 && w.d.oneIn(2):
		w.restart()
	case n == 22 && w.split:
		i := w.d.roll(w.routes)
		w.logf("route %d cannot be used", i)
		w.works = append(w.works, w.q.Divert(i, func(bool, bool) {}))
	}
	w.disk.save(1)
	if len(w.works) > 0 && !w.works[0].Do(w.d.roll(3), w.now) {
		w.works = w.works[1:]
	}
	w.take()
}

// pass lets time pass. Sometimes the clock is set.
func (w *world) pass() {
	d := [...]time.Duration{0, time.Millisecond, time.Second, 10 * time.Second, time.Minute, time.Hour, maxAge / 2}[w.d.roll(7)]
	w.now = w.now.Add(d)
	if w.d.oneIn(20) && !w.ageless { // the time of a why-file does not follow the clock
		by := [...]time.Duration{time.Hour, -time.Hour}[w.d.roll(2)]
		w.now = set(w.t, w.now, by)
		w.logf("the clock is set by %v", by)
	}
	w.logf("%v passes", d)
	w.q.Advance(w.now, Room{Reads: w.d.roll(3), Free: w.d.roll(3), Busy: len(w.jobs) > 0}, 1+w.d.roll(10))
}

// reload is an edit of the status file by an operator, in a pause or not.
func (w *world) reload() {
	paused := time.Time{}
	if w.d.oneIn(2) {
		paused = w.now.Add(-time.Duration(w.d.roll(3)) * time.Minute)
	}
	all := map[string]*record.Message{}
	for _, n := range w.snapshot() {
		m := n.Record.Message()
		switch w.d.roll(6) {
		case 0:
			w.logf("%s is taken out of the status file", n.Name)
			w.edit(w.real(m.MessageID))
			continue
		case 1:
			if rs := m.Recipients(); len(rs) > 0 {
				r := pick(w.d, rs)
				r.Status, r.GivenUp = pick(w.d, []record.State{record.Waiting, record.Done}), false
				w.logf("%s: %s is edited to %d", n.Name, r.Address, r.Status)
				w.edit(w.real(m.MessageID))
				if r.Status == record.Done {
					w.accepted[w.real(m.MessageID)+r.Address] = true // according to the operator
				}
			}
		}
		w.changeRecipients(m)
		for _, r := range m.Recipients() {
			if r.Status == record.InProgress {
				r.Status = record.Waiting
			}
		}
		all[n.Name] = m
	}
	w.logf("reload, paused %v", !paused.IsZero())
	w.disk.write(all)
	reloadAll(w.q, all, record.Edit{Since: paused}, w.now)
}

// edit records that an operator decides about the message id from here on.
func (w *world) edit(id string) {
	w.edited[id] = true
	for k := range w.sent {
		if strings.HasPrefix(k, id+" ") {
			delete(w.sent, k)
		}
	}
}

// snapshot returns a snapshot of the queue in the order of the names.
func (w *world) snapshot() []Named {
	return slices.SortedStableFunc(w.q.Snapshot(w.now), func(a, b Named) int { return cmp.Compare(a.Name, b.Name) })
}

// restart ends the process and starts another one with the records of the status file.
func (w *world) restart() {
	if w.disk != nil {
		w.crash()
		return
	}
	w.logf("restart")
	w.events()
	old := map[string]*record.Message{}
	for _, n := range w.snapshot() {
		m := n.Record.Shown()
		for _, r := range m.Recipients() {
			if r.Status == record.InProgress {
				r.Status = record.Waiting
			}
		}
		old[n.Name] = m
		w.edited[w.real(m.MessageID)] = true // events may be lost
	}
	for _, a := range w.acts {
		w.edited[w.real(a.e.msg.Message().MessageID)] = true
		if w.d.oneIn(2) {
			w.do(a) // the act was done, and its answer is lost
		}
	}
	w.acts, w.jobs = nil, nil
	w.newQueue()
	for _, name := range slices.Sorted(maps.Keys(old)) {
		m := old[name]
		w.q.Remember(path.Base(name), m, w.now)
	}
	w.scan(true)
}

// settle runs until no file is left, with an engine that does each act and sleeps until Wake.
func (w *world) settle() {
	for w.disk.loading() {
		w.loadSome()
	}
	w.logf("steady")
	w.steady, w.forbidden = true, ""
	w.release()
	back := w.disk.tryAgain(w)
	for _, work := range w.works {
		work.All(w.now)
	}
	for _, name := range slices.Sorted(maps.Keys(w.spool)) {
		if f := w.spool[name]; f.bad {
			f.bad, f.version = false, w.newVersion() // the file is corrected
		}
	}
	for len(w.acts) > 0 || len(w.jobs) > 0 {
		w.turn()
	}
	w.release()
	w.scan(true)
	w.take()
	const bound = 3000
	for steps := 0; ; steps++ {
		if steps == bound {
			w.fatalf("after %d turns there are still %d files", bound, w.q.Len())
		}
		if w.turn() {
			continue
		}
		if w.q.Searching() {
			w.scan(true)
			w.take()
		}
		at, ok := w.q.Wake()
		if !ok {
			break
		}
		if !at.After(w.now) {
			w.fatalf("nothing is to be done, and Wake is %v ago", w.now.Sub(at))
		}
		w.now = at
	}
	if w.q.Len() > 0 || len(w.spool) > 0 {
		w.fatalf("standstill: %d files known, %d in the spool", w.q.Len(), len(w.spool))
	}
	for _, f := range back {
		for _, to := range f.to {
			if !w.accepted[f.id+to] && message.CheckAddress(to) == nil {
				w.fatalf("%s was moved back from failed/, and %s has not accepted it", f.id, to)
			}
		}
	}
	if w.q.underWay != 0 || w.q.Trouble() != nil || !w.q.Idle(w.now) {
		w.fatalf("%d acts, trouble %v", w.q.underWay, w.q.Trouble())
	}
}

// release moves every file from hold/ back into the spool.
func (w *world) release() {
	for name, f := range w.hold {
		if w.spool[name] == nil {
			w.spool[name] = f
		}
		delete(w.hold, name)
	}
}

// turn is one turn of the engine's loop. It reports whether there was work.
func (w *world) turn() (worked bool) {
	for w.q.Advance(w.now, Room{Reads: 1000, Free: 2, Busy: len(w.jobs) > 0}, 3) {
		worked = true
	}
	w.take()
	for route := range w.routes {
		for w.next(route, Slots{Any: 2 - len(w.jobs), Large: 1}) {
			worked = true
			w.take()
		}
	}
	if len(w.acts) > 0 {
		w.act(0)
		worked = true
	} else if len(w.jobs) > 0 {
		w.finish(0)
		worked = true
	}
	w.take()
	return worked
}

// run does random steps, and then lets every message end.
func run(t testing.TB, seed uint64, script []byte, steps int) *world {
	w := newWorld(t, seed, script)
	for range steps {
		w.step()
	}
	w.settle()
	return w
}

// TestModel checks the rules of the queue in a world that changes at random. A run depends on its seed only. With
// SPOOLGORE_LAB_SEED=n only run n is done, and its whole log is shown if it fails. With SPOOLGORE_LAB=long new seeds
// are tried for SPOOLGORE_LAB_TIME.
func TestModel(t *testing.T) {
	t.Parallel()
	first, runs, end := labSeeds(t, 100)
	t.Logf("first seed %d", first)
	kept, gone := 0, 0
	for seed := first; seed < first+runs && time.Now().Before(end); seed++ {
		ok := t.Run("", func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			w := run(t, seed, nil, 400)
			kept += len(w.failed)
			gone += len(w.accepted)
		})
		if !ok {
			t.Fatalf("seed %d", seed)
		}
	}
	if runs > 1 && (kept == 0 || gone < 50) {
		t.Errorf("%d messages in failed/, %d acceptances: the model does not do much", kept, gone)
	}
}

// labSeeds returns the first seed and the number of runs of a model, and the time at which the last run may begin.
func labSeeds(t *testing.T, usual uint64) (first, runs uint64, end time.Time) {
	first, runs = uint64(1), usual
	end = time.Now().Add(time.Hour)
	if os.Getenv("SPOOLGORE_LAB") == "long" {
		first, runs = uint64(time.Now().UnixNano()), 1<<40 // until the time has passed
		long, err := time.ParseDuration(cmp.Or(os.Getenv("SPOOLGORE_LAB_TIME"), "8m"))
		if err != nil {
			t.Fatal(err)
		}
		end = time.Now().Add(long)
	}
	if seed := os.Getenv("SPOOLGORE_LAB_SEED"); seed != "" {
		n, err := strconv.ParseUint(seed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, runs = n, 1
	}
	return first, runs, end
}

// TestModelSeeds repeats runs in which long laboratories have found a fault.
func TestModelSeeds(t *testing.T) {
	t.Parallel()
	run(t, 1796102509999773364, nil, 400) // Advance had more to do and did not say so
}

// FuzzModel is TestModel with steps that the fuzzer chooses.
func FuzzModel(f *testing.F) {
	f.Add(uint64(1), []byte{})
	f.Add(uint64(2), slices.Repeat([]byte{0, 5, 9, 13, 17}, 40))
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		run(t, seed, script[:min(len(script), 4000)], 40+len(script)/4)
	})
}
