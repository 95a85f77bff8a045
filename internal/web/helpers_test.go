package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
)

// patience is the limit for an event.
const patience = 5 * time.Minute

// hostile is a subject that tries to execute code in the page.
const hostile = `</td></script><img src=x onerror="window.owned=1"><script>window.owned=1</script>`

// fakePulse is a Collector with the figures of a test.
type fakePulse struct {
	started time.Time
	last    collector.Snapshot
	past    []collector.Minute
	health  func() spoolgore.Health // if not nil, last.Queue comes from it
}

func (p *fakePulse) Started() time.Time { return p.started }

func (p *fakePulse) Last() collector.Snapshot {
	last := p.last
	if p.health != nil {
		last.Queue = p.health().Queue
	}
	return last
}

func (p *fakePulse) Past() []collector.Minute { return p.past }

// well returns a snapshot of a spool without trouble.
func well() collector.Snapshot {
	return collector.Snapshot{At: time.Now(), Health: spoolgore.Health{
		Running: true, Relays: []spoolgore.RelayHealth{{Name: "mail.example.com:587", Connections: 2, Limit: 20}},
	}, Counts: collector.Counts{Sent: 48211, Deferred: 96, Failed: 12}, PerMinute: 312}
}

// relay is a Transport. It refuses no...@ for good, but norbert@ once only, defers full...@ and later...@, and accepts
// all other recipients.
type relay struct{ norbert atomic.Bool }

func (l *relay) Deliver(_ context.Context, t *spoolgore.Transaction) (results []spoolgore.Result) {
	for _, to := range t.To {
		r := spoolgore.Result{Relay: "mail.example.com:587", TLS: "TLS 1.3", Reply: "250 2.0.0 Ok: queued"}
		fail := func(code int, reply string, permanent bool) {
			r.Reply = reply
			r.Err = &spoolgore.DeliveryError{Fault: spoolgore.FaultRecipient, Op: "rcpt", Code: code, Permanent: permanent, Err: errors.New(reply)}
		}
		switch name, _, _ := strings.Cut(to, "@"); {
		case name == "norbert" && l.norbert.Swap(true):
		case strings.HasPrefix(name, "no"):
			fail(550, "550 5.1.1 <"+to+">: Recipient address rejected: User unknown in virtual mailbox table", true)
		case strings.HasPrefix(name, "full"):
			fail(452, "452 4.2.2 The email account that you tried to reach is over quota", false)
		case strings.HasPrefix(name, "later"):
			fail(450, "450 4.2.0 <"+to+">: Recipient address rejected: Greylisted, see https://postgrey.example/help", false)
		}
		results = append(results, r)
	}
	return results
}

// drop puts a message into the spool by rename.
func drop(t *testing.T, dir, name, text string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Join(dir, "tmp"), 0o700))
	tmp := filepath.Join(dir, "tmp", name)
	check(t, os.WriteFile(tmp, []byte(text), 0o600))
	old := time.Now().Add(-time.Minute) // so that the file has settled
	check(t, os.Chtimes(tmp, old, old))
	check(t, os.Rename(tmp, filepath.Join(dir, name)))
}

func mail(from, to, subject, body string) string {
	return fmt.Sprintf("From: %s\nTo: %s\nSubject: %s\nDate: Mon, 23 Nov 2026 10:00:00 +0000\nMessage-ID: <%d@example.com>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n%s", from, to, subject, len(to+subject), body)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path ...string) bool {
	_, err := os.Lstat(filepath.Join(path...))
	return err == nil
}

// soon waits until so returns true.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// run runs the spool in dir until the test ends.
func run(t *testing.T, dir string, opts spoolgore.Options) *spoolgore.Spool {
	t.Helper()
	opts.Transport, opts.NoReports, opts.Logger = &relay{}, true, slog.New(slog.DiscardHandler)
	s := spoolgore.New(dir, opts)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// serve returns a server for the spool in dir with further options of o, and its URL.
func serve(t *testing.T, dir string, o Options) (s *Server, url string) {
	t.Helper()
	o.Dir, o.Log = dir, slog.New(slog.DiscardHandler)
	if o.Collector == nil {
		o.Collector = &fakePulse{started: time.Now().Add(-9 * time.Hour), last: well()}
	}
	s, err := New(o)
	check(t, err)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return s, server.URL
}
