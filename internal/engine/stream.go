package engine

import (
	"errors"
	"io"
	"time"

	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
)

const (
	// longQueue is the largest number of messages for a write of the status file with all records at once.
	// All records at once need much memory, and keep old records in memory until the end of the write.
	longQueue = 10_000
	// streamSize is the number of records of one answer of the loop to a write.
	streamSize = 256
)

// errWriteEnded is the error of a write after abort.
var errWriteEnded = errors.New("write ended by a stop")

// long reports whether the queue has so many messages that a write takes the records one after the other.
func (w *statusWriter) long() bool { return w.spool.queue.Known() > longQueue }

// A part is a piece of a queue.Stream.
type part struct {
	records []queue.Named
	more    bool
}

func nextPart(s *queue.Stream) (p part) {
	p.records, p.more = s.Next(streamSize, time.Now())
	return p
}

// stream begins to write the status file. The write asks the loop for the records, a part at a time.
func (w *statusWriter) stream(stream *queue.Stream, now time.Time, then func(error)) {
	causes := w.causes()
	quit, parts := make(chan struct{}), make(chan part, 1)
	w.quit = quit
	request := func() { w.post(func() { parts <- nextPart(stream) }) }
	next := func() (p part, err error) {
		select {
		case p = <-parts:
		case <-quit:
			return p, errWriteEnded
		}
		if p.more {
			request() // taken while this part is encoded
		}
		return p, nil
	}
	count := stream.Len()
	write := func(to io.Writer) error {
		stream.Sort()
		request()
		return w.encode(to, count, causes, now, next)
	}
	w.startWith(write, false, func(err error) {
		stream.Close()
		w.quit = nil
		if then != nil {
			then(err)
		}
	})
}

// abort ends the write of a stream, if one is under way. The loop calls abort at its end.
func (w *statusWriter) abort() {
	if w.quit != nil {
		close(w.quit)
		w.quit = nil
	}
}

// streamNow writes the status file and waits. The loop calls streamNow at its end.
func (w *statusWriter) streamNow(now time.Time) error {
	stream, causes := queue.BeginStream(w.spool.queue, now), w.causes()
	defer stream.Close()
	stream.Collect().All(now)
	return w.file.Sync(false, func(to io.Writer) error {
		stream.Sort()
		return w.encode(to, stream.Len(), causes, now, func() (part, error) { return nextPart(stream), nil })
	})
}

// encode writes the parts that next returns as a status file with about count messages. Causes says why the mail of a
// sender cannot be sent now.
func (w *statusWriter) encode(
	to io.Writer, count int, causes causesOf, now time.Time, next func() (part, error),
) error {
	enc := record.NewStatusEncoder(to, count)
	for {
		p, err := next()
		if err != nil {
			return err
		}
		if err := addRecords(enc, w.spool.dir, p.records, causes, now); err != nil {
			return err
		}
		if !p.more {
			return enc.Close()
		}
	}
}
