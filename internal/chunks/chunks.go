// Package chunks has a list that grows without moving its items. A slice of a million items is copied each time it
// grows: that takes 0.1 to 0.3 s while garbage is collected, and nothing else is done meanwhile.
package chunks

import "iter"

// size is the number of items in a chunk.
const size = 1024

// A List is a sequence of items. The zero value is empty. Only one goroutine may use a List.
type List[T any] struct {
	chunks [][]T // all but the last are full, and none but the first is empty
}

// Len returns the number of items.
func (l *List[T]) Len() int {
	last := len(l.chunks) - 1
	if last < 0 {
		return 0
	}
	return last*size + len(l.chunks[last])
}

// At returns a pointer to item i. The pointer is good until the item is popped.
func (l *List[T]) At(i int) *T { return &l.chunks[uint(i)/size][uint(i)%size] }

// Push adds x at the end.
func (l *List[T]) Push(x T) {
	switch n := l.Len(); {
	case len(l.chunks) == 0:
		l.chunks = append(l.chunks, nil) // grows: most lists are short
	case n > 0 && n%size == 0:
		l.chunks = append(l.chunks, make([]T, 0, size))
	}
	last := &l.chunks[len(l.chunks)-1]
	*last = append(*last, x)
}

// Pop removes and returns the last item. The list must not be empty.
func (l *List[T]) Pop() T {
	last := len(l.chunks) - 1
	chunk := l.chunks[last]
	n := len(chunk) - 1
	x := chunk[n]
	clear(chunk[n:])
	l.chunks[last] = chunk[:n]
	if n == 0 && last > 0 {
		l.chunks[last] = nil
		l.chunks = l.chunks[:last]
	}
	return x
}

// All yields the items in order. The list must not change meanwhile.
func (l *List[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, chunk := range l.chunks {
			for _, x := range chunk {
				if !yield(x) {
					return
				}
			}
		}
	}
}
