package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
)

// Options are the settings of a Queue. The zero value of every field is a good default.
type Options struct {
	// DB is the database, as "postgres://user@host/name" or "host=... dbname=...". Empty: the variables PGHOST,
	// PGDATABASE, PGUSER and so on, as for psql.
	DB      string
	Name    string       // of this host, in lists; empty: the name of the host
	MaxSize int64        // limit for the octets of a message in Put; zero: 1 GiB
	Logger  *slog.Logger // nil: slog.Default()

	// Lease is the time after which the messages of a worker without a sign of life go to other workers. All workers
	// beat three times in that time. Zero: 15 seconds. Less than a second is an error.
	Lease time.Duration

	// Journal is a directory of this host in which Work keeps acceptances until they are in the database. After a kill
	// of the process, the next Work on the host records them, and sends no second copy. Empty: there is none.
	Journal string

	// Wait has Open wait for a database that cannot be reached, until ctx ends.
	Wait bool
}

// Queue is a connection to the queue of a fleet. Any goroutine may call its methods.
type Queue struct {
	store *store.Store
	opts  Options
	wake  *notifier
}

// Open connects to the database, makes the schema if there is none, and upgrades an older one. Open refuses a server
// with fsync=off, which may lose mail in a power cut, a server that is too old, and a schema of a newer version.
func Open(ctx context.Context, opts Options) (*Queue, error) {
	if opts.Lease < 0 || opts.MaxSize < 0 {
		return nil, fmt.Errorf("fleet: a negative option")
	}
	if opts.Lease == 0 {
		opts.Lease = 15 * time.Second
	}
	if opts.Lease < minLease {
		return nil, fmt.Errorf("fleet: Lease is %v; it must be at least %v", opts.Lease, minLease)
	}
	if opts.MaxSize == 0 {
		opts.MaxSize = 1 << 30
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Name == "" {
		var err error
		if opts.Name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("fleet: name of the host: %w", err)
		}
	}
	s, err := connect(ctx, &opts)
	if err != nil {
		return nil, fmt.Errorf("fleet: open: %w", err)
	}
	return &Queue{store: s, opts: opts, wake: newNotifier(s.Notify)}, nil
}

// minLease is the shortest lease. A beat has a third of a lease to reach the database and to come back.
const minLease = time.Second

// connect opens the store, and waits for the database if the options say so.
func connect(ctx context.Context, opts *Options) (*store.Store, error) {
	for told := false; ; {
		s, err := store.Open(ctx, opts.DB)
		if err == nil || !opts.Wait || ctx.Err() != nil || !store.IsAway(err) {
			return s, err
		}
		if !told {
			opts.Logger.Warn("database cannot be reached; retrying", "err", err)
			told = true
		}
		select {
		case <-time.After(connectPause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// connectPause is the time between two tries to reach the database.
const connectPause = time.Second

// Close closes the connections. No other method may be running. A later Put returns an error.
func (q *Queue) Close() {
	q.wake.close()
	q.store.Close()
}
