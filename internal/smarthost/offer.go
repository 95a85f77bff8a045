package smarthost

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/unbit/spoolgore/internal/sevenbit"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

// An offer is a call of Offer. It belongs to the Relay (and its mutex) while it waits, and to a session once that has
// taken it.
type offer struct {
	t       smtpclient.Transaction // its Content is the offer itself
	content io.Reader
	read    bool // content has been read from
	done    func([]smtpclient.Result)
	place   *list.Element // among the waiting; nil: not there
	taken   time.Time     // when that was
	losses  int           // connections that were lost under it
}

func newOffer(t *smtpclient.Transaction, done func([]smtpclient.Result)) *offer {
	o := &offer{t: *t, content: t.Content, done: done}
	o.t.Content = o
	return o
}

// Read reads the content of the message.
func (o *offer) Read(p []byte) (int, error) {
	o.read = true
	return o.content.Read(p)
}

// rewind goes back to the start of the content and reports whether the message can be offered again.
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

// fail settles the offer with one error for all recipients.
func (o *offer) fail(err *smtpclient.Error) {
	results := make([]smtpclient.Result, len(o.t.To))
	for i := range results {
		results[i].Err = err
	}
	o.done(results)
}

// withdraw settles an offer that the relay has not heard of, for that cause.
func (o *offer) withdraw(cause error) {
	o.fail(&smtpclient.Error{Op: smtpclient.OpMail, Err: cause, NotTried: true})
}

// SevenBit makes the SevenBit of a Transaction from open, whose every call starts the message afresh: it re-encodes the message
// for a relay without 8BITMIME (RFC 6152, section 3).
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

// Content makes the Content of a Transaction from open, whose every call starts the message afresh: Deliver can go back
// to its start when the connection it was sent over turns out to be dead.
func Content(open func() io.Reader) io.ReadSeeker { return &content{open: open} }

type content struct {
	open func() io.Reader
	r    io.Reader // nil: at the start
}

func (c *content) Read(p []byte) (int, error) {
	if c.r == nil {
		c.r = c.open()
	}
	return c.r.Read(p)
}

var errSeek = errors.New("a message can be read again from its start only")

// Seek knows the way to the start and no other.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errSeek
	}
	c.r = nil
	return 0, nil
}
