package fleet

import (
	"context"
	"errors"
	"fmt"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/operate"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/fleet/internal/worker"
)

// Work sends messages of the queue until ctx ends. Then it begins no transaction, waits up to opts.Grace for running
// ones, records their outcomes and returns nil. Any number of workers may run, in any number of processes. An error
// means that the worker could not start. While the database cannot be reached, a worker sends no further message, and
// keeps the outcomes that it has not recorded; at the end, for two leases.
//
// The options about relays, attempts, reports, Rate, Concurrency, Grace, LocalName, Postmaster, Logger and OnEvent
// count. The limits of Rate are those of the whole fleet: every worker has to have the same. The options about files
// do not count. Rewrite, and senders of Routes that rewrite, are errors: set them on the hosts.
func (q *Queue) Work(ctx context.Context, opts spoolgore.Options) error {
	if opts.Logger == nil {
		opts.Logger = q.opts.Logger
	}
	o, err := opts.Internal()
	if err == nil {
		tellReplication(ctx, q)
		err = worker.Run(ctx, &store.Leases{Store: q.store}, worker.Options{
			Options: o, Name: q.opts.Name, Lease: q.opts.Lease, Account: account(opts), Journal: q.opts.Journal,
		})
	}
	switch {
	case err == nil, ctx.Err() != nil && errors.Is(err, ctx.Err()): // also during the start
		return nil
	}
	return fmt.Errorf("fleet: work: %w", err)
}

// tellReplication logs what protects the mail against the loss of the database.
func tellReplication(ctx context.Context, q *Queue) {
	server, err := q.store.Server(ctx)
	if err != nil {
		return // the worker says so
	}
	if text, safe := operate.Replication(&server); safe {
		q.opts.Logger.Info("database replicates synchronously", "replication", text)
	} else {
		q.opts.Logger.Warn("database does not replicate synchronously", "replication", text)
	}
}

// account returns the name of the account at the relays of opts; empty: there is no login.
func account(opts spoolgore.Options) string {
	if opts.SMTP.User == "" && opts.SMTP.Secret == nil {
		return ""
	}
	return opts.SMTP.User + " at " + opts.SMTPAddr
}
