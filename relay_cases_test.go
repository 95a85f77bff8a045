package spoolgore

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A relayCase is a relay that refuses good mail for a while.
type relayCase struct {
	reply func(began time.Time) func(verb, arg string) string
	most  time.Duration // the longest time until every message is delivered
	tries int           // limit for the number of transactions with the relay
}

// quota returns a script that accepts n messages, and then refuses each at a verb until a time has passed.
func quota(n int, verb, reply string, closed time.Duration) func(time.Time) func(string, string) string {
	return func(began time.Time) func(string, string) string {
		var mu sync.Mutex
		accepted := 0
		return func(v, _ string) string {
			mu.Lock()
			defer mu.Unlock()
			if v == verb && accepted >= n && time.Since(began) < closed {
				return reply
			}
			if v == "END" {
				accepted++
			}
			return ""
		}
	}
}

// hourly returns a script that accepts n messages in each hour.
func hourly(n int, reply string) func(time.Time) func(string, string) string {
	return func(began time.Time) func(string, string) string {
		var mu sync.Mutex
		accepted := map[time.Duration]int{}
		return func(v, _ string) string {
			mu.Lock()
			defer mu.Unlock()
			if v != "END" {
				return ""
			}
			hour := time.Since(began).Truncate(time.Hour)
			if accepted[hour] == n {
				return reply
			}
			accepted[hour]++
			return ""
		}
	}
}

// greylist returns a script that refuses each recipient at a verb until a time has passed since the first attempt.
func greylist(verb, reply string, closed time.Duration) func(time.Time) func(string, string) string {
	return func(time.Time) func(string, string) string {
		var mu sync.Mutex
		first, to := map[string]time.Time{}, ""
		return func(v, arg string) string {
			mu.Lock()
			defer mu.Unlock()
			if v == "RCPT" {
				to = arg
			}
			if v != verb {
				return ""
			}
			if first[to].IsZero() {
				first[to] = time.Now()
			}
			if time.Since(first[to]) < closed {
				return reply
			}
			return ""
		}
	}
}

var relayCases = map[string]relayCase{
	"quota of a day at the end of the data": {
		quota(10, "END", "550 5.4.5 Daily user sending limit exceeded.", 24*time.Hour), 26 * time.Hour, 80},
	"550 for half an hour at RCPT": {
		quota(5, "RCPT", "550-Requested action not taken: mailbox unavailable\r\n550 Failure sending mail. Try again later.", 30*time.Minute),
		2 * time.Hour, 40},
	"quota of an hour": {
		hourly(5, "550 Domain x.org has exceeded the max emails per hour (5/5 (100%)) allowed. Message discarded."),
		8 * time.Hour, 150},
	"greylist at RCPT for 5 minutes": {
		greylist("RCPT", "450 4.2.0 Recipient address rejected: Greylisted", 5*time.Minute), 12 * time.Minute, 120},
	"greylist at the end of the data": {
		greylist("END", "451 4.7.1 Greylisting in action, please come back in 00:05:00", 5*time.Minute), 30 * time.Minute, 200},
}

// Good mail that a relay refuses for a while is delivered soon after, once, with few attempts and without a report.
func TestRelayThatRefusesForAWhile(t *testing.T) {
	t.Parallel()
	for name, c := range relayCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testRelayCase(t, c) })
		})
	}
}

func testRelayCase(t *testing.T, c relayCase) {
	is := is.New(t)
	dir := t.TempDir()
	relay := &smtptest.Relay{Ext: []string{"PIPELINING"}, Reply: c.reply(time.Now())}
	const messages = 20
	for i := range messages {
		drop(t, dir, fmt.Sprint(i), fmt.Sprintf("From: a@x.org\nTo: b%d@y.org\n\nhello\n", i))
	}
	failed := 0
	_, stop := start(t, dir, Options{Dial: relay.Dial, Concurrency: 1, OnEvent: func(e Event) {
		if e.Kind == EventFailed {
			failed++
		}
	}})
	began := time.Now()
	for len(relay.Messages()) < messages && time.Since(began) < c.most {
		pass(time.Minute)
	}
	took := time.Since(began)
	pass(time.Hour)
	stop()
	tries := 0
	for _, command := range relay.Commands() {
		if len(command) > 4 && command[:4] == "MAIL" {
			tries++
		}
	}
	t.Logf("%v, %d transactions", took, tries)
	is.Equal(failed, 0)
	is.Equal(len(relay.Messages()), messages) // each message once, and no report
	is.True(took < c.most)
	is.True(tries <= c.tries)
}
