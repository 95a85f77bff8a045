//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A limited relay has a limit that no extension announces.
type limited struct {
	fact  string // text of the limit in the log and in commands
	relay *smtptest.Relay
	args  []string
	to    int // recipients of each message; zero: one
	most  int // connections at the same time; zero: any number
}

// limitedRelays returns a relay for each kind of limit.
func limitedRelays() map[string]limited {
	return map[string]limited{
		"CHUNKING": {
			fact:  "offers CHUNKING and does not support it",
			relay: &smtptest.Relay{Ext: []string{"PIPELINING", "CHUNKING"}, NoBDAT: true},
		},
		"PIPELINING": {
			fact: "offers PIPELINING and does not support it", relay: &smtptest.Relay{
				Ext: []string{"PIPELINING"}, Reply: withoutPipelining(),
			}, args: []string{"-concurrency", "1"},
		},
		"messages per connection": {
			fact:  "ends a connection after 3 messages",
			relay: &smtptest.Relay{Ext: []string{"PIPELINING"}, Reply: endsAfter(3)}, args: []string{"-concurrency", "1"},
		},
		"recipients per transaction": {
			fact:  "accepts 5 recipients in a transaction",
			relay: &smtptest.Relay{Ext: []string{"PIPELINING"}, Reply: fewRecipients(5)}, args: []string{"-concurrency", "1"}, to: 8,
		},
		"connections": {
			fact: "accepts 2 connections", most: 2, args: []string{"-concurrency", "10"},
			relay: &smtptest.Relay{Reply: func(verb, _ string) string {
				if verb == "END" {
					time.Sleep(20 * time.Millisecond) // a relay that replies quickly gets no further connections
				}
				return ""
			}},
		},
	}
}

// withoutPipelining returns a script that refuses the first RCPT, which arrives together with MAIL. The next RCPT
// arrives alone.
func withoutPipelining() func(verb, arg string) string {
	var refused atomic.Bool
	return func(verb, _ string) string {
		if verb == "RCPT" && !refused.Swap(true) {
			return "503 5.5.1 need MAIL before RCPT"
		}
		return ""
	}
}

// endsAfter returns a script that ends each connection at the MAIL after n messages, for one connection at a time.
func endsAfter(n int32) func(verb, arg string) string {
	var count atomic.Int32
	return func(verb, _ string) string {
		switch verb {
		case "EHLO":
			count.Store(0)
		case "END":
			count.Add(1)
		case "MAIL":
			if count.Load() >= n {
				return "421 4.7.0 too many messages on this connection|close"
			}
		}
		return ""
	}
}

// fewRecipients returns a script that refuses each recipient after n of a transaction, for one connection at a time.
func fewRecipients(n int32) func(verb, arg string) string {
	var count atomic.Int32
	return func(verb, _ string) string {
		switch verb {
		case "MAIL":
			count.Store(0)
		case "RCPT":
			if count.Add(1) > n {
				return "452 4.5.3 too many recipients"
			}
		}
		return ""
	}
}

// narrow listens in front of a relay, and refuses each connection beyond most with 421.
func narrow(t *testing.T, addr string, most int32) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var open atomic.Int32
	var all sync.WaitGroup
	serve := func(client net.Conn) {
		defer client.Close()
		if open.Add(1); open.Load() > most {
			_, _ = io.WriteString(client, "421 4.7.0 too many connections\r\n")
			open.Add(-1)
			return
		}
		defer open.Add(-1)
		server, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer server.Close()
		all.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
		_, _ = io.Copy(server, client)
	}
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// TestLearntLimitsAreShown runs a daemon that learns each kind of limit. The log names the limit, and list, check,
// stats, the page and explain -probe show it.
func TestLearntLimitsAreShown(t *testing.T) {
	t.Parallel()
	for name, l := range limitedRelays() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testLimitIsShown(t, l)
		})
	}
}

// TestEndOfConnectionsIsLearnt has a relay end each connection after 3 messages in a way other than 421 to MAIL.
func TestEndOfConnectionsIsLearnt(t *testing.T) {
	t.Parallel()
	for ext, keywords := range map[string][]string{
		"plain": {}, "pipelining": {"PIPELINING"}, "chunking": {"PIPELINING", "CHUNKING"},
	} {
		for name, ways := range map[string][2]string{
			"421": {"MAIL", "421 4.7.0 too many messages on this connection|close"}, "close": {"MAIL", "close"},
			"421 unasked": {"END", "250 2.0.0 ok\r\n421 4.7.0 bye|close"}, "close unasked": {"END", "250 2.0.0 ok|close"},
		} {
			t.Run(ext+"/"+name, func(t *testing.T) {
				t.Parallel()
				testLimitIsShown(t, limited{
					fact:  "ends a connection after 3 messages",
					relay: &smtptest.Relay{Ext: keywords, Reply: endsIn(ways[0], ways[1])}, args: []string{"-concurrency", "1"},
				})
			})
		}
	}
}

// endsIn returns a script that ends each connection with the third reply to END, or the reply to the fourth MAIL.
func endsIn(at, reply string) func(verb, arg string) string {
	var count atomic.Int32
	return func(verb, _ string) string {
		if verb == "EHLO" {
			count.Store(0)
		}
		if verb == "END" {
			count.Add(1)
		}
		if verb == at && count.Load() >= 3 {
			return reply
		}
		return ""
	}
}

func testLimitIsShown(t *testing.T, l limited) {
	is := is.New(t)
	spool, addr := t.TempDir(), l.relay.Listen(t)
	if l.most > 0 {
		addr = narrow(t, addr, int32(l.most))
	}
	to := []string{"ann@example.org"}
	for i := range l.to {
		to = append(to, fmt.Sprintf("b%d@example.org", i))
	}
	field := "To: " + strings.Join(to, ", ")
	const messages = 12
	for i := range messages {
		drop(t, spool, fmt.Sprintf("%02d.eml", i), mail(field))
	}
	args := append([]string{"-smtpaddr", addr, "-http", "0"}, l.args...)
	d := start(t, append(args, spool)...)
	// Connections that end without a reply show their limit only when there is later mail.
	learnt, n := `msg="relay has a limit" relay=`+addr+` limit="`+l.fact+`"`, messages
	eventually(t, "the limit is learnt: "+learnt, func() bool {
		last := filepath.Join(spool, fmt.Sprintf("%02d.eml", n))
		if _, err := os.Lstat(last); err != nil && n < 100*messages {
			n++
			drop(t, spool, fmt.Sprintf("%02d.eml", n), mail(field))
		}
		return strings.Contains(d.log.String(), learnt)
	})
	must(t, os.MkdirAll(filepath.Join(spool, "hold"), 0o700))
	held := filepath.Join(spool, "hold", "held.eml")
	must(t, os.WriteFile(held, []byte(mail(field)), 0o600))
	url := "http://" + regexp.MustCompile(`msg="HTTP server started" addr=(\S+)`).FindStringSubmatch(d.log.String())[1]
	shows := func(args ...string) {
		t.Helper()
		eventually(t, "spoolgore "+strings.Join(args, " ")+" shows the limit", func() bool {
			r := operate(t, args...)
			return strings.Contains(r.out+r.err, l.fact)
		})
	}
	shows("list", spool)
	shows("check", spool)
	shows("stats", spool)
	shows("explain", "-probe", "-smtpaddr", addr, held)
	eventually(t, "the page shows the limit", func() bool { return strings.Contains(fetch(t, url+"/status", ""), l.fact) })
	d.stop()
	is.Equal(strings.Count(d.log.String(), `limit="`+l.fact+`"`), 1) // the limit is logged once
}
