package engine

// fifo is a first-in, first-out queue. It reuses its memory. The zero value is empty.
type fifo[T any] struct {
	items []T
	head  int // number of items taken
}

// maxReuse is the capacity up to which the memory of an empty slice is kept.
const maxReuse = 64

// reuse returns the memory of a finished slice for another slice.
func reuse[T any](s []T) []T {
	if cap(s) > maxReuse {
		return nil
	}
	clear(s)
	return s[:0]
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

// add appends an item. If half of the memory belongs to items already taken, that memory is used again.
func (f *fifo[T]) add(x T) {
	if len(f.items) == cap(f.items) && f.head > 0 && 2*f.head >= len(f.items) {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, x)
}

// take moves the first n items, or all if there are fewer, into the memory of to.
func (f *fifo[T]) take(to []T, n int) []T {
	first := f.items[f.head:min(f.head+n, len(f.items))]
	to = append(to[:0], first...)
	clear(first)
	f.head += len(first)
	if f.len() == 0 {
		*f = fifo[T]{items: reuse(f.items)}
	}
	return to
}
