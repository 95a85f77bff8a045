package spoolgore

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/smtptest"
)

const simple = "From: a@example.com\nTo: b@example.org\nSubject: hello\nDate: Mon, 23 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.com>\n\nhello\n"

// drop writes a message into the spool dir as most programs do: it writes the file in tmp/ and renames it.
func drop(t *testing.T, dir, name, text string) {
	t.Helper()
	tmp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	// A process that another test starts at this moment inherits the open file until it calls exec. On the clock of a
	// bubble that can be days.
	syscall.ForkLock.RLock()
	err := os.WriteFile(filepath.Join(tmp, name), []byte(text), 0o600)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(tmp, name), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// events records the events of a spool.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// kinds lists the events of one recipient, in order.
func (e *events) kinds(to string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var kinds []string
	for _, ev := range e.all {
		if ev.To == to {
			kinds = append(kinds, string(ev.Kind))
		}
	}
	return strings.Join(kinds, " ")
}

func (e *events) last() Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.all) - 1; ; i-- {
		if e.all[i].Kind != EventKept {
			return e.all[i]
		}
	}
}

// exact returns options with the retry rule without its jitter, so that tests can count attempts, and without reports.
func exact(opts Options) Options {
	opts.NoReports = true
	return telling(opts)
}

// telling returns the options of exact, with reports.
func telling(opts Options) Options {
	if opts.Backoff == nil {
		opts.Backoff = retry.After
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.SMTPAddr == "" {
		opts.SMTPAddr = "smarthost.test:25"
	}
	if opts.Settle == 0 {
		opts.Settle = time.Nanosecond // without notification the spool cannot know that the file was renamed
	}
	return opts
}

// start runs a spool in the bubble of the test until stop is called or the test ends.
func start(t *testing.T, dir string, opts Options) (s *Spool, stop func()) {
	t.Helper()
	return begin(t, dir, exact(opts))
}

// begin is start with reports, unless opts switches them off.
func begin(t *testing.T, dir string, opts Options) (s *Spool, stop func()) {
	t.Helper()
	s = New(dir, telling(opts))
	s.noSettle = opts.Settle <= time.Nanosecond
	s.opts.Watch = WatchOff // a goroutine that waits for the kernel would keep the bubble's clock from moving
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("Run:", err)
		}
	}
}

// lines collects the lines of a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// pass lets time pass in the bubble, and then waits until all goroutines are idle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// exists reports whether a file is there.
func exists(elem ...string) bool {
	_, err := os.Lstat(filepath.Join(elem...))
	return err == nil
}

// one returns the only message of a status.
func one(t *testing.T, s Status) Message {
	t.Helper()
	if len(s) != 1 {
		t.Fatalf("%d messages in the status, want 1: %v", len(s), s)
	}
	for _, m := range s {
		return m
	}
	panic("unreachable")
}

func TestMessageIsSentAndItsFileRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, events := t.TempDir(), &smtptest.Relay{}, &events{}
		drop(t, dir, "one.eml", "Bcc: c@example.org\n"+simple)
		_, stop := start(t, dir, Options{Dial: relay.Dial, OnEvent: events.add})
		pass(time.Second)
		stop()
		got := relay.Messages()
		is.Equal(len(got), 1)                                                   // one transaction for all recipients
		is.Equal(got[0].From, "a@example.com")                                  // the sender is the From address
		is.Equal(got[0].To, []string{"b@example.org", "c@example.org"})         // the recipients are To and Bcc
		is.Equal(string(got[0].Data), strings.ReplaceAll(simple, "\n", "\r\n")) // the content is the same, without Bcc
		is.True(!exists(dir, "one.eml"))                                        // the file is gone
		is.Equal(events.kinds("c@example.org"), "queued sent")                  // the application got the events
		is.True(strings.HasPrefix(events.last().Reply, "250"))                  // the event has the reply of the relay
		is.Equal(events.last().Relay, "smarthost.test:25")                      // and the name of the relay
		text, err := os.ReadFile(filepath.Join(dir, ".spoolgore.js"))
		is.NoErr(err)
		is.Equal(string(text), "{\n}\n") // the status file has no message
	})
}

func TestTemporaryRefusalIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, began, tries := t.TempDir(), time.Now(), []int(nil)
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb != "RCPT" {
				return ""
			}
			tries = append(tries, int(time.Since(began).Round(time.Second).Minutes()))
			return "451 4.2.1 later"
		}}
		drop(t, dir, "one.eml", simple)
		s, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Hour)
		m := one(t, s.Status())
		stop()
		is.Equal(tries, []int{0, 1, 3, 6, 10, 15, 21, 28, 36, 45, 55}) // n minutes after the n-th failure
		is.Equal(m.Attempts, 11)
		is.Equal(m.To[0].Attempts, 11)
		is.Equal(m.To[0].Error, "rcpt: 451 4.2.1 later")
		is.Equal(m.To[0].NextAttempt.Sub(m.To[0].LastAttempt), 11*time.Minute)
		is.True(exists(dir, "one.eml")) // the file stays
	})
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	const later, never = "deferred", "given up"
	tests := []struct {
		name, verb, answer string
		ext                []string
		want               string // state of the message at the end
		attempts           int    // number of counted attempts
		fault              Fault
		uncertain          bool
	}{
		{name: "cannot connect", verb: "DIAL", answer: "connection refused", want: later, fault: FaultRelay},
		{name: "5yz greeting", verb: "CONNECT", answer: "554 go away|close", want: later, fault: FaultRelay},
		{name: "421 greeting", verb: "CONNECT", answer: "421 busy|close", want: later, fault: FaultRelay},
		{name: "EHLO refused for now", verb: "EHLO", answer: "450 later", want: later, fault: FaultRelay},
		{name: "hung up at MAIL", verb: "MAIL", answer: "close", want: later, fault: FaultRelay},
		{name: "421 to MAIL", verb: "MAIL", answer: "421 4.3.2 closing", want: later, fault: FaultRelay},
		{name: "421 to RCPT", verb: "RCPT", answer: "421 4.3.2 closing", want: later, fault: FaultRecipient},
		{name: "421 to the end of data", verb: "END", answer: "421 4.3.2 closing", want: later, fault: FaultMessage},
		{name: "login wanted", verb: "MAIL", answer: "530 5.7.0 authentication required", want: later, fault: FaultRelay},
		{name: "undecided", verb: "RCPT", answer: "450 later", want: later, fault: FaultRecipient},
		{name: "quota of the account", verb: "END", answer: "550 5.4.5 Daily user sending limit exceeded", want: later, fault: FaultRelay},
		{name: "disk full", verb: "MAIL", answer: "452 4.3.1 Insufficient system storage", want: later, fault: FaultRelay},
		{name: "4yz to MAIL", verb: "MAIL", answer: "451 4.2.1 later", want: later, attempts: 1, fault: FaultMessage},
		{name: "5yz to MAIL", verb: "MAIL", answer: "550 5.1.8 no", want: never, attempts: 1, fault: FaultMessage},
		{name: "4yz to RCPT", verb: "RCPT", answer: "450 4.2.1 later", want: later, attempts: 1, fault: FaultRecipient},
		{name: "5yz to RCPT", verb: "RCPT", answer: "550 5.1.1 no such user", want: never, attempts: 1, fault: FaultRecipient},
		{name: "452 to the only RCPT", verb: "RCPT", answer: "452 4.5.3 too many", want: later, attempts: 1, fault: FaultRecipient},
		{name: "4yz to DATA", verb: "DATA", answer: "451 4.2.1 later", want: later, attempts: 1, fault: FaultMessage},
		{name: "5yz to DATA", verb: "DATA", answer: "554 no", want: never, attempts: 1, fault: FaultMessage},
		{name: "hung up at DATA", verb: "DATA", answer: "close", want: later, attempts: 1, fault: FaultMessage},
		{name: "4yz to the end of data", verb: "END", answer: "452 4.2.2 full", want: later, attempts: 1, fault: FaultMessage},
		{name: "5yz to the end of data", verb: "END", answer: "554 5.7.1 spam", want: never, attempts: 1, fault: FaultMessage},
		{name: "lost after the end of data", verb: "END", answer: "close", want: later, attempts: 1, fault: FaultMessage, uncertain: true},
		{name: "silence after the end of data", verb: "END", answer: "hang", want: later, attempts: 1, fault: FaultMessage, uncertain: true},
		{name: "larger than SIZE", ext: []string{"SIZE 10"}, want: never, attempts: 1, fault: FaultMessage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, events := t.TempDir(), &events{}
				relay := &smtptest.Relay{Ext: tt.ext, Reply: func(verb, _ string) string {
					if verb == tt.verb {
						return tt.answer
					}
					return ""
				}}
				drop(t, dir, "one.eml", simple)
				s, stop := start(t, dir, Options{Dial: relay.Dial, OnEvent: events.add, Backoff: func(int) time.Duration { return 24 * time.Hour }})
				pass(15 * time.Minute) // longer than the limit of any SMTP step
				st := s.Status()
				stop()
				ev := events.last()
				is.Equal(ev.Fault, tt.fault) // the party at fault
				var d *DeliveryError
				is.True(errors.As(ev.Err, &d))
				is.Equal(d.Uncertain, tt.uncertain)
				if tt.want == never {
					is.Equal(ev.Kind, EventFailed)
					is.True(exists(dir, "failed", "one.eml"))      // the message is kept
					is.True(exists(dir, "failed", "one.eml.json")) // the why-file has the reason
					is.Equal(len(st), 0)
					is.Equal(relay.Connections(), 1) // no second attempt after a final reply
					return
				}
				is.Equal(ev.Kind, EventDeferred)
				is.True(exists(dir, "one.eml"))
				m := one(t, st)
				// attempts counted for the recipient
				is.Equal(m.To[0].Attempts, tt.attempts)
				// attempts counted for the message
				is.Equal(m.Attempts, tt.attempts)
				// the status has the error
				is.True(m.To[0].Error != "")
				// and the name of the relay
				is.True(tt.fault != FaultRelay || strings.Contains(m.To[0].Error, "smarthost.test:25"))
			})
		})
	}
}

func TestEachRecipientHasItsOwnOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, events := t.TempDir(), &events{}
		var slow atomic.Bool
		slow.Store(true)
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			switch {
			case verb == "RCPT" && arg == "bad@example.org":
				return "550 5.1.1 no such user"
			case verb == "RCPT" && arg == "slow@example.org" && slow.Load():
				return "450 4.2.1 later"
			}
			return ""
		}}
		drop(t, dir, "m", "From: a@example.com\nTo: good@example.org, bad@example.org\nCc: slow@example.org, broken@\n\nhello\n")
		s, stop := start(t, dir, Options{Dial: relay.Dial, OnEvent: events.add})
		pass(time.Second)
		m := one(t, s.Status())
		is.Equal(m.To[0].Status, StateDone)    // the accepted recipient is done
		is.True(m.To[1].GivenUp)               // the refused one is given up
		is.Equal(m.Cc[0].Status, StateWaiting) // the deferred recipient waits
		is.True(m.Cc[1].GivenUp)               // an invalid address does not affect the others
		is.Equal(relay.Messages()[0].To, []string{"good@example.org"})
		is.True(exists(dir, "m")) // the file stays for the deferred recipient
		slow.Store(false)
		pass(2 * time.Minute)
		is.Equal(relay.Messages()[1].To, []string{"slow@example.org"}) // only the deferred recipient is tried again
		is.True(!exists(dir, "m"))
		is.True(exists(dir, "failed", "m")) // the message goes to failed/ at the end
		is.Equal(events.kinds("slow@example.org"), "queued deferred sent")
		is.Equal(events.kinds("bad@example.org"), "queued failed")
		why, err := os.ReadFile(filepath.Join(dir, "failed", "m.json"))
		is.NoErr(err)
		is.True(strings.Contains(string(why), "550 5.1.1 no such user"))

		// The sender corrects the address and moves the message back.
		text, err := os.ReadFile(filepath.Join(dir, "failed", "m"))
		is.NoErr(err)
		is.NoErr(os.WriteFile(filepath.Join(dir, "failed", "m"), []byte("Message-ID: "+messageID(t, string(why))+"\n"+strings.Replace(string(text), "bad@", "better@", 1)), 0o600))
		is.NoErr(os.Rename(filepath.Join(dir, "failed", "m"), filepath.Join(dir, "m")))
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 3)
		// accepted recipients are not in the second transaction
		is.Equal(relay.Messages()[2].To, []string{"better@example.org"})
	})
}

// messageID returns the Message-ID in a why-file.
func messageID(t *testing.T, why string) string {
	t.Helper()
	_, rest, ok := strings.Cut(why, `"MessageID": "`)
	id, _, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 || id == "" {
		t.Fatal("no MessageID in", why)
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(id)
}

func TestMovedBackFromFailedTriesTheFailedRecipientsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var refuse atomic.Bool
		refuse.Store(true)
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			if verb == "RCPT" && arg == "c@example.org" && refuse.Load() {
				return "550 not yet"
			}
			return ""
		}}
		drop(t, dir, "m", "From: a@example.com\nTo: b@example.org, c@example.org\n\nhello\n")
		_, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		is.NoErr(os.Rename(filepath.Join(dir, "failed", "m"), filepath.Join(dir, "m")))
		pass(time.Minute)
		is.True(exists(dir, "failed", "m"))    // c@example.org is refused again
		is.True(!exists(dir, "failed", "m.1")) // the message has its old name in failed/, and one why-file
		is.Equal(len(relay.Messages()), 1)     // b@example.org gets one copy
		stop()
		refuse.Store(false)
		is.NoErr(os.Rename(filepath.Join(dir, "failed", "m"), filepath.Join(dir, "m"))) // also while no daemon runs
		_, stop = start(t, dir, Options{Dial: relay.Dial})
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 2)
		// c@example.org gets the message, and no other recipient
		is.Equal(relay.Messages()[1].To, []string{"c@example.org"})
		left, err := os.ReadDir(filepath.Join(dir, "failed"))
		is.NoErr(err)
		is.Equal(len(left), 0) // failed/ is empty
	})
}

func TestTooManyRecipientsGoOnInTheNextTransactionAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, n := t.TempDir(), 0
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			switch {
			case verb == "MAIL":
				n = 0
			case verb == "RCPT":
				if n++; n > 2 {
					return "452 4.5.3 too many recipients"
				}
			}
			return ""
		}}
		drop(t, dir, "m", "From: a@example.com\nTo: 1@x.org, 2@x.org, 3@x.org, 4@x.org, 5@x.org\n\nhello\n")
		_, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		stop()
		is.Equal(len(relay.Messages()), 3) // two, two and one recipients, without a pause
		is.True(!exists(dir, "m"))
	})
}

func TestRelayTroublePausesTheRelayAndCountsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var dials atomic.Int64
		var down atomic.Bool
		down.Store(true)
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "DIAL" {
				if dials.Add(1); down.Load() {
					return "connection refused"
				}
			}
			return ""
		}}
		for _, name := range []string{"1", "2", "3", "4", "5"} {
			drop(t, dir, name, simple)
		}
		log := &lines{}
		s, stop := start(t, dir, Options{Dial: relay.Dial, Concurrency: 2, Logger: slog.New(slog.NewTextHandler(log, nil))})
		pass(time.Hour)
		is.True(dials.Load() < 30) // the relay is probed at growing intervals, with one message
		for _, m := range s.Status() {
			is.Equal(m.To[0].Attempts, 0) // no attempt is counted
			// the reason is in the status of every message
			is.True(strings.Contains(m.To[0].Error, "connection refused"))
		}
		down.Store(false)
		pass(6 * time.Minute)
		stop()
		// all messages are sent when the relay is available again
		is.Equal(len(relay.Messages()), 5)
		is.Equal(strings.Count(log.String(), "relay unavailable"), 1)     // the trouble is logged once
		is.Equal(strings.Count(log.String(), "relay available again"), 1) // its end is logged once
		is.Equal(strings.Count(log.String(), "delivery deferred"), 0)
	})
}

func TestTheNextRelayServesWhileTheFirstRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var down atomic.Bool
		down.Store(true)
		first := &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "CONNECT" && down.Load() {
				return "554 no service|close"
			}
			return ""
		}}
		second := &smtptest.Relay{}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "first") {
				return first.Dial(ctx, network, addr)
			}
			return second.Dial(ctx, network, addr)
		}
		drop(t, dir, "1", simple)
		_, stop := start(t, dir, Options{SMTPAddr: "first.test:25, second.test:25", Dial: dial})
		pass(100 * time.Millisecond)
		is.Equal(len(second.Messages()), 1) // at once, by the second relay
		down.Store(false)
		pass(10 * time.Second)
		drop(t, dir, "2", simple)
		pass(20 * time.Second)
		stop()
		is.Equal(len(first.Messages()), 1) // the first relay is used again when it is available
	})
}

func TestGivenUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header string
		opts   Options
		within time.Duration
		tries  int // deferred attempts
	}{
		{"after the attempts are used up", "", Options{Attempts: 3}, 3*time.Minute + time.Second, 2},
		{"when it is too old", "", Options{MaxAge: 2 * time.Hour}, 2*time.Hour + time.Second, 15},
		{"when its envelope says so", `X-Spoolgore-Envelope: {"from":"a@x.org","to":["b@example.org"],"expire":"2000-01-01T00:10:00Z"}` + "\n", Options{}, 10*time.Minute + time.Second, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, events := t.TempDir(), &events{}
				relay := &smtptest.Relay{Reply: func(verb, _ string) string {
					if verb == "RCPT" {
						return "450 4.2.2 mailbox full"
					}
					return ""
				}}
				drop(t, dir, "m", tt.header+simple)
				tt.opts.Dial, tt.opts.OnEvent = relay.Dial, events.add
				s, stop := start(t, dir, tt.opts)
				pass(tt.within - 2*time.Second)
				is.Equal(len(s.Status()), 1) // the message is not given up too early
				pass(2 * time.Second)
				stop()
				is.True(exists(dir, "failed", "m")) // the message is kept
				// the application gets the event
				is.Equal(events.last().Kind, EventFailed)
				// the event has the last reply
				is.True(strings.Contains(events.last().Err.Error(), "4.2.2 mailbox full"))
				// after these deferred attempts
				is.Equal(strings.Count(events.kinds("b@example.org"), "deferred"), tt.tries)
			})
		})
	}
}

func TestRelayTroubleEndsWithMaxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := &smtptest.Relay{Reply: func(verb, _ string) string { return map[string]string{"DIAL": "no route"}[verb] }}
		drop(t, dir, "1", simple)
		drop(t, dir, "2", simple)
		_, stop := start(t, dir, Options{Dial: relay.Dial, MaxAge: 24 * time.Hour, Concurrency: 1, Freq: time.Minute})
		pass(24*time.Hour + time.Second)
		stop()
		is.True(exists(dir, "failed", "1")) // also a message that was not offered
		is.True(exists(dir, "failed", "2"))
	})
}

func TestNotBeforeAndPriority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var mu sync.Mutex
		var order []string
		take := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, tx.To[0])
			return make([]Result, len(tx.To))
		})
		taken := func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(order) }
		s := New(dir, exact(Options{Transport: take, Concurrency: 1}))
		s.opts.Watch = WatchOff
		put := func(to string, env Envelope) {
			env.From, env.To = "a@x.org", []string{to}
			_, err := s.Put(t.Context(), env, strings.NewReader("Subject: x\n\nhello\n"))
			is.NoErr(err)
		}
		put("later@x.org", Envelope{NotBefore: time.Now().Add(time.Hour)})
		put("low@x.org", Envelope{Priority: -1})
		put("usual@x.org", Envelope{})
		put("high@x.org", Envelope{Priority: 1})
		go s.Run(t.Context())
		pass(59 * time.Minute)
		is.Equal(taken(), []string{"high@x.org", "usual@x.org", "low@x.org"}) // by priority
		pass(2 * time.Minute)
		is.Equal(taken()[3], "later@x.org") // the message with NotBefore is sent at its time, not before
	})
}

func TestTransportThatMisbehavesLosesNothing(t *testing.T) {
	t.Parallel()
	for name, results := range map[string][]Result{
		"no result at all":         nil,
		"a fault that is nobody's": {{Err: &DeliveryError{Fault: FaultNone, Err: io.EOF}}},
		"an error of its own":      {{Err: io.ErrUnexpectedEOF}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, calls := t.TempDir(), 0
				drop(t, dir, "m", simple)
				s, stop := start(t, dir, Options{Transport: TransportFunc(func(context.Context, *Transaction) []Result { calls++; return results })})
				pass(150 * time.Second)
				m := one(t, s.Status())
				stop()
				is.Equal(calls, 2)            // the retry rule applies
				is.Equal(m.To[0].Attempts, 2) // the attempt is counted
			})
		})
	}
}

func TestRunLetsTransactionsInFlightEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		takes, grace, want time.Duration
		left               bool
	}{
		"in time": {takes: 10 * time.Second, grace: 30 * time.Second, want: 10 * time.Second},
		"cut off": {takes: time.Hour, grace: 30 * time.Second, want: 30 * time.Second, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				drop(t, dir, "m", simple)
				_, stop := start(t, dir, Options{Grace: tt.grace, Transport: TransportFunc(func(ctx context.Context, tx *Transaction) []Result {
					select {
					case <-time.After(tt.takes):
						return make([]Result, len(tx.To))
					case <-ctx.Done():
						return []Result{{Err: ctx.Err()}}
					}
				})})
				synctest.Wait()
				began := time.Now()
				stop()
				is.Equal(time.Since(began), tt.want) // Run waits for the transaction until Grace has passed
				is.Equal(exists(dir, "m"), tt.left)
			})
		})
	}
}

func TestRunReturnsErrorsBeforeItMakesFiles(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		dir  string
		opts Options
		want string
	}{
		"no relay":          {".", Options{}, "no relay"},
		"relay":             {".", Options{SMTPAddr: "mail.example.com"}, "is not host:port"},
		"one of the relays": {".", Options{SMTPAddr: "mail.example.com:25,"}, "is not host:port"},
		"negative window":   {".", Options{SMTPAddr: "x:25", SMTP: SMTP{Window: -1}}, "option SMTP.Window is negative"},
		"TLS mode":          {".", Options{SMTPAddr: "x:25", SMTP: SMTP{TLS: "maybe"}}, "TLS mode"},
		"rate":              {".", Options{SMTPAddr: "x:25", Rate: Rate{{5, 7 * 24 * time.Hour}}}, "5/168h"},
		"route twice":       {".", Options{SMTPAddr: "x:25", Routes: []Route{{Sender: "@a.org", SMTPAddr: "x:25"}, {Sender: "@A.org", SMTPAddr: "x:25"}}}, "has a route already"},
		"negative":          {".", Options{SMTPAddr: "x:25", Attempts: -1}, "option Attempts is negative"},
		"many recipients":   {".", Options{SMTPAddr: "x:25", MaxRecipients: 25_001}, "option MaxRecipients is above 25000"},
		"no directory":      {"missing", Options{SMTPAddr: "x:25"}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			err := New(filepath.Join(dir, tt.dir), tt.opts).Run(t.Context())
			is.True(err != nil)
			is.True(strings.HasPrefix(err.Error(), "spoolgore: ")) // the prefix names the package
			is.True(strings.Contains(err.Error(), tt.want))        // the error names the mistake
			left, _ := os.ReadDir(dir)
			is.Equal(len(left), 0) // no file was made
		})
	}
}

func TestASpoolIsRunOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		s, stop := start(t, dir, Options{Transport: TransportFunc(nil)})
		synctest.Wait()
		is.True(errors.Is(s.Drain(t.Context()), ErrRunning)) // one Spool runs once at a time
		other := New(dir, exact(Options{}))
		is.True(errors.Is(other.Run(t.Context()), ErrRunning)) // a second Spool cannot run
		stop()
		other.opts.Watch = WatchOff
		is.NoErr(other.Drain(t.Context())) // after the first one has ended, it can
	})
}
