package engine

import (
	"testing"

	"github.com/matryer/is"
)

// A queue that is never empty takes no more memory than its items need.
func TestFifoReusesMemory(t *testing.T) {
	is := is.New(t)
	var f fifo[int]
	in, out, batch := 0, 0, []int(nil)
	for range 1000 {
		for range 16 {
			f.add(in)
			in++
		}
		n := 16
		if in == 16 {
			n = 8 // from now on the queue is never empty
		}
		batch = f.take(batch, n)
		for _, x := range batch {
			is.Equal(x, out)
			out++
		}
		is.Equal(f.len(), in-out)
	}
	is.Equal(f.len(), 8)
	is.True(cap(f.items) <= 4*(16+8))
}
