package worker

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/ratelimit"
)

// A claim changes no message for which there is no room, so that a limit of a day that is used up costs nothing.
func TestAClaimAboveTheLimitsChangesNoMessage(t *testing.T) {
	is := is.New(t)
	var shared pgtest.Shared
	defer shared.Close()
	db := shared.DB(t)
	s, err := store.Open(t.Context(), db)
	is.NoErr(err)
	defer s.Close()
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer conn.Close(t.Context())
	leases := func() (n int) {
		is.NoErr(conn.QueryRow(t.Context(), `SELECT sum(lease) FROM spoolgore.message`).Scan(&n))
		return n
	}
	for i := range 10 {
		_, err = s.Put(t.Context(), store.Item{
			UID: fmt.Sprint(i), Envelope: []byte(`{"from": "a@x.org", "to": ["b@x.org"]}`), Pieces: [][]byte{[]byte("x")},
		})
		is.NoErr(err)
	}
	l := &store.Leases{Store: s}
	w, err := l.Enter(t.Context(), "w", time.Minute, time.Hour)
	is.NoErr(err)
	all, err := ratelimit.Parse("100/s,3/d")
	is.NoErr(err)
	for i := range 4 {
		claims, spends := &limits{all: all}, &limits{all: all}
		taken, err := l.ClaimWithin(t.Context(), w, 8, "", claims)
		is.NoErr(err)
		is.True(claims.wait > 0)
		is.Equal(leases(), 3)
		if i > 0 {
			is.Equal(len(taken), 0)
			continue
		}
		is.Equal(len(taken), 3)
		var b store.Batch
		for _, m := range taken {
			b.Served = append(b.Served, store.Key{ID: m.ID, Lease: m.Lease, Worker: w})
		}
		b.Spent = len(taken)
		_, err = l.Settle(t.Context(), b, spends)
		is.NoErr(err)
		_, err = conn.Exec(t.Context(), `UPDATE spoolgore.message SET lease = 3 WHERE id = (SELECT min(id) FROM spoolgore.message)`)
		is.NoErr(err)
	}
}
