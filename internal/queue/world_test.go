package queue

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// A die makes the choices of a run: from a script first, then at random.
type die struct {
	script []byte
	rng    *rand.Rand
}

// roll returns a number below n.
func (d *die) roll(n int) int {
	if len(d.script) > 0 {
		b := d.script[0]
		d.script = d.script[1:]
		return int(b) % n
	}
	return d.rng.IntN(n)
}

// oneIn returns true once in n rolls on average.
func (d *die) oneIn(n int) bool { return d.roll(n) == 0 }

func pick[T any](d *die, from []T) T { return from[d.roll(len(from))] }

// A fake file holds a message for recipients.
type fakeFile struct {
	version Version
	id      string // Message-ID
	to      []string
	bad     bool            // a file that is no message
	noID    bool            // id is not in the file
	why     *record.Failure // for files in failed/, and for files moved back
}

// A world is a spool directory in memory with writers, an operator, a relay, and an engine that does the acts of the
// queue.
type world struct {
	leaving     *record.Message // the message whose file has just left the spool; nil: none
	leavingName string

	t      testing.TB
	d      *die
	q      *Queue
	now    time.Time
	steady bool // no errors, no changes, and the relay decides in each transaction
	clock  int  // number for the next inode and modification time

	spool, hold, failed map[string]*fakeFile
	acts                []Act // under way
	jobs                []Job // under way
	routes              int
	works               []*Work // of changed rules, not done yet
	forbidden           string  // a recipient that is not allowed; empty: none
	split               bool    // recipients have routes of their own
	readdress           bool    // an operator takes recipients out of the status file, and adds some
	ageless             bool    // no message is given up for its age, and the clock is not set
	disk                *disk   // status file and journal; nil: a restart knows the present records

	accepted map[string]bool   // acceptances of the relay: Message-ID and recipient
	sent     map[string]bool   // recipients with an event sent: Message-ID and recipient, while the queue has the message
	ends     map[string]int    // number of final events: Message-ID and recipient, while the queue has the message
	edited   map[string]bool   // messages whose records an operator has edited, or whose events a restart has cut off
	ids      map[string]string // by Message-ID made for a file without one: id
	lost     map[string]bool   // with disk: messages whose events a restart has cut off
	log      []string
}

func newWorld(t testing.TB, seed uint64, script []byte) *world {
	w := &world{
		t: t, d: &die{script, rand.New(rand.NewPCG(seed, 1))}, now: beginning(t), routes: 1,
		spool: map[string]*fakeFile{}, hold: map[string]*fakeFile{}, failed: map[string]*fakeFile{},
		accepted: map[string]bool{}, sent: map[string]bool{}, ends: map[string]int{}, edited: map[string]bool{},
		lost: map[string]bool{}, ids: map[string]string{},
	}
	w.newQueue()
	t.Cleanup(func() {
		if t.Failed() {
			steps := 60
			if os.Getenv("SPOOLGORE_LAB_SEED") != "" {
				steps = len(w.log)
			}
			t.Logf("last steps:\n%s", join(w.log[max(0, len(w.log)-steps):]))
		}
	})
	return w
}

// beginning returns the time at which every world begins, with a monotonic clock.
func beginning(t testing.TB) time.Time {
	now := time.Now()
	now = now.Add(-time.Duration(now.Nanosecond()))
	return set(t, now, time.Unix(1_800_000_000, 0).Sub(now.Round(0)))
}

func (w *world) newQueue() {
	w.q = New(w.rules(), w.now)
	w.q.ordered, w.q.chunk, w.works = true, 2, nil
}

func (w *world) rules() Rules {
	r := testRules()
	r.Routes = w.routes
	routes := w.routes
	r.RouteOf = func(sender string) int { return len(sender) % routes }
	if w.split {
		r.RouteTo = func(to string) (int, bool) { return int(to[0]) % routes, to[0] != 'n' }
	}
	if w.ageless {
		r.MaxAge = 1000 * maxAge
	}
	r.Retry.MaxAttempts = 8
	r.Forbidden = func(to []string) string {
		if slices.Contains(to, w.forbidden) {
			return w.forbidden
		}
		return ""
	}
	return r
}

func (w *world) logf(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf(format, args...)
}

func join(lines []string) (text string) {
	for _, line := range lines {
		text += "  " + line + "\n"
	}
	return text
}

func (w *world) newVersion() Version {
	w.clock++
	size := int64(10 + w.clock)
	if w.d.oneIn(8) {
		size += LargeSize
	}
	return Version{Inode: uint64(w.clock), Size: size, Modified: w.now.UnixNano() + int64(w.clock)}
}

func (w *world) name() string { return fmt.Sprint("m", w.d.roll(7)) }

// write writes a new message under a name, possibly over another file.
func (w *world) write(name string) {
	f := &fakeFile{version: w.newVersion(), bad: w.d.oneIn(15)}
	f.id = fmt.Sprintf("<%d@x>", w.clock)
	f.noID = w.disk != nil && w.d.oneIn(3)
	for i := range 1 + w.d.roll(3) {
		f.to = append(f.to, fmt.Sprintf("%c@x", 'a'+i))
	}
	if w.d.oneIn(15) {
		f.to = append(f.to, "not valid")
	}
	w.spool[name] = f
}

// change is a change of the files by a writer or an operator.
func (w *world) change() {
	name := w.name()
	f := w.spool[name]
	came, gone := name, name
	switch action := w.d.roll(10); {
	case action >= 8:
		came = w.rename(name)
	case f == nil && w.hold[name] != nil && action < 3:
		w.spool[name] = w.hold[name]
		delete(w.hold, name)
		w.logf("%s is released", name)
	case f == nil && w.failed[name] != nil && action < 3:
		w.spool[name] = w.failed[name]
		delete(w.failed, name)
		w.logf("%s is moved back from failed/", name)
	case f == nil || action < 2:
		w.write(name)
		w.logf("%s is written", name)
	case action == 2:
		delete(w.spool, name)
		w.logf("%s is deleted", name)
	case action == 3 || action == 4:
		w.hold[name] = f
		delete(w.spool, name)
		w.logf("%s is moved to hold/", name)
	case action == 5:
		c := *f
		c.version, c.bad = w.newVersion(), false
		if !slices.Contains(f.to, "new@x") && !f.noID {
			c.to = append(slices.Clone(f.to), "new@x")
		}
		w.spool[name] = &c
		w.logf("%s is edited", name)
	case action == 6:
		c := *f
		c.version.Modified++
		w.spool[name] = &c
		w.logf("%s is touched", name)
	case w.hold[name] != nil:
		c := *w.hold[name]
		c.version = w.newVersion()
		w.hold[name] = &c
		w.logf("%s is edited in hold/", name)
	}
	if n := w.d.roll(4); n > 0 && came != gone { // the notification says first that the old name is gone
		w.q.Notice(nil, []string{gone}, w.now)
		w.q.Notice([]string{came}, nil, w.now)
		return
	}
	switch w.d.roll(4) {
	case 0: // the next scan will find it
	case 1:
		w.q.Notice(nil, []string{gone}, w.now)
	case 2:
		w.q.Notice([]string{came}, nil, w.now)
	case 3:
		w.q.Notice([]string{came}, []string{gone, w.name()}, w.now)
	}
}

// rename moves a file to another name, in the spool or between the spool and hold/, and returns the new name.
func (w *world) rename(name string) string {
	places := []map[string]*fakeFile{w.spool, w.hold}
	from, to, other := pick(w.d, places), pick(w.d, places), w.name()
	if f := from[name]; f != nil && to[other] == nil {
		delete(from, name)
		to[other] = f
		w.logf("%s is renamed to %s, hold/: %v, %v", name, other, from[name] == w.hold[name], to[other] == w.hold[other])
	}
	return other
}

// scan lists the spool directory, with or without the versions.
func (w *world) scan(complete bool) {
	w.logf("scan, complete %v", complete)
	verify := w.steady || w.d.oneIn(2)
	scan := w.q.BeginScan(w.now)
	for _, name := range slices.Sorted(maps.Keys(w.spool)) {
		f := File{Name: name}
		if verify {
			f.Version = w.spool[name].version
		}
		if complete || w.d.oneIn(2) {
			scan.Listed([]File{f}, w.now)
		}
	}
	if complete || w.d.oneIn(2) {
		var held []File
		for name, f := range w.hold {
			held = append(held, File{Name: name, Version: f.version})
		}
		slices.SortFunc(held, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
		scan.Held(held, w.now)
		scan.EndHold()
	}
	if complete {
		scan.End(w.now).All(w.now)
	}
}

// act does the i-th act under way and answers it. Acts Open and Stat are done in order.
func (w *world) act(i int) {
	reads := func(a Act) bool { return a.Kind == Open || a.Kind == Stat }
	if reads(w.acts[i]) {
		i = slices.IndexFunc(w.acts, reads)
	}
	a := w.acts[i]
	w.acts = slices.Delete(w.acts, i, i+1)
	r := w.do(a)
	w.logf("%s %s: trouble %d, place %d, version %v", actWord(a), a.Name, r.Trouble, r.Place, r.Version)
	if a.Kind == Record {
		w.disk.append(a.Note)
	}
	e := a.e
	ended := r.Trouble == Fine && (a.Kind == Remove || a.Kind == Fail)
	m := recordOf(w.q, e)
	if ended {
		w.leaving, w.leavingName = m, a.Name
	} else if len(a.events) > 0 { // events of the file under its old name
		w.events()
		w.leaving, w.leavingName = m, a.events[0].File
	}
	w.q.Acted(a, r, w.now)
	if r.Why != nil {
		for _, k := range r.Why.Recipients() {
			if k.Accepted() {
				w.ends[key(w.real(r.Head.MessageID), k.Address)] = 1 // the event came before the message went to failed/
			}
		}
	}
	if ended {
		w.ended(a, m)
	} else if len(a.events) > 0 {
		w.events()
		w.leaving = nil
	}
}

// ended checks the events of a message whose file was removed or moved to failed/.
func (w *world) ended(a Act, m *record.Message) {
	w.events()
	w.leaving = nil
	for _, r := range m.Recipients() {
		if n := w.ends[key(w.real(m.MessageID), r.Address)]; n != 1 && !w.edited[w.real(m.MessageID)] && !w.lost[w.real(m.MessageID)] {
			w.fatalf("%s has ended with %d events for %s", a.Name, n, r.Address)
		}
	}
}

// do does an act, or fails at random.
func (w *world) do(a Act) Result {
	if !w.steady && w.d.oneIn(6) && a.Kind != Record && a.Kind != Notify {
		return Result{Trouble: pick(w.d, []Trouble{System, OtherCause}), Err: pick(w.d, []error{errDisk, errPassword})}
	}
	f := w.spool[a.Name]
	switch a.Kind {
	case Open:
		return w.open(a, f)
	case Stat:
		return w.stat(a)
	case Hold:
		switch {
		case f == nil:
			return Result{Trouble: Gone, Err: errLater}
		case w.hold[a.Name] != nil:
			return Result{Trouble: OtherCause, Err: errLater}
		}
		delete(w.spool, a.Name)
		w.hold[a.Name] = f
		return Result{Version: f.version}
	case Remove, Fail:
		switch {
		case f == nil:
			return Result{Trouble: Gone, Err: errLater}
		case f.version != a.Version:
			return Result{Trouble: Replaced, Err: errLater}
		}
		delete(w.spool, a.Name)
		if a.Kind == Remove {
			w.removed(a.Name, f)
			return Result{}
		}
		c := *f
		c.why = record.FailureOf(a.Message, "/spool/"+a.Name, w.now.Round(0))
		w.failed[a.Name] = &c
		return Result{Kept: "failed/" + a.Name}
	}
	return Result{}
}

// removed checks that the relay has accepted the message f for every recipient.
func (w *world) removed(name string, f *fakeFile) {
	for _, to := range f.to {
		if !w.accepted[f.id+to] && !w.edited[f.id] {
			w.fatalf("%s is removed, and %s has not accepted it", name, to)
		}
	}
}

func (w *world) stat(a Act) Result {
	h := w.hold[a.Name]
	if f := w.spool[a.Name]; f != nil {
		return Result{Place: InSpool, Version: f.version, Held: a.Held && h != nil && h.version == a.Version}
	}
	if f := h; f != nil {
		return Result{Place: InHold, Version: f.version}
	}
	return Result{}
}

func (w *world) open(a Act, f *fakeFile) Result {
	if f == nil {
		return Result{Trouble: Gone, Err: errLater}
	}
	v := f.version
	if known := a.Known.Message(); a.Compare && describes(known, v) != record.ThisVersion {
		return Result{Trouble: Differs}
	}
	if !w.steady && w.d.oneIn(5) {
		trouble := pick(w.d, []Trouble{Unsettled, Writing, Linked})
		return Result{Trouble: trouble, Err: errLater, Version: v}
	}
	if !w.steady && w.d.oneIn(60) {
		return Result{Trouble: NoMessage, Err: errLater, Version: v}
	}
	switch {
	case a.Skip && a.Version == v:
		return Result{Version: v, Unchanged: true}
	case f.bad:
		return Result{Trouble: Unusable, Err: errLater, Version: v}
	}
	known := a.Known.Message()
	revived := f.why != nil && slices.ContainsFunc(known.Recipients(), func(r *record.Recipient) bool { return r.GivenUp })
	if a.Known.Holds() && describes(known, v) == record.ThisVersion && !revived {
		return Result{Version: v, Unchanged: true, Returned: f.why != nil}
	}
	h := &record.Head{Name: a.Name, Size: v.Size, Modified: v.Time(), Inode: v.Inode, MessageID: w.messageID(f)}
	if f.noID {
		h.Digest, h.Body = "header of "+f.id, "body of "+f.id
	}
	h.Addresses.From = fmt.Sprint("s", v.Inode%3, "@x")
	for _, to := range f.to {
		h.Addresses.To = append(h.Addresses.To, message.Address{Addr: to, Err: message.CheckAddress(to)})
	}
	return Result{Version: v, Head: h, Returned: f.why != nil, Why: f.why}
}

// next takes a job if there is one.
func (w *world) next(route int, s Slots) bool {
	j, ok := w.q.Next(route, s, w.now)
	if !ok {
		return false
	}
	w.logf("job %s to %v", j.Name, j.To)
	m := recordOf(w.q, j.e)
	for i, to := range j.To {
		if w.sent[key(w.real(m.MessageID), to)] {
			w.fatalf("%s is in a job for %s, which has accepted it", j.Name, to)
		}
		if to == w.forbidden {
			w.fatalf("%s is in a job for %s, to whom no mail is allowed", j.Name, to)
		}
		if slices.Contains(j.To[:i], to) {
			w.fatalf("%s is in a job for %s twice", j.Name, to)
		}
	}
	if len(j.To) == 0 || w.busy(j.e) || s.Any < 1 || j.Large && s.Large < 1 {
		w.fatalf("%s is in a job for %v", j.Name, j.To)
	}
	w.jobs = append(w.jobs, j)
	return true
}

// busy reports whether a job or an act of e is under way.
func (w *world) busy(e *entry) bool {
	return slices.ContainsFunc(w.jobs, func(j Job) bool { return j.e == e }) ||
		slices.ContainsFunc(w.acts, func(a Act) bool { return a.e == e && a.Kind != Notify })
}

// finish ends the i-th job with outcomes of the relay.
func (w *world) finish(i int) {
	j := w.jobs[i]
	w.jobs = slices.Delete(w.jobs, i, i+1)
	f := w.version(j.Version)
	var out Finish
	switch {
	case f == nil && w.spool[j.Name] == nil:
		out = Finish{Trouble: Gone, Err: errLater}
	case f == nil:
		out = Finish{Trouble: Replaced, Err: errLater}
	case !w.steady && w.d.oneIn(8):
		out = Finish{Trouble: pick(w.d, []Trouble{System, OtherCause}), Err: errDisk}
	default:
		out.Stumbled = !w.steady && w.d.oneIn(10)
		for _, to := range j.To {
			o := pick(w.d, []attempt.Outcome{
				acceptance, acceptance, acceptance, deferral, refusal, relayFault, notOffered, withdrawn, noReply,
			})
			if w.steady {
				o = acceptance
			}
			out.Outcomes = append(out.Outcomes, o)
			if o.Err == nil {
				w.accepted[f.id+to] = true
			}
		}
	}
	w.logf("job %s ends: trouble %d, %d outcomes", j.Name, out.Trouble, len(out.Outcomes))
	w.q.Finished(j, out, w.now)
}

// version returns the file that a job has opened, wherever it is now, or nil if that version is gone.
func (w *world) version(v Version) *fakeFile {
	for _, place := range []map[string]*fakeFile{w.spool, w.hold, w.failed} {
		for _, f := range place {
			if f.version == v {
				return f
			}
		}
	}
	return nil
}

func key(id, to string) string { return id + " " + to }

// take takes the acts of the queue and checks them.
func (w *world) take() {
	w.t.Helper()
	if !w.disk.loading() {
		inspect(w.t, w.q)
	}
	for _, a := range w.q.TakeActs() {
		if a.Lazy {
			if a.Prompt || w.d.oneIn(2) {
				w.disk.append(a.Note)
			}
			continue
		}
		if a.Kind == Notify {
			w.acts = append(w.acts, a)
			continue
		}
		if w.busy(a.e) {
			w.fatalf("%s %s: a job or another act is under way", actWord(a), a.Name)
		}
		m := recordOf(w.q, a.e)
		_, waits := m.NextAttempt()
		switch {
		case a.Kind == Remove && !m.Served():
			w.fatalf("Remove %s: a recipient has not accepted it", a.Name)
		case a.Kind == Fail && (waits || !m.Failed()):
			w.fatalf("Fail %s: a recipient waits, or none was given up", a.Name)
		}
		w.acts = append(w.acts, a)
	}
	w.events()
	if !w.disk.loading() {
		w.forget()
	}
}

// events takes the events and counts them.
func (w *world) events() {
	for _, ev := range w.q.TakeEvents() {
		w.logf("event %s %s %s", ev.Kind, ev.File, ev.To)
		e := w.q.entries[ev.File]
		m := w.leaving
		switch {
		case ev.To == "" || e == nil && (m == nil || ev.File != w.leavingName):
			continue
		case m == nil || ev.File != w.leavingName:
			m = recordOf(w.q, e)
		}
		k := key(w.real(m.MessageID), ev.To)
		switch ev.Kind {
		case Sent:
			if slices.ContainsFunc(w.acts, func(a Act) bool { return len(a.events) > 0 && a.e == e }) && e.state.underWay() {
				w.fatalf("%s is sent to %s before that is recorded", ev.File, ev.To)
			}
			w.ends[k]++
			w.sent[k] = slices.ContainsFunc(m.Recipients(), func(r *record.Recipient) bool {
				return r.Address == ev.To && r.Accepted() // not made to wait again meanwhile
			})
		case Failed:
			w.ends[k]++
		case Queued:
			w.ends[k] = 0
		}
	}
}

// forget drops the facts about messages that the queue has dropped.
func (w *world) forget() {
	known := map[string]bool{}
	for n := range w.q.Snapshot(w.now) {
		known[w.real(n.Record.Message().MessageID)] = true
	}
	stale := func(k string) bool {
		id, _, _ := strings.Cut(k, " ")
		return !known[id]
	}
	maps.DeleteFunc(w.sent, func(k string, _ bool) bool { return stale(k) })
	maps.DeleteFunc(w.ends, func(k string, _ int) bool { return stale(k) })
	maps.DeleteFunc(w.edited, func(id string, _ bool) bool { return stale(id) && w.file(id) == nil })
}

// file returns the file of the message id, or nil.
func (w *world) file(id string) *fakeFile {
	for _, place := range []map[string]*fakeFile{w.spool, w.hold, w.failed} {
		for _, f := range place {
			if f.id == id {
				return f
			}
		}
	}
	return nil
}

// messageID returns the Message-ID with which f is sent.
func (w *world) messageID(f *fakeFile) string {
	if !f.noID {
		return f.id
	}
	made := fmt.Sprintf("<made-%d-%d-%d@x>", f.version.Inode, f.version.Size, f.version.Modified)
	w.ids[made] = f.id
	return made
}

// real returns the id of the file whose record has that Message-ID.
func (w *world) real(messageID string) string { return cmp.Or(w.ids[messageID], messageID) }
