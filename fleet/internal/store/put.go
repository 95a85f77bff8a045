package store

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PieceSize is the size of a piece of a body, in octets.
const PieceSize = 256 << 10

// Item is a message to put.
type Item struct {
	UID      string // stands for the message, for 14 days
	Host     string
	Name     string        // of the file on the host; empty: there is none
	Age      time.Duration // since the message was queued on the host
	Envelope []byte        // JSON of message.Envelope
	Pieces   [][]byte      // the content, or the start of the content
	More     io.Reader     // the rest of the content; nil: there is no rest
}

// Added is the result of a put.
type Added struct {
	ID  int64
	New bool // false: the database had a message with the uid already
	Now time.Time
}

// enqueue is the statement for an Item. The last parameter says whether the transaction is one of this package.
const enqueue = `SELECT id, added, at FROM spoolgore.enqueue($1, $2, $3, $4, $5::jsonb, $6, $7)`

// commitTime is the time that a commit may take after the caller has given up: a commit that waits for a standby is
// never canceled, as the server would then make the commit without the standby.
const commitTime = time.Minute

// Put adds a message. When Put returns without an error, the message is on the disk of the database, and of its
// synchronous standby if there is one. After an error that is not IsNotPut the message may be there or not: the same
// Item may be put again. The end of ctx during the commit is such an error.
func (s *Store) Put(ctx context.Context, item Item) (Added, error) {
	if item.More != nil { // a slow reader leaves connections to a worker of the same process
		select {
		case s.large <- struct{}{}:
			defer func() { <-s.large }()
		case <-ctx.Done():
			return Added{}, notPut{ctx.Err()}
		}
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return Added{}, notPut{err}
	}
	if item.More != nil {
		return s.putLarge(ctx, conn, item)
	}
	params, err := item.params(conn.Conn().TypeMap())
	if err != nil {
		conn.Release()
		return Added{}, notPut{err}
	}
	return finish(ctx, conn, func(ctx context.Context) (a Added, err error) {
		r := conn.Conn().PgConn().ExecParams(ctx, enqueue, params, nil, []int16{0, 0, 0, 0, 0, 1, 0}, nil).Read()
		if r.Err != nil {
			return a, r.Err
		}
		row := r.Rows[0]
		a.ID, err = strconv.ParseInt(string(row[0]), 10, 64)
		a.New = string(row[1]) == "t"
		types := conn.Conn().TypeMap()
		return a, errors.Join(err, types.Scan(pgtype.TimestamptzOID, pgtype.TextFormatCode, row[2], &a.Now))
	})
}

// params returns the parameters of enqueue. The pieces are binary, everything else is text.
func (i *Item) params(types *pgtype.Map) ([][]byte, error) {
	pieces, err := types.Encode(pgtype.ByteaArrayOID, pgtype.BinaryFormatCode, i.Pieces, nil)
	age := strconv.FormatFloat(i.Age.Seconds(), 'f', -1, 64)
	return [][]byte{[]byte(i.UID), []byte(i.Host), []byte(i.Name), []byte(age), i.Envelope, pieces, []byte("true")}, err
}

// finish calls last, which makes a commit, and releases conn. If ctx ends meanwhile, finish returns the error of ctx,
// and the commit goes on for a while.
func finish(ctx context.Context, conn *pgxpool.Conn, last func(context.Context) (Added, error)) (Added, error) {
	type result struct {
		added Added
		err   error
	}
	done := make(chan result, 1)
	go func() {
		stop := time.AfterFunc(commitTime, func() { _ = conn.Conn().PgConn().Conn().Close() })
		a, err := last(context.WithoutCancel(ctx))
		stop.Stop()
		conn.Release()
		done <- result{a, err}
	}()
	select {
	case r := <-done:
		return r.added, r.err
	case <-ctx.Done():
		return Added{}, ctx.Err()
	}
}

// readTime is the time that a transaction may wait for the next piece of a content. If the host dies, a put of the same
// message by another process waits as long.
const readTime = 5 * time.Minute

// putLarge adds a message whose content is read piece by piece.
func (s *Store) putLarge(ctx context.Context, conn *pgxpool.Conn, item Item) (a Added, err error) {
	tx, err := conn.BeginTx(ctx, beginFor(readTime))
	put := false
	defer func() {
		if put {
			return
		}
		if tx != nil { // also when the reader of the content panics
			_ = tx.Rollback(context.WithoutCancel(ctx)) // the connection may be closed: that is a rollback, too
		}
		conn.Release()
	}()
	if err == nil {
		a, err = PutTx(ctx, tx, item, true)
	}
	if err != nil {
		return a, notPut{err}
	}
	put = true
	return finish(ctx, conn, func(ctx context.Context) (Added, error) { return a, tx.Commit(ctx) })
}

// Tx is a transaction of pgx, or of database/sql in the form of SQL.
type Tx interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// PutIn adds a message inside tx, a transaction of the caller. After an error tx has no part of the message, also if
// the end of the content could not be read, and the caller commits tx.
func PutIn(ctx context.Context, tx Tx, item Item) (a Added, err error) {
	if item.More == nil {
		return PutTx(ctx, tx, item, false)
	}
	if _, err := tx.Exec(ctx, `SAVEPOINT spoolgore_put`); err != nil {
		return a, err
	}
	put := false
	defer func() {
		if !put { // also when the reader of the content panics
			_, failure := tx.Exec(context.WithoutCancel(ctx), `ROLLBACK TO SAVEPOINT spoolgore_put`)
			err = errors.Join(err, failure)
		}
	}()
	if a, err = PutTx(ctx, tx, item, false); err != nil {
		return a, err
	}
	put = true
	_, err = tx.Exec(ctx, `RELEASE SAVEPOINT spoolgore_put`)
	return a, err
}

// PutTx adds a message inside tx. With durable, the commit of tx waits for the disk, with any settings. After an
// error tx must not be committed.
func PutTx(ctx context.Context, tx Tx, item Item, durable bool) (a Added, err error) {
	args := []any{item.UID, item.Host, item.Name, item.Age.Seconds(), string(item.Envelope), item.Pieces, durable}
	if err := tx.QueryRow(ctx, enqueue, args...).Scan(&a.ID, &a.New, &a.Now); err != nil || !a.New || item.More == nil {
		return a, err
	}
	size := int64(0)
	for _, p := range item.Pieces {
		size += int64(len(p))
	}
	buf := make([]byte, PieceSize)
	for n := len(item.Pieces); ; n++ {
		read, err := io.ReadFull(item.More, buf)
		if read > 0 {
			size += int64(read)
			const insert = `INSERT INTO spoolgore.body VALUES ($1, $2, $3)`
			if _, err := tx.Exec(ctx, insert, a.ID, n, buf[:read]); err != nil {
				return a, err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return a, err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE spoolgore.message SET size = $2 WHERE id = $1`, a.ID, size)
	return a, err
}
