package fleet

import (
	"testing"

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
