package sevenbit

import (
	"bytes"
	"fmt"
	"iter"
	"mime"
	"strings"

	"github.com/unbit/spoolgore/internal/message"
)

const encodingName = "content-transfer-encoding"

// An entity is a message, a message inside, or a part: a header and a body (RFC 2045, section 2.4).
type entity struct {
	number   int    // number of the header in the message, from 0
	boundary string // boundary of an open multipart
	wraps    bool   // the body is a message
	digest   bool   // the default type of a part is message/rfc822
	fixed    string // reason why octets above 127 in the body cannot be encoded; empty: none
	signed   bool   // the body is signed
	text     bool   // quoted-printable is the encoding, not base64
	message  bool   // not a part of a multipart
	version  bool   // has a MIME-Version
	typed    bool   // has a Content-Type
	encoding string // in lower case; empty: has no Content-Transfer-Encoding
}

// newEntity reads a header. parent is nil for the message itself. Of several fields with a name, only the first counts.
func newEntity(header []byte, parent *entity) entity {
	e := entity{message: parent == nil || parent.wraps, signed: parent != nil && parent.signed}
	value := "text/plain"
	if parent != nil && parent.digest {
		value = "message/rfc822"
	}
	for name, text := range fields(header) {
		switch name {
		case "mime-version":
			e.version = true
		case "content-type":
			if !e.typed {
				e.typed, value = true, plainValue(text)
			}
		case encodingName:
			if e.encoding == "" {
				e.encoding = strings.ToLower(firstWord(strings.Trim(plainValue(text), `"`)))
			}
		case "dkim-signature", "arc-message-signature":
			e.signed = e.signed || parent == nil
		}
	}
	e.setType(value)
	return e
}

// setType records the facts in the value of Content-Type.
func (e *entity) setType(value string) {
	kind, boundary := mediaType(value)
	plain := e.encoding == "" || e.encoding == "7bit" || e.encoding == "8bit" || e.encoding == "binary"
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		e.boundary = boundary
		e.digest = kind == "multipart/digest"
		e.signed = e.signed || kind == "multipart/signed"
		e.fixed = "octets above 127 outside the parts of a multipart"
	case !plain:
		e.fixed = fmt.Sprintf("octets above 127 in a part that says it is encoded: %.40q", e.encoding)
	case kind == "message/rfc822":
		e.wraps = true
	case kind == "message/partial" || kind == "message/external-body":
		e.fixed = "octets above 127 in a " + kind
	case strings.HasSuffix(kind, "pkcs7-mime"):
		e.signed = e.signed || strings.Contains(strings.ToLower(value), "signed-data")
	default: // a value without a slash is no type (RFC 2045, section 5.2)
		e.text = strings.HasPrefix(kind, "text/") || strings.HasPrefix(kind, "message/") || !strings.Contains(kind, "/")
	}
}

// close turns an entity with other entities inside into one body that cannot be encoded.
func (e *entity) close() {
	if e.wraps || e.boundary != "" {
		e.wraps, e.boundary, e.fixed = false, "", "octets above 127 in parts nested too deep"
	}
}

// bare reports whether the body is the body of a message without a media type.
func (e *entity) bare() bool { return e.message && !e.version && !e.typed }

// check returns an error if octets above 127 in the body cannot be encoded.
func (e *entity) check() error {
	switch {
	case e.signed:
		return ErrSigned
	case e.fixed != "":
		return fmt.Errorf("%w: %s", ErrBroken, e.fixed)
	}
	return nil
}

// newHeader appends the header of the entity to b, changed as the marks ask for. The header ends with a blank line: a
// header without a blank line has no body, and no marks.
func (e *entity) newHeader(b *bytes.Buffer, header []byte, m marks) {
	line := "Content-Transfer-Encoding: 7bit\r\n"
	if m&encode != 0 {
		line = "Content-Transfer-Encoding: base64\r\n"
		if e.text {
			line = "Content-Transfer-Encoding: quoted-printable\r\n"
		}
	}
	replaced := false
	for name, text := range fields(header[:len(header)-len(crlf)]) {
		if name == encodingName {
			text, replaced = []byte(line), true
		}
		b.Write(text)
	}
	if m&encode != 0 && e.message && !e.version {
		b.WriteString("MIME-Version: 1.0\r\n")
	}
	if m&encode != 0 && e.bare() {
		charset := "utf-8"
		if m&notUTF8 != 0 {
			charset = "unknown-8bit"
		}
		b.WriteString("Content-Type: text/plain; charset=" + charset + "\r\n")
	}
	if m&encode != 0 && !replaced {
		b.WriteString(line)
	}
	b.Write(crlf)
}

// changes reports whether the header must be rewritten.
func (e *entity) changes(m marks) bool {
	relabel := m&(inside|rawHeader) == inside && (e.encoding == "8bit" || e.encoding == "binary")
	return m&encode != 0 || relabel
}

// fields yields the fields of a header: the name in lower case, and all lines of the field. A line that begins no
// field, folded or not, belongs to the field before, as in package message. Before the first field, the name is empty.
func fields(header []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		name, start, at := "", 0, 0
		for line := range bytes.Lines(header) {
			if n := fieldName(line); n != "" {
				if at > start && !yield(name, header[start:at]) {
					return
				}
				name, start = n, at
			}
			at += len(line)
		}
		if at > start {
			yield(name, header[start:at])
		}
	}
}

// fieldName returns the lower-case name of the field that begins with line, or "" if no field does.
func fieldName(line []byte) string { return strings.ToLower(message.FieldName(line)) }

// plainValue returns the value of a field on one line and without comments (RFC 5322, section 3.2.2).
func plainValue(field []byte) string {
	_, v, _ := bytes.Cut(field, []byte(":"))
	v = bytes.ReplaceAll(v, crlf, []byte(" "))
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(v); i++ {
		part := v[i : i+1]
		keep := depth == 0
		switch c := v[i]; {
		case c == '\\' && (quoted || depth > 0) && i+1 < len(v):
			part = v[i : i+2]
			i++
		case quoted:
			quoted = c != '"'
		case c == '(':
			depth++
			keep = false
		case c == ')' && depth > 0:
			depth--
		case c == '"':
			quoted = depth == 0
		}
		if keep {
			b.Write(part)
		}
	}
	return strings.Trim(b.String(), " \t")
}

// mediaType returns the media type in lower case and the boundary parameter, or "" for no boundary. An invalid value is
// read as mail readers do: a boundary with "=", ":" or "/" needs no quotes.
func mediaType(value string) (kind, boundary string) {
	kind, params, err := mime.ParseMediaType(value)
	if err == nil {
		return kind, strings.TrimRight(params["boundary"], " \t")
	}
	_, rest, _ := strings.Cut(value, ";")
	for param := range strings.SplitSeq(rest, ";") {
		name, v, _ := strings.Cut(param, "=")
		if boundary == "" && strings.EqualFold(strings.Trim(name, " \t"), "boundary") {
			boundary = strings.TrimRight(strings.Trim(v, "\" \t"), " \t")
		}
	}
	return strings.ToLower(firstWord(value)), boundary
}

// firstWord returns the value up to the first character that no word can hold.
func firstWord(value string) string {
	if i := strings.IndexAny(value, " \t;\""); i >= 0 {
		return value[:i]
	}
	return value
}
