package record

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

// A message with very many recipients is deferred again and again, each time with other replies. The status file and the
// journal can be read again: their readers have limits for a message.
func TestRecordOfVeryManyRecipientsCanBeRead(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	const recipients, many = 20, 30_000
	m := &Message{From: "s@x", MessageID: "<1@x>"}
	var to []string
	for i := range many {
		m.To = append(m.To, Recipient{Address: fmt.Sprintf("recipient%d@mail.example.org", i)})
	}
	for _, r := range m.To[:recipients] {
		to = append(to, r.Address)
	}
	now := time.Now()
	rule := Rule{MaxAttempts: 1000, Backoff: func(int) time.Duration { return time.Minute }}
	among := func(address string) bool { return slices.Contains(to, address) }
	for n := range 30 {
		now = now.Add(time.Hour)
		m.Start(now, among)
		outcomes := make([]attempt.Outcome, recipients)
		for i, address := range to {
			reply := fmt.Sprintf("450 4.2.2 <%s>: try again later (%d)", address, n)
			outcomes[i] = attempt.Outcome{
				Relay: "smarthost.example.com:587", TLS: "TLS 1.3", Reply: reply, Fault: attempt.Recipient, Err: errors.New("rcpt: " + reply),
			}
		}
		m.Apply(to, outcomes, rule, now)
	}
	m.To = m.To[:recipients]
	var text bytes.Buffer
	e := NewStatusEncoder(&text, 1)
	is.NoErr(e.Add("/spool/m", m))
	is.NoErr(e.Close())
	is.True(text.Len()/recipients*many < maxEntry)
	runs, leftOut := m.To[0].AttemptRuns()
	is.Equal(len(runs)+leftOut, 30) // the number is kept
}
