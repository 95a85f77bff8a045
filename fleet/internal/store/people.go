package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Relay is an account at relays.
type Relay struct {
	Name   string
	Proven bool // the account works
	Cause  string
	Rest   time.Duration // last rest; zero: none
	Until  time.Time     // end of the rest
	Since  time.Time     // start of the rest
}

// Relays returns the accounts that were used.
func (s *Store) Relays(ctx context.Context) ([]Relay, error) {
	rows, err := s.pool.Query(ctx, `SELECT name, proven, cause, rest,
		CASE WHEN isfinite(until) THEN until ELSE clock_timestamp() END,
		CASE WHEN isfinite(until) THEN until - rest ELSE clock_timestamp() END FROM spoolgore.relay ORDER BY name`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Relay])
}

// Worker is a worker of the fleet.
type Worker struct {
	ID     int64
	Name   string
	Began  time.Time
	Age    time.Duration // since the last beat
	Alive  bool
	Leased int    // messages that the worker has leased
	Status []byte // JSON
}

// Workers returns the workers, also those that have died within ten minutes.
func (s *Store) Workers(ctx context.Context) ([]Worker, error) {
	rows, err := s.pool.Query(ctx, `SELECT w.id, w.name, w.began, clock_timestamp() - w.beat,
		w.beat > clock_timestamp() - w.lease,
		(SELECT count(*)::int FROM spoolgore.message m WHERE m.state = 2 AND m.worker = w.id), w.status::text
		FROM spoolgore.worker w ORDER BY w.name, w.id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w Worker, err error) {
		var status string
		err = row.Scan(&w.ID, &w.Name, &w.Began, &w.Age, &w.Alive, &w.Leased, &status)
		w.Status = []byte(status)
		return w, err
	})
}

// Server is what is known of the database.
type Server struct {
	Version     string
	Name        string // of the database
	Now         time.Time
	Started     time.Time
	Schema      int
	Commit      string // synchronous_commit of a new connection
	Names       string // synchronous_standby_names; empty: there is no synchronous standby
	Standbys    int    // connected standbys
	Synchronous int    // of them, those for which commits wait
	Paused      bool
	Longest     time.Duration // age of the oldest transaction of any program in this database
	Program     string        // that has the transaction
	Foreign     int           // tables of other schemas
}

// Server returns what is known of the database. A role that may not see other sessions sees no standbys and no
// transactions of others.
func (s *Store) Server(ctx context.Context) (x Server, err error) {
	err = s.pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_database(), clock_timestamp(),
		pg_postmaster_start_time(),
		(SELECT value::text::int FROM spoolgore.setting WHERE key = 'schema'),
		current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		(SELECT count(*)::int FROM pg_stat_replication),
		(SELECT count(*)::int FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
		(SELECT value = 'true' FROM spoolgore.setting WHERE key = 'paused'),
		coalesce(clock_timestamp() - a.xact_start, '0'), coalesce(a.application_name || ' (' || a.usename || ')', ''),
		(SELECT count(*)::int FROM pg_tables WHERE schemaname NOT IN ('spoolgore', 'pg_catalog', 'information_schema'))
		FROM (SELECT) one LEFT JOIN LATERAL (SELECT * FROM pg_stat_activity WHERE datname = current_database()
			AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1) a ON true`).Scan(
		&x.Version, &x.Name, &x.Now, &x.Started, &x.Schema, &x.Commit, &x.Names, &x.Standbys, &x.Synchronous, &x.Paused,
		&x.Longest, &x.Program, &x.Foreign)
	return x, err
}

// Place returns the host and the name of the database.
func (s *Store) Place() (host, name string) {
	c := s.pool.Config().ConnConfig
	return c.Host, c.Database
}

// Spent returns the stored state of the limits of rate.
func (s *Store) Spent(ctx context.Context) (state []byte, err error) {
	err = s.pool.QueryRow(ctx, `SELECT state FROM spoolgore.bucket WHERE name = 'all'`).Scan(&state)
	if err == pgx.ErrNoRows {
		err = nil
	}
	return state, err
}
