package worker

import (
	"sort"
	"time"

	"github.com/unbit/spoolgore/internal/ratelimit"
)

// limits counts recipients of the whole fleet against limits. A recipient occupies a place from the claim of the
// message until one period after the outcome. The transaction lies between, so that the relay never sees more than the
// limit in any period, however long connections take.
type limits struct {
	all   []ratelimit.Limit
	quota *ratelimit.Quota
	held  int // recipients under way
	now   time.Time
	wait  time.Duration // until Take may succeed, after it did not
}

// Load implements store.Limits.
func (l *limits) Load(state []byte, held int, now time.Time) (err error) {
	l.quota, err = ratelimit.New(l.all, state, now)
	l.held, l.now, l.wait = held, now, 0
	return err
}

// Room implements store.Limits.
func (l *limits) Room(n int) int {
	held := l.held
	for _, x := range l.all {
		n = min(n, max(1, x.N-held))
	}
	room := sort.Search(n, func(i int) bool {
		ok := l.Take(i + 1)
		l.held = held
		return !ok
	})
	if room > 0 {
		l.wait = 0
	}
	return room
}

// Take implements store.Limits.
func (l *limits) Take(n int) bool {
	const soon = 20 * time.Millisecond
	for _, x := range l.all {
		if l.held > 0 && l.held+n > x.N {
			l.wait = soon // an outcome has to come first
			return false
		}
	}
	if l.wait = l.quota.Wait(l.held+n, l.now); l.wait > 0 {
		l.wait = max(l.wait, soon)
		return false
	}
	l.held += n
	return true
}

// Spend implements store.Limits.
func (l *limits) Spend(n int) {
	if n > 0 {
		l.quota.Spend(n, l.now)
	}
}

// State implements store.Limits.
func (l *limits) State() ([]byte, error) { return l.quota.State(l.now) }
