// Command spoolgore-fleet runs hosts and workers of a fleet, and shows and steers its queue.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet"
)

const usage = `usage: spoolgore-fleet [flags] [command]

Without a command, -forward and -work run until SIGTERM. Commands:
  list             messages: name, state, host, age, sender, recipients that wait, reason
  hosts            workers: name, time since the last beat, messages, relays
  hold NAME...     set messages aside; release NAME... takes them back
  delete NAME...   delete messages for good
  retry NAME...    try deferred or failed messages now
  pause, resume    stop all workers, and let them go on
  drain DIR        hand on all messages of a spool, then end (a preStop hook)
  schema           print the statements that make the schema

Flags:
`

// flags are the settings of the command line.
type flags struct {
	opts    fleet.Options
	forward []string
	work    bool
	worker  spoolgore.Options
	rate    string
	secret  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "spoolgore-fleet:", err)
		if errors.Is(err, errUsage) {
			os.Exit(64)
		}
		os.Exit(1)
	}
}

// errUsage is in the error of a wrong command line.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, out io.Writer) error {
	var f flags
	set := flag.NewFlagSet("spoolgore-fleet", flag.ContinueOnError)
	set.Usage = func() {
		fmt.Fprint(set.Output(), usage)
		set.PrintDefaults()
	}
	set.StringVar(&f.opts.DB, "db", "", "`URL` of the database; empty: the variables PGHOST, PGDATABASE ...")
	set.StringVar(&f.opts.Name, "name", "", "`name` of this host; empty: the name of the system")
	set.Func("forward", "hand on the messages of the spool `DIR`; may be given several times", func(dir string) error {
		f.forward = append(f.forward, dir)
		return nil
	})
	set.BoolVar(&f.work, "work", false, "send messages through the relay")
	set.StringVar(&f.worker.SMTPAddr, "smtpaddr", "", "`relay`, as for spoolgore")
	set.StringVar(&f.worker.SMTP.User, "smtpuser", "", "`user` of the relay")
	set.StringVar(&f.secret, "smtppassfile", "", "`file` with the password of the relay")
	set.StringVar(&f.rate, "rate", "", "`limits` of all workers together, such as 14/s,50000/d")
	set.IntVar(&f.worker.Concurrency, "concurrency", 0, "`number` of connections of this worker; zero: the default")
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if set.Arg(0) == "schema" {
		_, err := fmt.Fprint(out, fleet.Schema())
		return err
	}
	if set.NArg() == 0 && !f.work && len(f.forward) == 0 {
		return fmt.Errorf("%w: a command, -forward DIR or -work is needed; -h shows them", errUsage)
	}
	q, err := fleet.Open(ctx, f.opts)
	if err != nil {
		return err
	}
	defer q.Close()
	if set.NArg() == 0 {
		return serve(ctx, q, &f)
	}
	return command(ctx, q, set.Args(), out)
}

// serve runs hosts and a worker until ctx ends, or one of them fails.
func serve(ctx context.Context, q *fleet.Queue, f *flags) error {
	var err error
	if f.worker.Rate, err = spoolgore.ParseRate(f.rate); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.secret != "" {
		text, err := os.ReadFile(f.secret)
		if err != nil {
			return err
		}
		f.worker.SMTP.Password = strings.TrimRight(string(text), "\r\n")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	start := func(run func(context.Context) error) {
		running.Go(func() {
			if err := run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	for _, dir := range f.forward {
		start(spoolgore.New(dir, spoolgore.Options{Transport: q.HandOn(), Logger: slog.Default()}).Run)
	}
	if f.work {
		start(func(ctx context.Context) error { return q.Work(ctx, f.worker) })
	}
	<-ctx.Done()
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// command runs a command.
func command(ctx context.Context, q *fleet.Queue, args []string, out io.Writer) error {
	acts := map[string]func(context.Context, string) error{
		"hold": q.Hold, "release": q.Release, "delete": q.Delete, "retry": q.Retry,
	}
	name, rest := args[0], args[1:]
	act := acts[name]
	switch {
	case act != nil && len(rest) > 0:
		var errs []error
		for _, message := range rest {
			errs = append(errs, act(ctx, message))
		}
		return errors.Join(errs...)
	case act != nil, name == "drain" && len(rest) != 1:
		return fmt.Errorf("%w: %s needs a directory or names", errUsage, name)
	case name == "drain":
		return spoolgore.New(rest[0], spoolgore.Options{Transport: q.HandOn(), WaitLock: true}).Drain(ctx)
	case len(rest) > 0:
		return fmt.Errorf("%w: %s takes no argument", errUsage, name)
	case name == "pause":
		return q.Pause(ctx)
	case name == "resume":
		return q.Resume(ctx)
	case name == "list":
		return q.List(ctx, out)
	case name == "hosts":
		return q.Hosts(ctx, out)
	}
	return fmt.Errorf("%w: no command %q", errUsage, name)
}
