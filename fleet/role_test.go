package fleet

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// TestRoleOfAnApplication checks that a role that may only call put can put mail, cannot reach the tables, and cannot
// have its own functions called with the rights of a worker.
func TestRoleOfAnApplication(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{DB: shared.DB(t)})
	owner, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer owner.Close(t.Context())
	for _, sql := range []string{
		`CREATE ROLE fleet_app LOGIN`, `GRANT USAGE ON SCHEMA spoolgore TO fleet_app`,
		`GRANT EXECUTE ON FUNCTION spoolgore.put(text, text[], bytea, text), spoolgore.put(text, text[], text, text)
			TO fleet_app`,
		`GRANT CREATE ON SCHEMA public TO PUBLIC`, // as until PostgreSQL 14
	} {
		_, err := owner.Exec(t.Context(), sql)
		is.NoErr(err)
	}
	config, err := pgx.ParseConfig(q.opts.DB)
	is.NoErr(err)
	config.User = "fleet_app"
	app, err := pgx.ConnectConfig(t.Context(), config)
	is.NoErr(err)
	defer app.Close(t.Context())
	// More specific than the functions of pg_catalog, which have arguments of type anyarray.
	for _, name := range []string{"cardinality(bigint[])", "cardinality(text[])", "array_ndims(text[])"} {
		_, err := app.Exec(t.Context(), `CREATE FUNCTION public.`+name+` RETURNS int LANGUAGE plpgsql AS
			$$BEGIN IF current_user <> 'fleet_app' THEN CREATE TABLE public.stolen (); END IF; RETURN 1; END$$`)
		is.NoErr(err)
	}
	_, err = app.Exec(t.Context(), `SELECT spoolgore.put('a@example.com', ARRAY['b@example.org'], $1::text, 'order 1')`,
		mail("from a role"))
	is.NoErr(err) // the right to call put is enough
	_, err = app.Exec(t.Context(), `SELECT spoolgore.put('a@example.com', array_agg(n || '@example.org'), 'x'::text)
		FROM generate_series(1, 10001) n`)
	is.True(err != nil && strings.Contains(err.Error(), "10000")) // more recipients than a message may have
	for _, sql := range []string{
		`SELECT * FROM spoolgore.message`, `UPDATE spoolgore.uid SET done = 1`,
		`INSERT INTO spoolgore.setting VALUES ('x', '1')`, `SELECT spoolgore.discard('{1}', 1)`,
		`SELECT spoolgore.enqueue('u', '', '', 0, '{}', '{}', false)`, `SELECT * FROM spoolgore.claim(1, 1, '')`,
	} {
		_, err := app.Exec(t.Context(), sql)
		is.True(err != nil && strings.Contains(err.Error(), "permission denied")) // no other right
	}
	work(t, q, options(relay))
	eventually(t, "sent", func() bool { return rows(t, q) == 0 })
	is.Equal(subjects(relay), map[string]int{"from a role b@example.org": 1})
	var stolen bool
	is.NoErr(owner.QueryRow(t.Context(), `SELECT to_regclass('public.stolen') IS NOT NULL`).Scan(&stolen))
	is.True(!stolen) // no function of the role ran with other rights
}
