package spoolgore

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestMailGoesByItsSendersRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relays := map[string]*smtptest.Relay{}
		for _, name := range []string{"main", "domain", "ann", "down"} {
			relays[name] = &smtptest.Relay{Reply: func(verb, _ string) string {
				if verb == "DIAL" && name == "down" {
					return "connection refused"
				}
				return ""
			}}
		}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			name, _, _ := strings.Cut(addr, ".")
			return relays[name].Dial(ctx, network, addr)
		}
		for i, from := range []string{"x@elsewhere.org", "bob@Example.com", "ANN@example.com", "y@down.org"} {
			drop(t, dir, fmt.Sprint(i), "From: "+from+"\nTo: b@example.org\n\nhello\n")
		}
		s, stop := start(t, dir, Options{Dial: dial, SMTPAddr: "main.test:25", Routes: []Route{
			{Sender: "@example.com", SMTPAddr: "domain.test:25"},
			{Sender: "ann@example.com", SMTPAddr: "ann.test:25"},
			{Sender: "@down.org", SMTPAddr: "down.test:25"},
		}})
		pass(time.Minute)
		st := s.Status()
		stop()
		is.Equal(relays["main"].Messages()[0].From, "x@elsewhere.org")   // a sender without a route
		is.Equal(relays["domain"].Messages()[0].From, "bob@Example.com") // a domain
		// the route of an address goes before the route of its domain
		is.Equal(relays["ann"].Messages()[0].From, "ANN@example.com")
		m := one(t, st)
		is.Equal(m.From, "y@down.org")                           // a relay that is down holds up only its own mail
		is.True(strings.Contains(m.To[0].Error, "down.test:25")) // the error names the relay
		is.Equal(m.To[0].Attempts, 0)
	})
}

// A damaged rate file holds up no mail. The limit counts from the start.
func TestDamagedRateFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		drop(t, dir, ".spoolgore.rate", `{"1h":{"At":`)
		for i := range 2 {
			drop(t, dir, fmt.Sprint(i), "From: a@x.org\nTo: b@y.org\n\nhello\n")
		}
		_, stop := start(t, dir, Options{Dial: relay.Dial, SMTPAddr: "main.test:25", Rate: Rate{{1, time.Hour}}})
		pass(time.Minute)
		is.Equal(len(relay.Messages()), 1)
		pass(time.Hour)
		stop()
		is.Equal(len(relay.Messages()), 2)
	})
}

func TestRateHoldsOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var mu sync.Mutex
		var sent []time.Time // of each recipient
		take := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			mu.Lock()
			defer mu.Unlock()
			for range tx.To {
				sent = append(sent, time.Now())
			}
			return make([]Result, len(tx.To))
		})
		count := func() int { mu.Lock(); defer mu.Unlock(); return len(sent) }
		for i := range 200 {
			drop(t, dir, fmt.Sprint(i), "From: a@x.org\nTo: b@y.org, c@y.org\n\nhello\n")
		}
		opts := Options{Transport: take, Rate: Rate{{100, time.Hour}}}
		_, stop := start(t, dir, opts)
		pass(time.Second)
		is.Equal(count(), 100) // the whole limit, as none of it was used before
		for range 5 {
			stop()
			_, stop = start(t, dir, opts)
			pass(10 * time.Minute)
			is.Equal(count(), 100) // never more than the limit in an hour, however often the daemon is restarted
		}
		stop()
		_, stop = start(t, dir, opts)
		pass(11 * time.Minute)
		is.Equal(count(), 200) // a new hour has begun
		pass(4 * time.Hour)
		stop()
		is.Equal(count(), 400) // every message is sent in the end
		for i, at := range sent[100:] {
			is.True(at.Sub(sent[i]) >= time.Hour) // not more than 100 in any hour
		}
	})
}

// A rate counts recipients, for all relays together. Relays take turns: a message with many recipients does not wait
// behind all small messages for another relay.
func TestRateCountsRecipientsOfAllRelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var mu sync.Mutex
		var sent []time.Time // of each recipient
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			mu.Lock()
			defer mu.Unlock()
			if verb == "RCPT" {
				sent = append(sent, time.Now())
			}
			return ""
		}}
		for i := range 60 {
			drop(t, dir, fmt.Sprint(i), "From: a@x.org\nTo: b@y.org"+[]string{"", ", c@y.org", ", c@y.org, d@y.org"}[i%3]+"\n\nhello\n")
		}
		opts := Options{SMTPAddr: "main.test:25", Dial: relay.Dial, Rate: Rate{{10, time.Hour}}, Freq: time.Minute}
		opts.Routes = []Route{{Sender: "@x.org", SMTPAddr: "other.test:25"}}
		_, stop := start(t, dir, opts)
		pass(time.Minute)
		drop(t, dir, "large", "From: a@z.org\nTo: b@y.org, c@y.org, d@y.org, e@y.org, f@y.org, g@y.org, h@y.org\n\nhello\n")
		pass(2*time.Hour + 10*time.Minute)
		is.True(!exists(dir, "large"))
		pass(24 * time.Hour)
		stop()
		left, err := os.ReadDir(dir)
		is.NoErr(err)
		for _, f := range left {
			is.True(f.IsDir() || strings.HasPrefix(f.Name(), ".")) // every message is sent
		}
		for i := 10; i < len(sent); i++ {
			is.True(sent[i].Sub(sent[i-10]) >= time.Hour) // not more than 10 in any hour
		}
	})
}

// A drain sends what the rate allows now, and ends. The other messages wait for a later run.
func TestDrainEndsAtTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var sent atomic.Int64
		take := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			sent.Add(1)
			return make([]Result, len(tx.To))
		})
		for i := range 30 {
			drop(t, dir, fmt.Sprint(i), "From: a@x.org\nTo: b@y.org\n\nhello\n")
		}
		var text lines
		began := time.Now()
		opts := Options{Watch: WatchOff, Transport: take, Rate: Rate{{20, time.Hour}}, Logger: slog.New(slog.NewTextHandler(&text, nil))}
		is.NoErr(New(dir, opts).Drain(t.Context()))
		is.Equal(sent.Load(), int64(20))
		is.True(time.Since(began) < time.Minute)
		is.True(strings.Contains(text.String(), `msg="rest waits for the rate limit"`))
		is.True(strings.Contains(text.String(), "messages=10"))

		opts.Rate = Rate{{25, time.Second}}
		for i := range 90 {
			drop(t, dir, fmt.Sprint("more", i), "From: a@x.org\nTo: b@y.org\n\nhello\n")
		}
		// Drain waits for a rate that allows the next message within a second
		is.NoErr(New(dir, opts).Drain(t.Context()))
		is.Equal(sent.Load(), int64(120))
	})
}

func TestAFloodLeavesOtherSendersTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var mu sync.Mutex
		var single time.Time
		take := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			time.Sleep(50 * time.Millisecond)
			if tx.From == "single@x.org" {
				mu.Lock()
				single = time.Now()
				mu.Unlock()
			}
			return make([]Result, len(tx.To))
		})
		s, stop := start(t, dir, Options{Transport: take, Concurrency: 2, Freq: time.Second})
		for i := range 2000 {
			check(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("a%05d", i)), []byte("From: flood@x.org\nTo: b@y.org\n\nhello\n"), 0o600))
		}
		pass(5 * time.Second)
		dropped := time.Now()
		drop(t, dir, "z", "From: single@x.org\nTo: b@y.org\n\nhello\n")
		pass(5 * time.Second)
		left := len(s.Status())
		stop()
		mu.Lock()
		defer mu.Unlock()
		is.True(left > 1000)                         // the messages of the flood still wait
		is.True(!single.IsZero())                    // the single message was sent
		is.True(single.Sub(dropped) < 3*time.Second) // within a scan and a few turns; the flood takes 40 s more
	})
}

func TestFreshMailGoesBeforeRetriesAndLargeMailHoldsUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var mu sync.Mutex
		var small []time.Duration
		began := time.Now()
		take := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			if tx.Size > 1<<20 {
				time.Sleep(time.Hour)
			} else {
				time.Sleep(time.Second)
				mu.Lock()
				small = append(small, time.Since(began))
				mu.Unlock()
			}
			return make([]Result, len(tx.To))
		})
		huge := simple + strings.Repeat(strings.Repeat("x", 72)+"\n", 1<<20/72)
		for i := range 10 {
			drop(t, dir, fmt.Sprintf("a%d", i), huge)
			drop(t, dir, fmt.Sprintf("b%d", i), simple)
		}
		_, stop := start(t, dir, Options{Transport: take, Concurrency: 4})
		pass(time.Minute)
		mu.Lock()
		is.Equal(len(small), 10)           // all small messages are sent
		is.True(small[9] < 10*time.Second) // within 10 s, as the large messages do not use every connection
		mu.Unlock()
		drop(t, dir, "c", simple)
		pass(time.Minute)
		mu.Lock()
		is.Equal(len(small), 11) // one connection was free, although no small message waited before
		mu.Unlock()
		pass(12 * time.Hour)
		stop()
		left, err := filepath.Glob(filepath.Join(dir, "a*"))
		is.NoErr(err)
		is.Equal(len(left), 0) // the large messages are sent, too
	})
}

func TestEightBitTextForASevenBitRelay(t *testing.T) {
	t.Parallel()
	const text = "From: a@x.org\nTo: b@y.org\nSubject: x\nDate: Mon, 23 Nov 2026 10:00:00 +0000\nMessage-ID: <1@x.org>\n%s\nGr\xc3\xbc\xc3\x9fe\n"
	tests := map[string]struct {
		ext    []string
		header string
		want   string // a text in the content that the relay gets; empty: the relay gets no message
	}{
		"8BITMIME":        {[]string{"8BITMIME"}, "", "Gr\xc3\xbc\xc3\x9fe"},
		"none":            {[]string{"SIZE"}, "", "Gr=C3=BC=C3=9Fe"},
		"none, chunking":  {[]string{"PIPELINING", "CHUNKING"}, "", "Gr=C3=BC=C3=9Fe"},
		"none and signed": {[]string{"SIZE"}, "DKIM-Signature: v=1\n", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay, events := t.TempDir(), &smtptest.Relay{Ext: tt.ext}, &events{}
				drop(t, dir, "m", fmt.Sprintf(text, tt.header))
				_, stop := start(t, dir, Options{Dial: relay.Dial, OnEvent: events.add})
				pass(time.Minute)
				stop()
				if tt.want == "" {
					is.Equal(len(relay.Messages()), 0)                               // a signed message is not changed
					is.True(exists(dir, "failed", "m"))                              // the message is given up
					is.True(strings.Contains(events.last().Err.Error(), "8BITMIME")) // the error has the reason
					is.True(strings.Contains(events.last().Err.Error(), "signed"))
					return
				}
				// the relay gets the text in a form that it can take
				is.True(strings.Contains(string(relay.Messages()[0].Data), tt.want))
			})
		})
	}
}
