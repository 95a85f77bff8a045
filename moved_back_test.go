package spoolgore

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A relay accepts a message for a@x.org and refuses b@x.org. The message is then moved back from failed/ under another
// name. The daemon finds the why-file by its content.
func TestMessageIsMovedBackUnderAnotherName(t *testing.T) {
	t.Parallel()
	hold := func(dir string) string { return filepath.Join(dir, "hold", "x") }
	rename := func(to ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			check(t, os.Rename(filepath.Join(dir, "failed", "m"), filepath.Join(append([]string{dir}, to...)...)))
		}
	}
	for name, tt := range map[string]struct {
		text  string
		while bool // a daemon runs
		move  func(t *testing.T, dir string)
		a, b  int // number of acceptances at the end
	}{
		"while a daemon runs":  {named, true, rename("again"), 1, 1},
		"before a start":       {named, false, rename("again"), 1, 1},
		"without a Message-ID": {alert("body"), false, rename("again"), 1, 1},
		"through hold": {named, true, func(t *testing.T, dir string) {
			check(t, os.Rename(filepath.Join(dir, "failed", "m"), hold(dir)))
			pass(time.Hour)
			check(t, os.Rename(hold(dir), filepath.Join(dir, "again")))
		}, 1, 1},
		"by a copy": {named, true, func(t *testing.T, dir string) {
			drop(t, dir, "again", named)
			check(t, os.Remove(filepath.Join(dir, "failed", "m")))
		}, 1, 1},
		"renamed twice": {named, true, func(t *testing.T, dir string) {
			rename("again")(t, dir)
			check(t, os.Rename(filepath.Join(dir, "again"), filepath.Join(dir, "third")))
		}, 1, 1},
		"and copied": {named, false, func(t *testing.T, dir string) {
			rename("m")(t, dir)
			drop(t, dir, "n", named)
		}, 2, 2},
		"it stays in failed": {named, true, func(t *testing.T, dir string) { drop(t, dir, "n", named) }, 2, 1},
		"deleted, and the same alert again": {alert("body"), true, func(t *testing.T, dir string) {
			check(t, os.Remove(filepath.Join(dir, "failed", "m")))
			drop(t, dir, "n", alert("body"))
		}, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: refuseB}
				drop(t, dir, "m", tt.text)
				_, stop := start(t, dir, Options{Transport: relay})
				pass(2 * time.Second)
				is.True(exists(dir, "failed", "m.json")) // given up for b@x.org
				relay.acceptAll()
				if !tt.while {
					stop()
				}
				pass(time.Minute)
				tt.move(t, dir)
				if !tt.while {
					_, stop = start(t, dir, Options{Transport: relay})
				}
				pass(time.Minute)
				stop()
				is.Equal(relay.accepted("", "a@x.org"), tt.a)
				is.Equal(relay.accepted("", "b@x.org"), tt.b)
				left, err := filepath.Glob(filepath.Join(dir, "[^.]*"))
				is.NoErr(err)
				is.Equal(len(left), 3) // the directories failed, hold and tmp
				whys, err := filepath.Glob(filepath.Join(dir, "failed", "*.json"))
				is.NoErr(err)
				stays := strings.HasPrefix(name, "it stays") || strings.HasPrefix(name, "deleted")
				is.Equal(len(whys) == 0, !stays) // the why-file is removed together with the message
			})
		})
	}
}

// A person removes an entry from the status file. The process is killed after Reload has returned.
func TestReloadIsDurableWhenItReturns(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]bool{"in a pause": true, "without a pause": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB}
				drop(t, dir, "m", named)
				s, stop := start(t, dir, Options{Transport: relay})
				pass(10 * time.Second)
				if pause {
					s.Pause()
				}
				text, err := json.Marshal(Status{})
				is.NoErr(err)
				is.NoErr(os.WriteFile(filepath.Join(dir, ".spoolgore.js"), text, 0o600))
				is.NoErr(s.Reload())
				is.Equal(strings.Count(journalOf(t, dir), "\n"), 1) // the line of the acceptance
				dir = crash(t, dir, stop)
				relay.acceptAll()
				_, stop = start(t, dir, Options{Transport: relay})
				pass(time.Hour)
				stop()
				is.Equal(relay.accepted("", "a@x.org"), 1)
				is.Equal(relay.accepted("", "b@x.org"), 1)
			})
		})
	}
}

// While no daemon runs, a file of the same size and time takes the name of a message: the other message is sent.
func TestFileOfSameSizeAndTimeIsReadAfterRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(10 * time.Second)
		stop()
		info, err := os.Stat(filepath.Join(dir, "m"))
		is.NoErr(err)
		keep := filepath.Join(dir, "tmp", "keep") // otherwise the file system could use the inode number again
		is.NoErr(os.Link(filepath.Join(dir, "m"), keep))
		drop(t, dir, "m", strings.NewReplacer("1@x", "2@x", "a@x.org", "c@x.org").Replace(named))
		is.NoErr(os.Chtimes(filepath.Join(dir, "m"), info.ModTime(), info.ModTime()))
		_, stop = start(t, dir, Options{Transport: relay})
		pass(time.Hour)
		stop()
		is.Equal(relay.accepted("", "c@x.org"), 1)
		is.Equal(relay.accepted("", "a@x.org"), 1)
	})
}
