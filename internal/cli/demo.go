package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/jhillyerd/enmime/v2"
	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func demoCommand() *command {
	keep := false
	c := &command{
		name:     "demo",
		operands: []string{"[-keep]"},
		brief:    "show Spoolgore at work, with a relay and a spool of its own",
		flags:    config.NewFlagSet("demo"),
	}
	c.flags.AddSwitch(&keep, "keep", "keep the spool")
	c.run = func(p *Program, args []string) int {
		switch err := c.flags.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			c.writeHelp(p)
			return ExitOK
		case err != nil:
			return p.UsageError(fmt.Errorf("demo: %w", err))
		case c.flags.NArg() > 0:
			return p.UsageError(errors.New("demo takes no directory; one that is called demo is ./demo"))
		}
		if err := showDemo(p.Stdout, keep); err != nil {
			return p.failure("demo", err, ExitSoftware)
		}
		return ExitOK
	}
	return c
}

// demo shows a spool at work. A step with an unexpected result is an error: the demo is a test of the whole program,
// too.
type demo struct {
	out   io.Writer
	dir   string
	relay *demoRelay
	spool *spoolgore.Spool
	ended func() error // not nil when somebody has had enough
}

// showDemo sets the stage, shows everything, and clears up.
func showDemo(out io.Writer, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "spoolgore-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if keep {
			fmt.Fprintf(out, "\nThe spool is kept: %s\n", dir)
		} else {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	relay, err := startDemoRelay()
	if err != nil {
		return err
	}
	defer relay.close()
	d := &demo{out: out, dir: dir, relay: relay, spool: spoolgore.New(dir, spoolgore.Options{
		SMTPAddr: relay.addr,
		Backoff:  func(int) time.Duration { return time.Second },
		Logger:   slog.New(slog.DiscardHandler),
	})}
	fmt.Fprintf(out, "A mail relay listens on %s, a spool is run in %s\n", relay.addr, dir)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	d.ended = ctx.Err
	ended := make(chan error, 1)
	go func() { ended <- d.spool.Run(ctx) }()
	err = d.show()
	stop()
	return errors.Join(err, <-ended)
}

func (d *demo) show() error {
	for i, step := range []struct {
		title string
		show  func() error
	}{
		{"A program leaves a file: it writes it in tmp/, then renames it into the spool", d.plain},
		{"A Go program sends an attachment, and a copy that nobody is to know of, with enmime", d.attachment},
		{"A recipient whom the relay does not take now", d.deferred},
		{"A recipient whom the relay refuses for good", d.refused},
	} {
		fmt.Fprintf(d.out, "\n%d. %s\n", i+1, step.title)
		if err := step.show(); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	fmt.Fprint(d.out, "\nAll went as expected: three sent, one in failed/ with a report to its sender, none lost.\n")
	return nil
}

func (d *demo) plain() error {
	began := time.Now()
	if err := d.drop("hello.eml", "ann@example.com"); err != nil {
		return err
	}
	got, err := d.arrival("ann@example.com")
	if err != nil {
		return err
	}
	d.fact("the relay got", "from %s, to %s, %d bytes, after %d ms",
		got.from, strings.Join(got.to, ", "), len(got.data), time.Since(began).Milliseconds())
	if err := d.until("hello.eml is gone from the spool", d.gone("hello.eml")); err != nil {
		return err
	}
	d.fact("the spool", "hello.eml is gone, now that the relay has it")
	return nil
}

func (d *demo) attachment() error {
	err := enmime.Builder().From("The shop", "shop@example.com").To("Ann", "ann@example.com").BCC("Eve",
		"eve@example.com").
		Subject("Your invoice").Text([]byte("Please find it attached.\n")).
		AddAttachment([]byte("%PDF-1.4 and so on"), "application/pdf", "invoice.pdf").Send(d.spool)
	if err != nil {
		return err
	}
	got, err := d.arrival("eve@example.com")
	if err != nil {
		return err
	}
	mail, err := enmime.ReadEnvelope(bytes.NewReader(got.data))
	if err != nil {
		return err
	}
	if len(mail.Attachments) != 1 || mail.Attachments[0].FileName != "invoice.pdf" {
		return errors.New("the attachment did not arrive")
	}
	if bytes.Contains(got.data, []byte("eve@")) {
		return errors.New("the message names the Bcc recipient")
	}
	d.fact("the relay got", "from %s, to %s, with invoice.pdf", got.from, strings.Join(got.to, ", "))
	d.fact("its header says", "To: %s, and not a word of eve@example.com", mail.GetHeader("To"))
	return nil
}

func (d *demo) deferred() error {
	began := time.Now()
	if err := d.drop("later.eml", busyRcpt); err != nil {
		return err
	}
	var m spoolgore.Message
	tried := func() bool {
		m = d.entry("later.eml")
		return len(m.To) == 1 && m.To[0].Attempts > 0 && m.To[0].Status == spoolgore.StateWaiting
	}
	if err := d.until("the status file tells of a failed attempt", tried); err != nil {
		return err
	}
	r := m.To[0]
	d.fact(spooldir.StatusFile, "%q: {\"From\": %q, \"Attempts\": %d, \"To\": [", "…/later.eml", m.From, m.Attempts)
	d.fact("", "  {\"Address\": %q, \"Status\": %d, \"Attempts\": %d,", r.Address, r.Status, r.Attempts)
	d.fact("", "   \"NextAttempt\": %q,", r.NextAttempt.Format(time.RFC3339))
	d.fact("", "   \"Error\": %q}]}", r.Error)
	d.relay.release() // not before: on a slow disk the next attempt may come before the status is written
	got, err := d.arrival(busyRcpt)
	if err != nil {
		return err
	}
	d.fact("the relay got", "from %s, to %s, at attempt %d, after %.1f s",
		got.from, strings.Join(got.to, ", "), d.relay.attempts(), time.Since(began).Seconds())
	if err := d.until("the status file forgets later.eml",
		func() bool { return d.entry("later.eml").To == nil }); err != nil {
		return err
	}
	d.fact(spooldir.StatusFile, "later.eml is no longer in it: all is done")
	return nil
}

func (d *demo) refused() error {
	if err := d.drop("typo.eml", unknownRcpt); err != nil {
		return err
	}
	kept := filepath.Join(d.dir, string(spooldir.Failed), "typo.eml")
	var why spoolgore.Failure
	if err := d.until("typo.eml is in failed/, with the reason", func() bool {
		return d.gone("typo.eml")() && readJSON(spooldir.WhyFile(kept), &why) == nil
	}); err != nil {
		return err
	}
	if text, err := os.ReadFile(kept); err != nil || string(text) != sample(unknownRcpt) {
		return errors.Join(errors.New("failed/typo.eml is not the file that was dropped"), err)
	}
	d.fact("failed/", "typo.eml is kept there, byte for byte")
	d.fact("failed/typo.eml.json", "%s", why.Reason)
	got, err := d.arrival(why.From)
	if err != nil {
		return err
	}
	mail, err := enmime.ReadEnvelope(bytes.NewReader(got.data))
	if err != nil {
		return err
	}
	if got.from != "" || !strings.HasPrefix(mail.GetHeader("Content-Type"), "multipart/report") {
		return errors.New("the sender got something, but no report")
	}
	d.fact(why.From+" got", "%q, a report that says why", mail.GetHeader("Subject"))
	d.fact("next step", "correct the cause, then: mv failed/typo.eml .")
	return nil
}

// fact prints one line of a step.
func (d *demo) fact(about, format string, args ...any) {
	fmt.Fprintf(d.out, "   %-21s %s\n", about, fmt.Sprintf(format, args...))
}

// sample is a message to one recipient.
func sample(to string) string {
	return "From: The app <app@example.com>\nTo: " + to + "\nSubject: Hello\n\nHello, this is the app.\n"
}

// drop puts a message into the spool as any program may: by a rename of a complete file.
func (d *demo) drop(name, to string) error {
	tmp := filepath.Join(d.dir, spooldir.TmpDir, name)
	if err := d.until("the spool has a tmp/", func() bool { return !d.gone(spooldir.TmpDir)() }); err != nil {
		return err
	}
	if err := os.WriteFile(tmp, []byte(sample(to)), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(d.dir, name))
}

// arrival waits for a message to the recipient to.
func (d *demo) arrival(to string) (got demoMail, err error) {
	err = d.until("the relay has mail for "+to, func() (ok bool) { got, ok = d.relay.mailFor(to); return ok })
	return got, err
}

// entry returns the entry of a message in the status file; zero: there is none.
func (d *demo) entry(name string) spoolgore.Message {
	var status spoolgore.Status
	if readJSON(filepath.Join(d.dir, spooldir.StatusFile), &status) != nil {
		return spoolgore.Message{}
	}
	return status[filepath.Join(d.dir, name)]
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

func (d *demo) gone(name string) func() bool {
	return func() bool {
		_, err := os.Stat(filepath.Join(d.dir, name))
		return errors.Is(err, os.ErrNotExist)
	}
}

// until waits until so returns true.
func (d *demo) until(what string, so func() bool) error {
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if d.ended() != nil {
			return errors.New("interrupted")
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within a minute: %s", what)
		}
	}
	return nil
}
