package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"
)

const (
	longestLine = 998     // maximum octets of a line without its end (RFC 5322, section 2.1.1)
	maxValue    = 4 << 10 // maximum octets of a field of the original; the rest is ignored
)

// original is the result of the first reading of the message.
type original struct {
	subject   string // decoded and clean; empty: none
	date      string // clean; empty: none
	messageID string // with angle brackets; empty: none, or not valid for In-Reply-To
	header    traits
	body      traits
	whole     bool // the whole message can be returned
}

// traits are properties of a header or a body.
type traits struct {
	eightBit bool // some octets are above 127
	notUTF8  bool // some of the octets above 127 are not UTF-8
	odd      bool // a NUL or a line that is too long: neither 7bit nor 8bit (RFC 2045, sections 2.7 and 2.8)
}

// see adds a line with its end. If whole is false, line is a part of a line that is too long.
func (t *traits) see(line []byte, whole bool) {
	t.odd = t.odd || !whole || bytes.IndexByte(line, 0) >= 0
	if bytes.IndexFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		t.eightBit = true
		t.notUTF8 = t.notUTF8 || !whole || !utf8.Valid(line)
	}
}

// lines reads lines. A line of more than longestLine octets comes in parts.
type lines struct {
	r     *bufio.Reader
	size  int64 // octets read
	start bool  // the last part begins a line
	whole bool  // the last part ends a line
}

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, longestLine+2), whole: true}
}

// next returns the next line with its end, or a part of a line. It returns io.EOF without a line.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.size += int64(len(line))
	l.start, l.whole = l.whole, !errors.Is(err, bufio.ErrBufferFull)
	if !l.whole || err == io.EOF && len(line) > 0 {
		err = nil
	}
	return line, err
}

// blank reports whether line ends the header.
func (l *lines) blank(line []byte) bool {
	return l.start && l.whole && len(bytes.TrimRight(line, "\r\n")) == 0
}

// examine reads the header and, with full, the body.
func examine(r io.Reader, full bool) (*original, error) {
	o, l := &original{}, newLines(r)
	var subject, date, id []byte
	kept := map[string]*[]byte{"subject": &subject, "date": &date, "message-id": &id}
	var field *[]byte // field of the current line; nil: not kept
	for {
		line, err := l.next()
		if err == io.EOF || err == nil && l.blank(line) {
			break
		}
		if err != nil {
			return nil, err
		}
		o.header.see(line, l.start && l.whole)
		if l.start && line[0] != ' ' && line[0] != '\t' {
			name, value, _ := bytes.Cut(line, []byte(":"))
			field, line = kept[strings.ToLower(string(bytes.TrimSpace(name)))], value
			if field != nil && len(*field) > 0 { // only the first field of a name counts
				field = nil
			}
		}
		if field != nil {
			*field = append(*field, line[:min(len(line), maxValue-len(*field))]...)
		}
	}
	o.subject, o.date, o.messageID = decoded(subject), cut(clean(string(date)), 100), reference(id)
	for full {
		line, err := l.next()
		switch {
		case err == io.EOF:
			o.whole, full = !o.header.odd && !o.header.notUTF8 && !o.body.odd, false
		case err != nil:
			return nil, err
		case l.size > MaxFull:
			full = false
		default:
			o.body.see(line, l.start && l.whole)
		}
	}
	return o, nil
}

// decoded returns the text of a field. Encoded words (RFC 2047) are decoded if they are valid.
func decoded(value []byte) string {
	text := clean(string(value))
	if d, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
		text = clean(d)
	}
	return text
}

// reference returns a Message-ID that is valid in In-Reply-To; empty if value is not.
func reference(value []byte) string {
	id := clean(string(value))
	if len(id) < 3 || len(id) > 250 || id[0] != '<' || strings.IndexAny(id[1:], "<> ") != len(id)-2 || !isASCII(id) {
		return ""
	}
	return id
}

// writeOriginal writes the third part: the message, or its header.
func (r *Report) writeOriginal(parts *multipart.Writer, o *original) error {
	kind, encoding, what := "text/rfc822-headers", "7bit", "Header of the message"
	valid := o.header.eightBit && !o.header.notUTF8
	switch {
	case o.whole && valid:
		kind, what = "message/global", "The message" // RFC 6532, section 3.7
	case o.whole:
		kind, what = "message/rfc822", "The message"
	case valid:
		kind = "message/global-headers" // RFC 6533, section 5
	}
	switch {
	case !o.whole && o.header.odd:
		encoding = "quoted-printable"
	case o.header.eightBit || o.whole && o.body.eightBit:
		encoding = "8bit"
	}
	w, err := part(parts, kind, encoding, what)
	if err != nil {
		return err
	}
	if encoding == "quoted-printable" {
		qp := quotedprintable.NewWriter(w)
		if err := copyHeader(qp, r.Original()); err != nil {
			return err
		}
		return qp.Close()
	}
	if o.whole {
		_, err = io.Copy(w, r.Original())
		return err
	}
	return copyHeader(w, r.Original())
}

// copyHeader copies the message up to the blank line.
func copyHeader(w io.Writer, r io.Reader) error {
	for l := newLines(r); ; {
		line, err := l.next()
		if err == io.EOF || err == nil && l.blank(line) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the message to report on: %w", err)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
}
