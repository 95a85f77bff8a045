package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Leases has the statements of workers.
type Leases struct{ *Store }

// Leased is a message that a worker may send.
type Leased struct {
	ID       int64
	Lease    int // number of the lease
	Version  int // of the record
	UID      string
	Host     string
	Name     string // of the file on the host; empty: there was none
	Created  time.Time
	Suspect  *time.Time // when a relay last failed in the middle of a transaction of the message; nil: never
	Sender   string
	Rcpts    int   // recipients that wait
	Size     int64 // of the content as it was put
	Envelope string
	Record   *string // JSON of the record; nil: there was no attempt
	Piece    []byte  // first piece of the content
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Claim leases up to n messages to a worker. The messages of several senders take turns; after is the last sender of
// the claim before.
func (s *Leases) Claim(ctx context.Context, worker int64, n int, after string) ([]Leased, error) {
	return claim(ctx, s.pool, `SELECT * FROM spoolgore.claim($1, $2, $3)`, worker, n, after)
}

// ClaimOld leases up to n messages whose age has to be looked at.
func (s *Leases) ClaimOld(ctx context.Context, worker int64, n int) ([]Leased, error) {
	return claim(ctx, s.pool, `SELECT * FROM spoolgore.claim_old($1, $2)`, worker, n)
}

func claim(ctx context.Context, q querier, sql string, args ...any) ([]Leased, error) {
	rows, err := q.Query(ctx, sql, append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Leased])
}

// Limits decide how many recipients may be sent to, and count them.
type Limits interface {
	// Load takes over the stored state, at the time now of the server. held recipients are under way.
	Load(state []byte, held int, now time.Time) error
	// Room returns the number of recipients that may be sent to now, at most n.
	Room(n int) int
	// Take reports whether n more recipients may be sent to now, which then are under way.
	Take(n int) bool
	// Spend counts n recipients.
	Spend(n int)
	// State returns the state to store.
	State() ([]byte, error)
}

// locked calls do while the bucket is locked, and stores its state if do returns true. Everything is one transaction.
func (s *Leases) locked(ctx context.Context, l Limits, do func(tx pgx.Tx) (store bool, err error)) error {
	return inTx(ctx, s.pool, func(tx pgx.Tx) error {
		var state []byte
		var held int
		var now time.Time
		const lock = `INSERT INTO spoolgore.bucket AS b VALUES ('all', '')
			ON CONFLICT (name) DO UPDATE SET name = b.name RETURNING b.state`
		if err := tx.QueryRow(ctx, lock).Scan(&state); err != nil {
			return err
		}
		const busy = `SELECT coalesce(sum(rcpts), 0)::int, clock_timestamp() FROM spoolgore.message WHERE state = 2`
		if err := tx.QueryRow(ctx, busy).Scan(&held, &now); err != nil {
			return err
		}
		if err := l.Load(state, held, now); err != nil {
			return err
		}
		store, err := do(tx)
		if err != nil || !store {
			return err
		}
		if state, err = l.State(); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE spoolgore.bucket SET state = $1 WHERE name = 'all'`, state)
		return err
	})
}

// ClaimWithin is Claim within the limits. Messages above the limits stay ready.
func (s *Leases) ClaimWithin(ctx context.Context, worker int64, n int, after string, l Limits) ([]Leased, error) {
	var taken []Leased
	err := s.locked(ctx, l, func(tx pgx.Tx) (bool, error) {
		room := l.Room(n)
		if room == 0 {
			return false, nil // a claim would change rows for nothing
		}
		all, err := claim(ctx, tx, `SELECT * FROM spoolgore.claim($1, $2, $3)`, worker, room, after)
		if err != nil {
			return false, err
		}
		var back []int64
		for _, m := range all {
			if len(back) > 0 || !l.Take(m.Rcpts) {
				back = append(back, m.ID)
				continue
			}
			taken = append(taken, m)
		}
		switch {
		case len(back) > 0:
			_, err = tx.Exec(ctx, `SELECT spoolgore.unlease($1)`, back)
		case len(taken) == room && room < n:
			l.Take(1) // finds out when there is room again
		}
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// Change is the state of a message after its lease, unless all recipients have accepted.
type Change struct {
	ID      int64           `json:"id"`
	Lease   int             `json:"lease"`
	Worker  int64           `json:"worker"`
	Version int             `json:"version"`
	State   State           `json:"state"`
	Due     *time.Time      `json:"due,omitempty"` // of a waiting message
	Looks   *time.Time      `json:"looks,omitempty"`
	Suspect *time.Time      `json:"suspect,omitempty"`
	Rcpts   int             `json:"rcpts"`
	Reason  string          `json:"reason"`
	Record  json.RawMessage `json:"record,omitempty"`
}

// Report is a message that is put when the change of the message ID, or its end, is recorded.
type Report struct {
	ID       int64           `json:"id"`
	UID      string          `json:"uid"`
	Host     string          `json:"host"`
	Envelope json.RawMessage `json:"envelope"`
	Content  []byte          `json:"content"`
}

// State is the state of a message.
type State int

// The states.
const (
	Ready State = iota
	Waiting
	LeasedOut
	Held
	Failed
)

// Key is the lease of a message by a worker.
type Key struct {
	ID     int64
	Lease  int
	Worker int64
}

// Batch is what a worker has to record.
type Batch struct {
	Served  []Key // messages that a relay has accepted for all recipients
	Changes []Change
	Reports []Report
	Spent   int // recipients for which a relay got MAIL

	Outcomes []Outcome
}

// Outcome is the end of a recipient, which is remembered for people.
type Outcome struct {
	ID     int64 `json:"id"` // of the message
	Entry  any   `json:"entry"`
	Failed bool  `json:"failed"` // the recipient was given up
}

// Settle records a batch in one transaction. stale has the messages whose lease was lost: their changes were not made,
// and their acceptances are to be recorded by Amend. With limits, the recipients of the batch are counted; nil: there
// are none.
func (s *Leases) Settle(ctx context.Context, b Batch, l Limits) (stale []int64, err error) {
	if l == nil {
		return settle(ctx, s.pool, b)
	}
	err = s.locked(ctx, l, func(tx pgx.Tx) (bool, error) {
		l.Spend(b.Spent)
		stale, err = settle(ctx, tx, b)
		return b.Spent > 0, err
	})
	return stale, err
}

// lasting is a query for the ids of leases that last, in $1 to $3, which locks the messages.
const lasting = `SELECT m.id FROM spoolgore.message m
	JOIN unnest($1::bigint[], $2::int[], $3::bigint[]) AS x(id, lease, worker) ON m.id = x.id
	WHERE m.state = 2 AND m.lease = x.lease AND m.worker = x.worker ORDER BY m.id FOR UPDATE OF m`

// split returns the parameters of lasting.
func split(keys []Key) (ids []int64, leases []int, workers []int64) {
	ids, leases, workers = make([]int64, len(keys)), make([]int, len(keys)), make([]int64, len(keys))
	for i, k := range keys {
		ids[i], leases[i], workers[i] = k.ID, k.Lease, k.Worker
	}
	return ids, leases, workers
}

func settle(ctx context.Context, q querier, b Batch) (stale []int64, err error) {
	ids, leases, workers := split(b.Served)
	var served []int64
	err = q.QueryRow(ctx, `WITH l AS MATERIALIZED (`+lasting+`),
			s AS (SELECT coalesce(array_agg(l.id), '{}') AS ids FROM l)
		SELECT s.ids, spoolgore.settle(s.ids, $4, $5, $6) FROM s`,
		ids, leases, workers, list(b.Changes), list(b.Reports), list(b.Outcomes)).Scan(&served, &stale)
	for _, id := range ids {
		if !slices.Contains(served, id) {
			stale = append(stale, id)
		}
	}
	return stale, err
}

// list returns the JSON of a list without characters that PostgreSQL has no place for.
func list[T any](all []T) string {
	if len(all) == 0 {
		return "[]"
	}
	return JSON(all)
}

// Lost is a message whose lease was lost, as the message is now.
type Lost struct {
	UID      string
	Envelope string
	Record   *string
	Created  time.Time
}

// amendment returns the new record of a Lost message (nil: no change), the number of recipients that wait, and whether
// all have accepted.
type amendment func(Lost) (record []byte, rcpts int, served bool)

// Amend changes the record of a message whose lease was lost: change gets the present record, and returns another one
// (nil: no change), the number of recipients that wait, and whether all have accepted. A message that is gone
// stays so. If the lease of c goes on after all, because only the record was changed by another worker, the lease ends.
// Reports are put if the message is there.
func (s *Leases) Amend(
	ctx context.Context, c Change, reports []Report, change func(Lost) (record []byte, rcpts int, served bool),
) error {
	return inTx(ctx, s.pool, func(tx pgx.Tx) error { return amend(ctx, tx, c, reports, change) })
}

// Recall is Amend for acceptances of a worker that has ended. With limits, spent recipients are counted.
func (s *Leases) Recall(
	ctx context.Context, c Change, spent int, l Limits, change func(Lost) (record []byte, rcpts int, served bool),
) error {
	if l == nil {
		return s.Amend(ctx, c, nil, change)
	}
	return s.locked(ctx, l, func(tx pgx.Tx) (bool, error) {
		l.Spend(spent)
		return true, amend(ctx, tx, c, nil, change)
	})
}

// amend does the work of Amend.
func amend(ctx context.Context, tx pgx.Tx, c Change, reports []Report, change amendment) error {
	var m Lost
	err := tx.QueryRow(ctx, `SELECT uid, envelope::text, record::text, created FROM spoolgore.message WHERE id = $1
		FOR UPDATE`, c.ID).Scan(&m.UID, &m.Envelope, &m.Record, &m.Created)
	if err == pgx.ErrNoRows {
		return nil
	}
	if err != nil {
		return err
	}
	record, rcpts, served := change(m)
	if record == nil && !served {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT spoolgore.durable()`); err != nil {
		return err
	}
	for _, r := range reports {
		item := Item{UID: r.UID, Host: r.Host, Envelope: r.Envelope}
		item.Pieces = slices.Collect(slices.Chunk(r.Content, PieceSize))
		if _, err := PutTx(ctx, tx, item, true); err != nil {
			return err
		}
	}
	if served {
		_, err = tx.Exec(ctx, `SELECT spoolgore.discard($1, 1)`, []int64{c.ID})
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE spoolgore.message SET record = $2, rcpts = $3, version = version + 1
		WHERE id = $1`, c.ID, string(record), rcpts)
	if err == nil {
		_, err = tx.Exec(ctx, `SELECT spoolgore.unlease(ARRAY(SELECT id FROM spoolgore.message
			WHERE id = $1 AND state = 2 AND worker = $2 AND lease = $3))`, c.ID, c.Worker, c.Lease)
	}
	return err
}

// Present returns which of the messages are in the queue.
func (s *Leases) Present(ctx context.Context, ids []int64) ([]int64, error) {
	rows, err := s.pool.Query(ctx, `SELECT id FROM spoolgore.message WHERE id = ANY ($1)`, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// Reclaim ends the leases of a worker but those of the messages held: an answer to a claim was lost. If the statement
// reaches the server after the time until of the server, it has no effect: the worker may have other leases then.
func (s *Leases) Reclaim(ctx context.Context, worker int64, held []int64, until time.Time) error {
	_, err := s.pool.Exec(ctx, `SELECT spoolgore.unlease(ARRAY(SELECT id FROM spoolgore.message
		WHERE state = 2 AND worker = $1 AND id <> ALL ($2) AND (SELECT clock_timestamp()) < $3
		FOR UPDATE SKIP LOCKED))`, worker, held, until)
	return err
}

// GiveBack ends leases of messages that were not begun. A lease that was lost, so that another worker may have the
// message, is left alone.
func (s *Leases) GiveBack(ctx context.Context, keys []Key) error {
	ids, leases, workers := split(keys)
	_, err := s.pool.Exec(ctx, `SELECT spoolgore.unlease(ARRAY(`+lasting+`))`, ids, leases, workers)
	return err
}

// Piece returns a piece of the content of a message.
func (s *Leases) Piece(ctx context.Context, id int64, n int) (data []byte, err error) {
	err = s.pool.QueryRow(ctx, `SELECT data FROM spoolgore.body WHERE message = $1 AND n = $2`,
		pgx.QueryResultFormats{pgx.BinaryFormatCode}, id, n).Scan(&data)
	return data, err
}
