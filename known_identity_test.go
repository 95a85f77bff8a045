package spoolgore

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
)

// copies returns an error unless the relay has accepted the message for the recipient n times.
func copies(relay *ledger, to string, want int) error {
	if n := relay.accepted("", to); n != want {
		return fmt.Errorf("the relay accepted the message for %s %d times, want %d", to, n, want)
	}
	return nil
}

// moveWhileWaiting moves the file of a message that waits for b@x.org only, and reports what becomes of the message.
func moveWhileWaiting(move func(t *testing.T, dir string)) known.Scenario {
	return known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		move(t, dir)
		pass(2 * time.Minute)
		stop()
		if relay.tries("", "b@x.org") < 2 {
			t.Fatal("the message was not retried")
		}
		return copies(relay, "a@x.org", 1)
	})
}

func TestRenameInSpoolSendsNoSecondCopy(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F5/renamed", moveWhileWaiting(func(t *testing.T, dir string) {
		check(t, os.Rename(filepath.Join(dir, "m"), filepath.Join(dir, "n")))
	}))
}

func TestMoveAwayAndBackSendsNoSecondCopy(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F5/moved-away-and-back", moveWhileWaiting(func(t *testing.T, dir string) {
		away := t.TempDir()
		shift(t, dir, away, "m")
		pass(20 * time.Second)
		shift(t, away, dir, "m")
	}))
}

func TestHoldUnderAnotherNameSendsNoSecondCopy(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F5/held-under-another-name", moveWhileWaiting(func(t *testing.T, dir string) {
		check(t, os.Rename(filepath.Join(dir, "m"), filepath.Join(dir, "hold", "m.held")))
		pass(20 * time.Second)
		check(t, os.Rename(filepath.Join(dir, "hold", "m.held"), filepath.Join(dir, "m")))
	}))
}

// latin1 is a message whose Message-ID has an octet that is not UTF-8. No JSON file can hold the Message-ID unchanged.
var latin1 = strings.Replace(named, "<1@x>", "<caf\xe9-1@x>", 1)

func TestFailedMessageIsRecognizedByMessageIDNotUTF8(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F12/failed", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: refuseB}
		drop(t, dir, "m", latin1)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		shift(t, filepath.Join(dir, "failed"), dir, "m")
		pass(20 * time.Second)
		stop()
		if relay.tries("", "b@x.org") < 2 {
			t.Fatal("the message moved back was not tried again")
		}
		return copies(relay, "a@x.org", 1)
	}))
}

func TestWaitingMessageIsRecognizedByMessageIDNotUTF8(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F12/restart", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", latin1)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		stop()
		_, stop = start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		touchWithDir(t, dir, "m")
		pass(2 * time.Minute)
		stop()
		if relay.tries("", "b@x.org") < 2 {
			t.Fatal("the message was not retried")
		}
		return copies(relay, "a@x.org", 1)
	}))
}

// touchWithDir touches a file and then the directory, so that the next scan compares the file. File times are those of
// the bubble, and differ from the ones before.
func touchWithDir(t *testing.T, dir, name string) {
	t.Helper()
	now := time.Now()
	check(t, os.Chtimes(filepath.Join(dir, name), now, now))
	check(t, os.Chtimes(dir, now.Add(time.Second), now.Add(time.Second)))
}

// alert is a message of a program that writes no Message-ID and the same header each time.
func alert(body string) string {
	return "From: s@x.org\nTo: a@x.org, b@x.org\nSubject: alert\n\n" + body + "\n"
}

// renumber changes the inode number that a file of the daemon records to that of the file name, as if the file system
// had used the number again. Which numbers a file system uses again cannot be chosen.
func renumber(t *testing.T, record, name string) {
	t.Helper()
	info, err := os.Lstat(name)
	check(t, err)
	text, err := os.ReadFile(record)
	check(t, err)
	inode := regexp.MustCompile(`"Inode": ?\d+`)
	if len(inode.FindAll(text, -1)) != 1 {
		t.Fatalf("%s does not hold one inode number: %s", record, text)
	}
	text = inode.ReplaceAll(text, fmt.Appendf(nil, `"Inode": %d`, inodeOf(info)))
	check(t, os.WriteFile(record, text, 0o600))
}

func TestInodeUsedAgainAfterFailure(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F15/failed", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: refuseB}
		drop(t, dir, "alert", alert("disk one is full"))
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		stop()
		check(t, os.Remove(filepath.Join(dir, "failed", "alert"))) // by an operator; the why-file stays
		drop(t, dir, "alert", alert("disk two is full"))
		renumber(t, filepath.Join(dir, "failed", "alert.json"), filepath.Join(dir, "alert"))
		_, stop = start(t, dir, Options{Transport: relay})
		pass(20 * time.Second)
		stop()
		return copies(relay, "a@x.org", 2)
	}))
}

func TestInodeUsedAgainAfterCancel(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F15/status-file", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "alert", alert("disk one is full"))
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		stop()
		check(t, os.Remove(filepath.Join(dir, "alert"))) // cancelled while no daemon runs
		drop(t, dir, "alert", alert("disk two is full"))
		renumber(t, filepath.Join(dir, ".spoolgore.js"), filepath.Join(dir, "alert"))
		_, stop = start(t, dir, Options{Transport: relay})
		pass(20 * time.Second)
		stop()
		return copies(relay, "a@x.org", 2)
	}))
}

func TestWhyFileOfAnotherMessageIsKept(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F16", known.Bubble(func(t *testing.T) error {
		dir, away := t.TempDir(), t.TempDir()
		failed := filepath.Join(dir, "failed")
		relay := &ledger{answer: func(_, to string, n int) error {
			switch {
			case n == 1 && to == "b@x.org":
				return refused()
			case n == 1 && to == "c@x.org":
				return errLater
			}
			return nil
		}}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		shift(t, failed, away, "m") // an operator moves the message out of failed/ to read it
		drop(t, dir, "m", "From: s@x.org\nTo: c@x.org\nMessage-ID: <other@x>\n\nhello\n")
		pass(20 * time.Second)
		stop()
		_, stop = start(t, dir, Options{Transport: relay})
		pass(5 * time.Minute)
		if err := copies(relay, "c@x.org", 1); err != nil {
			t.Fatal(err)
		}
		lost := !exists(failed, "m.json")
		shift(t, away, dir, "m")
		pass(time.Minute)
		stop()
		if lost {
			return fmt.Errorf("failed/m.json was removed with another message; moved back: %v",
				copies(relay, "a@x.org", 1))
		}
		return copies(relay, "a@x.org", 1)
	}))
}
