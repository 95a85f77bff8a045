package spoolgore

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A program may pass on a place that a request names: no file outside of the spool is read, changed or removed.
func TestAnUnknownPlaceIsRefused(t *testing.T) {
	is := is.New(t)
	dir := filepath.Join(t.TempDir(), "spool")
	is.NoErr(os.Mkdir(dir, 0o700))
	outside := filepath.Join(filepath.Dir(dir), "other")
	is.NoErr(os.Mkdir(outside, 0o700))
	file := filepath.Join(outside, "file")
	text := []byte("From: a@example.com\nTo: b@example.org\n\nx\n")
	is.NoErr(os.WriteFile(file, text, 0o600))
	is.NoErr(os.WriteFile(filepath.Join(dir, "file"), text, 0o600))
	old := time.Now().Add(-time.Hour)
	is.NoErr(os.Chtimes(filepath.Join(dir, "file"), old, old))
	s := New(dir, Options{SMTPAddr: "mail.example.com:25"})
	for _, place := range []Place{"../other", "tmp/../../other", Place(outside), "other"} {
		_, err := s.Get(place, "file")
		is.True(errors.Is(err, fs.ErrNotExist))
		is.True(s.Redirect(place, "file", "c@example.org") != nil)
		is.True(s.Retry(place, "file") != nil)
		is.True(s.Delete(place, "file") != nil)
	}
	now, err := os.ReadFile(file)
	is.NoErr(err)
	is.Equal(string(now), string(text))
	info, err := os.Stat(filepath.Join(dir, "file"))
	is.NoErr(err)
	is.True(info.ModTime().Equal(old))
}

// A wrapper of NewSMTP gives a content that panics, or none: that is a failure of the message, and the program goes on.
func TestAContentThatPanics(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Ext: []string{"8BITMIME", "PIPELINING", "CHUNKING"}}
	smtp, err := NewSMTP(Options{SMTPAddr: "mail.example.com:25", Dial: relay.Dial, Logger: slog.New(slog.DiscardHandler)})
	is.NoErr(err)
	defer smtp.(io.Closer).Close()
	for name, content := range map[string]func() io.Reader{
		"no function": nil,
		"no reader":   func() io.Reader { return nil },
		"panic":       func() io.Reader { panic("bug") },
		"reader":      func() io.Reader { return io.MultiReader(strings.NewReader("Subject: x\r\n"), broken{}) },
	} {
		results := smtp.Deliver(t.Context(), &Transaction{
			Envelope: Envelope{From: "a@example.com", To: []string{"b@example.org"}}, Size: 20, Content: content,
		})
		t.Log(name, results)
		is.Equal(len(results), 1)
		is.True(results[0].Err != nil)
	}
	is.Equal(len(relay.Messages()), 0)
}

// A function of TLSConfig panics: the relay cannot be used, and the program goes on.
func TestAFunctionOfTLSConfigThatPanics(t *testing.T) {
	is := is.New(t)
	cert, _ := smtptest.Certificate(t, "mail.example.com")
	relay := &smtptest.Relay{Ext: []string{"STARTTLS"}, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	smtp, err := NewSMTP(Options{
		SMTPAddr: "mail.example.com:25", Dial: relay.Dial, Logger: slog.New(slog.DiscardHandler),
		TLSConfig: &tls.Config{VerifyConnection: func(tls.ConnectionState) error { panic("bug") }, InsecureSkipVerify: true},
	})
	is.NoErr(err)
	defer smtp.(io.Closer).Close()
	results := smtp.Deliver(t.Context(), &Transaction{
		Envelope: Envelope{From: "a@example.com", To: []string{"b@example.org"}}, Size: 1,
		Content: func() io.Reader { return strings.NewReader("x") },
	})
	is.Equal(len(results), 1)
	is.True(strings.Contains(results[0].Err.Error(), "TLSConfig panicked: bug"))
}

// broken is a reader that panics.
type broken struct{}

func (broken) Read([]byte) (int, error) { panic("bug") }

// OnAttempt ends the context of an attempt at once: the attempt fails, and the next one comes by the retry rule.
func TestAnAttemptWhoseContextHasEnded(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	for _, transport := range []Transport{nil, TransportFunc(func(ctx context.Context, tx *Transaction) []Result {
		return []Result{{Err: &DeliveryError{Fault: FaultNone, Err: ctx.Err()}}}
	})} {
		var attempts, deferred atomic.Int32
		s := New(t.TempDir(), Options{
			SMTPAddr: "mail.example.com:25", Dial: relay.Dial, Transport: transport, Watch: WatchOff, Logger: slog.New(slog.DiscardHandler),
			OnAttempt: func(ctx context.Context, _ *Transaction) (context.Context, func([]Result)) {
				attempts.Add(1)
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx, nil
			},
			OnEvent: func(ev Event) {
				if ev.Kind == EventDeferred {
					deferred.Add(1)
				}
			},
		})
		is.NoErr(s.Send("a@example.com", []string{"b@example.org"}, []byte("Subject: x\n\nx\n")))
		ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
		is.NoErr(s.Run(ctx))
		stop()
		is.Equal(attempts.Load(), int32(1))
		is.Equal(deferred.Load(), int32(1))
	}
}
