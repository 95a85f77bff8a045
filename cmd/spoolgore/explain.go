package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/explain"
)

const explainHelp = `usage: spoolgore explain [flags] FILE
       spoolgore explain [flags] -       the message is read from standard input

Says what would happen to a message file, and why: who it is from and to and where that stands, what of it is sent, by
which relay, how that is spoken to, and when it is tried again and given up. Nothing is sent, and the file is only read.

  -probe    connect to the relay, log in, and ask whether it would take the message; no content is sent

The other flags, the configuration and the environment are those of the daemon (spoolgore -help): give what it is given.
If FILE lies in a spool, in its failed/ or in its hold/, what is known of it there is shown too.

Exit codes
  0   it would be sent, and with -probe taken by the relay
  64  wrong usage                                   66  the file cannot be read
  65  the file cannot be sent as it is, or a recipient is not an address
  69  with -probe: the relay refuses it, or a recipient, for good
  75  with -probe: the relay cannot be used now, or puts it off
  78  something to put right: a bad relay address, a relays file or certificate that cannot be used
`

// runExplain is the command "spoolgore explain".
func runExplain(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	probe := false
	c, operands, err := configureAnywhere(args, func(fs *flag.FlagSet) { fs.BoolVar(&probe, "probe", false, "") })
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, explainHelp)
		return exitOK
	case c.version:
		return printVersion(stdout)
	case err != nil:
		return usageError(stderr, fmt.Errorf("explain: %w", err))
	case len(operands) != 1:
		return usageError(stderr, fmt.Errorf("explain: want one file, not %d", len(operands)))
	}
	if err := c.complete(newLogger(c, stderr)); err != nil {
		return failure(stderr, "explain", err, exitConfig)
	}
	path, name := operands[0], operands[0]
	if path == "-" {
		name = "standard input"
		dir, err := keepInput(stdin)
		if err != nil {
			return failure(stderr, "explain", err, exitNoInput)
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "stdin")
	}
	return showPlan(c, path, name, probe, stdout, stderr)
}

// configureAnywhere is configure for a command whose flags may stand behind its operands too; all that follows "--" is one.
func configureAnywhere(args []string, own func(*flag.FlagSet)) (config, []string, error) {
	var unused config
	fs := flags(&unused)
	own(fs)
	return configure(flagsFirst(fs, args), os.Getenv, own)
}

// flagsFirst moves the operands among args behind the flags. Where fs knows a flag not, or not its value, it stands so that
// it is found again.
func flagsFirst(fs *flag.FlagSet, args []string) []string {
	var front, operands []string
	for {
		if err := fs.Parse(args); err != nil {
			return append(front, args...)
		}
		rest := fs.Args()
		read := args[:len(args)-len(rest)]
		if n := len(read); n > 0 && read[n-1] == "--" {
			return append(append(append(front, read[:n-1]...), "--"), append(operands, rest...)...)
		}
		front = append(front, read...)
		if len(rest) == 0 {
			return append(append(front, "--"), operands...)
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
}

// showPlan shows what would happen to the file at path, which is called name.
func showPlan(c config, path, name string, probe bool, stdout, stderr io.Writer) int {
	plan, err := explain.Open(path, c.opts, time.Now())
	var settings *explain.SettingsError
	switch {
	case errors.As(err, &settings):
		return failure(stderr, "explain", err, exitConfig)
	case err != nil:
		return failure(stderr, "explain", err, exitNoInput)
	}
	defer plan.Close()
	plan.Path = name
	page := explain.Page{W: stdout, Paint: console.PainterFor(stdout)}
	plan.Write(page)
	code := exitOK
	if !plan.Sendable() {
		code = exitDataErr
	}
	if probe && plan.Unusable == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		switch plan.Probe(ctx, page) {
		case explain.Later:
			code = exitTempFail
		case explain.Refused:
			code = exitUnavailable
		}
	}
	return code
}

// keepInput leaves what is read in a file called stdin in a new directory of its own.
func keepInput(stdin io.Reader) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "spoolgore-explain-"); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(dir, "stdin"))
	if err == nil {
		_, err = io.Copy(f, stdin)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		os.RemoveAll(dir)
	}
	return dir, err
}

// failure says what went wrong with a command.
func failure(stderr io.Writer, command string, err error, code int) int {
	fmt.Fprintf(stderr, "spoolgore: %s: %s\n", command, console.Escape(strings.TrimPrefix(err.Error(), "spoolgore: ")))
	return code
}

func printVersion(stdout io.Writer) int {
	fmt.Fprintln(stdout, "spoolgore", version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return exitOK
}
