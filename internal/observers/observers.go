// Package observers passes values to functions that come and go.
package observers

import (
	"slices"
	"sync"
	"sync/atomic"
)

// List is a list of functions. Its methods may be called by any goroutine.
type List[T any] struct {
	mu  sync.Mutex
	all atomic.Pointer[[]*func(T)] // replaced, never changed, under mu
}

// Add adds f. remove removes f; a call of f may still be under way then.
func (l *List[T]) Add(f func(T)) (remove func()) {
	l.change(func(all []*func(T)) []*func(T) { return append(all, &f) })
	return func() {
		l.change(func(all []*func(T)) []*func(T) {
			return slices.DeleteFunc(all, func(g *func(T)) bool { return g == &f })
		})
	}
}

func (l *List[T]) change(how func([]*func(T)) []*func(T)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := how(slices.Clone(l.now()))
	l.all.Store(&all)
}

func (l *List[T]) now() []*func(T) {
	if p := l.all.Load(); p != nil {
		return *p
	}
	return nil
}

// Call calls call with each function, in the order of Add.
func (l *List[T]) Call(call func(f func(T))) {
	for _, f := range l.now() {
		call(*f)
	}
}
