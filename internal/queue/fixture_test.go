package queue

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

var (
	errLater = errors.New("later")
	errDisk  = errors.New("no space left on device")
)

// Short names for outcomes. Only these lines use the constants of package attempt.
var (
	acceptance  = attempt.Outcome{Relay: "r"}
	deferral    = attempt.Outcome{Relay: "r", Fault: attempt.Recipient, Err: errLater}
	refusal     = attempt.Outcome{Relay: "r", Fault: attempt.Recipient, Err: errLater, Permanent: true, Code: 550}
	relayFault  = attempt.Outcome{Relay: "r", Fault: attempt.Relay, Err: errLater}
	notOffered  = attempt.Outcome{Relay: "r", Fault: attempt.None, Err: errLater}
	withdrawn   = attempt.Outcome{Relay: "r", Fault: attempt.None, Err: errLater, Withdrawn: true}
	noReply     = attempt.Outcome{Relay: "r", Fault: attempt.Message, Err: errLater, Uncertain: true}
	errPassword = errors.New("permission denied")
)

const maxAge = 5 * 24 * time.Hour

func testRules() Rules {
	return Rules{
		Freq: 10 * time.Second, Settle: 2 * time.Second, Unused: time.Hour, MaxAge: maxAge, WarnAfter: 4 * time.Hour, Reports: true,
		Retry:  record.Rule{MaxAttempts: 100, Backoff: func(n int) time.Duration { return time.Duration(n) * time.Minute }},
		Routes: 1, RouteOf: func(string) int { return 0 },
	}
}

// set returns the value of time.Now at the time at after the clock was set by d: the wall clock has jumped, and the
// monotonic clock has not. There is no API for that, so set uses the internal form of a time.Time, and checks the
// result.
func set(t testing.TB, at time.Time, d time.Duration) time.Time {
	t.Helper()
	jumped := at
	wall := (*uint64)(unsafe.Pointer(&jumped))
	*wall += uint64(d/time.Second) << 30
	if jumped.Sub(at) != 0 || jumped.Round(0).Sub(at.Round(0)) != d {
		t.Fatalf("%v is not %v set by %v", jumped, at, d)
	}
	return jumped
}

// The versions of the file m.
var (
	thisVersion  = Version{Inode: 1, Size: 10, Modified: 5}
	otherVersion = Version{Inode: 2, Size: 11, Modified: 6}
)

// headOf returns the head of version v of the file m: a message for a@x and b@x.
func headOf(v Version) *record.Head {
	return &record.Head{
		Name: "m", Size: v.Size, Modified: v.Time(), Inode: v.Inode, MessageID: "<1@x>",
		Addresses: message.Addresses{From: "s@x", To: []message.Address{{Addr: "a@x"}, {Addr: "b@x"}}},
	}
}

// A fixture is a queue with one file, m.
type fixture struct {
	t     testing.TB
	q     *Queue
	start time.Time
	now   time.Time
	act   Act // the last act other than Notify and lazy acts
	job   Job
}

func newFixture(t testing.TB) *fixture {
	now := time.Now()
	return &fixture{t: t, q: New(testRules(), now), start: now, now: now}
}

// in returns a fixture with the file m in the given state.
func in(t testing.TB, state string) *fixture {
	t.Helper()
	f := newFixture(t)
	enter[state](f)
	f.take()
	f.q.TakeEvents()
	if e := f.entry(); e == nil || !strings.HasPrefix(state, e.state.String()) {
		t.Fatalf("not %s, but %s", state, f.state())
	}
	return f
}

// states are all states of an entry, with each state that an act Stat can return to.
var states = []string{
	"unread", "unread again", "opening", "opening again", "waiting", "ready", "busy", "recording", "removing", "failing",
	"finishing", "finishing failed", "held",
	"checking unread", "checking waiting", "checking ready", "checking finishing", "checking held",
	"missing",
}

// enter brings the file m into a state by inputs.
var enter map[string]func(f *fixture)

func init() {
	before := func(state string, then func(f *fixture)) func(f *fixture) {
		return func(f *fixture) {
			enter[state](f)
			f.take()
			then(f)
		}
	}
	gone := func(f *fixture) { f.q.Notice(nil, []string{"m"}, f.now) }
	enter = map[string]func(f *fixture){
		"unread":  func(f *fixture) { f.q.Notice([]string{"m"}, nil, f.now) },
		"opening": before("unread", func(f *fixture) { f.advance(0) }),
		"ready":   before("opening", func(f *fixture) { f.answer(Result{Version: thisVersion, Head: headOf(thisVersion)}) }),
		"busy":    before("ready", func(f *fixture) { f.next() }),
		"waiting": before("busy", func(f *fixture) { f.finish(deferral, deferral) }),
		// The status file has the message with a retry in an hour.
		"unread again": func(f *fixture) {
			m := record.New(*headOf(thisVersion), f.now.Add(-time.Hour))
			m.RetryAt(f.now.Add(time.Hour))
			f.q.Remember("m", m, f.now)
			f.scan(thisVersion)
		},
		"opening again": before("unread again", func(f *fixture) { f.advance(0) }),
		"recording":     before("busy", func(f *fixture) { f.finish(acceptance, deferral) }),
		"removing":      before("busy", func(f *fixture) { f.finish(acceptance, acceptance) }),
		"failing":       before("busy", func(f *fixture) { f.finish(refusal, refusal) }),
		"finishing": before("removing", func(f *fixture) {
			f.answer(Result{Trouble: System, Err: errDisk})
			f.take()
			f.answer(Result{}) // the acceptances are recorded
			f.take()
			f.answer(Result{Trouble: System, Err: errDisk})
		}),
		"finishing failed": before("failing", func(f *fixture) { f.answer(Result{Trouble: System, Err: errDisk}) }),
		"held":             before("checking waiting", func(f *fixture) { f.answer(Result{Place: InHold, Version: thisVersion}) }),
		"checking unread":  before("unread again", func(f *fixture) { f.scan() }),
		"missing":          before("checking waiting", func(f *fixture) { f.answer(Result{Place: Nowhere}) }),
		"checking waiting": before("waiting", gone), "checking ready": before("ready", gone),
		"checking finishing": before("finishing", gone), "checking held": before("held", gone),
	}
}

// String returns the name of s.
func (s state) String() string {
	return [...]string{
		"unread", "opening", "waiting", "ready", "busy", "recording", "finishing", "removing", "failing", "held", "checking",
		"missing",
	}[s]
}

// advance lets d pass.
func (f *fixture) advance(d time.Duration) {
	f.now = f.now.Add(d)
	f.q.Advance(f.now, Room{Reads: 1000, Free: 10}, 100)
}

// scan lists the spool directory, in which the file m has one of the versions; without versions, m is not listed.
func (f *fixture) scan(m ...Version) {
	scan := f.q.BeginScan(f.now)
	for _, v := range m {
		scan.Listed([]File{{Name: "m", Version: v}}, f.now)
	}
	scan.End(f.now).All(f.now)
}

func (f *fixture) next() {
	f.t.Helper()
	j, ok := f.q.Next(0, Slots{Any: 1, Large: 1}, f.now)
	if !ok {
		f.t.Fatal("no job")
	}
	f.job = j
}

func (f *fixture) finish(outcomes ...attempt.Outcome) {
	f.q.Finished(f.job, Finish{Outcomes: outcomes}, f.now)
}

func (f *fixture) answer(r Result) { f.q.Acted(f.act, r, f.now) }

// take takes the acts and returns them as text.
func (f *fixture) take() string {
	var words []string
	for _, a := range f.q.TakeActs() {
		if a.Kind != Notify && !a.Lazy {
			f.act = a
		}
		words = append(words, actWord(a))
	}
	return strings.Join(words, ", ")
}

// actWord returns an act as text. A journal line that may be left out has a question mark.
func actWord(a Act) string {
	word := [...]string{"Open", "Stat", "Remove", "Fail", "Record", "Notify", "Hold"}[a.Kind]
	if a.Lazy {
		word += "?"
	}
	return word
}

// events takes the events and returns them as text.
func (f *fixture) events() string {
	var words []string
	for _, ev := range f.q.TakeEvents() {
		word := string(ev.Kind)
		if ev.To != "" {
			word += " " + ev.To[:1]
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// entry returns the entry of the file m or, if there is none, the entry of the missing file.
func (f *fixture) entry() *entry {
	if e := f.q.entries["m"]; e != nil {
		return e
	}
	for e := range f.q.absent.all {
		return e
	}
	return nil
}

// state returns the state of the file m as text: its name, the time until it ends, the state before (for checking), and
// in parentheses the check that follows the end of an act or a job.
func (f *fixture) state() string {
	e := f.entry()
	if e == nil {
		return "gone"
	}
	s := e.state.String()
	switch e.state {
	case unread, waiting, finishing, missing:
		s += " " + short(f.q.sched.time(e.due).Sub(f.now))
	case checking:
		s += " " + e.before.String()
	}
	switch {
	case e.has(appeared):
		s += " (new file)"
	case e.has(stirred):
		s += " (changed)"
	}
	return s
}

// short returns d as text, or "now" if d is not positive.
func short(d time.Duration) string {
	if d = d.Round(5 * time.Millisecond); d <= 0 {
		return "now"
	}
	s := d.String()
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, unit) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// effects returns all effects of an input as text: the state of the file m, the acts and the events.
func (f *fixture) effects() string {
	f.t.Helper()
	inspect(f.t, f.q)
	parts := []string{f.state(), f.take(), f.events()}
	for len(parts[len(parts)-1]) == 0 {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, " | ")
}

// edited returns the record of m after an edit of the status file that marks b as done.
func (f *fixture) edited() map[string]*record.Message {
	m := recordOf(f.q, f.entry())
	if m.Len() == 0 {
		m = record.New(*headOf(thisVersion), f.now)
	}
	m.To[1].Status, m.To[1].GivenUp = record.Done, false
	return map[string]*record.Message{"m": m}
}

// inspect checks that each entry is in the heap or lane of its state and in no other, and that the records are
// consistent.
func inspect(t testing.TB, q *Queue) {
	t.Helper()
	inspectCounts(t, q)
	fail := func(e *entry, why string) {
		t.Helper()
		t.Fatalf("%s is %v: %s", e.name, e.state, why)
	}
	pending, readies, expiry, underWay, indexed, recalls := 0, 0, 0, 0, 0, 0
	byDue, byLook := slices.Collect(q.sched.pending.All()), slices.Collect(q.sched.expiry.All())
	all := make([]*entry, 0, len(q.entries))
	for name, e := range q.entries {
		if all = append(all, e); e.name != name {
			fail(e, "it is under another name: "+name)
		}
		if _, also := q.memory[name]; also {
			fail(e, "it is also only remembered")
		}
		if e.state == missing {
			fail(e, "it is among the files")
		}
	}
	for e := range q.absent.all {
		if all = append(all, e); q.entries[e.name] == e || e.state != missing && e.state != held {
			fail(e, "it is absent")
		}
	}
	for _, e := range all {
		if e.has(recalled) {
			recalls++
		}
		if e.has(listed) != slices.Contains(q.absent.byID[identity(e.msg.Message())], e) || e.state == missing && !e.has(listed) {
			fail(e, "it cannot be found by its identity")
		}
		if e.id != (Version{}) {
			if indexed++; q.index.find(e.id, func(f *entry) bool { return f == e }) == nil {
				fail(e, "it cannot be found by its version")
			}
		}
		timed := e.state == unread || e.state == waiting || e.state == finishing || e.state == missing
		switch {
		case timed != (e.place[0] >= 0):
			fail(e, "pending")
		case (e.state == ready) != (e.place[1] >= 0):
			fail(e, "ready")
		case e.place[2] >= 0 && e.state == held:
			fail(e, "in expiry")
		case e.state == waiting && e.place[2] < 0, e.state == ready && e.place[2] < 0:
			fail(e, "not in expiry: it would never be given up")
		case e.state != unread && e.state != opening && e.state != checking && !e.msg.Holds():
			fail(e, "no record")
		case e.has(stirred|appeared) && !e.state.underWay():
			fail(e, "a change that nobody looks at")
		case e.seen == nil && e.state != checking && e.state != held:
			fail(e, "it was never seen")
		}
		if timed {
			pending++
			if byDue[e.place[0]] != e {
				fail(e, "place in pending")
			}
		}
		if e.place[2] >= 0 {
			expiry++
			if byLook[e.place[2]] != e {
				fail(e, "place in expiry")
			}
		}
		if e.state == ready {
			readies++
		}
		if e.state.underWay() && e.state != busy {
			underWay++
		}
		inspectRecord(t, q, e)
	}
	backlog := q.sched.backlog()
	if pending != q.sched.pending.Len() || readies != backlog || expiry != q.sched.expiry.Len() || underWay != q.underWay {
		t.Fatalf("pending %d of %d, ready %d of %d, expiry %d of %d, acts %d of %d", pending, q.sched.pending.Len(), readies, backlog,
			expiry, q.sched.expiry.Len(), underWay, q.underWay)
	}
	for e := range q.served {
		if q.entries[e.name] != e || e.state != removing {
			fail(e, "a served message that is not about to be removed")
		}
	}
	if indexed != q.index.len() || recalls != q.absent.recalled {
		t.Fatalf("%d of %d versions, %d of %d records of the last run", indexed, q.index.len(), recalls, q.absent.recalled)
	}
	for e := range q.trouble {
		if q.entries[e.name] != e {
			fail(e, "trouble of a file that is gone")
		}
	}
}

// recordOf returns a copy of the record of e.
func recordOf(q *Queue, e *entry) *record.Message {
	if m := q.served[e]; m != nil {
		return m.Clone()
	}
	return e.msg.Message()
}

// inspectRecord checks that the record of e and the other fields of e fit its state.
func inspectRecord(t testing.TB, q *Queue, e *entry) {
	t.Helper()
	if !e.msg.Holds() {
		return
	}
	m := recordOf(q, e)
	inProgress := slices.ContainsFunc(m.Recipients(), func(r *record.Recipient) bool { return r.Status == record.InProgress })
	_, waits := m.NextAttempt()
	switch {
	case inProgress && e.state != busy:
		t.Fatalf("%s is %v: a recipient is in progress", e.name, e.state)
	case !waits && (e.state == waiting || e.state == ready):
		t.Fatalf("%s is %v: no recipient waits", e.name, e.state)
	case e.state == ready && (e.from() != m.From || int(e.priority) != m.Priority):
		t.Fatalf("%s is %v: in the lane of %q, but from %q", e.name, e.state, e.from(), m.From)
	case (e.state == waiting || e.state == ready) && m.Partial():
		t.Fatalf("%s is %v: the record is partial", e.name, e.state)
	}
}

// reloadAll reloads the edited messages of a status file, by file name.
func reloadAll(q *Queue, edited map[string]*record.Message, how record.Edit, now time.Time) {
	edits := NewEdits(now)
	for name, m := range edited {
		edits.byName[name] = edits.packer.Pack(m, now)
	}
	for work := q.Reload(edits, how, now); work.Do(1, now); {
	}
}
