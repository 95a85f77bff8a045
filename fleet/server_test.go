package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// own returns a server for one test, and a database on it.
func own(t *testing.T, settings ...string) (*pgtest.Server, string) {
	t.Helper()
	server, err := pgtest.New(settings...)
	pgtest.Need(t, err)
	t.Cleanup(server.Remove)
	url, err := server.Create("fleet")
	if err != nil {
		t.Fatal(err)
	}
	return server, url
}

// A host that starts while the database is down waits for it. It does not wait for a database that can never be used.
func TestOpenWaitsForTheDatabase(t *testing.T) {
	is := is.New(t)
	server, url := own(t)
	server.Crash()
	_, err := Open(t.Context(), Options{DB: url})
	is.True(err != nil) // without Wait the error is immediate
	opened := make(chan error, 1)
	go func() {
		q, err := Open(t.Context(), Options{DB: url, Wait: true})
		if err == nil {
			q.Close()
		}
		opened <- err
	}()
	is.NoErr(server.Start())
	is.NoErr(<-opened)
	for _, bad := range []string{strings.Replace(url, "/fleet?", "/nonsense?", 1), "host=/x port=nonsense"} {
		_, err = Open(t.Context(), Options{DB: bad, Wait: true})
		is.True(err != nil) // waiting would not help
	}
}

// A beat of a worker with a lease of a millisecond would always be late: each message would be claimed again and again.
func TestOpenRefusesAShortLease(t *testing.T) {
	is := is.New(t)
	db := shared.DB(t)
	for _, lease := range []time.Duration{-time.Second, time.Millisecond, minLease - 1} {
		_, err := Open(t.Context(), Options{DB: db, Lease: lease})
		is.True(err != nil)
	}
	open(t, Options{DB: db, Lease: minLease})
}

func TestAServerThatLosesMailIsRefused(t *testing.T) {
	is := is.New(t)
	_, url := own(t, "fsync=off")
	_, err := Open(t.Context(), Options{DB: url})
	is.True(errors.Is(err, store.ErrUnsafe))
}

// The server crashes and is started again while workers send: no message is lost, and every message that Put has
// confirmed is there.
func TestTheServerCrashes(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	server, url := own(t)
	q := open(t, Options{DB: url})
	work(t, q, options(relay))
	eventually(t, "the worker runs", func() bool {
		w, err := q.store.Workers(t.Context())
		return err == nil && len(w) == 1
	})
	n := 0
	for range 3 {
		for range 30 {
			put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("m", n)))
			n++
		}
		server.Crash()
		_, err := q.Put(short(t), spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}},
			strings.NewReader(mail("down")))
		is.True(err != nil) // no success without a database
		is.NoErr(server.Start())
	}
	eventually(t, "every message is sent", func() bool { n, err := q.store.Count(t.Context()); return err == nil && n == 0 })
	got := subjects(relay)
	for i := range n {
		// no copies: the worker lives, and still has the acceptances
		is.True(got[fmt.Sprintf("m%d b@example.org", i)] == 1)
	}
}
