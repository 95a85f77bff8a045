package spoolgore

import (
	"errors"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

func TestFaultHasTheNumbersOfAttempt(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	for f, want := range map[attempt.Fault]Fault{
		attempt.None: FaultNone, attempt.Relay: FaultRelay, attempt.Message: FaultMessage, attempt.Recipient: FaultRecipient,
	} {
		is.Equal(Fault(f), want)
		is.Equal(f.String(), want.String()) // status files and logs hold the text
	}
	is.Equal(Fault(attempt.Recipient+1).String(), "Fault(4)") // the conversion covers all faults
}

func TestResultsOfSMTPOutcomes(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	refusal, cause := errors.New("550 5.1.1 no"), errors.New("timeout")
	got := smtpResults([]attempt.Outcome{
		{Relay: "r.test:25", Reply: attempt.Reply{Code: 250, Text: "queued"}, TLS: "TLS 1.3", DSN: true},
		{
			Relay: "r.test:25", Fault: attempt.Recipient, Permanent: true, Op: attempt.OpRcpt, Err: refusal,
			Reply: attempt.Reply{Code: 550, Enhanced: "5.1.1", Text: "no"},
		},
		{Relay: "r.test:25", Fault: attempt.Message, Uncertain: true, Op: attempt.OpEnd, Err: cause},
	})
	is.Equal(got, []Result{
		{Relay: "r.test:25", Reply: "250 queued", TLS: "TLS 1.3", DSN: true},
		{Relay: "r.test:25", Reply: "550 5.1.1 no", Err: &DeliveryError{
			Fault: FaultRecipient, Op: "rcpt", Code: 550, Permanent: true, Err: refusal,
		}},
		{Relay: "r.test:25", Err: &DeliveryError{Fault: FaultMessage, Op: "end", Uncertain: true, Err: cause}},
	})
}
