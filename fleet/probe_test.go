package fleet

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// the next one.
func TestABadMessageDoesNotEndTheProbeOfAnAccount(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}, Users: map[string]string{"app": "secret"}}
	q := open(t, Options{DB: shared.DB(t)})
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `SELECT spoolgore.put('no sender', ARRAY['b@example.org'], E'Subject: bad\n\nx\n')`)
	is.NoErr(err)
	put(t, q, spoolgore.Envelope{}, mail("good"))
	opts := options(relay)
	opts.SMTPAddr, opts.Dial = relay.Listen(t), nil // on loopback a password is sent without TLS
	opts.SMTP = spoolgore.SMTP{User: "app", Password: "secret", TLS: "none"}
	work(t, q, opts)
	eventually(t, "the good message is sent", func() bool { return len(relay.Messages()) == 1 })
	eventually(t, "the bad message has failed", func() bool { return inState(t, q, store.Failed) == 1 })
}

// A relay refuses an account that has worked, and the database is slow to record the refusal: meanwhile the account rests.
func TestAnAccountRestsUntilItsRefusalIsShared(t *testing.T) {
	is := is.New(t)
	var full atomic.Bool
	var mails atomic.Int64
	relay := &smtptest.Relay{
		Ext: []string{"AUTH PLAIN"}, Users: map[string]string{"app": "secret"},
		Reply: func(verb, _ string) string {
			if verb != "MAIL" || !full.Load() {
				return ""
			}
			mails.Add(1)
			return "530 5.7.0 Authentication required"
		},
	}
	q := open(t, Options{DB: shared.DB(t)})
	opts := options(relay)
	opts.SMTPAddr, opts.Dial = relay.Listen(t), nil // on loopback a password is sent without TLS
	opts.SMTP = spoolgore.SMTP{User: "app", Password: "secret", TLS: "none"}
	work(t, q, opts)
	put(t, q, spoolgore.Envelope{}, mail("first"))
	eventually(t, "the account works", func() bool {
		all, err := q.store.Relays(t.Context())
		is.NoErr(err)
		return len(all) == 1 && all[0].Proven
	})
	full.Store(true)
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), `BEGIN; SELECT FROM spoolgore.relay FOR UPDATE`)
	is.NoErr(err)
	put(t, q, spoolgore.Envelope{}, mail("second"))
	eventually(t, "the relay refuses", func() bool { return mails.Load() > 0 })
	for i := range 20 {
		put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("more", i)))
	}
	time.Sleep(time.Second / 2)
	is.Equal(mails.Load(), int64(1))
}
