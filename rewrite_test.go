package spoolgore

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// contentOf returns the content of a file of the spool.
func contentOf(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	check(t, err)
	return string(text)
}

// sizeOf returns the SIZE parameter of MAIL.
func sizeOf(m smtptest.Message) string {
	for _, p := range m.MailParams {
		if size, ok := strings.CutPrefix(p, "SIZE="); ok {
			return size
		}
	}
	return ""
}

func TestFromIsReplacedAtDelivery(t *testing.T) {
	t.Parallel()
	for name, ext := range map[string][]string{
		"DATA": {"SIZE", "8BITMIME"}, "chunks": {"SIZE", "PIPELINING", "CHUNKING"}, "7-bit relay": {"SIZE"},
	} {
		for kind, body := range map[string]string{"small": "hello\n", "8-bit": "grüße\n", "large": strings.Repeat("line of the body\n", 20_000)} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					is := is.New(t)
					dir, relay := t.TempDir(), &smtptest.Relay{Ext: ext}
					drop(t, dir, "m", "From: \"Web Shop\" <www-data@web1.local>\nTo: ann@example.org\nSubject: hello\n\n"+body)
					_, stop := begin(t, dir, Options{Dial: relay.Dial, Rewrite: Rewrite{From: "app@example.com", Sender: "bounce@example.com"}})
					pass(time.Second)
					stop()
					is.Equal(len(relay.Messages()), 1)
					m := relay.Messages()[0]
					is.Equal(m.From, "bounce@example.com")
					if kind != "8-bit" || name != "7-bit relay" {
						is.Equal(sizeOf(m), fmt.Sprint(len(m.Data))) // SIZE is exact
					}
					is.True(strings.Contains(string(m.Data), "\r\nFrom: \"Web Shop\" <app@example.com>\r\nReply-To: www-data@web1.local\r\nTo: ann@example.org\r\n"))
					is.True(!exists(dir, "m")) // sent
				})
			})
		}
	}
}

// The waiting file, and the content in a report, are the message as the program wrote it.
func TestTheFileStaysAsItWasWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const text = "From: www-data@web1.local\nTo: bad@example.org\nMessage-ID: <1@x>\n\nhello\n"
		dir, relay := t.TempDir(), refusing(map[string]string{"bad@example.org": "550 5.1.1 no such user"})
		drop(t, dir, "m", text)
		s, stop := begin(t, dir, Options{Dial: relay.Dial, Rewrite: Rewrite{From: "app@example.com"}})
		pass(time.Second)
		is.Equal(contentOf(t, dir, "failed/m"), text)
		got := reports(t, relay)
		is.Equal(len(got), 1)
		is.Equal(got[0].env.GetHeader("To"), "<www-data@web1.local>") // the sender of the file
		is.True(strings.Contains(got[0].text, "From: www-data@web1.local\r\n"))
		is.NoErr(s.Reconfigure(exact(Options{SMTPAddr: "smarthost.test:25", Dial: relay.Dial}))) // without rewriting
		drop(t, dir, "n", "From: www-data@web1.local\nTo: ann@example.org\n\nhello\n")
		pass(time.Minute)
		stop()
		m := relay.Messages()[len(relay.Messages())-1]
		is.Equal(m.From, "www-data@web1.local")
	})
}

func TestEachRelayHasItsSender(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{Reply: func(verb, arg string) string {
			if verb == "DIAL" && strings.HasPrefix(arg, "first.test") {
				return "connection refused"
			}
			return ""
		}}
		opts := Options{Dial: relay.Dial, Rewrite: Rewrite{Sender: "all@example.com", Senders: []AddressPair{{"@web2.local", "@example.com"}}}}
		opts.Routes = []Route{
			{Sender: "@shop.local", SMTPAddr: "first.test:25,second.test:25", EnvelopeSender: "shop@example.net"},
			{Sender: "@web2.local", SMTPAddr: "third.test:25", HeaderFrom: "web2@example.net"},
		}
		for _, host := range []string{"shop.local", "web1.local", "web2.local"} {
			drop(t, dir, host, "From: a@"+host+"\nTo: b@x.org\n\nx\n")
		}
		_, stop := begin(t, dir, opts)
		pass(time.Minute)
		stop()
		got := map[string]string{}
		for _, m := range relay.Messages() {
			data := string(m.Data)
			got[m.From] = data[strings.Index(data, "From: "):strings.Index(data, "To: b@")]
		}
		is.Equal(got, map[string]string{
			"shop@example.net": "From: a@shop.local\r\n", // by the second relay of the route
			"all@example.com":  "From: a@web1.local\r\n",
			"web2@example.net": "From: web2@example.net\r\nReply-To: a@web2.local\r\n",
		})
	})
}

func TestRedirectSendsOneCopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, seen := t.TempDir(), &smtptest.Relay{}, &events{}
		drop(t, dir, "m", "From: app@staging.example\nTo: Ann <ann@example.org>, bob@example.org\nCc: broken@\n\nhello\n")
		s, stop := begin(t, dir, Options{Dial: relay.Dial, OnEvent: seen.add, NoReports: true, Rewrite: Rewrite{Redirect: "qa@example.com"}})
		pass(time.Second)
		is.Equal(len(relay.Messages()), 1)
		m := relay.Messages()[0]
		is.Equal(m.To, []string{"qa@example.com"})
		is.Equal(sizeOf(m), fmt.Sprint(len(m.Data)))
		is.True(strings.Contains(string(m.Data), "X-Original-To: ann@example.org\r\nX-Original-To: bob@example.org\r\n"))
		// the header is not changed
		is.True(strings.Contains(string(m.Data), "To: Ann <ann@example.org>, bob@example.org\r\n"))
		// events name the original recipient
		is.Equal(seen.kinds("ann@example.org"), "queued sent")
		is.Equal(seen.kinds("bob@example.org"), "queued sent")
		why := whyFile(t, dir, "m")
		is.Equal(why.To[0].Status, StateDone)
		is.True(!why.To[0].GivenUp)
		is.True(why.Cc[0].GivenUp) // an invalid address is given up, also with a redirect
		is.Equal(len(s.Status()), 0)
		stop()
	})
}

// With a redirect, all recipients wait until the redirect address accepts one copy. Waiting recipients go to their own
// addresses when Reconfigure removes the redirect.
func TestRedirectThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"qa@example.com": "451 4.2.0 later"})
		drop(t, dir, "m", "From: app@staging.example\nTo: ann@example.org, bob@example.org\n\nhello\n")
		s, stop := begin(t, dir, Options{Dial: relay.Dial, Rewrite: Rewrite{Redirect: "qa@example.com"}})
		pass(time.Second)
		waiting := one(t, s.Status())
		is.Equal(len(waiting.To), 2)
		for _, r := range waiting.To {
			is.Equal(r.Status, StateWaiting)
			is.Equal(r.Attempts, 1)
			is.True(strings.Contains(r.Error, "451 4.2.0 later"))
		}
		is.NoErr(s.Reconfigure(exact(Options{SMTPAddr: "smarthost.test:25", Dial: relay.Dial})))
		s.Flush()
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 1)
		is.Equal(relay.Messages()[0].To, []string{"ann@example.org", "bob@example.org"})
		is.True(!strings.Contains(string(relay.Messages()[0].Data), "X-Original-To"))
	})
}

func TestRedirectAndWishesForReports(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ notify, param, report string }{
		"no wish":     {`[]`, "", ""},
		"success":     {`["SUCCESS","NEVER"]`, "", "ann@example.org relayed"},
		"never":       {`["NEVER","NEVER"]`, "NOTIFY=NEVER", ""},
		"of failures": {`["FAILURE","DELAY"]`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &smtptest.Relay{Ext: []string{"DSN", "SIZE"}}
				drop(t, dir, "m", fmt.Sprintf(enveloped, `{"from":"app@x.org","to":["ann@example.org","bob@example.org"],"notify":`+row.notify+
					`,"orcpt":["rfc822;ann@example.org"]}`))
				_, stop := begin(t, dir, Options{Dial: relay.Dial, Rewrite: Rewrite{Redirect: "qa@example.com"}})
				pass(time.Minute)
				stop()
				is.Equal(relay.Messages()[0].RcptParams, []string{row.param}) // no parameter of a single recipient
				report := ""
				for _, m := range relay.Messages()[1:] {
					is.Equal(m.To, []string{"qa@example.com"}) // a report is redirected, too
					is.True(strings.Contains(string(m.Data), "X-Original-To: app@x.org\r\n"))
					is.True(strings.Contains(string(m.Data), "Final-Recipient: rfc822; ann@example.org\r\nAction: relayed\r\n"))
					report = "ann@example.org relayed"
				}
				is.Equal(report, row.report)
			})
		})
	}
}

// A Transport of the application gets the rewritten message.
func TestTransportGetsTheRewrittenMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var got *Transaction
		var text []byte
		transport := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			got = tx
			text, _ = io.ReadAll(tx.Content())
			return make([]Result, len(tx.To))
		})
		drop(t, dir, "m", "From: www-data@web1.local\nTo: ann@example.org, bob@example.org\n\nhello\n")
		_, stop := begin(t, dir, Options{Transport: transport, Rewrite: Rewrite{From: "ä@bücher.example", Redirect: "qa@example.com"}})
		pass(time.Second)
		stop()
		is.Equal(got.From, "ä@bücher.example")
		is.Equal(got.To, []string{"qa@example.com"})
		is.Equal(got.Size, int64(len(text)))
		is.True(got.UTF8) // the From field has letters outside of ASCII
		is.True(strings.Contains(string(text), "From: ä@bücher.example\r\n"))
		is.True(!exists(dir, "m"))
	})
}

func TestBadRewriteIsRefused(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	for _, w := range []Rewrite{{Sender: "app"}, {Allow: []string{"x"}}, {Copies: []AddressPair{{"*", "x"}}}, {Senders: []AddressPair{{"@a", "@*"}}}} {
		err := New(t.TempDir(), Options{SMTPAddr: "smarthost.test:25", Rewrite: w}).Run(t.Context())
		is.True(err != nil)
	}
	err := New(t.TempDir(), Options{SMTPAddr: "a.test:25", Routes: []Route{{Sender: "@x", SMTPAddr: "b.test:25", HeaderFrom: "x"}}}).Run(t.Context())
	is.True(err != nil)
}
