package pqueue

import (
	"math/rand/v2"
	"testing"

	"github.com/matryer/is"
)

type item struct {
	key  int
	a, b int32
}

func TestQueueReturnsTheLeastItemAndRemovesAny(t *testing.T) {
	is := is.New(t)
	rng := rand.New(rand.NewPCG(1, 2))
	up := New(func(x, y *item) bool { return x.key < y.key }, func(x *item) *int32 { return &x.a })
	down := New(func(x, y *item) bool { return x.key > y.key }, func(x *item) *int32 { return &x.b })
	in := map[*item]bool{}
	for range 5000 {
		switch n := rng.IntN(4); {
		case n < 2 || len(in) == 0:
			x := &item{key: rng.IntN(100), a: -1, b: -1}
			up.Push(x)
			down.Push(x)
			in[x] = true
		default:
			for x := range in {
				if n == 2 {
					delete(in, x)
					up.Remove(x)
					down.Remove(x)
					up.Remove(x) // a second Remove has no effect
				} else {
					up.Remove(x)
					down.Remove(x)
					x.key = rng.IntN(100)
					up.Push(x)
					down.Push(x)
					down.Push(x) // a second Push has no effect
				}
				break
			}
		}
		is.Equal(up.Len(), len(in))   // the first queue holds what was pushed
		is.Equal(down.Len(), len(in)) // and so does the second queue, independently
		for x := range in {
			is.True(up.Top().key <= x.key)   // no item is less
			is.True(down.Top().key >= x.key) // no item is greater, in the other order
		}
	}
}

func TestReorderPutsAllInTheirPlaces(t *testing.T) {
	is := is.New(t)
	rng := rand.New(rand.NewPCG(1, 2))
	p := New(func(x, y *item) bool { return x.key < y.key }, func(x *item) *int32 { return &x.a })
	for i := range 3000 {
		p.Push(&item{key: i, a: -1})
	}
	for x := range p.All() {
		x.key = rng.IntN(10_000)
	}
	p.Reorder()
	for last := -1; p.Len() > 0; {
		x := p.Top()
		is.True(last <= x.key)
		last = x.key
		p.Remove(x)
		is.Equal(x.a, int32(-1))
	}
}
