package sink

import (
	"strings"
	"sync"
	"time"
)

// Trouble says when a Server refuses mail although nothing is wrong with it, as relays do that limit rates, greylist,
// filter, or end connections. The zero value never does.
type Trouble struct {
	PerSecond int           // messages in any second; further ones are answered with 454; zero: no limit
	Grey      string        // prefix of recipients that are refused with 451 for GreyFor; empty: none
	GreyFor   time.Duration // from the first attempt for a recipient on
	Poison    string        // prefix of recipients whose messages are refused with 451 after the content; empty: none
	PerConn   int           // messages on a connection; the next MAIL is answered with 421; zero: no limit
}

// A troubler is the state of a Trouble.
type troubler struct {
	Trouble
	mu     sync.Mutex
	recent []time.Time          // last acceptances, PerSecond at most
	seen   map[string]time.Time // first attempt, for each greylisted recipient
}

// throttles reports whether a message that is complete now is one too many in a second.
func (t *troubler) throttles(now time.Time) bool {
	if t.PerSecond == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.recent) == t.PerSecond {
		if now.Sub(t.recent[0]) < time.Second {
			return true
		}
		t.recent = t.recent[1:]
	}
	t.recent = append(t.recent, now)
	return false
}

// greylists reports whether a recipient is to be refused for now.
func (t *troubler) greylists(addr string, now time.Time) bool {
	if t.Grey == "" || !strings.HasPrefix(addr, t.Grey) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	first, ok := t.seen[addr]
	if !ok {
		if t.seen == nil {
			t.seen = make(map[string]time.Time)
		}
		t.seen[addr], first = now, now
	}
	return now.Sub(first) < t.GreyFor
}

// poisons reports whether the message to a recipient is to be refused.
func (t *troubler) poisons(addr string) bool {
	return t.Poison != "" && strings.HasPrefix(addr, t.Poison)
}
