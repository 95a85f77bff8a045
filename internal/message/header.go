// Package message answers who a message file is from and to, and which bytes of it go out.
//
// A file is an optional envelope line, a header block and a body, with LF or CRLF line ends. [ReadHeader] reads the
// header block only, [Header.Addresses] says who the message is from and to, and [Header.Content] streams what a
// relay is to get. Reading and sending share one grouping of lines into fields, so whatever is read as a hidden
// recipient is also what is taken out.
package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// MaxHeader is the largest header block that is read, in bytes from the start of the file: the envelope line and the
// blank line at the end of the header are included.
const MaxHeader = 1 << 20

// ErrHeaderTooLong says that a header does not end, or an envelope line does not fit, within [MaxHeader] bytes.
var ErrHeaderTooLong = errors.New("header longer than 1 MiB")

// bufSize is the size of the buffers for reading; a usual message header fits in one.
const bufSize = 8 << 10

// buffers keeps read buffers between messages: many small ones would otherwise each cost an 8 KiB allocation.
var buffers = sync.Pool{New: func() any { return new([bufSize]byte) }}

// Header is the header block of one message file, grouped into fields. It holds its own copy of the text, does not
// change any more, and may be used by several goroutines.
type Header struct {
	// Parser reads one mailbox of an address field that does not follow RFC 5322 as a whole; nil: net/mail.ParseAddressList.
	Parser Parser

	envelope []byte // JSON text of the envelope line; nil: there is no such line
	block    []field
	fields   []field
	start    int64 // offset of the first field in the file
	body     int64 // of the body
	complete bool
	rest     *extent // of the body; nil: it was not read with the header
}

// ReadHeader reads the header block of the message in the first size bytes of f, usually with one ReadAt. A read error
// and a file shorter than size (io.ErrUnexpectedEOF) are returned wrapped, never as a shorter header; the error is
// [ErrHeaderTooLong] if the header does not end within [MaxHeader] bytes. A file without any header is no error.
func ReadHeader(f io.ReaderAt, size int64) (*Header, error) {
	pooled := buffers.Get().(*[bufSize]byte)
	defer buffers.Put(pooled)
	buf, n := pooled[:], 0
	for {
		want := int(min(size, int64(len(buf))))
		if err := readFull(f, buf[n:want], int64(n)); err != nil {
			return nil, fmt.Errorf("read header: %w", err)
		}
		n = want
		if l, found := findLayout(buf[:n], int64(n) == size); found {
			h := newHeader(buf, l, size)
			if int64(n) == size {
				h.rest = newExtent()
				h.rest.add(buf[l.body:n])
			}
			return h, nil
		}
		if n == MaxHeader {
			return nil, fmt.Errorf("read header: %w", ErrHeaderTooLong)
		}
		grown := make([]byte, min(4*len(buf), MaxHeader))
		copy(grown, buf[:n])
		buf = grown
	}
}

// readFull fills p from offset off of f. An end of file before that is io.ErrUnexpectedEOF.
func readFull(f io.ReaderAt, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

func newHeader(buf []byte, l layout, size int64) *Header {
	return &Header{
		envelope: bytes.Clone(l.envelope),
		block:    group(l.block),
		fields:   group(buf[l.start:l.end]),
		start:    int64(l.start),
		body:     int64(l.body),
		complete: int64(l.body) < size,
	}
}

// Get returns the value of the first field of that name, in any case of letters, unfolded and trimmed; "" if there is none.
func (h *Header) Get(name string) string {
	for _, f := range h.fields {
		if f.is(name) {
			return f.value()
		}
	}
	return ""
}

// Count returns the number of fields of that name, in any case of letters.
func (h *Header) Count(name string) (n int) {
	for _, f := range h.fields {
		if f.is(name) {
			n++
		}
	}
	return n
}

func (h *Header) has(name string) bool {
	for _, f := range h.fields {
		if f.is(name) {
			return true
		}
	}
	return false
}

// Complete reports whether the blank line after the header was seen and at least one byte of body follows it. A file
// for which it is false may still be in the making.
func (h *Header) Complete() bool { return h.complete }

// EightBit reports whether the header that goes out holds a byte above 127.
func (h *Header) EightBit() bool {
	for _, f := range h.fields {
		if !f.private() && hasHighBit(f.text) {
			return true
		}
	}
	return false
}

// field is one header field as it goes out: all its lines, each ending in CRLF.
type field struct {
	text []byte
	name int // length of the name, which text begins with
}

// is reports whether f has that name, in any case of letters.
func (f field) is(name string) bool {
	return f.name == len(name) && strings.EqualFold(string(f.text[:f.name]), name)
}

// private reports whether f is for the mail system only and never sent.
func (f field) private() bool {
	return f.is("Bcc") || f.is("Resent-Bcc") || f.is("Return-Path")
}

// value returns what follows the colon: the lines trimmed and joined with a space.
func (f field) value() string {
	rest := f.text[f.name:]
	rest = rest[bytes.IndexByte(rest, ':')+1:]
	var b strings.Builder
	b.Grow(len(rest))
	for line := range bytes.SplitSeq(rest, crlf) {
		line = bytes.Trim(line, blanks)
		if len(line) > 0 && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.Write(line)
	}
	return b.String()
}

// Digest tells header blocks apart: it is the same only where every field is, byte for byte.
func (h *Header) Digest() string {
	sum := sha256.New()
	for _, f := range h.fields {
		sum.Write(f.text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:12])
}
