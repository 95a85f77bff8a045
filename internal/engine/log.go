package engine

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/addrmask"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/sentlog"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// publisher logs events and trouble, remembers outcomes, and hands events to the application.
type publisher struct {
	opts  *Options
	dir   string // path of the spool directory
	sent  *sentlog.Log
	attrs []slog.Attr // memory of the attributes of one event
	ailed bool        // acts failed for a reason apart from their files at the last call of trouble
}

func newPublisher(dir *spooldir.Dir, opts *Options) *publisher {
	log := opts.Logger
	sent := sentlog.New(dir.FS(), dir.Path(), opts.Trace, func(err error, recovered bool) {
		logWrite(log, spooldir.SentFile, err, recovered)
	})
	return &publisher{opts: opts, dir: dir.Path(), sent: sent}
}

// publish logs events and passes them to the application. A log that can write several lines with one call does so.
func (p *publisher) publish(events []queue.Event) {
	if log, ok := p.opts.Logger.Handler().(interface{ Together(f func()) }); ok && len(events) > 1 {
		log.Together(func() { p.publishAll(events) })
		return
	}
	p.publishAll(events)
}

func (p *publisher) publishAll(events []queue.Event) {
	if p.opts.Delivery.HandsOn {
		for i := range events {
			if events[i].Kind == queue.Sent {
				events[i].Kind = queue.HandedOn
			}
		}
	}
	for i := 0; i < len(events); {
		n := sameTransaction(events[i:])
		p.logTransaction(events[i : i+n])
		for j := range n {
			ev := &events[i+j]
			if ev.Kind == queue.Sent || ev.Kind == queue.HandedOn || ev.Kind == queue.Failed {
				p.remember(ev)
			}
			p.opts.OnEvent(*ev)
		}
		i += n
	}
}

// sameTransaction returns how many of the events, from the first one on, are about the first one's transaction, or
// about the first one's new message.
func sameTransaction(events []queue.Event) (n int) {
	first := &events[0]
	for n = 1; n < len(events); n++ {
		ev := &events[n]
		if ev.File != first.File || ev.To == "" || first.To == "" || !ev.Time.Equal(first.Time) ||
			ev.Attempt != first.Attempt || (ev.Kind == queue.Queued) != (first.Kind == queue.Queued) {
			break
		}
	}
	return n
}

// logTransaction logs the events of a transaction. Recipients of a new message share a line. Of many recipients, those
// with the same result share a line.
func (p *publisher) logTransaction(events []queue.Event) {
	switch {
	case events[0].Kind == queue.Queued:
		p.log(events)
		return
	case len(events) <= mostLines:
		for i := range events {
			p.log(events[i : i+1])
		}
		return
	}
	type result struct {
		text, reply, relay string
		kind               queue.Kind
		fault              attempt.Fault
	}
	lines := make(map[result]int, 1)
	var groups [][]queue.Event
	for i := range events {
		ev := &events[i]
		r := result{textOf(ev.Err), ev.Outcome.Reply, ev.Outcome.Relay, ev.Kind, ev.Outcome.Fault}
		at, ok := lines[r]
		if !ok {
			at = len(groups)
			lines[r], groups = at, append(groups, nil)
		}
		groups[at] = append(groups[at], *ev)
	}
	for _, group := range groups {
		p.log(group)
	}
}

const (
	mostLines = 20 // recipients of a transaction that get a line each; of more, those with the same result share a line
	mostNamed = 20 // recipients that one line names
)

// textOf returns the text of err; empty: there is none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// LogEvents logs events of one batch, as an Engine does.
func LogEvents(log *slog.Logger, events []queue.Event) {
	p := &publisher{opts: &Options{Logger: log}}
	for len(events) > 0 {
		n := sameTransaction(events)
		p.logTransaction(events[:n])
		events = events[n:]
	}
}

// log logs events that share a line.
func (p *publisher) log(events []queue.Event) {
	log, ev := p.opts.Logger, &events[0]
	if level := levelOf(ev); log.Enabled(context.Background(), level) {
		log.LogAttrs(context.Background(), level, texts[ev.Kind], p.attrsOf(events)...)
	}
}

// texts are the log messages of events.
var texts = map[queue.Kind]string{
	queue.Queued: "queued", queue.Sent: "delivered", queue.HandedOn: "handed on",
	queue.Deferred: "delivery deferred", queue.Failed: "given up",
	queue.Kept: "kept in failed", queue.Unsendable: "file cannot be sent",
	queue.Withheld: "message held, as a recipient is not allowed",
}

// levelOf returns the log level of an event. Trouble of a relay is logged once, not once for each message.
func levelOf(ev *queue.Event) slog.Level {
	byRelay := ev.Outcome.Fault == attempt.Relay || ev.Outcome.Fault == attempt.None
	switch {
	case ev.Kind == queue.Deferred && byRelay:
		return slog.LevelDebug
	case ev.Kind == queue.Queued, ev.Kind == queue.Sent, ev.Kind == queue.HandedOn, ev.Kind == queue.Kept:
		return slog.LevelInfo
	case ev.Kind == queue.Deferred, ev.Kind == queue.Withheld:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// attrsOf returns the facts of events that share a line. The slice is good until the next call.
func (p *publisher) attrsOf(events []queue.Event) []slog.Attr {
	ev := &events[0]
	attrs := append(p.attrs[:0], slog.String("file", ev.File))
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if ev.To != "" {
		attrs = append(attrs, slog.String("from", ev.From), slog.String("to", named(events)))
		if len(events) > 1 {
			attrs = append(attrs, slog.Int("recipients", len(events)))
		}
		if ev.Kind != queue.Queued {
			attrs = append(attrs, slog.Int("attempt", ev.Attempt))
		}
	}
	if ev.ID != "" {
		attrs = append(attrs, slog.String("id", ev.ID))
	}
	if ev.MessageID != "" {
		attrs = append(attrs, slog.String("message-id", ev.MessageID), slog.Int64("size", ev.Size))
	}
	text("uid", ev.UID)
	if !ev.Since.IsZero() {
		attrs = append(attrs, slog.Duration("age", max(0, ev.Time.Sub(ev.Since)).Round(time.Millisecond)))
	}
	text("redirect", ev.Outcome.Redirect)
	text("relay", ev.Outcome.Relay)
	text("addr", ev.Outcome.Addr)
	text("tls", ev.Outcome.TLS)
	text("reply", ev.Outcome.Reply)
	if ev.Outcome.Fault != attempt.None {
		attrs = append(attrs, slog.String("fault", ev.Outcome.Fault.String()))
	}
	text("err", textOf(ev.Err))
	text("path", ev.Path)
	if !ev.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", ev.Next))
	}
	p.attrs = attrs
	return attrs
}

// named returns the recipients of events, separated by commas: the first ones, if there are many.
func named(events []queue.Event) string {
	if len(events) == 1 {
		return events[0].To
	}
	var all strings.Builder
	for i := range events[:min(len(events), mostNamed)] {
		if i > 0 {
			all.WriteByte(',')
		}
		all.WriteString(events[i].To)
	}
	return all.String()
}

// remember adds the outcome for a recipient to the log of outcomes.
func (p *publisher) remember(ev *queue.Event) {
	if p.opts.Trace == 0 {
		return
	}
	p.sent.Add(OutcomeOf(ev, p.opts.ShortAddresses))
}

// OutcomeOf returns the entry of the log of outcomes for ev, an acceptance or a failure.
func OutcomeOf(ev *queue.Event, short bool) sentlog.Entry {
	o := &ev.Outcome
	e := sentlog.Entry{
		Time: ev.Time.Round(0), Outcome: sentlog.Sent, File: ev.File, MessageID: ev.MessageID,
		From: ev.From, To: ev.To, Size: ev.Size, UID: ev.UID, Since: ev.Since.Round(0), Attempt: ev.Attempt,
		Redirect: o.Redirect, Relay: o.Relay, Addr: o.Addr, TLS: o.TLS, Reply: o.Reply,
	}
	if ev.Kind == queue.Failed {
		e.Outcome, e.Error = sentlog.Failed, textOf(ev.Err)
	}
	if short {
		e.From, e.To, e.Redirect = addrmask.Address(e.From), addrmask.Address(e.To), addrmask.Address(e.Redirect)
		e.Reply, e.Error = addrmask.Text(e.Reply), addrmask.Text(e.Error)
	}
	return e
}

// trouble logs err, a reason for failed acts that is not in their files, once, and logs the end of the trouble. A nil
// err means no trouble.
func (p *publisher) trouble(err error) {
	switch {
	case err != nil && !p.ailed:
		p.opts.Logger.Error("files cannot be worked on; retrying", "dir", p.dir, "err", err)
	case err == nil && p.ailed:
		p.opts.Logger.Info("files can be worked on again", "dir", p.dir)
	}
	p.ailed = err != nil
}
