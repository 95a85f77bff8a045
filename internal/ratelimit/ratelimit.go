// Package ratelimit counts messages against limits such as 14 a second and 50,000 a day, together and over restarts.
package ratelimit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limit allows N in any period Per.
type Limit struct {
	N   int
	Per time.Duration
}

var periods = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// unit returns the letter of a period, or the period.
func unit(per time.Duration) string {
	for name, d := range periods {
		if d == per {
			return name
		}
	}
	return per.String()
}

// String returns the form that Parse reads.
func (l Limit) String() string { return strconv.Itoa(l.N) + "/" + unit(l.Per) }

// Parse reads limits such as "14/s,600/m,50000/d". An empty string is no limit.
func Parse(s string) (limits []Limit, err error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		number, name, _ := strings.Cut(strings.TrimSpace(part), "/")
		n, err := strconv.Atoi(strings.TrimSpace(number))
		per := periods[strings.TrimSpace(name)]
		if err != nil || n <= 0 || per == 0 {
			return nil, fmt.Errorf("rate %q is not a number above 0, a slash, and one of s, m, h, d, such as 100/m",
				part)
		}
		limits = append(limits, Limit{n, per})
	}
	return limits, nil
}

// slots is the number of slots of a period. What was spent is free again at most a slot late.
const slots = 100

// A window counts what was spent in a period. A slot holds what was spent in a hundredth of the period. The window is
// the present slot and the hundred slots before, so there is never more than the limit in any period.
type window struct {
	per   time.Duration
	spent map[int64]int // by number of the slot
}

func newWindow(per time.Duration) *window { return &window{per, make(map[int64]int)} }

func (w *window) slot(t time.Time) int64 { return t.UnixNano() / int64(w.per/slots) }

// begin returns the start of a slot.
func (w *window) begin(slot int64) time.Time { return time.Unix(0, slot*int64(w.per/slots)) }

// used returns what counts at a slot, and removes what does not count any more.
func (w *window) used(slot int64) (n int) {
	for s, spent := range w.spent {
		switch {
		case s < slot-slots:
			delete(w.spent, s)
		case s <= slot:
			n += spent
		}
	}
	return n
}

// wait returns the time until n more are allowed by a limit of most.
func (w *window) wait(n, most int, now time.Time) time.Duration {
	slot := w.slot(now)
	missing := w.used(slot) + min(n, most) - most
	if missing <= 0 {
		return 0
	}
	free := make([]int64, 0, len(w.spent))
	for s := range w.spent {
		free = append(free, s)
	}
	slices.Sort(free)
	for _, s := range free {
		at := s + slots + 1 // the slot s is free again
		if later := w.usedBetween(at-slots, at) + min(n, most) - most; later <= 0 && at > slot {
			return w.begin(at).Sub(now)
		}
	}
	return w.per
}

// usedBetween returns what was spent from slot first to slot last.
func (w *window) usedBetween(first, last int64) (n int) {
	for s, spent := range w.spent {
		if first <= s && s <= last {
			n += spent
		}
	}
	return n
}

// add spends n at a slot. More than the limit is spent in the periods that follow.
func (w *window) add(n, most int, slot int64) {
	for n > most {
		w.spent[slot] += most
		n, slot = n-most, slot+slots+1
	}
	w.spent[slot] += n
}

// remove takes back n that add has spent at a slot. A most of zero is no limit now.
func (w *window) remove(n, most int, slot int64) {
	for n > 0 {
		part := n
		if most > 0 {
			part = min(n, most)
		}
		if w.spent[slot] -= part; w.spent[slot] <= 0 {
			delete(w.spent, slot)
		}
		n, slot = n-part, slot+slots+1
	}
}

// Quota counts what is spent of limits. A Quota has one owner.
type Quota struct {
	limits  []Limit
	windows map[time.Duration]*window // also of periods without a limit now, which may come back
}

// state is the stored form of a window.
type state struct {
	At     time.Time
	Slots  map[int64]int `json:",omitempty"`
	Tokens float64       `json:",omitempty"` // version 1: what was left in a bucket that held a tenth of the limit
}

// New returns a quota of which as much is spent as State returned before. What was spent in a period counts for another
// limit in the same period, too.
func New(limits []Limit, stored []byte, now time.Time) (*Quota, error) {
	q := &Quota{limits: limits, windows: make(map[time.Duration]*window)}
	for _, l := range limits {
		q.windows[l.Per] = newWindow(l.Per)
	}
	if len(stored) == 0 {
		return q, nil
	}
	var was map[string]state
	if err := json.Unmarshal(stored, &was); err != nil {
		return nil, fmt.Errorf("state of the rate limits: %w", err)
	}
	for key, s := range was {
		q.load(key, s, now)
	}
	return q, nil
}

// load takes over a stored window. An unknown key is ignored.
func (q *Quota) load(key string, s state, now time.Time) {
	if per, ok := periods[key]; ok {
		w := newWindow(per)
		shift := int64(0)
		if s.At.After(now) { // the clock was set back: what was spent stays spent, and is free again from now on
			shift = w.slot(s.At) - w.slot(now)
		}
		for slot, n := range s.Slots {
			w.spent[slot-shift] += n
		}
		q.windows[per] = w
		return
	}
	limits, err := Parse(key)
	if err != nil || len(limits) != 1 {
		return
	}
	l, at := limits[0], s.At
	if at.After(now) {
		at = now
	}
	w := q.windows[l.Per]
	if w == nil {
		w = newWindow(l.Per)
		q.windows[l.Per] = w
	}
	if n := int(float64(max(1, l.N/10)) - s.Tokens + 0.5); n > 0 {
		w.spent[w.slot(at)] = max(w.spent[w.slot(at)], min(n, l.N))
	}
}

// State returns the present state for New, with these limits or with others.
func (q *Quota) State(now time.Time) ([]byte, error) {
	all := make(map[string]state)
	for per, w := range q.windows {
		w.used(w.slot(now)) // forgets what does not count any more
		all[unit(per)] = state{At: now, Slots: w.spent}
	}
	return json.MarshalIndent(all, "", "\t")
}

// Wait returns the time until n may be sent; zero: now. n above a limit may be sent when nothing of the limit is spent.
func (q *Quota) Wait(n int, now time.Time) (wait time.Duration) {
	for _, l := range q.limits {
		wait = max(wait, q.windows[l.Per].wait(n, l.N, now))
	}
	return wait
}

// Spend counts n against every limit.
func (q *Quota) Spend(n int, now time.Time) {
	done := make(map[time.Duration]bool)
	for _, l := range q.limits {
		if w := q.windows[l.Per]; !done[l.Per] {
			w.add(n, q.most(l.Per), w.slot(now))
			done[l.Per] = true
		}
	}
}

// most returns the lowest limit of a period.
func (q *Quota) most(per time.Duration) (n int) {
	for _, l := range q.limits {
		if l.Per == per && (n == 0 || l.N < n) {
			n = l.N
		}
	}
	return n
}

// Refund takes back n that were spent at a time and not sent.
func (q *Quota) Refund(n int, at time.Time) {
	for per, w := range q.windows {
		w.remove(n, q.most(per), w.slot(at))
	}
}

// Forecast returns the time until n more are sent, if the limits alone decide.
func (q *Quota) Forecast(n int, now time.Time) (last time.Duration) {
	for _, l := range q.limits {
		last = max(last, q.windows[l.Per].forecast(n, l.N, now))
	}
	return last
}

// forecast returns the time until n more are sent by a limit of most. What is sent now is free again after a period, so
// the times repeat in each period.
func (w *window) forecast(n, most int, now time.Time) time.Duration {
	slot := w.slot(now)
	free := max(0, most-w.used(slot))
	if n <= free {
		return 0
	}
	periods := (n - free - 1) / most
	rest := n - free - periods*most
	ends := map[int64]int{slot: free}
	for s, spent := range w.spent {
		ends[s] += spent
	}
	last := slot
	for _, s := range slices.Sorted(maps.Keys(ends)) {
		if rest <= 0 {
			break
		}
		rest -= ends[s]
		last = s
	}
	return w.begin(last+slots+1).Sub(now) + time.Duration(periods)*(w.per+w.per/slots)
}

// A LimitLike is a type with the fields of Limit.
type LimitLike interface {
	~struct {
		N   int
		Per time.Duration
	}
}

// ParseAs is Parse with another type of limits.
func ParseAs[T LimitLike](text string) ([]T, error) {
	limits, err := Parse(text)
	if err != nil {
		return nil, err
	}
	as := make([]T, len(limits))
	for i, l := range limits {
		as[i] = T(l)
	}
	return as, nil
}

// Text returns the text that Parse reads.
func Text[T LimitLike](limits []T) string {
	var parts []string
	for _, l := range limits {
		parts = append(parts, Limit(l).String())
	}
	return strings.Join(parts, ",")
}
