package spoolgore

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// backUp copies the directory from to a new directory as one of three programs does: tar (times in whole seconds), cp
// -r (new times) or rsync -a.
func backUp(t *testing.T, from, tool string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "restored")
	check(t, filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if e.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, text, 0o600); err != nil || tool == "cp" {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		modified := info.ModTime()
		if tool == "tar" {
			modified = modified.Truncate(time.Second)
		}
		return os.Chtimes(target, modified, modified)
	}))
	return to
}

// restored is a spool with a message in each place. a@x.org has accepted every message that was tried.
type restored struct {
	*is.I
	dir   string
	relay *ledger
	mails []string
}

// fillForBackUp drops the messages of a restored spool.
func fillForBackUp(t *testing.T, dir string) (mails []string) {
	t.Helper()
	for i, head := range []string{"Message-ID: <%s@x.org>\n", ""} {
		for _, to := range []string{"b@x.org", "no@x.org"} {
			name := fmt.Sprintf("m%d-%s", i, to)
			if head != "" {
				head = fmt.Sprintf("Message-ID: <%s@x.org>\n", name)
			}
			drop(t, dir, name, head+"From: s@x.org\nTo: a@x.org, "+to+"\nSubject: "+name+"\n\nhello\n")
			mails = append(mails, name)
		}
	}
	return mails
}

// answerForBackUp accepts a@x.org, defers b@x.org and refuses no@x.org.
func answerForBackUp(_, to string, _ int) error {
	switch to {
	case "b@x.org":
		return errLater
	case "no@x.org":
		return refused()
	}
	return nil
}

// verify runs a spool on the backup with a relay that accepts everything, and moves messages back from hold/ and
// failed/. Every recipient has then accepted every message once.
func (r restored) verify(t *testing.T) {
	t.Helper()
	r.relay.acceptAll()
	_, stop := start(t, r.dir, Options{Transport: r.relay, Backoff: seldom, Freq: time.Minute})
	pass(2 * time.Minute)
	for _, place := range []string{"hold", "failed"} {
		names, err := os.ReadDir(filepath.Join(r.dir, place))
		check(t, err)
		for _, e := range names {
			if !strings.HasSuffix(e.Name(), ".json") {
				shift(t, filepath.Join(r.dir, place), r.dir, e.Name())
			}
		}
	}
	pass(25 * time.Hour)
	stop()
	for _, name := range r.mails {
		_, other, _ := strings.Cut(name, "-")
		for _, to := range []string{"a@x.org", other} {
			if n := r.relay.accepted(name, to); n != 1 {
				t.Errorf("%s was accepted %d times by %s", name, n, to)
			}
		}
		r.True(!exists(r.dir, name)) // every message has left the spool
	}
}

// A backup of a paused spool is restored at another path: no message is lost, and no recipient gets a second copy.
func TestRestoreOfABackupOfAPausedSpool(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"tar", "cp", "rsync"} {
		t.Run(tool, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, relay := t.TempDir(), &ledger{answer: answerForBackUp}
				s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom})
				mails := fillForBackUp(t, dir)
				drop(t, dir, "held-b@x.org", "Message-ID: <h@x>\nFrom: s@x.org\nTo: a@x.org, b@x.org\n\nhello\n")
				pass(time.Minute)
				check(t, s.Hold("held-b@x.org"))
				pass(time.Minute)
				s.Pause()
				drop(t, dir, "new-b@x.org", "Message-ID: <n@x>\nFrom: s@x.org\nTo: a@x.org, b@x.org\n\nhello\n")
				copied := backUp(t, dir, tool)
				stop() // the host is lost
				restored{is.New(t), copied, relay, append(mails, "held-b@x.org", "new-b@x.org")}.verify(t)
			})
		})
	}
}

// A snapshot of the file system is taken at any moment of a run: records that the status file lacks are in the journal.
func TestRestoreOfASnapshot(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 10 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond,
		time.Second, time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, relay := t.TempDir(), &ledger{answer: answerForBackUp}
				mails := fillForBackUp(t, dir)
				_, stop := start(t, dir, Options{Transport: relay, Backoff: seldom})
				pass(after)
				copied := backUp(t, dir, "rsync")
				before := len(relay.all())
				stop()
				relay.forgetFrom(before) // the acceptances of the lost host after the snapshot
				restored{is.New(t), copied, relay, mails}.verify(t)
			})
		})
	}
}

// all returns all offers of a ledger.
func (l *ledger) all() []offered {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]offered(nil), l.offered...)
}

// forgetFrom drops all offers except the first n.
func (l *ledger) forgetFrom(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offered = l.offered[:n]
}

// Neither the journal nor the status file can be written until the daemon has stopped, while b@x.org still waits. The
// acceptance of a@x.org is logged and the event is sent, but a@x.org gets the message again. A removal needs no
// journal.
func TestAcceptancesThatCannotBeWrittenBeforeTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, log, events := t.TempDir(), &ledger{answer: deferB}, &lines{}, &events{}
		opts := Options{
			Transport: relay, StatusFile: unwritable(t), OnEvent: events.add, Backoff: seldom,
			Logger: slog.New(slog.NewTextHandler(log, nil)),
		}
		_, stop := start(t, dir, opts)
		pass(time.Second)
		unblock := block(t, dir)
		drop(t, dir, "m", named)
		drop(t, dir, "all", "From: s@x.org\nTo: c@x.org\nCc: d@x.org\n\nhello\n")
		pass(time.Minute)
		is.Equal(events.kinds("a@x.org"), "queued")
		stop()
		is.True(strings.Contains(log.String(), "acceptances cannot be recorded; messages may be sent again"))
		is.Equal(events.kinds("a@x.org"), "queued sent")
		unblock()
		relay.acceptAll()
		opts.StatusFile = ""
		_, stop = start(t, dir, opts)
		pass(25 * time.Hour)
		stop()
		is.Equal(relay.accepted("m", "a@x.org"), 2) // the second copy that docs/durability.md names
		is.Equal(relay.accepted("m", "b@x.org"), 1)
		is.Equal(relay.accepted("all", "c@x.org"), 1)
		is.Equal(relay.accepted("all", "d@x.org"), 1)
		is.True(!exists(dir, "m"))
	})
}

// A writer links its file tmp/.put-m into the spool and ends before it removes the first name. Within a minute the
// writer may still run. A start after that sends the message once.
func TestPutFileYoungerThanAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{}
		check(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o700))
		put, young := filepath.Join(dir, "tmp", ".put-m"), filepath.Join(dir, "tmp", ".put-n")
		for _, path := range []string{put, young} {
			check(t, os.WriteFile(path, []byte(named), 0o600))
			check(t, os.Chtimes(path, time.Now(), time.Now()))
		}
		check(t, os.Link(put, filepath.Join(dir, "m")))
		for range 2 {
			_, stop := start(t, dir, Options{Transport: relay})
			pass(20 * time.Second)
			stop()
			is.Equal(relay.accepted("m", "a@x.org"), 0) // the writer may still run and remove one of the names
			is.True(exists(put) && exists(young))
		}
		pass(2 * time.Minute)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(time.Minute)
		stop()
		is.Equal(relay.accepted("m", "a@x.org"), 1)
		is.True(!exists(put) && !exists(dir, "m"))
		is.True(exists(young)) // a file that its writer has not linked into the spool is no message
	})
}
