package spoolgore

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

const twoRoutes = "From: ann@example.com\nTo: bob@example.org, carl@corp.example\nCc: dora@CORP.example\n\nhi\n"

// A recipient with a route of its own gets the message by that route, whatever the outcome of the other recipients.
func TestRecipientsTakeTheirRoutes(t *testing.T) {
	for _, test := range []struct {
		name string
		down string // the relay that cannot be reached
		late string // the relay that defers the first attempt of each recipient
	}{{"both well", "", ""}, {"route of the sender down", "main.", ""}, {"route of the recipient down", "corp.", ""},
		{"deferred by one", "", "corp."}, {"deferred by the other", "", "main."}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				var mu sync.Mutex
				up := test.down == ""
				host, seen := "", map[string]bool{}
				accepted := map[string][]string{}
				relay := &smtptest.Relay{}
				relay.Reply = func(verb, arg string) string {
					mu.Lock()
					defer mu.Unlock()
					switch {
					case verb == "DIAL" && !up && strings.HasPrefix(arg, test.down):
						return "connection refused"
					case verb == "DIAL":
						host, _, _ = strings.Cut(arg, ".")
					case verb == "RCPT" && host+"." == test.late && !seen[arg]:
						seen[arg] = true
						return "450 4.2.1 later"
					case verb == "RCPT":
						accepted[host] = append(accepted[host], arg)
					}
					return ""
				}
				dir := t.TempDir()
				drop(t, dir, "m", twoRoutes)
				_, stop := start(t, dir, Options{
					Dial: relay.Dial, SMTPAddr: "main.test:25", Concurrency: 1, SMTP: SMTP{Idle: time.Millisecond},
					Routes: []Route{{Sender: "to:@corp.example", SMTPAddr: "corp.test:25"}},
				})
				pass(10 * time.Second)
				mu.Lock()
				if test.down != "main." && test.late != "main." {
					is.Equal(accepted["main"], []string{"bob@example.org"}) // the relay that is down does not delay bob
				}
				if test.down != "corp." && test.late != "corp." {
					// both in one transaction
					is.Equal(accepted["corp"], []string{"carl@corp.example", "dora@CORP.example"})
				}
				up = true
				mu.Unlock()
				pass(20 * time.Minute)
				stop()
				is.Equal(accepted, map[string][]string{
					"main": {"bob@example.org"}, "corp": {"carl@corp.example", "dora@CORP.example"},
				}) // each recipient once
				is.True(!exists(dir, "m")) // every recipient has accepted the message
			})
		})
	}
}
