// Package sevenbit makes 7-bit text of a message with 8-bit text, for a relay without 8BITMIME (RFC 6152, section 3).
//
// The MIME parts whose body holds octets above 127 are encoded: text as quoted-printable, everything else as base64. All
// other octets stay as they are. The message is read in pieces of a fixed size, more than once, never as a whole: memory
// depends neither on its size nor on that of a part. What is kept is one header, at most 1 MiB, and an octet for each of
// at most 65,536 entities.
//
// Headers are no matter of transfer encodings: octets above 127 in a header, be it the message's own, a part's or that
// of a message inside, are left as they are.
package sevenbit

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

var (
	// ErrSigned says that the part to encode is signed, by itself or with what it is in, and would no longer verify.
	ErrSigned = errors.New("8-bit text is signed and cannot be encoded")
	// ErrBroken says that octets above 127 stand where no encoding is possible, or that the message is beyond the
	// limits of this package. The text of the error says which.
	ErrBroken = errors.New("message cannot be made 7-bit text")
)

// marks are what the first reading finds out about an entity.
type marks uint8

const (
	encode    marks = 1 << iota // the body is to be encoded
	notUTF8                     // the body is not UTF-8; only looked at where a charset is to be named
	inside                      // an entity inside is to be encoded
	rawHeader                   // the header of an entity inside holds octets above 127
)

// Convert returns the message as 7-bit text, and its exact size in octets. Each call of open returns the same message from its
// start: CRLF line ends, no other CR or LF, the last line ended. So is what content returns, at each call, with no octet
// above 127 in any body; it calls open once. A message that needs no change is returned as it is. Convert itself reads
// the message twice.
//
// The Content-Transfer-Encoding of an encoded part is replaced, or added to its header; the entities around it that say
// 8bit or binary say 7bit, unless a header in them keeps octets above 127. A message without MIME-Version whose body is encoded gets one, and a
// Content-Type if it has none: text/plain, with the charset utf-8 if that is what it is, or unknown-8bit (RFC 1428).
//
// The error is [ErrSigned] if what is to be encoded is in a message with a DKIM or ARC signature, a multipart/signed,
// or is S/MIME signed-data. It is [ErrBroken] for octets above 127
//   - in a part that says it is encoded already: encoding it again would change its meaning;
//   - in a message/partial or message/external-body, which may not be encoded (RFC 2046, sections 5.2.2 and 5.2.3);
//   - around the parts of a multipart or in its boundary, and anywhere in a multipart without a boundary;
//   - in multiparts and messages nested deeper than 50;
//
// and for a header of more than 1 MiB or more than 65,536 entities. Errors of open's reader are returned wrapped.
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

// examine reads a message and returns the marks of each entity, in the order of their headers, and whether any is to be encoded.
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

// A utf8Check finds out whether text that comes in pieces is UTF-8. A piece may end within a character.
type utf8Check struct{ buf []byte } // what is left of the last piece: the start of a character

// next reports whether the next piece is UTF-8; one at the end of a line has to end with a whole character.
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
