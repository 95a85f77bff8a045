package explain

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A planPage writes a plan.
type planPage struct {
	*Plan
	Page
}

// Write writes the plan.
func (p *Plan) Write(page Page) { (&planPage{p, page}).write() }

func (p *planPage) write() {
	fmt.Fprintf(p.W, "%s: %s\n", console.Escape(p.Path), console.Escape(p.summary()))
	if p.Waits != nil {
		p.Line("not yet", "%v: the daemon waits until the file does not change any more", p.Waits)
	}
	if p.Unusable == nil {
		p.writeEnvelope()
		p.writeContent()
		p.writeWay()
		p.writeRetries()
	}
	p.writePlace()
}

// summary returns the plan as a sentence.
func (p *planPage) summary() string {
	to, bad, done := p.recipients()
	where := map[string]string{
		holdDir: "it is held; back in the spool, ", failedDir: "it was given up; back in the spool, ",
		spooldir.TmpDir: "it is being written; in the spool, ",
	}[p.place.sub]
	isCause := func(cause error) bool { return errors.Is(p.Unusable, cause) }
	switch {
	case slices.ContainsFunc(noMessage(), isCause):
		return fmt.Sprintf("it is no message (%v) and would go to failed/", p.Unusable)
	case p.Unusable != nil:
		return fmt.Sprintf("it would stay where it is, until it is changed: %v", p.Unusable)
	case len(to) == 0 && done == 0:
		return where + "it would go to failed/ at once, because no recipient is an address"
	case p.tooMany() != nil:
		return where + "it would go to failed/ at once, because " + p.tooMany().Error()
	case len(to) == 0:
		return "all recipients are done, and it is about to leave the spool"
	case p.forbidden() != "":
		return where + "it would be moved to hold/, because mail to " + p.forbidden() + " is not allowed"
	}
	text := where + "it would be sent to " + console.Count(len(to), "recipient")
	switch {
	case done == 1:
		text += "; 1 more is done"
	case done > 1:
		text += fmt.Sprintf("; %d more are done", done)
	}
	switch {
	case bad == 1:
		text += "; 1 more is no address, and the message would go to failed/ then"
	case bad > 1:
		text += fmt.Sprintf("; %d more are no addresses, and the message would go to failed/ then", bad)
	}
	return text
}

func (p *planPage) writeEnvelope() {
	source := "the header"
	if p.origin.From == message.EnvelopeLine {
		source = "the envelope line, in spite of the header"
	}
	p.Head("Envelope, from %s", source)
	in := func(field string) string {
		if field == message.EnvelopeLine {
			return ""
		}
		return "  (" + field + ")"
	}
	if p.addresses.From == "" {
		p.Line("from", "<>  the null sender, so there is no report if it fails%s", in(p.origin.From))
	} else {
		p.Line("from", "%s%s", p.addresses.From, in(p.origin.From))
	}
	for _, part := range []struct {
		field string
		list  []message.Address
	}{{p.origin.To, p.addresses.To}, {p.origin.Cc, p.addresses.Cc}, {p.origin.Bcc, p.addresses.Bcc}} {
		for _, a := range part.list {
			if a.Err != nil {
				p.Line("bad", "%s%s  given up at once: %v", a.Addr, in(part.field), a.Err)
			} else {
				p.Line("to", "%s%s", a.Addr, in(part.field))
			}
		}
	}
	p.writeRewriting()
	p.writeParameters()
}

// writeParameters writes the other parameters of the envelope line.
func (p *planPage) writeParameters() {
	env := p.file.Envelope
	if env == nil {
		return
	}
	if !env.NotBefore.IsZero() {
		p.Line("not before", "%s", stamp(env.NotBefore))
	}
	if !env.Expire.IsZero() {
		p.Line("expires", "%s", stamp(env.Expire))
	}
	if env.Priority != 0 {
		p.Line("priority", "%d", env.Priority)
	}
	for i, n := range env.Notify {
		if n != "" {
			p.Line("notify", "%s of %s", n, env.To[i])
		}
	}
	if env.Ret != "" {
		p.Line("ret", "%s", env.Ret)
	}
}

func (p *planPage) writeContent() {
	p.Head("What is sent: %s, made of the %d in the file", console.Count(p.size, "byte"), p.file.ID.Size)
	for line := range strings.Lines(p.preamble) {
		p.Line("left out", "%s", strings.TrimRight(line, "\r\n"))
	}
	for _, field := range p.file.Header.LeftOut() {
		if !strings.Contains(p.preamble, field) { // else a line above has the field
			p.Line("left out", "%s", folded(field))
		}
	}
	front := p.file.Header.Front(message.Added{Date: p.file.ID.ModTime, MessageID: p.messageID})
	for line := range strings.Lines(string(front)) {
		p.Line("added", "%s", strings.TrimRight(line, "\r\n"))
	}
	p.writeFields()
	switch {
	case p.fixed != nil:
		p.Line("text", "8-bit, unchanged to a relay with 8BITMIME; a relay without does not get it: %v", p.fixed)
	case p.eightBit:
		p.Line("text", "8-bit, unchanged to a relay with 8BITMIME, re-encoded for a relay without")
	default:
		p.Line("text", "7-bit, unchanged")
	}
	p.Line("lines", "end in CRLF")
	if p.file.HasUTF8Header() {
		p.Line("SMTPUTF8", "is asked for where it is offered, because the header has non-ASCII letters")
	}
	for _, a := range append([]string{p.way.rules.Envelope(p.addresses.From)}, p.offered()...) {
		if smtpclient.NeedsUTF8(a) {
			p.Line("SMTPUTF8", "is needed for %s", a)
		}
	}
}

func (p *planPage) writeWay() {
	p.Head("Relay, as %s", p.way.chosenBy())
	for i, r := range p.way.relays {
		label := "relay"
		if i > 0 {
			label = "or else"
		}
		p.Line(label, "%s", r.name)
		if r.smtp == nil {
			p.Line("", "a program, without TLS and login")
			continue
		}
		p.Line("TLS", "%s", p.way.tlsOf(r.smtp))
	}
	p.Line("login", "%s", p.way.login())
	if p.way.settings.NeedsSecret() {
		p.Line("", "over a verified connection only, or to this host")
	}
}

// shownRetries is how many of the times of the next attempts are shown.
const shownRetries = 6

func (p *planPage) writeRetries() {
	p.Head("If it is not accepted for now")
	start, failed, came := p.now, 0, p.now
	if m := p.place.message; m != nil {
		if !m.Enqueued.IsZero() {
			came = m.Enqueued
		}
		for _, r := range m.Recipients() {
			if r.Status == record.Waiting && r.Attempts >= failed {
				failed, start = r.Attempts, retry.Later(r.NextAttempt, p.now)
			}
		}
	}
	var notBefore, expire time.Time
	if env := p.file.Envelope; env != nil {
		notBefore, expire = env.NotBefore, env.Expire
		start = retry.Later(start, notBefore)
	}
	var seen time.Time // when a running daemon has not seen the file before
	if p.place.pid == 0 {
		seen = p.now
	}
	end := retry.End(came, notBefore, expire, seen, cmp.Or(p.opts.MaxAge, retry.MaxAge))
	next, gone, why := schedule(start, failed, cmp.Or(p.opts.Attempts, retry.Attempts), end)
	p.Line("retried", "n minutes after the n-th failed attempt, at most 30, give or take a tenth")
	if len(next) > 0 {
		var times []string
		for _, t := range next[:min(len(next), shownRetries)] {
			times = append(times, t.Local().Format("15:04"))
		}
		if len(next) > shownRetries {
			times = append(times, "…")
		}
		p.Line("that is at", "%s, if the first attempt is at %s", strings.Join(times, ", "), stamp(start))
	}
	p.Line("given up", "%s, %s", stamp(gone), why)
	if report := p.report(); report != "" {
		p.Line("then", "it goes to failed/, and %s", report)
	}
}

// report returns the sentence about the report to the sender.
func (p *planPage) report() string {
	switch {
	case p.addresses.From == "":
		return "there is no report, because it has the null sender"
	case p.opts.NoReports:
		return "there is no report (-bounce=false)"
	}
	return p.addresses.From + " gets a report"
}

// schedule returns the times of the next attempts, if all fail, and when and why the message is given up. start is the
// time of the next attempt, failed the number of failed attempts, and most their limit.
func schedule(start time.Time, failed, most int, end time.Time) (next []time.Time, gone time.Time, why string) {
	tooOld := "when it is too old"
	if start.After(end) {
		return nil, end, tooOld
	}
	for at, n := start, failed+1; ; n++ {
		if n >= most {
			return next, at, fmt.Sprintf("after %s", console.Count(most, "failed attempt"))
		}
		if at = at.Add(retry.After(n)); at.After(end) {
			return next, end, tooOld
		}
		next = append(next, at)
	}
}
