package store

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"
)

// free is no limit.
type free struct{}

func (free) Load([]byte, int, time.Time) error { return nil }
func (free) Room(n int) int                    { return n }
func (free) Take(int) bool                     { return true }
func (free) Spend(int)                         {}
func (free) State() ([]byte, error)            { return []byte{}, nil }

// A host dies while it has the limits of rate locked, and the connection stays open: other workers go on soon.
func TestTheLockOfADeadHostEnds(t *testing.T) {
	is := is.New(t)
	l := &Leases{open(t)}
	add(t, l.Store)
	w := enter(t, l, time.Minute)
	locked, end, ended := make(chan bool), make(chan bool), make(chan error)
	go func() {
		ended <- l.locked(context.Background(), free{}, func(pgx.Tx) (bool, error) {
			close(locked)
			<-end
			return true, nil
		})
	}()
	<-locked
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	all, err := l.ClaimWithin(ctx, w, 1, "", free{})
	close(end)
	is.True(<-ended != nil) // the transaction of the dead host has no effect
	is.NoErr(err)
	is.Equal(len(all), 1)
}
