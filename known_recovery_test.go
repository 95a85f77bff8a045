package spoolgore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// inodeOf returns the inode number of a file.
func inodeOf(info os.FileInfo) uint64 { return spooldir.IDOf(info).Ino }

// A message was given up, and its link in tmp/ was not removed: the process was killed then, or unlink(2) failed. The
// operator moves the message back from failed/. The next start must not remove the message as a copy.
func TestMessageMovedBackIsNotTakenForItsCopy(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F1/copy-in-tmp", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: refuseB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		stop()
		info, err := os.Lstat(filepath.Join(dir, "failed", "m"))
		check(t, err)
		id := spooldir.IDOf(info)
		aside := fmt.Sprintf(".sent-%d-%d-%d-m", id.Ino, id.Size, id.ModTime.UnixNano())
		check(t, os.Link(filepath.Join(dir, "failed", "m"), filepath.Join(dir, "tmp", aside)))
		shift(t, filepath.Join(dir, "failed"), dir, "m")
		relay.acceptAll() // b@x.org is accepted now
		_, stop = start(t, dir, Options{Transport: relay})
		pass(time.Minute)
		stop()
		if err := copies(relay, "b@x.org", 1); err != nil {
			return fmt.Errorf("%w; in the spool %v, in failed/ %v", err, exists(dir, "m"), exists(dir, "failed", "m"))
		}
		return copies(relay, "a@x.org", 1)
	}))
}

// The daemon is killed right after it has given up a message: the journal is ahead of the status file. The message is
// moved back.
func TestMessageMovedBackAfterCrashIsTried(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F1/killed-after-giving-up", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: refuseB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay, StatusFile: unwritable(t)})
		pass(2 * time.Second)
		if !exists(dir, "failed", "m") {
			t.Fatal("the message was not given up")
		}
		dir = crash(t, dir, stop)
		shift(t, filepath.Join(dir, "failed"), dir, "m")
		relay.acceptAll() // b@x.org is accepted now
		_, stop = start(t, dir, Options{Transport: relay})
		pass(time.Minute)
		stop()
		if err := copies(relay, "b@x.org", 1); err != nil {
			return fmt.Errorf("%w; in the spool %v, in failed/ %v", err, exists(dir, "m"), exists(dir, "failed", "m"))
		}
		return copies(relay, "a@x.org", 1)
	}))
}

// A move to failed/ was undone in part: the link in failed/ exists, and the why-file does not (see F8/undo in
// internal/spooldir). The message must still be sent.
func TestMessageLinkedInFailedWithoutWhyFileIsSent(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F8/linked-without-why", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{}
		check(t, os.MkdirAll(filepath.Join(dir, "failed"), 0o700))
		drop(t, dir, "m", named)
		check(t, os.Link(filepath.Join(dir, "m"), filepath.Join(dir, "failed", "m")))
		for range 3 {
			_, stop := start(t, dir, Options{Transport: relay})
			pass(time.Hour)
			stop()
		}
		if relay.tries("m", "a@x.org") == 0 && exists(dir, "m") {
			return errors.New("after three starts and three hours the message is in the spool and was never tried")
		}
		return nil
	}))
}
