package collector

import (
	"context"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/daemonstate"
)

// spool is one that says of itself what a test wants.
type spool struct {
	mu    sync.Mutex
	h     spoolgore.Health
	looks int
	wait  <-chan struct{} // nil: nothing hangs
}

func (s *spool) health() spoolgore.Health {
	s.mu.Lock()
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		<-wait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	return s.h
}

func (s *spool) set(h spoolgore.Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h = h
}

func (s *spool) hang(until <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait = until
}

func (s *spool) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.looks
	s.looks = 0
	return n
}

type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// begin takes the pulse of s in the bubble of the test until stop is called.
func begin(t *testing.T, s *spool, o Options) (p *Collector, log *lines, stop func()) {
	t.Helper()
	log = &lines{}
	o.Health, o.Log = s.health, slog.New(slog.NewTextHandler(log, nil))
	p = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	return p, log, func() { cancel(); <-done }
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func read(t *testing.T, dir string) daemonstate.State {
	t.Helper()
	s, ok, err := daemonstate.Read(dir)
	if err != nil || !ok {
		t.Fatal("no state:", err)
	}
	return s
}

// same reports whether the file at path is still the one that info tells of.
func same(t *testing.T, path string, info os.FileInfo) bool {
	t.Helper()
	now, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(now, info)
}

var well = spoolgore.Health{Running: true, Files: 3, Relays: []spoolgore.RelayHealth{{Name: "a:25", Limit: 2}}}

func TestTheFileComesWithTheSpoolAndGoesWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{}, t.TempDir()
		_, _, stop := begin(t, s, Options{Dir: dir, Version: "v1", Rate: "5/s"})
		pass(time.Hour)
		_, ok, err := daemonstate.Read(dir)
		is.NoErr(err)
		is.True(!ok) // it does not run, perhaps as another daemon does
		s.set(well)
		pass(time.Second)
		got := read(t, dir)
		is.Equal(got.PID, os.Getpid())
		is.Equal(got.Version, "v1")
		is.Equal(got.Rate, "5/s")
		is.Equal(got.Relays, []daemonstate.Relay{{Name: "a:25", Limit: 2}})
		stop()
		_, ok, err = daemonstate.Read(dir)
		is.NoErr(err)
		is.True(!ok)
	})
}

func TestAnIdleSpoolCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		_, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		path := filepath.Join(dir, daemonstate.Name)
		info, err := os.Stat(path)
		is.NoErr(err)
		s.looked()
		for range 60 {
			pass(time.Minute)
			is.True(time.Since(read(t, dir).Written) <= 30*time.Second) // it is told all the time that it lives
		}
		is.True(s.looked() <= 121)              // twice a minute
		is.True(same(t, path, info))            // and the directory does not change
		is.NoErr(os.Remove(path))               // somebody tidies up
		pass(time.Minute)                       //
		is.Equal(read(t, dir).PID, os.Getpid()) // and it is back
		stop()
	})
}

func TestAnIdleDaemonRarelyWakesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: spoolgore.Health{Running: true}}, t.TempDir()
		c, _, stop := begin(t, s, Options{Dir: dir})
		pass(10 * time.Second)
		c.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
		pass(10 * time.Second)
		is.True(!read(t, dir).Idle) // mail was sent in the last minutes
		pass(10 * time.Minute)
		is.True(read(t, dir).Idle)
		s.looked()
		for range 60 {
			pass(time.Minute)
			state := read(t, dir)
			is.True(!state.Silent(time.Now()))
			is.True(state.Silent(state.Written.Add(11 * time.Minute)))
		}
		is.True(s.looked() <= 13)
		c.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
		pass(time.Second) // which is soon shown
		is.Equal(read(t, dir).Sent, uint64(2))
		stop()
	})
}

func TestOpenConnectionsDoNotWriteTheStateFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		busy := well
		busy.Relays = []spoolgore.RelayHealth{{Name: "a:25", Limit: 2, Connections: 1}}
		s, dir, touched, last := &spool{h: busy}, t.TempDir(), 0, time.Time{}
		_, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		s.looked()
		for range 60 {
			pass(time.Second)
			if at := read(t, dir).Written; !at.Equal(last) {
				touched, last = touched+1, at
			}
		}
		is.True(s.looked() >= 29) // it may close at any moment
		is.True(touched <= 4)     // but nothing is written as long as it does not
		stop()
	})
}

func TestWhatChangesIsToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		p, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		ill := well
		ill.Relays = []spoolgore.RelayHealth{{Name: "a:25", Limit: 2, Trouble: "dial: refused", Since: time.Now()}}
		s.set(ill)
		p.Observe(spoolgore.Event{Kind: spoolgore.EventDeferred, Fault: spoolgore.FaultRelay, Time: time.Now()})
		pass(3 * time.Second)
		is.Equal(read(t, dir).Relays[0].Trouble, "dial: refused")
		is.Equal(read(t, dir).Deferred, uint64(0)) // no attempt was counted
		s.set(well)
		p.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
		pass(3 * time.Second)
		is.Equal(read(t, dir).Relays[0].Trouble, "") // news twice within a moment
		is.Equal(read(t, dir).Sent, uint64(1))

		pass(time.Minute)
		paused := well
		paused.Paused = true
		p.Wake() // comes before the pause does
		pass(time.Second)
		s.set(paused)
		pass(5 * time.Second)
		is.True(read(t, dir).Paused)
		stop()
	})
}

// What changes just before the mail ends is in the file after seconds, although the next look without mail is later.
func TestLastChangeBeforeAPauseIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		p, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		for range 3 { // the second look is within the time between two writes
			p.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
			pass(2 * time.Second)
		}
		p.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
		pass(7 * time.Second)
		is.Equal(read(t, dir).Sent, uint64(4))
		stop()
	})
}

func TestLearntLimitIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		p, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		p.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
		pass(time.Second) // figures have just been written
		limited := well
		limited.Relays = []spoolgore.RelayHealth{{Name: "a:25", Limit: 2, Learnt: []string{"accepts 2 connections"}}}
		s.set(limited)
		p.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
		pass(3 * time.Second)
		is.Equal(read(t, dir).Relays[0].Learnt, []string{"accepts 2 connections"})
		stop()
	})
}

func TestTheFileIsNotWrittenForEachMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		p, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		path, writes := filepath.Join(dir, daemonstate.Name), 0
		info, err := os.Stat(path)
		is.NoErr(err)
		s.looked()
		for range 600 {
			p.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
			p.Observe(spoolgore.Event{Kind: spoolgore.EventFailed, Time: time.Now()})
			p.Observe(spoolgore.Event{Kind: spoolgore.EventDeferred, Fault: spoolgore.FaultRecipient, Time: time.Now()})
			pass(100 * time.Millisecond)
			if !same(t, path, info) {
				writes++
				info, err = os.Stat(path)
				is.NoErr(err)
			}
		}
		is.True(writes >= 6 && writes <= 13)  // in a minute
		is.True(s.looked() <= 31)             //
		is.True(read(t, dir).Sent > 500)      // and they are never far behind
		is.True(read(t, dir).PerMinute > 200) // there was a minute without any before
		pass(time.Minute)
		got := read(t, dir)
		is.Equal([3]uint64{got.Sent, got.Failed, got.Deferred}, [3]uint64{600, 600, 600})
		pass(10 * time.Minute)
		is.Equal(read(t, dir).PerMinute, 0.0)
		stop()
	})
}

func TestAFileThatCannotBeWrittenIsHarmless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, filepath.Join(t.TempDir(), "spool")
		_, log, stop := begin(t, s, Options{Dir: dir})
		pass(time.Hour)
		is.Equal(log.count("cannot be written"), 1) // said once
		is.NoErr(os.Mkdir(dir, 0o700))
		pass(time.Minute)
		is.Equal(read(t, dir).PID, os.Getpid())
		is.Equal(log.count("can be written again"), 1)
		stop()
		is.Equal(log.count("level=ERROR"), 1)
	})
}

func TestAnotherSpoolsFileIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		_, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		away := well
		away.Away, away.Trouble = true, "another directory is in its place"
		s.set(away) // the directory is another one now, with a daemon of its own
		pass(time.Minute)
		path := filepath.Join(dir, daemonstate.Name)
		is.NoErr(os.WriteFile(path, []byte(`{"PID": 1}`), 0o600))
		away.Trouble = "and somebody else has locked it" // news
		s.set(away)
		pass(time.Hour)
		stop()
		is.Equal(read(t, dir).PID, 1)
	})
}

func TestALoopThatHangsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		p, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		goOn := make(chan struct{})
		s.hang(goOn)
		pass(10 * time.Minute)
		is.True(time.Since(read(t, dir).Written) > 9*time.Minute)
		is.True(time.Since(p.Last().At) > 9*time.Minute)
		close(goOn)
		pass(time.Second)
		is.True(time.Since(p.Last().At) < time.Minute)
		stop()
	})
}

func TestLastIsFreshOnAnIdleSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s := &spool{h: well}
		p, _, stop := begin(t, s, Options{Dir: t.TempDir()})
		pass(10*time.Minute + 17*time.Second)
		later := well
		later.Queue.Waiting = 7 // time has passed, and there was no event
		s.set(later)
		s.looked()
		is.Equal(p.Last().Queue.Waiting, 7) // not the count of half a minute ago
		for range 100 {
			is.True(time.Since(p.Last().At) < 2*time.Second)
		}
		is.Equal(s.looked(), 1) // many requests are one look
		stop()
	})
}

func TestTheLastHoursAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		is.Equal(len(New(Options{Dir: dir, Keep: 10}).Past()), 0) // before it runs
		p, _, stop := begin(t, s, Options{Dir: dir, Keep: 10})
		synctest.Wait()
		is.Equal(len(p.Past()), 1) // the minute that has begun
		for i := range 25 {
			h := well
			h.Files = i
			s.set(h)
			for range i {
				p.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Time: time.Now()})
			}
			pass(time.Minute)
		}
		stop()
		past := p.Past()
		is.Equal(len(past), 10) // and no more
		for i, m := range past[:9] {
			is.Equal(past[i+1].Files, m.Files+1)                          // in order
			is.True(past[i+1].At.Sub(m.At) < time.Minute+3*time.Second)   // a minute each
			is.True(m.Sent > 0 && past[i+1].Sent > 0)                     //
			is.True(int(m.Sent)-m.Files <= 1 && m.Files-int(m.Sent) <= 1) // of that minute alone
		}
	})
}

func TestPerMinute(t *testing.T) {
	began := time.Now()
	tests := map[string]struct {
		every, until, ask time.Duration
		want              float64
	}{
		"nothing":                {0, 0, time.Hour, 0},
		"one a second":           {time.Second, time.Hour, time.Hour, 60},
		"the first seconds":      {time.Second, 10 * time.Second, 10 * time.Second, 11}, // not 66: nobody knows how it goes on
		"two minutes":            {time.Second, 2 * time.Minute, 2 * time.Minute, 60.5},
		"stopped a while ago":    {time.Second, time.Hour, time.Hour + 150*time.Second, 29},
		"stopped long ago":       {time.Second, time.Hour, time.Hour + 6*time.Minute, 0},
		"a clock that goes back": {time.Second, time.Minute, -time.Hour, 61},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			w := window{began: began}
			for at := time.Duration(0); tt.every > 0 && at <= tt.until; at += tt.every {
				w.add(began.Add(at))
			}
			got := w.perMinute(began.Add(tt.ask))
			is.True(math.Abs(got-tt.want) < 1) // nearly
		})
	}
}

// The speed leaves out the time without acceptances.
func TestMessagesPerMinute(t *testing.T) {
	began := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, test := range map[string]struct {
		events func(w *window)
		ask    time.Duration
		want   float64
	}{
		"none": {func(*window) {}, time.Minute, 0},
		"a second late in a slot": {func(w *window) {
			for i := range 100 {
				w.add(began.Add(7*time.Second + time.Duration(i)*10*time.Millisecond))
			}
		}, 8 * time.Second, 6000},
		"after a pause": {func(w *window) {
			w.add(began)
			for i := range 120 {
				w.add(began.Add(200*time.Second + time.Duration(i)*time.Second/2))
			}
		}, 260 * time.Second, 110},
		"one in 30 seconds": {func(w *window) {
			for i := range 10 {
				w.add(began.Add(time.Duration(i) * 30 * time.Second))
			}
		}, 290 * time.Second, 2},
		"a burst, long ago": {func(w *window) {
			for i := range 100 {
				w.add(began.Add(time.Duration(i) * 50 * time.Millisecond))
			}
		}, 4 * time.Minute, 600},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			w := window{began: began}
			test.events(&w)
			got := w.speed(began.Add(test.ask))
			t.Log(got)
			is.True(got >= test.want*2/3 && got <= test.want*3/2)
		})
	}
}
