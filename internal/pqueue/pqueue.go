// Package pqueue is a priority queue. The queue keeps the position of each item, so that any item can be removed.
package pqueue

import (
	"container/heap"
	"iter"

	"github.com/unbit/spoolgore/internal/chunks"
)

// A Queue holds items with the least item on top. An item may be in several queues, each with its own index function.
// New makes a Queue. Only one goroutine may use a Queue.
type Queue[T any] struct{ inner[T] }

// New returns an empty queue ordered by less. index returns a pointer to the position of an item in this queue. The
// position must be -1 before the first Push of the item.
func New[T any](less func(a, b T) bool, index func(T) *int32) *Queue[T] {
	return &Queue[T]{inner[T]{less: less, index: index}}
}

// Len returns the number of items.
func (p *Queue[T]) Len() int { return p.inner.Len() }

// Top returns the least item; the queue must not be empty.
func (p *Queue[T]) Top() T { return *p.items.At(0) }

// Push adds x, or moves x to the right place if the queue has x already.
func (p *Queue[T]) Push(x T) {
	if i := *p.index(x); i >= 0 {
		heap.Fix(&p.inner, int(i))
		return
	}
	heap.Push(&p.inner, x)
}

// Remove removes x if x is in the queue.
func (p *Queue[T]) Remove(x T) {
	if i := *p.index(x); i >= 0 {
		heap.Remove(&p.inner, int(i))
	}
}

// Reorder moves every item to the right place, after a change of the values that less compares.
func (p *Queue[T]) Reorder() { heap.Init(&p.inner) }

// All yields the items in no particular order. The queue must not change meanwhile.
func (p *Queue[T]) All() iter.Seq[T] { return p.items.All() }

// inner implements heap.Interface.
type inner[T any] struct {
	items chunks.List[T]
	less  func(a, b T) bool
	index func(T) *int32
}

func (in *inner[T]) Len() int           { return in.items.Len() }
func (in *inner[T]) Less(i, j int) bool { return in.less(*in.items.At(i), *in.items.At(j)) }

func (in *inner[T]) Swap(i, j int) {
	a, b := in.items.At(i), in.items.At(j)
	*a, *b = *b, *a
	*in.index(*a), *in.index(*b) = int32(i), int32(j)
}

func (in *inner[T]) Push(x any) {
	item := x.(T)
	*in.index(item) = int32(in.Len())
	in.items.Push(item)
}

func (in *inner[T]) Pop() any {
	item := in.items.Pop()
	*in.index(item) = -1
	return item
}
