package queue

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// benchHead returns the head of the i-th file: one recipient, as in most mail of programs.
func benchHead(i int) (Version, *record.Head) {
	v := Version{Inode: uint64(i), Size: 4096, Modified: 1_700_000_000_000_000_000 + int64(i)}
	return v, &record.Head{
		Size: v.Size, Modified: v.Time(), MessageID: fmt.Sprintf("<20261123T214905.%09d@example.com>", i),
		Addresses: message.Addresses{
			From: "sender@example.com", To: []message.Address{{Addr: fmt.Sprintf("recipient%d@example.org", i)}},
		},
	}
}

func benchName(i int) string { return fmt.Sprintf("20261123T214905.%09d-k7f3q2aa.eml", i) }

// fill adds n files to a new queue and reads them.
func fill(b *testing.B, n int, now time.Time) *Queue {
	q := New(testRules(), now)
	names := make([]string, 1)
	for i := range n {
		names[0] = benchName(i)
		q.Notice(names, nil, now)
		q.Advance(now, Room{Reads: 1000, Free: 1 << 30}, 1)
		for _, a := range q.TakeActs() {
			v, h := benchHead(i)
			q.Acted(a, Result{Version: v, Head: h}, now)
		}
		q.TakeEvents()
	}
	if q.Ready(0) != n {
		b.Fatalf("%d of %d messages are ready", q.Ready(0), n)
	}
	return q
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemory measures the memory of one waiting message with one recipient.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				q := fill(b, n, time.Now())
				b.ReportMetric(float64(heap()-before)/float64(n), "B/entry")
				runtime.KeepAlive(q)
			}
		})
	}
}

// BenchmarkMessage measures the work for a message that is accepted at once, beside many waiting messages.
func BenchmarkMessage(b *testing.B) {
	for _, beside := range []int{0, 100_000} {
		b.Run(fmt.Sprint(beside, " beside"), func(b *testing.B) {
			now := time.Now()
			q := fill(b, beside, now)
			later := now.Add(time.Hour)
			for range beside {
				j, _ := q.Next(0, Slots{Any: 1, Large: 1}, now)
				q.Finished(j, Finish{Outcomes: []attempt.Outcome{deferral}}, later)
				q.TakeActs()
				q.TakeEvents()
			}
			names, v, h := []string{benchName(1 << 30)}, Version{}, (*record.Head)(nil)
			v, h = benchHead(1 << 30)
			b.ReportAllocs()
			for b.Loop() {
				q.Notice(names, nil, now)
				q.Advance(now, Room{Reads: 1000, Free: 1 << 30}, 10)
				for _, a := range q.TakeActs() {
					q.Acted(a, Result{Version: v, Head: h}, now)
				}
				j, ok := q.Next(0, Slots{Any: 1, Large: 1}, now)
				if !ok {
					b.Fatal("no job")
				}
				q.Finished(j, Finish{Outcomes: []attempt.Outcome{acceptance}}, now)
				for _, a := range q.TakeActs() {
					q.Acted(a, Result{}, now)
				}
				q.TakeEvents()
			}
		})
	}
}
