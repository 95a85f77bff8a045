package spoolgore

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

func TestDirectoryThatCannotBeLockedIsNotServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.NewRelaxed(t)
		dir, relay, log := filepath.Join(t.TempDir(), "spool"), &ledger{answer: deferB}, &lines{}
		check(t, os.Mkdir(dir, 0o700))
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay, Logger: slog.New(slog.NewTextHandler(log, nil))})
		pass(5 * time.Second)
		check(t, os.Rename(dir, dir+".away"))
		check(t, os.Mkdir(dir, 0o700))
		check(t, os.Mkdir(filepath.Join(dir, ".spoolgore.lock"), 0o700)) // the directory cannot be locked
		drop(t, dir, "n", to("n@x.org"))
		pass(time.Minute)
		is.Equal(relay.tries("n", "n@x.org"), 0) // the daemon cannot lock the directory, and sends nothing from it
		is.True(strings.Contains(log.String(), ".spoolgore.lock"))
		check(t, os.RemoveAll(dir))
		check(t, os.Rename(dir+".away", dir))
		pass(time.Hour)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1)
	})
}

func TestAnotherSpoolsJournalIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.NewRelaxed(t)
		base := t.TempDir()
		dir, relay := filepath.Join(base, "spool"), &ledger{answer: deferB}
		// The spool that is to be mounted: a crash has left its journal ahead of its status file.
		check(t, os.Mkdir(dir, 0o700))
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay, StatusFile: unwritable(t)})
		pass(2 * time.Second)
		mounted := crash(t, dir, stop)
		is.True(strings.Contains(journalOf(t, mounted), "a@x.org"))
		// The daemon starts before that spool is mounted.
		check(t, os.Mkdir(dir, 0o700))
		slow := &ledger{answer: deferB, takes: 5 * time.Second}
		_, stop = start(t, dir, Options{Transport: slow})
		pass(time.Second)
		drop(t, dir, "flying", strings.ReplaceAll(named, "<1@x>", "<2@x>"))
		pass(12 * time.Second) // during the transaction of flying
		check(t, os.Rename(dir, dir+".under"))
		check(t, os.Rename(mounted, dir))
		pass(time.Hour)
		stop()
		is.Equal(slow.tries("m", "a@x.org"), 0) // the journal of the mounted spool has the acceptance
	})
}

func TestDrainReadsAChangedFileThatRested(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.NewRelaxed(t)
		dir, relay := t.TempDir(), &ledger{answer: func(_, _ string, n int) error {
			if n == 1 {
				return errLater
			}
			return nil
		}}
		names := []string{"1", "2", "3", "4"}
		for _, name := range names {
			drop(t, dir, name, strings.ReplaceAll(to("old@x.org"), "<1@", "<"+name+"@"))
		}
		s := New(dir, exact(Options{Transport: relay, Backoff: func(int) time.Duration { return time.Hour }}))
		s.opts.Watch = WatchOff
		check(t, s.Drain(t.Context()))
		pass(time.Minute)
		for _, name := range names { // other messages, under the same names
			drop(t, dir, name, strings.ReplaceAll(to("new@x.org"), "Message-ID: <", "Message-ID: <new"+name))
		}
		check(t, s.Drain(t.Context()))
		for _, name := range names {
			is.Equal(relay.tries(name, "new@x.org"), 1) // every message was tried once
		}
	})
}

func TestLineOfAnError(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	path := filepath.Join(t.TempDir(), "s.js")
	var b strings.Builder
	b.WriteString("{\n")
	for range 500 {
		b.WriteString(`"/s/a": {"From":"a","To":[{"Address":"b","Status":0}],"Cc":[],"Bcc":[]},` + "\n")
	}
	b.WriteString(`"/s/b": {"From":"a","To":[{"Address":"b","Status":}],"Cc":[],"Bcc":[]}` + "\n}\n") // line 502
	check(t, os.WriteFile(path, []byte(b.String()), 0o600))
	_, err := loadStatus(path)
	is.True(strings.Contains(err.Error(), "line 502:"))
}

func TestAHeldFileThatWasEdited(t *testing.T) {
	t.Parallel()
	for name, runs := range map[string]bool{"while it runs": true, "while it does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB}
				drop(t, dir, "m", named)
				_, stop := start(t, dir, Options{Transport: relay})
				pass(15 * time.Second)
				shift(t, dir, filepath.Join(dir, "hold"), "m")
				pass(15 * time.Second)
				if !runs {
					stop()
				}
				check(t, os.WriteFile(filepath.Join(dir, "hold", "m"), []byte(named+"more\n"), 0o600))
				drop(t, dir, "x", to("x@x.org")) // the directory changes
				pass(15 * time.Second)
				if !runs {
					_, stop = start(t, dir, Options{Transport: relay})
				}
				pass(15 * time.Second)
				shift(t, filepath.Join(dir, "hold"), dir, "m")
				pass(time.Hour)
				stop()
				is.Equal(relay.tries("m", "a@x.org"), 1)
			})
		})
	}
}

func TestAHeldFileWithAnotherLink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(15 * time.Second)
		shift(t, dir, filepath.Join(dir, "hold"), "m")
		pass(15 * time.Second)
		check(t, os.Link(filepath.Join(dir, "hold", "m"), filepath.Join(dir, "hold", "backup")))
		drop(t, dir, "x", to("x@x.org")) // the directory changes
		pass(15 * time.Second)
		check(t, os.Remove(filepath.Join(dir, "hold", "backup")))
		shift(t, filepath.Join(dir, "hold"), dir, "m")
		pass(time.Hour)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1)
	})
}

var _ = spooldir.ErrChanged
