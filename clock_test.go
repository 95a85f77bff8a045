package spoolgore

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const year = 365 * 24 * time.Hour

// set is what the clock says at the time t after it was set: the wall clock has jumped by d, the monotonic one has not. No
// API makes such a time, so this knows what a time.Time looks like, and sees that it is right.
func set(t testing.TB, at time.Time, d time.Duration) time.Time {
	t.Helper()
	jumped := at
	wall := (*uint64)(unsafe.Pointer(&jumped))
	*wall += uint64(d/time.Second) << 30
	if jumped.Sub(at) != 0 || jumped.Round(0).Sub(at.Round(0)) != d {
		t.Fatalf("%v is not %v set by %v", jumped, at, d)
	}
	return jumped
}

// clockQueue is a queue on a spool whose status file says that the message "m" has been tried once, a while ago.
func clockQueue(t *testing.T, enqueued, last, next time.Time) *queue {
	t.Helper()
	path := t.TempDir()
	drop(t, path, "m", named)
	info, err := os.Stat(filepath.Join(path, "m"))
	check(t, err)
	dir, err := spooldir.New(path)
	check(t, err)
	check(t, dir.Prepare())
	opts, err := exact(Options{}).complete(dir)
	check(t, err)
	memory := Status{filepath.Join(path, "m"): {
		From: "s@x.org", Attempts: 1, Enqueued: enqueued.Round(0), Size: info.Size(), Modified: info.ModTime(), MessageID: "<1@x>",
		To: []Recipient{
			{Address: "a@x.org", Status: Done, LastAttempt: last.Round(0)},
			{Address: "b@x.org", Attempts: 1, NextAttempt: next.Round(0), LastAttempt: last.Round(0)},
		},
	}}
	q := newQueue(dir, opts, "host.example", 1, func(string) int { return 0 })
	q.believe(memory)
	return q
}

// turn is one of the loop: it scans, and counts what is given up.
func turn(t *testing.T, q *queue, now time.Time) (failed int) {
	t.Helper()
	check(t, q.scan(now, true))
	events, _ := q.advance(now, 100)
	for _, ev := range events {
		if ev.Kind == Failed {
			failed++
		}
	}
	return failed
}

func TestAClockThatIsSetWhileTheSpoolRuns(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]time.Duration{"an hour back": -time.Hour, "a year forward": year, "30 years back": -30 * year} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			now := time.Now()
			q := clockQueue(t, now.Add(-time.Hour), now.Add(-time.Minute), now.Add(5*time.Minute))
			is.Equal(turn(t, q, now), 0)
			drop(t, q.dir.Path(), "new", to("new@x.org"))
			is.Equal(turn(t, q, now), 0)
			j, ok := q.next(q.ready[0].small, now)
			is.True(ok)
			is.Equal(j.name, "new")
			q.settle(result{job: j, recipients: []Result{{Err: errLater}}}, now) // again in a minute

			at := func(passed time.Duration) time.Time { return set(t, now.Add(passed), d) }
			is.Equal(turn(t, q, at(time.Second)), 0) // nothing is given up
			is.Equal(q.ready[0].len(), 0)            // nor tried before its time
			is.Equal(turn(t, q, at(61*time.Second)), 0)
			is.Equal(q.ready[0].len(), 1) // and it is at its time: what this process has seen
			is.Equal(turn(t, q, at(5*time.Minute+time.Second)), 0)
			is.Equal(q.ready[0].len(), 2) // and what the status file told
			is.Equal(turn(t, q, at(q.opts.MaxAge-2*time.Hour)), 0)
			is.Equal(turn(t, q, at(q.opts.MaxAge)), 2) // both, when they are too old
			is.Equal(len(q.entries), 0)
		})
	}
}

func TestAClockThatWasSetWhileNoDaemonRan(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]time.Duration{"an hour back": -time.Hour, "a year forward": year, "30 years back": -30 * year} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			real := time.Now()
			q := clockQueue(t, real.Add(-time.Hour), real.Add(-time.Minute), real.Add(5*time.Minute))
			now := set(t, real, d)
			is.Equal(turn(t, q, now), 0)
			is.Equal(turn(t, q, now), 0) // nothing is given up
			is.Equal(q.ready[0].len(), 1)
			j, ok := q.next(q.ready[0].small, now)
			is.True(ok)
			is.Equal(j.to, []string{"b@x.org"}) // it is tried at once, for who has not got it
		})
	}
}

func TestAfterALongTimeWithoutADaemonEachMessageIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		const day = 24 * time.Hour
		opts := Options{Transport: relay, MaxAge: 5 * day}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, opts)
		pass(time.Minute + time.Second)
		stop()
		tried := relay.tries("m", "b@x.org")
		pass(7 * day)
		_, stop = start(t, dir, opts)
		pass(retry.LastChance - time.Second)
		is.True(relay.tries("m", "b@x.org") > tried+1) // it is not given up unseen
		is.True(!exists(dir, "failed", "m"))
		pass(2 * time.Second)
		stop()
		is.True(exists(dir, "failed", "m")) // but soon
		is.Equal(relay.tries("m", "a@x.org"), 1)
	})
}

func TestAMessageForLaterIsSentByTheClockAfterItIsSet(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]time.Duration{"forward, as when the machine has slept": 8 * time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			now := time.Now()
			q := clockQueue(t, now.Add(-time.Hour), now.Add(-time.Minute), now.Add(3*time.Hour)) // "m" waits for three hours more
			at := now.Add(2 * time.Hour)
			drop(t, q.dir.Path(), "later", fmt.Sprintf(`X-Spoolgore-Envelope: {"from":"s@x.org","to":["b@x.org"],"notBefore":%q}`, at.Add(d).Format(time.RFC3339Nano))+"\n"+named)
			is.Equal(turn(t, q, now), 0)
			is.Equal(q.ready[0].len(), 0)
			is.Equal(turn(t, q, set(t, at.Add(-time.Second), d)), 0)
			is.Equal(q.ready[0].len(), 0) // not before
			is.True(q.wait(set(t, at.Add(-time.Second), d)) <= time.Second)
			is.Equal(turn(t, q, set(t, at, d)), 0)
			is.Equal(q.ready[0].len(), 1) // "m", which is due later, was not in its way
		})
	}
}
