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

// spool returns the Health that a test sets.
type spool struct {
	mu    sync.Mutex
	h     spoolgore.Health
	looks int
	wait  <-chan struct{} // closed when health may return; nil: at once
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

// begin runs a Collector for s in the bubble of the test until stop is called.
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

// same reports whether the file at path is the file of info.
func same(t *testing.T, path string, info os.FileInfo) bool {
	t.Helper()
	now, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(now, info)
}

var well = spoolgore.Health{Running: true, Files: 3, Relays: []spoolgore.RelayHealth{{Name: "a:25", Limit: 2}}}

func TestStateFileExistsWhileTheSpoolRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{}, t.TempDir()
		_, _, stop := begin(t, s, Options{Dir: dir, Version: "v1", Rate: "5/s"})
		pass(time.Hour)
		_, ok, err := daemonstate.Read(dir)
		is.NoErr(err)
		is.True(!ok) // the spool does not run; another daemon may run it
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
			is.True(time.Since(read(t, dir).Written) <= 30*time.Second) // the time in the state file is recent
		}
		is.True(s.looked() <= 121)   // two calls of Health a minute
		is.True(same(t, path, info)) // and the file is not replaced
		is.NoErr(os.Remove(path))    // another process removes the file
		pass(time.Minute)
		is.Equal(read(t, dir).PID, os.Getpid()) // the file is written again
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
		pass(time.Second) // Idle is shown soon
		is.Equal(read(t, dir).Sent, uint64(2))
		stop()
	})
}

// A state file that an idle daemon could not write is not found out of date by others for long.
func TestAnIdleDaemonWritesAgainAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: spoolgore.Health{Running: true}}, filepath.Join(t.TempDir(), "spool")
		_, log, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		is.Equal(log.count("file cannot be written"), 1)
		is.NoErr(os.Mkdir(dir, 0o700))
		pass(time.Minute)
		is.True(read(t, dir).Idle)
		s.looked()
		pass(20 * time.Minute)
		is.True(s.looked() <= 5)
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
		is.True(s.looked() >= 29) // Health is called often, as the connection may close at any time
		is.True(touched <= 4)     // but the file is not written while the connection is open
		stop()
	})
}

func TestChangesAreWrittenSoon(t *testing.T) {
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
		is.Equal(read(t, dir).Relays[0].Trouble, "") // the second change within seconds is written, too
		is.Equal(read(t, dir).Sent, uint64(1))

		pass(time.Minute)
		paused := well
		paused.Paused = true
		p.Wake() // the call comes before the pause
		pass(time.Second)
		s.set(paused)
		pass(5 * time.Second)
		is.True(read(t, dir).Paused)
		stop()
	})
}

// A change just before the end of the mail is written after seconds, although the next call of Health is later.
func TestLastChangeBeforeAPauseIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		p, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		for range 3 { // the second call comes between two writes
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
		pass(time.Second) // the figures have just been written
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
		is.True(writes >= 6 && writes <= 13)  // writes in a minute
		is.True(s.looked() <= 31)             //
		is.True(read(t, dir).Sent > 500)      // the figures are a few seconds old at most
		is.True(read(t, dir).PerMinute > 200) // the minute before had no mail
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
		is.Equal(log.count("cannot be written"), 1) // logged once
		is.NoErr(os.Mkdir(dir, 0o700))
		pass(time.Minute)
		is.Equal(read(t, dir).PID, os.Getpid())
		is.Equal(log.count("can be written again"), 1)
		stop()
		is.Equal(log.count("level=ERROR"), 1)
	})
}

func TestStateFileOfAnotherDaemonIsNotChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		_, _, stop := begin(t, s, Options{Dir: dir})
		pass(time.Minute)
		away := well
		away.Away, away.Trouble = true, "another directory is in its place"
		s.set(away) // the directory is now another one, with a daemon of its own
		pass(time.Minute)
		path := filepath.Join(dir, daemonstate.Name)
		is.NoErr(os.WriteFile(path, []byte(`{"PID": 1}`), 0o600))
		away.Trouble = "another daemon has locked it" // a change of Health
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
		later.Queue.Waiting = 7 // time has passed without an event
		s.set(later)
		s.looked()
		is.Equal(p.Last().Queue.Waiting, 7) // the present count
		for range 100 {
			is.True(time.Since(p.Last().At) < 2*time.Second)
		}
		is.Equal(s.looked(), 1) // many requests cause one call of Health
		stop()
	})
}

func TestTheLastHoursAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		s, dir := &spool{h: well}, t.TempDir()
		is.Equal(len(New(Options{Dir: dir, Keep: 10}).Past()), 0) // before Run
		p, _, stop := begin(t, s, Options{Dir: dir, Keep: 10})
		synctest.Wait()
		is.Equal(len(p.Past()), 1) // the present minute
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
		is.Equal(len(past), 10) // at most 10 minutes are kept
		for i, m := range past[:9] {
			is.Equal(past[i+1].Files, m.Files+1)                        // in order
			is.True(past[i+1].At.Sub(m.At) < time.Minute+3*time.Second) // a minute each
			is.True(m.Sent > 0 && past[i+1].Sent > 0)
			is.True(int(m.Sent)-m.Files <= 1 && m.Files-int(m.Sent) <= 1) // each minute has its own figures
		}
	})
}

func TestPerMinute(t *testing.T) {
	began := time.Now()
	tests := map[string]struct {
		every, until, ask time.Duration
		want              float64
	}{
		"nothing":      {0, 0, time.Hour, 0},
		"one a second": {time.Second, time.Hour, time.Hour, 60},
		// not 66: ten seconds say little about a minute
		"the first seconds":      {time.Second, 10 * time.Second, 10 * time.Second, 11},
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
			is.True(math.Abs(got-tt.want) < 1) // approximately
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
