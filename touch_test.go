package spoolgore

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// touch sets the time of a file and of the spool, as touch(1) and the command retry do.
func touch(t *testing.T, path string) {
	t.Helper()
	for _, path := range []string{path, filepath.Dir(path)} {
		check(t, os.Chtimes(path, time.Now(), time.Now().Add(time.Second)))
	}
}

// TestAFileThatIsTouchedIsTriedNow touches one message: a waiting recipient is tried at once, and a recipient that
// has got it is not.
func TestAFileThatIsTouchedIsTriedNow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		text  string
		takes time.Duration // time that a transaction takes
		act   func(t *testing.T, dir string, stop func(), again func() (stop func())) func()
		tries int // attempts for b@x.org before the touch
	}{
		{"while it waits", named, 0, func(t *testing.T, dir string, stop func(), _ func() func()) func() {
			touch(t, filepath.Join(dir, "m"))
			return stop
		}, 2},
		{"without a Message-ID", nameless, 0, func(t *testing.T, dir string, stop func(), _ func() func()) func() {
			touch(t, filepath.Join(dir, "m"))
			return stop
		}, 2},
		{"while no daemon runs", named, 0, func(t *testing.T, dir string, stop func(), again func() func()) func() {
			stop()
			touch(t, filepath.Join(dir, "m"))
			return again()
		}, 2},
		{"in hold", named, 0, func(t *testing.T, dir string, stop func(), _ func() func()) func() {
			shift(t, dir, filepath.Join(dir, "hold"), "m")
			pass(2 * time.Minute)
			touch(t, filepath.Join(dir, "hold", "m"))
			pass(2 * time.Minute)
			shift(t, filepath.Join(dir, "hold"), dir, "m")
			return stop
		}, 2},
		{"not touched, in hold", named, 0, func(t *testing.T, dir string, stop func(), _ func() func()) func() {
			shift(t, dir, filepath.Join(dir, "hold"), "m")
			pass(2 * time.Minute)
			shift(t, filepath.Join(dir, "hold"), dir, "m")
			return stop
		}, 1},
		{"not touched, over a restart", named, 0, func(t *testing.T, _ string, stop func(), again func() func()) func() {
			stop()
			return again()
		}, 1},
		{"in mid transaction", named, 3 * time.Minute, func(t *testing.T, dir string, stop func(), _ func() func()) func() {
			touch(t, filepath.Join(dir, "m"))
			return stop
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB, takes: tt.takes}
				opts := Options{Transport: relay, Freq: time.Minute, Backoff: func(int) time.Duration { return 6 * time.Hour }}
				drop(t, dir, "m", tt.text)
				s, stop := start(t, dir, opts)
				pass(2 * time.Minute)
				stop = tt.act(t, dir, stop, func() func() {
					again, stop := start(t, dir, opts)
					s = again
					return stop
				})
				pass(time.Hour)
				is.Equal(relay.tries("m", "b@x.org"), tt.tries)
				m := one(t, s.Status())
				is.Equal(m.Attempts, tt.tries) // earlier attempts are kept
				is.Equal(m.To[0].Status, StateDone)
				pass(24 * time.Hour)
				stop()
				is.True(relay.tries("m", "b@x.org") > tt.tries) // the retry rule still applies
				is.Equal(relay.tries("m", "a@x.org"), 1)        // a@x.org gets one copy
			})
		})
	}
}

// TestChangeOfAFileDuringItsTransactionHasEffect has a slow relay and an operator who changes the file during the
// transaction.
func TestChangeOfAFileDuringItsTransactionHasEffect(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return // notification needs Linux; elsewhere the directory is touched, too
	}
	for name, c := range map[string]struct {
		act  func(path string) error
		seen func(s *Spool, tries int32) bool
	}{
		"touched": {func(path string) error { return os.Chtimes(path, time.Now(), time.Now().Add(time.Second)) },
			func(_ *Spool, tries int32) bool { return tries == 2 }},
		"corrected": {func(path string) error { return os.WriteFile(path, []byte(named+"and more\n"), 0o600) },
			func(_ *Spool, tries int32) bool { return tries == 2 }},
		"cancelled": {os.Remove, func(s *Spool, _ int32) bool { return s.Health().Files == 0 }},
		"held": {func(path string) error { return os.Rename(path, filepath.Join(filepath.Dir(path), "hold", "m")) },
			func(s *Spool, _ int32) bool {
				for _, m := range s.Status() {
					return !m.Held.IsZero()
				}
				return false
			}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			dir, tries, answer := t.TempDir(), atomic.Int32{}, make(chan struct{})
			relay := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
				if tx.Name != "m" {
					return make([]Result, len(tx.To))
				}
				tries.Add(1)
				<-answer
				return []Result{{Err: errLater}, {Err: errLater}}
			})
			drop(t, dir, "m", named)
			s := try(t, dir, nil, Options{Transport: relay, Freq: time.Hour, Backoff: seldom})
			soon(t, "the message is offered", func() bool { return tries.Load() == 1 })
			is.NoErr(c.act(filepath.Join(dir, "m")))
			drop(t, dir, "n", simple)
			soon(t, "the notification of the later file has arrived", func() bool { return s.events.kinds("b@example.org") != "" })
			close(answer)
			soon(t, "the change has effect", func() bool { return c.seen(s.Spool, tries.Load()) })
		})
	}
}

func TestTouchKeepsNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{}
		at := time.Now().Add(12 * time.Hour).UTC().Format(time.RFC3339)
		drop(t, dir, "m", `X-Spoolgore-Envelope: {"from":"s@x.org","to":["a@x.org"],"notBefore":"`+at+"\"}\nSubject: later\n\nhello\n")
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Minute)
		touch(t, filepath.Join(dir, "m"))
		pass(11 * time.Hour)
		is.Equal(relay.tries("m", "a@x.org"), 0) // not before NotBefore
		pass(2 * time.Hour)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1)
	})
}

func TestATouchInMidTransactionSendsNothingTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{takes: 3 * time.Minute}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(time.Minute)
		touch(t, filepath.Join(dir, "m"))
		pass(time.Hour)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1) // both recipients accepted the message during the touch
		is.Equal(relay.tries("m", "b@x.org"), 1)
		is.True(!exists(dir, "m")) // the file is removed, although its time has changed
	})
}

// A recipient has one event queued, even if the file is touched or edited.
func TestMessageThatIsReadAgainHasOneQueuedEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, events := t.TempDir(), &ledger{answer: deferB}, &events{}
		count := func(kind EventKind, to string) (n int) {
			events.mu.Lock()
			defer events.mu.Unlock()
			for _, ev := range events.all {
				if ev.Kind == kind && ev.To == to {
					n++
				}
			}
			return n
		}
		text := "From: s@x.org\nTo: a@x.org, b@x.org, nobody\nMessage-ID: <1@x>\n\nhello\n"
		drop(t, dir, "m", text)
		_, stop := start(t, dir, Options{Transport: relay, OnEvent: events.add, Freq: time.Minute, Backoff: seldom})
		pass(2 * time.Minute)
		touch(t, filepath.Join(dir, "m"))
		pass(2 * time.Minute)
		is.Equal(relay.tries("m", "b@x.org"), 2)
		drop(t, dir, "m", strings.Replace(text, "nobody", "c@x.org", 1)) // the invalid address is corrected
		pass(2 * time.Minute)
		stop()
		is.Equal(count(EventQueued, "a@x.org"), 1)
		is.Equal(count(EventQueued, "b@x.org"), 1)
		is.Equal(count(EventQueued, "c@x.org"), 1) // the new recipient has its own event
		is.Equal(count(EventFailed, "nobody"), 1)  // the invalid address has one event
		is.Equal(count(EventSent, "c@x.org"), 1)
	})
}
