package progress

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/console"
)

func TestNothingWithoutATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		var out bytes.Buffer
		b := New(&out, "moving", 10)
		time.Sleep(time.Hour)
		b.Add(5)
		b.Set(7, 10)
		_, err := b.Write([]byte("a line of the log\n"))
		is.NoErr(err)
		b.Done()
		is.Equal(out.String(), "a line of the log\n") // the line, without a bar
		var none *Bar
		none.Add(1)
		none.Done()
	})
}

func TestTheBarOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		var out bytes.Buffer
		b := newBar(&out, "moving", 100, 80)
		b.Add(1)
		is.Equal(out.String(), "") // short work shows no bar
		time.Sleep(time.Second)
		b.Add(24)
		is.True(strings.Contains(out.String(), "moving  [##########------------------------------]  25/100  3s left"))
		out.Reset()
		b.Add(1)
		is.Equal(out.String(), "") // not for every step
		_, err := b.Write([]byte("msg\n"))
		is.NoErr(err)
		is.Equal(out.String(), "\r\x1b[Kmsg\n") // the bar is removed before a line
		time.Sleep(time.Second)
		b.Set(150, 200)
		out.Reset()
		b.Done()
		is.Equal(out.String(), "\r\x1b[K") // the bar is removed
		b.Add(1)
		is.Equal(out.String(), "\r\x1b[K")
	})
}

func TestTheBarFits(t *testing.T) {
	is := is.New(t)
	for _, width := range []int{40, 60, 80, 200} {
		for _, total := range []int64{0, 1, 1_000_000} {
			b := newBar(nil, "reading the headers of new messages", total, width)
			b.done = 123_456
			is.True(console.Columns(b.line(time.Hour)) < width)
		}
	}
}
