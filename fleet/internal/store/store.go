// Package store keeps the queue of a fleet in PostgreSQL: the schema, and the statements of hosts, workers and
// commands. Every statement is one transaction, and works through PgBouncer in transaction mode: no statement needs a
// session. The rules of the queue are elsewhere; the package moves rows.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Oldest is the oldest version of the server, as in server_version_num.
const Oldest = 130000

// Errors of Open.
var (
	ErrUnsafe = errors.New("the database does not keep what it has confirmed")
	ErrOld    = errors.New("the version of PostgreSQL is too old")
	ErrSchema = errors.New("the schema of the database is another one")
)

// Store is a connection pool.
type Store struct {
	pool  *pgxpool.Pool
	large chan struct{} // bounds the connections of contents that are being read
}

// Open connects to a database, and makes the schema if there is none. dsn is a URL or a list of keys and values; empty:
// the variables PGHOST, PGDATABASE and so on. Open returns ErrUnsafe if the server runs with fsync=off or
// full_page_writes=off, and ErrSchema if the schema is newer than Version.
func Open(ctx context.Context, dsn string) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.OnNotice = closeUnsynced
	config.ConnConfig.DialFunc = dialer().DialContext
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		config.MaxConns = 8
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Store{pool: pool, large: make(chan struct{}, max(1, config.MaxConns/2))}
	if err := s.prepare(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// closeUnsynced closes the connection of a commit that did not wait for the synchronous standby: the statement then
// fails, and is repeated. The server sends such a commit as a success with a warning.
func closeUnsynced(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.Code == "01000" && strings.Contains(n.Message, "synchronous replication") {
		_ = c.Conn().Close()
	}
}

// Close closes all connections.
func (s *Store) Close() { s.pool.Close() }

// prepare checks the server, and makes the schema.
func (s *Store) prepare(ctx context.Context) error {
	var version int
	var fsync, pages string
	err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('fsync'),
		current_setting('full_page_writes')`).Scan(&version, &fsync, &pages)
	switch {
	case err != nil:
		return err
	case version < Oldest:
		return fmt.Errorf("%w: %d; it must be %d or later", ErrOld, version/10000, Oldest/10000)
	case fsync != "on" || pages != "on":
		return fmt.Errorf("%w: fsync is %s, full_page_writes is %s; both must be on", ErrUnsafe, fsync, pages)
	}
	return s.upgrade(ctx)
}

// inTx calls do in a transaction. If the host of this process dies within, the server ends the transaction soon. Locks
// of the transaction would stop other hosts until the server misses the connection, which may take hours.
func inTx(ctx context.Context, pool *pgxpool.Pool, do func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, pool, beginFor(lockTime), do)
}

// lockTime is the time that a transaction may wait for the next statement.
const lockTime = 5 * time.Second

// beginFor returns the options of a transaction that the server ends if no statement comes for a time.
func beginFor(idle time.Duration) pgx.TxOptions {
	const begin = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = %d`
	return pgx.TxOptions{BeginQuery: fmt.Sprintf(begin, idle.Milliseconds())}
}

// IsServer reports whether err is a reply of the server to the statement, so that the statement had no effect. Any
// other error leaves that open.
func IsServer(err error) bool {
	e := new(pgconn.PgError)
	return errors.As(err, &e) && !strings.HasPrefix(e.Code, "57P0") && !strings.HasPrefix(e.Code, "08")
}

// IsAway reports whether err of Open means that the server could not be reached, or is starting or ending.
func IsAway(err error) bool {
	bad := new(pgconn.ParseConfigError)
	return !IsServer(err) && !errors.As(err, &bad) && !errors.Is(err, ErrUnsafe) && !errors.Is(err, ErrSchema) &&
		!errors.Is(err, ErrOld)
}

// IsRefusal reports whether the server refuses the values of the statement, now and always.
func IsRefusal(err error) bool {
	e := new(pgconn.PgError)
	return errors.As(err, &e) &&
		(strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23") || strings.HasPrefix(e.Code, "54"))
}

// IsBusy reports whether the same statement may succeed later: a lock, a serialization failure, no resources, or a
// standby that is to become the primary.
func IsBusy(err error) bool {
	const lock, readOnly = "55P03", "25006"
	e := new(pgconn.PgError)
	return errors.As(err, &e) && (strings.HasPrefix(e.Code, "40") || strings.HasPrefix(e.Code, "53") ||
		e.Code == lock || e.Code == readOnly)
}

// notPut is an error of Put for a message that is certainly not in the queue.
type notPut struct{ error }

// Unwrap returns the reason.
func (e notPut) Unwrap() error { return e.error }

// IsNotPut reports whether err of Put means that the call has put no message. Any other error leaves that open.
func IsNotPut(err error) bool { return IsServer(err) || errors.As(err, new(notPut)) }

// Listen waits for a notification that there is something to do, until ctx ends or the connection fails. A pooler in
// transaction mode passes no notification on. The connection is none of the pool, which may have one only.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Close(context.Background())
	}()
	if _, err := conn.Exec(ctx, `LISTEN spoolgore`); err != nil {
		return err
	}
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		wake()
	}
}

// Notify wakes the workers.
func (s *Store) Notify(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `NOTIFY spoolgore`)
	return err
}
