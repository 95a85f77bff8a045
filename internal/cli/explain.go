package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/explain"
	"github.com/unbit/spoolgore/internal/logger"
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
func runExplain(p *Program, args []string) int {
	probe := false
	c, operands, err := config.ConfigureAnywhere(args, func(fs *flag.FlagSet) { fs.BoolVar(&probe, "probe", false, "") })
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.Stdout, explainHelp)
		return ExitOK
	case c.Version:
		return p.PrintVersion()
	case err != nil:
		return p.UsageError(fmt.Errorf("explain: %w", err))
	case len(operands) != 1:
		return p.UsageError(fmt.Errorf("explain: want one file, not %d", len(operands)))
	}
	if err := c.Complete(logger.New(p.Stderr, c.LogLevel(), c.LogJSON)); err != nil {
		return p.failure("explain", err, ExitConfig)
	}
	path, name := operands[0], operands[0]
	if path == "-" {
		name = "standard input"
		dir, err := keepInput(p.Stdin)
		if err != nil {
			return p.failure("explain", err, ExitNoInput)
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "stdin")
	}
	return p.showPlan(c, path, name, probe)
}

// showPlan shows what would happen to the file at path, which is called name.
func (p *Program) showPlan(c config.Config, path, name string, probe bool) int {
	plan, err := explain.Open(path, c.Opts, time.Now())
	var settings *explain.SettingsError
	switch {
	case errors.As(err, &settings):
		return p.failure("explain", err, ExitConfig)
	case err != nil:
		return p.failure("explain", err, ExitNoInput)
	}
	defer plan.Close()
	plan.Path = name
	page := explain.Page{W: p.Stdout, Paint: console.PainterFor(p.Stdout)}
	plan.Write(page)
	code := ExitOK
	if !plan.Sendable() {
		code = ExitDataErr
	}
	if probe && plan.Unusable == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		switch plan.Probe(ctx, page) {
		case explain.Later:
			code = ExitTempFail
		case explain.Refused:
			code = ExitUnavailable
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
