package message

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"
)

// Added holds the fields to add in front of a header without them.
type Added struct {
	Date      time.Time // zero: no Date is added
	MessageID string    // with its angle brackets; empty: no Message-ID is added
}

// Content is a reader of a message as it is sent. A Content is for one goroutine.
type Content struct {
	header *Header
	field  int    // the next field to send; len(fields): the blank line, more: the body
	run    []byte // bytes to send next

	f         io.ReaderAt
	off, size int64
	buf       []byte // pooled, small or large; nil: none
	large     bool   // the caller reads in large pieces
	raw       []byte // part of buf: read from f, not yet sent
	open      bool   // the last byte taken from raw did not end a line
	crs       int64  // CRs taken from raw whose next byte was not read yet
	spaces    int64  // spaces to send, for CRs outside of line ends
	err       error  // of every further Read
}

// Content returns the message in the first size bytes of f as it is sent; f is the file of h. Every line ends in CRLF,
// the last line too; a CR outside of a line end becomes a space; dots are not stuffed. Content removes the envelope, a
// byte order mark, mbox separators, and the fields Bcc, Resent-Bcc and Return-Path. It adds a missing Date and
// Message-ID in front. Every other byte is kept. A file without a header gets a header.
func (h *Header) Content(f io.ReaderAt, size int64, add Added) *Content {
	return &Content{header: h, run: h.Front(add), f: f, off: h.body, size: size}
}

// Front returns the lines to add in front of the header, each with CRLF.
func (h *Header) Front(add Added) (front []byte) {
	if !add.Date.IsZero() && !hasField(h.fields, "Date") {
		front = append(front, "Date: "...)
		front = add.Date.AppendFormat(front, time.RFC1123Z)
		front = append(front, crlf...)
	}
	if add.MessageID != "" && !hasField(h.fields, "Message-ID") {
		front = append(front, "Message-ID: "...)
		front = append(front, add.MessageID...)
		front = append(front, crlf...)
	}
	return front
}

// Read reads the next bytes of the message. An error of the file, and io.ErrUnexpectedEOF for a file that became
// shorter, is returned wrapped, again at every further call. Read returns io.EOF only behind the whole message.
func (c *Content) Read(p []byte) (n int, err error) {
	c.large = len(p) >= largeRead
	for n < len(p) {
		if len(c.run) == 0 {
			if m := c.lines(p[n:]); m > 0 {
				n += m
				continue
			}
			c.advance()
		}
		if len(c.run) == 0 {
			break
		}
		m := copy(p[n:], c.run)
		c.run = c.run[m:]
		n += m
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, c.err
}

// lines copies lines of the body without a CR from raw to dst, as far as dst has room. Most text has only such lines;
// advance reads all others.
func (c *Content) lines(dst []byte) (n int) {
	if c.field <= len(c.header.fields) || c.spaces > 0 {
		return 0
	}
	for {
		end := bytes.IndexByte(c.raw, '\n')
		if end < 0 || len(dst)-n < end+len(crlf) || bytes.IndexByte(c.raw[:end], '\r') >= 0 {
			return n
		}
		n += copy(dst[n:], c.raw[:end])
		n += copy(dst[n:], crlf)
		c.raw, c.open = c.raw[end+1:], false
	}
}

// Close releases the read buffer and may be called more than once. The file stays open. A further Read returns
// fs.ErrClosed.
func (c *Content) Close() error {
	c.stop(fs.ErrClosed)
	c.run = nil
	return nil
}

// stop sets the error of every further Read. The first error stays.
func (c *Content) stop(err error) {
	if c.err == nil || err == fs.ErrClosed {
		c.err = err
	}
	if c.buf != nil {
		giveBuffer(c.buf)
		c.buf, c.raw = nil, nil
	}
}

// advance sets run to the next bytes to send, or err if there are none.
func (c *Content) advance() {
	if c.err != nil {
		return
	}
	for fields := c.header.fields; c.field <= len(fields); {
		c.field++
		if c.field > len(fields) {
			c.run = crlf
			return
		}
		if f := fields[c.field-1]; !f.private() {
			c.run = f.text
			return
		}
	}
	c.advanceBody()
}

// advanceBody sets run to the next bytes of the body. CRs are counted until the next byte is known: CRs before an LF
// belong to the line end, and every other CR is a space.
func (c *Content) advanceBody() {
	for len(c.run) == 0 {
		if c.spaces > 0 {
			n := min(c.spaces, int64(len(manySpaces)))
			c.run, c.spaces = []byte(manySpaces[:n]), c.spaces-n
			return
		}
		if len(c.raw) == 0 {
			if err := c.fill(); err != nil {
				c.stop(err)
				return
			}
		}
		n := leadingCRs(c.raw)
		c.crs, c.raw = c.crs+int64(n), c.raw[n:]
		switch {
		case len(c.raw) > 0 && c.raw[0] == '\n':
			c.run, c.raw, c.crs, c.open = crlf, c.raw[1:], 0, false
		case len(c.raw) == 0 && n > 0: // the byte behind the CRs was not read yet
		case c.crs > 0:
			c.spaces, c.crs, c.open = c.crs, 0, true
		case len(c.raw) > 0:
			n := verbatim(c.raw)
			c.run, c.raw = c.raw[:n], c.raw[n:]
			c.open = c.run[n-1] != '\n'
		case c.open:
			c.run, c.open = crlf, false
		default:
			c.stop(io.EOF)
			return
		}
	}
}

func leadingCRs(b []byte) int { return len(b) - len(bytes.TrimLeft(b, "\r")) }

// manySpaces replaces CRs, many at a time.
const manySpaces = "                                                                "

// fill reads the next part of the body into raw, which is empty.
func (c *Content) fill() error {
	if c.off >= c.size {
		return nil
	}
	if c.buf == nil {
		c.buf = takeBuffer(c.large && c.size-c.off > largeRead)
	}
	n := int(min(c.size-c.off, int64(len(c.buf))))
	if err := readFull(c.f, c.buf[:n], c.off); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	c.off += int64(n)
	c.raw = c.buf[:n]
	return nil
}

// verbatim returns the number of bytes at the start of raw that are sent as they are: those before the first CR or LF
// outside of a CR LF. A CR LF behind another CR does not count.
func verbatim(raw []byte) int {
	for n := 0; ; {
		lf := bytes.IndexByte(raw[n:], '\n')
		line := raw[n:]
		if lf >= 0 {
			line = line[:lf]
		}
		cr := bytes.IndexByte(line, '\r')
		switch {
		case cr < 0:
			return n + len(line)
		case lf < 0 || cr < lf-1:
			return n + cr
		}
		n += lf + 1
	}
}

// Measure returns the number of bytes that Read would return, and whether a byte is above 127. Measure reads the rest
// of the file many times as fast as Read. Afterwards Read returns fs.ErrClosed.
func (c *Content) Measure() (size int64, eightBit bool, err error) {
	defer c.Close()
	for header := true; header; header = c.field <= len(c.header.fields) {
		if len(c.run) == 0 {
			c.advance()
		}
		size += int64(len(c.run))
		eightBit = eightBit || hasHighBit(c.run)
		c.run = nil
	}
	body, err := c.measureBody()
	if err != nil {
		return 0, false, err
	}
	return size + body.length(), eightBit || body.eightBit, nil
}

// measureBody reads the body, unless the body was read with the header.
func (c *Content) measureBody() (*extent, error) {
	if rest := c.header.rest; rest != nil && rest.read == c.size-c.off {
		return rest, nil
	}
	buf := largeBuffers.Get().(*[largeBufSize]byte)
	defer largeBuffers.Put(buf)
	x := newExtent()
	for c.off < c.size {
		b := buf[:min(c.size-c.off, int64(len(buf)))]
		if err := readFull(c.f, b, c.off); err != nil {
			return nil, fmt.Errorf("measure message: %w", err)
		}
		c.off += int64(len(b))
		x.add(b)
	}
	return x, nil
}

// An extent is the length of a body as it is sent.
type extent struct {
	read     int64 // bytes of the file
	size     int64 // bytes to send, without a missing last line end
	eightBit bool  // a byte is above 127
	last     byte  // last byte added
	crs      int64 // CRs at the end
}

func newExtent() *extent { return &extent{last: '\n'} }

// add adds the next bytes of the body. An LF without a CR gets a CR; of several CRs before an LF only the last is sent.
func (x *extent) add(b []byte) {
	if len(b) == 0 {
		return
	}
	x.read += int64(len(b))
	ends := bytes.Count(b, crlf)
	x.size += int64(len(b) + bytes.Count(b, lf) - ends)
	n := leadingCRs(b)
	if n < len(b) && b[n] == '\n' {
		x.size -= x.crs
	}
	if ends > 0 {
		x.size -= surplusCRs(b)
	}
	if n < len(b) {
		x.crs = 0
	}
	x.crs += int64(len(b) - len(bytes.TrimRight(b, "\r")))
	x.last = b[len(b)-1]
	x.eightBit = x.eightBit || hasHighBit(b)
}

// surplusCRs counts the CRs in b before each CR LF.
func surplusCRs(b []byte) (n int64) {
	for {
		at := bytes.Index(b, crcrlf)
		if at < 0 {
			return n
		}
		n += int64(at + 1 - len(bytes.TrimRight(b[:at+1], "\r")))
		b = b[at+len(crcrlf):]
	}
}

var crcrlf = []byte("\r\r\n")

func (x *extent) length() int64 {
	if x.last != '\n' {
		return x.size + int64(len(crlf))
	}
	return x.size
}

var lf = []byte("\n")

// largeRead is the size of a Read from which on the body is read in large pieces. A sender of many messages at a time
// uses smaller reads.
const largeRead = 16 << 10

// takeBuffer returns a buffer for reading from its pool.
func takeBuffer(large bool) []byte {
	if large {
		return largeBuffers.Get().(*[largeBufSize]byte)[:]
	}
	return buffers.Get().(*[bufSize]byte)[:]
}

// giveBuffer returns a buffer to its pool.
func giveBuffer(b []byte) {
	if len(b) == largeBufSize {
		largeBuffers.Put((*[largeBufSize]byte)(b))
		return
	}
	buffers.Put((*[bufSize]byte)(b))
}

// largeBufSize is the size of the buffers for Measure and for large reads.
const largeBufSize = 64 << 10

var largeBuffers = sync.Pool{New: func() any { return new([largeBufSize]byte) }}

// hasHighBit reports whether a byte of b is above 127.
func hasHighBit(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, c := range b {
		if c > 127 {
			return true
		}
	}
	return false
}
