package spoolgore

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// Messages have many recipients, some of them refused, some deferred once. An ideal sender needs one transaction for
// each message, and one more if there is a deferred recipient. The daemon needs few more.
func TestTransactionsOfMessagesWithManyRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const messages, recipients = 250, 50
		random := rand.New(rand.NewPCG(1, 2))
		dir, perfect := t.TempDir(), messages
		refused, deferred := make(map[string]bool), make(map[string]bool)
		for m := range messages {
			var to []string
			again := 0
			for r := range recipients {
				addr := fmt.Sprintf("r%d-%d@example.org", m, r)
				to = append(to, addr)
				switch n := random.IntN(100); {
				case n < 5:
					refused[addr] = true
				case n < 10:
					deferred[addr], again = true, 1
				}
			}
			perfect += again
			text := "From: a@example.com\nTo: %s\nMessage-ID: <%d@example.com>\n\nx\n"
			drop(t, dir, fmt.Sprintf("m%04d", m), fmt.Sprintf(text,
				strings.Join(to, ",\n "), m))
		}
		var mu sync.Mutex
		transactions, offers := 0, 0
		relay := &smtptest.Relay{Ext: []string{"PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"}, Reply: func(verb, addr string) string {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case verb == "MAIL" && addr != "": // a report has the null sender
				transactions++
			case verb != "RCPT" || addr == "a@example.com":
			case refused[addr]:
				offers++
				return "550 5.1.1 no such user"
			case deferred[addr]:
				offers++
				delete(deferred, addr)
				return "450 4.2.0 mailbox busy"
			default:
				offers++
			}
			return ""
		}}
		wanted := messages*recipients + len(deferred)
		_, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(2 * time.Hour)
		stop()
		t.Logf("%d transactions, an ideal sender %d; %d offers of recipients, want %d", transactions, perfect, offers, wanted)
		is.True(transactions >= perfect)
		is.True(float64(transactions) <= 1.2*float64(perfect))
		is.Equal(offers, wanted) // each recipient is offered as often as needed
		is.Equal(len(deferred), 0)
	})
}

// Recipients for whom a transaction has no room do not wait for those before them, whom the relay refuses for now.
func TestRecipientsBehindARefusedOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			if verb == "RCPT" && arg == "many00000@example.org" {
				return "452 4.2.2 mailbox full"
			}
			return ""
		}}
		dir := t.TempDir()
		drop(t, dir, "m", many(4))
		s, stop := start(t, dir, Options{Dial: relay.Dial, SMTP: SMTP{Recipients: 1}})
		pass(30 * time.Second)
		is.Equal(len(relay.Messages()), 3)
		is.Equal(one(t, s.Status()).To[0].Attempts, 1)
		stop()
	})
}
