package store

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"
)

// version6 makes a schema of version 6 with n messages.
func version6(t *testing.T, n int) (db string, conn *pgx.Conn) {
	t.Helper()
	is := is.New(t)
	db = shared.DB(t)
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	all, err := Schema(0)
	is.NoErr(err)
	newer, err := Schema(6)
	is.NoErr(err)
	_, err = conn.Exec(t.Context(), strings.TrimSuffix(all, newer), pgx.QueryExecModeSimpleProtocol)
	is.NoErr(err)
	_, err = conn.Exec(t.Context(), queue, pgx.QueryExecModeExec, n)
	is.NoErr(err)
	return db, conn
}

// Workers of the older version claim messages while the schema is upgraded: neither waits for the other for ever, and
// the upgrade succeeds.
func TestWorkersDoNotStopAnUpgrade(t *testing.T) {
	is := is.New(t)
	db, conn := version6(t, 100_000)
	var worker int64
	is.NoErr(conn.QueryRow(t.Context(), `SELECT spoolgore.enter('old', 15, 100)`).Scan(&worker))
	ctx, cancel := context.WithCancel(t.Context())
	var claims sync.WaitGroup
	for range 3 {
		c, err := pgx.Connect(t.Context(), db)
		is.NoErr(err)
		claims.Go(func() {
			defer c.Close(context.Background())
			for ctx.Err() == nil {
				_, _ = c.Exec(ctx, `SELECT id FROM spoolgore.claim($1, 1, '')`, worker)
			}
		})
	}
	s, err := Open(t.Context(), db)
	cancel()
	claims.Wait()
	is.NoErr(err)
	s.Close()
}

// The printed statements are one transaction: after an error the schema is as before.
func TestTheScriptIsOneTransaction(t *testing.T) {
	is := is.New(t)
	db, conn := version6(t, 10)
	text, err := Script(6)
	is.NoErr(err)
	broken := strings.Replace(text, "COMMIT;", "SELECT 1 / 0;\nCOMMIT;", 1)
	_, err = conn.Exec(t.Context(), broken, pgx.QueryExecModeSimpleProtocol)
	is.True(err != nil)
	_, err = conn.Exec(t.Context(), "ROLLBACK")
	is.NoErr(err)
	at, err := version(t.Context(), conn)
	is.NoErr(err)
	is.Equal(at, 6)
	_, err = conn.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol)
	is.NoErr(err)
	s, err := Open(t.Context(), db)
	is.NoErr(err)
	s.Close()
	text, err = Script(Version)
	is.NoErr(err)
	is.Equal(text, "")
}
