package spoolgore

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// reviewRunner is a runner at work on a spool of its own, without a loop.
func reviewRunner(t *testing.T, opts Options) (r *runner, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "spool")
	check(t, os.Mkdir(dir, 0o700))
	s := New(dir, exact(opts))
	full, err := s.opts.complete(s.dir)
	check(t, err)
	r, err = newRunner(s.dir, full, false)
	check(t, err)
	return r, dir
}

func another(t *testing.T, dir string) {
	t.Helper()
	check(t, os.Rename(dir, dir+".away"))
	check(t, os.Mkdir(dir, 0o700))
}

func TestAdoptWhileTheJournalIsBeingWritten(t *testing.T) { // with -race
	r, dir := reviewRunner(t, Options{Transport: &ledger{}})
	r.q.journal.Append([]byte(`{"File":"x","Error":"`+strings.Repeat("x", 1<<20)+`"}`), time.Now())
	r.q.journal.Start()
	another(t, dir)
	is := is.New(t)
	is.True(r.adopt() != nil) // not while the journal of the old one is being written
	r.q.journal.Finish(<-r.q.journal.Done(), time.Now())
	is.NoErr(r.adopt())
	r.close()
}

func TestTheMarkOfTheOldJournalIsNotThatOfTheNew(t *testing.T) {
	t.Parallel()
	r, dir := reviewRunner(t, Options{Transport: &ledger{}, StatusFile: filepath.Join(t.TempDir(), "status.js")})
	drop(t, dir, "m", named)
	check(t, r.q.scan(time.Now(), true))
	r.q.advance(time.Now(), 10)
	r.q.journal.Append([]byte("a record that the old journal has"), time.Now().Add(time.Hour))
	r.write(time.Now())
	later := time.Now().Add(time.Minute)
	r.write(later) // in the background
	another(t, dir)
	err := r.adopt()
	w := <-r.status.Done()
	at := r.q.journal.Append([]byte("new"), later)
	if err == nil {
		r.saved(w.OK())                         // as the loop does
		is.New(t).True(r.q.journal.Safe() < at) // nothing that was appended since is safe
	}
	r.status.Finish(w, later)
	is.New(t).True(err != nil) // not while the status file is being written
	r.close()
}

// stepped makes q one that was made before the clock was set by d.
func stepped(t *testing.T, q *queue, d time.Duration) {
	base := set(t, *q.base, -d)
	q.base = &base
}

func TestWhatIsSeenAfterTheClockWasSetIsShownAsTheClockSays(t *testing.T) {
	t.Parallel()
	is := is.NewRelaxed(t)
	now := time.Now()
	q := clockQueue(t, now.Add(-time.Minute), now.Add(-time.Minute), now.Add(5*time.Minute))
	stepped(t, q, 72*time.Hour) // or the machine has slept for three days
	drop(t, q.dir.Path(), "new", to("new@x.org"))
	is.Equal(turn(t, q, now), 0)
	j, ok := q.next(q.ready[0].small, now)
	is.True(ok)
	q.settle(result{job: j, recipients: []Result{{Err: errLater}}}, now)
	for _, r := range q.snapshot() {
		if m := r.msg.open(); r.name == "new" {
			is.True(m.Enqueued.Round(0).Sub(now.Round(0)).Abs() < time.Hour)
		}
	}
}

func TestAMessageForLaterHoldsUpNoRetry(t *testing.T) {
	t.Parallel()
	is := is.NewRelaxed(t)
	now := time.Now()
	q := clockQueue(t, now.Add(-time.Minute), now.Add(-time.Minute), now.Add(5*time.Minute))
	stepped(t, q, -48*time.Hour) // at the start the clock was two days ahead
	env := fmt.Sprintf(`X-Spoolgore-Envelope: {"from":"s@x.org","to":["l@x.org"],"notBefore":%q}`, now.Add(24*time.Hour).UTC().Format(time.RFC3339))
	drop(t, q.dir.Path(), "tomorrow", env+"\n"+strings.ReplaceAll(named, "<1@x>", "<3@x>"))
	is.Equal(turn(t, q, now.Add(time.Second)), 0)
	drop(t, q.dir.Path(), "new", to("new@x.org"))
	is.Equal(turn(t, q, now.Add(2*time.Second)), 0)
	j, ok := q.next(q.ready[0].small, now.Add(2*time.Second))
	is.True(ok)
	is.Equal(j.name, "new")
	q.settle(result{job: j, recipients: []Result{{Err: errLater}}}, now.Add(2*time.Second)) // again in a minute
	is.Equal(turn(t, q, now.Add(10*time.Minute)), 0)
	is.Equal(q.ready[0].len(), 2) // m and new
}

func TestOneReportAfterACrashBeforeTheWhyFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := refusing(map[string]string{"b@x.org": "550 5.1.1 no such user"})
		drop(t, dir, "m", strings.Replace(named, "a@x.org, ", "", 1))
		check(t, os.MkdirAll(filepath.Join(dir, "failed"), 0o700))
		info, err := os.Stat(filepath.Join(dir, "m"))
		check(t, err)
		// as docs/durability.md has it: NAME, failed/.untold-NAME, and a status file that says that he was given up
		check(t, os.WriteFile(filepath.Join(dir, "failed", ".untold-m"), nil, 0o600))
		check(t, os.WriteFile(filepath.Join(dir, ".spoolgore.js"), fmt.Appendf(nil,
			`{%q: {"From":"s@x.org","To":[{"Address":"b@x.org","Status":2,"GivenUp":true,"Error":"550"}],"Cc":[],"Bcc":[],"Attempts":1,"Enqueued":"2000-01-01T00:00:00Z","Size":%d,"Modified":%q,"MessageID":"<1@x>"}}`,
			filepath.Join(dir, "m"), info.Size(), info.ModTime().Format(time.RFC3339Nano)), 0o600))
		_, stop := begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Minute)
		stop()
		is.Equal(len(reports(t, relay)), 1)
	})
}

func TestAShutdownIsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		release := make(chan struct{})
		var dials atomic.Int32
		relay := &smtptest.Relay{}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) > 0 {
				select {
				case <-release:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return relay.Dial(ctx, network, addr)
		}
		for i := range 20 {
			drop(t, dir, fmt.Sprint(i), to(fmt.Sprintf("r%d@x.org", i)))
		}
		s, stop := begin(t, dir, Options{Dial: dial, Attempts: 1, Grace: time.Second, NoReports: true})
		pass(time.Second)
		stop()
		close(release)
		for name, m := range s.Status() {
			if m.To[0].Attempts != 0 {
				t.Log(name, m.To[0].Attempts, m.To[0].Error)
			}
		}
		is.Equal(len(ls(t, dir, "failed")), 0) // nobody has been offered anything
		is.Equal(len(s.Status()), 20)
	})
}

func TestAnAbsentSpoolDoesNotForgetWhoIsToBeTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := filepath.Join(t.TempDir(), "spool")
		check(t, os.Mkdir(dir, 0o700))
		relay := refusing(map[string]string{"b@x.org": "550 5.1.1 no such user"})
		s, stop := begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		// what is in failed/ and owed, and the spool away when its turn comes
		var err error
		s.do(func(r *runner) {
			check(t, os.WriteFile(filepath.Join(dir, "failed", "m"), []byte(named), 0o600))
			check(t, os.WriteFile(filepath.Join(dir, "failed", "m.json"), []byte(`{"From":"s@x.org","To":[{"Address":"b@x.org","Status":2,"GivenUp":true,"Error":"550"}],"MessageID":"<1@x>"}`), 0o600))
			check(t, os.WriteFile(filepath.Join(dir, "failed", ".untold-m"), nil, 0o600))
			r.desk.Owe("m", time.Now())
			err = os.Rename(dir, dir+".away")
			r.desk.Start(time.Now())
		}, nil)
		check(t, err)
		pass(time.Minute)
		check(t, os.Rename(dir+".away", dir))
		pass(time.Hour)
		stop()
		is.Equal(len(reports(t, relay)), 1)
	})
}

func TestWhatIsOwedInADirectoryThatComesIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := filepath.Join(t.TempDir(), "spool")
		check(t, os.Mkdir(dir, 0o700))
		relay := refusing(nil)
		_, stop := begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		another(t, dir)
		check(t, os.Mkdir(filepath.Join(dir, "failed"), 0o700))
		check(t, os.WriteFile(filepath.Join(dir, "failed", "m"), []byte(named), 0o600))
		check(t, os.WriteFile(filepath.Join(dir, "failed", "m.json"), []byte(`{"From":"s@x.org","To":[{"Address":"b@x.org","Status":2,"GivenUp":true,"Error":"550"}],"MessageID":"<1@x>"}`), 0o600))
		check(t, os.WriteFile(filepath.Join(dir, "failed", ".untold-m"), nil, 0o600))
		pass(time.Hour)
		stop()
		is.Equal(len(reports(t, relay)), 1)
	})
}
