// Command spoolgore sends the mail messages found as files in a directory through a mail relay.
//
//	spoolgore [flags] DIR
//	spoolgore COMMAND [flags] DIR ...
//
// "spoolgore -help" says the rest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/pulse"
)

// Exit codes, where there is one those of sysexits.h: a supervisor can tell what to start again and what to leave.
const (
	exitOK       = 0
	exitUsage    = 64
	exitSoftware = 70 // also: a step of the demo did not go as told
	exitTempFail = 75
	exitConfig   = 78
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run does what the arguments say and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if command, ok := commands[args[0]]; ok {
			return command(args[1:], stdin, stdout, stderr)
		}
		if code, ok := runAbout(args[0], args[1:], stdout, stderr); ok {
			return code
		}
	}
	c, err := parse(args, os.Getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help)
		return exitOK
	case err != nil:
		return usageError(stderr, err)
	case c.version:
		fmt.Fprintln(stdout, "spoolgore", version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
		return exitOK
	}
	return serve(c, stderr)
}

func usageError(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "spoolgore: %v (see spoolgore -help)\n", err)
	return exitUsage
}

// memoryLimit is what a queue of a million messages needs, in bytes: from there on garbage is collected earlier rather than
// memory taken. A longer queue takes what it needs, and more processor time.
const memoryLimit = 640 << 20

// serve runs the spool until a signal ends it or, with -once, until nothing is due.
func serve(c config, stderr io.Writer) int {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(40) // a daemon that mostly waits shall be small; it costs a few per cent of its time under load
	}
	log := newLogger(c, stderr)
	orders := prepareSignals(log)
	err := c.complete(log)
	if err == nil {
		err = runSpool(c, orders, log)
	}
	if err != nil {
		log.Error("cannot go on", "dir", c.dir, "err", err)
	}
	return exitCode(err)
}

func runSpool(c config, orders []os.Signal, log *slog.Logger) error {
	c.opts.Logger = log
	var told listeners
	if c.onFail != "" {
		hook := newOnFail(c.onFail, onFailLimit, log)
		ctx, cut := context.WithCancelCause(context.Background())
		defer hook.close(cut)
		go hook.run(ctx)
		told = append(told, hook.tell)
	}
	var spool *spoolgore.Spool
	vital := pulse.New(pulse.Options{
		Dir: c.dir, Health: func() spoolgore.Health { return spool.Health() }, Version: version(), Rate: c.opts.Rate, Keep: c.keep(), Log: log,
	})
	told = append(told, vital.Observe)
	if c.http != "" {
		observe, end, err := c.serveHTTP(vital, func() { spool.Flush() }, log)
		if err != nil {
			return err
		}
		defer end()
		told = append(told, observe)
	}
	c.opts.OnEvent = told.tell
	spool = spoolgore.New(c.dir, c.opts)
	defer takePulse(vital, orders)()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	handleSignals(spool, stop, orders, log)
	if c.once {
		return spool.Drain(ctx)
	}
	return spool.Run(ctx)
}

// listeners are told of every event, one after the other.
type listeners []func(spoolgore.Event)

func (l listeners) tell(ev spoolgore.Event) {
	for _, tell := range l {
		tell(ev)
	}
}

func newLogger(c config, stderr io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{}
	if c.verbose {
		opts.Level = slog.LevelDebug
	}
	if c.logJSON {
		return slog.New(slog.NewJSONHandler(stderr, opts))
	}
	return slog.New(slog.NewTextHandler(stderr, opts))
}

// exitCode is what an error of Run or Drain means to who started the command. Both fail before they begin, over what
// they were given, but for two cases: another daemon or the relay is in the way, or the system lacks something.
func exitCode(err error) int {
	var relay *spoolgore.DeliveryError
	var errno syscall.Errno
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, spoolgore.ErrRunning), errors.As(err, &relay):
		return exitTempFail
	case errors.As(err, &errno) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) &&
		errno != syscall.ENOTDIR && errno != syscall.EISDIR:
		return exitSoftware // a full disk, no more descriptors: another start may go better
	}
	return exitConfig
}

// runDemo is the command "spoolgore demo".
func runDemo(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	keep := fs.Bool("keep", false, "")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help)
		return exitOK
	case err != nil:
		return usageError(stderr, fmt.Errorf("demo: %w", err))
	case fs.NArg() > 0:
		return usageError(stderr, errors.New("demo takes no directory; one that is called demo is ./demo"))
	}
	if err := showDemo(stdout, *keep); err != nil {
		fmt.Fprintf(stderr, "spoolgore: demo: %v\n", err)
		return exitSoftware
	}
	return exitOK
}

// version is what the build recorded: a release, or a commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
