package record

import (
	"errors"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
)

// start is the time at which the tests begin.
var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

type outcome = attempt.Outcome

var errLater = errors.New("later")

// Short names for faults. Only these lines use the constants of package attempt.
var (
	ofNone      = attempt.None
	ofRelay     = attempt.Relay
	ofMessage   = attempt.Message
	ofRecipient = attempt.Recipient
)

// accepted is the outcome of an accepted recipient.
func accepted() outcome { return outcome{Relay: "mail:25", Reply: "250 2.0.0 ok"} }

// failed returns the outcome of a failure with that fault.
func failed(f attempt.Fault, err error) outcome {
	return outcome{Relay: "mail:25", Fault: f, Err: err}
}

// permanent makes the failure o a permanent one.
func permanent(o outcome) outcome {
	o.Permanent = true
	return o
}

// canceled makes o a failure of a transaction that Spoolgore gave up.
func canceled(o outcome) outcome {
	o.Withdrawn = true
	return o
}

// everyMinute returns a retry rule with a limit of attempts and a minute between attempts.
func everyMinute(maxAttempts int) Rule {
	return Rule{MaxAttempts: maxAttempts, Backoff: func(int) time.Duration { return time.Minute }}
}

// at returns the time that many minutes after start.
func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
