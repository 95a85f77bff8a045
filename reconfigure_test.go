package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// relaysByName dials the fake relay that has the first label of the host as its name.
type relaysByName map[string]*smtptest.Relay

func (r relaysByName) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	name, _, _ := strings.Cut(addr, ".")
	return r[name].Dial(ctx, network, addr)
}

// from returns a message of the given sender.
func from(sender string) string { return "From: " + sender + "\nTo: b@example.org\n\nhello\n" }

func TestReconfigureSendsWaitingMailToTheNewRelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, events := t.TempDir(), &events{}
		relays := relaysByName{
			"silent": {Reply: func(verb, _ string) string { // the relay accepts the connection and sends no greeting
				if verb == "CONNECT" {
					return "hang"
				}
				return ""
			}},
			"good": {},
		}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "silent.test:25", Dial: relays.dial, OnEvent: events.add})
		for i := range 50 {
			drop(t, dir, fmt.Sprint(i), simple)
		}
		s, stop := start(t, dir, opts)
		pass(20 * time.Second)
		is.Equal(len(s.Status()), 50)
		opts.SMTPAddr = "good.test:25"
		is.NoErr(s.Reconfigure(opts))
		pass(time.Second)
		is.Equal(len(relays["good"].Messages()), 50) // at once, also those that the silent relay was to get
		is.Equal(len(s.Status()), 0)
		is.Equal(s.Health().InFlight, 0)
		is.Equal(len(s.Health().Relays), 1)
		is.Equal(s.Health().Relays[0].Name, "good.test:25")
		stop()
		for _, ev := range events.all {
			is.True(ev.Kind != EventFailed && ev.Attempt < 2) // the offer to the silent relay was no attempt
		}
	})
}

func TestReconfigureEndsTransactionsWithTheOldRelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relays := relaysByName{
			"old": {Reply: func(verb, _ string) string {
				if verb == "END" {
					time.Sleep(2 * time.Minute)
				}
				return ""
			}},
			"new": {},
		}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "old.test:25", Dial: relays.dial, Concurrency: 1})
		drop(t, dir, "a", from("a@x.org"))
		s, stop := start(t, dir, opts)
		pass(time.Second)
		is.Equal(s.Health().InFlight, 1)
		opts.SMTPAddr = "new.test:25"
		is.NoErr(s.Reconfigure(opts))
		drop(t, dir, "b", from("b@x.org"))
		pass(20 * time.Second)
		is.Equal(len(relays["new"].Messages()), 1) // the transaction with the old relay does not delay other mail
		is.Equal(relays["new"].Messages()[0].From, "b@x.org")
		is.Equal(s.Health().InFlight, 1)
		pass(3 * time.Minute)
		is.Equal(len(relays["old"].Messages()), 1) // the transaction with the old relay has ended
		is.Equal(len(relays["new"].Messages()), 1)
		is.Equal(len(s.Status()), 0)
		commands := relays["old"].Commands()
		is.Equal(commands[len(commands)-1], "QUIT") // the connection is then closed with QUIT
		is.Equal(relays["old"].Connections(), 1)
		stop()
	})
}

func TestReconfigureKeepsTheStateOfUnchangedRelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var dials [3]atomic.Int32
		relay := &smtptest.Relay{}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "0.test:25", Freq: 100 * time.Millisecond, Routes: []Route{
			{Sender: "@down.org", SMTPAddr: "1.test:25"}, {Sender: "@other.org", SMTPAddr: "2.test:25"},
		}})
		opts.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials[addr[0]-'0'].Add(1)
			if addr[0] == '1' {
				return nil, errors.New("refused")
			}
			return relay.Dial(ctx, network, addr)
		}
		drop(t, dir, "a", from("a@x.org"))
		drop(t, dir, "b", from("b@down.org"))
		drop(t, dir, "c", from("c@other.org"))
		s, stop := start(t, dir, opts)
		pass(30 * time.Second)
		drop(t, dir, "d", from("a@x.org"))
		pass(time.Second)
		is.Equal(dials[0].Load(), int32(2)) // the first connection was idle for too long
		before := s.Health()
		is.True(before.Relays[1].Trouble != "")

		// Another order of routes, other SMTP settings for one of them, fewer connections, and one route more.
		opts.Routes = []Route{
			{Sender: "@other.org", SMTPAddr: "2.test:25", SMTP: SMTP{NoChunking: true}},
			{Sender: "@more.org", SMTPAddr: "2.test:25"},
			{Sender: "@DOWN.org", SMTPAddr: " 1.test:25"},
		}
		opts.Concurrency, opts.Attempts = 1, 7
		is.NoErr(s.Reconfigure(opts))
		after := s.Health()
		is.Equal(after.Relays[0].Limit, 1) // fewer connections are allowed
		drop(t, dir, "e", from("a@x.org"))
		pass(time.Second)
		is.Equal(dials[0].Load(), int32(2)) // the old connection was used
		is.Equal(after.Relays[3].Name, "1.test:25")
		is.Equal(after.Relays[3].Since, before.Relays[1].Since)           // the trouble is the same as before
		is.Equal(after.Relays[3].RestsUntil, before.Relays[1].RestsUntil) // and the pause goes on
		pass(time.Minute)
		is.Equal(len(relay.Messages()), 4)
		stop()
	})
}

func TestReconfigureCorrectsThePassword(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, events := t.TempDir(), &events{}
		relay := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}, Users: map[string]string{"app": "right"}}
		login := func(password, version string) SMTP {
			return SMTP{User: "app", Version: version, Secret: func(context.Context, bool) (string, error) { return password, nil }}
		}
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			return relay.Dial(ctx, network, "127.0.0.1:25")
		}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "localhost:25", Dial: dial, OnEvent: events.add, SMTP: login("wrong", "1")})
		drop(t, dir, "a", simple)
		s, stop := start(t, dir, opts)
		pass(10 * time.Minute)
		is.True(strings.Contains(s.Health().Relays[0].Trouble, "535"))
		opts.SMTP = login("right", "1")
		is.NoErr(s.Reconfigure(opts))
		pass(time.Second)
		is.Equal(len(relay.Messages()), 0) // the same Version: the settings are taken for unchanged
		opts.SMTP = login("right", "2")
		is.NoErr(s.Reconfigure(opts))
		pass(time.Second)
		is.Equal(len(relay.Messages()), 1) // at once, before the pause of the relay has ended
		is.Equal(relay.Messages()[0].User, "app")
		is.Equal(s.Health().Relays[0].Trouble, "")
		stop()
		is.Equal(events.last().Attempt, 1) // no attempt was counted
	})
}

func TestReconfigureRoutesWaitingMail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relays := relaysByName{"main": {}, "own": {}, "later": {Reply: func(verb, _ string) string {
			if verb == "RCPT" {
				return "450 4.2.1 later"
			}
			return ""
		}}, "down": {Reply: func(verb, _ string) string {
			if verb == "DIAL" {
				return "refused"
			}
			return ""
		}}}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "down.test:25", Dial: relays.dial, Routes: []Route{{Sender: "@later.org", SMTPAddr: "later.test:25"}}})
		drop(t, dir, "ready", from("a@x.org"))     // waits for a relay
		drop(t, dir, "retry", from("a@later.org")) // waits for its next attempt
		drop(t, dir, "null", "X-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"c@later.org\"]}\nSubject: x\n\nhello\n")
		s, stop := start(t, dir, opts)
		pass(10 * time.Second)
		is.Equal(len(s.Status()), 3)
		opts.SMTPAddr, opts.Routes = "main.test:25", []Route{{Sender: "*", SMTPAddr: "main.test:25"}, {Sender: "@LATER.org", SMTPAddr: "own.test:25"}}
		is.NoErr(s.Reconfigure(opts))
		pass(5 * time.Minute)
		is.Equal(len(s.Status()), 0)
		is.Equal(len(relays["main"].Messages()), 1)
		is.Equal(relays["main"].Messages()[0].From, "a@x.org")
		var senders []string
		for _, m := range relays["own"].Messages() {
			senders = append(senders, m.From)
		}
		slices.Sort(senders)
		is.Equal(senders, []string{"", "a@later.org"}) // the report takes the route of its recipient
		stop()
	})
}

func TestRetrySettingsApplyToWhatWaits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"attempts": func(o *Options) { o.Attempts = 3 },
		"age":      func(o *Options) { o.MaxAge = 2 * time.Hour },
		"backoff":  func(o *Options) { o.Backoff = func(int) time.Duration { return 10 * time.Second } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, events := t.TempDir(), &events{}
				var attempts atomic.Int32
				relay := &smtptest.Relay{Reply: func(verb, _ string) string {
					if verb == "RCPT" {
						attempts.Add(1)
						return "450 4.2.1 later"
					}
					return ""
				}}
				opts := exact(Options{Watch: WatchOff, SMTPAddr: "relay.test:25", Dial: relay.Dial, OnEvent: events.add})
				drop(t, dir, "m", simple)
				s, stop := start(t, dir, opts)
				pass(time.Hour)
				is.Equal(attempts.Load(), int32(11)) // at 0, 1, 3, 6, 10, 15, 21, 28, 36, 45 and 55 minutes
				change(&opts)
				is.NoErr(s.Reconfigure(opts))
				pass(65 * time.Minute)
				stop()
				if name == "backoff" {
					is.True(attempts.Load() > 300)       // one every ten seconds, after the wait that had begun before
					is.True(!exists(dir, "failed", "m")) // only the age limits the retries
					return
				}
				is.True(exists(dir, "failed", "m")) // within 65 minutes, not after five days
			})
		})
	}
}

func TestReconfigureKeepsTheUsedRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		for i := range 60 {
			drop(t, dir, fmt.Sprintf("%02d", i), simple)
		}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "relay.test:25", Dial: relay.Dial, Rate: Rate{{20, time.Hour}}})
		s, stop := start(t, dir, opts)
		pass(time.Second)
		is.Equal(len(relay.Messages()), 20)
		opts.Rate = Rate{{24, time.Hour}} // the 20 recipients before count
		is.NoErr(s.Reconfigure(opts))
		pass(time.Second)
		is.Equal(len(relay.Messages()), 24)
		opts.Rate = Rate{{10, time.Hour}}
		is.NoErr(s.Reconfigure(opts))
		pass(4 * time.Minute)
		is.Equal(len(relay.Messages()), 24) // more than the limit is spent
		is.True(!s.Health().RateWait.IsZero())
		opts.Rate = nil
		is.NoErr(s.Reconfigure(opts))
		is.True(s.Health().RateWait.IsZero()) // no limit delays the rest
		pass(time.Second)
		is.Equal(len(relay.Messages()), 60) // without a limit the rest goes at once
		opts.Rate = Rate{{20, time.Hour}}
		is.NoErr(s.Reconfigure(opts))
		drop(t, dir, "more", simple)
		pass(54 * time.Minute)
		is.Equal(len(relay.Messages()), 60) // the 60 recipients before count
		pass(4 * time.Minute)
		is.Equal(len(relay.Messages()), 61) // an hour, and at most a hundredth more, after the first recipients
		stop()
	})
}

func TestReconfigureWithAnErrorChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Options)
		say    string
	}{
		"status file":    {func(o *Options) { o.StatusFile = "/x/y.js" }, "cannot become /x/y.js while the spool is run"},
		"no relay":       {func(o *Options) { o.SMTPAddr = "" }, "no relay"},
		"no address":     {func(o *Options) { o.SMTPAddr = "new.test:25,relay" }, "host:port"},
		"negative":       {func(o *Options) { o.Attempts = -1 }, "Attempts is negative"},
		"rate":           {func(o *Options) { o.Rate = Rate{{-1, time.Second}} }, "rate"},
		"route twice":    {func(o *Options) { o.Routes = []Route{{Sender: "@a", SMTPAddr: "a:1"}, {Sender: "@A", SMTPAddr: "a:1"}} }, "has a route already"},
		"route's relay":  {func(o *Options) { o.Routes = []Route{{Sender: "@a", SMTPAddr: "a"}} }, "host:port"},
		"no mode of TLS": {func(o *Options) { o.SMTP.TLS = "ssl" }, "TLS mode"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relays := t.TempDir(), relaysByName{"old": {}, "new": {}}
				opts := exact(Options{Watch: WatchOff, SMTPAddr: "old.test:25", Dial: relays.dial})
				s, stop := start(t, dir, opts)
				drop(t, dir, "a", simple)
				pass(time.Second)
				wrong := opts
				wrong.SMTPAddr, wrong.Freq = "new.test:25", time.Hour
				c.change(&wrong)
				err := s.Reconfigure(wrong)
				is.True(err != nil)
				is.True(strings.HasPrefix(err.Error(), "spoolgore: reconfigure: "))
				is.True(strings.Contains(err.Error(), c.say))
				drop(t, dir, "b", simple)
				pass(20 * time.Second)
				is.Equal(len(relays["old"].Messages()), 2) // the old options still apply
				stop()
			})
		})
	}
}

func TestReconfigureCountsForTheNextRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relays := t.TempDir(), relaysByName{"old": {}, "new": {}}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "old.test:25", Dial: relays.dial, Logger: slog.New(slog.DiscardHandler)})
		s := New(dir, opts)
		s.noSettle = true
		drop(t, dir, "a", simple)
		opts.SMTPAddr = "new.test"
		is.True(s.Reconfigure(opts) != nil) // the error is returned now, and not by Run
		opts.SMTPAddr, opts.StatusFile = "new.test:25", dir+"/x.js"
		is.NoErr(s.Reconfigure(opts))
		is.NoErr(s.Drain(t.Context()))
		is.Equal(len(relays["new"].Messages()), 1)
		is.Equal(len(relays["old"].Commands()), 0)
		is.True(exists(dir, "x.js"))
	})
}

// atLog calls act for each log line with the message words.
type atLog struct {
	slog.Handler
	words string
	act   func()
}

func (*atLog) Enabled(context.Context, slog.Level) bool { return true }

func (a *atLog) Handle(ctx context.Context, line slog.Record) error {
	if line.Message == a.words {
		a.act()
	}
	return a.Handler.Handle(ctx, line)
}

// A Reconfigure during the start of Run takes effect. The start may take a while with many messages.
func TestReconfigureWhileARunBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relays := t.TempDir(), relaysByName{"old": {}, "new": {}}
		// the log names the damaged journal after the options have been read
		check(t, os.WriteFile(filepath.Join(dir, spooldir.JournalFile), []byte("torn"), 0o600))
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "old.test:25", Dial: relays.dial})
		var s *Spool
		began := 0
		opts.Logger = slog.New(&atLog{slog.DiscardHandler, "journal damaged; unreadable lines ignored", func() {
			if began++; began == 1 {
				next := opts
				next.SMTPAddr = "new.test:25"
				is.NoErr(s.Reconfigure(next))
			}
		}})
		s = New(dir, opts)
		drop(t, dir, "a", simple)
		stop := launch(t, s)
		pass(time.Minute)
		stop()
		is.True(began > 0)
		is.Equal(len(relays["new"].Messages()), 1)
		is.Equal(len(relays["old"].Commands()), 0)
	})
}

// The transaction with a relay that is no longer configured is cut off with the others at the end of Grace.
func TestRunEndsARetiredRelayToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relays := relaysByName{"old": {Reply: func(verb, _ string) string {
			if verb == "END" {
				return "stall"
			}
			return ""
		}}, "new": {}}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "old.test:25", Dial: relays.dial, Grace: 5 * time.Second})
		drop(t, dir, "a", simple)
		s, stop := start(t, dir, opts)
		pass(time.Second)
		opts.SMTPAddr = "new.test:25"
		is.NoErr(s.Reconfigure(opts))
		began := time.Now()
		stop()
		is.Equal(time.Since(began), 5*time.Second) // Run has ended all goroutines
		is.True(exists(dir, "a"))                  // a message with an uncertain outcome stays
	})
}

// However often the settings change under load, each message arrives once.
func TestReconfigureUnderLoadSendsEachMessageOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, events := t.TempDir(), &events{}
		slow := func(verb, _ string) string {
			if verb == "END" || verb == "MAIL" {
				time.Sleep(30 * time.Millisecond)
			}
			return ""
		}
		relays := relaysByName{}
		for _, name := range []string{"a", "b", "c"} {
			relays[name] = &smtptest.Relay{Ext: []string{"PIPELINING", "CHUNKING", "8BITMIME"}, Reply: slow}
		}
		relays["c"].Ext = nil
		const n = 600
		for i := range n {
			drop(t, dir, fmt.Sprintf("%03d", i), fmt.Sprintf("From: %d@%c.org\nTo: b@example.org\nMessage-ID: <%d@x>\n\nhello\n", i, 'x'+rune(i%3), i))
		}
		opts := exact(Options{Watch: WatchOff, SMTPAddr: "a.test:25", Dial: relays.dial, OnEvent: events.add, Logger: slog.New(slog.DiscardHandler)})
		s, stop := start(t, dir, opts)
		for i := range 120 {
			pass(time.Duration(i%7) * 10 * time.Millisecond)
			next := opts
			next.SMTPAddr = []string{"a.test:25", "b.test:25,a.test:25", "c.test:25"}[i%3]
			next.Concurrency = 1 + i%9
			if i%4 > 0 {
				next.Routes = []Route{{Sender: "@x.org", SMTPAddr: "b.test:25"}, {Sender: "@y.org", SMTPAddr: "c.test:25,b.test:25"}}[i%2:]
			}
			is.NoErr(s.Reconfigure(next))
		}
		pass(2 * time.Minute)
		is.Equal(len(s.Status()), 0)
		stop()
		var ids []string
		for _, r := range relays {
			for _, m := range r.Messages() {
				_, id, _ := strings.Cut(string(m.Data), "Message-ID: ")
				id, _, _ = strings.Cut(id, "\r")
				ids = append(ids, id)
			}
		}
		is.Equal(len(ids), n) // no message is sent twice
		slices.Sort(ids)
		is.Equal(len(slices.Compact(ids)), n) // no message is lost
		for _, ev := range events.all {
			is.True(ev.Attempt < 2) // no change of the settings is an attempt
		}
	})
}

// Status names the routes at the moment of the call, even if the options have changed since.
func TestStatusWhileTheRoutesChange(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir := t.TempDir()
	for i := range 50 {
		drop(t, dir, fmt.Sprint(i), from("a@x.org"))
	}
	opts := exact(Options{Watch: WatchOff, SMTPAddr: "down.test:25", Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }})
	s := New(dir, opts)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	soon(t, "the mail waits", func() bool { return len(s.Status()) == 50 })
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 200 {
			for _, m := range s.Status() {
				is.Equal(m.From, "a@x.org")
			}
		}
	})
	for i := range 200 {
		opts.Routes = []Route{{Sender: "@x.org", SMTPAddr: "x.test:25"}, {Sender: "@y.org", SMTPAddr: "y.test:25"}}[:i%3]
		is.NoErr(s.Reconfigure(opts))
	}
	wg.Wait()
	stop()
	is.NoErr(<-ended)
}
