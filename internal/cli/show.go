package cli

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func showCommand() *command {
	var raw, asJSON bool
	c := &command{
		name:     "show",
		operands: []string{"[flags] [DIR] NAME..."},
		brief:    "show what is known of a message, and its header; -raw: the file",
		about: `Shows what is known of a message in the spool, hold/ or failed/: its envelope, each recipient with every
attempt, and its
header. NAME is the name of the file, or its path, as failed/NAME.`,
		flags:    config.NewFlagSet("show"),
		messages: []string{"", "-failed"},
	}
	c.flags.AddSwitch(&raw, "raw", "the file instead, byte for byte; on a terminal control characters are escaped")
	c.flags.AddSwitch(&asJSON, "json", "a JSON object a line, as of list -json")
	return c.onSpool(func(a *call) error {
		switch {
		case len(a.operands) == 0:
			return usageErr("which message? give its name (see spoolgore list)")
		case raw && asJSON:
			return usageErr("-raw and -json do not go together")
		}
		defer keepRecords(a)()
		for _, name := range a.operands {
			e, err := findMessage(a, name, allPlaces())
			if err == nil {
				err = a.show(e, raw, asJSON)
			}
			if err != nil {
				a.complain("%v", err)
			}
		}
		a.reportStatus()
		return nil
	})
}

func (c *spool) show(e *mailq.Entry, raw, asJSON bool) error {
	if raw {
		f, err := c.openContent(e)
		if err != nil {
			return err
		}
		defer f.Close()
		return c.copyText(f)
	}
	c.source.ReadHeader(e)
	if asJSON {
		return writeEntry(c.out, e)
	}
	p := &messagePage{c, e, console.PainterFor(c.stdout)}
	p.writeEnvelope()
	p.writeRecipients()
	return p.writeHeader()
}

// A messagePage writes a message for show.
type messagePage struct {
	*spool
	e     *mailq.Entry
	paint console.Painter
}

// line writes one line.
func (p *messagePage) line(about, format string, args ...any) {
	fmt.Fprintf(p.out, "%-12s %s\n", about, console.Escape(fmt.Sprintf(format, args...)))
}

func (p *messagePage) writeEnvelope() {
	e := p.e
	fmt.Fprintln(p.out, p.paint.Paint(placed(e.Place, e.Name), console.Bold))
	state := string(e.State)
	if e.NextAttempt.After(p.now) && e.Place == spooldir.Spool {
		state += ", next attempt " + p.at(e.NextAttempt)
	}
	p.line("state", "%s", state)
	if e.Reason != "" {
		p.line("reason", "%s", e.Reason)
	}
	p.line("size", "%d bytes", e.Size)
	p.line("enqueued", "%s", p.at(e.Enqueued))
	if e.Host != "" {
		p.line("host", "%s", e.Host)
	}
	if !e.GivenUp.IsZero() {
		p.line("given up", "%s", p.at(e.GivenUp))
	}
	if !e.Held.IsZero() {
		p.line("held", "%s", p.at(e.Held))
	}
	if !e.NotBefore.IsZero() {
		p.line("not before", "%s", p.at(e.NotBefore))
	}
	if !e.Expire.IsZero() {
		p.line("expires", "%s", p.at(e.Expire))
	}
	if !e.Overdue.IsZero() {
		p.line("too old", "since %s", p.at(e.Overdue))
	}
	if e.Priority != 0 {
		p.line("priority", "%d", e.Priority)
	}
	if e.ID != "" {
		p.line("id", "%s", e.ID)
	}
	p.line("message-id", "%s", cmp.Or(e.MessageID, "none yet"))
	p.line("attempts", "%d", e.Attempts)
	p.line("from", "%s", sender(e))
}

func (p *messagePage) writeRecipients() {
	for _, list := range []struct {
		name string
		of   []record.Recipient
	}{{"to", p.e.To}, {"cc", p.e.Cc}, {"bcc", p.e.Bcc}} {
		for i := range list.of {
			r := &list.of[i]
			p.line(list.name, "%s: %s", r.Address, p.status(r))
			p.writeAttempts(r)
		}
	}
	for _, address := range p.e.Removed {
		p.line("taken out", "%s: removed from the status file by hand, gets nothing", address)
	}
}

// writeAttempts writes a line for each series of attempts with the same result.
func (p *messagePage) writeAttempts(r *record.Recipient) {
	runs, leftOut := r.AttemptRuns()
	last := ""
	for i := range runs {
		about := "  then"
		switch {
		case i == len(runs)-1 && runs[i].Times <= 1:
			about = "  last try"
		case i == 0:
			about = "  first try"
		}
		last = cmp.Or(runs[i].Reply, runs[i].Error)
		p.line(about, "%s", p.attempts(&runs[i]))
		if i == 0 && leftOut > 0 {
			p.line("", "(%s in between, without a record)", console.Count(leftOut, "attempt"))
		}
	}
	if r.Error != "" && (last == "" || !strings.Contains(r.Error, last)) {
		p.line("", "%s", r.Error)
	}
}

// status returns the status of a recipient in words.
func (p *messagePage) status(r *record.Recipient) string {
	tries := ""
	if r.Attempts > 0 {
		tries = " after " + console.Count(r.Attempts, "failed attempt")
	}
	switch {
	case r.Accepted() && r.Relay != "":
		return "accepted by " + r.Relay + " " + p.at(r.LastAttempt)
	case r.Accepted():
		return "done"
	case r.GivenUp:
		return "given up" + tries
	case r.Status == record.InProgress:
		return "being sent" + tries
	case p.e.Place != spooldir.Spool, !r.NextAttempt.After(p.now):
		return "waits" + tries
	}
	return "next attempt " + p.at(r.NextAttempt) + tries
}

// attempts returns a series of attempts as one line.
func (p *messagePage) attempts(run *record.AttemptRun) string {
	text := p.at(run.Time)
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

// writeHeader writes the decoded subject and then the header of the file.
func (p *messagePage) writeHeader() error {
	f, err := p.openContent(p.e)
	if err != nil {
		return err
	}
	defer f.Close()
	if h, err := message.ReadHeader(f, p.e.Size); err == nil {
		if subject := h.Get("Subject"); strings.Contains(subject, "=?") {
			if text, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
				p.line("subject", "%s", text)
			}
		}
	}
	fmt.Fprintf(p.out, "\n%s\n", p.paint.Paint("Header", console.Bold))
	r := bufio.NewReaderSize(io.LimitReader(f, message.MaxHeader), 64<<10)
	for {
		line, err := r.ReadString('\n')
		text := strings.TrimRight(line, "\r\n")
		if text == "" {
			return nil
		}
		fmt.Fprintln(p.out, escapeLine(text))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// copyText copies r to the output. On a terminal control characters are escaped.
func (o *output) copyText(r io.Reader) error {
	if !console.IsTerminal(o.stdout) {
		_, err := io.Copy(o.out, r)
		return err
	}
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := b.ReadSlice('\n') // or a part of a long line
		text, ended := strings.CutSuffix(string(line), "\n")
		if ended {
			text = strings.TrimSuffix(text, "\r")
		}
		o.out.WriteString(escapeLine(text))
		if ended {
			o.out.WriteByte('\n')
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// escapeLine is console.Escape for a line that may have tabs.
func escapeLine(line string) string {
	return console.Escape(strings.ReplaceAll(line, "\t", "        "))
}
