package fleet

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
)

// to is an envelope.
func to(id string) spoolgore.Envelope {
	return spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}, ID: id}
}

// A content that cannot be read to its end is no message, and the caller knows that.
func TestPutKnowsThatThereIsNoMessage(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{MaxSize: 3 << 20})
	start := mail("cut") + strings.Repeat("a line of the body\n", 100_000)
	broken := errors.New("broken")
	_, err := q.Put(t.Context(), to(""), io.MultiReader(strings.NewReader(start), iotest.ErrReader(broken)))
	is.True(errors.Is(err, broken))
	is.True(!errors.Is(err, ErrUnknown))
	_, err = q.Put(t.Context(), to(""), strings.NewReader(start+start))
	is.True(errors.Is(err, spoolgore.ErrTooLarge))
	is.True(!errors.Is(err, ErrUnknown))
	ctx, cancel := context.WithCancel(t.Context())
	_, err = q.Put(ctx, to(""), io.MultiReader(strings.NewReader(start), stop(cancel), strings.NewReader("x")))
	is.True(errors.Is(err, context.Canceled))
	is.True(!errors.Is(err, ErrUnknown))
	is.Equal(rows(t, q), 0)
}

// stop is a reader without content that calls f.
type stop func()

func (f stop) Read([]byte) (int, error) { f(); return 0, io.EOF }

// A reader panics, as in an HTTP server that goes on: the connections to the database stay usable.
func TestPutOfAReaderThatPanics(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{DB: shared.DB(t)})
	conn, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	is.NoErr(err)
	text := mail("cut") + strings.Repeat("a line of the body\n", 100_000)
	for i := range 10 {
		func() {
			defer func() { is.Equal(recover(), "bug") }()
			r := io.MultiReader(strings.NewReader(text), stop(func() { panic("bug") }))
			if i == 0 {
				_, _ = q.PutTx(t.Context(), tx, to(""), r)
				return
			}
			_, _ = q.Put(t.Context(), to(""), r)
		}()
	}
	is.NoErr(tx.Commit(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = q.Put(ctx, to(""), strings.NewReader(mail("whole")))
	is.NoErr(err)
	is.Equal(rows(t, q), 1)
}

// Contents that are read slowly, as from a network, leave connections to a worker of the same process.
func TestSlowReadersLeaveConnections(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{DB: shared.DB(t) + "&pool_max_conns=4"})
	start := mail("large") + strings.Repeat("a line of the body\n", 100_000)
	done := make(chan error, 6)
	reading, slow := make(chan bool, cap(done)), make(chan bool)
	release := sync.OnceFunc(func() { close(slow) })
	defer release()
	for range cap(done) {
		go func() {
			r := io.MultiReader(strings.NewReader(start), stop(func() { reading <- true; <-slow }))
			_, err := q.Put(t.Context(), to(""), r)
			done <- err
		}()
	}
	<-reading
	<-reading
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := q.Put(ctx, to(""), strings.NewReader(mail("small")))
	is.NoErr(err)
	is.Equal(rows(t, q), 1)
	release()
	for range cap(done) {
		is.NoErr(<-done)
	}
}

// The answer to a Put is lost, and the server refuses the second try: the message may be there.
func TestPutDoesNotKnowAfterALostAnswer(t *testing.T) {
	is := is.New(t)
	server := shared.Server(t)
	near := open(t, Options{DB: shared.DB(t)})
	conn, err := pgx.Connect(t.Context(), near.opts.DB)
	is.NoErr(err)
	defer conn.Close(t.Context())
	for _, sql := range []string{ // the second try fails
		`CREATE SEQUENCE spoolgore.tries`,
		`CREATE FUNCTION spoolgore.again() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN IF nextval('spoolgore.tries') > 1 THEN RAISE EXCEPTION 'no more'; END IF; RETURN NEW; END $$`,
		`CREATE TRIGGER again BEFORE INSERT ON spoolgore.uid FOR EACH ROW EXECUTE FUNCTION spoolgore.again()`,
		`ALTER SEQUENCE spoolgore.message_id RESTART 7654321`,
	} {
		_, err := conn.Exec(t.Context(), sql)
		is.NoErr(err)
	}
	dir, lost := loser(t, server.Dir, "7654321")
	far := open(t, Options{DB: strings.ReplaceAll(near.opts.DB, server.Dir, dir)})
	_, err = far.Put(t.Context(), to(""), strings.NewReader(mail("one")))
	is.True(lost.Load())
	is.True(strings.Contains(err.Error(), "no more"))
	is.True(errors.Is(err, ErrUnknown))
	is.Equal(rows(t, near), 1)
}

// A host puts at a standby while the standby becomes the primary.
func TestPutWaitsForAPromotion(t *testing.T) {
	is := is.New(t)
	first, _ := own(t)
	q := open(t, Options{DB: first.URL("fleet")}) // makes the schema
	q.Close()
	second, err := first.Standby("second")
	is.NoErr(err)
	t.Cleanup(second.Remove)
	q = open(t, Options{DB: second.URL("fleet")})
	promoted := make(chan error, 1)
	time.AfterFunc(300*time.Millisecond, func() { promoted <- second.Promote() })
	_, err = q.Put(t.Context(), to(""), strings.NewReader(mail("one")))
	is.NoErr(<-promoted)
	is.NoErr(err)
}

// A Put after Close is a mistake of the program: to ask again would not help.
func TestPutAfterCloseFailsAtOnce(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{})
	q.Close()
	began := time.Now()
	_, err := q.Put(t.Context(), to(""), strings.NewReader(mail("late")))
	is.True(err != nil && !errors.Is(err, ErrUnknown))
	is.True(time.Since(began) < putTime/2)
}
