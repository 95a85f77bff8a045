package cli

import (
	"cmp"
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
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/explain"
	"github.com/unbit/spoolgore/internal/logger"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func explainCommand() *command {
	c := &command{
		name:     "explain",
		operands: []string{"[flags] FILE", "[flags] -"},
		brief:    "show what would happen to a message file; -probe: ask its relay",
		about: `Shows what would happen to a message file, and why: sender and recipients and the fields that name them,
the bytes that
are sent, the relay and how it is spoken to, and the times of attempts. The command sends nothing and only reads
the file.
With - it reads standard input.`,
		notes: `The other flags, the configuration and the environment are those of the daemon (spoolgore help all).
Give what the daemon gets.
Unless flags or the environment name a relay, the relay of ~/.config/spoolgore.conf or /etc/spoolgore.conf counts.
If FILE is in a spool, in its failed/ or in its hold/, what is known of it there is shown, too.

Exit codes
  0   it would be sent, and with -probe accepted by the relay
  64  wrong usage                                   66  the file cannot be read
  65  the file cannot be sent as it is, or a recipient is not an address
  69  with -probe: the relay refuses it, or a recipient, for good
  75  with -probe: the relay cannot be used now, or defers it
  78  something to correct: a bad relay address, a relays file or certificate that cannot be used`,
		flags:  config.NewFlagSet("explain"),
		daemon: true,
	}
	explainFlags(c.flags, new(bool))
	c.run = func(p *Program, args []string) int { return c.explain(p, args) }
	return c
}

func explainFlags(fs *config.FlagSet, probe *bool) {
	fs.AddSwitch(probe, "probe", "connect to the relay, log in, and ask whether it accepts the message; no content "+
		"is sent")
}

func (c *command) explain(p *Program, args []string) int {
	probe := false
	conf, operands, err := config.ConfigureAnywhere(args, os.Getenv,
		func(fs *config.FlagSet) { explainFlags(fs, &probe) })
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.writeHelp(p)
		return ExitOK
	case conf.Version:
		return p.PrintVersion()
	case err != nil:
		return p.UsageError(fmt.Errorf("explain: %w", err))
	case len(operands) != 1:
		return p.UsageError(fmt.Errorf("explain: want one file, not %d", len(operands)))
	}
	if err := conf.Complete(logger.New(p.Stderr, conf.LogLevel(), conf.LogJSON)); err != nil {
		return p.failure("explain", err, ExitConfig)
	}
	path, name := operands[0], operands[0]
	if path == "-" {
		name = "standard input"
		dir, err := keepInput(p.Stdin, conf.Dir)
		if err != nil {
			return p.failure("explain", err, ExitNoInput)
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "stdin")
	}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return p.failure("explain", fmt.Errorf("%s is a directory: name one message file in it", name), ExitNoInput)
	}
	return p.showPlan(conf, path, name, probe)
}

// showPlan prints what would happen to the file at path. name is its name in the output.
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
	if plan.Path = name; name != path {
		plan.Waits = nil // standard input has ended
	}
	page := explain.Page{W: p.Stdout, Paint: console.PainterFor(p.Stdout)}
	plan.Write(page)
	code := ExitOK
	if !plan.Sendable() {
		code = ExitDataErr
	}
	if probe && plan.Unusable == nil {
		dir := cmp.Or(plan.Spool(), c.Dir)
		plan.Remembered = func(relay string) []string { return remembered(dir, relay, time.Now()) }
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

// remembered returns the facts that the daemon of a spool has learnt about a relay, a phrase for each.
func remembered(dir, relay string, now time.Time) (facts []string) {
	state, ok, err := daemonstate.Read(dir)
	if err != nil || !ok || state.Silent(now) {
		return nil
	}
	for _, r := range state.Relays {
		if r.Name != relay {
			continue
		}
		if r.Trouble != "" {
			facts = append(facts, "rests, failing for "+console.Span(ago(now, r.Since))+": "+r.Trouble)
		}
		if slow := r.Slow(); slow != "" {
			facts = append(facts, slow)
		}
		return facts
	}
	return nil
}

// keepInput writes the input to the file stdin in a new directory.
func keepInput(stdin io.Reader, spool string) (dir string, err error) {
	if dir, err = makeTemp("spoolgore-explain-", spool); err != nil {
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

// makeTemp makes a temporary directory: in the usual place, or else in tmp/ of the spool. A small container may have no
// other writable directory.
func makeTemp(prefix, spool string) (dir string, err error) {
	dir, err = os.MkdirTemp("", prefix)
	if err == nil || spool == "" {
		return dir, err
	}
	if dir, spoolErr := os.MkdirTemp(filepath.Join(spool, spooldir.TmpDir), prefix); spoolErr == nil {
		return dir, nil
	}
	return "", err
}
