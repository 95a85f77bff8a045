package crew

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

func TestEveryJobIsDoneOnce(t *testing.T) {
	is := is.New(t)
	var c Crew
	var wg sync.WaitGroup
	var done [4][1000]atomic.Int32
	wg.Add(len(done) * len(done[0]))
	for i := range done {
		go func() {
			for j := range done[i] {
				c.Do(func() {
					done[i][j].Add(1)
					wg.Done()
				})
			}
		}()
	}
	wg.Wait()
	for i := range done {
		for j := range done[i] {
			is.Equal(done[i][j].Load(), int32(1))
		}
	}
}

func TestAFewGoroutinesAreEnoughAndNoneIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const jobs = 10 * share
		var c Crew
		var now, most atomic.Int32
		var wg sync.WaitGroup
		wg.Add(jobs)
		began := time.Now()
		for range jobs {
			c.Do(func() {
				defer wg.Done()
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second) // a slow disk
				now.Add(-1)
			})
		}
		wg.Wait()
		is.True(most.Load() >= 8)                           // so that jobs that take long do not pile up
		is.True(most.Load() <= 10)                          // but not one goroutine each
		is.True(time.Since(began) <= (share+2)*time.Second) // and a job waits for a share of others, not for all
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		is.Equal(c.workers, 0)
	})
}

func TestJobsComeInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		var c Crew
		var got []int
		for i := range share {
			c.Do(func() { got = append(got, i) }) // one goroutine: no lock
		}
		synctest.Wait()
		is.Equal(len(got), share)
		for i := range got {
			is.Equal(got[i], i)
		}
	})
}

func BenchmarkDo(b *testing.B) {
	var c Crew
	var wg sync.WaitGroup
	for b.Loop() {
		wg.Add(1)
		c.Do(wg.Done)
	}
	wg.Wait()
}
