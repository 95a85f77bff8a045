package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// unescape is for the JSON of encoding/json: PostgreSQL has no NUL in text and jsonb, and a database with another
// encoding than UTF-8 takes no escape above ASCII.
var unescape = strings.NewReplacer(
	`\\`, `\\`, `\u0000`, "\ufffd", `\ufffd`, "\ufffd", `\u2028`, "\u2028", `\u2029`, "\u2029",
)

// JSON returns the JSON of v as PostgreSQL takes JSON. A character that the text of v cannot have is U+FFFD.
func JSON(v any) string {
	text, _ := json.Marshal(v) // the values of this package can be encoded
	return unescape.Replace(string(text))
}

// Enter registers a worker with a lease. look is the age at which a message without an attempt is looked at.
func (s *Leases) Enter(ctx context.Context, name string, lease, look time.Duration) (id int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT spoolgore.enter($1, $2, $3)`, name, lease.Seconds(), look.Seconds()).Scan(&id)
	return id, err
}

// Leave removes a worker, whose leases end.
func (s *Leases) Leave(ctx context.Context, worker int64) error {
	return inTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT spoolgore.unlease(ARRAY(
			SELECT id FROM spoolgore.message WHERE state = 2 AND worker = $1 FOR UPDATE))`, worker)
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM spoolgore.worker WHERE id = $1`, worker)
		}
		return err
	})
}

// Beat is the answer to a beat.
type Beat struct {
	Known  bool      // false: the worker was taken for dead, and has to enter again
	Now    time.Time // of the server
	Paused bool
	Flush  int // number of flushes so far
}

// Beat says that a worker is alive. status is for people.
func (s *Leases) Beat(ctx context.Context, worker int64, status any) (b Beat, err error) {
	err = s.pool.QueryRow(ctx, `SELECT known, at, paused,
		(SELECT value::text::int FROM spoolgore.setting WHERE key = 'flush') FROM spoolgore.beat($1, $2)`,
		worker, JSON(status)).Scan(&b.Known, &b.Now, &b.Paused, &b.Flush)
	return b, err
}

// Tidied is the result of Tidy.
type Tidied struct {
	Promoted int  // messages that became ready
	Reaped   int  // recipients of leases that were ended
	More     bool // there is more to do
}

// Tidy makes waiting messages ready, removes old uids and, with reap, ends the leases of dead workers. With limits, the
// recipients of these leases count as sent. If the clock of the server is past until, no lease ends: after that clock
// was set forward, each worker looks dead until its next beat.
func (s *Leases) Tidy(ctx context.Context, reap bool, until time.Time, l Limits) (t Tidied, err error) {
	const tidy = `SELECT promoted, reaped, more FROM spoolgore.tidy($1 AND clock_timestamp() < $2)`
	if l == nil || !reap {
		err = s.pool.QueryRow(ctx, tidy, reap, until).Scan(&t.Promoted, &t.Reaped, &t.More)
		return t, err
	}
	err = s.locked(ctx, l, func(tx pgx.Tx) (bool, error) {
		err := tx.QueryRow(ctx, tidy, reap, until).Scan(&t.Promoted, &t.Reaped, &t.More)
		l.Spend(t.Reaped)
		return t.Reaped > 0, err
	})
	return t, err
}

// The answers of Admit.
const (
	Resting = 0 // the account may not be used now
	Free    = 1
	Probing = 2 // this worker, and no other one, may try one message
)

// Admit says how a worker may use an account at a relay.
func (s *Leases) Admit(ctx context.Context, account string, worker int64) (how int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT spoolgore.admit($1, $2)`, account, worker).Scan(&how)
	return how, err
}

// Proved records that an account works.
func (s *Leases) Proved(ctx context.Context, account string) error {
	_, err := s.pool.Exec(ctx, `SELECT spoolgore.proved($1)`, account)
	return err
}

// Refused records that the relay refuses an account, which then rests for every worker.
func (s *Leases) Refused(ctx context.Context, account, why string) error {
	_, err := s.pool.Exec(ctx, `SELECT spoolgore.refused($1, $2)`, account, why)
	return err
}
