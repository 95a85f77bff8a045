package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/queue"
)

// publisher logs events and trouble, and hands events to the application.
type publisher struct {
	opts  *Options
	dir   string      // path of the spool directory
	attrs []slog.Attr // memory of the attributes of one event
	ailed bool        // acts failed for a reason apart from their files at the last call of trouble
}

// publish logs events and passes them to the application.
func (p *publisher) publish(events []queue.Event) {
	log := p.opts.Logger
	for i := range events {
		ev := &events[i]
		if level := levelOf(ev); log.Enabled(context.Background(), level) {
			log.LogAttrs(context.Background(), level, texts[ev.Kind], p.attrsOf(ev)...)
		}
		p.opts.OnEvent(*ev)
	}
}

// texts are the log messages of events.
var texts = map[queue.Kind]string{
	queue.Queued: "queued", queue.Sent: "delivered", queue.Deferred: "delivery deferred", queue.Failed: "given up",
	queue.Kept: "kept in failed", queue.Unsendable: "file cannot be sent",
}

// levelOf returns the log level of an event. Trouble of a relay is logged once, not once for each message.
func levelOf(ev *queue.Event) slog.Level {
	byRelay := ev.Outcome.Fault == attempt.Relay || ev.Outcome.Fault == attempt.None
	switch {
	case ev.Kind == queue.Queued, ev.Kind == queue.Deferred && byRelay:
		return slog.LevelDebug
	case ev.Kind == queue.Sent, ev.Kind == queue.Kept:
		return slog.LevelInfo
	case ev.Kind == queue.Deferred:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// attrsOf returns the facts of an event. The slice is good until the next call.
func (p *publisher) attrsOf(ev *queue.Event) []slog.Attr {
	attrs := append(p.attrs[:0], slog.String("file", ev.File))
	if ev.To != "" {
		attrs = append(attrs, slog.String("from", ev.From), slog.String("to", ev.To), slog.Int("attempt", ev.Attempt))
	}
	if ev.ID != "" {
		attrs = append(attrs, slog.String("message-id", ev.ID), slog.Int64("size", ev.Size))
	}
	if !ev.Since.IsZero() {
		attrs = append(attrs, slog.Duration("age", max(0, ev.Time.Sub(ev.Since)).Round(time.Millisecond)))
	}
	if ev.Outcome.Relay != "" {
		attrs = append(attrs, slog.String("relay", ev.Outcome.Relay))
	}
	if ev.Outcome.TLS != "" {
		attrs = append(attrs, slog.String("tls", ev.Outcome.TLS))
	}
	if ev.Outcome.Reply != "" {
		attrs = append(attrs, slog.String("reply", ev.Outcome.Reply))
	}
	if ev.Outcome.Fault != attempt.None {
		attrs = append(attrs, slog.String("fault", ev.Outcome.Fault.String()))
	}
	if ev.Err != nil {
		attrs = append(attrs, slog.String("err", ev.Err.Error()))
	}
	if ev.Path != "" {
		attrs = append(attrs, slog.String("path", ev.Path))
	}
	if !ev.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", ev.Next))
	}
	p.attrs = attrs
	return attrs
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
