package explain

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Write shows the plan.
func (p *Plan) Write(page Page) {
	fmt.Fprintf(page.W, "%s: %s\n", console.Escape(p.Path), console.Escape(p.verdict()))
	if p.Waits != nil {
		page.Line("not yet", "%v: the daemon waits until the file is left alone", p.Waits)
	}
	if p.Unusable == nil {
		p.writeEnvelope(page)
		p.writeContent(page)
		p.writeWay(page)
		p.writeRetries(page)
	}
	p.writePlace(page)
}

// verdict is the plan in a sentence.
func (p *Plan) verdict() string {
	to, bad, done := p.recipients()
	where := map[string]string{
		holdDir: "it is held; back in the spool, ", failedDir: "it was given up; back in the spool, ",
		spooldir.TmpDir: "it is being written; in the spool, ",
	}[p.place.sub]
	switch {
	case errors.Is(p.Unusable, message.ErrHeaderTooLong):
		return fmt.Sprintf("it is no message (%v) and would go to failed/", p.Unusable)
	case p.Unusable != nil:
		return fmt.Sprintf("it would stay where it is, until it is changed: %v", p.Unusable)
	case len(to) == 0 && done == 0:
		return where + "it would go to failed/ at once, as no recipient is an address"
	case len(to) == 0:
		return "all is done for its recipients, and it is about to leave the spool"
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
		text += "; 1 more is no address, so that it would go to failed/ then"
	case bad > 1:
		text += fmt.Sprintf("; %d more are no addresses, so that it would go to failed/ then", bad)
	}
	return text
}

func (p *Plan) writeEnvelope(page Page) {
	source := "the header"
	if p.origin.From == message.EnvelopeLine {
		source = "the envelope line, whatever the header says"
	}
	page.Head("Envelope, from %s", source)
	in := func(field string) string {
		if field == message.EnvelopeLine {
			return ""
		}
		return "  (" + field + ")"
	}
	if p.addresses.From == "" {
		page.Line("from", "<>  nobody, so nobody is told if it fails%s", in(p.origin.From))
	} else {
		page.Line("from", "%s%s", p.addresses.From, in(p.origin.From))
	}
	for _, part := range []struct {
		field string
		list  []message.Address
	}{{p.origin.To, p.addresses.To}, {p.origin.Cc, p.addresses.Cc}, {p.origin.Bcc, p.addresses.Bcc}} {
		for _, a := range part.list {
			if a.Err != nil {
				page.Line("bad", "%s%s  given up at once: %v", a.Addr, in(part.field), a.Err)
			} else {
				page.Line("to", "%s%s", a.Addr, in(part.field))
			}
		}
	}
	p.writeWishes(page)
}

// writeWishes shows what else the envelope line says.
func (p *Plan) writeWishes(page Page) {
	env := p.file.Envelope
	if env == nil {
		return
	}
	if !env.NotBefore.IsZero() {
		page.Line("not before", "%s", stamp(env.NotBefore))
	}
	if !env.Expire.IsZero() {
		page.Line("expires", "%s", stamp(env.Expire))
	}
	if env.Priority != 0 {
		page.Line("priority", "%d", env.Priority)
	}
	for i, n := range env.Notify {
		if n != "" {
			page.Line("notify", "%s of %s", n, env.To[i])
		}
	}
	if env.Ret != "" {
		page.Line("ret", "%s", env.Ret)
	}
}

func (p *Plan) writeContent(page Page) {
	page.Head("What is sent: %s, made of the %d in the file", console.Count(p.size, "byte"), p.file.ID.Size)
	for line := range strings.Lines(p.preamble) {
		page.Line("left out", "%s", strings.TrimRight(line, "\r\n"))
	}
	for _, field := range p.file.Header.LeftOut() {
		page.Line("left out", "%s", folded(field))
	}
	front := p.file.Header.Front(message.Added{Date: p.file.ID.ModTime, MessageID: p.messageID})
	for line := range strings.Lines(string(front)) {
		page.Line("added", "%s", strings.TrimRight(line, "\r\n"))
	}
	switch {
	case p.fixed != nil:
		page.Line("text", "8-bit, as it is to a relay with 8BITMIME; one without does not get it: %v", p.fixed)
	case p.eightBit:
		page.Line("text", "8-bit, as it is to a relay with 8BITMIME, re-encoded for one without")
	default:
		page.Line("text", "7-bit, as it is")
	}
	page.Line("lines", "end in CRLF")
	if p.file.Header.EightBit() {
		page.Line("SMTPUTF8", "is asked for where it is offered, as the header has letters that are not ASCII")
	}
	to, _, _ := p.recipients()
	for _, a := range append([]string{p.addresses.From}, to...) {
		if smtpclient.NeedsUTF8(a) {
			page.Line("SMTPUTF8", "is needed for %s", a)
		}
	}
}

func (p *Plan) writeWay(page Page) {
	page.Head("Relay, as %s", p.way.chosenBy())
	for i, r := range p.way.relays {
		label := "relay"
		if i > 0 {
			label = "or else"
		}
		page.Line(label, "%s", r.Name())
		page.Line("TLS", "%s", p.way.tlsOf(r))
	}
	page.Line("login", "%s", p.way.login())
	if p.way.settings.NeedsSecret() {
		page.Line("", "over a verified connection only, or to this host")
	}
}

// shownRetries is how many of the times of the next attempts are shown.
const shownRetries = 6

func (p *Plan) writeRetries(page Page) {
	page.Head("If it is not taken for now")
	start, failed, came := p.now, 0, p.now
	if m := p.place.message; m != nil {
		if !m.Enqueued.IsZero() {
			came = m.Enqueued
		}
		for _, r := range m.Recipients() {
			if r.Status == record.Waiting && r.Attempts >= failed {
				failed, start = r.Attempts, later(r.NextAttempt, p.now)
			}
		}
	}
	var notBefore, expire time.Time
	if env := p.file.Envelope; env != nil {
		notBefore, expire = env.NotBefore, env.Expire
		start = later(start, notBefore)
	}
	var seen time.Time // a daemon that runs has seen it before
	if p.place.pid == 0 {
		seen = p.now
	}
	end := retry.End(came, notBefore, expire, seen, cmp.Or(p.opts.MaxAge, retry.MaxAge))
	next, gone, why := schedule(start, failed, cmp.Or(p.opts.Attempts, retry.Attempts), end)
	page.Line("tried again", "n minutes after the n-th failed attempt, at most 30, give or take a tenth")
	if len(next) > 0 {
		var times []string
		for _, t := range next[:min(len(next), shownRetries)] {
			times = append(times, t.Local().Format("15:04"))
		}
		if len(next) > shownRetries {
			times = append(times, "…")
		}
		page.Line("so at", "%s, if the first attempt is at %s", strings.Join(times, ", "), stamp(start))
	}
	page.Line("given up", "%s, %s", stamp(gone), why)
	if tell := p.told(); tell != "" {
		page.Line("then", "it goes to failed/, and %s", tell)
	}
}

// told says who hears that the message was given up.
func (p *Plan) told() string {
	switch {
	case p.addresses.From == "":
		return "nobody is told, as it has no sender"
	case p.opts.NoReports:
		return "nobody is told (-bounce=false)"
	}
	return p.addresses.From + " is told by mail"
}

// schedule returns when a message is tried again whose next attempt is at start, if none of the attempts is a success, and
// when it is given up, and why. Some have failed already; most is how many may.
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

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
