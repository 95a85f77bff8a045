package message

import (
	"bytes"
	"strings"
)

const (
	envelopeName = "X-Spoolgore-Envelope:"
	bom          = "\uFEFF"
	mboxName     = "From "
	mboxOldName  = ">From " // separators of earlier hosts, below the first separator
	blanks       = " \t"
)

// Replacements for a line end and for a CR outside of a line end.
var (
	crlf  = []byte("\r\n")
	space = []byte(" ")
)

// layout holds the offsets of the parts of a file.
type layout struct {
	envelope   []byte // text behind the name on the envelope line; nil: no envelope line
	block      []byte // lines of the top block; nil: no top block
	start, end int    // lines of the header, without the blank line
	body       int
}

// findLayout finds the parts of the file that begins with raw. If whole is set, raw is the whole file. findLayout
// returns false if the end of the header may follow behind raw.
//
// The header ends at a blank line, or before the first line that is neither a field nor a continuation line.
func findLayout(raw []byte, whole bool) (layout, bool) {
	var l layout
	if !l.skipPreamble(raw, whole) {
		return l, false
	}
	for at := l.start; at < len(raw); {
		line, next, ok := cutLine(raw, at, whole)
		if !ok && (at > l.start || len(raw) < MaxHeader || fieldName(raw[at:]) > 0) {
			return l, false
		}
		if ok && isBlank(raw[at:next]) {
			l.end, l.body = at, next
			return l, true
		}
		if fieldName(line) == 0 && (at == l.start || !isContinuation(line)) {
			l.end, l.body = at, at
			return l, true
		}
		at = next
	}
	l.end, l.body = len(raw), len(raw)
	return l, whole
}

// isContinuation reports whether a line of a header, without its end, continues the field above it.
func isContinuation(line []byte) bool {
	return len(line) > 0 && strings.IndexByte(blanks, line[0]) >= 0
}

// skipPreamble sets l.start behind what may precede the message in its file: a byte order mark, then the envelope line
// or the top block, then a byte order mark and mbox separators. It returns false if the preamble may go on behind raw.
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
	if l.envelope == nil {
		end, ok := topBlock(raw, l.start, whole)
		if !ok {
			return len(raw) == MaxHeader
		}
		if end > l.start {
			l.block, l.start = raw[l.start:end], end
			return true
		}
	}
	return l.skipMbox(raw, whole)
}

// skipMbox sets l.start behind the mbox separators at that place.
func (l *layout) skipMbox(raw []byte, whole bool) bool {
	for prefix := mboxName; ; prefix = mboxOldName {
		line, next, ok := cutLine(raw, l.start, whole)
		if !ok {
			return len(raw) == MaxHeader
		}
		if !bytes.HasPrefix(line, []byte(prefix)) || fieldName(line) > 0 {
			return true
		}
		l.start = next
	}
}

func skipPrefix(raw []byte, at int, prefix string) int {
	if bytes.HasPrefix(raw[at:], []byte(prefix)) {
		return at + len(prefix)
	}
	return at
}

// cutLine returns the line at offset at, cleaned, and the offset of the next line. It returns false if the end of the
// line is not in raw, unless raw is the whole file: the last line needs no end.
func cutLine(raw []byte, at int, whole bool) (line []byte, next int, ok bool) {
	end := len(raw)
	if i := bytes.IndexByte(raw[at:], '\n'); i >= 0 {
		end = at + i + 1
	} else if !whole {
		return nil, 0, false
	}
	return clean(raw[at:end]), end, true
}

// isBlank reports whether the line, with its end, ends a header: an LF, with any number of CRs before it.
func isBlank(line []byte) bool {
	text, ended := bytes.CutSuffix(line, []byte("\n"))
	return ended && len(bytes.TrimRight(text, "\r")) == 0
}

// clean removes the line end, if there is one: an LF and the CRs before it. Every other CR becomes a space, as in the
// message that is sent.
func clean(line []byte) []byte {
	if text, ended := bytes.CutSuffix(line, []byte("\n")); ended {
		line = bytes.TrimRight(text, "\r")
	}
	if bytes.IndexByte(line, '\r') < 0 {
		return line
	}
	return bytes.ReplaceAll(line, []byte("\r"), space)
}

// fieldName returns the length of the field name at the start of the line, or 0 if the line begins no field. Blanks
// between name and colon are accepted because other readers accept them: "Bcc : x" must not be sent. A URL is no field.
func fieldName(line []byte) int {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || bytes.HasPrefix(line[colon+1:], []byte("//")) {
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

// group converts the lines of a header to the form in which they are sent, and groups them into fields. A line that
// begins no field is part of the field above it. The first line begins a field.
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
