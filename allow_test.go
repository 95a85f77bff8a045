package spoolgore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

const twoDomains = "From: app@staging.example\nTo: ann@corp.example, bob@else.example\nMessage-ID: <2@x>\n\nhello\n"

func TestMessageWithARecipientThatIsNotAllowedIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, seen := t.TempDir(), &smtptest.Relay{}, &events{}
		drop(t, dir, "both", twoDomains)
		drop(t, dir, "allowed", "From: app@staging.example\nTo: ann@Corp.Example\n\nhello\n")
		opts := Options{Dial: relay.Dial, OnEvent: seen.add, Rewrite: Rewrite{Allow: []string{"@corp.example"}}}
		s, stop := begin(t, dir, opts)
		pass(time.Minute)
		is.Equal(len(relay.Messages()), 1) // the allowed message, to ann
		is.Equal(contentOf(t, dir, "hold/both"), twoDomains)
		held := one(t, s.Status())
		is.True(!held.Held.IsZero())
		is.Equal(held.Error, "held: mail to bob@else.example is not allowed")
		is.Equal(len(seen.ofKind(EventUnusable)), 0)
		is.Equal(len(seen.ofKind(EventHeld)), 1)
		withheld := seen.ofKind(EventHeld)[0]
		is.Equal(withheld.File, "both")
		is.Equal(withheld.MessageID+withheld.ID, "<2@x>") // the ID is empty
		is.Equal(withheld.Size, int64(len(twoDomains)))

		// a held message that is released unchanged is held again
		is.NoErr(os.Rename(filepath.Join(dir, "hold/both"), filepath.Join(dir, "both")))
		pass(time.Minute)
		is.True(exists(dir, "hold", "both"))
		stop()

		s, stop = begin(t, dir, opts) // the reason is known after a restart, too
		pass(time.Minute)
		is.Equal(one(t, s.Status()).Error, "held: mail to bob@else.example is not allowed")
		opts.Rewrite.Allow = append(opts.Rewrite.Allow, "bob@else.example")
		opts = telling(opts)
		is.NoErr(s.Reconfigure(opts))
		// bob's domain is now in the list
		is.NoErr(os.Rename(filepath.Join(dir, "hold/both"), filepath.Join(dir, "both")))
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 2)
		is.Equal(relay.Messages()[1].To, []string{"ann@corp.example", "bob@else.example"})
		is.Equal(len(ls(t, dir, "hold")), 0)
	})
}

// An Allow list that is set by Reconfigure applies to mail that already waits.
func TestAllowAppliesToWaitingMail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"bob@else.example": "451 4.2.0 later"})
		drop(t, dir, "m", twoDomains)
		drop(t, dir, "later", "X-Spoolgore-Envelope: {\"from\":\"a@x.org\",\"to\":[\"c@else.example\"],\"notBefore\":\"2050-01-01T00:00:00Z\"}\nSubject: x\n\nx\n")
		s, stop := begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		is.Equal(len(relay.Messages()), 1) // the message to ann, which was sent before the list was set
		opts := telling(Options{Dial: relay.Dial, Rewrite: Rewrite{Allow: []string{"@corp.example"}}})
		is.NoErr(s.Reconfigure(opts))
		pass(10 * time.Minute)
		is.Equal(ls(t, dir, "hold"), []string{"later", "m"})
		stop()
		is.Equal(count(relay.Commands(), "RCPT TO:<bob@else.example>"), 1) // bob was not tried again
		is.Equal(len(relay.Messages()), 1)
	})
}

// A report to a sender who may not get mail is held, too.
func TestAllowAndReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"bad@corp.example": "550 5.1.1 no such user"})
		drop(t, dir, "m", "From: customer@else.example\nTo: bad@corp.example\n\nhello\n")
		_, stop := begin(t, dir, Options{Dial: relay.Dial, Rewrite: Rewrite{Allow: []string{"@corp.example"}}})
		pass(time.Hour)
		stop()
		is.Equal(len(relay.Messages()), 0)
		is.Equal(len(ls(t, dir, "hold")), 1)
	})
}

// A message is not allowed, and hold/ already has a file of its name. The file is not overwritten, and the message is
// not sent.
func TestHoldAlreadyHasAFileOfTheName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		drop(t, dir, "m", twoDomains)
		is.NoErr(os.Mkdir(filepath.Join(dir, "hold"), 0o700))
		is.NoErr(os.WriteFile(filepath.Join(dir, "hold/m"), []byte("From: a@b\nTo: c@d\n\nanother\n"), 0o600))
		s, stop := begin(t, dir, Options{Dial: relay.Dial, Rewrite: Rewrite{Allow: []string{"@corp.example"}}})
		pass(time.Hour)
		is.True(one(t, s.Status()).Error != "")
		is.Equal(contentOf(t, dir, "m"), twoDomains)
		is.NoErr(os.Remove(filepath.Join(dir, "hold/m")))
		pass(time.Hour)
		stop()
		is.Equal(contentOf(t, dir, "hold/m"), twoDomains)
		is.Equal(len(relay.Messages()), 0)
	})
}

func TestCopyHasItsOwnState(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		archive, sent string // replies to RCPT for the archive, and events of it
		failed        bool
	}{
		"accepted": {"", "queued sent", false},
		"refused":  {"550 5.1.1 no such user", "queued failed", true},
		"deferred": {"451 4.2.0 later", "queued deferred deferred", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, seen := t.TempDir(), &events{}
				relay := refusing(map[string]string{"archive@example.com": row.archive})
				relay.Ext = []string{"DSN", "SIZE"}
				drop(t, dir, "m", "From: app@x.org\nTo: ann@example.org\n\nhello\n")
				opts := Options{Dial: relay.Dial, OnEvent: seen.add, WarnAfter: time.Hour, MaxAge: 4 * time.Hour, Rewrite: Rewrite{Copies: []AddressPair{{"*", "archive@example.com"}}}}
				s, stop := begin(t, dir, opts)
				pass(90 * time.Second)
				is.Equal(relay.Messages()[0].To[0], "ann@example.org")
				for i, to := range relay.Messages()[0].To {
					if to == "archive@example.com" {
						// NOTIFY=NEVER, so that no other host sends a report either
						is.Equal(relay.Messages()[0].RcptParams[i], "NOTIFY=NEVER")
					}
				}
				is.Equal(seen.kinds("archive@example.com"), row.sent)
				if row.failed {
					is.True(whyFile(t, dir, "m").Bcc[0].Copy)
				} else if row.archive != "" {
					is.True(one(t, s.Status()).Bcc[0].Copy)
				}
				pass(5 * time.Hour)
				stop()
				is.Equal(seen.kinds("ann@example.org"), "queued sent")
				// no report of the delay, and none of the failure
				is.Equal(len(reports(t, relay)), 0)
				is.Equal(count(relay.Commands(), "RCPT TO:<ann@example.org>"), 1) // ann gets one copy only
				is.Equal(exists(dir, "failed", "m"), row.archive != "")
			})
		})
	}
}

// A failed message whose recipients have all accepted it except the archive is retried for the archive only.
func TestFailedCopyIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, answers := t.TempDir(), map[string]string{"archive@example.com": "550 5.1.1 no such user"}
		relay := refusing(answers)
		drop(t, dir, "m", "From: app@x.org\nTo: ann@example.org\n\nhello\n")
		opts := Options{Dial: relay.Dial, Rewrite: Rewrite{Copies: []AddressPair{{"*", "archive@example.com"}}}}
		_, stop := begin(t, dir, opts)
		pass(time.Minute)
		stop()
		answers["archive@example.com"] = ""
		check(t, os.Rename(filepath.Join(dir, "failed/m"), filepath.Join(dir, "m")))
		_, stop = begin(t, dir, opts)
		pass(time.Minute)
		stop()
		var got []string
		for _, m := range relay.Messages() {
			got = append(got, strings.Join(m.To, ","))
		}
		is.Equal(got, []string{"ann@example.org", "archive@example.com"})
		is.Equal(len(ls(t, dir, "failed")), 0)
	})
}

// If a recipient is the archive address, the archive gets one copy, and its failure is reported as for any recipient. A
// report is not copied to the archive.
func TestCopyToARecipient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"archive@Example.com": "550 5.1.1 no such user"})
		drop(t, dir, "m", "From: app@x.org\nTo: archive@Example.com\n\nhello\n")
		drop(t, dir, "other", "From: shop@y.org\nTo: ann@example.org\n\nhello\n")
		opts := Options{Dial: relay.Dial, Rewrite: Rewrite{Copies: []AddressPair{{"*", "archive@example.com"}, {"@y.org", "y@example.com"}}}}
		_, stop := begin(t, dir, opts)
		pass(time.Minute)
		stop()
		is.Equal(count(relay.Commands(), "RCPT TO:<archive@"), 1)
		is.Equal(len(reports(t, relay)), 1) // the author gets a report, as for any recipient
		is.Equal(len(relay.Messages()), 2)
		for _, m := range relay.Messages() {
			if m.From != "" {
				is.Equal(m.To, []string{"ann@example.org", "y@example.com"})
			}
		}
	})
}

// With a redirect the archive gets nothing: all recipients are replaced.
func TestRedirectAndCopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		drop(t, dir, "m", twoDomains)
		opts := Options{Dial: relay.Dial, Rewrite: Rewrite{
			Redirect: "qa@corp.example", Allow: []string{"@corp.example"}, Copies: []AddressPair{{"*", "archive@example.com"}},
		}}
		_, stop := begin(t, dir, opts)
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 1)
		is.Equal(relay.Messages()[0].To, []string{"qa@corp.example"}) // qa@corp.example is allowed
		is.True(!exists(dir, "m"))
	})
}

func TestPostmasterGetsReportsThatFail(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		refuse, from, postmaster string
		got                      []string // recipients of reports that were accepted
		failed                   int      // messages in failed/
	}{
		"report to the sender fails": {"ann@example.org www-data@web1", "www-data@web1", "admin@example.com", []string{"admin@example.com"}, 2},
		"report is delivered":        {"ann@example.org", "www-data@web1", "admin@example.com", []string{"www-data@web1"}, 1},
		"null sender":                {"ann@example.org", "", "admin@example.com", []string{"admin@example.com"}, 1},
		"that fails, too":            {"ann@example.org www-data@web1 admin@example.com", "www-data@web1", "admin@example.com", nil, 3},
		"to the postmaster himself":  {"ann@example.org admin@example.com", "admin@Example.com", "admin@example.com", nil, 2},
		"no postmaster":              {"ann@example.org www-data@web1", "www-data@web1", "", nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				relay := &smtptest.Relay{Reply: func(verb, arg string) string {
					if verb == "RCPT" && strings.Contains(row.refuse, strings.ToLower(arg)) {
						return "550 5.1.1 no such user"
					}
					return ""
				}}
				drop(t, dir, "m", `X-Spoolgore-Envelope: {"from":"`+row.from+"\",\"to\":[\"ann@example.org\"]}\nFrom: a@web1\nSubject: hello\n\nhello\n")
				_, stop := begin(t, dir, Options{Dial: relay.Dial, Postmaster: row.postmaster})
				pass(time.Hour)
				stop()
				var got []string
				for _, m := range relay.Messages() {
					is.Equal(m.From, "")
					got = append(got, m.To...)
				}
				is.Equal(got, row.got)
				is.Equal(len(ls(t, dir, "failed")), 2*row.failed) // each message in failed/ has a why-file
				is.Equal(ls(t, dir, "tmp"), nil)
			})
		})
	}
}
