package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// write writes a file with an old modification time.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	return path
}

// explained returns the output for the file at path.
func explained(t *testing.T, path string, opts spoolgore.Options) string {
	t.Helper()
	if opts.SMTPAddr == "" {
		opts.SMTPAddr = "relay.test:25"
	}
	p, err := Open(path, opts, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var b strings.Builder
	p.Write(Page{W: &b})
	return b.String()
}

// says checks that the output has each of the texts.
func says(t *testing.T, shown string, want ...string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(shown, text) {
			t.Errorf("it does not say %q:\n%s", text, shown)
		}
	}
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		opts spoolgore.Options
		want []string
	}{
		"header": {"From: a@x.org\nSender: s@x.org\nTo: b@x.org\nCc: c@x.org\nBcc: d@x.org\n\nhi\n", spoolgore.Options{}, []string{
			"it would be sent to 3 recipients\n", "Envelope, from the header", "from        s@x.org  (Sender)", "to          b@x.org  (To)",
			"to          c@x.org  (Cc)", "to          d@x.org  (Bcc)", "left out    Bcc: d@x.org", "added       Date: ", "added       Message-ID: <",
			"text        7-bit", "s@x.org gets a report"}},
		"envelope line": {`X-Spoolgore-Envelope: {"from":"e@x.org","to":["f@x.org","none"],"priority":3,"notify":["NEVER"],"expire":"2050-01-02T15:04:05Z"}` +
			"\nFrom: a@x.org\nTo: b@x.org\nDate: x\nMessage-ID: <1@x>\n\nhi\n", spoolgore.Options{NoReports: true}, []string{
			"sent to 1 recipient; 1 more is no address, and", "from the envelope line", "from        e@x.org\n", "to          f@x.org\n",
			"bad         none  given up at once: ", "priority    3", "notify      NEVER of f@x.org", "left out    X-Spoolgore-Envelope: {", "there is no report (-bounce=false)"}},
		"null sender": {"Return-Path: <>\nFrom: a@x.org\nTo: b@x.org\n\n", spoolgore.Options{}, []string{
			"<>  the null sender, so there is no report if it fails  (Return-Path)", "left out    Return-Path: <>", "as the sender b@x.org goes by -smtpaddr", "because it has the null sender"}},
		"rewritten": {"From: Web <www-data@web1.local>\nSender: x@web1.local\nTo: b@x.org, c@x.org\n\n", spoolgore.Options{Rewrite: spoolgore.Rewrite{
			From: "app@example.com", Redirect: "qa@example.com", Copies: []spoolgore.AddressPair{{Pattern: "*", Address: "archive@example.com"}}}}, []string{
			"sent as     app@example.com  (-sender, -from", "redirected  to qa@example.com, in one copy", "copy        to archive@example.com", "left out    From: Web <www-data@web1.local>",
			"left out    Sender: x@web1.local", "added       From: Web <app@example.com>", "added       Reply-To: www-data@web1.local", "added       X-Original-To: b@x.org"}},
		"signed": {"DKIM-Signature: d=x.org\nFrom: a@x.org\nTo: b@x.org\n\n", spoolgore.Options{Rewrite: spoolgore.Rewrite{From: "app@example.com"}}, []string{
			"sent as     app@example.com", "From        stays, because a DKIM signature of x.org depends on it"}},
		"sender of the route": {"From: a@x.org\nTo: b@x.org\n\n", spoolgore.Options{Rewrite: spoolgore.Rewrite{Sender: "app@example.com"},
			Routes: []spoolgore.Route{{Sender: "@x.org", SMTPAddr: "other.test:25", EnvelopeSender: "x@example.net"}}}, []string{"sent as     x@example.net"}},
		"not allowed": {"From: a@x.org\nTo: b@x.org, c@y.org\n\n", spoolgore.Options{Rewrite: spoolgore.Rewrite{Allow: []string{"@x.org"}}}, []string{
			"it would be moved to hold/, because mail to c@y.org is not allowed", "held        because mail to c@y.org is not allowed (-allow)"}},
		"resent": {"From: a@x.org\nTo: b@x.org\nResent-From: r@x.org\nResent-To: c@x.org\n\nx", spoolgore.Options{}, []string{
			"from        r@x.org  (Resent-From)", "to          c@x.org  (Resent-To)"}},
		"8-bit":            {"From: a@x.org\nTo: b@x.org\n\ngr\u00fc\u00dfe\n", spoolgore.Options{}, []string{"8-bit, unchanged to a relay with 8BITMIME, re-encoded for a relay without"}},
		"8-bit and signed": {"From: a@x.org\nTo: b@x.org\nDKIM-Signature: v=1\n\ngr\u00fc\u00dfe\n", spoolgore.Options{}, []string{"a relay without does not get it: "}},
		"letters": {"From: a@x.org\nTo: gr\u00fc\u00dfe@x.org, b@m\u00fcnchen.example\nSubject: \u00fc\n\nx\n", spoolgore.Options{}, []string{
			"SMTPUTF8    is needed for gr\u00fc\u00dfe@x.org\n", "because the header has non-ASCII letters"}},
		"nobody":          {"From: a@x.org\n\nx\n", spoolgore.Options{}, []string{"it would stay where it is, until it is changed: ", "no recipients"}},
		"no sender":       {"To: a@x.org\n\nx\n", spoolgore.Options{}, []string{"it would stay where it is", "no sender"}},
		"broken line":     {"X-Spoolgore-Envelope: {\nTo: a@x.org\n\nx\n", spoolgore.Options{}, []string{"it would stay where it is", "envelope line"}},
		"empty":           {"", spoolgore.Options{}, []string{"it would stay where it is", "empty"}},
		"header too long": {"X: " + strings.Repeat("x", 1<<20) + "\n\n", spoolgore.Options{}, []string{"would go to failed/"}},
		"no address":      {"From: a@x.org\nTo: nobody\n\nx\n", spoolgore.Options{}, []string{"it would go to failed/ at once, because no recipient is an address"}},
		"few tries":       {"From: a@x.org\nTo: b@x.org\n\nx\n", spoolgore.Options{Attempts: 2}, []string{"after 2 failed attempts"}},
		"short life":      {"From: a@x.org\nTo: b@x.org\n\nx\n", spoolgore.Options{MaxAge: 20 * time.Minute}, []string{"when it is too old"}},
	} {
		t.Run(name, func(t *testing.T) {
			says(t, explained(t, write(t, t.TempDir(), "m.eml", c.file), c.opts), c.want...)
		})
	}
}

func TestExplainLeavesOutWhatDoesNotApply(t *testing.T) {
	is := is.New(t)
	shown := explained(t, write(t, t.TempDir(), "m.eml", "From: a@x.org\nTo: b@m\u00fcnchen.example\nDate: x\nMessage-ID: <1@x>\n\nx\n"), spoolgore.Options{})
	for _, text := range []string{"left out", "added", "needed", "In the spool"} {
		is.True(!strings.Contains(shown, text)) // no text about it
	}
}

// The output for any message is printable lines.
func TestHostileMessage(t *testing.T) {
	is := is.New(t)
	evil := "\x1b]0;x\x07\x1b[2J\u202e\u009b31m"
	dir := t.TempDir()
	for name, file := range map[string]string{
		"header\x1b[31m": "From: \"" + evil + "\"@x.org, a@x.org\nTo: b" + evil + "@x.org, c@x.org\nBcc: " + evil + "\r d@x.org\n" + evil + "\nMessage-ID: " + evil + "\n\n" + evil,
		"line":           "X-Spoolgore-Envelope: {\"from\":\"a@x.org\",\"to\":[\"b\\u001b[31m@x.org\",\"c@x.org\"],\"x\":\"" + evil + "\"}\nFrom " + evil + "\nSubject: x\n\n",
		"broken":         "X-Spoolgore-Envelope: {\"" + evil + "\nTo: c@x.org\n\n",
	} {
		shown := explained(t, write(t, dir, name, file), spoolgore.Options{})
		// no control characters
		is.Equal(strings.IndexFunc(shown, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }), -1)
		for line := range strings.Lines(shown) {
			is.True(len(line) < 2000) // the line is cut
		}
	}
	long := "From: a@x.org\nTo: b@x.org\nBcc: " + strings.Repeat("c@x.org,\n ", 50_000) + "\n\n"
	shown := explained(t, write(t, dir, "long", long), spoolgore.Options{})
	is.True(len(shown) < 10_000) // the output is bounded
}

func TestRouteIsExplained(t *testing.T) {
	opts := spoolgore.Options{SMTPAddr: "usual.test:25,smtps://other.test", Routes: []spoolgore.Route{
		{Sender: "@x.org", SMTPAddr: "office.test:587", SMTP: spoolgore.SMTP{User: "office", Password: "se-cret", TLS: "starttls"}},
		{Sender: "boss@x.org", SMTPAddr: "boss.test:465", SMTP: spoolgore.SMTP{User: "boss", Password: "se-cret", Mechanism: "PLAIN", Pins: []string{"sha256//x"}}},
		{Sender: "@cert.org", SMTPAddr: "srv:cert.org", SMTP: spoolgore.SMTP{Mechanism: "EXTERNAL"}},
		{Sender: "@clear.org", SMTPAddr: "127.0.0.1:25", SMTP: spoolgore.SMTP{TLS: "none"}},
	}}
	for from, want := range map[string][]string{
		"a@y.org": {"the sender a@y.org goes by -smtpaddr", "relay       usual.test:25\n  TLS         STARTTLS where it is offered, else in the clear; its certificate must be valid, unless it is on this host",
			"or else     smtps://other.test\n  TLS         from the first byte; its certificate must be valid", "login       none"},
		"a@X.org": {"by the line for @x.org in the relays file", "relay       office.test:587\n  TLS         STARTTLS, and no mail without it; its certificate must be valid",
			"login       office, with the first of SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN, CRAM-MD5 that the relay offers", "over a verified connection only, or to this host"},
		"boss@x.org":  {"by the line for boss@x.org", "TLS         from the first byte; its key must be pinned", "login       boss, with PLAIN"},
		"a@cert.org":  {"TLS         from the first byte or STARTTLS, as the DNS says", "login       EXTERNAL: our certificate says who we are"},
		"a@clear.org": {"TLS         none", "login       none"},
	} {
		t.Run(from, func(t *testing.T) {
			is := is.New(t)
			shown := explained(t, write(t, t.TempDir(), "m", "From: "+from+"\nTo: b@x.org\n\nx\n"), opts)
			says(t, shown, want...)
			is.True(!strings.Contains(shown, "se-cret")) // no secret is shown
		})
	}
}

func TestBadRelayIsAnError(t *testing.T) {
	is := is.New(t)
	path := write(t, t.TempDir(), "m", "From: a@x.org\nTo: b@x.org\n\nx\n")
	_, err := Open(path, spoolgore.Options{SMTPAddr: "no relay"}, time.Now())
	is.True(err != nil) // as at the start of the daemon
	_, err = Open(path, spoolgore.Options{SMTPAddr: "a.test:25", SMTP: spoolgore.SMTP{TLS: "ssl"}}, time.Now())
	is.True(err != nil)
	_, err = Open(path+"x", spoolgore.Options{SMTPAddr: "a.test:25"}, time.Now())
	is.True(os.IsNotExist(err)) // the file does not exist
}

func TestFilesThatAreNoMessages(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	path := write(t, dir, "m", "From: a@x.org\nTo: b@x.org\n\nx\n")
	is.NoErr(os.Symlink(path, filepath.Join(dir, "symlink")))
	is.NoErr(os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	write(t, dir, ".dot", "From: a@x.org\nTo: b@x.org\n\nx\n")
	for name, want := range map[string]string{"symlink": "not a regular file", "directory": "not a regular file", ".dot": "begin with a dot"} {
		says(t, explained(t, filepath.Join(dir, name), spoolgore.Options{}), "it would stay where it is", want)
	}
	is.NoErr(os.Link(path, filepath.Join(dir, "link")))
	says(t, explained(t, path, spoolgore.Options{}), "more than one hard link")
}

func TestSchedule(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	minutes := func(n int) time.Time { return at.Add(time.Duration(n) * time.Minute) }
	for name, c := range map[string]struct {
		failed, most int
		end, gone    time.Time
		next         []time.Time
		why          string
	}{
		"attempts":       {0, 4, minutes(1000), minutes(6), []time.Time{minutes(1), minutes(3), minutes(6)}, "after 4 failed attempts"},
		"only one":       {0, 1, minutes(1000), at, nil, "after 1 failed attempt"},
		"some are made":  {2, 4, minutes(1000), minutes(3), []time.Time{minutes(3)}, "after 4 failed attempts"},
		"age":            {0, 100, minutes(5), minutes(5), []time.Time{minutes(1), minutes(3)}, "when it is too old"},
		"too old by now": {0, 100, minutes(-1), minutes(-1), nil, "when it is too old"},
		"all are made":   {4, 4, minutes(1000), at, nil, "after 4 failed attempts"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			next, gone, why := schedule(at, c.failed, c.most, c.end)
			is.Equal(next, c.next) // attempts after the next one
			is.Equal(gone, c.gone) // time of giving up
			is.Equal(why, c.why)
		})
	}
	is := is.New(t)
	_, gone, _ := schedule(at, 0, retry.Attempts, at.Add(retry.MaxAge))
	is.Equal(gone, at.Add(retry.MaxAge)) // with the default limits, the age decides
}

// drained runs the spool once.
func drained(t *testing.T, dir string, relay *smtptest.Relay) {
	t.Helper()
	err := spoolgore.New(dir, spoolgore.Options{SMTPAddr: "relay.test:25", Dial: relay.Dial, Logger: slog.New(slog.DiscardHandler), NoReports: true}).Drain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
}

func TestExplainShowsTheStatus(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		switch {
		case verb == "RCPT" && arg == "later@x.org":
			return "450 4.2.1 \x1b[31mbusy"
		case verb == "RCPT" && arg == "grey@x.org":
			return "451 4.7.1 greylisted"
		case verb == "RCPT" && arg == "never@x.org":
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	waits := write(t, dir, "waits", "From: a@x.org\nTo: yes@x.org, later@x.org\n\nx\n")
	grey := write(t, dir, "grey", "From: a@x.org\nTo: grey@x.org\n\nx\n")
	write(t, dir, "fails", "From: a@x.org\nTo: yes@x.org, never@x.org\n\nx\n")
	drained(t, dir, relay)

	shown := explained(t, waits, spoolgore.Options{Attempts: 2})
	says(t, shown, "it would be sent to 1 recipient; 1 more is done\n", "In the spool "+dir, "none runs: no mail is sent until one does",
		"accepted    yes@x.org  by relay.test:25 at ", "deferred    later@x.org  after 1 failed attempt, next one at ", "450 4.2.1 ?[31mbusy",
		"after 2 failed attempts")
	is.True(!strings.Contains(shown, "that is at")) // no further attempts: the attempt that was made counts
	says(t, explained(t, grey, spoolgore.Options{}), "deferred    grey@x.org  no attempt counted, next one at ", "451 4.7.1 greylisted")

	failed := filepath.Join(dir, "failed", "fails")
	shown = explained(t, failed, spoolgore.Options{})
	says(t, shown, "it was given up; back in the spool, it would be sent to 1 recipient; 1 more is done\n", "given up    ", "550 5.1.1 no such user", "failed      never@x.org  given up")

	back := filepath.Join(dir, "fails")
	is.NoErr(os.Rename(failed, back))
	says(t, explained(t, back, spoolgore.Options{}), "it would be sent to 1 recipient; 1 more is done", "came back from failed/")

	is.NoErr(os.Rename(waits, filepath.Join(dir, "hold", "waits")))
	says(t, explained(t, filepath.Join(dir, "hold", "waits"), spoolgore.Options{}), "it is held; back in the spool, it would be sent to 1 recipient")

	says(t, explained(t, write(t, dir, "new", "From: a@x.org\nTo: b@x.org\n\nx\n"), spoolgore.Options{}), "not in the status file yet")
	says(t, explained(t, write(t, dir, "tmp/new", "From: a@x.org\nTo: b@x.org\n\nx\n"), spoolgore.Options{}), "it is being written; in the spool, it would", "reads it after a move")
	write(t, dir, "hold/waits", "From: a@x.org\nTo: yes@x.org, later@x.org\n\nchanged\n")
	says(t, explained(t, filepath.Join(dir, "hold", "waits"), spoolgore.Options{}), "it would be sent to 2 recipients\n", "has another version of this file")
}

func TestARunningDaemonIsTold(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	relay := &smtptest.Relay{Reply: func(verb, _ string) string { return map[string]string{"DIAL": "no route to host"}[verb] }}
	arrived := make(chan struct{}, 100)
	spool := spoolgore.New(dir, spoolgore.Options{SMTPAddr: "relay.test:25", Dial: relay.Dial, Logger: slog.New(slog.DiscardHandler),
		OnEvent: func(ev spoolgore.Event) {
			if ev.Kind == spoolgore.EventDeferred {
				arrived <- struct{}{}
			}
		}})
	path := write(t, dir, "m", "From: a@x.org\nTo: b@x.org\n\nx\n")
	ended := make(chan error, 1)
	go func() { ended <- spool.Run(t.Context()) }()
	t.Cleanup(func() { is.NoErr(<-ended) })
	<-arrived
	spool.Pause() // so that the status file is current
	says(t, explained(t, path, spoolgore.Options{}), "daemon      process ", "deferred    b@x.org  no attempt counted, next one at ")
	for want, signs := range map[string]daemonstate.State{
		", paused: no mail is sent": {Paused: true}, "rate limit holds all mail back until": {RateWait: time.Now().Add(time.Hour)},
	} {
		var b bytes.Buffer
		is.NoErr(daemonstate.Write(&b, signs))
		is.NoErr(os.WriteFile(filepath.Join(dir, daemonstate.Name), b.Bytes(), 0o600))
		says(t, explained(t, path, spoolgore.Options{}), want)
	}
}

// A file of which the daemon reads nothing yet is shown as such, by the options of the daemon.
func TestFileThatWaitsToBeRead(t *testing.T) {
	dir := t.TempDir()
	const text = "From: a@x.org\nTo: b@x.org\n\nx\n"
	for _, name := range []string{"m.part", "m.own", "m.eml"} {
		path := write(t, dir, name, text)
		recent := time.Now().Add(-time.Minute)
		if err := os.Chtimes(path, recent, recent); err != nil {
			t.Fatal(err)
		}
	}
	waits := func(name string, opts spoolgore.Options) bool {
		return strings.Contains(explained(t, filepath.Join(dir, name), opts), "not yet")
	}
	is := is.New(t)
	is.True(waits("m.part", spoolgore.Options{}))                                   // a temporary name
	is.True(!waits("m.part", spoolgore.Options{TemporaryNames: []string{"*.own"}})) // none by the option
	is.True(waits("m.own", spoolgore.Options{TemporaryNames: []string{"*.own"}}))
	is.True(!waits("m.eml", spoolgore.Options{}))
	is.True(waits("m.eml", spoolgore.Options{Settle: time.Hour})) // written in place a minute ago
}

// The time for a message grows with its recipients, and not with their square.
func TestManyRecipientsAreExplained(t *testing.T) {
	dir := t.TempDir()
	m := spoolgore.Message{From: "a@x.org", Enqueued: time.Now()}
	var to []string
	for i := range 10_000 {
		to = append(to, fmt.Sprintf("r%d@x.org", i))
		m.To = append(m.To, spoolgore.Recipient{Address: to[i], Status: spoolgore.StateDone})
	}
	m.To[0].Status = spoolgore.StateWaiting
	path := write(t, dir, "m.eml", "From: a@x.org\nTo: "+strings.Join(to, ",\n ")+"\n\nx\n")
	text, err := json.Marshal(spoolgore.Status{path: m})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".spoolgore.js"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	shown := explained(t, path, spoolgore.Options{})
	says(t, shown, "sent to 1 recipient; 9999 more are done")
	t.Log(time.Since(began))
}
