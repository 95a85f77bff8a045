package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// stumble is a Transport that replies 421 to each offer of the file "poison".
func stumble(file, _ string, _ int) error {
	if file == "poison" {
		return busyRelay()
	}
	return nil
}

func TestAMessageThatTheRelayStumblesOverHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		prefix string // prefix of the file name of the poison message
		first  error  // the first reply for the other messages
	}{
		{"fresh mail", "", nil},
		{"retries", "", errLater},
		{"mail of lower priority", `X-Spoolgore-Envelope: {"from":"s@x.org","to":["a@x.org"],"priority":1}` + "\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				const others = 5
				dir := t.TempDir()
				relay := &ledger{answer: func(file, to string, n int) error {
					if n == 1 && file != "poison" {
						return tt.first
					}
					return stumble(file, to, n)
				}}
				drop(t, dir, "poison", tt.prefix+simple)
				for i := range others {
					drop(t, dir, fmt.Sprint(i), simple)
				}
				_, stop := start(t, dir, Options{Transport: relay, Concurrency: 1, Freq: time.Minute})
				pass(24 * time.Hour)
				stop()
				is.Equal(relay.accepted("", "b@example.org"), others) // all other messages are sent
				is.True(exists(dir, "poison"))                        // the poison message waits
			})
		})
	}
}

// The files are opened in any order, so the poison message is the one that is offered at a given place. Acceptances
// after it show that the relay works. If there are none, the drain returns the last reply of the relay.
func TestDrainTriesTheOthersAfterAMessageThatTheRelayStumblesOver(t *testing.T) {
	t.Parallel()
	const others = 50
	for name, place := range map[string]int{"first": 0, "in the middle": others / 2, "last": others} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				poison, offers := "", 0
				dir, relay := t.TempDir(), &ledger{answer: func(file, _ string, _ int) error { // one offer at a time
					if offers++; offers == place+1 {
						poison = file
					}
					if file == poison {
						return busyRelay()
					}
					return nil
				}}
				for i := range others + 1 {
					drop(t, dir, fmt.Sprintf("z%d", i), simple)
				}
				s := New(dir, exact(Options{Transport: relay, Concurrency: 1}))
				s.opts.Watch = WatchOff
				err := s.Drain(t.Context())
				is.Equal(relay.accepted("", "b@example.org"), others) // the others are sent
				is.True(exists(dir, poison))                          // the poison message waits
				if place < others {
					is.NoErr(err) // the relay accepted mail after the 421
				} else {
					// no acceptance shows that the relay works
					is.True(err != nil && strings.Contains(err.Error(), "421 4.7.0"))
				}
			})
		})
	}
}

func TestDrainSendsWhatIsPutInMeanwhile(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, about string }{
		"after an attempt": {named, "b@x.org"},
		// the recipient is given up without an attempt
		"as a file is read": {"From: s@x.org\nTo: root\n\nhello\n", "root"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &ledger{answer: refuseB}
				drop(t, dir, "m", tt.text)
				var s *Spool
				s = New(dir, exact(Options{Transport: relay, OnEvent: func(ev Event) {
					if ev.Kind == EventFailed && ev.To == tt.about {
						_, err := s.Put(context.Background(), Envelope{To: []string{ev.From}}, strings.NewReader("Subject: not delivered\n\nhello\n"))
						is.NoErr(err)
					}
				}}))
				s.opts.Watch = WatchOff
				is.NoErr(s.Drain(t.Context()))
				is.Equal(relay.accepted("", "s@x.org"), 1) // the report is sent too
			})
		})
	}
}

func TestContentIsNotReadOnceDeliverHasReturned(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir := t.TempDir()
	drop(t, dir, "m", simple+strings.Repeat("0123456789 hello world\n", 100_000))
	var content io.Reader
	copied := make(chan struct{})
	s := New(dir, exact(Options{Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
		content = tx.Content()
		go func() { // an HTTP client may go on reading the body of a request after the response
			io.Copy(io.Discard, struct{ io.Reader }{content}) // the error does not matter
			close(copied)
		}()
		return []Result{{Err: errLater}}
	})}))
	is.NoErr(s.Drain(t.Context()))
	<-copied
	n, err := content.Read(make([]byte, 10))
	is.Equal(n, 0)                        // no further byte, which could be another message's
	is.True(errors.Is(err, fs.ErrClosed)) // the error is not the end of the content
}
