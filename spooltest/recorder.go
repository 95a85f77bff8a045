package spooltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unbit/spoolgore"
)

// Mail is a message that was accepted.
type Mail struct {
	spoolgore.Envelope           // To holds the recipients who accepted
	Time               time.Time // of the acceptance
	Data               []byte    // the message as sent, lines end in CRLF
}

// Header returns the value of a header field; empty: there is no such field. Folded lines are joined.
func (m Mail) Header(name string) string {
	head, _, _ := bytes.Cut(m.Data, []byte("\r\n\r\n"))
	unfolded := strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(string(head))
	for line := range strings.SplitSeq(unfolded, "\r\n") {
		if field, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(field), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Body returns what follows the header.
func (m Mail) Body() string {
	_, body, _ := strings.Cut(string(m.Data), "\r\n\r\n")
	return body
}

// Recorder is a Transport that records the messages it accepts. The zero value accepts everything.
type Recorder struct {
	mu     sync.Mutex
	sent   []Mail
	script map[string][]error
	tries  map[string]int
}

// Script sets the outcomes of the next transactions for a recipient, in order; nil is an acceptance. "*" stands for
// every recipient without a script. After the last outcome everything is accepted.
func (r *Recorder) Script(recipient string, outcomes ...error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.script == nil {
		r.script = make(map[string][]error)
	}
	r.script[recipient] = outcomes
}

// Later is an outcome of a recipient who cannot be served now: the spool tries again.
func Later(text string) error {
	return &spoolgore.DeliveryError{Fault: spoolgore.FaultRecipient, Op: "rcpt", Code: 450, Err: errors.New(text)}
}

// Never is an outcome of a recipient who cannot be served at all: the spool gives up and sends a report.
func Never(text string) error {
	return &spoolgore.DeliveryError{
		Fault: spoolgore.FaultRecipient, Op: "rcpt", Code: 550, Permanent: true, Err: errors.New(text),
	}
}

// Down is an outcome of a relay that cannot be reached.
func Down() error {
	return &spoolgore.DeliveryError{Fault: spoolgore.FaultRelay, Op: "dial", Err: errors.New("connection refused")}
}

// Deliver implements spoolgore.Transport.
func (r *Recorder) Deliver(ctx context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	results := make([]spoolgore.Result, len(t.To))
	data, err := io.ReadAll(t.Content())
	r.mu.Lock()
	defer r.mu.Unlock()
	mail := Mail{Envelope: t.Envelope, Time: time.Now(), Data: data}
	mail.To = nil
	for i, to := range t.To {
		if results[i].Err = err; err == nil {
			results[i].Err = r.outcome(to)
		}
		if results[i].Err == nil {
			mail.To = append(mail.To, to)
		}
	}
	if len(mail.To) > 0 {
		r.sent = append(r.sent, mail)
	}
	return results
}

// outcome returns the next outcome for a recipient.
func (r *Recorder) outcome(to string) error {
	if r.tries == nil {
		r.tries = make(map[string]int)
	}
	r.tries[to]++
	for _, name := range []string{to, "*"} {
		if next, ok := r.script[name]; ok {
			if len(next) == 0 {
				return nil
			}
			r.script[name] = next[1:]
			return next[0]
		}
	}
	return nil
}

// Sent returns the messages that were accepted, in order.
func (r *Recorder) Sent() []Mail {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// Tries returns the number of transactions for a recipient.
func (r *Recorder) Tries(recipient string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries[recipient]
}
