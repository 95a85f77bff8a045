package spoolgore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/retry"
)

// Two messages to the same two recipients: one with a Message-ID, and one without, which is recognized by its header
// and its file.
const (
	named    = "From: s@x.org\nTo: a@x.org, b@x.org\nSubject: one\nMessage-ID: <1@x>\n\nhello\n"
	nameless = "From: s@x.org\nTo: a@x.org, b@x.org\nSubject: one\n\nhello\n"
)

var errLater = errors.New("450 4.2.1 later")

// refused returns the error of a relay that refuses a recipient for good.
func refused() error {
	return &DeliveryError{Fault: FaultRecipient, Permanent: true, Err: errors.New("550 5.1.1 no such user")}
}

// busyRelay returns the error of a relay that cannot be used now.
func busyRelay() error {
	return &DeliveryError{Fault: FaultRelay, Code: 421, Err: errors.New("421 4.7.0 try again later")}
}

// ledger is a Transport that records each attempt.
type ledger struct {
	takes time.Duration // time that each transaction takes
	// gives the outcome of the n-th offer of file to a recipient; nil: all are accepted
	answer func(file, to string, n int) error

	mu      sync.Mutex
	offered []offered
}

type offered struct {
	file, to string
	err      error
}

// acceptAll accepts every recipient from now on.
func (l *ledger) acceptAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = nil
}

// Deliver returns the answer for each recipient, and records the offer.
func (l *ledger) Deliver(_ context.Context, tx *Transaction) (results []Result) {
	time.Sleep(l.takes)
	for _, to := range tx.To {
		var err error
		l.mu.Lock()
		answer := l.answer
		l.mu.Unlock()
		if answer != nil {
			err = answer(tx.Name, to, l.tries(tx.Name, to)+1)
		}
		l.mu.Lock()
		l.offered = append(l.offered, offered{tx.Name, to, err})
		l.mu.Unlock()
		results = append(results, Result{Err: err})
	}
	return results
}

// count counts the offers to a recipient for which which returns true: those of a file, or of all files if file is
// empty.
func (l *ledger) count(file, to string, which func(err error) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.offered {
		if (file == "" || o.file == file) && o.to == to && which(o.err) {
			n++
		}
	}
	return n
}

func (l *ledger) tries(file, to string) int {
	return l.count(file, to, func(error) bool { return true })
}

func (l *ledger) accepted(file, to string) int {
	return l.count(file, to, func(err error) bool { return err == nil })
}

// deferB accepts every recipient except b@x.org, which it defers each time.
func deferB(_, to string, _ int) error {
	if to == "b@x.org" {
		return errLater
	}
	return nil
}

// refuseB accepts every recipient except b@x.org, which it refuses.
func refuseB(_, to string, _ int) error {
	if to == "b@x.org" {
		return refused()
	}
	return nil
}

// shift moves the file name from one directory to another, as an operator does.
func shift(t *testing.T, from, to, name string) {
	t.Helper()
	check(t, os.Rename(filepath.Join(from, name), filepath.Join(to, name)))
}

func TestAnotherMessageUnderTheSameNameInheritsNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, first, second string
		down                bool // the second message comes while no daemon runs
	}{
		{"with another Message-ID", named, strings.Replace(named, "<1@x>", "<2@x>", 1), false},
		{"with another Message-ID, while down", named, strings.Replace(named, "<1@x>", "<2@x>", 1), true},
		{"with the same header", nameless, nameless + "more\n", false},
		{"with the same header, while down", nameless, nameless + "more\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB}
				drop(t, dir, "m", tt.first)
				_, stop := start(t, dir, Options{Transport: relay})
				pass(10 * time.Second)
				is.Equal(relay.accepted("m", "a@x.org"), 1)
				if tt.down {
					stop()
				}
				drop(t, dir, "m", tt.second)
				if tt.down {
					_, stop = start(t, dir, Options{Transport: relay})
				}
				pass(30 * time.Second)
				stop()
				is.Equal(relay.accepted("m", "a@x.org"), 2) // the second message is another message
			})
		})
	}
}

func TestAFileThatOnlyLooksDifferentIsTheSameMessage(t *testing.T) {
	t.Parallel()
	touch := func(t *testing.T, path string) {
		check(t, os.Chtimes(path, time.Time{}, time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)))
	}
	link := func(t *testing.T, path string) {
		other := filepath.Join(t.TempDir(), "other")
		check(t, os.Link(path, other))
		pass(20 * time.Second)
		check(t, os.Remove(other))
	}
	tests := []struct {
		name, text string
		change     func(t *testing.T, path string)
		down       bool // the change is made while no daemon runs
	}{
		{"touched", named, touch, false},
		{"touched, without a Message-ID", nameless, touch, false},
		{"touched while down", named, touch, true},
		{"touched while down, without a Message-ID", nameless, touch, true},
		{"linked for a while", named, link, false},
		{"linked for a while, without a Message-ID", nameless, link, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB}
				drop(t, dir, "m", tt.text)
				_, stop := start(t, dir, Options{Transport: relay})
				pass(5 * time.Second)
				if tt.down {
					stop()
				}
				drop(t, dir, "other", simple) // so that the daemon reads the directory again
				tt.change(t, filepath.Join(dir, "m"))
				if tt.down {
					_, stop = start(t, dir, Options{Transport: relay})
				}
				pass(3 * time.Minute)
				stop()
				is.Equal(relay.tries("m", "a@x.org"), 1) // a@x.org gets one copy
				is.True(relay.tries("m", "b@x.org") > 1) // b@x.org is tried again
				is.True(exists(dir, "m"))                // and the message waits for b@x.org
				is.Equal(relay.accepted("other", "b@example.org"), 1)
			})
		})
	}
}

func TestAMessageHeldInMidTransactionIsNotSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{takes: 10 * time.Second}
		hold := filepath.Join(dir, "hold")
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Second)
		shift(t, dir, hold, "m")
		pass(30 * time.Second)
		is.Equal(relay.accepted("m", "a@x.org"), 1)
		is.True(exists(hold, "m")) // the daemon leaves a held message in hold/
		shift(t, hold, dir, "m")
		pass(time.Minute)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1) // both recipients accepted the message while it was held
		is.True(!exists(dir, "m"))               // and the file is removed after the release
	})
}

func TestAHeldMessageMarkedDoneIsFinishedWhenItIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		hold := filepath.Join(dir, "hold")
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Second)
		shift(t, dir, hold, "m")
		pass(20 * time.Second)
		s.Pause()
		edit(t, filepath.Join(dir, ".spoolgore.js"), `"Status":0`, `"Status":2`)
		is.NoErr(s.Reload())
		s.Resume()
		pass(20 * time.Second)
		is.True(exists(hold, "m")) // the file stays while the message is held
		shift(t, hold, dir, "m")
		pass(20 * time.Second)
		stop()
		is.Equal(relay.tries("m", "b@x.org"), 1) // no further attempt
		is.True(!exists(dir, "m"))
	})
}

func TestTheTimeInHoldIsNotAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		hold := filepath.Join(dir, "hold")
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay, MaxAge: 24 * time.Hour, Freq: time.Minute})
		pass(5 * time.Second)
		shift(t, dir, hold, "m")
		pass(48 * time.Hour)
		is.True(exists(hold, "m")) // a held message is not given up
		shift(t, hold, dir, "m")
		pass(23 * time.Hour)
		is.True(exists(dir, "m")) // after the release the time in hold/ does not count
		pass(time.Hour)
		stop()
		is.True(exists(dir, "failed", "m")) // the message is given up when it is a day old without that time
		is.Equal(relay.tries("m", "a@x.org"), 1)
	})
}

// A message that is released from hold/ is tried for half an hour, however old it is.
func TestAMessageReleasedFromHoldHasHalfAnHour(t *testing.T) {
	t.Parallel()
	for name, running := range map[string]bool{"held while the daemon ran": true, "held while none did": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB}
				hold := filepath.Join(dir, "hold")
				opts := Options{Transport: relay, MaxAge: 24 * time.Hour, Attempts: 1000, Backoff: func(int) time.Duration { return 10 * time.Minute }}
				drop(t, dir, "m", named)
				_, stop := start(t, dir, opts)
				pass(24*time.Hour - time.Minute) // a minute before the message is given up
				if !running {
					stop()
				}
				shift(t, dir, hold, "m")
				pass(48 * time.Hour)
				if !running {
					_, stop = start(t, dir, opts)
					pass(2 * time.Hour)
				}
				tries := relay.tries("m", "b@x.org")
				shift(t, hold, dir, "m")
				pass(retry.LastChance - time.Second)
				is.True(exists(dir, "m"))
				is.True(relay.tries("m", "b@x.org") >= tries+2)
				pass(30 * time.Second) // the release is seen at the next scan
				stop()
				is.True(exists(dir, "failed", "m")) // the message is given up after half an hour
				is.Equal(relay.tries("m", "a@x.org"), 1)
			})
		})
	}
}

func TestMovedBackWhenGivenUpForItsAgeIsTriedAnew(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(_, to string, _ int) error{
		"a recipient was deferred": deferB,
		"the relay was down":       func(_, _ string, _ int) error { return busyRelay() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				var well atomic.Bool
				relay := &ledger{answer: func(file, to string, n int) error {
					if well.Load() {
						return nil
					}
					return answer(file, to, n)
				}}
				drop(t, dir, "m", named)
				_, stop := start(t, dir, Options{Transport: relay, MaxAge: time.Hour})
				pass(2 * time.Hour)
				is.True(exists(dir, "failed", "m"))
				drop(t, dir, "fresh", named) // if the relay is down, this message keeps it in use by probes
				pass(20 * time.Minute)
				shift(t, filepath.Join(dir, "failed"), dir, "m")
				pass(15 * time.Second)
				well.Store(true)
				pass(30 * time.Minute)
				stop()
				is.Equal(relay.accepted("m", "b@x.org"), 1) // the message has its full age again
				is.Equal(relay.accepted("m", "a@x.org"), 1) // a@x.org gets one copy
				is.True(!exists(dir, "failed", "m"))
			})
		})
	}
}

func TestACorrectedHeaderIsKnownAgainByTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: refuseB}
		failed := filepath.Join(dir, "failed")
		drop(t, dir, "m", nameless)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Second)
		is.NoErr(os.WriteFile(filepath.Join(failed, "m"), []byte(strings.Replace(nameless, "b@x", "bb@x", 1)), 0o600))
		shift(t, failed, dir, "m")
		pass(30 * time.Second)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1)     // a@x.org gets one copy, although the message has no Message-ID
		is.Equal(relay.accepted("m", "bb@x.org"), 1) // the corrected address gets it
	})
}

func TestNotBeforeHoldsAgainstFlushAndMaxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{}
		const day = 24 * time.Hour
		drop(t, dir, "m", `X-Spoolgore-Envelope: {"from":"s@x.org","to":["a@x.org"],"notBefore":"2000-01-08T00:00:00Z"}`+"\n"+named)
		s, stop := start(t, dir, Options{Transport: relay, MaxAge: day, Freq: time.Minute})
		pass(time.Minute)
		s.Flush()
		pass(7*day - 2*time.Minute)
		is.Equal(relay.tries("m", "a@x.org"), 0) // not before the time, even after Flush
		is.True(exists(dir, "m"))                // the message is not given up before its time
		pass(2 * time.Minute)
		stop()
		is.Equal(relay.accepted("m", "a@x.org"), 1) // the message is sent when its time has come
	})
}
