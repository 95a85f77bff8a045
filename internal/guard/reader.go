package guard

import (
	"context"
	"errors"
	"io"
)

// Reader returns r as a reader that fails when ctx has ended. IsReaderError knows its errors.
func Reader(ctx context.Context, r io.Reader) io.Reader { return reader{ctx, r} }

type reader struct {
	ctx context.Context
	io.Reader
}

// readerError is an error of the reader or the context of the application.
type readerError struct{ error }

// Unwrap returns the error without the mark.
func (e readerError) Unwrap() error { return e.error }

// IsReaderError reports whether err comes from the reader or the context of a Reader.
func IsReaderError(err error) bool { return errors.As(err, new(readerError)) }

// Read reads unless the context has ended.
func (r reader) Read(p []byte) (n int, err error) {
	if err = r.ctx.Err(); err == nil {
		n, err = r.Reader.Read(p)
	}
	if err != nil && err != io.EOF {
		err = readerError{err}
	}
	return n, err
}
