package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// A spool is a queue with several files. Each act Open is answered with a message for one recipient.
type spool struct {
	t         testing.TB
	q         *Queue
	room      Room
	notBefore map[string]time.Time // by name of the message
	others    []Act                // acts other than Open
}

func newSpool(t testing.TB, now time.Time) *spool {
	return &spool{t: t, q: New(testRules(), now), room: Room{Reads: 1000, Free: 10}, notBefore: map[string]time.Time{}}
}

// headFor returns the head of the file name: a message for one recipient.
func (s *spool) headFor(name string) *record.Head {
	h := &record.Head{
		Name: name, Size: thisVersion.Size, Modified: thisVersion.Time(), Inode: 1, MessageID: "<" + name + "@x>",
		Addresses: message.Addresses{From: "s@x", To: []message.Address{{Addr: "b@x"}}},
	}
	if at, ok := s.notBefore[name]; ok {
		h.Envelope = &message.Envelope{From: "s@x", To: []string{"b@x"}, NotBefore: at}
	}
	return h
}

// list scans the spool with files of these names.
func (s *spool) list(now time.Time, names ...string) {
	scan := s.q.BeginScan(now)
	var files []File
	for _, name := range names {
		files = append(files, File{Name: name})
	}
	scan.Listed(files, now)
	scan.End(now).All(now)
}

// advance advances the queue until there is nothing more to do, at most budget messages at a time. It returns the
// number of messages that were given up.
func (s *spool) advance(now time.Time, budget int) (failed int) {
	s.t.Helper()
	for more := true; more; {
		more = s.q.Advance(now, s.room, budget)
		for _, a := range s.q.TakeActs() {
			switch a.Kind {
			case Open:
				s.q.Acted(a, Result{Version: thisVersion, Head: s.headFor(a.Name)}, now)
				more = true
			case Fail:
				s.q.Acted(a, Result{Kept: "failed/" + a.Name}, now)
				failed++
			default:
				s.others = append(s.others, a)
			}
		}
		inspect(s.t, s.q)
	}
	s.q.TakeEvents()
	return failed
}

// next returns the next job. There must be one.
func (s *spool) next(now time.Time) Job {
	s.t.Helper()
	j, ok := s.q.Next(0, Slots{Any: 1, Large: 1}, now)
	if !ok {
		s.t.Fatal("no job")
	}
	return j
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("m%04d", i))
	}
	return all
}

// opens advances once and returns the number of acts Open.
func (s *spool) opens(now time.Time) int {
	s.q.Advance(now, s.room, 100)
	return len(s.q.TakeActs())
}

// While jobs are under way, only as many files are read as can be sent soon. A further file is read a second later.
func TestFilesAreReadAsTheyCanBeSent(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	s := newSpool(t, now)
	s.list(now, names(3)...)
	s.room = Room{Reads: 1000, Free: 2, Busy: true}
	s.q.Advance(now, s.room, 2)
	acts := s.q.TakeActs()
	is.Equal(len(acts), 2)
	for _, a := range acts {
		s.q.Acted(a, Result{Version: thisVersion, Head: s.headFor(a.Name)}, now)
	}
	is.Equal(s.q.Ready(0), 2)
	is.Equal(s.opens(now), 0) // two files are enough
	at, ok := s.q.Wake()
	is.True(ok)
	is.Equal(at.Sub(now), readPatience)
	is.Equal(s.opens(now.Add(readPatience)), 1) // the next file may be urgent
}

// Without a job under way, no end of a job makes the queue read further: all files are read.
func TestFilesAreReadWhileNoJobIsUnderWay(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	s := newSpool(t, now)
	s.list(now, names(5)...)
	s.room = Room{Reads: 1000, Free: 2}
	s.advance(now, 1) // the first two messages are ready when the third file is read
	is.Equal(s.q.Ready(0), 5)
}

// Advance returns no more acts Open than there is room for.
func TestReadsAreBounded(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	s := newSpool(t, now)
	s.list(now, names(5)...)
	s.room.Reads = 3
	is.True(!s.q.Advance(now, s.room, 100)) // the queue waits for an answer
	acts := slices.Clone(s.q.TakeActs())
	is.Equal(len(acts), 3)
	s.room.Reads = 0
	is.Equal(s.opens(now), 0)
	for _, a := range acts {
		s.q.Acted(a, Result{Version: thisVersion, Head: s.headFor(a.Name)}, now)
	}
	s.room.Reads = 3
	is.Equal(s.opens(now), 2)
}

// After a start with a long queue, messages that are due and new files are read first. The other files follow soon.
func TestAfterAStartDueMessagesGoFirst(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	s := newSpool(t, now)
	all := names(1000)
	for _, name := range all {
		m := record.New(*s.headFor(name), now)
		m.RetryAt(now.Add(time.Hour))
		s.q.Remember(name, m, now)
	}
	s.list(now, append(all, "z")...)
	s.q.Advance(now, s.room, 1000)
	acts := s.q.TakeActs()
	is.True(len(acts) <= 2) // z, and the first of the other files
	opened := map[string]bool{}
	for _, a := range acts {
		opened[a.Name] = true
		s.q.Acted(a, Result{Version: thisVersion, Unchanged: a.Name != "z", Head: s.headFor(a.Name)}, now)
	}
	is.True(opened["z"])
	is.Equal(s.q.Ready(0), 1)
	is.True(s.opens(now.Add(10*time.Millisecond)) > 50) // one file every 50 µs
	s.room.Reads = 2000
	for range 20 {
		s.q.Advance(now.Add(time.Second), s.room, 100)
	}
	is.True(len(s.q.TakeActs()) > 700)
	is.Equal(s.q.Ready(0), 1)
}

// When many messages are given up, Advance returns often, so that the caller can do other work.
func TestManyExpiredMessagesHoldUpNothing(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	s := newSpool(t, now)
	s.list(now, names(200)...)
	s.advance(now, 1000)
	is.Equal(s.q.Ready(0), 200)
	now = now.Add(maxAge)
	is.True(s.q.Advance(now, s.room, 10))
	fails := 0
	for _, a := range s.q.TakeActs() {
		if a.Kind == Fail {
			fails++
		}
	}
	is.True(fails > 0 && fails <= 10)
}

// A snapshot that is being written is not changed by Flush.
func TestFlushLeavesASnapshotAsItWas(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	later := now.Add(time.Hour)
	s := newSpool(t, now)
	m := record.New(*s.headFor("m"), now)
	m.RetryAt(later)
	s.q.Remember("m", m, now)
	var before, after []Named
	for n := range s.q.Snapshot(now) {
		before = append(before, n)
	}
	s.q.Flush(now).All(now)
	for n := range s.q.Snapshot(now) {
		after = append(after, n)
	}
	is.True(before[0].Record.Message().To[0].NextAttempt.Equal(later))
	is.True(after[0].Record.Message().To[0].NextAttempt.Equal(now))
}

// A file that cannot be read when its message is to be sent is reported once, and tried again. No attempt is counted.
func TestFileThatCannotBeReadWhileQueuedWaits(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "ready")
	for i := range 3 {
		f.next()
		f.q.Finished(f.job, Finish{Trouble: OtherCause, Err: errPassword}, f.now)
		m := f.q.entries["m"].msg.Message()
		is.True(strings.Contains(m.Error, "permission denied")) // the status file has the error
		is.Equal(m.To[0].Attempts, 0)
		want := "waiting 10s"
		if i == 0 {
			want += " |  | unusable"
		}
		is.Equal(f.effects(), want)
		f.advance(10 * time.Second)
	}
	f.next()
	f.finish(acceptance, acceptance)
	is.Equal(f.effects(), "removing | Remove")
}

func BenchmarkScan(b *testing.B) {
	for _, n := range []int{5_000, 200_000} {
		now := time.Now()
		all := names(n)
		b.Run(fmt.Sprint("new/", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				newSpool(b, now).list(now, all...)
			}
		})
		b.Run(fmt.Sprint("known/", n), func(b *testing.B) {
			s := newSpool(b, now)
			s.list(now, all...)
			b.ReportAllocs()
			for b.Loop() {
				s.list(now, all...)
			}
		})
	}
}
