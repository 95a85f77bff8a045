package engine

import "sync"

// workers are goroutines for work beside the loop. A goroutine that has finished waits for more work: its stack has
// grown already. The stack of a new goroutine is too small for any work here and is copied several times. The zero
// value has no goroutines.
type workers struct {
	mu     sync.Mutex
	idle   []chan func() // of the waiting goroutines; the last one got its place last
	closed bool
}

// maxIdle is the maximum number of waiting goroutines.
const maxIdle = 16

// do calls f in a goroutine, and does not wait.
func (w *workers) do(f func()) {
	w.mu.Lock()
	var next chan func()
	if n := len(w.idle); n > 0 {
		next, w.idle = w.idle[n-1], w.idle[:n-1]
	}
	w.mu.Unlock()
	if next != nil {
		next <- f
		return
	}
	go w.work(f)
}

// work calls f, and then what do passes on, until close.
func (w *workers) work(f func()) {
	next := make(chan func(), 1)
	for f != nil {
		f()
		if f = nil; w.wait(next) {
			f = <-next // nil after close
		}
	}
}

// wait reports whether the goroutine of next is to wait for work.
func (w *workers) wait(next chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= maxIdle {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// close ends the waiting goroutines, and the others after their work. do may still be called.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, next := range w.idle {
		close(next)
	}
	w.idle = nil
}
