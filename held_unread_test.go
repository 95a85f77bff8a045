package spoolgore

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// TestEditedAndHeldBeforeItIsReadSendsNoSecondCopy edits a waiting message in place, and moves it to hold/ before the
// edit has settled. The record has to wait in hold/ with the file, however long.
func TestEditedAndHeldBeforeItIsReadSendsNoSecondCopy(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(t *testing.T, path string){
		"appended": func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			check(t, err)
			_, err = f.WriteString("one line more\n")
			check(t, err)
			check(t, f.Close())
			check(t, os.Chtimes(path, time.Now(), time.Now()))
		},
		"touched": func(t *testing.T, path string) { check(t, os.Chtimes(path, time.Now(), time.Now())) },
		"replaced": func(t *testing.T, path string) {
			check(t, os.WriteFile(path+"~", []byte(strings.Replace(named, "\n\n", "\nX-More: 1\n\n", 1)), 0o600))
			check(t, os.Chtimes(path+"~", time.Now(), time.Now()))
			check(t, os.Rename(path+"~", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB}
				drop(t, dir, "m", named)
				s, stop := start(t, dir, Options{Transport: relay, Freq: time.Second, Settle: 10 * time.Second})
				pass(15 * time.Second)
				is.Equal(relay.accepted("", "a@x.org"), 1)
				s.Pause() // the file is not read while the spool is paused
				edit(t, filepath.Join(dir, "m"))
				s.Resume()
				pass(2 * time.Second) // a scan sees the edit, which has not settled
				check(t, os.Rename(filepath.Join(dir, "m"), filepath.Join(dir, "hold", "m")))
				pass(time.Hour)
				shift(t, filepath.Join(dir, "hold"), dir, "m")
				pass(time.Hour)
				stop()
				is.True(relay.tries("", "b@x.org") >= 2)
				is.Equal(relay.accepted("", "a@x.org"), 1) // no second copy
			})
		})
	}
}

// TestStatusFileThatCannotBeReadNowIsKept starts a run while the system is short of memory. The status file is not
// taken for a damaged file: the start fails, and the next start still has the acceptances.
func TestStatusFileThatCannotBeReadNowIsKept(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.ENOMEM, syscall.EMFILE, syscall.EACCES, syscall.ESTALE} {
		t.Run(cause.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: deferB}
				drop(t, dir, "m", named)
				_, stop := start(t, dir, Options{Transport: relay})
				pass(5 * time.Second)
				stop()
				s := New(dir, Options{Transport: relay, Watch: WatchOff, FailDisk: func(op, path string) error {
					if op == "read" && filepath.Base(path) == ".spoolgore.js" {
						return cause
					}
					return nil
				}})
				err := s.Run(t.Context())
				is.True(errors.Is(err, cause))
				aside, err := filepath.Glob(filepath.Join(dir, ".spoolgore.js.bad-*"))
				is.NoErr(err)
				is.Equal(len(aside), 0)
				_, stop = start(t, dir, Options{Transport: relay})
				pass(time.Hour)
				stop()
				is.NoErr(copies(relay, "a@x.org", 1))
				is.True(relay.tries("", "b@x.org") >= 2)
			})
		})
	}
}

// TestMessageThatCannotBeReadIsHeldWhenTheStatusFileIsDamaged: which recipients have accepted the message is not known.
func TestMessageThatCannotBeReadIsHeldWhenTheStatusFileIsDamaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Second)
		stop()
		is.NoErr(os.WriteFile(filepath.Join(dir, ".spoolgore.js"), []byte("{"), 0o600))
		var failing atomic.Bool
		failing.Store(true)
		log := &lines{}
		_, stop = start(t, dir, Options{
			Transport: relay, Logger: slog.New(slog.NewTextHandler(log, nil)),
			FailDisk: func(op, path string) error {
				if failing.Load() && op == "read" && filepath.Base(path) == "m" {
					return syscall.EIO
				}
				return nil
			},
		})
		pass(time.Second)
		failing.Store(false)
		pass(time.Hour)
		stop()
		is.NoErr(copies(relay, "a@x.org", 1))
		is.True(exists(dir, "hold", "m"))
		is.True(strings.Contains(log.String(), "message cannot be read and is held"))
	})
}
