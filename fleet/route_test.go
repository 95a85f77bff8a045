package fleet

import (
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// message.
func TestARelayThatIsDownHoldsUpNoOtherRecipient(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	q := open(t, Options{})
	opts := options(relay)
	opts.SMTPAddr, opts.Dial, opts.SMTP.TLS = relay.Listen(t), nil, "none"
	opts.Routes = []spoolgore.Route{{Sender: "to:@down.example.org", SMTPAddr: "127.0.0.1:1"}} // refuses connections
	work(t, q, opts)
	put(t, q, spoolgore.Envelope{From: "a@example.com", To: []string{"x@down.example.org", "b@example.org"}}, mail("one"))
	eventually(t, "the reachable recipient has the message", func() bool { return len(relay.Messages()) == 1 })
	is.Equal(subjects(relay), map[string]int{"one b@example.org": 1})
	is.Equal(rows(t, q), 1)
}
