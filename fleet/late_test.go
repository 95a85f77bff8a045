package fleet

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// recipient: the new recipient gets the message all the same.
func TestALateAcceptanceIsNotThatOfANewRecipient(t *testing.T) {
	is := is.New(t)
	var name string
	f := newFar(t, func(q *Queue) { name = put(t, q, spoolgore.Envelope{}, mail("one")) })
	eventually(t, "the far worker has the message", func() bool { return inState(t, f.near, store.LeasedOut) == 1 })
	time.Sleep(100 * time.Millisecond) // the content is on its way
	f.link.set(true)
	is.NoErr(f.near.Pause(t.Context()))
	work(t, f.near, options(f.relay)) // ends leases, and sends no message
	eventually(t, "the message can be redirected", func() bool {
		err := f.near.Redirect(t.Context(), name, "new@example.org")
		is.True(err == nil || errors.Is(err, mailq.ErrSending))
		return err == nil
	})
	f.reply <- true
	f.link.set(false)
	eventually(t, "the acceptance is recorded", func() bool {
		all, err := f.near.store.Outcomes(t.Context(), 10)
		return err == nil && len(all) > 0
	})
	time.Sleep(200 * time.Millisecond)
	is.NoErr(f.near.Resume(t.Context()))
	eventually(t, "every message is sent", func() bool {
		select {
		case f.reply <- true: // the far worker has the message
		default:
		}
		return rows(t, f.near) == 0
	})
	const sent = "one new@example.org"
	is.Equal(subjects(f.relay)[sent]+subjects(f.slow)[sent], 1)
}

// A worker that was stopped reports no failure of a message that is another worker's.
func TestALostLeaseMakesNoFailure(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	var mu sync.Mutex
	var kinds []spoolgore.EventKind
	var once sync.Once
	q := open(t, Options{DB: shared.DB(t)})
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	relay.Reply = func(verb, _ string) (reply string) {
		if verb == "RCPT" {
			once.Do(func() {
				_, err := conn.Exec(t.Context(), `UPDATE spoolgore.message SET state = 0, worker = NULL, version = version + 1`)
				if err != nil {
					t.Error(err)
				}
				reply = "550 5.7.1 not from here"
			})
		}
		return reply
	}
	opts := options(relay)
	opts.OnEvent = func(e spoolgore.Event) {
		mu.Lock()
		defer mu.Unlock()
		kinds = append(kinds, e.Kind)
	}
	work(t, q, opts)
	put(t, q, spoolgore.Envelope{}, mail("one"))
	eventually(t, "the message is sent", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return rows(t, q) == 0 && len(kinds) > 0
	})
	mu.Lock()
	defer mu.Unlock()
	is.Equal(kinds, []spoolgore.EventKind{spoolgore.EventSent})
}
