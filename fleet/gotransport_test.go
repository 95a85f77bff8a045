package fleet

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
)

// listAll chooses all messages.
var listAll = store.Selection{}

// A Transport of the application gets from a worker what it gets from a spool.
func TestATransportKnowsTheMessage(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{})
	var mu sync.Mutex
	var offers []*spoolgore.Transaction
	opts := spoolgore.Options{Backoff: soon, Transport: spoolgore.TransportFunc(
		func(_ context.Context, x *spoolgore.Transaction) []spoolgore.Result {
			mu.Lock()
			defer mu.Unlock()
			offers = append(offers, x)
			if len(offers) == 1 {
				return nil
			}
			return make([]spoolgore.Result, len(x.To))
		})}
	before := time.Now().Add(-time.Minute)
	work(t, q, opts)
	name := put(t, q, spoolgore.Envelope{}, mail("one"))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(len(offers), 2)
	for i, x := range offers {
		is.Equal(x.Name, name)
		is.Equal(x.MessageID, "<one@example.com>")
		is.Equal(x.Attempt, i+1)
		is.True(x.Enqueued.After(before))
		is.True(strings.HasPrefix(x.Identity, "put:"))
	}
}

// Options.Backoff is a function for one goroutine.
func TestBackoffIsCalledByOneGoroutineAtATime(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{})
	var inside, calls, most atomic.Int32
	opts := spoolgore.Options{
		Transport: spoolgore.TransportFunc(func(context.Context, *spoolgore.Transaction) []spoolgore.Result { return nil }),
		Backoff: func(int) time.Duration {
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(10 * time.Millisecond)
			inside.Add(-1)
			calls.Add(1)
			return time.Hour
		},
	}
	for range 20 {
		put(t, q, spoolgore.Envelope{}, mail("one"))
	}
	work(t, q, opts)
	eventually(t, "every message is deferred", func() bool { return calls.Load() == 20 })
	is.Equal(most.Load(), int32(1))
}

// With one connection to the database, which -db may ask for, a worker sends.
func TestAWorkerWithOneConnection(t *testing.T) {
	q := open(t, Options{DB: shared.DB(t) + "&pool_max_conns=1", Lease: childLease})
	work(t, q, spoolgore.Options{Transport: spoolgore.TransportFunc(
		func(_ context.Context, x *spoolgore.Transaction) []spoolgore.Result {
			return make([]spoolgore.Result, len(x.To))
		})})
	put(t, q, spoolgore.Envelope{}, mail("one"))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
}
