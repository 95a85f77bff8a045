// Package ratelimit keeps what is sent below limits such as 14 a second and 50,000 a day, all at once, and over restarts.
package ratelimit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Limit allows N in any period Per.
type Limit struct {
	N   int
	Per time.Duration
}

// String returns the form that Parse reads.
func (l Limit) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h", 24 * time.Hour: "d"}[l.Per]
	if unit == "" {
		unit = l.Per.String()
	}
	return strconv.Itoa(l.N) + "/" + unit
}

// Parse reads limits such as "14/s,600/m,50000/d"; empty: none.
func Parse(s string) (limits []Limit, err error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		number, unit, _ := strings.Cut(strings.TrimSpace(part), "/")
		n, err := strconv.Atoi(strings.TrimSpace(number))
		per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[strings.TrimSpace(unit)]
		if err != nil || n <= 0 || per == 0 {
			return nil, fmt.Errorf("rate %q is not a number above 0, a slash, and one of s, m, h, d", part)
		}
		limits = append(limits, Limit{n, per})
	}
	return limits, nil
}

// Quota spends limits. It has one owner.
type Quota struct {
	limits   []Limit
	limiters []*rate.Limiter
	past     map[string]bucketState // of limits for other periods, which may come back
}

// New returns a quota that has spent nothing yet, or what state says, which is what State gave before. What was spent of a
// limit counts for another number in the same period as well.
func New(limits []Limit, state []byte, now time.Time) (*Quota, error) {
	q := &Quota{limits: limits}
	for _, l := range limits {
		per, burst := l.bucket()
		q.limiters = append(q.limiters, rate.NewLimiter(per, burst))
	}
	if len(state) == 0 {
		return q, nil
	}
	var was map[string]bucketState
	if err := json.Unmarshal(state, &was); err != nil {
		return nil, fmt.Errorf("state of the rate limits: %w", err)
	}
	for i, l := range limits {
		spent, at := l.spent(was)
		if at.After(now) {
			at = now // the clock was set back: what was spent stays spent, and comes back from now on
		}
		q.spend(i, at, spent)
	}
	q.past = was
	maps.DeleteFunc(q.past, func(key string, b bucketState) bool {
		past, err := Parse(key)
		return err != nil || len(past) != 1 || slices.ContainsFunc(limits, func(l Limit) bool { return l.Per == past[0].Per })
	})
	return q, nil
}

// spent is what was taken out of the bucket of l at a time, or out of that of the limits for the same period.
func (l Limit) spent(was map[string]bucketState) (n float64, at time.Time) {
	for key, b := range was {
		limits, err := Parse(key)
		if err != nil || len(limits) != 1 || limits[0].Per != l.Per {
			continue
		}
		_, burst := limits[0].bucket()
		if limits[0] == l {
			return float64(burst) - b.Tokens, b.At
		}
		if out := min(float64(burst)-b.Tokens, float64(l.N)); out > n { // it comes back within a period
			n, at = out, b.At
		}
	}
	return n, at
}

// bucketState is what is left in a bucket at a time.
type bucketState struct {
	Tokens float64
	At     time.Time
}

// State is what New needs to go on from here, with these limits or with others.
func (q *Quota) State(now time.Time) ([]byte, error) {
	state := make(map[string]bucketState)
	maps.Copy(state, q.past)
	for i, l := range q.limits {
		state[l.String()] = bucketState{q.limiters[i].TokensAt(now), now}
	}
	return json.MarshalIndent(state, "", "\t")
}

// bucket makes a token bucket that never lets more than N through in any period: a tenth of it at once, the rest
// spread. (A bucket that holds N and is filled at N a period would let 2 N through in the first one.)
func (l Limit) bucket() (rate.Limit, int) {
	burst := max(1, l.N/10)
	spread := float64(l.N - burst)
	if burst == 1 {
		spread = float64(l.N) // one every so often: N fit in a period
	}
	return rate.Limit(spread / l.Per.Seconds()), burst
}

// Wait is how long it is until n may go; zero: now.
func (q *Quota) Wait(n int, now time.Time) (wait time.Duration) {
	for _, l := range q.limiters {
		if missing := float64(min(n, l.Burst())) - l.TokensAt(now); missing > 1e-6 {
			wait = max(wait, time.Duration(missing/float64(l.Limit())*float64(time.Second))+time.Microsecond)
		}
	}
	return wait
}

// Spend takes n out of every limit. More than a bucket holds leaves it in debt: what follows waits longer.
func (q *Quota) Spend(n int, now time.Time) {
	for i := range q.limiters {
		q.spend(i, now, float64(n))
	}
}

func (q *Quota) spend(i int, at time.Time, n float64) {
	l := q.limiters[i]
	for left := int(n + 0.5); left > 0; left -= l.Burst() {
		l.ReserveN(at, min(left, l.Burst()))
	}
}
