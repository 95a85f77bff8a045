package fleet

import (
	"context"
	"fmt"
	"io"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/operate"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/cli"
	"github.com/unbit/spoolgore/internal/message"
)

// Schema returns the SQL statements that bring the schema from a version to that of this package, for a database in
// which Open may not. Version 0 is no schema.
func Schema(from int) (string, error) { return store.Schema(from) }

func actsOf(ctx context.Context, q *Queue) operate.Acts {
	return operate.Acts{Store: q.store, Ctx: ctx, Wake: q.wake.notify}
}

// Hold sets a message aside, by the name that Put returned: the message is not sent, and does not grow older. A message
// that is being sent is held if it is not delivered. The error is fs.ErrNotExist if there is no such message.
func (q *Queue) Hold(ctx context.Context, name string) error {
	acts := actsOf(ctx, q)
	return acted("hold", name, acts.Hold(name))
}

// Release makes a held message ready.
func (q *Queue) Release(ctx context.Context, name string) error {
	acts := actsOf(ctx, q)
	return acted("release", name, acts.Release(name))
}

// Delete deletes a message for good. No report is sent. A transaction in progress goes on.
func (q *Queue) Delete(ctx context.Context, name string) error {
	acts := actsOf(ctx, q)
	return acted("delete", name, acts.Delete(name))
}

// Retry has a deferred message tried now, or sends a failed one again to the recipients that have not accepted.
func (q *Queue) Retry(ctx context.Context, name string) error {
	acts := actsOf(ctx, q)
	return acted("retry", name, acts.Retry(name))
}

// Redirect gives a message the recipient to in place of all recipients that have not accepted. A message that is being
// sent is left alone, with an error.
func (q *Queue) Redirect(ctx context.Context, name, to string) error {
	acts := actsOf(ctx, q)
	to, err := message.Canonical(to)
	if err != nil {
		return acted("redirect", name, fmt.Errorf("%w: %w", spoolgore.ErrEnvelope, err))
	}
	return acted("redirect", name, acts.Readdress(name, func(string) ([]string, error) { return []string{to}, nil }))
}

// Flush has all deferred messages tried now, and accounts and relays that rest. It returns the number of messages.
func (q *Queue) Flush(ctx context.Context) (int64, error) {
	acts := actsOf(ctx, q)
	n, err := acts.Flush()
	if err != nil {
		err = fmt.Errorf("fleet: flush: %w", err)
	}
	return n, err
}

// acted returns the error of an act on a message.
func acted(act, name string, err error) error {
	if err != nil {
		return fmt.Errorf("fleet: %s %s: %w", act, name, err)
	}
	return nil
}

// Pause has all workers begin no transaction until Resume. A worker knows within a third of a lease.
func (q *Queue) Pause(ctx context.Context) error { return store.Admin{Store: q.store}.Pause(ctx, true) }

// Resume ends a pause.
func (q *Queue) Resume(ctx context.Context) error {
	return store.Admin{Store: q.store}.Pause(ctx, false)
}

// Hosts writes a line for each worker: name, alive or dead, time since the last beat, messages that the worker has, and
// its relays with their trouble.
func (q *Queue) Hosts(ctx context.Context, w io.Writer) error {
	if err := operate.Hosts(ctx, q.store, w); err != nil {
		return fmt.Errorf("fleet: hosts: %w", err)
	}
	return nil
}

// Check writes a line for each finding about the database, the workers and the relays: "ok", "warning" or "problem",
// and a text. It returns the number of problems.
func (q *Queue) Check(ctx context.Context, w io.Writer) (problems int, err error) {
	if problems, err = operate.Check(ctx, q.store, w); err != nil {
		err = fmt.Errorf("fleet: check: %w", err)
	}
	return problems, err
}

// Command runs a command of spoolgore-fleet on the queue: list, show, hold, release, delete, retry, redirect, flush,
// trace or stats, with the flags and the output of the same command of spoolgore. It returns the exit code. ok is false
// if args begin with no such command.
func (q *Queue) Command(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) (code int, ok bool) {
	p := cli.Program{
		Stdin: in, Stdout: out, Stderr: errs, Name: "spoolgore-fleet", Queue: &operate.Queue{Acts: actsOf(ctx, q)},
	}
	return p.RunOnQueue(args)
}

// Commands returns the names of the commands of Command, each with a line about it.
func Commands() [][2]string { return cli.QueueCommands() }

// Help prints the help of a command of Command. It returns false if args are no such command.
func Help(args []string, out io.Writer) bool {
	p := cli.Program{Stdout: out, Stderr: out, Name: "spoolgore-fleet"}
	if len(args) != 1 {
		return false
	}
	_, ok := p.RunOnQueue([]string{args[0], "-h"})
	return ok
}
