package journal

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// endless is a sparse file: zero bytes without a line feed.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += len(p)
	return len(p), nil
}

func TestEndlessLineEndsTheReading(t *testing.T) {
	is := is.New(t)
	r := &endless{}
	n := 0
	begin := strings.NewReader(string(appendLine(nil, []byte("one"))))
	_, err := Read(io.MultiReader(begin, r), func([]byte) error { n++; return nil })
	is.True(errors.Is(err, errTooLong))
	is.Equal(n, 1)                  // the record before the zeros
	is.True(r.read < maxLine+1<<20) // at most one line is read
}
