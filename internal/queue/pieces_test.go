package queue

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// acceptedIn returns the accepted recipients of each message of a snapshot, by Message-ID.
func acceptedIn(all []Named) map[string]map[string]bool {
	found := make(map[string]map[string]bool)
	for _, n := range all {
		m := n.Record.Message()
		if m.MessageID == "" {
			continue // the record of a file that cannot be read
		}
		if found[m.MessageID] == nil {
			found[m.MessageID] = make(map[string]bool)
		}
		for _, r := range m.Recipients() {
			if r.Accepted() {
				found[m.MessageID][r.Address] = true
			}
		}
	}
	return found
}

// A taking is a snapshot in progress: do takes n records and reports whether there are more, and all returns the
// records.
type taking struct {
	do  func(n int) (more bool)
	all func() []Named
}

// takings begin a snapshot in each of the two ways.
var takings = map[string]func(q *Queue, now time.Time) taking{
	"Snap": func(q *Queue, now time.Time) taking {
		var got []Named
		work := q.Snap(now, func(all func() []Named) { got = all() })
		return taking{func(n int) bool { return work.Do(n, now) }, func() []Named { return got }}
	},
	"Stream": func(q *Queue, now time.Time) taking {
		var got []Named
		s := BeginStream(q, now)
		collect := s.Collect()
		return taking{func(n int) bool {
			if collect != nil {
				if !collect.Do(n, now) {
					collect = nil
					s.Sort()
				}
				return true
			}
			some, more := s.Next(n, now)
			got = append(got, some...)
			return more
		}, func() []Named { return got }}
	},
}

// Between the pieces of a snapshot, files are renamed, moved, edited, sent and removed. Every message that the queue
// had at the beginning is in the snapshot, with every acceptance.
func TestSnapshotInPiecesForgetsNoMessage(t *testing.T) {
	for name, begin := range takings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snapshotForgetsNoMessage(t, begin)
		})
	}
}

func snapshotForgetsNoMessage(t *testing.T, begin func(*Queue, time.Time) taking) {
	messages := 0
	for seed := range uint64(150) {
		w := newWorld(t, seed, nil)
		ids, unusable, edited := map[*entry]string{}, map[string]bool{}, map[string]bool{}
		step := func() {
			w.step()
			maps.Copy(edited, w.edited)
			for _, e := range w.q.entries {
				id := e.msg.Message().MessageID
				if e.msg.Holds() && id == "" { // a file that is no message: the queue has dropped the record
					unusable[ids[e]] = true
				}
				ids[e] = id
			}
		}
		for range 60 {
			step()
		}
		q, before := w.q, acceptedIn(w.snapshot())
		q.chunk, q.short, q.ordered = 1+int(seed%3), int(seed%20)-10, seed%4 > 0 // a map is read in another way while it changes
		work := begin(w.q, w.now)
		for work.do(1) {
			for range 4 {
				step()
			}
		}
		if w.q != q {
			continue // a restart has ended the snapshot
		}
		if len(q.shots) > 0 || q.stream != nil {
			t.Fatal("a snapshot that is done goes on")
		}
		after := acceptedIn(work.all())
		for id, to := range before {
			messages++
			if unusable[id] {
				continue
			}
			if after[id] == nil {
				w.fatalf("seed %d: the snapshot has lost %s", seed, id)
			}
			for address := range to {
				if !after[id][address] && !edited[id] {
					w.fatalf("seed %d: the snapshot has lost that %s has accepted %s", seed, address, id)
				}
			}
		}
	}
	if messages < 100 {
		t.Fatalf("only %d messages in all snapshots", messages)
	}
}

// A file that is found while a snapshot is taken is in the snapshot with the record of the last run.
func TestSnapshotInPiecesHasWhatIsSeenMeanwhile(t *testing.T) {
	t.Parallel()
	for _, begin := range takings {
		is := is.New(t)
		f := newFixture(t)
		for _, name := range []string{"m", "n"} {
			h := headOf(thisVersion)
			h.Name, h.MessageID = name, "<"+name+"@x>"
			f.q.Remember(name, record.New(*h, f.now), f.now)
		}
		work := begin(f.q, f.now)
		is.True(work.do(1))
		f.q.Notice([]string{"m", "n"}, nil, f.now)
		for work.do(10) {
		}
		is.Equal(len(acceptedIn(work.all())), 2) // both messages
		is.Equal(len(work.all()), 2)             // each of them once
	}
}

// The records of a Stream are in the order of the names, with those of missing messages. A message that is renamed
// before it is taken comes at the end. A message that was taken comes once.
func TestStreamIsInTheOrderOfTheNames(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	names := []string{"e", "b", "d", "a", "c"}
	for _, name := range names {
		h := headOf(thisVersion)
		h.Name, h.MessageID = name, "<"+name+"@x>"
		f.q.Remember(name, record.New(*h, f.now), f.now)
	}
	stream := BeginStream(f.q, f.now)
	stream.Collect().All(f.now)
	stream.Sort()
	is.Equal(stream.Len(), 5)
	got, more := stream.Next(2, f.now)
	is.True(more)
	f.q.Notice([]string{"a", "c"}, nil, f.now) // the records lose their names
	rest, more := stream.Next(10, f.now)
	is.True(!more)
	var order []string
	for _, n := range append(got, rest...) {
		order = append(order, n.Name)
	}
	is.Equal(order, []string{"a", "b", "d", "e", "c"})
}

// Streams that end early, as on a full disk, do not make a later Stream leave out a message that was renamed.
func TestStreamAfterManyEndedStreams(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	for _, name := range []string{"a", "z"} {
		h := headOf(thisVersion)
		h.Name, h.MessageID = name, "<"+name+"@x>"
		f.q.Remember(name, record.New(*h, f.now), f.now)
	}
	f.q.Notice([]string{"a", "z"}, nil, f.now)
	begin := func() *Stream {
		stream := BeginStream(f.q, f.now)
		stream.Collect().All(f.now)
		stream.Sort()
		return stream
	}
	_, more := begin().Next(2, f.now)
	is.True(!more)
	for f.q.streams < math.MaxUint8 {
		stream := begin()
		_, more := stream.Next(1, f.now) // the record of a only
		is.True(more)
		stream.Close()
	}
	stream := begin()
	got, _ := stream.Next(1, f.now)
	f.q.drop(f.q.entries["z"])
	rest, _ := stream.Next(1, f.now)
	is.Equal(len(acceptedIn(append(got, rest...))), 2) // both messages
}

// A reload in pieces edits every message once, by the name that it had at the beginning, whatever happens to files while
// the messages are collected.
func TestReloadInPieces(t *testing.T) {
	t.Parallel()
	for _, ordered := range []bool{true, false} {
		for name, meanwhile := range map[string]func(f *fixture, e *entry){
			"no change": func(*fixture, *entry) {},
			"a message gets another name": func(f *fixture, e *entry) {
				f.q.leaving(e)
				delete(f.q.entries, e.name)
				e.name = "renamed"
				f.q.entries[e.name] = e
			},
			"a message goes": func(f *fixture, e *entry) { f.q.drop(e) },
		} {
			t.Run(fmt.Sprint(name, ", ordered ", ordered), func(t *testing.T) {
				reloadInPieces(t, ordered, meanwhile)
			})
		}
	}
}

func reloadInPieces(t *testing.T, ordered bool, meanwhile func(f *fixture, e *entry)) {
	is := is.New(t)
	const messages = 20
	for changed := range messages { // the message that changes
		for at := range messages { // the number of messages that are collected before
			f := newFixture(t)
			f.q.ordered, f.q.chunk, f.q.short = ordered, 1, 0
			edits, later := NewEdits(f.now), f.now.Add(time.Hour)
			for n := range messages {
				h := headOf(thisVersion)
				h.Name, h.MessageID = string(rune('a'+n)), fmt.Sprint("<", n, "@x>")
				m := record.New(*h, f.now)
				e := f.q.add(h.Name, seenAt(f.now), f.now)
				f.q.keep(e, m, f.now)
				f.q.sched.move(e, waiting, f.now)
				by := e.msg.Message()
				by.RetryAt(later)
				edits.Add(h.Name, by)
			}
			e := f.q.entries[string(rune('a'+changed))]
			work := f.q.Reload(edits, record.Edit{Since: f.now}, f.now)
			work.Do(at, f.now)
			meanwhile(f, e)
			for work.Do(1, f.now) {
			}
			for _, e := range f.q.entries {
				next, waits := e.msg.Message().NextAttempt()
				is.True(waits)
				is.Equal(next, later) // edited
			}
			is.Equal(f.q.edition, nil)
		}
	}
}

// To begin a work on all messages takes no time that grows with their number: no list of them is made.
func TestWorksBeginAtOnce(t *testing.T) {
	f := newFixture(t)
	const messages = 50_000
	for n := range messages {
		f.q.add(strconv.Itoa(n), seenAt(f.now), f.now)
	}
	for name, begin := range map[string]func() *Work{
		"flush": func() *Work { return f.q.Flush(f.now) },
		"scan":  func() *Work { return f.q.BeginScan(f.now).End(f.now) },
	} {
		var work *Work
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		work = begin()
		runtime.ReadMemStats(&after)
		work.All(f.now)
		if took := after.TotalAlloc - before.TotalAlloc; took > messages {
			t.Errorf("%s takes %d bytes of memory at once", name, took)
		}
	}
}

// Flush in pieces makes every message due that waited at its beginning.
func TestFlushInPieces(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "waiting")
	work := f.q.Flush(f.now)
	is.True(!work.Do(1, f.now))
	f.q.Advance(f.now, Room{Reads: 1, Free: 1}, 10)
	is.Equal(f.effects(), "ready")
}

// A reload of the options that keeps the routes and the ages does not look at the messages, of which there may be a
// million.
func TestReconfigureWithTheSameRoutes(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "ready")
	rules, calls := threeRoutes(), 0
	f.q.Reconfigure(rules).All(f.now)
	routeOf := rules.RouteOf
	rules.RouteOf = func(sender string) int { calls++; return routeOf(sender) }
	rules.RoutesKept, rules.Freq = true, 2*rules.Freq
	is.Equal(f.q.Reconfigure(rules).Do(0, f.now), false)
	is.Equal(calls, 0)
	is.Equal(f.q.rules.Freq, rules.Freq)
	before, _ := f.q.sched.nextExpiry()
	rules.MaxAge *= 2 // each message gets another time at which it is given up
	f.q.Reconfigure(rules).All(f.now)
	after, _ := f.q.sched.nextExpiry()
	is.Equal(after.Sub(before), rules.MaxAge/2)
}

// A reload of other options looks at the messages in pieces. Meanwhile no message is sent by its former route, none is
// counted twice, and none is sent to a recipient that is forbidden now.
func TestReconfigureInPieces(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	const messages = 30
	f.arrive(messages, func(n int, h *record.Head) {
		h.Addresses.From, h.Addresses.To[0].Addr = strconv.Itoa(n%3)+"@x", strconv.Itoa(n)+"@y"
	})
	is.Equal(f.q.Ready(0), messages)
	f.q.short, f.q.chunk = 0, 4
	rules := threeRoutes()
	rules.RouteOf = func(sender string) int { return int(sender[0] - '0') }
	rules.Forbidden = func(to []string) string {
		if to[0] == "29@y" || to[0] == "0@y" {
			return to[0]
		}
		return ""
	}
	rules.MaxAge /= 2
	one := rules
	one.Routes, one.RouteOf, one.Forbidden = 1, func(string) int { return 0 }, nil
	sent := map[string]bool{}
	takeAll := func(routes int) {
		for route := range routes {
			for j, ok := f.q.Next(route, Slots{Any: 1}, f.now); ok; j, ok = f.q.Next(route, Slots{Any: 1}, f.now) {
				is.True(!sent[j.To[0]])
				is.Equal(j.Route, rules.RouteOf(j.From))
				sent[j.To[0]] = true
			}
		}
	}
	work := f.q.Reconfigure(rules)
	is.Equal(f.q.sched.backlog(), messages)
	is.Equal(f.q.Ready(0), 0) // in the lanes of the former routes
	is.True(work.Do(5, f.now))
	second := f.q.Reconfigure(one) // and again, and back, before the first work has ended
	third := f.q.Reconfigure(rules)
	is.True(f.q.sched.backlog() >= messages-2) // but for messages that are forbidden
	for work.Do(2, f.now) {
		takeAll(3)
	}
	second.All(f.now)
	third.All(f.now)
	takeAll(3)
	is.Equal(len(sent), messages-2)
	is.Equal(f.q.sched.backlog(), 0)
	is.Equal(len(f.q.sched.ready.lanes), 3)
}

// A reload forbids recipients of many messages, and keeps the routes: the messages are held in pieces.
func TestForbiddenInPieces(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	const messages = 30
	f.arrive(messages, func(n int, h *record.Head) { h.Addresses.To[0].Addr = strconv.Itoa(n) + "@y" })
	f.q.short, f.q.chunk = 0, 4
	rules := testRules()
	rules.RoutesKept, rules.Forbidden = true, func(to []string) string { return to[0] }
	work := f.q.Reconfigure(rules)
	_, ok := f.q.Next(0, Slots{Any: 1}, f.now)
	is.True(!ok)
	is.Equal(len(f.q.TakeActs()), 0)
	work.Do(5, f.now)
	_, ok = f.q.Next(0, Slots{Any: 1}, f.now)
	is.True(!ok)
	is.Equal(len(f.q.TakeActs()), 5)
	work.All(f.now)
	is.Equal(len(f.q.TakeActs()), messages-5)
}

// arrive has messages come, until they are ready. Change changes the head of the message n.
func (f *fixture) arrive(messages int, change func(n int, h *record.Head)) {
	for n := range messages {
		name := strconv.Itoa(n)
		f.q.Notice([]string{name}, nil, f.now)
		f.q.Advance(f.now, Room{Reads: 1, Free: 1}, 1)
		v, h := benchHead(n + 1)
		change(n, h)
		f.q.Acted(f.q.TakeActs()[0], Result{Version: v, Head: h}, f.now)
	}
}

// Messages of a route that cannot be used go by the routes of their other recipients, in pieces.
func TestDivertInPieces(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	rules := threeRoutes()
	rules.RouteOf = func(string) int { return 2 }
	rules.RouteTo = func(to string) (int, bool) { return int(to[0] - 'a'), to[0] != 'c' }
	f.q.Reconfigure(rules)
	f.arrive(20, func(n int, h *record.Head) {
		h.Addresses.To = []message.Address{{Addr: "a@x"}, {Addr: string(rune('a'+n%3)) + "@y"}}
	})
	is.Equal(f.q.Ready(0), 20)
	f.q.short, f.q.chunk = 0, 4
	var moved, more, ended bool
	then := func(m, o bool) { moved, more, ended = m, o, true }
	work := f.q.Divert(0, then)
	is.True(work.Do(7, f.now))
	f.next() // one of them is sent meanwhile, and another one goes away
	f.q.Notice(nil, []string{"5"}, f.now)
	work.All(f.now)
	is.True(ended && moved && more)
	is.True(f.q.Ready(1) >= 5 && f.q.Ready(2) >= 5)
	is.Equal(f.q.Ready(0)+f.q.Ready(1)+f.q.Ready(2), 18)
	work = f.q.Divert(1, then)
	f.q.Reconfigure(testRules()) // the routes change meanwhile
	work.All(f.now)
	is.True(!moved)
	f.q.Divert(1, then).All(f.now) // a route that is no longer there
	is.True(!moved && !more)
}
