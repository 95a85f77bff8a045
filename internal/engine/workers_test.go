package engine

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/matryer/is"
)

func TestWorkersDoAllWorkAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		is := is.New(t)
		var w workers
		var running, most, done atomic.Int64
		release := make(chan struct{})
		for range 3 * maxIdle {
			w.do(func() {
				most.Store(max(most.Load(), running.Add(1)))
				<-release
				running.Add(-1)
				done.Add(1)
			})
			synctest.Wait()
		}
		is.Equal(most.Load(), int64(3*maxIdle)) // work does not wait for other work
		close(release)
		synctest.Wait()
		is.Equal(len(w.idle), maxIdle) // the other goroutines have ended
		for range 100 {
			w.do(func() { done.Add(1) })
			synctest.Wait()
		}
		is.Equal(len(w.idle), maxIdle) // they are used again
		stop := make(chan struct{})
		w.do(func() { <-stop; done.Add(1) })
		w.close()
		close(stop)
		w.do(func() { done.Add(1) })
		synctest.Wait()
		is.Equal(done.Load(), int64(3*maxIdle+102)) // also work under way at close, and work after it
	})
}
