package fleet

import (
	"database/sql"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
)

// the message is in the queue.
func TestPutTxLeavesNoPartOfAMessage(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{DB: shared.DB(t)})
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	db, err := sql.Open("pgx", q.opts.DB)
	is.NoErr(err)
	defer db.Close()
	env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}, ID: "order 1"}
	broken := errors.New("broken")
	half := func() io.Reader {
		text := mail("cut") + strings.Repeat("a line of the body\n", 100_000)
		return io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))
	}
	tx, err := conn.Begin(t.Context())
	is.NoErr(err)
	_, err = q.PutTx(t.Context(), tx, env, half())
	is.True(errors.Is(err, broken))
	is.NoErr(tx.Commit(t.Context()))
	is.Equal(rows(t, q), 0)
	stx, err := db.BeginTx(t.Context(), nil)
	is.NoErr(err)
	_, err = q.PutSQL(t.Context(), stx, env, half())
	is.True(errors.Is(err, broken))
	_, err = q.PutSQL(t.Context(), stx, env, strings.NewReader(mail("whole"))) // the transaction can be used
	is.NoErr(err)
	is.NoErr(stx.Commit())
	is.Equal(rows(t, q), 1)
}
