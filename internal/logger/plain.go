package logger

import (
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// A plain writer escapes characters in log lines that slog leaves as they are and that a terminal obeys: DEL, and, in
// JSON, C1 controls and characters that change the direction of text. The name of a file may hold them.
type plain struct {
	w      io.Writer
	asJSON bool
}

// Write implements io.Writer. A line with such a character is one write, too.
func (p plain) Write(line []byte) (int, error) {
	safe := line
	for i := 0; i < len(line); i++ {
		if line[i] >= 0x7f {
			safe = p.escape(line)
			break
		}
	}
	if _, err := p.w.Write(safe); err != nil {
		return 0, err
	}
	return len(line), nil
}

// escape returns the line with escapes. The line itself if there is nothing to escape.
func (p plain) escape(line []byte) []byte {
	var safe []byte
	done := 0
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRune(line[i:])
		if r == 0x7f || r >= 0x80 && r <= 0x9f || unicode.Is(unicode.Bidi_Control, r) {
			format := `\u%04x`
			if !p.asJSON && r <= 0xff {
				format = `\x%02x`
			}
			safe = append(safe, line[done:i]...)
			safe = fmt.Appendf(safe, format, r)
			done = i + size
		}
		i += size
	}
	if done == 0 {
		return line
	}
	return append(safe, line[done:]...)
}
