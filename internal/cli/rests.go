package cli

import (
	"time"

	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/routing"
)

// rests has the routes of a daemon, and the time of the next attempt of each route whose relays all rest.
type rests struct {
	route func(sender string) int              // index of a route; the number of routes: that of all other mail
	to    func(to string) (route int, ok bool) // nil: no recipient has a route
	ends  []time.Time                          // by route; zero: one of its relays can be used
}

// restsOf returns the rests of the relays in the state of a daemon.
func restsOf(d *daemonstate.State) rests {
	var senders []string
	relays := make(map[string][]daemonstate.Relay)
	for _, r := range d.Relays {
		if r.Senders != "" && relays[r.Senders] == nil {
			senders = append(senders, r.Senders)
		}
		relays[r.Senders] = append(relays[r.Senders], r)
	}
	patterns := make([]string, len(senders))
	for i, s := range senders {
		patterns[i] = rewrite.ASCIIDomain(s)
	}
	all := rests{route: routing.By(patterns), to: routing.To(patterns)}
	for _, s := range append(senders, "") {
		all.ends = append(all.ends, restEnd(relays[s]))
	}
	return all
}

// restEnd returns when the first of the relays is tried again; zero: one of them does not rest.
func restEnd(relays []daemonstate.Relay) (end time.Time) {
	for _, r := range relays {
		if r.Trouble == "" {
			return time.Time{}
		}
		if end.IsZero() || r.RestsUntil.Before(end) {
			end = r.RestsUntil
		}
	}
	return end
}

// until returns when a relay for the mail of a sender to a recipient is tried again; zero: one can be used, or none is
// known.
func (r rests) until(sender, to string) time.Time {
	if r.route == nil {
		return time.Time{}
	}
	if r.to != nil {
		if i, ok := r.to(rewrite.ASCIIDomain(to)); ok {
			return r.ends[i]
		}
	}
	return r.ends[r.route(rewrite.ASCIIDomain(sender))]
}

// failedAttempts returns the largest number of failed attempts of a waiting recipient; without one, that of the
// message.
func failedAttempts(e *mailq.Entry) int {
	most, waits := 0, false
	e.Recipients(func(r *record.Recipient) {
		if r.Status == record.Waiting {
			waits = true
			most = max(most, r.Attempts)
		}
	})
	if !waits {
		return e.Attempts
	}
	return most
}

// firstRecipient returns the first recipient of e; empty: there is none.
func firstRecipient(e *mailq.Entry) (first string) {
	e.Recipients(func(r *record.Recipient) {
		if first == "" {
			first = r.Address
		}
	})
	return first
}
