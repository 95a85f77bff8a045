package guard

import (
	"context"
	"errors"
	"io"
	"log/slog"
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

// Content returns open, which returns a message from the start, with a panic of open or of its reader as an error.
func Content(log *slog.Logger, open func() io.Reader) func() io.Reader {
	return func() io.Reader { return &opened{open: open, log: log} }
}

// opened is a reader of the application.
type opened struct {
	open func() io.Reader
	log  *slog.Logger
	r    io.Reader // nil: open was not called
}

// Read reads the message.
func (o *opened) Read(p []byte) (n int, err error) {
	failed := Call(o.log, "Transaction.Content", func() {
		if o.r == nil {
			o.r = o.open()
		}
		n, err = o.r.Read(p)
	})
	if failed != nil {
		return 0, failed
	}
	return n, err
}
