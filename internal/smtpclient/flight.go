package smtpclient

import (
	"slices"
	"strconv"
	"sync"
)

const (
	usualFlight = 8 << 10  // first capacity of a flight: a small message with its envelope
	maxFlight   = 64 << 10 // limit for content in one write, and for content sent in a shared flight before the replies
)

// flights is the pool of buffers. A session that waits for a reply holds no buffer.
var flights = sync.Pool{New: func() any {
	buf := make([]byte, 0, usualFlight)
	return &buf
}}

// A flight holds the octets of the next write. The zero value is an empty flight.
type flight struct{ buf *[]byte }

// bytes returns the flight as a slice to append to. The caller passes the result to set.
func (f *flight) bytes() []byte {
	if f.buf == nil {
		f.buf = flights.Get().(*[]byte)
	}
	return *f.buf
}

// set replaces the flight by buf.
func (f *flight) set(buf []byte) { *f.buf = buf }

// len returns the number of octets.
func (f *flight) len() int {
	if f.buf == nil {
		return 0
	}
	return len(*f.buf)
}

// put appends strings.
func (f *flight) put(parts ...string) {
	buf := f.bytes()
	for _, part := range parts {
		buf = append(buf, part...)
	}
	f.set(buf)
}

// putInt appends a decimal number.
func (f *flight) putInt(n int64) { f.set(strconv.AppendInt(f.bytes(), n, 10)) }

// putBDAT appends a BDAT command (RFC 3030) for a chunk of size octets. end is CRLF, with LAST before CRLF for the last
// chunk.
func (f *flight) putBDAT(size int64, end string) {
	f.put("BDAT ")
	f.putInt(size)
	f.put(end)
}

// grow makes room for n more octets and returns the flight as a slice to append to.
func (f *flight) grow(n int) []byte {
	buf := slices.Grow(f.bytes(), n)
	f.set(buf)
	return buf
}

// truncate keeps the first length octets.
func (f *flight) truncate(length int) {
	if length == 0 {
		f.release()
		return
	}
	f.set(f.bytes()[:length])
}

// release empties the flight and returns the buffer to the pool, except a buffer far larger than a flight.
func (f *flight) release() {
	if f.buf == nil {
		return
	}
	if cap(*f.buf) <= 2*maxFlight {
		*f.buf = (*f.buf)[:0]
		flights.Put(f.buf)
	}
	f.buf = nil
}
