package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Count returns the number of messages.
func (s *Store) Count(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*)::int FROM spoolgore.message`).Scan(&n)
	return n, err
}

// Relay is an account at relays.
type Relay struct {
	Name   string
	Proven bool // the account works
	Cause  string
	Rest   time.Duration // last rest; zero: none
}

// Relays returns the accounts that were used.
func (s *Store) Relays(ctx context.Context) ([]Relay, error) {
	rows, err := s.pool.Query(ctx, `SELECT name, proven, cause, rest FROM spoolgore.relay ORDER BY name`)
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
