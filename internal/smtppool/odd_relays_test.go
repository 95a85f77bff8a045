package smtppool

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// An oddRelay is a kind of relay in real use that breaks an RFC in one respect.
type oddRelay struct {
	ext   []string
	reply func(verb, arg string) string
	users map[string]string
	to    int // recipients of each message; zero: one
}

// always returns a script that refuses a verb if its argument contains part.
func always(verb, part, reply string) func(string, string) string {
	return func(v, arg string) string {
		if v == verb && strings.Contains(arg, part) {
			return reply
		}
		return ""
	}
}

// afterRecipients returns a script that replies to each RCPT after n recipients of a transaction.
func afterRecipients(n int, reply string) func(string, string) string {
	var mu sync.Mutex
	seen := 0
	return func(v, _ string) string {
		mu.Lock()
		defer mu.Unlock()
		switch v {
		case "MAIL":
			seen = 0
		case "RCPT":
			if seen++; seen > n {
				return reply
			}
		}
		return ""
	}
}

// once returns a script that replies to the first occurrence of a verb.
func once(verb, reply string) func(string, string) string {
	var seen atomic.Bool
	return func(v, _ string) string {
		if v == verb && !seen.Swap(true) {
			return reply
		}
		return ""
	}
}

// afterCount returns a script that replies to a verb after n commands on a connection. Only one connection may be open.
func afterCount(counted, verb string, n int32, reply string) func(string, string) string {
	var count atomic.Int32
	return func(v, _ string) string {
		switch {
		case v == "CONNECT":
			count.Store(0)
		case v == verb && count.Load() >= n:
			return reply
		}
		if v == counted {
			count.Add(1)
		}
		return ""
	}
}

var oddRelays = map[string]oddRelay{
	// broken extensions
	"names of extensions in lower case": {ext: []string{"pipelining", "chunking", "8bitmime", "size 1000000"}},
	"SIZE that is no number":            {ext: []string{"PIPELINING", "SIZE unlimited"}},
	"SIZE 0, which is no limit":         {ext: []string{"SIZE 0"}},
	"SIZE beyond 64 bits":               {ext: []string{"SIZE 99999999999999999999"}},
	"BDAT refused by a proxy": {
		ext: modes["chunking"], reply: always("BDAT", "", "554 5.5.1 Error: command not supported by this proxy")},
	"content by BDAT refused by a proxy": {
		ext: modes["chunking"], reply: always("BDAT", "LAST", "554 5.3.3 BDAT is not supported")},
	"content by BDAT refused as unknown feature": {
		ext: modes["chunking"], reply: always("BDAT", "LAST", "550 5.6.1 chunking not implemented")},
	"HELO only":        {ext: []string{"8BITMIME"}, reply: always("EHLO", "", "500 unknown")},
	"RSET not known":   {ext: modes["pipelining"], reply: always("RSET", "", "502 5.5.1 not implemented")},
	"354 to each BDAT": {ext: modes["chunking"], reply: always("BDAT", "", "354 go ahead")},
	"DATA refused once, in a flight": {
		ext: modes["pipelining"], reply: once("DATA", "503 5.5.1 bad sequence of commands")},
	// messages on a connection
	"421 to the third RSET":       {ext: modes["pipelining"], reply: afterCount("RSET", "RSET", 2, "421 4.7.0 too many resets|close")},
	"451 Mails per session limit": {ext: modes["chunking"], reply: afterCount("END", "MAIL", 3, "451-Requested action aborted\r\n451 Mails per session limit exceeded.")},
	// several recipients
	"550 5.5.3 after 10 recipients": {
		ext: modes["pipelining"], to: 25, reply: afterRecipients(10, "550 5.5.3 Too many recipients")},
	"550 without a code after 10": {
		ext: modes["chunking"], to: 25, reply: afterRecipients(10, "550 Requested action not taken: too many recipients")},
	"451 4.5.3 after 10": {ext: modes["plain"], to: 25, reply: afterRecipients(10, "451 4.5.3 recipients limit exceeded")},
	"503 after 10":       {ext: modes["plain"], to: 25, reply: afterRecipients(10, "503 5.5.1 Too many recipients, send DATA")},
	"421 after 10": {
		ext: modes["pipelining"], to: 25, reply: afterRecipients(10, "421 4.5.3 Too many recipients in this session|close")},
	// login
	"login names in lower case": {ext: []string{"auth plain login"}, users: map[string]string{"ann": "secret"}},
	"PLAIN without an initial response": {
		ext: []string{"AUTH PLAIN"}, users: map[string]string{"ann": "secret"}, reply: plainInTwoSteps()},
	"LOGIN that wants no initial response": {ext: []string{"AUTH LOGIN"}, users: map[string]string{"ann": "secret"}},
	"CRAM-MD5 with a bad challenge": {
		ext: []string{"AUTH CRAM-MD5 LOGIN"}, users: map[string]string{"ann": "secret"},
		reply: always("AUTH", "CRAM-MD5", "334 !not base64")},
	"login accepted with 250": {
		ext: []string{"AUTH PLAIN"}, users: map[string]string{"ann": "secret"}, reply: always("AUTH", "PLAIN", "250 ok")},
}

// plainInTwoSteps ignores the initial response of AUTH PLAIN and asks for it, as servers before RFC 2554 do.
func plainInTwoSteps() func(string, string) string {
	asked := false
	return func(verb, arg string) string {
		if verb != "AUTH" {
			return ""
		}
		if strings.HasPrefix(arg, "PLAIN") {
			asked = true
			return "334 "
		}
		if asked && arg != "" && arg != "*" {
			return "235 2.7.0 ok"
		}
		return "535 5.7.8 no"
	}
}

// All mail to an odd relay is accepted soon, and no failed attempt is counted.
func TestOddRelays(t *testing.T) {
	for name, odd := range oddRelays {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testOddRelay(t, odd) })
		})
	}
}

func testOddRelay(t *testing.T, odd oddRelay) {
	is := is.New(t)
	relay := &smtptest.Relay{Ext: odd.ext, Reply: odd.reply, Users: odd.users}
	config := smtpclient.Config{LocalName: "me.example.com"}
	o := Options{Addr: "127.0.0.1:25", Dial: relay.Dial, Concurrency: 1, Client: config}
	if odd.users != nil {
		password := func(context.Context, bool) (string, error) { return "secret", nil }
		o.Client.Auth, o.Client.Local = smtpclient.Credentials{User: "ann", Password: password}.Auth(), true
	}
	r, err := New(o)
	is.NoErr(err)
	defer r.Close()
	count := 0
	for range 3 {
		waiting := []string{}
		for i := range max(odd.to, 1) {
			waiting = append(waiting, strings.Repeat("b", i+1)+"@x.org")
		}
		for tries := 0; len(waiting) > 0; tries++ {
			is.True(tries < 4) // a few attempts for all recipients
			m := mail("a@x.org")
			m.To = waiting
			var rest []string
			for i, result := range offerTo(r, m) {
				if result.Err == nil {
					count++
					continue
				}
				t.Logf("%s: %v (%v)", m.To[i], result.Err, result.Fault)
				is.Equal(result.Fault.String(), "none") // no attempt is counted
				rest = append(rest, m.To[i])
			}
			waiting = rest
		}
		time.Sleep(time.Minute)
	}
	is.Equal(count, 3*max(odd.to, 1)) // every recipient has every message
	served := 0
	for _, m := range relay.Messages() {
		served += len(m.To)
	}
	is.Equal(served, count) // no second copies
	if odd.to == 0 {
		is.Equal(len(failures(deliver(r, 20))), 0) // with several messages in a flight
		is.Equal(len(relay.Messages()), count+20)
	}
}
