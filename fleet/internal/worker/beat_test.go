package worker

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/fleet/internal/store"
)

// The clock of this host stood still while that of the server went on, as in a virtual machine that was suspended: the
// messages that were leased before may be another worker's.
func TestALeaseEndsByTheClockOfTheServer(t *testing.T) {
	is := is.New(t)
	var shared pgtest.Shared
	defer shared.Close()
	s, err := store.Open(t.Context(), shared.DB(t))
	is.NoErr(err)
	defer s.Close()
	p := &pulse{
		store: &store.Leases{Store: s}, name: "w", lease: time.Minute, look: time.Hour, clock: new(clock),
		status: func() any { return nil }, heard: func(store.Beat) {},
	}
	is.NoErr(p.enter(t.Context()))
	before := p.now()
	is.NoErr(p.beat(t.Context()))
	is.True(p.holds(before))
	p.at = p.at.Add(-2 * time.Minute)
	is.NoErr(p.beat(t.Context()))
	is.True(!p.holds(before))
	is.True(p.holds(p.now()))
	for _, set := range []time.Duration{2 * time.Minute, -time.Hour} { // the second: the clock of the host is set back
		before = p.now()
		p.wall = p.wall.Add(-set) // the host wakes, and the next beat is a third of a lease away
		is.Equal(p.holds(before), set < 0)
		is.Equal(p.alive(), set < 0)
		is.NoErr(p.beat(t.Context()))
		is.Equal(p.holds(before), set < 0)
		is.True(p.holds(p.now()))
	}
}

// The clock of the server is set forward by an hour, and the worker has not beaten since: no other worker looks dead. At
// the beat, the beats of others may be older, so that the worker ends no lease for a while.
func TestAClockThatIsSetForwardEndsNoLease(t *testing.T) {
	is := is.New(t)
	var shared pgtest.Shared
	defer shared.Close()
	db := shared.DB(t)
	s, err := store.Open(t.Context(), db)
	is.NoErr(err)
	defer s.Close()
	l := &store.Leases{Store: s}
	_, err = s.Put(t.Context(), store.Item{
		UID: "x", Envelope: []byte(`{"from": "a@x.org", "to": ["b@x.org"]}`), Pieces: [][]byte{[]byte("x")},
	})
	is.NoErr(err)
	const lease = time.Minute
	other, err := l.Enter(t.Context(), "other", lease, time.Hour)
	is.NoErr(err)
	leased, err := l.Claim(t.Context(), other, 1, "")
	is.NoErr(err)
	is.Equal(len(leased), 1)
	w := &worker{store: l, opts: Options{Lease: lease}}
	w.inbox.init()
	w.pulse = &pulse{
		store: l, name: "w", lease: lease, look: time.Hour, clock: &w.clock, status: func() any { return nil },
		heard: func(store.Beat) {},
	}
	is.NoErr(w.pulse.enter(t.Context()))
	w.pulse.began = time.Now().Add(-2 * lease)
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer conn.Close(t.Context())
	// the same as a clock that is set forward: all beats were an hour ago, also for this worker
	_, err = conn.Exec(t.Context(), `UPDATE spoolgore.worker SET beat = beat - interval '1 hour'`)
	is.NoErr(err)
	_, err = conn.Exec(t.Context(), `CREATE FUNCTION public.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql AS
		$$ SELECT pg_catalog.now() - interval '1 day' $$; ALTER FUNCTION spoolgore.tidy(boolean)
		SET search_path = public, pg_catalog, pg_temp`) // the server is young
	is.NoErr(err)
	w.clock.set(w.clock.now().Add(-time.Hour))
	w.pulse.at = w.pulse.at.Add(-time.Hour)
	for range 2 {
		_, err = tidyOnce(w, t.Context())
		is.NoErr(err)
		var state store.State
		is.NoErr(conn.QueryRow(t.Context(), `SELECT state FROM spoolgore.message`).Scan(&state))
		is.Equal(state, store.LeasedOut)
		is.NoErr(w.pulse.beat(t.Context())) // the worker knows the clock now
		is.True(!w.pulse.mayReap())
	}
	w.pulse.began = time.Now().Add(-2 * lease) // the other worker has not beaten for a whole lease
	_, err = tidyOnce(w, t.Context())
	is.NoErr(err)
	var state store.State
	is.NoErr(conn.QueryRow(t.Context(), `SELECT state FROM spoolgore.message`).Scan(&state))
	is.Equal(state, store.Ready)
}
