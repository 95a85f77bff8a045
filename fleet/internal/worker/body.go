package worker

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/message"
)

// errCut is the error of a reader after the worker has lost its lease.
var errCut = errors.New("the lease of the message is over")

// body reads the content of a message from the store, a piece at a time.
type body struct {
	ctx   context.Context
	store *store.Leases
	id    int64
	size  int64

	mu     sync.Mutex
	n      int // number of piece
	piece  []byte
	failed atomic.Bool // the store could not be read
}

// Content returns a reader of the content of a message as it was put.
func Content(ctx context.Context, s *store.Leases, id, size int64) io.ReaderAt {
	return &body{ctx: ctx, store: s, id: id, size: size}
}

// ReadAt implements io.ReaderAt.
func (b *body) ReadAt(p []byte, off int64) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n < len(p) {
		if off >= b.size {
			return n, io.EOF
		}
		at := int(off / store.PieceSize)
		if at != b.n || b.piece == nil {
			if b.piece, err = b.store.Piece(b.ctx, b.id, at); err != nil {
				b.piece = nil
				b.failed.Store(true)
				return n, err
			}
			b.n = at
		}
		from := int(off % store.PieceSize)
		if from >= len(b.piece) {
			return n, io.ErrUnexpectedEOF
		}
		read := copy(p[n:], b.piece[from:])
		n, off = n+read, off+int64(read)
	}
	return n, nil
}

// guarded reads the content as it is sent, while the lease lasts.
type guarded struct {
	*message.Content
	alive func() bool
	cut   *atomic.Bool
}

// Read reads unless the lease is over.
func (g guarded) Read(p []byte) (int, error) {
	if !g.alive() {
		g.cut.Store(true)
		return 0, errCut
	}
	return g.Content.Read(p)
}
