package cli

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
)

func TestRests(t *testing.T) {
	is := is.New(t)
	soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	bad := func(senders string, until time.Time) daemonstate.Relay {
		return daemonstate.Relay{Senders: senders, Trouble: "dial: refused", RestsUntil: until}
	}
	r := restsOf(&daemonstate.State{Relays: []daemonstate.Relay{
		bad("", later), bad("", soon), bad("@one.org", later), {Senders: "@one.org"}, bad("ann@two.org", later),
	}})
	is.Equal(r.until("app@example.com", ""), soon)      // the first relay that is tried again
	is.Equal(r.until("x@one.org", ""), time.Time{})     // one relay of the route can be used
	is.Equal(r.until("ann@two.org", ""), later)         // the sender has a route of its own
	is.Equal(rests{}.until("x@y.org", ""), time.Time{}) // no daemon
	is.Equal(restsOf(&daemonstate.State{}).until("x@y.org", ""), time.Time{})
}

func TestRestOfTheRouteOfARecipient(t *testing.T) {
	is := is.New(t)
	later := time.Now().Add(time.Hour)
	r := restsOf(&daemonstate.State{Relays: []daemonstate.Relay{
		{}, {Senders: "to:@corp.example", Trouble: "dial: refused", RestsUntil: later},
	}})
	is.Equal(r.until("a@x", "b@corp.example"), later)
	is.Equal(r.until("a@x", "b@y"), time.Time{})
}

func TestFailedAttempts(t *testing.T) {
	is := is.New(t)
	e := &mailq.Entry{Attempts: 7, To: mailq.Recipients{{Status: record.Done, Attempts: 7}, {Attempts: 2}, {Attempts: 3}}}
	is.Equal(failedAttempts(e), 3) // of the recipients that wait
	e.To = e.To[:1]
	is.Equal(failedAttempts(e), 7)
}
