package store

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"
)

// TestUidsOfOldMessagesAreReadSeldom checks that messages that wait for weeks do not make each tidy read their uids, and
// that uids of messages that are done are removed all the same.
func TestUidsOfOldMessagesAreReadSeldom(t *testing.T) {
	is := is.New(t)
	s := open(t)
	const waiting, ended, times = 1000, 100, 600
	_, err := s.pool.Exec(t.Context(), `INSERT INTO spoolgore.uid SELECT 'x' || g, g, now() - interval '15 days', 0,
		CASE WHEN g <= $2 THEN 1 ELSE 0 END FROM generate_series(1, $1::int) g`, waiting+ended, ended)
	is.NoErr(err)
	_, err = s.pool.Exec(t.Context(), `ANALYZE spoolgore.uid`)
	is.NoErr(err)
	is.NoErr(pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `SELECT setseed(0.5)`) // tidy looks for old uids by chance
		is.NoErr(err)
		_, err = tx.Exec(t.Context(), `SELECT count(promoted) FROM generate_series(1, $1::int) g, spoolgore.tidy(g > 0)`,
			times)
		is.NoErr(err)
		var read, left int
		is.NoErr(tx.QueryRow(t.Context(), `SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM
			pg_stat_xact_user_tables WHERE relid = 'spoolgore.uid'::regclass`).Scan(&read))
		is.True(read > 0 && read < waiting*times/10)
		is.NoErr(tx.QueryRow(t.Context(), `SELECT count(*) FROM spoolgore.uid`).Scan(&left))
		is.Equal(left, waiting)
		return nil
	}))
}

// TestEnterWritesFewMessages checks that workers with different ages do not write all messages at each start.
func TestEnterWritesFewMessages(t *testing.T) {
	is := is.New(t)
	s := open(t)
	const n = 200
	_, err := s.pool.Exec(t.Context(), queue, n)
	is.NoErr(err)
	written := func(look int) (rows int) {
		is.NoErr(pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `SELECT spoolgore.enter('w', 15, $1)`, look)
			is.NoErr(err)
			return tx.QueryRow(t.Context(), `SELECT count(*) FROM spoolgore.message
				WHERE xmin = pg_current_xact_id()::xid`).Scan(&rows)
		}))
		return rows
	}
	const day = 24 * 3600
	is.True(written(2*day) > n*9/10) // all that are to be sent
	is.Equal(written(5*day), 0)
	is.Equal(written(2*day), 0)
	var late int
	is.NoErr(s.pool.QueryRow(t.Context(), `SELECT count(*) FROM spoolgore.message
		WHERE state IN (0, 1) AND looks > now() + interval '2 days'`).Scan(&late))
	is.Equal(late, 0)
}
