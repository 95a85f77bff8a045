package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/matryer/is"
)

// This test comes first: a gcPacer of another test would go on and change the pace.
func TestMemoryOfABurstIsReturned(t *testing.T) {
	is := is.New(t)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var burst [][]byte
	for range 1000 {
		burst = append(burst, make([]byte, 16<<10))
	}
	runtime.KeepAlive(burst)
	burst = nil
	_ = burst
	tidy()
	is.True(metric("/memory/classes/heap/free:bytes") < worthwhile)
	is.True(metric("/memory/classes/heap/objects:bytes") < 16<<20)
}

func TestGarbageIsCollectedByWhatIsInUse(t *testing.T) {
	is := is.New(t)
	is.Equal(gcPercent(0), fewGC)
	is.Equal(gcPercent(littleHeap/2), fewGC) // twice the memory in use
	is.Equal(gcPercent(littleHeap*2/3), 50)  // up to littleHeap
	is.Equal(gcPercent(littleHeap), manyGC)  // not less than manyGC
	is.Equal(gcPercent(largestGC/2), manyGC) // with many messages
	is.Equal(gcPercent(largestGC/10*8), 25)  // with a million messages up to largestGC
	is.Equal(gcPercent(2*largestGC), mostGC) // not less than mostGC: the collector must not take all processor time
}

// pace returns a gcPacer that does not become idle by itself.
func pace() *gcPacer {
	p := paceGC()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calm.Stop()
	p.calm = time.AfterFunc(time.Hour, func() {})
	return p
}

func TestPaceOfGarbageCollectionFollows(t *testing.T) {
	is := is.New(t)
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	pace()
	becomes := func(want int) bool {
		for range 1000 { // the finalizer runs some time after a collection
			runtime.GC()
			runtime.Gosched()
			if debug.SetGCPercent(77) == want {
				return true
			}
		}
		return false
	}
	is.True(becomes(fewGC))
	ballast := make([]byte, 4*littleHeap)
	is.True(becomes(manyGC))
	runtime.KeepAlive(ballast)
	is.True(becomes(fewGC)) // fewer collections again
}

func TestGarbageIsCollectedAgainAfterARest(t *testing.T) {
	is := is.New(t)
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	defer debug.FreeOSMemory()
	p := pace()
	resting := func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.percent < 0 }
	for range 1000 { // a collection that was under way ends the rest
		p.rest()
		runtime.GC() // as tidy does
		runtime.Gosched()
		if resting() {
			break
		}
	}
	is.True(resting())
	is.True(debug.SetMemoryLimit(-1) < 1<<30)
	var garbage []byte
	for range 1_000_000 { // 16 GiB at most
		garbage = make([]byte, 16<<10)
		runtime.Gosched()
		if !resting() {
			break
		}
	}
	runtime.KeepAlive(garbage)
	is.True(!resting())
	is.Equal(debug.SetMemoryLimit(-1), int64(1<<30))
}

func TestRestLeavesRoomForGarbage(t *testing.T) {
	const mega = 1 << 20
	for _, row := range []struct{ live, other, free, garbage uint64 }{ // in MiB; garbage: at least
		{3, 5, 1, 6},
		{20, 6, 1, 7},
		{100, 8, 1, 38},
		{300, 9, 1, 98},
		{300, 9, 150, 150}, // after a burst
		{370, 50, 1, 40},
		{500, 30, 1, 55},
	} {
		limit := restLimit((row.live+row.other+row.free)*mega, row.other*mega, row.live*mega)
		goal := limit - row.other*mega
		goal -= goal * 3 / 100 // as the runtime does
		if goal < (row.live+row.garbage)*mega {
			t.Errorf("%+v: limit %d MiB, goal %d MiB", row, limit/mega, goal/mega)
		}
	}
	is := is.New(t)
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 20))
	p := pace()
	p.rest()
	is.Equal(debug.SetMemoryLimit(-1), int64(1<<20)) // GOMEMLIMIT counts
}
