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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet"
	"github.com/unbit/spoolgore/fleet/internal/demo"
	"github.com/unbit/spoolgore/fleet/internal/store"
)

const usageHead = `usage: spoolgore-fleet [flags] [command]

Without a command, -forward, -work and -http run until SIGTERM. Commands:
`

const usageTail = `  hosts      workers: name, alive or dead, time since the last beat, messages, relays
  check      say what is well and what is not; exit code 1 if there is a problem
  pause      stop all workers within a third of a lease; resume lets them go on
  drain DIR  hand on all messages of a spool, then end (a preStop hook)
  schema [N] print the statements that make the schema; with N, that upgrade version N
  demo       show a fleet at work, and kill a worker, a host and the database
  help NAME  the flags of a command

Flags:
`

// printUsage prints the help of the program.
func printUsage(w io.Writer, set *flag.FlagSet) {
	fmt.Fprint(w, usageHead)
	for _, c := range fleet.Commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c[0], c[1])
	}
	fmt.Fprint(w, usageTail)
	set.SetOutput(w)
	set.PrintDefaults()
}

// flags are the settings of the command line.
type flags struct {
	opts    fleet.Options
	forward []string
	work    bool
	worker  spoolgore.Options
	rate    string
	secret  string

	http, tokenFile string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	var code exitCode
	switch {
	case err == nil:
		return
	case errors.As(err, &code):
		stop()
		os.Exit(int(code)) // the command has said why
	}
	fmt.Fprintln(os.Stderr, "spoolgore-fleet:", err)
	stop()
	if errors.Is(err, errUsage) {
		os.Exit(64)
	}
	os.Exit(1)
}

// exitCode is the exit code of a command that has printed its errors.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// errUsage is in the error of a wrong command line.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) error {
	var f flags
	set := flag.NewFlagSet("spoolgore-fleet", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	f.add(set)
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp), err == nil && set.Arg(0) == "help" && set.NArg() == 1:
		printUsage(out, set)
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w; -h shows the flags", errUsage, err)
	}
	switch set.Arg(0) {
	case "schema":
		return printSchema(set.Args()[1:], out)
	case "demo":
		return demo.Run(ctx, f.opts.DB, out)
	case "help":
		if !fleet.Help(set.Args()[1:], out) {
			return fmt.Errorf("%w: there is no help for %q; -h shows the commands", errUsage, set.Arg(1))
		}
		return nil
	case "drain", "pause", "resume", "hosts", "check":
	case "":
		if !f.work && len(f.forward) == 0 && f.http == "" {
			return fmt.Errorf("%w: a command, -forward DIR, -work or -http is needed; -h shows them", errUsage)
		}
	default:
		if !slices.ContainsFunc(fleet.Commands(), func(c [2]string) bool { return c[0] == set.Arg(0) }) {
			return fmt.Errorf("%w: there is no command %q; -h shows the commands", errUsage, set.Arg(0))
		}
	}
	f.opts.Wait = set.NArg() == 0
	q, err := fleet.Open(ctx, f.opts)
	if err != nil {
		if f.opts.Wait && ctx.Err() != nil {
			return nil // the end of a start that waits
		}
		return fmt.Errorf("%w; name the database by -db URL, or by PGHOST, PGDATABASE and others", err)
	}
	defer q.Close()
	return act(ctx, q, &f, set.Args(), in, out, errs)
}

// act runs a command; without a command, hosts, a worker and the page.
func act(
	ctx context.Context, q *fleet.Queue, f *flags, args []string, in io.Reader, out, errs io.Writer,
) error {
	if len(args) == 0 {
		return serve(ctx, q, f)
	}
	if code, ok := q.Command(ctx, args, in, out, errs); ok {
		if code != 0 {
			return exitCode(code)
		}
		return nil
	}
	return command(ctx, q, args, out)
}

// add adds the flags.
func (f *flags) add(set *flag.FlagSet) {
	set.StringVar(&f.opts.DB, "db", "", "`URL` of the database; empty: the variables PGHOST, PGDATABASE ...")
	set.StringVar(&f.opts.Name, "name", "", "`name` of this host; empty: the name of the system")
	set.Func("forward", "hand on the messages of the spool `DIR`; may be given several times", func(dir string) error {
		f.forward = append(f.forward, dir)
		return nil
	})
	set.BoolVar(&f.work, "work", false, "send messages through the relay")
	set.StringVar(&f.worker.SMTPAddr, "smtpaddr", "", "`relay`, as for spoolgore")
	set.StringVar(&f.worker.SMTP.User, "smtpuser", "", "`user` of the relay")
	set.StringVar(&f.secret, "smtppasswordfile", "", "`file` with the password of the relay")
	set.StringVar(&f.rate, "rate", "", "`limits` of all workers together, such as 14/s,50000/d")
	set.IntVar(&f.worker.Concurrency, "concurrency", 0, "`number` of connections of this worker; zero: the default")
	set.StringVar(&f.opts.Journal, "journal", "",
		"`directory` for acceptances that are not in the database yet: a killed worker then makes fewer copies")
	set.StringVar(&f.http, "http", "", "serve the page, metrics and health at `ADDRESS`: HOST:PORT, PORT or unix:PATH")
	set.StringVar(&f.tokenFile, "httptokenfile", "", "`file` with the token that each request for the page needs")
}

// printSchema prints the statements that make or upgrade the schema.
func printSchema(args []string, out io.Writer) error {
	from := 0
	if len(args) > 1 {
		return fmt.Errorf("%w: schema takes one version", errUsage)
	}
	if len(args) == 1 {
		var err error
		if from, err = strconv.Atoi(args[0]); err != nil {
			return fmt.Errorf("%w: %q is no version", errUsage, args[0])
		}
	}
	text, err := store.Script(from)
	if err == nil {
		_, err = fmt.Fprint(out, text)
	}
	return err
}

// serve runs hosts and a worker until ctx ends, or one of them fails.
func serve(ctx context.Context, q *fleet.Queue, f *flags) error {
	var err error
	if f.worker.Rate, err = spoolgore.ParseRate(f.rate); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.worker.SMTP.Password, err = firstLine(f.secret); err != nil {
		return err
	}
	token, err := firstLine(f.tokenFile)
	if err != nil {
		return err
	}
	var page *fleet.Page
	if f.http != "" {
		if page, err = fleet.NewPage(q, fleet.PageOptions{Token: token}); err != nil {
			return err
		}
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
	if page != nil {
		start(func(ctx context.Context) error { return page.Serve(ctx, f.http) })
	}
	<-ctx.Done()
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// firstLine returns the first line of a file; empty: there is no file.
func firstLine(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), err
}

// command runs a command that a spool does not have.
func command(ctx context.Context, q *fleet.Queue, args []string, out io.Writer) error {
	name, rest := args[0], args[1:]
	switch {
	case name == "drain" && len(rest) != 1:
		return fmt.Errorf("%w: drain needs a directory", errUsage)
	case name == "drain":
		return spoolgore.New(rest[0], spoolgore.Options{Transport: q.HandOn(), WaitLock: true}).Drain(ctx)
	case len(rest) > 0:
		return fmt.Errorf("%w: %s takes no argument", errUsage, name)
	case name == "pause":
		return q.Pause(ctx)
	case name == "resume":
		return q.Resume(ctx)
	case name == "hosts":
		return q.Hosts(ctx, out)
	case name == "check":
		problems, err := q.Check(ctx, out)
		if err == nil && problems > 0 {
			err = exitCode(1)
		}
		return err
	}
	return fmt.Errorf("%w: no command %q", errUsage, name)
}
