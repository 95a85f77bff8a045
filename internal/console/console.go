// Package console formats output for people: it tells terminals from pipes, and escapes text of unknown origin.
package console

import (
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// descriptor returns the file descriptor of v; ok is false if v is no file.
func descriptor(v any) (int, bool) {
	f, ok := v.(interface{ Fd() uintptr })
	if !ok {
		return 0, false
	}
	return int(f.Fd()), true
}

// IsTerminal reports whether v, a reader or a writer, is a terminal.
func IsTerminal(v any) bool {
	fd, ok := descriptor(v)
	return ok && term.IsTerminal(fd)
}

// Bounds of the width of a layout, in columns.
const (
	narrowest = 40
	widest    = 400
)

// Width returns the width of the terminal v in columns; 80 if v is no terminal, or has no width.
func Width(v any) int {
	width := 80
	if fd, ok := descriptor(v); ok {
		if w, _, err := term.GetSize(fd); err == nil && w > 0 {
			width = w
		}
	}
	return max(narrowest, min(width, widest))
}

// Height returns the height of the terminal v in lines; 24 if v is no terminal, or has no height.
func Height(v any) int {
	if fd, ok := descriptor(v); ok {
		if _, h, err := term.GetSize(fd); err == nil && h > 0 {
			return h
		}
	}
	return 24
}

// A Style is how text stands out on a terminal.
type Style string

// The styles.
const (
	Bold   Style = "1"
	Faint  Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// A Painter colours text, or returns it unchanged.
type Painter bool

// PainterFor returns a Painter that colours if v is a terminal and the environment allows colours (NO_COLOR, see
// no-color.org; TERM=dumb).
func PainterFor(v any) Painter {
	return Painter(IsTerminal(v) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

// Paint returns text in a style; an empty style changes no text.
func (p Painter) Paint(text string, s Style) string {
	if !p || s == "" || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// hostile reports whether r can do more to a terminal, or to a reader, than be seen: control characters, characters
// that turn or hide text, and unusual line ends.
func hostile(r rune) bool {
	if ' ' <= r && r <= '~' {
		return false
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
}

// Escape makes text of unknown origin safe for a terminal and for one line. Hostile characters and invalid UTF-8 are
// written as Go writes them: \n or \x1b or \u202e.
func Escape(text string) string {
	plain := true
	for _, r := range text {
		if hostile(r) || r == utf8.RuneError {
			plain = false
			break
		}
	}
	if plain {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case hostile(r):
			quoted := fmt.Sprintf("%+q", string(r))
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// EscapeLines is Escape for text that may have several lines.
func EscapeLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = Escape(lines[i])
	}
	return strings.Join(lines, "\n")
}

// EscapeJSON is Escape for a line of JSON: characters that encoding/json leaves in strings and that a terminal might
// obey are written as \u202e.
func EscapeJSON(line []byte) []byte {
	out := make([]byte, 0, len(line))
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRune(line[i:])
		switch {
		case r < utf8.RuneSelf && r != 0x7f || !hostile(r):
			out = append(out, line[i:i+size]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
	}
	return out
}
