package fleet

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestHoldReleaseDeleteRetry(t *testing.T) {
	is := is.New(t)
	var refuse atomic.Bool
	refuse.Store(true)
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && arg == "b@example.org" && refuse.Load() {
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	q := open(t, Options{})
	ctx := t.Context()
	held, deleted, failed := put(t, q, spoolgore.Envelope{From: "a@example.com", To: []string{"c@example.org"}}, mail("held")),
		put(t, q, spoolgore.Envelope{}, mail("deleted")),
		put(t, q, spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org", "d@example.org"}}, mail("failed"))
	is.NoErr(q.Hold(ctx, held))
	is.NoErr(q.Delete(ctx, deleted))
	is.True(errors.Is(q.Delete(ctx, deleted), fs.ErrNotExist))
	is.True(errors.Is(q.Hold(ctx, "x"), fs.ErrNotExist))
	work(t, q, options(relay))
	eventually(t, "one message has failed and its report is sent", func() bool {
		all, err := q.store.List(ctx, store.Selection{States: []store.State{store.Failed}})
		is.NoErr(err)
		return len(all) == 1 && len(relay.Messages()) == 2 && rows(t, q) == 2
	})
	refuse.Store(false)
	is.NoErr(q.Retry(ctx, failed))
	is.NoErr(q.Release(ctx, held))
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(subjects(relay), map[string]int{
		"held c@example.org": 1, "failed b@example.org": 1, "failed d@example.org": 1, "Not delivered: failed a@example.com": 1,
	})
}

func TestPauseHoldsForAllWorkers(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{Lease: childLease})
	is.NoErr(q.Pause(t.Context()))
	work(t, q, options(relay))
	put(t, q, spoolgore.Envelope{}, mail("one"))
	eventually(t, "the worker runs", func() bool {
		w, err := q.store.Workers(t.Context())
		return err == nil && len(w) == 1
	})
	is.Equal(rows(t, q), 1)
	is.NoErr(q.Resume(t.Context()))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
}

// TestManyProcessesStartWithAnEmptyDatabase: one of them makes the schema, and the others wait for it.
func TestManyProcessesStartWithAnEmptyDatabase(t *testing.T) {
	db := shared.DB(t)
	opened := make(chan error)
	const many = 10
	for range many {
		go func() {
			q, err := Open(t.Context(), Options{DB: db})
			if err == nil {
				q.Close()
			}
			opened <- err
		}()
	}
	for range many {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
}
