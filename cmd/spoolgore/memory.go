package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// memoryLimit is the memory of a queue of a million messages, in bytes. Near the limit garbage is collected earlier. A
// longer queue takes more memory, and more processor time.
const memoryLimit = 640 << 20

// The daemon keeps its memory small. Below littleHeap garbage may be as much as the memory in use. Above, with many
// messages or many in flight, garbage is collected more often, which costs a few per cent of the time. With a million
// messages garbage is collected more often again. After a burst the free memory goes back to the system. Until there is
// garbage again, the collection that the runtime makes every two minutes is off.
const (
	littleHeap = 13 << 19 // in bytes
	fewGC      = 100      // per cent
	manyGC     = 40
	mostGC     = 12        // least garbage before a collection, however large the heap is
	largestGC  = 400 << 20 // heap with garbage, in bytes, from which less garbage than manyGC may be

	settled    = 25 * time.Millisecond // after the start: while the first connections are made
	calm       = time.Second           // without a collection: the burst is over
	worthwhile = 2 << 20               // bytes to give back
	largeHeap  = 64 << 20              // a collection of a larger heap costs more than it brings
)

// gcPacer adjusts the pace of garbage collection to the memory in use.
type gcPacer struct {
	limit int64 // of memory, in bytes
	calm  *time.Timer

	mu          sync.Mutex
	collections uint64 // as of the last look
	percent     int    // in force; negative: at rest
}

// paceGC begins, at the end of the start.
func paceGC() *gcPacer {
	debug.SetGCPercent(manyGC)
	time.AfterFunc(settled, unmap) // delayed: the messages in the spool come first
	p := &gcPacer{limit: debug.SetMemoryLimit(-1), percent: manyGC, collections: metric(automaticGC)}
	p.calm = time.AfterFunc(calm, func() { tidy(); p.rest() })
	runtime.SetFinalizer(new(gcMark), p.collected)
	return p
}

// A gcMark is garbage from the start: its finalizer runs after each collection.
type gcMark struct{ _ [16]byte }

func (p *gcPacer) collected(*gcMark) {
	runtime.SetFinalizer(new(gcMark), p.collected)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := metric(automaticGC)
	automatic := n != p.collections
	p.collections = n
	if automatic {
		p.calm.Reset(calm)
	}
	if p.percent < 0 {
		if !automatic {
			return
		}
		debug.SetMemoryLimit(p.limit)
	}
	if percent := gcPercent(metric("/gc/heap/live:bytes")); percent != p.percent { // SetGCPercent stops the world
		p.percent = percent
		debug.SetGCPercent(percent)
	}
}

// rest has garbage collected only when there is as much of it as littleHeap or, of a larger heap, as otherwise. Near
// the limit of memory there is no rest.
func (p *gcPacer) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := metric("/memory/classes/total:bytes") - metric("/memory/classes/heap/released:bytes")
	used := metric("/memory/classes/heap/objects:bytes") + metric("/memory/classes/heap/free:bytes")
	limit := int64(restLimit(held, held-min(used, held), metric("/gc/heap/live:bytes")))
	if p.percent >= 0 && limit <= p.limit {
		p.percent = -1
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(-1)
	}
}

// restLimit returns the memory limit at rest, with held bytes of memory, other bytes of them not for the heap, and live
// bytes after the last collection. The runtime collects garbage 3 per cent below the limit, again and again if the heap
// is larger.
func restLimit(held, other, live uint64) uint64 {
	limit := max(held+littleHeap, other+live+live*uint64(gcPercent(live))/100)
	return limit + limit/32
}

func gcPercent(live uint64) int {
	room := func(heap uint64) int { return int(100 * (heap - min(live, heap)) / max(live, 1)) }
	return min(fewGC, max(manyGC, room(littleHeap)), max(mostGC, room(largestGC)))
}

// tidy returns free memory to the system. The second collection frees pooled buffers.
func tidy() {
	live := metric("/gc/heap/live:bytes")
	held := metric("/memory/classes/heap/objects:bytes") + metric("/memory/classes/heap/free:bytes") +
		metric("/memory/classes/heap/unused:bytes")
	if live < largeHeap && held > live+worthwhile {
		runtime.GC()
		debug.FreeOSMemory()
		unmap()
	}
}

const automaticGC = "/gc/cycles/automatic:gc-cycles" // number of collections that no call asked for

func metric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
