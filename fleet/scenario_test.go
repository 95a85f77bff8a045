package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// Workers are killed one after the other while they send.
func TestScenarioWorkersAreKilled(t *testing.T) {
	kills := times(3, 50)
	s := newScene(t, shared.DB(t), 3)
	for i := range kills {
		s.add(40)
		s.moves()
		kill(s.workers[i%3])
		s.workers[i%3] = s.worker(i % 3)
	}
	// In the long run there are at most four copies for a kill: the transactions in flight.
	s.ends(fmt.Sprint(kills, " workers killed"), times(kills*connections, 4*kills))
}

// A host is killed at each row of the table of crashes: before the file is offered, in the middle of Put, and after the
// commit with the file in the spool.
func TestScenarioHostsAreKilled(t *testing.T) {
	is := is.New(t)
	for _, when := range []string{"before", "during", "after"} {
		s := newScene(t, shared.DB(t), 1)
		dir, n := t.TempDir(), times(2, 20)
		env := append(s.env, "FLEET_TEST_NAME=h", "FLEET_TEST_DIR="+dir)
		for i := range n {
			subject := fmt.Sprint("m", i)
			s.put = append(s.put, subject)
			_, err := spoolgore.New(dir, spoolgore.Options{}).Put(t.Context(),
				spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}, strings.NewReader(mail(subject)))
			is.NoErr(err)
			host := spawn(t, "host", append(env, "FLEET_TEST_DIE="+when)...)
			is.True(host.Wait() != nil) // it was killed
		}
		is.Equal(files(t, dir) > 0, true) // the files of the last kill
		spawn(t, "host", env...)
		eventually(t, "every message is handed on", func() bool { return files(t, dir) == 0 })
		s.ends(fmt.Sprint(n, " hosts killed ", when, " the commit"), 0)
	}
}

// The server closes connections at random moments.
func TestScenarioBackendsAreKilled(t *testing.T) {
	is := is.New(t)
	s := newScene(t, shared.DB(t), 3)
	conn, err := pgx.Connect(t.Context(), s.q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	kills, cut := times(3, 20), 0
	for range kills {
		s.add(40)
		s.moves()
		var n int
		is.NoErr(conn.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n))
		cut += n
	}
	is.True(cut > kills)
	s.ends(fmt.Sprint(cut, " connections cut in ", kills, " rounds"), 0)
}

// The database is stopped as in a crash, and started again.
func TestScenarioTheDatabaseCrashes(t *testing.T) {
	is := is.New(t)
	server, db := own(t)
	s := newScene(t, db, 3)
	crashes := times(2, 20)
	for range crashes {
		s.add(40)
		s.moves()
		server.Crash()
		_, err := s.q.Put(short(t), spoolgore.Envelope{To: []string{"b@example.org"}}, strings.NewReader(mail("down")))
		is.True(err != nil) // no success for a message that is not in the database
		is.NoErr(server.Start())
	}
	s.ends(fmt.Sprint(crashes, " crashes of the database"), 0)
}

// The primary is lost, and its synchronous standby takes over: every message that Put has confirmed is there.
func TestScenarioThePrimaryIsLost(t *testing.T) {
	is := is.New(t)
	for range times(1, 5) {
		first, second, db := primary(t)
		s := newScene(t, db, 0)
		eventually(t, "the standby is synchronous", func() bool {
			x, err := s.q.store.Server(t.Context())
			is.NoErr(err)
			return x.Synchronous == 1
		})
		var crashed atomic.Bool
		var putting sync.WaitGroup
		for k := range 8 {
			putting.Go(func() {
				for i := 0; !crashed.Load(); i++ {
					subject := fmt.Sprintf("m%d-%d", k, i)
					env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					if _, err := s.q.Put(ctx, env, strings.NewReader(mail(subject))); err == nil {
						s.mu.Lock()
						s.put = append(s.put, subject)
						s.mu.Unlock()
					}
					cancel()
				}
			})
		}
		eventually(t, "messages are put", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.put) > 100 })
		first.Crash()
		crashed.Store(true)
		putting.Wait()
		is.NoErr(second.Promote())
		s.q = open(t, Options{DB: second.URL("fleet"), Lease: childLease})
		work(t, s.q, options(s.relay))
		s.ends("primary lost with a synchronous standby", 0)
	}
}

// A worker is stopped for two leases, and continued.
func TestScenarioWorkersAreStopped(t *testing.T) {
	is := is.New(t)
	stops := times(1, 20)
	s := newScene(t, shared.DB(t), 2)
	for i := range stops {
		s.add(60)
		s.moves()
		victim := s.workers[i%2].Process
		is.NoErr(victim.Signal(stopSignal))
		time.Sleep(2 * childLease)
		is.NoErr(victim.Signal(goOnSignal))
	}
	s.ends(fmt.Sprint(stops, " workers stopped for two leases"), stops*connections*window)
}

// Two consoles hold, release, delete and retry messages while a worker sends: each message ends once, and no action is
// lost.
func TestScenarioActsRace(t *testing.T) {
	is := is.New(t)
	s := newScene(t, shared.DB(t), 0)
	s.env = append(s.env, "FLEET_TEST_RATE=80/s") // the worker must not be faster than the consoles
	s.worker(0)
	n := times(50, 1000)
	is.NoErr(s.q.Pause(t.Context()))
	deleted := make([]atomic.Bool, n)
	names := make([]string, n)
	for i := range n {
		names[i] = put(t, s.q, spoolgore.Envelope{}, mail(fmt.Sprint("m", i)))
	}
	is.NoErr(s.q.Resume(t.Context()))
	var consoles sync.WaitGroup
	for k := range 2 {
		consoles.Go(func() {
			for i, name := range names {
				acts := []func(context.Context, string) error{s.q.Hold, s.q.Retry, s.q.Release, s.q.Hold, s.q.Release}
				for j := range acts {
					_ = acts[(j+k)%len(acts)](t.Context(), name) // the message may be gone
				}
				if i%3 == k && s.q.Delete(t.Context(), name) == nil {
					deleted[i].Store(true)
				}
				_ = s.q.Release(t.Context(), name)
			}
		})
	}
	consoles.Wait()
	for _, name := range names {
		_ = s.q.Release(t.Context(), name)
	}
	eventually(t, "each message has ended", func() bool { return s.left() == 0 })
	got := subjects(s.relay)
	for i := range n {
		times := got[fmt.Sprintf("m%d b@example.org", i)]
		is.True(times == 1 || times == 0 && deleted[i].Load()) // sent once, or deleted
	}
	t.Logf("%d messages, %d sent, the others deleted", n, len(got))
	is.True(len(got) < n || n < 1000) // some messages were deleted before they were sent
}

// A sender of very many messages does not delay other senders.
func TestScenarioAFloodHoldsUpNoOther(t *testing.T) {
	is := is.New(t)
	s := newScene(t, shared.DB(t), 0)
	flood := times(2000, 100_000)
	conn, err := pgx.Connect(t.Context(), s.q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `SELECT spoolgore.put('flood@example.com', ARRAY['b@example.org'],
		E'Subject: flood\n\nx\n') FROM generate_series(1, $1)`, flood)
	is.NoErr(err)
	for range 2 {
		s.workers = append(s.workers, s.worker(len(s.workers)))
	}
	s.moves()
	began := time.Now()
	for i := range 10 {
		env := spoolgore.Envelope{From: fmt.Sprintf("s%d@example.com", i), To: []string{"c@example.org"}}
		put(t, s.q, env, mail(fmt.Sprint("other", i)))
	}
	others := func() (n int) {
		for _, m := range s.relay.Messages() {
			if m.To[0] == "c@example.org" {
				n++
			}
		}
		return n
	}
	eventually(t, "the messages of the other senders are sent", func() bool { return others() == 10 })
	t.Logf("10 senders beside %d messages of another one: all sent after %v, %d left", flood, time.Since(began), s.left())
	is.True(s.left() > flood/2 || flood < 5000) // most messages of the flood still wait
}

// The schema is upgraded while a worker of version 1 runs: this worker goes on, and no worker of version 1 can start
// any more.
func TestScenarioTheSchemaIsUpgraded(t *testing.T) {
	is := is.New(t)
	db := shared.DB(t)
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer conn.Close(t.Context())
	v1, err := store.Schema(0)
	is.NoErr(err)
	v2, err := store.Schema(1)
	is.NoErr(err)
	_, err = conn.Exec(t.Context(), strings.TrimSuffix(v1, v2))
	is.NoErr(err)
	// A worker of version 1 claims a message,
	var worker, id int64
	var lease, version int
	is.NoErr(conn.QueryRow(t.Context(), `SELECT spoolgore.enter('old', 15, 100)`).Scan(&worker))
	_, err = conn.Exec(t.Context(), `SELECT spoolgore.put('a@example.com', ARRAY['b@example.org'], E'Subject: one\n\nx\n')`)
	is.NoErr(err)
	const claim = `SELECT id, lease, version FROM spoolgore.claim($1, 10, '')`
	is.NoErr(conn.QueryRow(t.Context(), claim, worker).Scan(&id, &lease, &version))
	q := open(t, Options{DB: db}) // Open upgrades the schema
	x, err := q.store.Server(t.Context())
	is.NoErr(err)
	is.Equal(x.Schema, store.Version)
	// and records the outcome after the upgrade.
	var known bool
	is.NoErr(conn.QueryRow(t.Context(), `SELECT known FROM spoolgore.beat($1, '{}')`, worker).Scan(&known))
	is.True(known)
	var stale []int64
	is.NoErr(conn.QueryRow(t.Context(), `SELECT spoolgore.settle($1, '[]', '[]')`, []int64{id}).Scan(&stale))
	is.Equal(len(stale), 0)
	is.Equal(rows(t, q), 0)
	relay := &smtptest.Relay{}
	work(t, q, options(relay))
	put(t, q, spoolgore.Envelope{}, mail("two"))
	eventually(t, "a new worker sends the message", func() bool { return rows(t, q) == 0 })
	// A newer schema is refused.
	_, err = conn.Exec(t.Context(), `UPDATE spoolgore.setting SET value = $1 WHERE key = 'schema'`, strconv.Itoa(store.Version+1))
	is.NoErr(err)
	_, err = Open(t.Context(), Options{DB: db})
	is.True(errors.Is(err, store.ErrSchema))
}

// The disk of the database is full: Put returns an error, and works again when there is room.
func TestScenarioTheDiskIsFull(t *testing.T) {
	is := is.New(t)
	if os.Getuid() != 0 {
		t.Skip("a small file system needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=150m,mode=777", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no small file system: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	is.NoErr(os.Chmod(filepath.Dir(dir), 0o755)) // the server runs as another user
	t.Setenv("TMPDIR", dir)
	_, db := own(t)
	s := newScene(t, db, 0)
	ballast := dir + "/ballast"
	full := func() error {
		return exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=64k").Run() // ends when the disk is full
	}
	s.add(20)
	is.True(full() != nil)
	var err error
	n := 0
	for ; err == nil && n < 200; n++ {
		subject := fmt.Sprint("big", n)
		_, err = s.q.Put(short(t), spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}},
			strings.NewReader(mail(subject)+strings.Repeat("a line of the body\n", 20_000)))
		if err == nil {
			s.put = append(s.put, subject)
		}
	}
	is.True(strings.Contains(err.Error(), "No space left on device")) // the error has the cause
	t.Logf("after %d messages: %v", n-1, err)
	is.NoErr(os.Remove(ballast))
	eventually(t, "Put works again", func() bool {
		_, err := s.q.Put(t.Context(), spoolgore.Envelope{To: []string{"c@example.org"}}, strings.NewReader(mail("again")))
		return err == nil
	})
	work(t, s.q, options(s.relay))
	s.ends("disk of the database full", 0)
}
