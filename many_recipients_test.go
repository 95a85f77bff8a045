package spoolgore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A message with more recipients than MaxRecipients is sent to no recipient, and its sender gets a report. With a
// higher limit, the message can be moved back.
func TestTooManyRecipientsOfAMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, events := t.TempDir(), &smtptest.Relay{}, &events{}
		opts := Options{Dial: relay.Dial, MaxRecipients: 30, OnEvent: events.add}
		s, stop := begin(t, dir, opts)
		drop(t, dir, "many", many(31))
		drop(t, dir, "enough", many(30))
		pass(time.Minute)
		is.Equal(ls(t, dir, "failed"), []string{"many", "many.json"}) // the message is kept in failed/
		got := reports(t, relay)
		is.Equal(len(got), 1) // one report
		is.Equal(got[0].env.GetHeader("To"), "<a@example.com>")
		is.True(strings.Contains(got[0].Explanation.Text, "31 recipients, more than 30"))
		is.Equal(len(relay.Messages()), 2)             // the report, and the other message
		is.Equal(len(events.ofKind(EventUnusable)), 1) // one event
		is.True(len(whyFile(t, dir, "many").To) <= 20) // the why-file names at most 20 recipients
		check(t, os.Rename(filepath.Join(dir, "failed", "many"), filepath.Join(dir, "many")))
		pass(time.Minute)
		is.True(exists(dir, "failed", "many")) // the limit also applies to a message that was moved back
		opts.MaxRecipients = 31
		opts.SMTPAddr = "smarthost.test:25"
		check(t, s.Reconfigure(exact(opts)))
		check(t, os.Rename(filepath.Join(dir, "failed", "many"), filepath.Join(dir, "many")))
		pass(time.Minute)
		stop()
		is.Equal(ls(t, dir, "failed"), nil)
		to := 0
		for _, m := range relay.Messages() {
			if m.From != "" {
				to += len(m.To)
			}
		}
		is.Equal(to, 61) // each recipient has got the message once
	})
}

// each recipient has got its message once
func TestTooManyRecipientsForPut(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	s := New(t.TempDir(), Options{SMTPAddr: "relay.test:25"})
	for n, want := range map[int]error{10_000: nil, 10_001: ErrTooLarge} {
		_, err := s.Put(t.Context(), Envelope{From: "a@x.org", To: recipients(n)}, strings.NewReader(simple))
		is.True(errors.Is(err, want) && (err == nil) == (want == nil))
	}
}

// A relay that gives many recipients long replies makes neither memory, nor status file, nor log grow without bound.
func TestLongRepliesForManyRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const number = 2000
		dir, log := t.TempDir(), &bytes.Buffer{}
		reply := "450 4.2.0 " + strings.Repeat("long ", 700)
		transport := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			results := make([]Result, len(tx.To))
			for i := range results {
				results[i].Err = &DeliveryError{Fault: FaultRecipient, Op: "rcpt", Code: 450, Err: errors.New(reply + fmt.Sprint(i%2))}
			}
			return results
		})
		drop(t, dir, "m", many(number))
		s, stop := begin(t, dir, Options{Transport: transport, Logger: slog.New(slog.NewTextHandler(log, nil))})
		pass(time.Second)
		m := one(t, s.Status())
		for _, r := range m.To {
			is.True(len(r.Error) <= 640)
		}
		stop()
		fi, err := os.Stat(filepath.Join(dir, ".spoolgore.js"))
		is.NoErr(err)
		t.Logf("status file %d bytes, log %d bytes", fi.Size(), log.Len())
		is.True(fi.Size() < number*2500)
		is.True(log.Len() < 20_000)
	})
}
