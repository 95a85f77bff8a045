package compact

import (
	"fmt"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// Copies stay as they are while others are made, and share memory.
func TestJoiner(t *testing.T) {
	is := is.New(t)
	var j Joiner
	var copies []string
	text := func(i int) string { return strings.Repeat(fmt.Sprint(i, " "), 1+i%20) + strings.Repeat("x", i%7*200) }
	for i := range 2000 {
		source := []byte(text(i))
		copies = append(copies, j.Copy(source))
		clear(source)
	}
	for i, s := range copies {
		is.Equal(s, text(i))
	}
	short := []byte("0123456789")
	if n := testing.AllocsPerRun(1000, func() { j.Copy(short) }); n > 0.5 {
		t.Errorf("%v allocations for each copy", n)
	}
}
