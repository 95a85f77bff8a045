package store

import "context"

// Count returns the number of messages.
func (s *Store) Count(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*)::int FROM spoolgore.message`).Scan(&n)
	return n, err
}
