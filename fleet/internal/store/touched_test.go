package store

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"
)

// TestStatementsOfAWorkerReadFewRows checks that no statement of a worker reads all messages of a long queue.
func TestStatementsOfAWorkerReadFewRows(t *testing.T) {
	is := is.New(t)
	l := &Leases{open(t)}
	const n, most = 20_000, 64
	_, err := l.pool.Exec(t.Context(), queue, n)
	is.NoErr(err)
	_, err = l.pool.Exec(t.Context(), `INSERT INTO spoolgore.body SELECT id, 0, 'x' FROM spoolgore.message`)
	is.NoErr(err)
	_, err = l.pool.Exec(t.Context(), `ANALYZE`)
	is.NoErr(err)
	w := enter(t, l, time.Minute)
	for name, do := range map[string]func(tx pgx.Tx) error{
		"claim": func(tx pgx.Tx) error {
			_, err := claim(t.Context(), tx, `SELECT * FROM spoolgore.claim($1, $2, $3)`, w, most, "")
			return err
		},
		"record": func(tx pgx.Tx) error {
			b := Batch{}
			for i := range int64(most) {
				b.Served = append(b.Served, Key{ID: 2 * i, Lease: 1, Worker: w})
				b.Changes = append(b.Changes, Change{ID: 2*i + 1, Lease: 1, Worker: w})
				b.Outcomes = append(b.Outcomes, Outcome{ID: i, Entry: "x"})
			}
			_, err := settle(t.Context(), tx, b)
			return err
		},
		"end leases": func(tx pgx.Tx) error {
			ids := make([]int64, most)
			for i := range ids {
				ids[i] = int64(i)
			}
			_, err := tx.Exec(t.Context(), `SELECT spoolgore.unlease($1), spoolgore.discard($1, 1)`, ids)
			return err
		},
		"tidy": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `SELECT spoolgore.tidy(true)`)
			return err
		},
	} {
		err := pgx.BeginFunc(t.Context(), l.pool, func(tx pgx.Tx) error {
			is.NoErr(do(tx))
			var rows int
			is.NoErr(tx.QueryRow(t.Context(), `SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM
				pg_stat_xact_user_tables WHERE relid = 'spoolgore.message'::regclass`).Scan(&rows))
			t.Log(name, rows)
			is.True(rows <= 20*most)
			return pgx.ErrTxClosed // so that each statement finds the same queue
		})
		is.Equal(err, pgx.ErrTxClosed)
	}
}

// TestPutWaitsForTheDiskOfAStandby checks the setting of the commit of a Put.
func TestPutWaitsForTheDiskOfAStandby(t *testing.T) {
	is := is.New(t)
	s := open(t)
	for setting, want := range map[string]string{
		"off": "on", "local": "on", "remote_write": "on", "on": "on", "remote_apply": "remote_apply",
	} {
		err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) (err error) {
			var got string
			_, err = tx.Exec(t.Context(), `SET LOCAL synchronous_commit = `+setting)
			is.NoErr(err)
			_, err = tx.Exec(t.Context(), `SELECT spoolgore.durable()`)
			is.NoErr(err)
			is.NoErr(tx.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&got))
			is.Equal(got, want)
			return nil
		})
		is.NoErr(err)
	}
}
