package spoolgore

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// The spool directory goes away, as when its file system is unmounted, and comes back. No record of a message is lost.
func TestRecordsSurviveAnUnmountedSpool(t *testing.T) {
	t.Parallel()
	type act func(t *testing.T, dir string)
	leave := func(t *testing.T, dir string) { check(t, os.Rename(dir, dir+".away")) }
	comeBack := func(t *testing.T, dir string) { check(t, os.Rename(dir+".away", dir)) }
	empty := func(t *testing.T, dir string) { leave(t, dir); check(t, os.Mkdir(dir, 0o700)) }
	uncover := func(t *testing.T, dir string) { check(t, os.RemoveAll(dir)); comeBack(t, dir) }
	for name, tt := range map[string]struct{ away, back act }{
		"nothing in its place":            {leave, comeBack},
		"an empty directory in its place": {empty, uncover},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, log := filepath.Join(t.TempDir(), "spool"), &lines{}
				check(t, os.Mkdir(dir, 0o700))
				relay := &ledger{answer: deferB, takes: 5 * time.Second}
				drop(t, dir, "waits", named)
				drop(t, dir, "done", to("d@x.org"))
				s, stop := start(t, dir, Options{Transport: relay, Backoff: func(int) time.Duration { return time.Hour }, Logger: slog.New(slog.NewTextHandler(log, nil))})
				pass(8 * time.Second)
				drop(t, dir, "flying", to("f@x.org"))
				pass(4 * time.Second) // the transaction of flying is under way
				tt.away(t, dir)
				pass(30 * time.Second)
				s.Flush() // every message of which the file is there is tried
				pass(2 * time.Hour)
				is.Equal(relay.accepted("flying", "f@x.org"), 1)
				tt.back(t, dir)
				pass(3 * time.Hour)
				stop()
				is.Equal(relay.tries("waits", "a@x.org"), 1)  // a recipient with an acceptance does not get it again
				is.True(relay.tries("waits", "b@x.org") > 1)  // b@x.org is tried again
				is.True(exists(dir, "waits"))                 // and the message waits for b@x.org
				is.Equal(relay.tries("flying", "f@x.org"), 1) // an acceptance counts although the directory was away
				is.True(!exists(dir, "flying"))               // and the file is removed when the directory is back
				is.Equal(relay.accepted("done", "d@x.org"), 1)
				is.True(strings.Count(log.String(), "ERROR") <= 3) // each error is logged once
			})
		})
	}
}

func TestNewSpoolDirectoryIsLockedAndServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := filepath.Join(t.TempDir(), "spool"), &ledger{}
		check(t, os.Mkdir(dir, 0o700))
		drop(t, dir, "old", to("old@x.org"))
		_, stop := start(t, dir, Options{Transport: relay})
		pass(time.Minute)
		is.NoErr(os.RemoveAll(dir))
		is.NoErr(os.Mkdir(dir, 0o700))
		drop(t, dir, "new", to("new@x.org"))
		pass(time.Minute)
		is.Equal(relay.accepted("new", "new@x.org"), 1)
		is.True(errors.Is(New(dir, exact(Options{})).Run(t.Context()), ErrRunning)) // the lock is still held
		stop()
	})
}

func TestNewSpoolDirectoryOfAnotherDaemonIsNotServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, log := filepath.Join(t.TempDir(), "spool"), &ledger{}, &lines{}
		check(t, os.Mkdir(dir, 0o700))
		_, stop := start(t, dir, Options{Transport: relay, Logger: slog.New(slog.NewTextHandler(log, nil))})
		pass(time.Minute)
		is.NoErr(os.RemoveAll(dir))
		is.NoErr(os.Mkdir(dir, 0o700))
		other, theirs := New(dir, exact(Options{})), &ledger{}
		unlock, err := other.dir.Lock().Acquire() // the other Spool locks the new directory before the daemon does
		is.NoErr(err)
		drop(t, dir, "m", named)
		pass(time.Hour)
		// the message belongs to the Spool with the lock
		is.Equal(relay.tries("m", "a@x.org"), 0)
		is.True(!exists(dir, ".spoolgore.js"))                          // and so does the status file
		is.True(strings.Contains(log.String(), "is being run already")) // the log has the reason
		unlock()
		pass(time.Minute)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1) // after the other Spool has unlocked the directory
		is.Equal(theirs.tries("m", "a@x.org"), 0)
	})
}

func TestDrainEndsWhenTheSpoolDirectoryIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := filepath.Join(t.TempDir(), "spool")
		check(t, os.Mkdir(dir, 0o700))
		for _, name := range []string{"1", "2", "3"} {
			drop(t, dir, name, named)
		}
		s := New(dir, exact(Options{Transport: &ledger{takes: time.Minute}, Concurrency: 1}))
		s.opts.Watch = WatchOff
		time.AfterFunc(90*time.Second, func() { check(t, os.Rename(dir, dir+".away")) })
		err := s.Drain(t.Context())
		is.True(errors.Is(err, os.ErrNotExist)) // the error has the reason
		is.True(exists(dir+".away", "3"))
	})
}
