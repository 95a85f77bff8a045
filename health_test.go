package spoolgore

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestHealthTellsOfRelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, up, began := t.TempDir(), atomic.Bool{}, time.Now()
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			if verb == "DIAL" && !up.Load() && strings.HasPrefix(arg, "main.") {
				return "connection refused"
			}
			return ""
		}}
		drop(t, dir, "m", simple)
		s, stop := start(t, dir, Options{
			Dial: relay.Dial, SMTPAddr: "main.test:25", Concurrency: 7,
			Routes: []Route{{Sender: "@other.org", SMTPAddr: "a.test:25,b.test:25"}},
		})
		pass(10 * time.Minute)
		h := s.Health()
		is.True(h.Running)
		is.Equal(h.Files, 1)
		is.Equal(len(h.Relays), 3) // the relays for all mail come first
		main := h.Relays[0]
		is.Equal(main.Name, "main.test:25")
		is.True(strings.Contains(main.Trouble, "connection refused"))
		is.True(main.Since.Sub(began) < time.Minute) // when the trouble began, not when the last attempt failed
		is.True(main.RestsUntil.After(time.Now()))
		is.Equal(h.Relays[2], RelayHealth{Name: "b.test:25", Senders: "@other.org", Limit: 2})

		up.Store(true)
		s.Flush()
		pass(time.Second)
		main = s.Health().Relays[0]
		is.Equal(main.Trouble, "") // the relay can be used again
		is.True(main.Since.IsZero())
		is.True(main.RestsUntil.IsZero())
		is.Equal(main.Connections, 1) // the connection is kept for a while
		pass(time.Minute)
		is.Equal(s.Health().Relays[0].Connections, 0)
		s.Pause()
		is.True(s.Health().Paused)
		stop()
		is.Equal(s.Health(), Health{Dir: dir, StatusFile: filepath.Join(dir, ".spoolgore.js")}) // no run
	})
}

func TestHealthTellsOfTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		for i := range 5 {
			drop(t, dir, fmt.Sprint(i), simple)
		}
		s, stop := start(t, dir, Options{Dial: relay.Dial, Rate: Rate{{1, time.Minute}}})
		pass(time.Second)
		s.Flush() // makes the same messages wait again
		pass(time.Second)
		h := s.Health()
		is.Equal(len(relay.Messages()), 1)
		is.Equal(h.RateWaits, uint64(1))
		is.True(h.RateWait.After(time.Now())) // the messages wait now
		pass(5 * time.Minute)
		h = s.Health()
		is.Equal(len(relay.Messages()), 5)
		is.Equal(h.RateWaits, uint64(4)) // once for each of the other four messages
		is.True(h.RateWait.IsZero())     // no message waits any more
		stop()
	})
}

func TestHealthTellsOfARelayThatWantsAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var full atomic.Bool
		full.Store(true)
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "MAIL" && full.Load() {
				return "451 4.7.1 too fast"
			}
			return ""
		}}
		for _, name := range []string{"1", "2", "3"} {
			drop(t, dir, name, simple)
		}
		s, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(100 * time.Millisecond)
		is.True(s.Health().Relays[0].Slowed.After(time.Now())) // the relay is not used for a while
		full.Store(false)
		pass(30 * time.Second)
		is.True(s.Health().Relays[0].Slowed.IsZero()) // the pause is short
		stop()
	})
}

// A limit that was learnt from a relay is logged once and shown in Health.
func TestLearntLimitIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &smtptest.Relay{Ext: []string{"PIPELINING", "CHUNKING"}, NoBDAT: true}
		var text lines
		s, stop := start(t, dir, Options{Dial: relay.Dial, Logger: slog.New(slog.NewTextHandler(&text, nil))})
		for i := range 9 {
			drop(t, dir, fmt.Sprint(i), simple)
			pass(10 * time.Second)
		}
		is.Equal(s.Health().Relays[0].Learnt, []string{"offers CHUNKING and does not support it"})
		stop()
		is.Equal(len(relay.Messages()), 9)
		is.Equal(strings.Count(text.String(), `msg="relay has a limit"`), 1)
	})
}

func TestHealthTellsThatTheSpoolIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir()+"/spool", &smtptest.Relay{}
		is.NoErr(os.Mkdir(dir, 0o700))
		s, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Minute)
		is.True(!s.Health().Away)
		is.NoErr(os.Rename(dir, dir+"2"))
		pass(time.Minute)
		h := s.Health()
		is.True(h.Away)
		is.True(h.Trouble != "") // Health has the reason
		is.NoErr(os.Rename(dir+"2", dir))
		pass(time.Minute)
		h = s.Health()
		is.True(!h.Away)
		is.Equal(h.Trouble, "")
		stop()
	})
}

func TestEventsTellSinceWhenAMessageWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, since, began := t.TempDir(), &sinces{}, time.Now()
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			if verb == "RCPT" && arg != "ok@y.org" {
				return "450 4.2.1 later"
			}
			return ""
		}}
		at := began.Add(time.Hour)
		drop(t, dir, "a", "From: a@x.org\nTo: ok@y.org, no@y.org\n\nhello\n")
		drop(t, dir, "b", `X-Spoolgore-Envelope: {"from":"a@x.org","to":["later@y.org"],"notBefore":"`+at.Format(time.RFC3339)+"\"}\nSubject: x\n\nhello\n")
		_, stop := start(t, dir, Options{Dial: relay.Dial, Attempts: 2, OnEvent: since.add})
		pass(2 * time.Hour)
		stop()
		is.True(since.of(EventSent, "ok@y.org").Sub(began) < 5*time.Second)
		is.True(since.of(EventDeferred, "no@y.org").Sub(began) < 5*time.Second)
		// since the message was queued, not since the last attempt
		is.True(since.of(EventFailed, "no@y.org").Sub(began) < 5*time.Second)
		is.True(since.of(EventFailed, "later@y.org").Equal(at)) // the wait begins at NotBefore
	})
}

// sinces records the field Since of events, by kind and recipient.
type sinces struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func (s *sinces) add(ev Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since == nil {
		s.since = make(map[string]time.Time)
	}
	s.since[string(ev.Kind)+" "+ev.To] = ev.Since
}

func (s *sinces) of(kind EventKind, to string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since[string(kind)+" "+to]
}

// Health returns for each of many concurrent callers, also while Run begins and ends.
func TestHealthFromManyGoroutines(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	s := New(t.TempDir(), exact(Options{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }}))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				s.Health()
			}
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	soon(t, "the spool runs", func() bool { return s.Health().Running })
	stop()
	wg.Wait()
	is.NoErr(<-ended)
}
