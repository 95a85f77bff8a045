// Command spoolgore sends the mail messages found as files in a directory through a mail relay.
//
//	spoolgore [flags] DIR
//	spoolgore COMMAND [flags] DIR ...
//
// "spoolgore help all" says the rest.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/asowner"
	"github.com/unbit/spoolgore/internal/cli"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func main() {
	if code, ok := smtpStdio(os.Args[1:]); ok {
		os.Exit(code)
	}
	console.Prepare(os.Stdout, os.Stderr)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes the arguments and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	program := &cli.Program{Stdin: stdin, Stdout: stdout, Stderr: stderr, Version: version()}
	if code, ok := program.Run(args); ok {
		return code
	}
	c, err := config.Parse(args, os.Getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return program.PrintHelp()
	case err != nil:
		return program.UsageError(err)
	case c.Version:
		return program.PrintVersion()
	case c.Print:
		config.Print(stdout, &c)
		return cli.ExitOK
	case c.Check:
		return checkConfig(c, stdout, stderr)
	}
	return serve(args, c, stderr)
}

// serve runs the spool of c, the configuration of args, and returns the exit code.
func serve(args []string, c config.Config, stderr io.Writer) int {
	if c.Once && console.IsTerminal(stderr) {
		bar := progress.New(stderr, "sending", 0)
		defer bar.Done()
		stderr, c.Opts.OnEvent = bar, newOnceCounter(c.Dir, bar.Set).observe // the bar prints the log
	}
	s := newService(args, c, stderr)
	defer s.flush()
	orders := prepareSignals(s.log)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		paceGC()
	}
	for _, name := range config.UnknownVariables(os.Environ()) {
		s.log.Warn("unknown variable in the environment", "name", name[0], "near", name[1])
	}
	logConflicts(&s.c, s.log)
	err := s.c.Complete(s.log)
	protectSecrets(&s.c, s.log)
	if err == nil && c.Once {
		err = stepDown(&s.c)
	}
	if err == nil {
		err = s.run(orders)
	}
	if errors.Is(err, spoolgore.ErrRunning) {
		err = fmt.Errorf("%w; stop that process first, or name another directory", err)
	}
	if err != nil {
		s.log.Error("daemon failed", "dir", c.Dir, "err", err)
	}
	return cli.CodeOf(err)
}

// stepDown has root run a spool once with the rights of its owner, whose daemon could not read what root leaves there.
func stepDown(c *config.Config) error {
	dir, err := spooldir.New(c.Dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	if _, err := dir.FS().Stat(dir.Path()); err != nil {
		return nil // the run says so
	}
	config.KeepSecrets(&c.Opts)
	return asowner.Become(dir)
}

// The linker sets these in a build of packaging/build.sh. Empty: another build.
var (
	release string // version
	commit  string // short hash
	date    string // of the commit, YYYY-MM-DD
)

// version returns the version of the build: that of a release with commit and date, else the one that Go recorded.
func version() string {
	if release != "" {
		return fmt.Sprintf("%s (%s, %s)", release, commit, date)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
