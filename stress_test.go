package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A wild Transport does everything that its contract allows, and some things that the contract does not allow. It
// records the acceptances.
type wild struct {
	rand       func(n int) int
	acceptsAll atomic.Bool // accept all recipients from now on

	mu       sync.Mutex
	accepted map[string]int
}

// Deliver returns too few or too many results, unknown faults, late errors, or proper results.
func (w *wild) Deliver(ctx context.Context, tx *Transaction) []Result {
	if n, err := io.Copy(io.Discard, tx.Content()); err != nil || n != tx.Size {
		return w.all(tx, fmt.Errorf("%d of %d octets: %w", n, tx.Size, err))
	}
	if w.acceptsAll.Load() {
		return w.accept(tx, len(tx.To), 0)
	}
	switch w.rand(12) {
	case 0:
		return nil
	case 1: // the last result is missing
		return w.accept(tx, len(tx.To)-1, 0)
	case 2: // it hangs until it is canceled, and then for some time
		<-ctx.Done()
		time.Sleep(time.Duration(w.rand(300)) * time.Millisecond)
		return w.all(tx, ctx.Err())
	case 3:
		return append(w.all(tx, errLater), make([]Result, 3)...)
	case 4:
		return w.all(tx, &DeliveryError{Fault: Fault(w.rand(9) - 2), Op: "x", Err: errors.New("any fault")})
	case 5:
		time.Sleep(time.Duration(w.rand(50)) * time.Millisecond)
	}
	return w.accept(tx, len(tx.To), 2)
}

func (w *wild) all(tx *Transaction, err error) []Result {
	results := make([]Result, len(tx.To))
	for i := range results {
		results[i].Err = err
	}
	return results
}

// accept returns results for the first n recipients. It defers one in so many; zero: none.
func (w *wild) accept(tx *Transaction, n, oneIn int) []Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	results := make([]Result, n)
	for i, to := range tx.To[:n] {
		if oneIn > 0 && w.rand(oneIn) == 0 {
			results[i].Err = &DeliveryError{Fault: FaultRecipient, Code: 450, Err: errLater}
			continue
		}
		w.accepted[to]++
	}
	return results
}

// Every method of a Spool is called by several goroutines at once while runs begin and end. Nothing hangs, and each
// recipient gets the message once. In a bubble, so 8 seconds cost little; the seed is printed. (Files that are
// held and released meanwhile are left to TestHoldAndReleaseAtOnceSendsNoSecondCopy.)
func TestEveryMethodAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.NewRelaxed(t)
		seed := rand.Uint64()
		t.Log("seed", seed)
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, 0))
		n := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
		ms := func(most int) time.Duration { return time.Duration(n(most)) * time.Millisecond }
		dir, w := t.TempDir(), &wild{rand: n, accepted: map[string]int{}}
		opts := exact(Options{Watch: WatchOff, Transport: w, Freq: 50 * time.Millisecond, Attempts: 1 << 20,
			Grace:   100 * time.Millisecond,
			Backoff: func(int) time.Duration { return time.Second + ms(1000) }})
		s := New(dir, opts)
		s.opts.Watch = WatchOff
		ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
		defer stop()
		var wg sync.WaitGroup
		repeat := func(most int, do func()) {
			wg.Go(func() {
				for ctx.Err() == nil {
					do()
					time.Sleep(time.Millisecond + ms(most))
				}
			})
		}
		repeat(10, func() {
			part, end := context.WithTimeout(ctx, ms(5000))
			defer end()
			run := s.Run
			if n(4) == 0 {
				run = s.Drain
			}
			_ = run(part) // ErrRunning, if the other one has the lock
		})
		repeat(1000, func() { // another run gets ErrRunning, unless no run has the lock at this moment
			part, end := context.WithTimeout(ctx, time.Millisecond)
			defer end()
			other := New(dir, opts)
			other.opts.Watch = WatchOff
			_ = other.Run(part)
		})
		var want []string
		var wantMu sync.Mutex
		put := func() {
			wantMu.Lock()
			defer wantMu.Unlock()
			i := len(want)
			to := []string{fmt.Sprintf("a%d@x.org", i), fmt.Sprintf("b%d@x.org", i)}
			text := strings.Replace(named, "<1@x>", fmt.Sprintf("<%d@x>", i), 1)
			env := Envelope{From: "s@x.org", To: to}
			if _, err := s.Put(t.Context(), env, strings.NewReader(text)); err == nil {
				want = append(want, to...)
			}
		}
		repeat(400, put)
		repeat(400, put)
		repeat(1000, s.Flush)
		repeat(200, func() { s.Pause(); time.Sleep(ms(30)); s.Resume() })
		repeat(20, func() { _ = s.Reload() })
		repeat(300, func() { _, _ = s.Status(), s.Health() })
		repeat(1000, func() {
			changed := opts
			changed.Concurrency, changed.Freq = 1+n(50), 10*time.Millisecond+ms(200)
			changed.Rate = []Rate{nil, {{10000, time.Second}}}[n(2)]
			is.NoErr(s.Reconfigure(changed))
		})
		wg.Wait()
		w.acceptsAll.Store(true)
		is.NoErr(s.Reconfigure(opts))
		s.Resume()
		end := launch(t, s)
		pass(time.Minute)
		s.Flush()
		pass(time.Minute)
		end()
		names, err := filepath.Glob(filepath.Join(dir, "*.eml"))
		is.NoErr(err)
		is.Equal(len(names), 0)                                           // all messages are sent
		is.True(!exists(dir, "failed") || len(ls(t, dir, "failed")) == 0) // no message is given up
		is.True(len(want) > 20)
		for _, to := range want {
			if w.accepted[to] != 1 {
				t.Errorf("%s has got the message %d times, want once", to, w.accepted[to])
			}
		}
	})
}
