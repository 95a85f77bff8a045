package fleet

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// A program puts a message a second time, with the same id, in a long transaction: the worker records the outcome of the
// message meanwhile.
func TestASecondPutInALongTransactionStopsNoWorker(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{DB: shared.DB(t)})
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	const again = `SELECT spoolgore.put('a@example.com', ARRAY['b@example.org'], E'Subject: one\n\nx\n', 'order 1')`
	var first, second string
	is.NoErr(conn.QueryRow(t.Context(), again).Scan(&first))
	tx, err := conn.Begin(t.Context())
	is.NoErr(err)
	is.NoErr(tx.QueryRow(t.Context(), again).Scan(&second))
	is.Equal(second, first)
	put(t, q, spoolgore.Envelope{}, mail("two"))
	work(t, q, options(relay))
	eventually(t, "every outcome is recorded", func() bool { return rows(t, q) == 0 })
	is.NoErr(tx.Commit(t.Context()))
	is.Equal(rows(t, q), 0)
	is.Equal(len(relay.Messages()), 2)
}

// The database has a message, and its standby may not: a second put of the message waits for the standby, too.
func TestASecondPutWaitsForTheStandby(t *testing.T) {
	is := is.New(t)
	server, url := own(t)
	q := open(t, Options{DB: url})
	env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}, ID: "order 1"}
	name := put(t, q, env, mail("one"))
	is.NoErr(server.Set("synchronous_standby_names", "gone"))
	eventually(t, "commits wait for the standby", func() bool {
		other := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
		_, err := q.Put(short(t), other, strings.NewReader(mail("other")))
		return errors.Is(err, ErrUnknown)
	})
	_, err := q.Put(short(t), env, strings.NewReader(mail("one")))
	is.True(errors.Is(err, ErrUnknown)) // no success yet
	is.NoErr(server.Set("synchronous_standby_names", ""))
	again, err := q.Put(t.Context(), env, strings.NewReader(mail("one")))
	is.True(errors.Is(err, spoolgore.ErrDuplicate))
	is.Equal(again, name)
}
