// Package message reads a message file: its envelope, its header, and the content that is sent.
//
// A file is an optional envelope line or top block, a header and a body, with LF, CRLF or CR CR LF line ends.
// [ReadHeader] reads the header only, [Header.Addresses] returns sender and recipients, and [Header.Content] streams
// the message for a relay. Reading and sending use the same fields, so every field that is read for hidden recipients
// is also removed before sending.
package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// MaxHeader is the size limit of a header, in bytes from the start of the file. The envelope line and the blank line
// at the end of the header count.
const MaxHeader = 1 << 20

// ErrHeaderTooLong is the error for a header, with its envelope line, of more than [MaxHeader] bytes.
var ErrHeaderTooLong = errors.New("header longer than 1 MiB")

// bufSize is the size of the read buffers. A usual header fits in one buffer.
const bufSize = 8 << 10

// buffers keeps read buffers between messages: many small ones would otherwise each cost an 8 KiB allocation.
var buffers = sync.Pool{New: func() any { return new([bufSize]byte) }}

// Header is the header of one message file, grouped into fields. A Header has its own copy of the text, never changes,
// and may be used by several goroutines.
type Header struct {
	// Parser reads address fields; nil: net/mail.ParseAddressList.
	Parser Parser

	envelope []byte                    // JSON text of the envelope line; nil: no envelope line
	line     func() (*Envelope, error) // parses the envelope line, once
	block    []field                   // of the top block; nil: no top block
	fields   []field
	start    int64 // offset of the first field in the file
	body     int64 // of the body
	complete bool
	rest     *extent // of the body; nil: the body was not read with the header
}

// ReadHeader reads the header of the message in the first size bytes of f, usually with one ReadAt. A read error, and
// io.ErrUnexpectedEOF for a file shorter than size, are returned wrapped, never as a shorter header. The error is
// [ErrHeaderTooLong] if the header does not end within [MaxHeader] bytes. A file without a header is valid.
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
	h := &Header{
		envelope: bytes.Clone(l.envelope),
		block:    group(l.block),
		fields:   group(buf[l.start:l.end]),
		start:    int64(l.start),
		body:     int64(l.body),
		complete: int64(l.body) < size,
	}
	if h.envelope != nil {
		h.line = sync.OnceValues(func() (*Envelope, error) { return parseEnvelope(h.envelope) })
	}
	return h
}

// Get returns the value of the first field with the name, in any case of letters, unfolded and trimmed, or "".
func (h *Header) Get(name string) string {
	for _, f := range h.fields {
		if f.is(name) {
			return f.value()
		}
	}
	return ""
}

// Count returns the number of fields with the name, in any case of letters.
func (h *Header) Count(name string) (n int) {
	for _, f := range h.fields {
		if f.is(name) {
			n++
		}
	}
	return n
}

// hasField reports whether a field has the name, in any case of letters.
func hasField(fields []field, name string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return f.is(name) })
}

// Complete reports whether a body of at least one byte follows the header. Otherwise the file may be incomplete.
func (h *Header) Complete() bool { return h.complete }

// EightBit reports whether a byte above 127 is in a field that is sent.
func (h *Header) EightBit() bool {
	for _, f := range h.fields {
		if !f.private() && hasHighBit(f.text) {
			return true
		}
	}
	return false
}

// field is a header field as it is sent: all its lines, each with CRLF.
type field struct {
	text []byte
	name int // length of the name, at the start of text
}

// is reports whether f has the name, in any case of letters.
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

// Digest returns a hash of all fields.
func (h *Header) Digest() string {
	sum := sha256.New()
	for _, f := range h.fields {
		sum.Write(f.text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:12])
}
