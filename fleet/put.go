package fleet

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/guard"
	"github.com/unbit/spoolgore/internal/message"
)

// ErrUnknown is in the error of a Put whose outcome is not known: the message may be in the queue or not. With the same
// Envelope.ID the call may be repeated, without a second message.
var ErrUnknown = errors.New("the message may be in the queue or not")

// Put adds the message read from r, and returns the name of the message. When Put returns without an error, the message
// is on the disk of the database, and of its synchronous standby if there is one. A connection that is lost is no
// error: Put asks again, without adding a second message, for about 10 seconds or until ctx ends. The header is sent
// unchanged, but without Bcc and Return-Path.
//
// A message of more than 1 MiB is put once, and occupies a connection while r is read: such messages have at most half
// of the connections at a time. An error of r, or the end of ctx before the end of r, leaves no message.
//
// If there was a message with the same Envelope.ID within 14 days, Put returns its name and spoolgore.ErrDuplicate.
func (q *Queue) Put(ctx context.Context, env spoolgore.Envelope, r io.Reader) (name string, err error) {
	item, err := itemOf(ctx, q, env, r)
	if err == nil {
		var a store.Added
		if a, err = q.put(ctx, item); err == nil {
			return q.added(a, env.ID)
		}
	}
	return "", fmt.Errorf("fleet: put: %w", err)
}

// added returns the result of a put that was made.
func (q *Queue) added(a store.Added, id string) (string, error) {
	name := strconv.FormatInt(a.ID, 10)
	if !a.New && id != "" {
		return name, fmt.Errorf("fleet: put: %w", spoolgore.ErrDuplicate)
	}
	q.wake.notify()
	return name, nil
}

// putTime is the time for which Put asks again after a lost connection.
const putTime = 10 * time.Second

// put adds item, and asks again after a lost connection. A message whose content is not in memory is tried once.
func (q *Queue) put(ctx context.Context, item store.Item) (store.Added, error) {
	began, pause := time.Now(), 20*time.Millisecond
	unsure := false // an earlier try may have put the message
	var cause error // why the server has refused an earlier try
	for {
		a, err := q.store.Put(ctx, item)
		if err == nil {
			a.New = a.New || unsure
			return a, nil
		}
		unsure = unsure || !store.IsNotPut(err)
		final := store.IsServer(err) && !store.IsBusy(err) || q.wake.closed()
		if final || ctx.Err() != nil || item.More != nil || time.Since(began) > putTime {
			if err = errors.Join(err, cause); unsure {
				err = fmt.Errorf("%w: %w", ErrUnknown, err)
			}
			return a, err
		}
		if store.IsServer(err) {
			cause = err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-q.wake.ctx.Done():
		}
		pause = min(2*pause, time.Second)
	}
}

// Send is Put for a message in memory. With Send a *Queue is an enmime Sender, as a *spoolgore.Spool is.
func (q *Queue) Send(reversePath string, recipients []string, msg []byte) error {
	env := spoolgore.Envelope{From: reversePath, To: recipients}
	_, err := q.Put(context.Background(), env, bytes.NewReader(msg))
	return err
}

// PutTx is Put inside a transaction of the caller: the message is sent if and only if tx commits. The durability is
// that of tx. Workers see the message within a second after the commit. After an error tx has no part of the message.
func (q *Queue) PutTx(ctx context.Context, tx pgx.Tx, env spoolgore.Envelope, r io.Reader) (name string, err error) {
	return putIn(ctx, q, tx, env, r)
}

// PutSQL is PutTx for a transaction of database/sql, with the driver of pgx or another one.
func (q *Queue) PutSQL(ctx context.Context, tx *sql.Tx, env spoolgore.Envelope, r io.Reader) (name string, err error) {
	return putIn(ctx, q, sqlTx{tx}, env, r)
}

func putIn(ctx context.Context, q *Queue, tx store.Tx, env spoolgore.Envelope, r io.Reader) (string, error) {
	item, err := itemOf(ctx, q, env, r)
	if err != nil {
		return "", fmt.Errorf("fleet: put: %w", err)
	}
	a, err := store.PutIn(ctx, tx, item)
	if err != nil {
		return "", fmt.Errorf("fleet: put: %w", err)
	}
	name := strconv.FormatInt(a.ID, 10)
	if !a.New {
		return name, fmt.Errorf("fleet: put: %w", spoolgore.ErrDuplicate)
	}
	return name, nil
}

// inMemory is the size in octets up to which Put reads a message before it begins.
const inMemory = 1 << 20

// itemOf checks env and reads the first part of the message.
func itemOf(ctx context.Context, q *Queue, env spoolgore.Envelope, r io.Reader) (store.Item, error) {
	text, err := envelopeJSON(message.Envelope(env))
	if err != nil {
		return store.Item{}, err
	}
	item := store.Item{UID: "put:" + rand.Text(), Host: q.opts.Name, Envelope: text}
	if env.ID != "" {
		item.UID = "id:" + env.ID
	}
	limited := &limitedReader{r: guard.Reader(ctx, r), left: q.opts.MaxSize}
	for size := 0; size < inMemory; {
		piece := make([]byte, store.PieceSize)
		n, err := io.ReadFull(limited, piece)
		if size += n; n > 0 {
			item.Pieces = append(item.Pieces, piece[:n:n])
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			if size == 0 {
				return item, errors.New("the message is empty")
			}
			return item, nil
		}
		if err != nil {
			return item, err
		}
	}
	item.More = limited
	return item, nil
}

// envelopeJSON checks env as spoolgore's Put does, and returns the JSON. The server takes fewer priorities and time
// zones than the envelope of a file.
func envelopeJSON(env message.Envelope) ([]byte, error) {
	env.Priority = max(min(env.Priority, math.MaxInt32), math.MinInt32) // as in a queue of files
	env.NotBefore, env.Expire = utc(env.NotBefore), utc(env.Expire)
	line, err := env.AppendLine(nil)
	bad := new(message.AddressError)
	switch {
	case errors.As(err, &bad):
		return nil, (*spoolgore.AddressError)(bad)
	case errors.Is(err, message.ErrNoRecipient):
		return nil, fmt.Errorf("%w: %w", spoolgore.ErrEnvelope, spoolgore.ErrNoRecipients)
	case errors.Is(err, message.ErrHeaderTooLong):
		return nil, fmt.Errorf("%w: %w: %w", spoolgore.ErrEnvelope, spoolgore.ErrTooLarge, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", spoolgore.ErrEnvelope, err)
	}
	_, text, _ := bytes.Cut(line, []byte(" ")) // canonical addresses
	return bytes.TrimSpace(text), json.Unmarshal(text, new(message.Envelope))
}

// utc returns t without a zone, within the years that JSON has.
func utc(t time.Time) time.Time {
	if t = t.UTC(); t.Year() > 9999 {
		t = t.AddDate(0, 0, -1) // another zone has the year 9999
	}
	return t
}

// limitedReader returns ErrTooLarge behind the limit.
type limitedReader struct {
	r    io.Reader
	left int64
}

// Read reads up to the limit.
func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return n, spoolgore.ErrTooLarge
	}
	return n, err
}

// sqlTx is a transaction of database/sql in the form of store.Tx.
type sqlTx struct{ tx *sql.Tx }

// QueryRow implements store.Tx.
func (s sqlTx) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	return s.tx.QueryRowContext(ctx, query, plain(args)...)
}

// Exec implements store.Tx.
func (s sqlTx) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	_, err := s.tx.ExecContext(ctx, query, plain(args)...)
	return pgconn.CommandTag{}, err
}

// plain returns args in types that every driver knows: the pieces of a message become text.
func plain(args []any) []any {
	types := pgtype.NewMap()
	all := make([]any, len(args))
	for i, a := range args {
		if pieces, ok := a.([][]byte); ok {
			text, _ := types.Encode(pgtype.ByteaArrayOID, pgtype.TextFormatCode, pieces, nil) // in memory
			a = string(text)
		}
		all[i] = a
	}
	return all
}
