package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// memoryLimit is what a queue of a million messages needs, in bytes: from there on garbage is collected earlier rather than
// memory taken. A longer queue takes what it needs, and more processor time.
const memoryLimit = 640 << 20

// A daemon shall be small. While it uses little, garbage may fill the heap up to littleHeap, but be no more than what is in use;
// where there are many messages, or many in flight, it is collected more often, which costs a few per cent of the time.
const (
	littleHeap = 6 << 20 // in bytes
	fewGC      = 100     // per cent
	manyGC     = 40
)

// paceGC keeps the pace of garbage collection to what is in use, from now on.
func paceGC() {
	debug.SetGCPercent(manyGC)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var again func(*gcMark)
	again = func(*gcMark) {
		metrics.Read(live)
		debug.SetGCPercent(gcPercent(live[0].Value.Uint64()))
		runtime.SetFinalizer(new(gcMark), again)
	}
	runtime.SetFinalizer(new(gcMark), again)
}

// A gcMark is garbage from the start: its finalizer tells that a collection is over.
type gcMark struct{ _ [16]byte }

func gcPercent(live uint64) int {
	room := littleHeap - int(min(live, littleHeap))
	return min(fewGC, max(manyGC, 100*room/int(max(live, 1))))
}
