package logger

import (
	"bytes"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/addrmask"
)

// calls counts the calls of Write.
type calls struct {
	bytes.Buffer
	n int
}

func (c *calls) Write(p []byte) (int, error) {
	c.n++
	return c.Buffer.Write(p)
}

func TestLinesOfTogetherAreWrittenWithOneCall(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	w := new(calls)
	log := New(w, nil, false)
	handler, ok := addrmask.NewHandler(log.With("a", "b").Handler(), nil).(interface{ Together(f func()) })
	is.True(ok)
	log.Info("first")
	is.Equal(w.n, 1) // at once
	handler.Together(func() {
		log.Info("second")
		handler.Together(func() { log.Info("third") })
		is.Equal(w.n, 1)
	})
	is.Equal(w.n, 2)
	log.Info("fourth")
	is.Equal(w.n, 3) // at once again
	text := w.String()
	is.Equal(strings.Count(text, "\n"), 4)
	is.True(strings.Index(text, "second") < strings.Index(text, "third"))
	func() {
		defer func() { recover() }()
		handler.Together(func() {
			log.Info("fifth")
			panic("in an observer")
		})
	}()
	is.True(strings.Contains(w.String(), "fifth")) // the line is written
	was := w.n
	handler.Together(func() {
		for range 2 * maxTogether / 100 {
			log.Info(strings.Repeat("x", 100))
		}
		is.True(w.n > was) // the buffer is bounded
	})
}
