// Package pqueue is a priority queue. Each item has its index in the queue, so that any item can be taken out.
package pqueue

import "container/heap"

// Pile holds items with the least one on top. One item may be in several piles, each with an Index of its own.
// New makes a Pile. Only one goroutine may use a Pile.
type Pile[T any] struct{ inner[T] }

// New returns an empty pile ordered by less. Index returns where this pile keeps the position of an item: -1 before the
// item is first pushed.
func New[T any](less func(a, b T) bool, index func(T) *int32) *Pile[T] {
	return &Pile[T]{inner[T]{less: less, index: index}}
}

// Len is the number of items.
func (p *Pile[T]) Len() int { return len(p.items) }

// Top returns the least item; the pile must not be empty.
func (p *Pile[T]) Top() T { return p.items[0] }

// Push adds x, or moves x to the right place if the pile has x already.
func (p *Pile[T]) Push(x T) {
	if i := *p.index(x); i >= 0 {
		heap.Fix(&p.inner, int(i))
		return
	}
	heap.Push(&p.inner, x)
}

// Remove takes x out, if x is in the pile.
func (p *Pile[T]) Remove(x T) {
	if i := *p.index(x); i >= 0 {
		heap.Remove(&p.inner, int(i))
	}
}

// Reorder moves every item to the right place, after a change of the values that less compares.
func (p *Pile[T]) Reorder() { heap.Init(&p.inner) }

// All yields the items in no particular order; the pile must not change meanwhile.
func (p *Pile[T]) All() []T { return p.items }

// inner is what container/heap wants to see.
type inner[T any] struct {
	items []T
	less  func(a, b T) bool
	index func(T) *int32
}

func (in *inner[T]) Len() int           { return len(in.items) }
func (in *inner[T]) Less(i, j int) bool { return in.less(in.items[i], in.items[j]) }

func (in *inner[T]) Swap(i, j int) {
	in.items[i], in.items[j] = in.items[j], in.items[i]
	*in.index(in.items[i]), *in.index(in.items[j]) = int32(i), int32(j)
}

func (in *inner[T]) Push(x any) {
	item := x.(T)
	*in.index(item) = int32(len(in.items))
	in.items = append(in.items, item)
}

func (in *inner[T]) Pop() any {
	last := len(in.items) - 1
	item := in.items[last]
	var zero T
	in.items[last] = zero
	in.items = in.items[:last]
	*in.index(item) = -1
	return item
}
