package record

import (
	"errors"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
)

// start is the time at which the scenarios of the tests begin.
var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

type outcome = attempt.Outcome

var errLater = errors.New("later")

// The faults under short names: the only place of these tests that names the constants of package attempt.
var (
	ofNone      = attempt.None
	ofRelay     = attempt.Relay
	ofMessage   = attempt.Message
	ofRecipient = attempt.Recipient
)

// accepted is the outcome of a recipient that the relay has accepted.
func accepted() outcome { return outcome{Relay: "mail:25", Reply: "250 2.0.0 ok"} }

// failed is the outcome of a failure with that fault.
func failed(f attempt.Fault, err error) outcome {
	return outcome{Relay: "mail:25", Fault: f, Err: err}
}

// permanent makes the failure o a permanent one.
func permanent(o outcome) outcome {
	o.Permanent = true
	return o
}

// canceled makes o a failure of a transaction that this side gave up.
func canceled(o outcome) outcome {
	o.Withdrawn = true
	return o
}

// everyMinute is a rule with a limit of attempts and a minute between them.
func everyMinute(maxAttempts int) Rule {
	return Rule{MaxAttempts: maxAttempts, Backoff: func(int) time.Duration { return time.Minute }}
}

// at returns the time so many minutes after start.
func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
