// Command spoolgore sends the mail messages found as files in a directory through a mail relay.
//
//	spoolgore [flags] DIR
//	spoolgore COMMAND [flags] DIR ...
//
// "spoolgore -help" says the rest.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/progress"
)

// Exit codes, where there is one those of sysexits.h: a supervisor can tell what to start again and what to leave.
const (
	exitOK          = 0
	exitUsage       = 64
	exitDataErr     = 65
	exitNoInput     = 66
	exitUnavailable = 69
	exitSoftware    = 70 // also: a step of the demo did not go as told
	exitTempFail    = 75
	exitConfig      = 78
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
		return printVersion(stdout)
	}
	if c.print {
		printConfig(stdout, &c)
		return exitOK
	}
	return serve(args, c, stderr)
}

// usageError says what is wrong with the call, or with the configuration, and returns the exit code for it.
func usageError(stderr io.Writer, err error) int {
	if errors.As(err, new(*configError)) {
		fmt.Fprintf(stderr, "spoolgore: %v\n", err)
		return exitConfig
	}
	fmt.Fprintf(stderr, "spoolgore: %v (see spoolgore -help)\n", err)
	return exitUsage
}

// serve runs the spool that c, made of args, asks for, and returns the exit code.
func serve(args []string, c config, stderr io.Writer) int {
	if c.once && console.IsTerminal(stderr) {
		bar := progress.New(stderr, "sending", 0)
		defer bar.Done()
		stderr, c.opts.OnEvent = bar, newTally(c.dir, bar.Set).tell // the log goes past the bar
	}
	s := newService(args, c, stderr)
	orders := prepareSignals(s.log)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		paceGC()
	}
	for _, name := range strays(os.Environ()) {
		s.log.Warn("unknown variable in the environment", "name", name[0], "near", name[1])
	}
	err := s.c.complete(s.log)
	if err == nil {
		err = s.run(orders)
	}
	if err != nil {
		s.log.Error("cannot go on", "dir", c.dir, "err", err)
	}
	return exitCode(err)
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

// release is the version of a build of packaging/build.sh, which has the linker set it; empty: it is another build.
var release string

// version is what the build recorded: a release, or a commit.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
