// Package fairqueue hands out items of several owners: the most urgent items first and, among equally urgent items, one
// item of each owner in turn, so that an owner with many items leaves the others a share.
package fairqueue

import "github.com/unbit/spoolgore/internal/pqueue"

// Queue holds the items. Only one goroutine may use a Queue. New makes a Queue.
type Queue[T any] struct {
	rules Rules[T]
	lanes map[string]*lane[T]
	order *pqueue.Queue[*lane[T]]
	size  int
	turns int // number of calls of Next
}

// Rules say how items are ordered.
type Rules[T any] struct {
	Owner  func(T) string
	Urgent func(a, b T) bool // a goes before b, of any owner
	First  func(a, b T) bool // of two items of one owner that are equally urgent, a goes first
	Place  func(T) *int32    // pointer to the item's position; the position must be -1 before the first Push
}

// lane holds the items of one owner, at least one item.
type lane[T any] struct {
	owner string
	items *pqueue.Queue[T]
	turn  int
	place int32
}

// New returns an empty queue.
func New[T any](rules Rules[T]) *Queue[T] {
	q := &Queue[T]{rules: rules, lanes: make(map[string]*lane[T])}
	q.order = pqueue.New(func(a, b *lane[T]) bool {
		x, y := a.items.Top(), b.items.Top()
		switch {
		case rules.Urgent(x, y):
			return true
		case rules.Urgent(y, x):
			return false
		}
		return a.turn < b.turn
	}, func(l *lane[T]) *int32 { return &l.place })
	return q
}

// Len returns the number of items.
func (q *Queue[T]) Len() int { return q.size }

// Push adds x, which must not be in the queue.
func (q *Queue[T]) Push(x T) {
	owner := q.rules.Owner(x)
	l := q.lanes[owner]
	if l == nil {
		l = &lane[T]{owner: owner, place: -1}
		l.items = pqueue.New(func(a, b T) bool {
			switch {
			case q.rules.Urgent(a, b):
				return true
			case q.rules.Urgent(b, a):
				return false
			}
			return q.rules.First(a, b)
		}, q.rules.Place)
		q.lanes[owner] = l
	}
	l.items.Push(x)
	q.size++
	q.order.Push(l)
}

// Remove removes x if x is in the queue. Owner and urgency of x must be the same as at Push.
func (q *Queue[T]) Remove(x T) {
	l := q.lanes[q.rules.Owner(x)]
	if l == nil || *q.rules.Place(x) < 0 {
		return
	}
	q.take(l, x)
}

// Next removes and returns the next item. The queue must not be empty.
func (q *Queue[T]) Next() T {
	l := q.order.Top()
	x := l.items.Top()
	q.turns++
	l.turn = q.turns
	q.take(l, x)
	return x
}

func (q *Queue[T]) take(l *lane[T], x T) {
	q.order.Remove(l) // the order of lanes depends on their top items
	l.items.Remove(x)
	q.size--
	if l.items.Len() == 0 {
		delete(q.lanes, l.owner)
		return
	}
	q.order.Push(l)
}
