package shim

import "io"

// A room is a limit for the bytes of the next message, and the reason for the limit.
type room struct {
	left int64
	why  string
}

// writer returns w with the limit; w itself if r is nil. A write beyond the limit fails with exit code 75.
func (r *room) writer(w io.Writer) io.Writer {
	if r == nil {
		return w
	}
	return &bounded{w: w, room: *r}
}

// bounded is a writer with a limit.
type bounded struct {
	w    io.Writer
	room room
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.room.left {
		return 0, fail(exitTempFail, "%s", b.room.why)
	}
	n, err := b.w.Write(p)
	b.room.left -= int64(n)
	return n, err
}
