package spoolgore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

func TestStatusFileOfARemountedSpoolCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := filepath.Join(t.TempDir(), "spool")
		check(t, os.Mkdir(dir, 0o700))
		first, second := &ledger{answer: deferB}, &ledger{answer: func(_, to string, _ int) error {
			if to == "c@x.org" {
				return errLater
			}
			return nil
		}}
		drop(t, dir, "m", strings.Replace(named, "b@x.org", "b@x.org, c@x.org", 1))
		first.answer = func(_, to string, _ int) error {
			if to != "a@x.org" {
				return errLater
			}
			return nil
		}
		_, stop := start(t, dir, Options{Transport: first})
		pass(15 * time.Second)
		another(t, dir) // the spool is unmounted here
		pass(15 * time.Second)
		_, stopOther := start(t, dir+".away", Options{Transport: second}) // another host mounts the spool for a while
		pass(10 * time.Minute)
		stopOther()
		is.Equal(second.accepted("m", "b@x.org"), 1)
		check(t, os.RemoveAll(dir))
		check(t, os.Rename(dir+".away", dir))
		pass(2 * time.Hour)
		stop()
		is.Equal(first.tries("m", "a@x.org")+second.tries("m", "a@x.org"), 1)
		before := first.tries("m", "b@x.org")
		is.Equal(before, 1) // the acceptance on the other host counts
	})
}

func TestTheDirectoryUnderneathMayHaveMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := filepath.Join(t.TempDir(), "spool")
		check(t, os.Mkdir(dir, 0o700))
		relay := &ledger{answer: deferB, takes: 5 * time.Second}
		_, stop := start(t, dir, Options{Transport: relay, Backoff: func(int) time.Duration { return time.Hour }})
		pass(8 * time.Second)
		drop(t, dir, "m", named)
		pass(4 * time.Second) // during the transaction of m
		another(t, dir)
		drop(t, dir, "under", to("b@x.org")) // a program leaves a message in the new directory
		pass(20 * time.Minute)
		is.Equal(relay.accepted("m", "a@x.org"), 1)
		check(t, os.RemoveAll(dir))
		check(t, os.Rename(dir+".away", dir))
		pass(3 * time.Hour)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1)
	})
}

// A recipient is added to the status file while the other recipients are in a transaction.
func TestARecipientAddedWhileTheOthersAreInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{takes: time.Minute}
		drop(t, dir, "m", named)
		s, stop := start(t, dir, Options{Transport: relay})
		pass(12 * time.Second)
		s.Pause()
		path := filepath.Join(dir, ".spoolgore.js")
		edited := strings.Replace(compactStatus(t, path), `"Cc":[]`, `"Cc":[{"Address":"c@x.org","Status":0}]`, 1)
		is.NoErr(os.WriteFile(path, []byte(edited), 0o600))
		is.NoErr(s.Reload())
		s.Resume()
		pass(time.Hour)
		stop()
		is.Equal(relay.tries("m", "c@x.org"), 1)
	})
}
