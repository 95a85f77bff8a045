package record

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// The record of a message with as many recipients as the option allows can be read again, with the longest addresses
// and other replies of the longest kind at each attempt.
func TestRecordOfTheMostRecipientsCanBeRead(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{From: "s@x", MessageID: "<1@x>"}
	domain := strings.Repeat(strings.Repeat("d", 62)+".", 3)
	for i := range manyRecipients + 1 {
		m.To = append(m.To, Recipient{Address: fmt.Sprintf("%064d@%s", i, domain)[:254]})
	}
	n := len(m.To)
	var to []string
	for _, r := range m.To {
		to = append(to, r.Address)
	}
	rule := Rule{Backoff: func(int) time.Duration { return time.Minute }}
	var outcomes []attempt.Outcome
	for i := range 3 {
		m.Start(time.Now().Add(time.Duration(i)*time.Hour), func(string) bool { return true })
		reply := "450 4.2.2 " + strings.Repeat("long ", 200)
		outcomes = slices.Repeat([]attempt.Outcome{{
			Relay: "smarthost.example.com:587", TLS: "TLS 1.3", Reply: fmt.Sprint(i, reply), Fault: attempt.Recipient,
			Err: errors.New(reply),
		}}, n)
		m.Apply(to, outcomes, rule, time.Now().Add(time.Duration(i)*time.Hour))
	}
	var text bytes.Buffer
	e := NewStatusEncoder(&text, 1)
	is.NoErr(e.Add("/spool/m", m))
	is.NoErr(e.Close())
	is.True(text.Len()/n*MostRecipients < maxEntry)
	is.True(len(NoteOf(m, "m", to, outcomes).Encode())/n*MostRecipients < maxEntry) // package journal has the same limit
	t.Logf("%d octets for each recipient", text.Len()/n)
}
