// Package logger makes the log of the daemon: lines of text or JSON, or lines with a priority for the journal of
// systemd.
package logger

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
)

// New returns a logger that writes records of at least level to w, as JSON or as text. Its handler has the method
// Together, see joined.
func New(w io.Writer, level slog.Leveler, asJSON bool) *slog.Logger {
	lines := &together{w: w}
	return slog.New(joined{newLogger(lines, level, asJSON, isJournal(w, os.Getenv)).Handler(), lines})
}

func newLogger(w io.Writer, level slog.Leveler, asJSON, toJournal bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	w = plain{w, asJSON}
	if !toJournal {
		return slog.New(handler(w, opts, asJSON))
	}
	if !asJSON {
		opts.ReplaceAttr = withoutTime
	}
	return slog.New(forJournal(w, func(w io.Writer) slog.Handler { return handler(w, opts, asJSON) }))
}

func handler(w io.Writer, opts *slog.HandlerOptions, asJSON bool) slog.Handler {
	if asJSON {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// journal is a handler for the journal of systemd. Each line begins with the priority of the record, as "<4>"
// (sd-daemon(3)), so that journalctl -p warning finds it.
type journal struct {
	slog.Handler               // writes to line
	line         *bytes.Buffer // shared with handlers of WithAttrs and WithGroup
	lock         *sync.Mutex   // for line and w
	w            io.Writer
}

// forJournal returns a handler that writes to w the lines of the handler that format makes.
func forJournal(w io.Writer, format func(io.Writer) slog.Handler) slog.Handler {
	line := new(bytes.Buffer)
	return journal{format(line), line, new(sync.Mutex), w}
}

// Handle implements slog.Handler. One record is one write.
func (j journal) Handle(ctx context.Context, r slog.Record) error {
	j.lock.Lock()
	defer j.lock.Unlock()
	j.line.Reset()
	j.line.WriteString(priority(r.Level))
	if err := j.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := j.w.Write(j.line.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (j journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	j.Handler = j.Handler.WithAttrs(attrs)
	return j
}

// WithGroup implements slog.Handler.
func (j journal) WithGroup(name string) slog.Handler {
	j.Handler = j.Handler.WithGroup(name)
	return j
}

// priority returns the prefix of a line of that level.
func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "<3>"
	case level >= slog.LevelWarn:
		return "<4>"
	case level >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}

// withoutTime removes the time of a record: the journal adds its own.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.Attr{}
	}
	return a
}

// isJournal reports whether w is the journal, as JOURNAL_STREAM says (systemd.exec(5)).
func isJournal(w io.Writer, env func(string) string) bool {
	f, ok := w.(*os.File)
	return ok && env("JOURNAL_STREAM") != "" && env("JOURNAL_STREAM") == streamOf(f)
}
