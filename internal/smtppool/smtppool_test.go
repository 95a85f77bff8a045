package smtppool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// modes are the extensions of relays for each of the three ways to send.
var modes = map[string][]string{
	"chunking":   {"PIPELINING", "CHUNKING"},
	"pipelining": {"PIPELINING"},
	"lock-step":  {},
}

// inModes runs a test in a bubble for each mode.
func inModes(t *testing.T, test func(t *testing.T, ext []string)) {
	for name, ext := range modes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, ext) })
		})
	}
}

// A line is the network to a relay. It counts connections, and refuses some.
type line struct {
	relay *smtptest.Relay
	most  int             // limit of connections at the same time; zero: no limit
	full  *smtptest.Relay // serves connections above the limit; nil: they are refused

	mu                        sync.Mutex
	open, peak, made, refused int
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	relay := l.opened()
	if relay == nil {
		return nil, errors.New("connection refused")
	}
	nc, err := relay.Dial(ctx, network, addr)
	if err != nil {
		l.closed()
		return nil, err
	}
	return &countedConn{Conn: nc, closed: sync.OnceFunc(l.closed)}, nil
}

// opened returns the relay for a new connection, or nil to refuse it.
func (l *line) opened() *smtptest.Relay {
	l.mu.Lock()
	defer l.mu.Unlock()
	relay := l.relay
	if l.most > 0 && l.open >= l.most {
		l.refused++
		if relay = l.full; relay == nil {
			return nil
		}
	}
	l.made++
	l.open++
	l.peak = max(l.peak, l.open)
	return relay
}

func (l *line) closed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

func (l *line) allow(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = n
}

func (l *line) counts() (open, peak, made, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.peak, l.made, l.refused
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// newRelay returns a Relay for a test.
func newRelay(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), concurrency int) *Relay {
	t.Helper()
	r, err := New(Options{Addr: "relay.test:25", Dial: dial, Client: smtpclient.Config{LocalName: "me.example.com"}, Concurrency: concurrency})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// A result is the outcome of an offer for one recipient. Err is nil after an acceptance.
type result struct {
	attempt.Outcome
	Err *failure
}

// A failure is an outcome other than an acceptance.
type failure struct{ attempt.Outcome }

func (f *failure) Error() string { return string(f.Op) + ": " + f.Err.Error() }

func (f *failure) Unwrap() error { return f.Err }

func resultsOf(outcomes []attempt.Outcome) []result {
	if outcomes == nil {
		return nil
	}
	results := make([]result, len(outcomes))
	for i, o := range outcomes {
		results[i].Outcome = o
		if o.Err != nil {
			results[i].Err = &failure{o}
		}
	}
	return results
}

// offerTo offers a message and waits for its outcomes.
func offerTo(r *Relay, t *smtpclient.Transaction) []result {
	done := make(chan []result, 1)
	r.Offer(context.Background(), t, func(outcomes []attempt.Outcome) { done <- resultsOf(outcomes) })
	return <-done
}

const text = "Subject: x\r\n\r\nx\r\n"

func mail(from string) *smtpclient.Transaction {
	return &smtpclient.Transaction{From: from, To: []string{"b@x.org"}, Size: int64(len(text)), Content: strings.NewReader(text)}
}

// deliver offers n messages at once, each from another sender, and returns their outcomes.
func deliver(r *Relay, n int) []result {
	results := make([]result, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { results[i] = offerTo(r, mail(fmt.Sprintf("a%d@x.org", i)))[0] })
	}
	wg.Wait()
	return results
}

func failures(results []result) (errs []*failure) {
	for _, r := range results {
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	return errs
}

// senders returns the senders of the messages that the relay has accepted, each as often as it was.
func senders(relay *smtptest.Relay) (from []string) {
	for _, m := range relay.Messages() {
		from = append(from, m.From)
	}
	slices.Sort(from)
	return from
}

// eachOnce reports whether the relay has accepted n messages, and none of them twice.
func eachOnce(relay *smtptest.Relay, n int) bool {
	from := senders(relay)
	return len(from) == n && len(slices.Compact(from)) == n
}

// slow returns a script with a slow reply to the verb.
func slow(verbs ...string) func(verb, arg string) string {
	return func(verb, _ string) string {
		if slices.Contains(verbs, verb) {
			time.Sleep(50 * time.Millisecond)
		}
		return ""
	}
}

func TestDeliver(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		relay := &smtptest.Relay{Ext: ext}
		r := newRelay(t, relay.Dial, 20)
		for range 3 {
			results := offerTo(r, &smtpclient.Transaction{
				From: "a@x.org", To: []string{"b@x.org", "c@x.org"}, Size: int64(len(text)), Content: strings.NewReader(text),
			})
			is.Equal(len(results), 2) // one for each recipient
			for _, res := range results {
				is.True(res.Err == nil) // accepted
				is.Equal(res.Code, 250) // with the reply of the relay
			}
			time.Sleep(4 * time.Second)
		}
		is.Equal(relay.Connections(), 1) // the connection is used again after a short time
		is.Equal(relay.Commands()[0], "EHLO me.example.com")
		is.True(!slices.Contains(relay.Commands(), "QUIT")) // without QUIT
		time.Sleep(2 * time.Second)
		is.Equal(relay.Commands()[len(relay.Commands())-1], "QUIT") // QUIT is sent after a longer time
		synctest.Wait()
		is.Equal(len(r.pool.roster.sessions), 0)                            // no session is left
		is.Equal(offerTo(r, &smtpclient.Transaction{From: "a@x.org"}), nil) // no recipient, no result
		for _, m := range relay.Messages() {
			is.Equal(string(m.Data), text) // the content is unchanged
		}
	})
}

func TestUnusableRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{}
		down := errors.New("no route to host")
		r := newRelay(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
			if time.Sleep(time.Second); down != nil {
				return nil, down
			}
			return relay.Dial(ctx, network, addr)
		}, 20)
		results := deliver(r, 50)
		is.Equal(len(failures(results)), 50) // all waiting offers fail
		for _, res := range results {
			is.Equal(res.Err.Op, attempt.OpDial) // the error names the step
			is.True(errors.Is(res.Err, down))    // and has the cause
		}
		is.Equal(r.Connections(), 1) // half of the first number of connections
		down = nil
		is.Equal(len(failures(deliver(r, 50))), 0) // the trouble has no effect any more
		is.True(r.Connections() > 5)               // nor has the smaller limit
		r.Close()
	})
}

func TestConcurrency(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{Ext: ext, Reply: slow("END")}}
		r := newRelay(t, l.dial, 20)
		is.Equal(r.Slots(), 2) // at first
		is.Equal(len(failures(deliver(r, 18))), 0)
		is.Equal(r.Connections(), 20) // one more for each accepted message
		is.Equal(len(failures(deliver(r, 500))), 0)
		_, peak, _, _ := l.counts()
		is.Equal(peak, 20)                   // the maximum
		is.Equal(len(senders(l.relay)), 518) // all messages arrived
		r.Close()
		open, _, _, _ := l.counts()
		is.Equal(open, 0) // all connections are closed
	})
}

func TestSlots(t *testing.T) {
	for name, tt := range map[string]struct {
		ext    []string
		config smtpclient.Config
		want   int
	}{
		"lock-step":        {ext: []string{"CHUNKING"}, want: 5},
		"pipelining":       {ext: modes["pipelining"], want: 15},
		"chunking":         {ext: modes["chunking"], want: 30},
		"chunking, window": {ext: modes["chunking"], config: smtpclient.Config{Window: 7}, want: 52},
		"chunking off":     {ext: modes["chunking"], config: smtpclient.Config{NoChunking: true}, want: 15},
		"pipelining off":   {ext: modes["chunking"], config: smtpclient.Config{NoPipelining: true}, want: 5},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			relay := &smtptest.Relay{Ext: tt.ext}
			tt.config.LocalName = "me.example.com"
			r, err := New(Options{Addr: "relay.test:25", Dial: relay.Dial, Client: tt.config, Concurrency: 5})
			is.NoErr(err)
			is.Equal(len(failures(deliver(r, 3))), 0)
			is.Equal(r.Connections(), 5)
			is.Equal(r.Slots(), tt.want) // connections times messages per connection, and half as many ready
			r.Close()
		})
	}
}

// A relay that accepts two connections, and refuses others in one way or another, is used with two. No message fails.
func TestThirdConnectionRefused(t *testing.T) {
	for name, verb := range map[string]string{"no connection": "", "greeting": "CONNECT", "EHLO": "EHLO", "MAIL": "MAIL"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				l := &line{relay: &smtptest.Relay{Reply: slow("END")}, most: 2}
				if verb != "" {
					l.full = &smtptest.Relay{Reply: func(v, _ string) string {
						if v == verb {
							return "421 4.7.0 too many connections|close"
						}
						return ""
					}}
				}
				r := newRelay(t, l.dial, 20)
				began := time.Now()
				is.Equal(len(failures(deliver(r, 200))), 0) // no attempt is lost
				took := time.Since(began)
				is.True(eachOnce(l.relay, 200))
				is.Equal(r.Connections(), 2)   // the limit is known
				is.True(took <= 6*time.Second) // two connections at 50 ms each: 5 s
				_, _, _, refused := l.counts()
				is.True(refused <= 2) // and is not tried again and again
				r.Close()
			})
		})
	}
}

func TestCeilingIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l := &line{most: 2, relay: &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "END" {
				time.Sleep(time.Second)
			}
			return ""
		}}}
		r := newRelay(t, l.dial, 20)
		tries := func(d time.Duration) (refused int) {
			for began := time.Now(); time.Since(began) < d; {
				is.Equal(len(failures(deliver(r, r.Slots()))), 0) // no message fails
			}
			_, _, _, refused = l.counts()
			return refused
		}
		first := tries(50 * time.Second)
		is.True(first == 1 || first == 2)         // two connections may be opened before the first refusal
		is.Equal(tries(15*time.Second), first+1)  // after a minute, one more connection is tried
		is.Equal(tries(100*time.Second), first+1) // not soon again
		is.Equal(tries(30*time.Second), first+2)  // after two minutes, again
		is.Equal(r.Connections(), 2)
		l.allow(0)
		is.Equal(tries(5*time.Minute), first+2)
		is.Equal(r.Connections(), 20) // the relay accepts more now, and they are used
		r.Close()
	})
}

func TestContentIsReadAgain(t *testing.T) {
	is := is.New(t)
	opened := 0
	o := newOffer("", &smtpclient.Transaction{Content: Content(func() io.Reader { opened++; return strings.NewReader(text) })}, nil)
	is.True(o.rewind())
	is.Equal(opened, 0) // the content is not opened before it is needed
	for range 2 {
		b, err := io.ReadAll(o.t.Content)
		is.NoErr(err)
		is.Equal(string(b), text) // from the beginning
		is.True(o.rewind())
	}
	is.Equal(opened, 2)
	_, err := Content(nil).Seek(1, io.SeekStart)
	is.True(errors.Is(err, errSeek)) // the reader cannot seek

	once := newOffer("", &smtpclient.Transaction{Content: io.MultiReader(strings.NewReader(text))}, nil)
	is.True(once.rewind()) // no data was read yet
	_, err = once.Read(make([]byte, 1))
	is.NoErr(err)
	is.True(!once.rewind()) // data was read
}

func TestSurplusIsClosed(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{Ext: ext, Reply: slow("END")}}
		r := newRelay(t, l.dial, 8)
		is.Equal(len(failures(deliver(r, 100))), 0)
		open, _, _, _ := l.counts()
		is.Equal(open, 8)
		r.pool.mu.Lock()
		r.pool.limits.backOff(time.Now())
		r.pool.mu.Unlock()
		is.Equal(len(failures(deliver(r, 4))), 0)
		synctest.Wait()
		open, _, _, _ = l.counts()
		is.True(open < 8 && open >= 4)     // surplus connections are closed at their next use
		is.Equal(r.pool.roster.leaving, 0) // and not counted any more
	})
}

func TestGreetingName(t *testing.T) {
	is := is.New(t)
	for addr, want := range map[string]string{"192.0.2.7": "[192.0.2.7]", "2001:db8::7": "[IPv6:2001:db8::7]"} {
		// an address literal if the host name has no domain
		is.Equal(greetingNameFor("shorthost", &net.TCPAddr{IP: net.ParseIP(addr)}), want)
	}
	is.Equal(greetingNameFor("host.example.com", nil), "host.example.com")
	is.Equal(greetingNameFor("shorthost", nil), "localhost") // no address to use
	local := &net.TCPAddr{IP: net.ParseIP("192.0.2.7")}
	for name, want := range map[string]bool{
		"web-1.example.com": true, "WEB1.Example.COM": true, "3com.example": true, "a.b": true, "xn--bcher-kva.example": true,
		"localdomain.example.com": true, "": false, "localhost": false, "localhost.localdomain": false,
		"localhost6.localdomain6": false, "LOCALHOST.LOCALDOMAIN": false, "web1.localdomain": false,
		"localhost.example.com": true, "db.localhost": false, "web_1.example.com": false, "_a.example.com": false,
		"web.exam_ple.com": false, "-web.example.com": false, "web-.example.com": false, "web..example.com": false,
		".example.com": false, "web.example.com.": false, "b\u00fccher.example": false, "a b.example.com": false,
		"192.0.2.1": false, "web.example.com\r\nRSET": false, "(none).example.com": false,
		strings.Repeat("a", 64) + ".example.com": false, strings.Repeat("a.", 130) + "com": false,
	} {
		got := greetingNameFor(name, local)
		if want && got != name || !want && got != "[192.0.2.7]" {
			t.Errorf("the host %q greets as %q", name, got)
		}
	}
	relay := &smtptest.Relay{}
	r, err := New(Options{Addr: "relay.test:25", Dial: relay.Dial})
	is.NoErr(err)
	is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil) // with a name that was found by itself
	r.Close()
}

// If hundreds of connections are allowed, a hundred are opened at once and the others after a greeting, long before the
// first message is accepted. The caller is notified that there are more slots.
func TestManyConnectionsComeSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{Ext: []string{"PIPELINING"}, Reply: func(verb, _ string) string {
			if verb != "DIAL" && verb != "QUIT" {
				time.Sleep(50 * time.Millisecond)
			}
			return ""
		}}}
		grown := make(chan struct{}, 1000)
		r, err := New(Options{Addr: "relay.test:25", Dial: l.dial, Client: smtpclient.Config{LocalName: "me.example.com"}, Concurrency: 400,
			Grown: func() { grown <- struct{}{} }})
		is.NoErr(err)
		done := make(chan []result, 800)
		for i := range 800 {
			r.Offer(context.Background(), mail(fmt.Sprintf("a%d@x.org", i)), func(outcomes []attempt.Outcome) { done <- resultsOf(outcomes) })
		}
		is.Equal(r.Connections(), 100)
		time.Sleep(99 * time.Millisecond)
		open, _, _, _ := l.counts()
		is.Equal(open, 400)     // the number after 50 ms was higher than at the beginning
		is.Equal(len(done), 0)  // no message has been accepted yet
		is.True(len(grown) > 0) // the caller was notified
		is.Equal(r.Connections(), 400)
		for range len(grown) {
			<-grown
		}
		slots := r.Slots()
		time.Sleep(2 * time.Millisecond)
		is.True(r.Slots() > slots) // replies to EHLO have shown how many messages a connection can have
		is.True(len(grown) > 0)    // the caller was notified again
		for range 800 {
			is.Equal((<-done)[0].Err, nil)
		}
		r.Close()
	})
}

// A waiting offer needs no goroutine.
func TestOffersNeedNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l := &line{relay: &smtptest.Relay{Reply: slow("END")}}
		r := newRelay(t, l.dial, 1)
		before := runtime.NumGoroutine()
		done := make(chan []result, 100)
		for i := range 100 {
			r.Offer(context.Background(), mail(fmt.Sprintf("a%d@x.org", i)), func(outcomes []attempt.Outcome) { done <- resultsOf(outcomes) })
		}
		synctest.Wait()
		is.True(runtime.NumGoroutine()-before <= 5) // the goroutines of the session and of the relay
		for range 100 {
			is.Equal((<-done)[0].Err, nil)
		}
		r.Close()
	})
}
