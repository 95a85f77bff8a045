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

// Added says what is put in front of a header that lacks it.
type Added struct {
	Date      time.Time // zero: no Date is added
	MessageID string    // with its angle brackets; empty: no Message-ID is added
}

// Content is a message as it goes out. It is for one goroutine.
type Content struct {
	header *Header
	field  int    // the next field to send; len(fields): the blank line, more: the body
	run    []byte // sent next, as it is

	f         io.ReaderAt
	off, size int64
	buf       []byte // pooled, small or large; nil: none
	large     bool   // whoever reads takes much at once
	raw       []byte // part of buf: read from f, not yet sent
	open      bool   // the last byte taken from raw did not end a line
	crs       int64  // CRs taken from raw whose next byte was not read yet
	spaces    int64  // spaces to send, for CRs outside of line ends
	err       error  // what Read returns from now on
}

// Content returns the message in the first size bytes of f as it goes out; f is the file h was read from. Every line
// ends in CRLF, the last one too; a CR that ends no line is a space; dots are not stuffed. The envelope line, a byte order mark
// and an mbox line in front, and the fields Bcc, Resent-Bcc and Return-Path are left out; a Date and a Message-ID are put
// in front if the header has no such field. All else is kept, byte for byte. A file without a header gets one.
func (h *Header) Content(f io.ReaderAt, size int64, add Added) *Content {
	return &Content{header: h, run: h.Front(add), f: f, off: h.body, size: size}
}

// Front is what is put in front of the header, each line with its CRLF; nil: nothing is.
func (h *Header) Front(add Added) (front []byte) {
	if !add.Date.IsZero() && !h.has("Date") {
		front = append(front, "Date: "...)
		front = add.Date.AppendFormat(front, time.RFC1123Z)
		front = append(front, crlf...)
	}
	if add.MessageID != "" && !h.has("Message-ID") {
		front = append(front, "Message-ID: "...)
		front = append(front, add.MessageID...)
		front = append(front, crlf...)
	}
	return front
}

// Read reads the next bytes of the message. An error of the file, and io.ErrUnexpectedEOF if it is shorter than it
// should be, is returned wrapped, again at every further call; io.EOF comes after the whole message only.
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

// lines copies lines of the body that end in LF and hold no CR, as far as they are at hand and there is room: most text
// is nothing else. What is left is for advance.
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

// Close gives the read buffer back; it may be called more than once. The file stays open. Reading on is an error (fs.ErrClosed).
func (c *Content) Close() error {
	c.stop(fs.ErrClosed)
	c.run = nil
	return nil
}

// stop makes err what Read returns from now on. The first one stays.
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

// advanceBody sets run to the next bytes of the body. CRs are counted until the byte behind them is known: before an LF
// they belong to the line end, elsewhere each is a space.
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

// Measure returns how many bytes Read would give, and whether one is above 127. It reads what was not read with the header,
// many times as fast as Read would, and leaves nothing to Read.
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

// measureBody reads the body, unless all of it was there when the header was read.
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
	size     int64 // bytes sent for them, without a line end that is missing at the end
	eightBit bool  // a byte is above 127
	last     byte  // of what was added
	crs      int64 // CRs at the end of what was added
}

func newExtent() *extent { return &extent{last: '\n'} }

// add adds the bytes that follow in the body. An LF without a CR gets one; of several CRs before an LF one is sent.
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

// largeRead is from how many bytes on, taken at once, a body is read in large pieces. Who sends many messages at a time takes
// less.
const largeRead = 16 << 10

// takeBuffer returns a buffer for reading from its pool.
func takeBuffer(large bool) []byte {
	if large {
		return largeBuffers.Get().(*[largeBufSize]byte)[:]
	}
	return buffers.Get().(*[bufSize]byte)[:]
}

// giveBuffer puts one back.
func giveBuffer(b []byte) {
	if len(b) == largeBufSize {
		largeBuffers.Put((*[largeBufSize]byte)(b))
		return
	}
	buffers.Put((*[bufSize]byte)(b))
}

// largeBufSize is what is read at once of a body to measure it, which is soon done, or for who takes much at once.
const largeBufSize = 64 << 10

var largeBuffers = sync.Pool{New: func() any { return new([largeBufSize]byte) }}

// hasHighBit reports whether a byte of b is above 127; it looks at eight at a time.
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
