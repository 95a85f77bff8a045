// Package sevenbit converts a message with 8-bit text to 7-bit text, for a relay without 8BITMIME (RFC 6152, section
// 3).
//
// MIME parts with octets above 127 in the body are encoded: text as quoted-printable, other parts as base64. All other
// octets stay unchanged. The message is read in pieces of a fixed size, more than once, never as a whole. Memory does
// not depend on the size of the message or of a part: the package keeps one header, at most 1 MiB, and an octet for
// each of at most 65,536 entities.
//
// Transfer encodings do not apply to headers: octets above 127 in a header stay unchanged, in the header of the
// message, of a part, and of a message inside.
package sevenbit

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

var (
	// ErrSigned: the part to encode is signed, alone or with an outer entity, and the signature would no longer verify.
	ErrSigned = errors.New("8-bit text is signed and cannot be encoded")
	// ErrBroken: octets above 127 stand where no encoding is possible, or the message exceeds a limit of the package.
	// The text of the error names the reason.
	ErrBroken = errors.New("message cannot be made 7-bit text")
)

// marks are the facts that the first reading collects about an entity.
type marks uint8

const (
	encode    marks = 1 << iota // the body is to be encoded
	notUTF8                     // the body is not UTF-8; set only if a charset must be named
	inside                      // an entity inside is to be encoded
	rawHeader                   // the header of an entity inside holds octets above 127
)

// Convert returns the message as 7-bit text, and the exact size in octets. Each call of open returns the same message
// from the start: CRLF line ends, no other CR or LF, CRLF at the end. Each call of content does the same, without
// octets above 127 in any body, and calls open once. A message that needs no change stays unchanged. Convert itself
// reads the message twice.
//
// The Content-Transfer-Encoding of an encoded part is replaced, or added. Outer entities with 8bit or binary get 7bit,
// unless a header inside keeps octets above 127. A message without MIME-Version and with an encoded body gets a
// MIME-Version, and a Content-Type if there is none: text/plain, with the charset utf-8 or, for other octets,
// unknown-8bit (RFC 1428).
//
// The error is [ErrSigned] if the octets to encode are in a message with a DKIM or ARC signature, in a
// multipart/signed, or in S/MIME signed-data. The error is [ErrBroken] for octets above 127
//   - in a part declared as encoded: a second encoding would change the meaning;
//   - in a message/partial or message/external-body, which must not be encoded (RFC 2046, sections 5.2.2 and 5.2.3);
//   - around the parts of a multipart or in its boundary, and anywhere in a multipart without a boundary;
//   - in multiparts and messages nested deeper than 50;
//
// and for a header of more than 1 MiB or more than 65,536 entities. Errors of the reader are returned wrapped.
func Convert(open func() io.Reader) (content func() io.Reader, size int64, err error) {
	found, change, err := examine(open())
	if err != nil {
		return nil, 0, fmt.Errorf("examine 8-bit message: %w", err)
	}
	content = open
	if change {
		content = func() io.Reader { return newConverter(open(), found) }
	}
	size, err = io.Copy(io.Discard, content())
	if err != nil {
		return nil, 0, fmt.Errorf("measure 7-bit message: %w", err)
	}
	return content, size, nil
}

// examine reads a message and returns the marks of each entity, in the order of the headers. encode is set if at least
// one body is to be encoded.
func examine(r io.Reader) (found []marks, change bool, err error) {
	s := newScanner(r)
	var text utf8Check
	for {
		it, err := s.next()
		if err == io.EOF {
			return found, change, nil
		}
		if err != nil {
			return nil, false, err
		}
		e := &s.open[len(s.open)-1]
		if it.kind == headerItem {
			found = append(found, 0)
			text.buf = text.buf[:0]
		}
		if it.kind == bodyItem && e.bare() && !text.next(it.text, s.held) {
			found[e.number] |= notUTF8
		}
		if !eightBit(it.text) {
			continue
		}
		self, around := encode, inside
		if it.kind == headerItem {
			self, around = 0, rawHeader
		} else if err := e.check(); err != nil {
			return nil, false, err
		}
		found[e.number] |= self
		for _, outer := range s.open[:len(s.open)-1] {
			found[outer.number] |= around
		}
		change = change || self == encode
	}
}

// eightBit reports whether an octet of b is above 127.
func eightBit(b []byte) bool {
	for _, c := range b {
		if c > 127 {
			return true
		}
	}
	return false
}

// A utf8Check checks whether text in pieces is UTF-8. A piece may end within a character.
type utf8Check struct{ buf []byte } // rest of the last piece: the start of a character

// next reports whether the next piece is UTF-8. A piece at the end of a line must end with a complete character.
func (u *utf8Check) next(p []byte, lineEnd bool) bool {
	u.buf = append(u.buf, p...)
	end := max(0, len(u.buf)-utf8.UTFMax+1)
	for end < len(u.buf) && (lineEnd || utf8.FullRune(u.buf[end:])) {
		end++
	}
	valid := utf8.Valid(u.buf[:end])
	u.buf = u.buf[:copy(u.buf, u.buf[end:])]
	return valid
}
