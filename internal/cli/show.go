package cli

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const showHelp = `usage: spoolgore show [flags] DIR NAME...

Shows what is known of a message in the spool, hold/ or failed/: its envelope, what became of each recipient, with
every attempt, and its header. NAME is the name of the file, or its path, as failed/NAME.

  -raw               the file instead, byte for byte; on a terminal control characters are escaped
  -json              a JSON object a line, as of list -json
  -statusfile PATH   the status file, if the daemon has another one (DIR/.spoolgore.js; $SPOOLGORE_JSON)
  -config FILE       the daemon's configuration: its dir is DIR, which is not named then, and its json the status file
`

func runShow(p *Program, args []string) int {
	var raw, asJSON bool
	return onSpool(p, "show", showHelp, args, func(fs *flag.FlagSet) {
		fs.BoolVar(&raw, "raw", false, "")
		fs.BoolVar(&asJSON, "json", false, "")
	}, func(c *call) error {
		switch {
		case len(c.operands) == 0:
			return usageErr("which message? give its name (see spoolgore list)")
		case raw && asJSON:
			return usageErr("-raw and -json do not go together")
		}
		for _, name := range c.operands {
			e, err := c.find(name, []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed})
			if err == nil {
				err = c.show(e, raw, asJSON)
			}
			if err != nil {
				c.complain("%v", err)
			}
		}
		c.reviewStatus()
		return nil
	})
}

func (c *call) show(e *mailq.Entry, raw, asJSON bool) error {
	if raw {
		f, err := spooldir.OpenRead(c.dir.At(e.Place, e.Name))
		if err != nil {
			return err
		}
		defer f.Close()
		return c.copyText(f)
	}
	c.view.ReadHeader(e)
	if asJSON {
		return writeEntry(c.out, e)
	}
	paint := console.PainterFor(c.stdout)
	c.showEnvelope(e, paint)
	c.showRecipients(e, paint)
	return c.showHeader(e, paint)
}

// fact writes one line of what is known.
func (c *call) fact(about, format string, args ...any) {
	fmt.Fprintf(c.out, "%-12s %s\n", about, console.Escape(fmt.Sprintf(format, args...)))
}

func (c *call) showEnvelope(e *mailq.Entry, paint console.Painter) {
	fmt.Fprintln(c.out, paint.Paint(placed(e.Place, e.Name), console.Bold))
	state := string(e.State)
	if e.NextAttempt.After(c.now) && e.Place == spooldir.Spool {
		state += ", next attempt " + c.at(e.NextAttempt)
	}
	c.fact("state", "%s", state)
	if e.Reason != "" {
		c.fact("reason", "%s", e.Reason)
	}
	c.fact("size", "%d bytes", e.Size)
	c.fact("enqueued", "%s", c.at(e.Enqueued))
	if !e.GivenUp.IsZero() {
		c.fact("given up", "%s", c.at(e.GivenUp))
	}
	if !e.Held.IsZero() {
		c.fact("held", "%s", c.at(e.Held))
	}
	if !e.NotBefore.IsZero() {
		c.fact("not before", "%s", c.at(e.NotBefore))
	}
	if !e.Expire.IsZero() {
		c.fact("expires", "%s", c.at(e.Expire))
	}
	if e.Priority != 0 {
		c.fact("priority", "%d", e.Priority)
	}
	c.fact("message-id", "%s", cmp.Or(e.MessageID, "none yet"))
	c.fact("attempts", "%d", e.Attempts)
	c.fact("from", "%s", sender(e))
}

func (c *call) showRecipients(e *mailq.Entry, paint console.Painter) {
	for _, list := range []struct {
		name string
		of   []record.Recipient
	}{{"to", e.To}, {"cc", e.Cc}, {"bcc", e.Bcc}} {
		for i := range list.of {
			r := &list.of[i]
			c.fact(list.name, "%s: %s", r.Address, c.fate(e, r))
			c.showAttempts(r)
		}
	}
}

// showAttempts writes a line for each run of attempts that came to the same.
func (c *call) showAttempts(r *record.Recipient) {
	runs, leftOut := r.AttemptRuns()
	said := ""
	for i := range runs {
		about := "  then"
		switch {
		case i == len(runs)-1 && runs[i].Times <= 1:
			about = "  last try"
		case i == 0:
			about = "  first try"
		}
		said = cmp.Or(runs[i].Reply, runs[i].Error)
		c.fact(about, "%s", c.attempts(&runs[i]))
		if i == 0 && leftOut > 0 {
			c.fact("", "(%s in between: what came of them is not kept)", console.Count(leftOut, "attempt"))
		}
	}
	if r.Error != "" && (said == "" || !strings.Contains(r.Error, said)) {
		c.fact("", "%s", r.Error)
	}
}

// fate is what became of a recipient, in words.
func (c *call) fate(e *mailq.Entry, r *record.Recipient) string {
	tries := ""
	if r.Attempts > 0 {
		tries = " after " + console.Count(r.Attempts, "failed attempt")
	}
	switch {
	case r.Accepted() && r.Relay != "":
		return "accepted by " + r.Relay + " " + c.at(r.LastAttempt)
	case r.Accepted():
		return "done"
	case r.GivenUp:
		return "given up" + tries
	case r.Status == record.InProgress:
		return "being sent" + tries
	case e.Place != spooldir.Spool, !r.NextAttempt.After(c.now):
		return "waits" + tries
	}
	return "next attempt " + c.at(r.NextAttempt) + tries
}

// attempts are those of a run, in one line.
func (c *call) attempts(run *record.AttemptRun) string {
	text := c.at(run.Time)
	if run.Relay != "" {
		text += ", " + run.Relay
	}
	if run.TLS != "" {
		text += ", " + run.TLS
	}
	text += ": " + cmp.Or(run.Reply, run.Error, "no answer")
	if run.Times > 1 {
		text += fmt.Sprintf(" (%d times until %s)", run.Times, run.Until.Local().Format(stamp))
	}
	return text
}

// showHeader writes the header of the file, with the subject before it as it is meant to be read.
func (c *call) showHeader(e *mailq.Entry, paint console.Painter) error {
	f, err := spooldir.OpenRead(c.dir.At(e.Place, e.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil {
		if h, err := message.ReadHeader(f, fi.Size()); err == nil {
			if subject := h.Get("Subject"); strings.Contains(subject, "=?") {
				if text, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
					c.fact("subject", "%s", text)
				}
			}
		}
	}
	fmt.Fprintf(c.out, "\n%s\n", paint.Paint("Header", console.Bold))
	r := bufio.NewReaderSize(io.LimitReader(f, message.MaxHeader), 64<<10)
	for {
		line, err := r.ReadString('\n')
		text := strings.TrimRight(line, "\r\n")
		if text == "" {
			return nil
		}
		fmt.Fprintln(c.out, escapeText(text))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// copyText writes what r says, escaped if it goes to a terminal.
func (c *call) copyText(r io.Reader) error {
	if !console.IsTerminal(c.stdout) {
		_, err := io.Copy(c.out, r)
		return err
	}
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := b.ReadSlice('\n') // or a part of a long one
		text, ended := strings.CutSuffix(string(line), "\n")
		if ended {
			text = strings.TrimSuffix(text, "\r")
		}
		c.out.WriteString(escapeText(text))
		if ended {
			c.out.WriteByte('\n')
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// escapeText is console.Escape for a line that may have tabs.
func escapeText(line string) string {
	return console.Escape(strings.ReplaceAll(line, "\t", "        "))
}
