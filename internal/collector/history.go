package collector

import (
	"math"
	"time"
)

// Minute has the figures of one minute.
type Minute struct {
	At     time.Time // end of the minute
	Files  int       // in the spool then
	Counts           // in this minute
}

// history remembers the last minutes.
type history struct {
	limit   int // minutes to remember; zero: none
	minutes []Minute
	first   int // of minutes, once there are as many as there may be
	seen    Counts
	next    time.Time
}

// note takes a reading and returns when the next minute is over.
func (h *history) add(r Snapshot) time.Time {
	if h.limit == 0 || r.At.Before(h.next) {
		return h.next
	}
	m := Minute{At: r.At.Round(0), Files: r.Files, Counts: Counts{
		Sent: r.Sent - h.seen.Sent, Deferred: r.Deferred - h.seen.Deferred, Failed: r.Failed - h.seen.Failed,
	}}
	h.seen = r.Counts
	if h.next = h.next.Add(time.Minute); !h.next.After(r.At) { // the first minute, or the machine has slept
		h.next = r.At.Add(time.Minute)
	}
	if len(h.minutes) < h.limit {
		h.minutes = append(h.minutes, m)
		return h.next
	}
	h.minutes[h.first] = m
	h.first = (h.first + 1) % h.limit
	return h.next
}

func (h *history) all() []Minute {
	all := make([]Minute, 0, len(h.minutes))
	return append(append(all, h.minutes[h.first:]...), h.minutes[:h.first]...)
}

// window counts events in the last five minutes.
type window struct {
	began time.Time
	slots [slots]uint64
	last  int64                // number of the last slot with a count
	first [slots]time.Duration // time of the first event of a slot, after the start of the slot
}

const (
	slot  = 10 * time.Second
	slots = int(5 * time.Minute / slot)
)

func (w *window) add(now time.Time) {
	w.turn(now)
	i := w.last % int64(slots)
	if w.slots[i] == 0 {
		w.first[i] = max(0, now.Sub(w.began)) % slot
	}
	w.slots[i]++
}

// pauseSlots is the number of slots without an event that end a period of activity.
const pauseSlots = 6

// speed returns the number of events a minute in the periods of activity, without the pauses between them.
func (w *window) speed(now time.Time) float64 {
	w.turn(now)
	var active, open time.Duration // open: since the last event of the period
	sum := uint64(0)
	for n := max(0, w.last-int64(slots)+1); n <= w.last; n++ {
		i, length := n%int64(slots), slot
		if n == w.last {
			length = max(0, now.Sub(w.began)) % slot
		}
		count := w.slots[i]
		switch {
		case count == 0:
			open += length
			continue
		case sum == 0 || open >= pauseSlots*slot:
			length -= w.first[i]
		default:
			length += open
		}
		sum, active, open = sum+count, active+length, 0
	}
	if open < pauseSlots*slot {
		active += open
	}
	if sum == 0 {
		return 0
	}
	return float64(sum) / max(active, time.Second).Minutes()
}

// turn empties the expired slots.
func (w *window) turn(now time.Time) {
	n := int64(max(0, now.Sub(w.began)) / slot)
	for i := max(w.last+1, n-int64(slots)+1); i <= n; i++ {
		w.slots[i%int64(slots)] = 0
	}
	w.last = max(w.last, n)
}

// perMinute is how many there were a minute; in the first minute, as many as there were.
func (w *window) perMinute(now time.Time) float64 {
	w.turn(now)
	sum := uint64(0)
	for _, n := range w.slots {
		sum += n
	}
	span := min(now.Sub(w.began), time.Duration(slots)*slot-slot+now.Sub(w.began)%slot)
	return math.Round(10*float64(sum)/max(1, span.Minutes())) / 10
}
