package message

import "io"

// FromPickup reports whether the file begins with the envelope of a pickup file, an X-Receiver field.
func (h *Header) FromPickup() bool { return hasField(h.block, receiverField) }

// Unstuff returns a reader of the message r, whose lines end in CRLF, without the dot that stands in front of each line
// of the body that begins with a dot.
func Unstuff(r io.Reader) io.Reader { return &unstuffer{r: r} }

// unstuffer reads a message and removes dots: of two dots at the start of a line, the second one.
type unstuffer struct {
	r     io.Reader
	body  bool // the header has ended
	pos   int  // bytes of the line that were read, at most 2
	first byte // the first one
}

// Read implements io.Reader.
func (u *unstuffer) Read(p []byte) (int, error) {
	for {
		n, err := u.r.Read(p)
		if n = u.unstuff(p[:n]); n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// unstuff removes dots from b and returns how many bytes are left.
func (u *unstuffer) unstuff(b []byte) (n int) {
	for _, c := range b {
		if u.pos == 0 {
			u.first = c
		}
		if u.body && u.pos == 1 && u.first == '.' && c == '.' {
			u.pos = 2
			continue
		}
		b[n] = c
		n++
		if c == '\n' {
			u.body = u.body || u.pos == 1 && u.first == '\r'
			u.pos = 0
		} else {
			u.pos = min(u.pos+1, 2)
		}
	}
	return n
}

// MeasureReader returns how many bytes r gives, and whether one of them is above 127.
func MeasureReader(r io.Reader) (size int64, eightBit bool, err error) {
	buf := takeBuffer(true)
	defer giveBuffer(buf)
	for {
		n, err := r.Read(buf)
		size += int64(n)
		eightBit = eightBit || hasHighBit(buf[:n])
		if err == io.EOF {
			return size, eightBit, nil
		}
		if err != nil {
			return 0, false, err
		}
	}
}
