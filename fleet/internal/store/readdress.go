package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrLeased is the error of Readdress for a message that is being sent.
var ErrLeased = errors.New("the message is being sent")

// Readdressed is a message with other recipients.
type Readdressed struct {
	Envelope, Record string
	Rcpts            int // that wait
}

// Readdress gives a message other recipients. change gets the message. Messages that wait or have failed become ready,
// held ones stay held. Readdress returns false if there is no such message.
func (s Admin) Readdress(
	ctx context.Context, id int64, change func(Listed) (Readdressed, error),
) (found bool, err error) {
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		var l Listed
		err := tx.QueryRow(ctx, `SELECT id, state::int, uid, host, created, due, size, reason,
			envelope::text, record::text FROM spoolgore.message WHERE id = $1 FOR UPDATE`, id).
			Scan(&l.ID, &l.State, &l.UID, &l.Host, &l.Created, &l.Due, &l.Size, &l.Reason, &l.Envelope, &l.Record)
		switch {
		case err == pgx.ErrNoRows:
			return nil
		case err != nil:
			return err
		case l.State == LeasedOut:
			return ErrLeased
		}
		r, err := change(l)
		if err != nil {
			return err
		}
		found = true
		_, err = tx.Exec(ctx, `UPDATE spoolgore.message SET envelope = $2, record = $3, rcpts = $4, reason = '',
			version = version + 1, due = CASE state WHEN 3 THEN due END, state = CASE state WHEN 3 THEN 3 ELSE 0 END,
			created = CASE state WHEN 4 THEN clock_timestamp() ELSE created END,
			looks = CASE state WHEN 4 THEN clock_timestamp() + make_interval(secs => (SELECT
				value::text::double precision FROM spoolgore.setting WHERE key = 'look')) ELSE looks END
			WHERE id = $1`, id, r.Envelope, r.Record, r.Rcpts)
		return err
	})
	return found, err
}

// flushBatch is the number of messages that Flush changes in one transaction.
const flushBatch = 500

// Flush makes all deferred messages ready, and has the accounts and relays that rest tried. change returns the record
// of a message to try now, or an empty text for a message to leave alone. Flush returns the number of messages.
func (s Admin) Flush(
	ctx context.Context, change func(old string, now time.Time) (record string, err error),
) (int64, error) {
	_, err := s.pool.Exec(ctx, `UPDATE spoolgore.relay SET until = '-infinity' WHERE NOT proven`)
	if err == nil {
		_, err = s.pool.Exec(ctx,
			`UPDATE spoolgore.setting SET value = to_jsonb(value::text::int + 1) WHERE key = 'flush'`)
	}
	flushed, after := int64(0), int64(0)
	for more := true; more && err == nil; {
		err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
			var n int64
			n, after, more, err = flush(ctx, tx, after, change)
			flushed += n
			return err
		})
	}
	return flushed, err
}

// flush changes the next messages behind after.
func flush(ctx context.Context, tx pgx.Tx, after int64, change func(string, time.Time) (string, error)) (
	n, last int64, more bool, err error,
) {
	rows, err := tx.Query(ctx, `SELECT id, record::text, clock_timestamp() FROM spoolgore.message
		WHERE id > $1 AND state = 1 AND record IS NOT NULL ORDER BY id LIMIT $2
		FOR UPDATE SKIP LOCKED`, after, flushBatch)
	if err != nil {
		return 0, after, false, err
	}
	var id int64
	var old string
	var now time.Time
	var ids []int64
	var records []string
	read := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &old, &now}, func() error {
		read++
		last = id
		text, err := change(old, now)
		if err == nil && text != "" {
			ids, records = append(ids, id), append(records, text)
		}
		return err
	})
	if err != nil || read == 0 {
		return 0, after, false, err
	}
	_, err = tx.Exec(ctx, `UPDATE spoolgore.message m SET state = 0, due = NULL, record = x.record::jsonb,
		version = m.version + 1 FROM unnest($1::bigint[], $2::text[]) AS x(id, record) WHERE m.id = x.id`, ids, records)
	return int64(len(ids)), last, read == flushBatch, err
}
