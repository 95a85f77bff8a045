package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryLimit is what a queue of a million messages needs, in bytes: from there on garbage is collected earlier rather than
// memory taken. A longer queue takes what it needs, and more processor time.
const memoryLimit = 640 << 20

// A daemon shall be small. While it uses little, garbage may fill the heap up to littleHeap, but be no more than what is in use;
// where there are many messages, or many in flight, it is collected more often, which costs a few per cent of the time. When
// a burst is over, what it leaves behind goes back to the system.
const (
	littleHeap = 6 << 20 // in bytes
	fewGC      = 100     // per cent
	manyGC     = 40

	settled    = 25 * time.Millisecond // after the start: while the first connections are made
	calm       = time.Second           // without a collection: the burst is over
	worthwhile = 2 << 20               // bytes to give back
	largeHeap  = 64 << 20              // to look through one costs more than it brings
)

// gcPacer keeps the pace of garbage collection to what is in use.
type gcPacer struct {
	collections uint64 // so far, those that tidy made left out
	percent     int    // in force
	calm        *time.Timer
}

// paceGC begins, at the end of the start.
func paceGC() {
	debug.SetGCPercent(manyGC)
	time.AfterFunc(settled, unmap) // what is in the spool shall not wait for it
	p := &gcPacer{percent: manyGC, calm: time.AfterFunc(calm, tidy)}
	runtime.SetFinalizer(new(gcMark), p.collected)
}

// A gcMark is garbage from the start: its finalizer tells that a collection is over.
type gcMark struct{ _ [16]byte }

func (p *gcPacer) collected(*gcMark) {
	runtime.SetFinalizer(new(gcMark), p.collected)
	if percent := gcPercent(metric("/gc/heap/live:bytes")); percent != p.percent { // it stops the world
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	if n := metric("/gc/cycles/automatic:gc-cycles"); n != p.collections {
		p.collections = n
		p.calm.Reset(calm)
	}
}

func gcPercent(live uint64) int {
	room := littleHeap - int(min(live, littleHeap))
	return min(fewGC, max(manyGC, 100*room/int(max(live, 1))))
}

// tidy gives back what is not in use. Pooled buffers go with the second collection.
func tidy() {
	live := metric("/gc/heap/live:bytes")
	held := metric("/memory/classes/heap/objects:bytes") + metric("/memory/classes/heap/free:bytes") + metric("/memory/classes/heap/unused:bytes")
	if live < largeHeap && held > live+worthwhile {
		runtime.GC()
		debug.FreeOSMemory()
		unmap()
	}
}

func metric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
