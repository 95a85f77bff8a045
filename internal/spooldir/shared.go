package spooldir

import (
	"bufio"
	"io"
	"sync"
)

// shared is a sync that concurrent callers share. A caller never shares a sync that began before its call.
type shared struct {
	mu   sync.Mutex
	next *round     // begins when the round under way has ended; nil: none is asked for
	turn sync.Mutex // held while a round is under way
}

// round is one sync for all who asked for a sync before it began.
type round struct {
	ended chan struct{}
	err   error
}

// do runs act, or waits for a run of act by another caller that begins after this call, and returns its error.
func (s *shared) do(act func() error) error {
	s.mu.Lock()
	if r := s.next; r != nil {
		s.mu.Unlock()
		<-r.ended
		return r.err
	}
	r := &round{ended: make(chan struct{})}
	s.next = r
	s.mu.Unlock()

	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	defer close(r.ended)
	r.err = act()
	return r.err
}

// buffers are write buffers for files that are put, so that a Put allocates none.
type buffers struct{ pool sync.Pool }

// write runs write with a buffer in front of w. A reader that is copied to the buffer allocates no buffer of its own.
func (b *buffers) write(w io.Writer, write func(io.Writer) error) error {
	buf, _ := b.pool.Get().(*bufio.Writer)
	if buf == nil {
		buf = bufio.NewWriterSize(nil, bufferSize)
	}
	defer func() {
		buf.Reset(nil)
		b.pool.Put(buf)
	}()
	buf.Reset(plain{w})
	if err := write(buf); err != nil {
		return err
	}
	return buf.Flush()
}

// plain is a writer without ReadFrom, in which a file allocates a buffer.
type plain struct{ io.Writer }

// WriteString writes text.
func (p plain) WriteString(text string) (int, error) { return io.WriteString(p.Writer, text) }
