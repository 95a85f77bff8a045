package engine

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/matryer/is"
)

func TestWorkersDoAllWorkAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine still runs
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
		is.Equal(most.Load(), int64(3*maxIdle)) // all jobs run at the same time
		close(release)
		synctest.Wait()
		is.Equal(len(w.idle), maxIdle) // the other goroutines have ended
		for range 100 {
			w.do(func() { done.Add(1) })
			synctest.Wait()
		}
		is.Equal(len(w.idle), maxIdle) // idle goroutines are used again
		stop := make(chan struct{})
		w.do(func() { <-stop; done.Add(1) })
		w.close()
		close(stop)
		w.do(func() { done.Add(1) })
		synctest.Wait()
		is.Equal(done.Load(), int64(3*maxIdle+102)) // also jobs that run during close, and jobs after it
	})
}
