// Package fairqueue hands out items of several users: the most urgent items first and, among equally urgent items, one
// item of each user in turn, so that a user with many items leaves the others a share. The items of a user belong to
// owners, which take turns in the same way. A user can invent owners, and gets no larger share by that.
package fairqueue

import (
	"iter"
	"math"

	"github.com/unbit/spoolgore/internal/pqueue"
)

// Queue holds the items. Only one goroutine may use a Queue. New makes a Queue.
type Queue[T any] struct {
	users *rotation[T, uint32]
	place func(T) *int32
	size  int
}

// Rules say how items are ordered.
type Rules[T any] struct {
	User   func(T) uint32
	Owner  func(T) string
	Urgent func(a, b T) bool // a goes before b, of any user and owner
	First  func(a, b T) bool // of two items of one owner that are equally urgent, a goes first
	Place  func(T) *int32    // pointer to the item's position; the position must be -1 before the first Push
}

// New returns an empty queue.
func New[T any](rules Rules[T]) *Queue[T] {
	items := func() lane[T] {
		return sorted[T]{pqueue.New(func(a, b T) bool {
			switch {
			case rules.Urgent(a, b):
				return true
			case rules.Urgent(b, a):
				return false
			}
			return rules.First(a, b)
		}, rules.Place)}
	}
	owners := func() lane[T] { return newRotation(rules.Urgent, rules.Owner, items) }
	return &Queue[T]{users: newRotation(rules.Urgent, rules.User, owners), place: rules.Place}
}

// Len returns the number of items.
func (q *Queue[T]) Len() int { return q.size }

// Push adds x, which must not be in the queue.
func (q *Queue[T]) Push(x T) {
	q.users.Push(x)
	q.size++
}

// Remove removes x if x is in the queue. User, owner and urgency of x must be the same as at Push.
func (q *Queue[T]) Remove(x T) {
	if *q.place(x) >= 0 {
		q.users.Remove(x)
		q.size--
	}
}

// Peek returns the next item. The queue must not be empty.
func (q *Queue[T]) Peek() T { return q.users.Top() }

// Next removes and returns the next item. The queue must not be empty.
func (q *Queue[T]) Next() T {
	x := q.users.Top()
	q.users.served(x)
	q.Remove(x)
	return x
}

// All yields all items, in no particular order. The queue must not change meanwhile.
func (q *Queue[T]) All() iter.Seq[T] { return q.users.each() }

// A lane holds items.
type lane[T any] interface {
	Len() int
	each() iter.Seq[T]
	Top() T
	Push(T)
	Remove(T)
	served(T) // Top is about to be removed because of its turn
}

// sorted is a lane of one owner.
type sorted[T any] struct{ *pqueue.Queue[T] }

func (sorted[T]) served(T) {}

func (s sorted[T]) each() iter.Seq[T] { return s.Queue.All() }

// A rotation is a lane made of lanes, one for each key of the items. The lanes take turns. A new lane goes before the
// lane that had the last turn, and after all others: so new lanes without end hold no lane up.
type rotation[T any, K comparable] struct {
	key   func(T) K
	make  func() lane[T]
	lanes map[K]*member[T]
	order *pqueue.Queue[*member[T]]
	turns int // number of calls of served
	made  int // number of lanes that were ever made
}

// A member is a lane of a rotation, with at least one item.
type member[T any] struct {
	lane[T]
	turn  int // number of the last turn, or of the turn before the lane was made
	made  int // order of lanes that were made after the same turn; math.MaxInt: the lane had that turn
	place int32
}

func newRotation[T any, K comparable](
	urgent func(a, b T) bool, key func(T) K, makeLane func() lane[T],
) *rotation[T, K] {
	r := &rotation[T, K]{key: key, make: makeLane, lanes: make(map[K]*member[T])}
	r.order = pqueue.New(func(a, b *member[T]) bool {
		x, y := a.Top(), b.Top()
		switch {
		case urgent(x, y):
			return true
		case urgent(y, x):
			return false
		}
		return a.turn < b.turn || a.turn == b.turn && a.made < b.made
	}, func(m *member[T]) *int32 { return &m.place })
	return r
}

func (r *rotation[T, K]) each() iter.Seq[T] {
	return func(yield func(T) bool) {
		for m := range r.order.All() {
			for x := range m.each() {
				if !yield(x) {
					return
				}
			}
		}
	}
}

// Len returns the number of lanes.
func (r *rotation[T, K]) Len() int { return len(r.lanes) }

// Top returns the next item.
func (r *rotation[T, K]) Top() T { return r.order.Top().Top() }

// Push adds x.
func (r *rotation[T, K]) Push(x T) {
	key := r.key(x)
	m := r.lanes[key]
	if m == nil {
		r.made++
		m = &member[T]{lane: r.make(), turn: r.turns, made: r.made, place: -1}
		r.lanes[key] = m
	}
	m.Push(x)
	r.order.Push(m)
}

// Remove removes x, which is in the rotation.
func (r *rotation[T, K]) Remove(x T) {
	key := r.key(x)
	m := r.lanes[key]
	r.order.Remove(m) // the order of lanes depends on their top items
	m.Remove(x)
	if m.Len() == 0 {
		delete(r.lanes, key)
		return
	}
	r.order.Push(m)
}

// served records the turn of the lane of x.
func (r *rotation[T, K]) served(x T) {
	m := r.lanes[r.key(x)]
	r.turns++
	m.turn, m.made = r.turns, math.MaxInt
	m.served(x)
}
