package testmail

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/explain"
	"github.com/unbit/spoolgore/internal/smtptest"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// script returns a Reply function with replies by verb, or by "VERB arg".
func script(answers map[string]string) func(verb, arg string) string {
	return func(verb, arg string) string {
		if text, ok := answers[verb+" "+arg]; ok {
			return text
		}
		return answers[verb]
	}
}

// page records the output of any goroutine.
type page struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func newTest(p *page) *Test {
	return &Test{Page: explain.Page{W: p}, From: "a@x.org", To: "b@x.org"}
}

func options(relay *smtptest.Relay) spoolgore.Options {
	return spoolgore.Options{SMTPAddr: "relay.test:25", Dial: relay.Dial, LocalName: "client.test", NoReports: true,
		Backoff: func(int) time.Duration { return time.Millisecond }}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// says checks that the output has each of the texts.
func says(t *testing.T, shown string, want ...string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(shown, text) {
			t.Errorf("%q is not in the output:\n%s", text, shown)
		}
	}
}

func TestDrain(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]string
		outcome Outcome
		next    bool // the time of the next attempt is known
		want    []string
	}{
		"accepted":  {nil, Accepted, false, []string{"connected   to relay.test:25, which is 192.0.2.1:25", "accepted    by relay.test:25, in the clear: 250 2.0.0 accepted"}},
		"refused":   {map[string]string{"RCPT": "550 5.1.1 no such user"}, Failed, false, []string{"failed      relay.test:25: rcpt: 550 5.1.1 no such user", "There is no such recipient", "Correct the address"}},
		"put off":   {map[string]string{"RCPT": "451 4.7.1 greylisted"}, Deferred, true, []string{"deferred    relay.test:25: rcpt: 451 4.7.1 greylisted", "greylisting"}},
		"content":   {map[string]string{"END": "554 5.7.1 spam"}, Failed, false, []string{"failed      relay.test:25: end: 554 5.7.1 spam", "does not take this message"}},
		"uncertain": {map[string]string{"END": "close"}, Deferred, true, []string{"deferred", "may have it"}},
		"down":      {map[string]string{"DIAL": "no route to host"}, Deferred, false, []string{"trouble     relay.test:25: dial: ", "cannot be reached"}},
		"blocked":   {map[string]string{"CONNECT": "554 5.7.1 blocked"}, Deferred, false, []string{"trouble     relay.test:25: greeting: 554 5.7.1 blocked", "takes no mail from this host"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			p := &page{}
			test, relay := newTest(p), &smtptest.Relay{Reply: script(c.answers)}
			dir := t.TempDir()
			opts := options(relay)
			opts.Backoff = func(int) time.Duration { return time.Hour }
			spool := spoolgore.New(dir, test.Hooks(opts))
			_, err := test.Put(t.Context(), spool, "host.test")
			must(t, err)
			if c.outcome == Deferred {
				_, err = spool.Put(t.Context(), spoolgore.Envelope{From: "other@x.org", To: []string{"other@x.org"}}, strings.NewReader("Subject: other\n\n"))
				must(t, err)
			}
			outcome, err := test.Drain(t.Context(), spool)
			is.NoErr(err)
			is.Equal(outcome, c.outcome)            // the outcome of the message
			is.Equal(!test.Next().IsZero(), c.next) // the time of the next attempt
			shown := p.String()
			says(t, shown, append(c.want, "spooled     as ")...)
			is.True(strings.Count(shown, "it means ") <= 1) // one explanation, and none for other mail
		})
	}
}

func TestTheMessage(t *testing.T) {
	is := is.New(t)
	test, relay := newTest(&page{}), &smtptest.Relay{}
	spool := spoolgore.New(t.TempDir(), test.Hooks(options(relay)))
	_, err := test.Put(t.Context(), spool, "host.test")
	is.NoErr(err)
	_, err = test.Drain(t.Context(), spool)
	is.NoErr(err)
	is.Equal(len(relay.Messages()), 1)
	m := relay.Messages()[0]
	is.Equal(m.From, "a@x.org")
	is.Equal(m.To, []string{"b@x.org"})
	for _, line := range []string{"From: <a@x.org>\r\n", "To: <b@x.org>\r\n", "Subject: Test message from host.test\r\n", "Auto-Submitted: auto-generated\r\n", "how mail leaves host.test"} {
		is.True(strings.Contains(string(m.Data), line)) // the message explains itself
	}
}

// Run continues after Drain.
func TestRunGoesOnUntilTheEnd(t *testing.T) {
	is := is.New(t)
	var mu sync.Mutex
	tries := 0
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		mu.Lock()
		defer mu.Unlock()
		if verb == "RCPT" {
			if tries++; tries < 3 {
				return "450 4.7.1 not yet"
			}
		}
		return ""
	}}
	p := &page{}
	test := newTest(p)
	spool := spoolgore.New(t.TempDir(), test.Hooks(options(relay)))
	_, err := test.Put(t.Context(), spool, "host.test")
	is.NoErr(err)
	outcome, err := test.Run(t.Context(), spool)
	is.NoErr(err)
	is.Equal(outcome, Accepted)
	is.Equal(strings.Count(p.String(), "deferred    relay"), 2) // each attempt is shown
	is.Equal(strings.Count(p.String(), "it means"), 1)          // and explained once
}

func TestRunEndsWithItsContext(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Reply: script(map[string]string{"RCPT": "450 4.7.1 not yet"})}
	test := newTest(&page{})
	ctx, stop := context.WithCancel(t.Context())
	opts := options(relay)
	opts.Backoff = func(int) time.Duration { stop(); return time.Hour }
	spool := spoolgore.New(t.TempDir(), test.Hooks(opts))
	_, err := test.Put(ctx, spool, "host.test")
	is.NoErr(err)
	outcome, err := test.Run(ctx, spool)
	is.NoErr(err)
	is.Equal(outcome, Deferred)
}

// With several relays, the output has the trouble of each, as the log has.
func TestTroubleOfEachRelay(t *testing.T) {
	is := is.New(t)
	p := &page{}
	test := newTest(p)
	relay := &smtptest.Relay{Reply: script(map[string]string{"DIAL one.test:25": "no route to host", "DIAL two.test:25": "broken pipe"})}
	opts := options(relay)
	opts.SMTPAddr = "one.test:25,two.test:25,three.test:25"
	spool := spoolgore.New(t.TempDir(), test.Hooks(opts))
	_, err := test.Put(t.Context(), spool, "host.test")
	is.NoErr(err)
	outcome, err := test.Drain(t.Context(), spool)
	is.NoErr(err)
	is.Equal(outcome, Accepted)
	says(t, p.String(), "trouble     one.test:25: dial: ", "trouble     two.test:25: dial: ", "connected   to three.test:25", "accepted    by three.test:25")
}

func TestTheLogIsPassedOn(t *testing.T) {
	is := is.New(t)
	log := &page{}
	test := newTest(&page{})
	test.Log = slog.NewTextHandler(log, nil)
	spool := spoolgore.New(t.TempDir(), test.Hooks(options(&smtptest.Relay{})))
	_, err := test.Put(t.Context(), spool, "host.test")
	is.NoErr(err)
	_, err = test.Drain(t.Context(), spool)
	is.NoErr(err)
	says(t, log.String(), "msg=delivered")
}

func TestHostileRelay(t *testing.T) {
	is := is.New(t)
	p := &page{}
	test := newTest(p)
	evil := "\x1b]0;x\x07\x1b[2J\u202e"
	spool := spoolgore.New(t.TempDir(), test.Hooks(options(&smtptest.Relay{Reply: script(map[string]string{"RCPT": "550 5.1.1 " + evil + strings.Repeat("x", 3000)})})))
	_, err := test.Put(t.Context(), spool, "host.test")
	is.NoErr(err)
	outcome, err := test.Drain(t.Context(), spool)
	is.NoErr(err)
	is.Equal(outcome, Failed)
	// no control characters
	is.Equal(strings.IndexFunc(p.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }), -1)
	is.True(p.text.Len() < 2000)
}

// followed returns the outcome of Follow for a message, with a daemon in this process.
func followed(t *testing.T, answers map[string]string, opts spoolgore.Options, patience bool) (Outcome, string, string) {
	t.Helper()
	dir := t.TempDir()
	relay := &smtptest.Relay{Reply: script(answers)}
	daemon := options(relay)
	daemon.Backoff, daemon.Attempts, daemon.StatusFile, daemon.Logger = opts.Backoff, opts.Attempts, opts.StatusFile, slog.New(slog.DiscardHandler)
	started := make(chan struct{}, 1000)
	daemon.OnEvent = func(spoolgore.Event) { started <- struct{}{} }
	running := spoolgore.New(dir, daemon)
	_, err := running.Put(t.Context(), spoolgore.Envelope{From: "a@x.org", To: []string{"first@x.org"}}, strings.NewReader("Subject: x\n\n"))
	must(t, err)
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- running.Run(ctx) }()
	defer func() { stop(); must(t, <-ended) }()
	<-started

	p := &page{}
	test := newTest(p)
	spool := spoolgore.New(dir, spoolgore.Options{SMTPAddr: "unused.test:25", StatusFile: opts.StatusFile})
	_, err = test.Put(t.Context(), spool, "host.test")
	must(t, err)
	d, err := spooldir.New(dir)
	must(t, err)
	return test.Follow(t.Context(), d, opts.StatusFile, patience), p.String(), dir
}

func TestFollow(t *testing.T) {
	status := filepath.Join(t.TempDir(), "status.js")
	hour := func(int) time.Duration { return time.Hour }
	for name, c := range map[string]struct {
		answers  map[string]string
		opts     spoolgore.Options
		patience bool
		outcome  Outcome
		want     []string
	}{
		"accepted":        {nil, spoolgore.Options{}, false, Accepted, []string{"accepted    it has left the spool: a relay has accepted it"}},
		"refused":         {map[string]string{"RCPT b@x.org": "550 5.1.1 no such user"}, spoolgore.Options{}, false, Failed, []string{"failed      b@x.org: rcpt: 550 5.1.1 no such user", "There is no such recipient"}},
		"put off":         {map[string]string{"RCPT b@x.org": "451 4.7.1 greylisted"}, spoolgore.Options{Backoff: hour}, false, Deferred, []string{"deferred    relay.test:25: rcpt: 451 4.7.1 greylisted", "greylisting"}},
		"no relay":        {map[string]string{"DIAL": "no route to host"}, spoolgore.Options{}, false, Deferred, []string{"trouble     ", "no route to host", "cannot be reached"}},
		"at last refused": {map[string]string{"RCPT b@x.org": "450 4.2.1 later"}, spoolgore.Options{Backoff: func(int) time.Duration { return 0 }, Attempts: 3}, true, Failed, []string{"failed      b@x.org: given up after 3 attempts: rcpt: 450"}},
		"other status":    {map[string]string{"RCPT b@x.org": "451 4.7.1 greylisted"}, spoolgore.Options{Backoff: hour, StatusFile: status}, false, Deferred, []string{"deferred"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			outcome, shown, _ := followed(t, c.answers, c.opts, c.patience)
			is.Equal(outcome, c.outcome) // the outcome of the message
			says(t, shown, c.want...)
		})
	}
}

// Follow ends if no daemon runs any more, and if an operator moves the message.
func TestFollowEndsWithoutADaemon(t *testing.T) {
	is := is.New(t)
	p := &page{}
	test := newTest(p)
	dir := t.TempDir()
	spool := spoolgore.New(dir, spoolgore.Options{})
	name, err := test.Put(t.Context(), spool, "host.test")
	is.NoErr(err)
	d, err := spooldir.New(dir)
	is.NoErr(err)
	is.Equal(test.Follow(t.Context(), d, "", true), NoAnswer)
	says(t, p.String(), "the daemon has ended")
	is.NoErr(os.Mkdir(filepath.Join(dir, "hold"), 0o700))
	is.NoErr(os.Rename(filepath.Join(dir, name), filepath.Join(dir, "hold", name)))
	is.Equal(test.Follow(t.Context(), d, "", true), NoAnswer)
	says(t, p.String(), "moved it to hold/")
	var state bytes.Buffer
	is.NoErr(daemonstate.Write(&state, daemonstate.State{Allow: []string{"@other.example"}}))
	is.NoErr(os.WriteFile(filepath.Join(dir, daemonstate.Name), state.Bytes(), 0o600))
	is.Equal(test.Follow(t.Context(), d, "", true), NoAnswer)
	says(t, p.String(), test.To+" may get no mail (-allow of the daemon)")

	// A message that has left the spool is not taken for accepted if failed/ cannot be read.
	is.NoErr(os.Remove(filepath.Join(dir, "hold", name)))
	// a directory cannot be read as a file, even by root
	is.NoErr(os.MkdirAll(filepath.Join(dir, "failed", name+".json"), 0o700))
	is.Equal(test.Follow(t.Context(), d, "", true), NoAnswer)
	says(t, p.String(), "whether a relay has it cannot be told")
	is.NoErr(os.RemoveAll(dir))
	is.Equal(test.Follow(t.Context(), d, "", true), NoAnswer)
	says(t, p.String(), "the spool is not there any more")
}
