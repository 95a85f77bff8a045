package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// gateway is a Transport of an application that wraps the SMTP transport: it refuses some recipients, signs the content,
// and sends a copy of accepted mail to an archive.
type gateway struct {
	smtp    Transport
	archive Transport
}

func (g gateway) Deliver(ctx context.Context, t *Transaction) []Result {
	results, signed, places := make([]Result, len(t.To)), *t, []int{}
	signed.To = nil
	for i, to := range t.To {
		if strings.HasPrefix(to, "blocked@") {
			results[i].Err = &DeliveryError{Fault: FaultRecipient, Permanent: true, Err: errors.New("blocked here")}
			continue
		}
		signed.To, places = append(signed.To, to), append(places, i)
	}
	if len(signed.To) == 0 {
		return results
	}
	const signature = "X-Signature: 42\r\n"
	signed.Size += int64(len(signature))
	signed.Content = func() io.Reader { return io.MultiReader(strings.NewReader(signature), t.Content()) }
	accepted := false
	for i, r := range g.smtp.Deliver(ctx, &signed) {
		results[places[i]] = r
		accepted = accepted || r.Err == nil
	}
	if accepted {
		signed.To = []string{"archive@x.org"}
		g.archive.Deliver(ctx, &signed)
	}
	return results
}

func TestApplicationWrapsSMTP(t *testing.T) {
	for name, ext := range map[string][]string{"DATA": {"SIZE"}, "BDAT": {"PIPELINING", "CHUNKING", "SIZE"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, events := t.TempDir(), &events{}
				relays := relaysByName{"main": {Ext: ext, Reply: func(verb, arg string) string {
					if verb == "RCPT" && arg == "unknown@x.org" {
						return "550 5.1.1 no such user"
					}
					return ""
				}}, "archive": {Ext: ext}}
				smtp, err := NewSMTP(Options{SMTPAddr: "main.test:25", Dial: relays.dial})
				is.NoErr(err)
				archive, err := NewSMTP(Options{SMTPAddr: "archive.test:25", Dial: relays.dial})
				is.NoErr(err)
				drop(t, dir, "m", strings.Replace(named, "To: ", "To: blocked@x.org, unknown@x.org, ", 1))
				_, stop := start(t, dir, Options{Transport: gateway{smtp, archive}, OnEvent: events.add})
				pass(time.Minute)
				stop()
				is.NoErr(smtp.(io.Closer).Close())
				is.NoErr(archive.(io.Closer).Close())
				is.Equal(events.kinds("a@x.org"), "queued sent")
				is.Equal(events.kinds("b@x.org"), "queued sent")
				is.Equal(events.kinds("blocked@x.org"), "queued failed")
				is.Equal(events.kinds("unknown@x.org"), "queued failed")
				got := relays["main"].Messages()
				is.Equal(len(got), 1)
				is.Equal(got[0].To, []string{"a@x.org", "b@x.org"})
				is.True(strings.HasPrefix(string(got[0].Data), "X-Signature: 42\r\n"))
				is.True(strings.HasSuffix(string(got[0].Data), "\r\n\r\nhello\r\n"))
				is.Equal(len(relays["archive"].Messages()), 1)
				is.Equal(relays["archive"].Messages()[0].To, []string{"archive@x.org"})
				for _, r := range whyFile(t, dir, "m").To {
					switch r.Address {
					case "a@x.org":
						is.Equal(r.Relay, "main.test:25") // the relay that the SMTP transport used
					case "unknown@x.org":
						is.Equal(r.History.Last.Reply, "550 5.1.1 no such user")
					}
				}
			})
		})
	}
}

// transaction returns a transaction for NewSMTP's Deliver.
func transaction(from string, to ...string) *Transaction {
	const text = "Subject: x\r\n\r\nx\r\n"
	return &Transaction{
		Envelope: Envelope{From: from, To: to}, Size: int64(len(text)),
		Content: func() io.Reader { return strings.NewReader(text) },
	}
}

func TestNewSMTPTakesRoutesAndPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		var mu sync.Mutex
		down := true
		relays := relaysByName{"main": {}, "route": {Reply: func(verb, _ string) string {
			mu.Lock()
			defer mu.Unlock()
			if verb == "DIAL" && down {
				return "connection refused"
			}
			return ""
		}}}
		smtp, err := NewSMTP(Options{
			SMTPAddr: "main.test:25", Dial: relays.dial, Routes: []Route{{Sender: "@x.org", SMTPAddr: "route.test:25"}},
		})
		is.NoErr(err)
		r := smtp.Deliver(t.Context(), transaction("a@y.org", "b@z.org"))[0]
		is.NoErr(r.Err)
		is.Equal(r.Relay, "main.test:25")
		is.Equal(r.Reply, "250 2.0.0 accepted")
		// the null sender has the route of the recipient
		is.NoErr(smtp.Deliver(t.Context(), transaction("", "b@z.org"))[0].Err)
		// the second time the relay is still in its pause
		for range 2 {
			results := smtp.Deliver(t.Context(), transaction("a@x.org", "b@z.org", "c@z.org"))
			is.Equal(len(results), 2)
			for _, r := range results {
				d := new(DeliveryError)
				is.True(errors.As(r.Err, &d))
				is.Equal(d.Fault, FaultRelay)
				is.True(strings.Contains(r.Err.Error(), "connection refused"))
			}
		}
		mu.Lock()
		down = false
		mu.Unlock()
		time.Sleep(2 * time.Second)
		is.NoErr(smtp.Deliver(t.Context(), transaction("a@x.org", "b@z.org"))[0].Err)
		is.NoErr(smtp.(io.Closer).Close())
		is.Equal(len(relays["route"].Messages()), 1)
		is.Equal(len(relays["main"].Messages()), 2)
	})
}

func TestNewSMTPChecksOptions(t *testing.T) {
	is := is.New(t)
	for _, opts := range []Options{{SMTPAddr: "no port"}, {SMTPAddr: "mail.test:25", Concurrency: -1}} {
		smtp, err := NewSMTP(opts)
		is.Equal(smtp, nil)
		is.True(strings.HasPrefix(err.Error(), "spoolgore: "))
	}
}

// A Deliver ends with its own context only.
func TestNewSMTPEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "END" {
				time.Sleep(time.Minute)
			}
			return ""
		}}
		smtp, err := NewSMTP(Options{SMTPAddr: "mail.test:25", Dial: relay.Dial})
		is.NoErr(err)
		other := make(chan error, 1)
		go func() { other <- smtp.Deliver(t.Context(), transaction("a@x.org", "b@x.org"))[0].Err }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		r := smtp.Deliver(ctx, transaction("a@x.org", "c@x.org"))[0]
		is.Equal(time.Since(began), time.Second)
		is.True(errors.Is(r.Err, context.DeadlineExceeded))
		d := new(DeliveryError)
		is.True(errors.As(r.Err, &d))
		is.True(d.Uncertain) // the content was sent
		is.NoErr(<-other)
		is.NoErr(smtp.(io.Closer).Close())
	})
}

// Run ends after Options.Grace with a wrapped SMTP transport, too, although the relay does not reply.
func TestRunEndsWithWrappedSMTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "MAIL" {
				return "hang"
			}
			return ""
		}}
		smtp, err := NewSMTP(Options{SMTPAddr: "mail.test:25", Dial: relay.Dial})
		is.NoErr(err)
		drop(t, dir, "m", simple)
		_, stop := start(t, dir, Options{Transport: TransportFunc(smtp.Deliver), Grace: 5 * time.Second})
		pass(time.Second)
		began := time.Now()
		stop()
		is.Equal(time.Since(began), 5*time.Second)
		is.NoErr(smtp.(io.Closer).Close())
		status, err := loadStatus(filepath.Join(dir, ".spoolgore.js"))
		is.NoErr(err)
		m := one(t, status)
		is.Equal(m.Attempts, 0) // no attempt: the content was not sent
		_, err = os.Stat(filepath.Join(dir, "m"))
		is.NoErr(err)
	})
}

// A refusal for now that may be about the amount of mail counts as an attempt only if the relay accepts other mail: also
// behind a Transport of the application.
func TestWrappedSMTPKeepsUndecidedRefusals(t *testing.T) {
	for _, reply := range []string{"450 4.7.1 too many messages", "451 4.7.500 server busy", "450 4.2.0 greylisted", "451 4.3.0 error"} {
		var got [2]string
		for i := range got {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relays := t.TempDir(), relaysByName{"main": {Reply: func(verb, _ string) string {
					if verb == "RCPT" {
						return reply
					}
					return ""
				}}}
				opts := Options{SMTPAddr: "main.test:25", Dial: relays.dial}
				if i == 1 {
					smtp, err := NewSMTP(opts)
					is.NoErr(err)
					defer smtp.(io.Closer).Close()
					opts = Options{Transport: TransportFunc(smtp.Deliver)}
				}
				drop(t, dir, "m", named)
				s, stop := start(t, dir, opts)
				pass(time.Hour)
				for _, m := range s.Status() {
					got[i] = fmt.Sprintf("%d attempts", m.Attempts)
				}
				stop()
			})
		}
		is.New(t).Equal(got[1], got[0]) // reply
	}
}
