package smtppool

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// A message that is to be sent in another way is offered again at once, also if the connection goes on and carries
// other messages all the time.
func TestOfferInAnotherWayDoesNotWait(t *testing.T) {
	for name, refusal := range map[string]func(verb, arg string) string{
		"parameters":  once("MAIL", "555 5.5.4 unsupported option"),
		"null sender": always("MAIL", "", ""),
		"recipients":  once("DATA", "554 Transaction failed: Recipient count exceeds 1."),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				relay := &smtptest.Relay{Ext: []string{"SIZE", "PIPELINING"}, Reply: func(verb, arg string) string {
					if name == "null sender" && verb == "MAIL" && arg == "" {
						return "501 5.5.4 no null sender"
					}
					return refusal(verb, arg)
				}}
				r := newRelay(t, relay.Dial, 1)
				r.connector.client.ReportFrom = "reports@x.org"
				first := mail("first@x.org")
				if name == "null sender" {
					first = mail("")
				}
				first.To = []string{"a@example.org", "b@example.org"}
				began, took := time.Now(), make(chan time.Duration, 1)
				r.Offer(t.Context(), first, func([]attempt.Outcome) { took <- time.Since(began) })
				for i := range 60 { // the connection is never idle for long
					time.Sleep(time.Second)
					is.Equal(offerTo(r, mail(fmt.Sprintf("a%d@x.org", i)))[0].Err, nil)
				}
				is.True(<-took < time.Second)
			})
		})
	}
}
