package message

import (
	"bytes"
	"strings"
)

const (
	envelopeName = "X-Spoolgore-Envelope:"
	bom          = "\uFEFF"
	mboxName     = "From "
	blanks       = " \t"
)

// What replaces a line end, and a CR that is none.
var (
	crlf  = []byte("\r\n")
	space = []byte(" ")
)

// layout says where in a file the parts are.
type layout struct {
	envelope   []byte // what follows the name on the envelope line; nil: no such line
	start, end int    // the header's lines, without the blank one
	body       int
	blank      bool // there is a blank line between end and body
}

// findLayout finds the parts of the file that begins with raw; whole says that raw is all of it. The answer is false
// if the end of the header may come with more bytes.
func findLayout(raw []byte, whole bool) (layout, bool) {
	var l layout
	if !l.skipPreamble(raw, whole) {
		return l, false
	}
	end := lineEnd(raw, l.start)
	if end < 0 && !whole && len(raw) < MaxHeader {
		return l, false
	}
	first := raw[l.start:]
	if end >= 0 {
		first = raw[l.start:end]
	}
	if !isBlank(first) && fieldName(clean(first)) == 0 {
		l.end, l.body = l.start, l.start // no header: everything is body
		return l, true
	}
	for at := l.start; end >= 0; at, end = end, lineEnd(raw, end) {
		if isBlank(raw[at:end]) {
			l.end, l.body, l.blank = at, end, true
			return l, true
		}
	}
	l.end, l.body = len(raw), len(raw)
	return l, whole
}

// skipPreamble sets l.start behind what is at the start of a file but no part of the message: a byte order mark, the
// envelope line, a byte order mark and an mbox line of the message that the envelope line was put in front of.
func (l *layout) skipPreamble(raw []byte, whole bool) bool {
	l.start = skipPrefix(raw, 0, bom)
	if prefix := raw[l.start:]; len(prefix) >= len(envelopeName) &&
		strings.EqualFold(string(prefix[:len(envelopeName)]), envelopeName) {
		line, next, ok := cutLine(raw, l.start, whole)
		if !ok {
			return false
		}
		l.envelope = line[len(envelopeName):]
		l.start = skipPrefix(raw, next, bom)
	}
	line, next, ok := cutLine(raw, l.start, whole)
	if ok && bytes.HasPrefix(line, []byte(mboxName)) && fieldName(line) == 0 {
		l.start = next
	}
	return ok || len(raw) == MaxHeader
}

func skipPrefix(raw []byte, at int, prefix string) int {
	if bytes.HasPrefix(raw[at:], []byte(prefix)) {
		return at + len(prefix)
	}
	return at
}

// lineEnd returns the offset behind the LF of the line that begins at offset at, or -1 if there is no LF.
func lineEnd(raw []byte, at int) int {
	if i := bytes.IndexByte(raw[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return -1
}

// cutLine returns the line that begins at offset at as it reads once cleaned, and the offset of the next. It fails if
// the line's end is not in raw, unless raw is the whole file: the last line needs no end.
func cutLine(raw []byte, at int, whole bool) (line []byte, next int, ok bool) {
	end := lineEnd(raw, at)
	if end < 0 {
		if !whole {
			return nil, 0, false
		}
		end = len(raw)
	}
	return clean(raw[at:end]), end, true
}

// isBlank reports whether the line, with its end, is the one that ends a header. CR CR LF is not: the first CR counts as a space.
func isBlank(line []byte) bool {
	return string(line) == "\n" || string(line) == "\r\n"
}

// clean takes the line end off, if there is one, and makes a space of every other CR, as it is done on the way out.
func clean(line []byte) []byte {
	if bytes.HasSuffix(line, crlf) {
		line = line[:len(line)-2]
	} else {
		line = bytes.TrimSuffix(line, []byte("\n"))
	}
	if bytes.IndexByte(line, '\r') < 0 {
		return line
	}
	return bytes.ReplaceAll(line, []byte("\r"), space)
}

// fieldName returns the length of the field name that the line begins with, or 0 if it begins no field. Blanks between
// name and colon are let pass, because other readers do so, too: "Bcc : x" must not go out.
func fieldName(line []byte) int {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return 0
	}
	name := bytes.TrimRight(line[:colon], blanks)
	for _, c := range name {
		if c < 33 || c > 126 {
			return 0
		}
	}
	return len(name)
}

// group brings the header's lines into the form they go out in and makes fields of them. A line that begins no field,
// be it folded, without a colon or with an impossible name, belongs to the field before it. The first line begins one.
func group(raw []byte) []field {
	lines := bytes.Count(raw, []byte("\n")) + 1
	text := make([]byte, 0, len(raw)+2*lines)
	fields := make([]field, 0, lines)
	start := 0
	for at := 0; at < len(raw); {
		line, next, _ := cutLine(raw, at, true)
		if name := fieldName(line); name > 0 {
			start = len(text)
			fields = append(fields, field{name: name})
		}
		text = append(append(text, line...), crlf...)
		if last := len(fields) - 1; last >= 0 {
			fields[last].text = text[start:len(text):len(text)]
		}
		at = next
	}
	return fields
}
