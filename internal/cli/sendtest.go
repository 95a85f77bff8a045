package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/explain"
	"github.com/unbit/spoolgore/internal/hooks"
	"github.com/unbit/spoolgore/internal/logger"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/progress"
	"github.com/unbit/spoolgore/internal/spooldir"
	"github.com/unbit/spoolgore/internal/testmail"
)

const testHelp = `usage: spoolgore test [flags] ADDRESS        through a spool of its own, by the relay of the flags
       spoolgore test [flags] ADDRESS DIR    through the spool DIR and the daemon that runs it

Sends one message on the way that all mail takes, and says what comes of each step, and what to do about a failure.

  -from ADDRESS   the sender (the user of the relay, if that is an address, else yours on this host)
  -wait TIME      go on for so long while it is put off (until the first answer, for two minutes at most)
  -once           no daemon runs DIR: try everything that is due in it once, the test message among it

The other flags, the configuration and the environment are those of the daemon (spoolgore -help): give what it is given.
A daemon that runs has its own, and those given here count for nothing, but for -json.

Exit codes
  0   a relay has accepted it                       69  it was refused for good
  64  wrong usage                                   75  it was put off, no relay could be used, or no daemon runs DIR
  78  something to put right: no such directory, a bad relay address, a relays file or certificate that cannot be used
`

// firstAnswer is how long a test waits for the first answer.
const firstAnswer = 2 * time.Minute

// testMail is a call of the command "spoolgore test".
type testMail struct {
	config.Config
	trial testmail.Trial
	wait  time.Duration // zero: until the first answer
	dir   string        // the spool; empty: one of its own
	out   io.Writer
	log   *slog.Logger
	host  string
}

// runTest is the command "spoolgore test".
func runTest(p *Program, args []string) int {
	var t testMail
	c, operands, err := config.ConfigureAnywhere(args, func(fs *flag.FlagSet) {
		fs.StringVar(&t.trial.From, "from", "", "")
		fs.Var((*config.Span)(&t.wait), "wait", "")
	})
	t.Config, t.host = c, msgfile.Host(c.Opts.LocalName)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.Stdout, testHelp)
		return ExitOK
	case c.Version:
		return p.PrintVersion()
	case err == nil:
		err = t.operands(operands)
	}
	if err != nil {
		return p.UsageError(fmt.Errorf("test: %w", err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	t.out = p.Stdout
	stderr := p.Stderr
	if console.IsTerminal(p.Stdout) && console.IsTerminal(stderr) {
		bar := progress.New(stderr, "waiting for an answer, seconds", int64(t.limit().Seconds()))
		defer bar.Done()
		defer ticking(bar)()
		t.out, stderr = bar, bar // past which they write to the terminal that both are
	}
	t.log = logger.New(stderr, c.LogLevel(), c.LogJSON)
	if err := t.Complete(t.log); err != nil {
		return p.failure("test", err, ExitConfig)
	}
	if c.Verbose {
		t.trial.Log = t.log.Handler()
	}
	t.trial.Page = explain.Page{W: t.out, Paint: console.PainterFor(p.Stdout)}
	code, err := t.send(ctx)
	if err != nil {
		return p.failure("test", err, CodeOf(err))
	}
	return code
}

// operands takes the recipient, and perhaps the spool.
func (t *testMail) operands(operands []string) error {
	switch {
	case len(operands) == 0:
		return errors.New("to which address?")
	case len(operands) > 2:
		return errors.New("want an address and perhaps a directory")
	case len(operands) == 2:
		if t.dir = operands[1]; t.dir == "" {
			return errors.New("the name of the directory is empty")
		}
	}
	t.trial.To = operands[0]
	if err := message.CheckAddress(t.trial.To); err != nil {
		return fmt.Errorf("%s: %w", console.Escape(t.trial.To), err)
	}
	if t.trial.From == "" {
		t.trial.From = t.sender()
	}
	if err := message.CheckAddress(t.trial.From); err != nil {
		return fmt.Errorf("the sender %s: %w; name one with -from", console.Escape(t.trial.From), err)
	}
	return nil
}

// sender is who sends if nobody is named.
func (t *testMail) sender() string {
	if strings.Contains(t.Relay.User, "@") {
		return t.Relay.User
	}
	name := "spoolgore"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
	}
	return name + "@" + t.host
}

func (t *testMail) limit() time.Duration {
	if t.wait > 0 {
		return t.wait
	}
	return firstAnswer
}

// ticking counts the seconds on a bar until the function it returns is called.
func ticking(bar *progress.Bar) (stop func()) {
	done := make(chan struct{})
	go func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				bar.Add(1)
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	return func() { close(done) }
}

// send sends the message by the way that was asked for.
func (t *testMail) send(ctx context.Context) (code int, err error) {
	title := fmt.Sprintf("A message from %s to %s", t.trial.From, t.trial.To)
	if t.dir == "" {
		return t.alone(ctx, title)
	}
	dir, err := spooldir.New(t.dir)
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(dir.Path()); err != nil { // Put would make tmp/ in vain, and say less
		return 0, err
	}
	pid, err := dir.Lock().Holder()
	switch {
	case err != nil:
		return 0, err
	case pid == 0 && !t.Once:
		fmt.Fprintf(t.out, "No daemon runs %s, so nothing was put into it. Start it, or try with -once what is due there.\n", console.Escape(dir.Path()))
		return ExitTempFail, nil
	case pid == 0:
		fmt.Fprintf(t.out, "%s, with all that is due in %s\n", console.Escape(title), console.Escape(dir.Path()))
		return t.drain(ctx, dir)
	}
	fmt.Fprintf(t.out, "%s, by the daemon of %s, process %d\n", console.Escape(title), console.Escape(dir.Path()), pid)
	return t.follow(ctx, dir)
}

// alone sends the message through a spool that is made for it.
func (t *testMail) alone(ctx context.Context, title string) (code int, err error) {
	relays, err := explain.RelaysFor(t.Opts, t.trial.From, t.trial.To)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(t.out, "%s, by %s\n", console.Escape(title), console.Escape(strings.Join(relays, ", or else ")))
	dir, err := os.MkdirTemp("", "spoolgore-test-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // there is nothing but the test message in it
	opts := t.trial.Hooks(t.Opts)
	opts.NoReports, opts.StatusFile, opts.Grace = true, "", time.Second
	spool := spoolgore.New(dir, opts)
	if _, err := t.trial.Put(ctx, spool, t.host); err != nil {
		return 0, err
	}
	limited, stop := context.WithTimeout(ctx, t.limit())
	defer stop()
	try := t.trial.Drain
	if t.wait > 0 {
		try = t.trial.Run
	}
	outcome, err := try(limited, spool)
	if err != nil {
		return 0, err
	}
	switch next := t.trial.Next(); {
	case outcome == testmail.NoAnswer && ctx.Err() == nil:
		fmt.Fprintf(t.out, "No answer within %v. A daemon would wait longer; the test is over, and its message is gone.\n", t.limit())
	case outcome == testmail.PutOff && !next.IsZero():
		fmt.Fprintf(t.out, "A daemon would try it again at %s. The test is over, and its message is gone; with -wait it goes on.\n", next.Format("15:04:05"))
	case outcome == testmail.PutOff:
		fmt.Fprint(t.out, "A daemon would keep all mail and try again by itself. The test is over, and its message is gone.\n")
	case outcome == testmail.Failed:
		fmt.Fprint(t.out, "A daemon would not try it again: it would keep it in failed/, and tell its sender.\n")
	}
	return t.ended(outcome), nil
}

// drain tries what is due in a spool, with the message among it.
func (t *testMail) drain(ctx context.Context, dir *spooldir.Dir) (code int, err error) {
	opts := t.trial.Hooks(t.Opts)
	hook := hooks.New(t.OnFail, t.log)
	defer hook.Start()()
	opts.OnEvent = hooks.InTurn(opts.OnEvent, hook.Observe)
	spool := spoolgore.New(dir.Path(), opts)
	name, err := t.trial.Put(ctx, spool, t.host)
	if err != nil {
		return 0, err
	}
	outcome, err := t.trial.Drain(ctx, spool)
	if err != nil {
		return 0, err
	}
	t.where(dir, name, outcome, "the next run tries it again")
	return t.ended(outcome), nil
}

// follow leaves the message to the daemon.
func (t *testMail) follow(ctx context.Context, dir *spooldir.Dir) (code int, err error) {
	spool := spoolgore.New(dir.Path(), t.Opts)
	name, err := t.trial.Put(ctx, spool, t.host)
	if err != nil {
		return 0, err
	}
	limited, stop := context.WithTimeout(ctx, t.limit())
	defer stop()
	outcome := t.trial.Follow(limited, dir, t.Opts.StatusFile, t.wait > 0)
	if outcome == testmail.NoAnswer && ctx.Err() == nil && limited.Err() != nil {
		fmt.Fprintf(t.out, "No answer within %v: %s.\n", t.limit(), t.silence(dir))
	}
	t.where(dir, name, outcome, "the daemon goes on with it")
	return t.ended(outcome), nil
}

// silence is why the daemon may not have answered.
func (t *testMail) silence(dir *spooldir.Dir) string {
	signs, _, _ := daemonstate.Read(dir.Path())
	switch {
	case signs.Paused:
		return "the daemon is paused, and sends nothing until it is told to go on (SIGHUP)"
	case signs.RateWait.After(time.Now()):
		return "the daemon's rate limit holds all mail back until " + signs.RateWait.Local().Format(time.DateTime)
	}
	return "the daemon may be paused, have a rate limit, or wait for the relay"
}

// where says where the message is now, if it was not accepted.
func (t *testMail) where(dir *spooldir.Dir, name string, outcome testmail.Outcome, goesOn string) {
	switch next := t.trial.Next(); {
	case outcome == testmail.Accepted:
	case outcome == testmail.Failed:
		fmt.Fprintf(t.out, "It is in %s, with the reason beside it.\n", console.Escape(dir.At(spooldir.Failed, name)))
	default:
		if _, err := dir.Stat(name); err != nil {
			return // it was said where it went
		}
		if !next.IsZero() {
			goesOn += " at " + next.Local().Format("15:04:05")
		}
		fmt.Fprintf(t.out, "It is in the spool, and %s. To cancel it: rm %s\n", goesOn, console.Escape(dir.File(name)))
	}
}

// ended says what it has come to, and returns the exit code for it.
func (t *testMail) ended(outcome testmail.Outcome) int {
	switch outcome {
	case testmail.Accepted:
		fmt.Fprint(t.out, "The relay has it. If it does not arrive, look for it there, and among unwanted mail.\n")
		return ExitOK
	case testmail.Failed:
		return ExitUnavailable
	}
	return ExitTempFail
}
