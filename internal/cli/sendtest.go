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
	"github.com/unbit/spoolgore/internal/asowner"
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

func testCommand() *command {
	c := &command{
		name:     "test",
		operands: []string{"[flags] ADDRESS", "[flags] ADDRESS DIR"},
		brief:    "send one message, and print the result of each step",
		about: `Sends one message the way that all mail takes. It prints the result of each step, and what to do about a
failure.
Without DIR the message goes through a temporary spool to the relay of the flags. With DIR it goes through that
spool and
its daemon.`,
		notes: `The other flags, the configuration and the environment are those of the daemon (spoolgore help all).
Give what the daemon gets.
Unless flags or the environment name a relay, the relay of ~/.config/spoolgore.conf or /etc/spoolgore.conf counts.
With DIR and a running daemon only -json counts: the daemon has its own settings.

Exit codes
  0   a relay has accepted it                       69  it was refused for good
  64  wrong usage                                   75  it was deferred, no relay could be used, or no daemon runs
  70  the system failed
  78  something to correct: no such directory, a bad relay address, a relays file or certificate that cannot be used`,
		flags:  config.NewFlagSet("test"),
		daemon: true,
	}
	(&testMail{}).addFlags(c.flags)
	c.flags.Docs = append(c.flags.Docs,
		config.Doc{Flag: "once", Text: "no daemon runs on DIR: try everything that is due there, and the test message"})
	c.run = func(p *Program, args []string) int { return c.test(p, args) }
	return c
}

func (t *testMail) addFlags(fs *config.FlagSet) {
	if fs.Lookup("from") == nil { // a setting, too, which test takes
		fs.AddString(&t.test.From, "from", "ADDRESS",
			"the sender (the user of the relay, if that is an address, else yours on this host)")
	}
	fs.Add((*config.Span)(&t.wait), "wait", "TIME",
		"go on for so long while it is deferred (until the first answer, two minutes at most)")
}

// firstAnswer is the time that a test waits for the first answer.
const firstAnswer = 2 * time.Minute

// testMail is a call of the command "spoolgore test".
type testMail struct {
	config.Config
	test testmail.Test
	wait time.Duration // zero: until the first answer
	dir  string        // the spool; empty: a temporary one
	out  io.Writer
	log  *slog.Logger
	host string
}

func (c *command) test(p *Program, args []string) int {
	var t testMail
	conf, operands, err := config.ConfigureAnywhere(args, os.Getenv, t.addFlags)
	t.Config, t.host = conf, msgfile.Host(conf.Opts.LocalName)
	if conf.From["from"].Rank == config.OnCommandLine {
		t.test.From = conf.From["from"].Value
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.writeHelp(p)
		return ExitOK
	case conf.Version:
		return p.PrintVersion()
	case err == nil:
		err = t.setOperands(operands)
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
		t.out, stderr = bar, bar // both write to the terminal, past the bar
	}
	t.log = logger.New(stderr, conf.LogLevel(), conf.LogJSON)
	if err := t.Complete(t.log); err != nil {
		return p.failure("test", err, ExitConfig)
	}
	if conf.Verbose {
		t.test.Log = t.log.Handler()
	}
	t.test.Page = explain.Page{W: t.out, Paint: console.PainterFor(p.Stdout)}
	code, err := t.send(ctx)
	if err != nil {
		return p.failure("test", err, CodeOf(err))
	}
	return code
}

// setOperands sets the recipient and the spool.
func (t *testMail) setOperands(operands []string) error {
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
	t.test.To = operands[0]
	if err := message.CheckAddress(t.test.To); err != nil {
		return fmt.Errorf("%s: %w; want an address such as ann@example.org", console.Escape(t.test.To), err)
	}
	if t.test.From == "" {
		t.test.From = t.sender()
	}
	if err := message.CheckAddress(t.test.From); err != nil {
		return fmt.Errorf("the sender %s: %w; name one with -from", console.Escape(t.test.From), err)
	}
	return nil
}

// sender returns the sender if -from is not given.
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

// ticking counts the seconds on a bar until stop is called.
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

// send sends the message the way that the operands name.
func (t *testMail) send(ctx context.Context) (code int, err error) {
	title := fmt.Sprintf("A message from %s to %s", t.test.From, t.test.To)
	if t.dir == "" {
		return t.alone(ctx, title)
	}
	dir, err := spooldir.New(t.dir)
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(dir.Path()); err != nil { // Put would make tmp/, and its error is less clear
		return 0, err
	}
	config.KeepSecrets(&t.Opts)
	if err := asowner.Become(dir); err != nil {
		return 0, err
	}
	pid, err := dir.Lock().Holder()
	switch {
	case err != nil:
		return 0, err
	case pid == 0 && !t.Once:
		fmt.Fprintf(t.out, "No daemon runs %s, so no message was put into it. Start a daemon, or try everything "+
			"that is due there with -once.\n", console.Escape(dir.Path()))
		return ExitTempFail, nil
	case pid == 0:
		fmt.Fprintf(t.out, "%s, with all that is due in %s\n", console.Escape(title), console.Escape(dir.Path()))
		return t.drain(ctx, dir)
	}
	fmt.Fprintf(t.out, "%s, by the daemon of %s, process %d\n", console.Escape(title), console.Escape(dir.Path()), pid)
	return t.follow(ctx, dir)
}

// alone sends the message through a temporary spool.
func (t *testMail) alone(ctx context.Context, title string) (code int, err error) {
	relays, err := explain.RelaysFor(t.Opts, t.test.From, t.test.To)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(t.out, "%s, by %s\n", console.Escape(title), console.Escape(strings.Join(relays, ", or else ")))
	dir, err := makeTemp("spoolgore-test-", t.Dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // the directory has only the test message
	opts := t.test.Hooks(t.Opts)
	opts.NoReports, opts.StatusFile, opts.Grace = true, "", time.Second
	spool := spoolgore.New(dir, opts)
	if _, err := t.test.Put(ctx, spool, t.host); err != nil {
		return 0, err
	}
	limited, stop := context.WithTimeout(ctx, t.limit())
	defer stop()
	try := t.test.Drain
	if t.wait > 0 {
		try = t.test.Run
	}
	outcome, err := try(limited, spool)
	if err != nil {
		return 0, err
	}
	switch next := t.test.Next(); {
	case outcome == testmail.NoAnswer && ctx.Err() == nil:
		fmt.Fprintf(t.out, "No answer within %v. A daemon would wait longer; the test is over, and its message is "+
			"gone.\n", t.limit())
	case outcome == testmail.Deferred && !next.IsZero():
		fmt.Fprintf(t.out, "A daemon would retry it at %s. The test is over, and its message is gone; with -wait "+
			"it goes on.\n", next.Format("15:04:05"))
	case outcome == testmail.Deferred:
		fmt.Fprint(t.out, "A daemon would keep all mail and retry by itself. The test is over, and its message is "+
			"gone.\n")
	case outcome == testmail.Failed:
		fmt.Fprint(t.out, "A daemon would not retry it: the message would go to failed/, and a report to its sender.\n")
	}
	return t.ended(outcome), nil
}

// drain puts the message into a spool and tries everything that is due there.
func (t *testMail) drain(ctx context.Context, dir *spooldir.Dir) (code int, err error) {
	opts := t.test.Hooks(t.Opts)
	hook := hooks.New(config.Hooks(&t.Config), hooks.Options{Dir: dir.Path(), StatusFile: opts.StatusFile, Log: t.log})
	defer hook.Start()()
	opts.OnEvent = hooks.InTurn(opts.OnEvent, hook.Observe)
	spool := spoolgore.New(dir.Path(), opts)
	name, err := t.test.Put(ctx, spool, t.host)
	if err != nil {
		return 0, err
	}
	outcome, err := t.test.Drain(ctx, spool)
	if err != nil {
		return 0, err
	}
	t.printPlace(dir, name, outcome, "the next run retries it")
	return t.ended(outcome), nil
}

// follow puts the message into the spool of a daemon and prints what the daemon does with it.
func (t *testMail) follow(ctx context.Context, dir *spooldir.Dir) (code int, err error) {
	spool := spoolgore.New(dir.Path(), t.Opts)
	name, err := t.test.Put(ctx, spool, t.host)
	if err != nil {
		return 0, err
	}
	limited, stop := context.WithTimeout(ctx, t.limit())
	defer stop()
	outcome := t.test.Follow(limited, dir, t.Opts.StatusFile, t.wait > 0)
	if outcome == testmail.NoAnswer && ctx.Err() == nil && limited.Err() != nil {
		fmt.Fprintf(t.out, "No answer within %v: %s.\n", t.limit(), t.silence(dir))
	}
	t.printPlace(dir, name, outcome, "the daemon goes on with it")
	return t.ended(outcome), nil
}

// silence returns why the daemon may not have tried the message.
func (t *testMail) silence(dir *spooldir.Dir) string {
	signs, _, _ := daemonstate.Read(dir.Path())
	switch {
	case signs.Paused:
		return "the daemon is paused, and sends no mail until SIGHUP"
	case signs.RateWait.After(time.Now()):
		return "the rate limit of the daemon holds all mail back until " + signs.RateWait.Local().Format(time.DateTime)
	}
	return "the daemon may be paused, have a rate limit, or wait for the relay"
}

// printPlace prints the place of a message that was not accepted.
func (t *testMail) printPlace(dir *spooldir.Dir, name string, outcome testmail.Outcome, goesOn string) {
	switch next := t.test.Next(); {
	case outcome == testmail.Accepted:
	case outcome == testmail.Failed:
		fmt.Fprintf(t.out, "It is in %s, with a file with the reason beside it.\n",
			console.Escape(dir.At(spooldir.Failed, name)))
	default:
		if _, err := dir.Stat(name); err != nil {
			return // the steps have shown the place
		}
		if !next.IsZero() {
			goesOn += " at " + next.Local().Format("15:04:05")
		}
		fmt.Fprintf(t.out, "It is in the spool, and %s. To cancel it: rm %s\n", goesOn, console.Escape(dir.File(name)))
	}
}

// ended prints the last line and returns the exit code.
func (t *testMail) ended(outcome testmail.Outcome) int {
	switch outcome {
	case testmail.Accepted:
		fmt.Fprint(t.out, "The relay has accepted it. If it does not arrive, look in the log of the relay, and in "+
			"the spam folder.\n")
		return ExitOK
	case testmail.Failed:
		return ExitUnavailable
	}
	return ExitTempFail
}
