package spoolgore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// seldom is a retry rule with a day between attempts.
func seldom(int) time.Duration { return 24 * time.Hour }

// launch is start for a Spool that exists already.
func launch(t *testing.T, s *Spool) (stop func()) {
	t.Helper()
	s.opts.Watch = WatchOff
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		check(t, <-done)
	}
}

func TestAWaitingRecipientWithoutNextAttemptIsTriedNow(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("edited while down %v", down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				relay := &ledger{answer: func(_, _ string, n int) error {
					if n == 1 {
						return errLater
					}
					return nil
				}}
				opts := Options{Transport: relay, Backoff: seldom}
				drop(t, dir, "m", simple)
				s, stop := start(t, dir, opts)
				pass(10 * time.Second)
				if down {
					stop()
				}
				s.Pause()
				edit(t, filepath.Join(dir, ".spoolgore.js"), `"2000-01-02T00:00:00Z"`, `"0001-01-01T00:00:00Z"`)
				is.NoErr(s.Reload())
				s.Resume()
				if down {
					_, stop = start(t, dir, opts)
				}
				pass(time.Minute)
				stop()
				is.Equal(relay.accepted("m", "b@example.org"), 1) // a zero NextAttempt means now, and not "done"
				is.True(!exists(dir, "m"))
				is.True(!exists(dir, "failed", "m"))
			})
		})
	}
}

func TestARunThatEndsBeforeItHasReadEveryFileForgetsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const messages = 110 // more messages than one turn of the loop reads
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		for i := range messages {
			drop(t, dir, fmt.Sprint(i), named)
		}
		opts := Options{Transport: relay, Backoff: seldom}
		_, stop := start(t, dir, opts)
		pass(10 * time.Second)
		stop()
		is.Equal(relay.accepted("", "a@x.org"), messages)
		for range 5 { // the number of turns before the loop sees the stop is random
			s, stop := start(t, dir, opts)
			stop()
			is.Equal(len(s.Status()), messages) // messages that were not read yet are still in the status file
		}
		_, stop = start(t, dir, opts)
		pass(10 * time.Second)
		stop()
		is.Equal(relay.accepted("", "a@x.org"), messages) // no message is sent twice
	})
}

func TestASpoolUnderAnotherPathIsTheSameSpool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Second)
		stop()
		other := filepath.Join(t.TempDir(), "link")
		is.NoErr(os.Symlink(dir, other))
		_, stop = start(t, other, Options{Transport: relay})
		pass(time.Minute)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1) // a record does not depend on the path of the spool
		is.Equal(relay.tries("m", "b@x.org"), 2)
	})
}

func TestOutcomesDuringAPauseAreKeptAtTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB, takes: 10 * time.Second}
		opts := Options{Transport: relay, Backoff: seldom}
		drop(t, dir, "waits", named)
		s, stop := start(t, dir, opts)
		pass(15 * time.Second)
		drop(t, dir, "m", named)
		pass(10 * time.Second)
		s.Pause() // during the transaction of m
		edit(t, filepath.Join(dir, ".spoolgore.js"), `"b@x.org","Status":0`, `"b@x.org","Status":2`)
		pass(30 * time.Second)
		stop()
		s, stop = start(t, dir, opts)
		pass(30 * time.Second)
		m := one(t, s.Status()) // the edit counts, too: the message waits has left the spool
		stop()
		is.True(!exists(dir, "waits"))
		is.Equal(relay.tries("m", "a@x.org"), 1) // the acceptance was recorded at the stop
		is.Equal(m.To[1].Attempts, 1)            // and so was the failed attempt
		is.Equal(relay.tries("m", "b@x.org"), 1)
	})
}

func TestReloadDoesNotForgetARefusalSeenDuringThePause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &ledger{takes: 5 * time.Second, answer: func(_, to string, _ int) error {
			if to == "b@x.org" {
				return refused()
			}
			return errLater
		}}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		s.Pause() // during the transaction: both recipients are in progress in the status file
		pass(10 * time.Second)
		is.NoErr(s.Reload())
		s.Resume()
		pass(2 * time.Minute)
		stop()
		is.Equal(relay.tries("m", "b@x.org"), 1) // a final reply is not asked for again
		is.True(relay.tries("m", "a@x.org") > 1) // a@x.org is tried again
	})
}

func TestAGivenUpRecipientMadeToWaitByHandIsNotGivenUpWhenAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &ledger{answer: func(_, to string, n int) error {
			switch {
			case to == "b@x.org":
				return errLater
			case n == 1:
				return refused()
			}
			return nil
		}}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay, Attempts: 5})
		pass(5 * time.Second)
		s.Pause()
		edit(t, filepath.Join(dir, ".spoolgore.js"), `"a@x.org","Status":2`, `"a@x.org","Status":0`)
		is.NoErr(s.Reload())
		s.Resume()
		pass(time.Hour)
		is.Equal(relay.accepted("m", "a@x.org"), 1) // a@x.org is tried again and accepts
		is.True(exists(dir, "failed", "m"))         // because b@x.org was given up
		shift(t, filepath.Join(dir, "failed"), dir, "m")
		pass(time.Minute)
		stop()
		is.Equal(relay.accepted("m", "a@x.org"), 1) // a@x.org gets one copy
	})
}

func TestAPauseBeforeRunLetsTheStatusFileBeEdited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Second)
		stop()
		s := New(dir, exact(Options{Transport: relay}))
		s.Pause()
		stop = launch(t, s)
		pass(time.Second)
		edit(t, filepath.Join(dir, ".spoolgore.js"), `"b@x.org","Status":0`, `"b@x.org","Status":2`)
		is.NoErr(s.Reload())
		s.Resume()
		pass(10 * time.Minute)
		stop()
		// a recipient that was marked as done before its file was read is not tried
		is.Equal(relay.tries("m", "b@x.org"), 1)
		is.True(!exists(dir, "m"))
	})
}

func TestReloadOfAMissingFileChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Second)
		s.Pause()
		is.NoErr(os.Remove(filepath.Join(dir, ".spoolgore.js")))
		is.True(s.Reload() != nil) // a missing file is no edit
		s.Resume()
		pass(30 * time.Second)
		is.Equal(one(t, s.Status()).To[1].Attempts, 1) // the attempts still count
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1) // a@x.org gets one copy
	})
}

// An operator who changes only the configuration does not pause. Reload then reads the status file only if it was
// edited.
func TestReloadWithoutAPauseReadsAnEditedFileOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, log := t.TempDir(), &ledger{answer: deferB}, &lines{}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom, Logger: slog.New(slog.NewTextHandler(log, nil))})
		pass(5 * time.Second)
		is.NoErr(s.Reload())
		is.Equal(strings.Count(log.String(), "status reloaded"), 0)
		edit(t, filepath.Join(dir, ".spoolgore.js"), `"b@x.org","Status":0`, `"b@x.org","Status":2`)
		is.NoErr(s.Reload())
		is.Equal(strings.Count(log.String(), "status reloaded"), 1)
		pass(time.Second)
		is.True(!exists(dir, "m")) // all recipients are done
		stop()
	})
}

// An edit of the status file without a pause has effect. If an editor writes a copy from before an acceptance, the
// recipient is not tried again.
func TestReloadWithoutAPauseAppliesAnEdit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var accepts atomic.Bool
		relay := &ledger{answer: func(_, to string, _ int) error {
			if accepts.Load() && to == "a@x.org" {
				return nil
			}
			return errLater
		}}
		path := filepath.Join(dir, ".spoolgore.js")
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom})
		pass(5 * time.Second)
		stale := compactStatus(t, path)
		text := regexp.MustCompile(`("a@x.org","Status":0,"Attempts":1,"NextAttempt":)"[^"]*"`).ReplaceAllString(stale,
			`$1"`+time.Now().Format(time.RFC3339)+`"`)
		is.True(text != stale)
		is.NoErr(os.WriteFile(path, []byte(text), 0o600)) // a@x.org is due now
		accepts.Store(true)
		is.NoErr(s.Reload())
		pass(5 * time.Second)
		is.NoErr(copies(relay, "a@x.org", 1))
		is.Equal(relay.tries("m", "b@x.org"), 1)
		is.NoErr(os.WriteFile(path, []byte(stale), 0o600))
		is.NoErr(s.Reload())
		s.Flush()
		pass(5 * time.Second)
		stop()
		is.Equal(relay.tries("m", "b@x.org"), 2)
		is.NoErr(copies(relay, "a@x.org", 1))
	})
}

// With many messages, the status file may be minutes old.
func TestReloadWithoutAPauseKeepsMessagesThatTheFileLacks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom})
		pass(5 * time.Second)
		// as if written before the message came
		check(t, os.WriteFile(filepath.Join(dir, ".spoolgore.js"), []byte("{}\n"), 0o600))
		is.NoErr(s.Reload())
		pass(time.Minute)
		is.Equal(one(t, s.Status()).To[1].Attempts, 1) // the attempts still count
		stop()
		is.Equal(relay.tries("m", "b@x.org"), 1)
	})
}

func TestReloadKeepsAcceptancesThatThePauseCouldNotWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &ledger{answer: func(_, to string, n int) error {
			if to == "b@x.org" || n == 1 {
				return errLater
			}
			return nil
		}}
		path := filepath.Join(t.TempDir(), "status.js")
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay, StatusFile: path})
		pass(5 * time.Second)
		stale, err := os.ReadFile(path) // both recipients wait
		is.NoErr(err)
		is.NoErr(os.Remove(path))
		is.NoErr(os.Mkdir(path, 0o700)) // the daemon cannot write the status file from now on
		pass(90 * time.Second)
		is.Equal(relay.accepted("m", "a@x.org"), 1)
		s.Pause()
		is.NoErr(os.Remove(path))
		is.NoErr(os.WriteFile(path, stale, 0o600))
		is.NoErr(s.Reload())
		s.Resume()
		pass(time.Hour)
		stop()
		is.Equal(relay.accepted("m", "a@x.org"), 1) // the file is older than the acceptance
	})
}

func TestAStatusFileThatSaysNullIsEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		path := filepath.Join(dir, ".spoolgore.js")
		is.NoErr(os.WriteFile(path, []byte("null\n"), 0o600))
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Second)
		s.Pause()
		is.NoErr(os.WriteFile(path, []byte("null\n"), 0o600))
		is.NoErr(s.Reload()) // the entry was removed: the message file is read again
		s.Resume()
		pass(5 * time.Second)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1)
		is.Equal(relay.tries("m", "b@x.org"), 2) // b@x.org is tried again at once
	})
}

func TestFailedRecoveryDoesNotPreventDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, log := t.TempDir(), &ledger{}, &lines{}
		check(t, os.Symlink("tmp", filepath.Join(dir, "tmp"))) // a link to itself, which cannot be read
		check(t, os.WriteFile(filepath.Join(dir, "m"), []byte(simple), 0o600))
		_, stop := start(t, dir, Options{Transport: relay, Logger: slog.New(slog.NewTextHandler(log, nil))})
		pass(time.Minute)
		stop()
		// delivery works without the recovery
		is.Equal(relay.accepted("m", "b@example.org"), 1)
		is.True(strings.Contains(log.String(), "recovery after a crash is incomplete")) // and the log has the error
	})
}
