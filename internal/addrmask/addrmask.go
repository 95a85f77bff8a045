// Package addrmask shortens mail addresses, in logs and in the trace of outcomes: "ann@example.org" becomes
// "a…@example.org".
package addrmask

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"unicode/utf8"
)

const mark = "…"

// Address returns the first character of the local part, a mark and the domain. A text without an "@" is returned as it
// is: the null sender, for instance. A shortened address stays as it is.
func Address(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || strings.HasSuffix(address[:at], mark) && utf8.RuneCountInString(address[:at]) <= 2 {
		return address
	}
	_, n := utf8.DecodeRuneInString(address[:at])
	return address[:n] + mark + address[at:]
}

// inText finds addresses: quoted local parts, and dot-atoms (RFC 5322, section 3.4.1).
var inText = regexp.MustCompile(`("(?:[^"\\]|\\.)*"|[^\s<>()\[\]"',;:@\\]+)@[^\s<>()"',;:@\\]+`)

// Text returns text with every address in it shortened.
func Text(text string) string {
	if strings.IndexByte(text, '@') < 0 {
		return text
	}
	return inText.ReplaceAllStringFunc(text, Address)
}

// kept are the names of attributes whose values look like addresses and are none.
var kept = map[string]bool{"message-id": true, "file": true, "path": true, "dir": true, "report": true, "relay": true}

// A handler shortens the addresses in the attributes of records while on returns true.
type handler struct {
	slog.Handler
	on func() bool
}

// NewHandler returns a handler that shortens the addresses in attributes, and passes records on to h. The attributes
// for names of files, relays and messages are kept. While on returns false records are passed on as they are; nil: on.
func NewHandler(h slog.Handler, on func() bool) slog.Handler {
	if on == nil {
		on = func() bool { return true }
	}
	return handler{h, on}
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.on() {
		return h.Handler.Handle(ctx, r)
	}
	short := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		short.AddAttrs(shorten(a))
		return true
	})
	return h.Handler.Handle(ctx, short)
}

// shorten shortens the addresses in the value of an attribute.
func shorten(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch {
	case kept[a.Key]:
	case value.Kind() == slog.KindString:
		a.Value = slog.StringValue(Text(value.String()))
	case value.Kind() == slog.KindAny:
		if err, ok := value.Any().(error); ok {
			a.Value = slog.StringValue(Text(err.Error()))
		}
	}
	return a
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if h.on() {
		short := make([]slog.Attr, len(attrs))
		for i, a := range attrs {
			short[i] = shorten(a)
		}
		attrs = short
	}
	return handler{h.Handler.WithAttrs(attrs), h.on}
}

// Together calls f, and lets the handler of NewHandler write the lines of f together, if that handler can.
func (h handler) Together(f func()) {
	if t, ok := h.Handler.(interface{ Together(f func()) }); ok {
		t.Together(f)
		return
	}
	f()
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name), h.on} }
