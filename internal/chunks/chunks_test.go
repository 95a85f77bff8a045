package chunks

import (
	"slices"
	"testing"

	"github.com/matryer/is"
)

func TestList(t *testing.T) {
	is := is.New(t)
	var l List[int]
	for _, n := range []int{0, 1, size - 1, size, size + 1, 2*size + 1, 1} {
		var want []int
		for i := range n {
			l.Push(i)
			want = append(want, i)
		}
		is.Equal(l.Len(), n)
		is.Equal(slices.Collect(l.All()), want)
		for i := range n {
			is.Equal(*l.At(i), i)
		}
		for range l.All() {
			break // a caller may stop early
		}
		for i := n - 1; i >= 0; i-- {
			is.Equal(l.Pop(), i)
			is.Equal(l.Len(), i)
		}
		is.True(len(l.chunks) <= 1) // the memory of a long list is given back
	}
}

// An item stays where it is while the list grows behind the first chunk.
func TestItemsDoNotMove(t *testing.T) {
	is := is.New(t)
	var l List[int]
	for i := range size {
		l.Push(i)
	}
	first := l.At(0)
	for i := range 5 * size {
		l.Push(i)
	}
	is.True(first == l.At(0))
}
