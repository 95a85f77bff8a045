package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Admin has the statements that steer messages.
type Admin struct{ *Store }

// Hold sets messages aside: they are not sent, and do not grow older. A message that is being sent is held if it is not
// delivered. Hold returns the number of messages.
func (s Admin) Hold(ctx context.Context, ids []int64) (int64, error) {
	tag, err := s.pool.Exec(ctx, `UPDATE spoolgore.message SET
		wish = CASE state WHEN 2 THEN greatest(wish, 1) ELSE 0 END, state = CASE state WHEN 2 THEN 2 ELSE 3 END,
		due = CASE state WHEN 2 THEN due ELSE clock_timestamp() END,
		version = version + CASE state WHEN 2 THEN 0 ELSE 1 END
		WHERE id = ANY ($1) AND state IN (0, 1, 2)`, ids)
	return tag.RowsAffected(), err
}

// Release makes held messages ready, and takes back a Hold of a message that is being sent.
func (s Admin) Release(ctx context.Context, ids []int64) (int64, error) {
	tag, err := s.pool.Exec(ctx, `UPDATE spoolgore.message SET wish = 0, state = CASE state WHEN 2 THEN 2 ELSE 0 END,
		created = created + CASE state WHEN 3 THEN clock_timestamp() - least(due, clock_timestamp()) ELSE '0' END,
		looks = looks + CASE state WHEN 3 THEN clock_timestamp() - least(due, clock_timestamp()) ELSE '0' END,
		due = NULL WHERE id = ANY ($1) AND (state = 3 OR state = 2 AND wish = 1)`, ids)
	return tag.RowsAffected(), err
}

// Delete deletes messages for good, without a report. A message that is being sent is deleted when its transaction has
// ended.
func (s Admin) Delete(ctx context.Context, ids []int64) (n int64, err error) {
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE spoolgore.message SET wish = 2 WHERE id = ANY ($1)`, ids)
		if n = tag.RowsAffected(); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `SELECT spoolgore.discard(ARRAY(
			SELECT id FROM spoolgore.message WHERE id = ANY ($1) AND state <> 2 FOR UPDATE), 3)`, ids)
		return err
	})
	return n, err
}

// Retry makes a message ready that waits or has failed. A message that is ready stays so, and a message that is being
// sent is left alone. change gets the present record (nil: there was no attempt) and the time of the server. It returns
// the record to store and the number of recipients that wait. Retry returns false if there is no such message.
func (s Admin) Retry(
	ctx context.Context, id int64, change func(old *string, failed bool, now time.Time) (string, int, error),
) (found bool, err error) {
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		var old *string
		var state State
		var now time.Time
		err := tx.QueryRow(ctx, `SELECT record::text, state, clock_timestamp() FROM spoolgore.message
			WHERE id = $1 AND state <> 3 FOR UPDATE`, id).Scan(&old, &state, &now)
		if err == pgx.ErrNoRows {
			return nil
		}
		found = err == nil
		if err != nil {
			return err
		}
		if old == nil || state == LeasedOut { // waits for the time of its sender, or is being tried
			return nil
		}
		text, rcpts, err := change(old, state == Failed, now)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE spoolgore.message SET record = $2, rcpts = $3, state = 0, due = NULL, reason = '',
			version = version + 1, created = CASE state WHEN 4 THEN $4 ELSE created END,
			looks = CASE state WHEN 4 THEN $4 + make_interval(secs => (SELECT value::text::double precision
				FROM spoolgore.setting WHERE key = 'look')) ELSE looks END WHERE id = $1`, id, text, rcpts, now)
		return err
	})
	return found, err
}

// Pause stops all workers, or lets them go on.
func (s Admin) Pause(ctx context.Context, paused bool) error {
	const set = `UPDATE spoolgore.setting SET value = to_jsonb($1::boolean) WHERE key = 'paused'`
	_, err := s.pool.Exec(ctx, set, paused)
	return err
}
