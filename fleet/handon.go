package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/message"
)

// HandOn returns the Transport of a local spool: each message of the spool is put into the queue of the fleet, and the
// file is removed when the database has the message. While the database cannot be reached, the files stay in the spool,
// and programs go on writing files. A message that is handed on again, as after a crash between both steps, is known
// by its file, and adds no second message.
//
//	spoolgore.New("/var/spool/app", spoolgore.Options{Transport: q.HandOn()}).Run(ctx)
func (q *Queue) HandOn() spoolgore.Transport { return handOn{q} }

// handOn is a Transport into the queue.
type handOn struct{ q *Queue }

// HandsOn marks a transport to another queue, see spoolgore.Transport.
func (handOn) HandsOn() {}

// Deliver implements spoolgore.Transport. All recipients are accepted, or none.
func (h handOn) Deliver(ctx context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	result := spoolgore.Result{Relay: "fleet", DSN: true}
	a, err := h.put(ctx, t)
	if err != nil {
		result.Err = handOnError(err)
	} else {
		result.Reply = "250 2.0.0 queued as " + strconv.FormatInt(a.ID, 10)
		h.q.wake.notify()
	}
	return slices.Repeat([]spoolgore.Result{result}, len(t.To))
}

// put adds the message of t.
func (h handOn) put(ctx context.Context, t *spoolgore.Transaction) (store.Added, error) {
	text, err := envelopeJSON(message.Envelope(t.Envelope))
	if err != nil {
		return store.Added{}, err
	}
	item := store.Item{
		UID: uidOf(t), Host: h.q.opts.Name, Name: strings.ToValidUTF8(t.Name, "?"), Envelope: text,
	}
	if !t.Enqueued.IsZero() {
		item.Age = max(0, time.Since(t.Enqueued))
	}
	content := t.Content()
	for size := int64(0); size < t.Size && size < inMemory; {
		piece := make([]byte, min(store.PieceSize, t.Size-size))
		if _, err := io.ReadFull(content, piece); err != nil {
			return store.Added{}, contentError{err}
		}
		item.Pieces, size = append(item.Pieces, piece), size+int64(len(piece))
	}
	if t.Size > inMemory {
		item.More = &exactReader{content, t.Size - inMemory}
	}
	return h.q.put(ctx, item)
}

// uidOf returns the uid of an offer: the same for the same file and the same recipients.
func uidOf(t *spoolgore.Transaction) string {
	to := slices.Clone(t.To)
	slices.Sort(to)
	sum := sha256.Sum256([]byte(t.Identity + "\x00" + t.From + "\x00" + strings.Join(to, "\x00")))
	return "file:" + hex.EncodeToString(sum[:16])
}

// contentError is an error of the file of a message.
type contentError struct{ err error }

// Error returns the reason.
func (e contentError) Error() string { return e.err.Error() }

// Unwrap returns the reason.
func (e contentError) Unwrap() error { return e.err }

// handOnError returns err as a failure of the database, unless the message is the cause: no attempt is counted then.
func handOnError(err error) error {
	fault := spoolgore.FaultRelay
	if errors.As(err, new(contentError)) || errors.Is(err, spoolgore.ErrEnvelope) || store.IsRefusal(err) {
		fault = spoolgore.FaultMessage
	}
	return &spoolgore.DeliveryError{Fault: fault, Op: "dial", Err: fmt.Errorf("hand on: %w", err)}
}

// exactReader reads n octets, and returns a contentError if there are fewer.
type exactReader struct {
	r io.Reader
	n int64
}

// Read reads the rest.
func (e *exactReader) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	e.n -= int64(n)
	switch {
	case e.n == 0:
		return n, nil
	case err == io.EOF:
		err = contentError{io.ErrUnexpectedEOF}
	case err != nil:
		err = contentError{err}
	}
	return n, err
}
