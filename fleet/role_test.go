package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// roleFor makes a role that may only call put, and returns a connection of the role.
func roleFor(t *testing.T, q *Queue, name string) *pgx.Conn {
	t.Helper()
	is := is.New(t)
	owner, err := pgx.Connect(t.Context(), q.opts.DB)
	is.NoErr(err)
	defer owner.Close(t.Context())
	for _, sql := range []string{
		`CREATE ROLE ` + name + ` LOGIN`, `GRANT USAGE ON SCHEMA spoolgore TO ` + name,
		`GRANT EXECUTE ON FUNCTION spoolgore.put(text, text[], bytea, text), spoolgore.put(text, text[], text, text)
			TO ` + name,
	} {
		_, err := owner.Exec(t.Context(), sql)
		is.NoErr(err)
	}
	config, err := pgx.ParseConfig(q.opts.DB)
	is.NoErr(err)
	config.User = name
	app, err := pgx.ConnectConfig(t.Context(), config)
	is.NoErr(err)
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	return app
}

// TestRoleCannotStopTheWorkers checks that no lock that every role may take delays the retries of deferred mail.
func TestRoleCannotStopTheWorkers(t *testing.T) {
	is := is.New(t)
	var asked atomic.Int32
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "RCPT" && asked.Add(1) == 1 {
			return "450 4.2.0 later"
		}
		return ""
	}}
	q := open(t, Options{DB: shared.DB(t)})
	app := roleFor(t, q, "fleet_app_locks")
	_, err := app.Exec(t.Context(), `SELECT pg_advisory_lock(hashtext('spoolgore.tidy')), pg_advisory_lock(
		hashtext('spoolgore.schema'))`)
	is.NoErr(err)
	_, err = app.Exec(t.Context(), `LOCK TABLE spoolgore.setting IN ACCESS SHARE MODE`)
	is.True(err != nil)
	put(t, q, spoolgore.Envelope{}, mail("deferred"))
	work(t, q, options(relay))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(subjects(relay), map[string]int{"deferred b@example.org": 1})
}

// TestRoleCannotStopAnUpgrade checks that no lock that every role may take prevents an upgrade of the schema.
func TestRoleCannotStopAnUpgrade(t *testing.T) {
	is := is.New(t)
	db := shared.DB(t)
	role, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer role.Close(t.Context())
	all, err := store.Schema(0)
	is.NoErr(err)
	newer, err := store.Schema(1)
	is.NoErr(err)
	_, err = role.Exec(t.Context(), strings.TrimSuffix(all, newer), pgx.QueryExecModeSimpleProtocol)
	is.NoErr(err)
	_, err = role.Exec(t.Context(), `SELECT pg_advisory_lock(hashtext('spoolgore.schema'))`)
	is.NoErr(err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	q, err := Open(ctx, Options{DB: db})
	is.NoErr(err)
	q.Close()
}

// TestLongAddressCannotStopAnUpgrade checks that a role of version 3, which had no limit for addresses, cannot prevent
// an upgrade of the schema, and that the outcome of such a message can be recorded.
func TestLongAddressCannotStopAnUpgrade(t *testing.T) {
	is := is.New(t)
	db := shared.DB(t)
	conn, err := pgx.Connect(t.Context(), db)
	is.NoErr(err)
	defer conn.Close(t.Context())
	all, err := store.Schema(0)
	is.NoErr(err)
	newer, err := store.Schema(3)
	is.NoErr(err)
	_, err = conn.Exec(t.Context(), strings.TrimSuffix(all, newer), pgx.QueryExecModeSimpleProtocol)
	is.NoErr(err)
	put := func(to string) {
		_, err := conn.Exec(t.Context(), `SELECT spoolgore.put('a@example.com', ARRAY[$1], 'x'::text)`, to)
		is.NoErr(err)
	}
	random := make([]byte, 3000) // an index would compress repeated text
	_, _ = rand.Read(random)
	put("b@" + hex.EncodeToString(random))
	const fail = `UPDATE spoolgore.message SET state = 3`
	_, err = conn.Exec(t.Context(), fail)
	is.NoErr(err)
	put("c@" + hex.EncodeToString(random))
	put("d@Example.org")
	q := open(t, Options{DB: db}) // Open upgrades the schema
	_, err = conn.Exec(t.Context(), fail)
	is.NoErr(err) // every index entry is short enough
	page, err := q.store.Page(t.Context(), store.Selection{Domain: "example.org", Limit: 10}, 10)
	is.NoErr(err)
	is.Equal(len(page.Rows), 1)
	page, err = q.store.Page(t.Context(), store.Selection{Domain: hex.EncodeToString(random), Limit: 10}, 10)
	is.NoErr(err)
	is.Equal(len(page.Rows), 2)
}

// TestRoleHasLimits checks that a role cannot fill the memory of workers with envelopes.
func TestRoleHasLimits(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{DB: shared.DB(t)})
	app := roleFor(t, q, "fleet_app_limits")
	long := strings.Repeat("x", 1001)
	for _, args := range [][]any{
		{long, []string{"b@example.org"}, ""}, {"a@example.com", []string{"b@example.org", long}, ""},
		{"a@example.com", []string{"b@example.org"}, long},
	} {
		_, err := app.Exec(t.Context(), `SELECT spoolgore.put($1, $2, 'x'::text, $3)`, args...)
		is.True(err != nil && strings.Contains(err.Error(), "more than 1000 octets"))
	}
	_, err := app.Exec(t.Context(), `SELECT set_config('spoolgore.host', $1, false)`, long)
	is.NoErr(err)
	_, err = app.Exec(t.Context(), `SELECT spoolgore.put('a@example.com', ARRAY['b@example.org'], 'x'::text)`)
	is.NoErr(err)
	all, err := q.store.List(t.Context(), store.Selection{})
	is.NoErr(err)
	is.Equal(len(all), 1)
	is.Equal(len(all[0].Host), 255)
}

// TestRoleOfAnApplication checks that a role that may only call put can put mail, cannot read or change the tables, and
// cannot have its own functions called with the rights of a worker.
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
		`GRANT CREATE ON SCHEMA public TO PUBLIC`, // the default until PostgreSQL 14
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
	is.NoErr(err) // the role can call put
	_, err = app.Exec(t.Context(), `SELECT spoolgore.put('a@example.com', array_agg(n || '@example.org'), 'x'::text)
		FROM generate_series(1, 10001) n`)
	is.True(err != nil && strings.Contains(err.Error(), "10000")) // too many recipients
	for _, sql := range []string{
		`SELECT * FROM spoolgore.message`, `UPDATE spoolgore.uid SET done = 1`,
		`INSERT INTO spoolgore.setting VALUES ('x', '1')`, `SELECT spoolgore.discard('{1}', 1)`,
		`SELECT spoolgore.enqueue('u', '', '', 0, '{}', '{}', false)`, `SELECT * FROM spoolgore.claim(1, 1, '')`,
	} {
		_, err := app.Exec(t.Context(), sql)
		is.True(err != nil && strings.Contains(err.Error(), "permission denied")) // the role has no other right
	}
	work(t, q, options(relay))
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(subjects(relay), map[string]int{"from a role b@example.org": 1})
	var stolen bool
	is.NoErr(owner.QueryRow(t.Context(), `SELECT to_regclass('public.stolen') IS NOT NULL`).Scan(&stolen))
	is.True(!stolen) // no function of the role was called with other rights
}
