package smtppool

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/sevenbit"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

// An offer is a call of Relay.Offer. The mutex of the pool guards a waiting offer; a session owns an offer in a
// transaction.
type offer struct {
	relay   string                 // name of the relay, for the outcomes
	t       smtpclient.Transaction // t.Content is the offer
	content io.Reader
	read    bool // content was read from
	done    func([]attempt.Outcome)
	stop    func() bool        // releases the context of the offer; nil: there is none
	one     [1]attempt.Outcome // memory for the outcome of a message with one recipient
	taken   time.Time          // time when a session took the offer
	losses  int                // connections lost under the offer
	ways    int                // times the offer was made again in another way, or at another address

	session  *session // session with the offer; nil: the offer waits or has ended. Guarded by the pool's mutex.
	canceled error    // cause of the end of the context; nil: not ended. The mutex of the pool guards it.
}

func newOffer(relay string, t *smtpclient.Transaction, done func([]attempt.Outcome)) *offer {
	o := &offer{relay: relay, t: *t, content: t.Content, done: done}
	o.t.Content = o
	return o
}

// Read reads the content of the message.
func (o *offer) Read(p []byte) (int, error) {
	o.read = true
	return o.content.Read(p)
}

// rewind goes back to the start of the content, and reports whether the message can be offered again.
func (o *offer) rewind() bool {
	if !o.read {
		return true
	}
	s, ok := o.content.(io.Seeker)
	if !ok {
		return false
	}
	if _, err := s.Seek(0, io.SeekStart); err != nil {
		return false
	}
	o.read = false
	return true
}

// newOutcomes returns memory for n outcomes.
func (o *offer) newOutcomes(n int) []attempt.Outcome {
	if n == 1 {
		return o.one[:]
	}
	return make([]attempt.Outcome, n)
}

// finish ends the offer. The caller holds the mutex of the pool.
func (o *offer) finish(outcomes []attempt.Outcome) {
	o.session = nil
	if o.stop != nil {
		o.stop()
	}
	o.done(outcomes)
}

// fail ends the offer with one error for all recipients.
func (o *offer) fail(err *smtpclient.Error) {
	outcomes := o.newOutcomes(len(o.t.To))
	outcomes[0] = err.Outcome()
	outcomes[0].Relay = o.relay
	for i := range outcomes {
		outcomes[i] = outcomes[0]
	}
	o.finish(outcomes)
}

// withdraw ends an offer that the relay did not receive.
func (o *offer) withdraw(cause error) {
	o.fail(&smtpclient.Error{Op: attempt.OpMail, Err: cause, NotTried: true})
}

// SevenBit returns the SevenBit of a Transaction: a function that encodes the message for a relay without 8BITMIME
// (RFC 6152, section 3). Each call of open returns the message from the start.
func SevenBit(open func() io.Reader) func() (io.Reader, int64, error) {
	return func() (io.Reader, int64, error) {
		content, size, err := sevenbit.Convert(open)
		switch {
		case errors.Is(err, sevenbit.ErrSigned), errors.Is(err, sevenbit.ErrBroken):
			return nil, 0, fmt.Errorf("the relay does not offer 8BITMIME: %w", err)
		case err != nil:
			return nil, 0, fmt.Errorf("%w: %w", smtpclient.ErrSource, err)
		}
		return content(), size, nil
	}
}

// Content returns the Content of a Transaction. Each call of open returns the message from the start, so a Relay can
// offer the message again after a lost connection.
func Content(open func() io.Reader) io.ReadSeeker { return &content{open: open} }

// content is a reader that can go back to the start.
type content struct {
	open func() io.Reader
	r    io.Reader // nil: at the start
}

// Read reads the message.
func (c *content) Read(p []byte) (int, error) {
	if c.r == nil {
		c.r = c.open()
	}
	return c.r.Read(p)
}

var errSeek = errors.New("a message can be read again only from the start")

// Seek goes to the start. Any other position is an error.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errSeek
	}
	c.r = nil
	return 0, nil
}
