package sendmail

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/unbit/spoolgore/internal/message"
)

const (
	bom         = "\uFEFF"
	mboxLine    = "From "
	mboxLineOld = ">From " // those of hosts before, below the first one
	readFirst   = 8 << 10  // a usual header fits
)

// draft is the given message: the fields of its header, and the body.
type draft struct {
	fields [][]byte // with their line ends; the last one may lack it
	body   io.Reader
	long   bool // it began with a header, of which no end was in sight
}

// readDraft reads the header of r. A message whose header does not end within limit bytes, and text without a header,
// is a body only. Errors are those of r.
func readDraft(r io.Reader, limit int) (draft, error) {
	buf, n := make([]byte, readFirst), 0
	for {
		m, err := io.ReadFull(r, buf[n:])
		n += m
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return draft{}, err
		}
		fields, body, ok := splitHead(buf[:n], end)
		if ok && body <= limit {
			return draft{fields: fields, body: io.MultiReader(bytes.NewReader(buf[body:n]), r)}, nil
		}
		if ok || n >= limit {
			return draft{body: io.MultiReader(bytes.NewReader(buf[:n]), r), long: true}, nil
		}
		grown := make([]byte, 4*len(buf))
		copy(grown, buf)
		buf = grown
	}
}

// splitHead splits the start of a message into the fields of the header and the body, which begins at the offset body:
// behind a blank line, or at the first line that belongs to no field. If whole is set, buf is the whole message;
// otherwise splitHead returns false if the header may go on behind buf. A byte order mark and mbox separators are
// removed if a header follows; otherwise they may be text.
func splitHead(buf []byte, whole bool) (fields [][]byte, body int, ok bool) {
	at, mbox := 0, false
	if bytes.HasPrefix(buf, []byte(bom)) {
		at = len(bom)
	}
	for prefix := mboxLine; bytes.HasPrefix(buf[at:], []byte(prefix)); prefix = mboxLineOld {
		line, ended := firstLine(buf[at:])
		if !ended && !whole {
			return nil, 0, false
		}
		if message.FieldName(line) != "" {
			break
		}
		at, mbox = at+len(line), true
	}
	start := at
	for {
		line, ended := firstLine(buf[at:])
		switch {
		case !ended && !whole:
			return nil, 0, false
		case message.EndsHeader(line) && (len(fields) > 0 || !mbox):
			return fields, at + len(line), true
		case message.FieldName(line) != "":
			start = at
			fields = append(fields, line)
		case len(fields) > 0 && message.IsContinuation(line):
			fields[len(fields)-1] = buf[start : at+len(line)]
		case len(fields) > 0:
			return fields, at, true
		default:
			return nil, 0, true
		}
		at += len(line)
	}
}

// firstLine returns the first line of buf with its end, and whether the line has an end.
func firstLine(buf []byte) (line []byte, ended bool) {
	if i := bytes.IndexByte(buf, '\n'); i >= 0 {
		return buf[:i+1], true
	}
	return buf, false
}

// Errors of the given message; test with errors.Is.
var (
	ErrInput    = errors.New("read standard input") // it could not be read to its end
	ErrTooLarge = errors.New("message too large")
	ErrData     = errors.New("cannot be sent") // no or no good recipient, no good sender, a header without end
)

// input reads the given message and marks its errors.
type input struct {
	r     io.Reader
	n     int64
	limit int64 // zero: none
}

// Read returns ErrInput, ErrTooLarge or io.EOF.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.n += int64(n)
	if in.limit > 0 && in.n > in.limit {
		return 0, fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, in.limit)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", ErrInput, err)
	}
	return n, err
}
