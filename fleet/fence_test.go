package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// A far worker reaches the database through a link. Its relay answers the end of each message when the test says so.
type far struct {
	near  *Queue
	link  *link
	relay *smtptest.Relay // of all workers
	slow  *smtptest.Relay // of the far worker
	reply chan bool
}

// newFar returns a far worker with one connection to its relay. first is called before the worker starts.
func newFar(t *testing.T, first func(q *Queue)) *far {
	t.Helper()
	f := &far{relay: &smtptest.Relay{}, reply: make(chan bool)}
	f.slow = &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "END" {
			<-f.reply
		}
		return ""
	}}
	db := shared.DB(t)
	f.near = open(t, Options{DB: db, Lease: childLease, Name: "near"})
	server := shared.Server(t)
	var dir string
	f.link, dir = newLink(t, server.Dir)
	q := open(t, Options{DB: strings.ReplaceAll(db, server.Dir, dir), Lease: childLease, Name: "far"})
	first(f.near)
	opts := options(f.slow)
	opts.Concurrency = 1
	work(t, q, opts)
	t.Cleanup(func() {
		f.link.set(false)
		close(f.reply)
	})
	return f
}

// alive returns the number of live workers.
func alive(t *testing.T, q *Queue) (n int) {
	t.Helper()
	all, err := q.store.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Alive {
			n++
		}
	}
	return n
}

// inState returns the number of messages in a state.
func inState(t *testing.T, q *Queue, s store.State) int {
	t.Helper()
	n, err := q.store.CountOf(t.Context(), store.Selection{States: []store.State{s}}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// messages. The first worker reaches the database again: it begins none of them.
func TestAWorkerBeginsNothingWithLeasesThatItHasLost(t *testing.T) {
	is := is.New(t)
	const messages = 20
	f := newFar(t, func(q *Queue) {
		for i := range messages {
			put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("m", i)))
		}
	})
	eventually(t, "the far worker has every message", func() bool { return inState(t, f.near, store.LeasedOut) == messages })
	f.link.set(true)
	eventually(t, "the far worker is taken for dead", func() bool { return alive(t, f.near) == 0 })
	conn, err := pgx.Connect(t.Context(), f.near.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`)
	is.NoErr(err) // no notification wakes the far worker
	work(t, f.near, options(f.relay))
	eventually(t, "every message is sent", func() bool { return rows(t, f.near) == 0 })
	f.link.set(false)
	eventually(t, "the far worker reaches the database", func() bool { return alive(t, f.near) == 2 })
	time.Sleep(childLease) // a late beat came first; the worker has the answers of others now
	for range messages {
		select {
		case f.reply <- true:
		case <-time.After(200 * time.Millisecond):
		}
	}
	is.Equal(len(f.relay.Messages()), messages)
	is.True(len(f.slow.Messages()) <= 2) // what was on the connection
}

// The worker, which lives, does not know of the lease: the message is sent all the same.
func TestALeaseThatNoWorkerKnowsOfEnds(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{DB: shared.DB(t), Lease: childLease})
	is.NoErr(q.Pause(t.Context()))
	work(t, q, options(relay))
	eventually(t, "the worker runs", func() bool { return alive(t, q) == 1 })
	all, err := q.store.Workers(t.Context())
	is.NoErr(err)
	put(t, q, spoolgore.Envelope{}, mail("one"))
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `SELECT spoolgore.claim($1, 1, '')`, all[0].ID)
	is.NoErr(err)
	is.Equal(inState(t, q, store.LeasedOut), 1)
	is.NoErr(q.Resume(t.Context()))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(len(relay.Messages()), 1)
}
