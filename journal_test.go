package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/journal"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// crash ends a run as kill -9 does, and returns the new path of the spool. The run must be idle. Later writes of the
// run go to the old path, which does not exist.
func crash(t *testing.T, dir string, stop func()) (after string) {
	t.Helper()
	after = dir + ".crashed"
	check(t, os.Rename(dir, after))
	stop()
	return after
}

// journalOf returns the content of the journal; empty if the file is missing.
func journalOf(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, spooldir.JournalFile))
	if !errors.Is(err, os.ErrNotExist) {
		check(t, err)
	}
	return string(text)
}

// unwritable is the path of a status file that cannot be written.
func unwritable(t *testing.T) string { return filepath.Join(t.TempDir(), "missing", "status.js") }

// block keeps the journal from being written until unblock is called.
func block(t *testing.T, dir string) (unblock func()) {
	t.Helper()
	path := filepath.Join(dir, spooldir.JournalFile)
	check(t, os.RemoveAll(path))
	check(t, os.Mkdir(path, 0o700))
	return func() { check(t, os.Remove(path)) }
}

// few is a Transport that accepts at most n recipients of a transaction.
func few(l *ledger, n int) Transport {
	return TransportFunc(func(ctx context.Context, tx *Transaction) []Result {
		room := *tx
		room.To = tx.To[:min(n, len(tx.To))]
		results := l.Deliver(ctx, &room)
		for len(results) < len(tx.To) {
			results = append(results, Result{Err: &DeliveryError{Fault: FaultNone, Err: errors.New("452 4.5.3 too many recipients")}})
		}
		return results
	})
}

func TestAnAcceptanceSurvivesACrash(t *testing.T) {
	t.Parallel()
	for text, about := range map[string]string{named: "by its Message-ID", nameless: "by its header and its file"} {
		for _, name := range []string{"m", "bad \xff utf-8", `"quoted"`} {
			t.Run("known "+about+" "+fmt.Sprintf("%q", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					is := is.New(t)
					dir, relay := t.TempDir(), &ledger{answer: deferB}
					opts := Options{Transport: relay, StatusFile: unwritable(t)}
					drop(t, dir, name, text)
					_, stop := start(t, dir, opts)
					pass(2 * time.Second)
					dir = crash(t, dir, stop)
					s, stop := start(t, dir, opts)
					pass(time.Second)
					is.Equal(one(t, s.Status()).Attempts, 1)
					is.Equal(relay.tries(name, "b@x.org"), 1) // a deferred attempt is in the journal, too
					pass(time.Hour)
					stop()
					is.Equal(relay.tries(name, "a@x.org"), 1) // a@x.org gets one copy
					is.True(relay.tries(name, "b@x.org") > 5) // b@x.org is tried again
					is.True(exists(dir, name))                // and the message waits for b@x.org
				})
			})
		}
	}
}

func TestMailAcceptedAtOnceNeedsNoJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: func(_, to string, _ int) error {
			if to == "later@x.org" {
				return errLater
			}
			return nil
		}}
		for i := range 50 {
			drop(t, dir, fmt.Sprint("one", i), simple)
			drop(t, dir, fmt.Sprint("two", i), named)
			drop(t, dir, fmt.Sprint("later", i), strings.Replace(simple, "b@example.org", "later@x.org", 1))
		}
		_, stop := start(t, dir, Options{Transport: relay})
		pass(10 * time.Minute)
		is.Equal(relay.accepted("", "b@example.org"), 50)
		is.Equal(relay.accepted("", "b@x.org"), 50)
		is.True(relay.tries("", "later@x.org") > 100)
		stop()
		is.True(!exists(dir, spooldir.JournalFile)) // a removal needs no line, and the deferral is in the status file
	})
}

func TestNothingFollowsAnAcceptanceThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		relay func() (*ledger, Transport)
		done  func(dir string) bool
	}{
		{"there are more recipients to be offered it", func() (*ledger, Transport) { l := &ledger{}; return l, few(l, 1) },
			func(dir string) bool { return !exists(dir, "m") }},
		{"the other one was refused", func() (*ledger, Transport) { l := &ledger{answer: refuseB}; return l, l },
			func(dir string) bool { return exists(dir, "failed", "m") }},
		{"the other one was deferred", func() (*ledger, Transport) { l := &ledger{answer: deferB}; return l, l },
			func(dir string) bool { return exists(dir, "m") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				ledger, relay := tt.relay()
				dir, events, log, status := t.TempDir(), &events{}, &lines{}, unwritable(t)
				_, stop := start(t, dir, Options{
					Transport: relay, StatusFile: status, OnEvent: events.add, Logger: slog.New(slog.NewTextHandler(log, nil)),
				})
				pass(time.Second)
				unblock := block(t, dir)
				drop(t, dir, "m", named)
				drop(t, dir, "other", simple)
				drop(t, dir, "all", "From: s@x.org\nTo: c@x.org\nCc: d@x.org\n\nhello\n")
				pass(10 * time.Minute)
				is.Equal(ledger.accepted("m", "a@x.org"), 1)
				is.True(ledger.tries("m", "b@x.org") <= 1) // no recipient is tried again
				is.True(exists(dir, "m"))                  // the file is not removed
				is.True(!exists(dir, "failed", "m"))       // the message is not moved to failed/
				// the event sent comes after the record of the acceptance
				is.Equal(events.kinds("a@x.org"), "queued")
				is.Equal(ledger.accepted("other", "b@example.org"), 1) // the delivery of other messages goes on
				is.True(!exists(dir, "other"))
				// once for the journal, once for the status file
				is.Equal(strings.Count(log.String(), "file cannot be written"), 2)
				unblock()
				pass(10 * time.Second)
				is.Equal(events.kinds("a@x.org"), "queued sent")
				is.Equal(strings.Count(log.String(), "file can be written again"), 1)
				pass(2 * time.Minute)
				stop()
				is.Equal(ledger.tries("m", "a@x.org"), 1)
				is.True(tt.done(dir)) // the delivery goes on by itself
			})
		})
	}
}

func TestDeliveredFileIsRemovedWhileTheJournalCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, status := t.TempDir(), unwritable(t)
		relay := &ledger{answer: func(_, to string, n int) error {
			if to == "b@x.org" && n == 1 {
				return refused()
			}
			return nil
		}}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay, StatusFile: status})
		pass(5 * time.Second)
		block(t, dir)
		shift(t, filepath.Join(dir, "failed"), dir, "m")
		pass(time.Minute)
		is.Equal(relay.tries("m", "b@x.org"), 2)
		is.True(!exists(dir, "m")) // a missing file needs no record
		is.True(!exists(dir, "failed", "m.json"))
		stop()
	})
}

func TestAttemptsDoNotGatherWhileNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		_, stop := start(t, dir, Options{Transport: relay, StatusFile: unwritable(t), Freq: time.Minute})
		pass(time.Second)
		unblock := block(t, dir)
		drop(t, dir, "m", strings.Replace(named, "a@x.org, ", "", 1))
		pass(30 * time.Hour)
		is.True(relay.tries("m", "b@x.org") > 50)
		unblock()
		pass(time.Minute)
		is.True(strings.Count(journalOf(t, dir), "\n") < 5)
		stop()
	})
}

func TestAFileTouchedAfterACrashIsTheSameMessage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{named, nameless} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir, relay := t.TempDir(), &ledger{answer: deferB}
			opts := Options{Transport: relay, StatusFile: unwritable(t)}
			drop(t, dir, "m", text)
			_, stop := start(t, dir, opts)
			pass(5 * time.Second)
			dir = crash(t, dir, stop)
			is.NoErr(os.Chtimes(filepath.Join(dir, "m"), time.Time{}, time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)))
			_, stop = start(t, dir, opts)
			pass(2 * time.Minute)
			stop()
			is.Equal(relay.tries("m", "a@x.org"), 1)
			is.True(relay.tries("m", "b@x.org") > 1)
		})
	}
}

func TestStatusFileIsWrittenWhenTheJournalCannotBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, l := t.TempDir(), &ledger{}
		opts := Options{Transport: few(l, 1)}
		s, stop := start(t, dir, opts)
		pass(time.Second)
		unblock := block(t, dir)
		drop(t, dir, "m", "From: s@x.org\nTo: a@x.org, b@x.org, c@x.org\nSubject: one\n\nhello\n")
		s.Flush()
		pass(10 * time.Millisecond)
		is.Equal(l.tries("", "b@x.org"), 0)
		pass(time.Minute)
		stop()
		unblock()
		is.True(!exists(dir, "m")) // delivery is slower, and succeeds
		for _, to := range []string{"a@x.org", "b@x.org", "c@x.org"} {
			is.Equal(l.tries("", to), 1)
		}
	})
}

func TestARecordIsAsLongAsItsTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const all, each = 2000, 100
		dir, l := t.TempDir(), &ledger{takes: time.Second}
		opts := Options{Transport: few(l, each), StatusFile: unwritable(t)}
		to := make([]string, all)
		for i := range to {
			to[i] = fmt.Sprintf("r%d@x.org", i)
		}
		drop(t, dir, "m", "From: s@x.org\nTo: "+strings.Join(to, ",\n ")+"\nMessage-ID: <1@x>\n\nhello\n")
		_, stop := start(t, dir, opts)
		pass(10*time.Second + time.Second/2)
		dir = crash(t, dir, stop)
		text := journalOf(t, dir)
		is.Equal(strings.Count(text, "\n"), 10)
		is.True(len(text) < 10*each*300) // a record has the recipients of its transaction, not all of the message
		_, stop = start(t, dir, opts)
		pass(time.Hour)
		stop()
		is.True(!exists(dir, "m"))
		for _, r := range to {
			// those of the transaction during the crash were tried twice
			is.True(l.tries("", r) == 1 || l.tries("", r) == 2)
		}
		is.Equal(l.tries("", "r0@x.org"), 1)
		is.Equal(len(l.offered), all+each) // one transaction was repeated
	})
}

func TestJournalIsEmptyWhenTheStatusFileIsCurrent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom})
		pass(50 * time.Millisecond)
		is.True(strings.Contains(journalOf(t, dir), "a@x.org"))
		pass(time.Second)
		is.Equal(journalOf(t, dir), "") // the status file has the acceptance
		drop(t, dir, "n", named)
		s.Flush()
		pass(10 * time.Millisecond)
		is.True(strings.Contains(journalOf(t, dir), "a@x.org"))
		s.Pause()
		is.Equal(journalOf(t, dir), "") // empty before the status file is edited
		s.Resume()
		drop(t, dir, "o", named)
		s.Flush()
		pass(10 * time.Millisecond)
		is.True(journalOf(t, dir) != "")
		stop()
		is.Equal(journalOf(t, dir), "") // empty at the end of the run
		edit(t, filepath.Join(dir, ".spoolgore.js"), `"a@x.org","Status":2`, `"a@x.org","Status":0`)
		tries := relay.tries("", "a@x.org")
		_, stop = start(t, dir, Options{Transport: relay, Backoff: seldom})
		pass(time.Minute)
		stop()
		is.Equal(relay.tries("", "a@x.org"), tries+1) // an edit of the status file while no daemon runs has effect
	})
}

func TestDeliveredMailDoesNotMakeTheJournalGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, l := t.TempDir(), &ledger{}
		s, stop := start(t, dir, Options{Transport: few(l, 1)})
		pass(time.Second)
		for range 20 {
			drop(t, dir, "m", named)
			s.Flush()
			pass(10 * time.Second)
			is.True(!exists(dir, "m"))
			is.Equal(journalOf(t, dir), "") // although the status file was never written
		}
		stop()
	})
}

func TestOutcomesDuringAPauseSurviveACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB, takes: 10 * time.Second}
		path := filepath.Join(dir, ".spoolgore.js")
		opts := Options{Transport: relay, Backoff: seldom}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, opts)
		pass(15 * time.Second)
		drop(t, dir, "n", named)
		pass(10 * time.Second)
		s.Pause() // during a transaction of n
		edit(t, path, `"b@x.org","Status":0`, `"b@x.org","Status":2`)
		before, err := os.ReadFile(path)
		is.NoErr(err)
		pass(20 * time.Second)
		after, err := os.ReadFile(path)
		is.NoErr(err)
		is.Equal(string(after), string(before)) // the daemon does not write the status file during the pause
		is.Equal(relay.accepted("n", "a@x.org"), 1)
		dir = crash(t, dir, stop)
		s, stop = start(t, dir, opts)
		pass(30 * time.Second)
		m := one(t, s.Status()) // the recipient that was marked as done stays done
		s.Flush()
		pass(30 * time.Second)
		stop()
		is.Equal(relay.tries("n", "a@x.org"), 1) // the acceptance was in the journal
		is.Equal(relay.tries("n", "b@x.org"), 2)
		is.Equal(m.To[1].Attempts, 1) // and so was the failed attempt
		is.Equal(relay.tries("m", "b@x.org"), 1)
	})
}

func TestAMessageHeldInMidTransactionIsRememberedOverACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB, takes: 10 * time.Second}
		opts := Options{Transport: relay, StatusFile: unwritable(t)}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, opts)
		pass(5 * time.Second)
		shift(t, dir, filepath.Join(dir, "hold"), "m")
		pass(30 * time.Second)
		opts.StatusFile = ""
		for range 3 { // the record is in the journal first, and then in the status file
			dir = crash(t, dir, stop)
			_, stop = start(t, dir, opts)
			pass(time.Minute)
		}
		is.True(exists(dir, "hold", "m"))
		shift(t, filepath.Join(dir, "hold"), dir, "m")
		pass(time.Hour)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1)
		is.True(relay.tries("m", "b@x.org") > 1)
	})
}

func TestMovedBackFromFailedIsRememberedOverACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &ledger{answer: func(_, to string, n int) error {
			switch {
			case to != "a@x.org" && n == 1:
				return refused()
			case to == "c@x.org":
				return errLater
			}
			return nil
		}}
		opts := Options{Transport: relay, Backoff: seldom, StatusFile: unwritable(t)}
		drop(t, dir, "m", strings.Replace(named, "b@x.org", "b@x.org, c@x.org", 1))
		_, stop := start(t, dir, opts)
		pass(15 * time.Second)
		shift(t, filepath.Join(dir, "failed"), dir, "m")
		pass(15 * time.Second)
		is.Equal(relay.accepted("m", "b@x.org"), 1)
		dir = crash(t, dir, stop)
		s, stop := start(t, dir, opts)
		pass(time.Minute)
		is.Equal(one(t, s.Status()).To[2].Attempts, 1)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1) // the acceptance is in the why-file
		is.Equal(relay.tries("m", "b@x.org"), 2) // refused before, accepted after the return
		is.Equal(relay.tries("m", "c@x.org"), 2)
	})
}

func TestNewMessageUnderANameInTheJournalInheritsNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Replace(named, "<1@x>", "<2@x>", 1), nameless} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir, relay := t.TempDir(), &ledger{answer: deferB}
			opts := Options{Transport: relay, StatusFile: unwritable(t)}
			drop(t, dir, "m", named)
			_, stop := start(t, dir, opts)
			pass(5 * time.Second)
			dir = crash(t, dir, stop)
			drop(t, dir, "m", text)
			_, stop = start(t, dir, opts)
			pass(5 * time.Second)
			stop()
			is.Equal(relay.accepted("m", "a@x.org"), 2)
		})
	}
}

func TestOutcomesInFlightAtTheStopAreRecorded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ journal, status bool }{{true, false}, {false, true}, {false, false}} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay, log, events := t.TempDir(), &ledger{answer: deferB, takes: 10 * time.Second}, &lines{}, &events{}
				opts := Options{Transport: relay, StatusFile: unwritable(t)}
				if tt.status {
					opts.StatusFile = ""
				}
				drop(t, dir, "m", named)
				logged := opts
				logged.Logger, logged.OnEvent = slog.New(slog.NewTextHandler(log, nil)), events.add
				_, stop := start(t, dir, logged)
				pass(5 * time.Second)
				unblock := func() {}
				if !tt.journal {
					unblock = block(t, dir)
				}
				stop()
				unblock()
				is.Equal(events.kinds("a@x.org"), "queued sent") // the application gets the event in any case
				is.Equal(strings.Contains(log.String(), "messages may be sent again"), !tt.journal && !tt.status)
				if !tt.journal && !tt.status {
					return
				}
				_, stop = start(t, dir, opts)
				pass(time.Minute)
				stop()
				is.Equal(relay.tries("m", "a@x.org"), 1)
			})
		})
	}
}

func TestDrainOffersTheRemainingRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, l := t.TempDir(), &ledger{}
		drop(t, dir, "m", named)
		s := New(dir, exact(Options{Transport: few(l, 1), StatusFile: unwritable(t)}))
		s.opts.Watch = WatchOff
		is.NoErr(s.Drain(t.Context()))
		is.True(!exists(dir, "m")) // both recipients have accepted the message
	})
}

func TestDrainDoesNotWaitForADiskThatIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, l := t.TempDir(), &ledger{takes: time.Second}
		drop(t, dir, "m", named)
		s := New(dir, exact(Options{Transport: few(l, 1), StatusFile: unwritable(t)}))
		s.opts.Watch = WatchOff
		go func() { time.Sleep(time.Second / 2); block(t, dir) }()
		is.True(s.Drain(t.Context()) != nil) // the error has the reason
		is.True(exists(dir, "m"))
		is.Equal(l.tries("m", "b@x.org"), 0)
	})
}

func TestAJournalThatIsNotWhole(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		ruin func(text string) string
	}{
		{"torn", func(text string) string { return text + text[:20] }},
		{"torn at its only record", func(text string) string { return text[:20] }},
		{"with a bad line", func(text string) string { return "00000000 x\n" + text }},
		{"zeros", func(text string) string { return text + strings.Repeat("\x00", 4096) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay, log := t.TempDir(), &ledger{answer: deferB}, &lines{}
				opts := Options{Transport: relay, StatusFile: unwritable(t), Logger: slog.New(slog.NewTextHandler(log, nil))}
				drop(t, dir, "m", named)
				_, stop := start(t, dir, opts)
				pass(5 * time.Second)
				dir = crash(t, dir, stop)
				text := journalOf(t, dir)
				is.Equal(strings.Count(text, "\n"), 1)
				is.NoErr(os.WriteFile(filepath.Join(dir, spooldir.JournalFile), []byte(tt.ruin(text)), 0o600))
				opts.StatusFile = ""
				for range 2 {
					_, stop = start(t, dir, opts)
					pass(time.Minute)
					stop()
				}
				is.Equal(strings.Count(log.String(), "journal damaged"), 1) // logged once, and repaired
				is.Equal(relay.tries("m", "a@x.org") == 1, tt.name != "torn at its only record")
				is.True(relay.tries("m", "b@x.org") > 1)
			})
		})
	}
}

func TestRunRefusesAJournalThatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"it is a directory": func(t *testing.T, dir string) { block(t, dir) },
		"it says what nobody understands": func(t *testing.T, dir string) {
			f := journal.New(filepath.Join(dir, spooldir.JournalFile))
			f.Append([]byte("no JSON"), time.Now())
			err, _ := f.Sync(time.Now())
			check(t, err)
			f.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			spoil(t, dir)
			s := New(dir, exact(Options{Transport: TransportFunc(nil)}))
			err := s.Run(t.Context())
			is.True(err != nil) // the acceptances are unknown
			is.True(strings.Contains(err.Error(), spooldir.JournalFile))
			is.True(!exists(dir, ".spoolgore.js")) // the status file was not written
			unlock, err := s.dir.Lock().Acquire()
			is.NoErr(err) // the lock was released
			unlock()
		})
	}
}

func TestReloadOfAnOldStatusFileKeepsTheNewMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom})
		pass(5 * time.Second)
		drop(t, dir, "m", "From: s@x.org\nTo: b@x.org, c@x.org\nMessage-ID: <2@x>\n\nhello\n")
		s.Flush()
		pass(50 * time.Millisecond)
		touch(t, filepath.Join(dir, ".spoolgore.js"))
		is.NoErr(s.Reload()) // the status file still has the first message
		pass(time.Minute)
		m := one(t, s.Status())
		stop()
		is.Equal(len(m.To), 2)
		is.Equal(m.To[1].Address, "c@x.org") // the second message keeps its recipients
	})
}

func TestStatusFileWithPartOfTheRecipientsIsNotTakenForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		l := &ledger{answer: func(_, to string, n int) error {
			if to == "b@x.org" && n == 1 {
				return busyRelay()
			}
			return nil
		}}
		opts := Options{Transport: few(l, 1), StatusFile: unwritable(t)}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, opts)
		pass(100 * time.Millisecond)
		dir = crash(t, dir, stop)
		opts.StatusFile = ""
		s, stop := start(t, dir, opts)
		pass(50 * time.Millisecond)
		text, err := os.ReadFile(filepath.Join(dir, ".spoolgore.js"))
		is.NoErr(err)
		is.True(!strings.Contains(string(text), "b@x.org")) // the journal had only the acceptance of a@x.org
		touch(t, filepath.Join(dir, ".spoolgore.js"))
		is.NoErr(s.Reload())
		pass(time.Minute)
		stop()
		is.Equal(l.tries("m", "a@x.org"), 1)
		is.Equal(l.accepted("m", "b@x.org"), 1) // b@x.org gets it
		is.True(!exists(dir, "m"))
	})
}
