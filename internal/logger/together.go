package logger

import (
	"io"
	"log/slog"
	"sync"
)

// maxTogether is the size from which on lines that are held back are written, in bytes.
const maxTogether = 64 << 10

// A together is a writer of lines that can write several lines with one call.
type together struct {
	w io.Writer

	mu   sync.Mutex
	held int    // calls of do under way, guarded by mu like text
	text []byte // lines that were held back
}

// Write writes one line or, during do, holds the line back.
func (t *together) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == 0 {
		return t.w.Write(line)
	}
	t.text = append(t.text, line...)
	if len(t.text) >= maxTogether {
		t.flush()
	}
	return len(line), nil
}

// do calls f, and then writes the lines of f.
func (t *together) do(f func()) {
	t.mu.Lock()
	t.held++
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.held--; t.held == 0 && len(t.text) > 0 {
			t.flush()
		}
	}()
	f()
}

func (t *together) flush() {
	_, _ = t.w.Write(t.text) // package slog ignores this error, too
	t.text = t.text[:0]
}

// A joined is a handler with a together as its writer.
type joined struct {
	slog.Handler
	w *together
}

// Together calls f, and then writes the lines that were logged meanwhile with one call.
func (j joined) Together(f func()) { j.w.do(f) }

// WithAttrs implements slog.Handler.
func (j joined) WithAttrs(attrs []slog.Attr) slog.Handler {
	return joined{j.Handler.WithAttrs(attrs), j.w}
}

// WithGroup implements slog.Handler.
func (j joined) WithGroup(name string) slog.Handler { return joined{j.Handler.WithGroup(name), j.w} }
