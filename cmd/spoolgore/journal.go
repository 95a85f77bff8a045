package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
)

// journaled is a log for the journal of systemd, which keeps the time by itself: in front of each line stands its level in
// the journal's numbers (sd-daemon(3)), so that journalctl -p warning finds it.
type journaled struct {
	by map[int]slog.Handler // by the number in front
}

// priorities are the journal's numbers for levels, the highest level first.
var priorities = []struct {
	from   slog.Level
	number int
}{{slog.LevelError, 3}, {slog.LevelWarn, 4}, {slog.LevelInfo, 6}, {slog.LevelDebug, 7}}

// forJournal returns a handler that writes the lines of those that inner makes to w.
func forJournal(w io.Writer, inner func(io.Writer) slog.Handler) slog.Handler {
	j := journaled{by: make(map[int]slog.Handler)}
	lock := new(sync.Mutex)
	for _, p := range priorities {
		j.by[p.number] = inner(&weighted{lock, w, []byte{'<', byte('0' + p.number), '>'}})
	}
	return j
}

// weighted puts a prefix in front of each write, which is a line.
type weighted struct {
	lock   *sync.Mutex
	w      io.Writer
	prefix []byte
}

// Write writes a line at once, so that it is not mixed with others.
func (p *weighted) Write(line []byte) (int, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	_, err := p.w.Write(append(p.prefix[:len(p.prefix):len(p.prefix)], line...))
	return len(line), err
}

func (j journaled) handler(level slog.Level) slog.Handler {
	for _, p := range priorities {
		if level >= p.from {
			return j.by[p.number]
		}
	}
	return j.by[7]
}

// Enabled implements slog.Handler.
func (j journaled) Enabled(ctx context.Context, level slog.Level) bool {
	return j.handler(level).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (j journaled) Handle(ctx context.Context, r slog.Record) error {
	return j.handler(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (j journaled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return j.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (j journaled) WithGroup(name string) slog.Handler {
	return j.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (j journaled) each(change func(slog.Handler) slog.Handler) slog.Handler {
	next := journaled{by: make(map[int]slog.Handler)}
	for number, h := range j.by {
		next.by[number] = change(h)
	}
	return next
}

// timeless leaves the time out of a line: the journal keeps it.
func timeless(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.Attr{}
	}
	return a
}

// isJournal reports whether w goes to the journal, as systemd says in JOURNAL_STREAM (systemd.exec(5)).
func isJournal(w io.Writer, env func(string) string) bool {
	f, ok := w.(*os.File)
	return ok && env("JOURNAL_STREAM") != "" && env("JOURNAL_STREAM") == streamOf(f)
}
