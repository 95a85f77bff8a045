package spoolgore

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
)

// heldSpool is a spool with many messages. Each has been accepted for its first recipient and waits for the second.
type heldSpool struct {
	dir   string
	n     int
	relay *ledger
	opts  Options
}

func newHeldSpool(t *testing.T, n int) *heldSpool {
	t.Helper()
	h := &heldSpool{dir: t.TempDir(), n: n, relay: &ledger{answer: deferB}}
	h.opts = exact(Options{Transport: h.relay, Freq: 5 * time.Millisecond, Backoff: seldom,
		StatusFile: filepath.Join(t.TempDir(), "status.js")})
	for i := range n {
		text := strings.NewReplacer("a@x.org", h.to(i), "<1@x>", fmt.Sprintf("<%d@x>", i)).Replace(named)
		drop(t, h.dir, h.name(i), text)
	}
	return h
}

func (h *heldSpool) name(i int) string { return fmt.Sprint("m", i) }
func (h *heldSpool) to(i int) string   { return fmt.Sprintf("a%d@x.org", i) }

// run runs the spool until stop is called.
func (h *heldSpool) run(t *testing.T) (s *Spool, stop func()) {
	t.Helper()
	s = New(h.dir, h.opts)
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx) }()
	return s, func() { cancel(); check(t, <-end) }
}

// hold moves a message to hold/, and release moves it back.
func (h *heldSpool) hold(t *testing.T, i int) {
	shift(t, h.dir, filepath.Join(h.dir, "hold"), h.name(i))
}
func (h *heldSpool) release(t *testing.T, i int) {
	shift(t, filepath.Join(h.dir, "hold"), h.dir, h.name(i))
}

// again returns the number of second copies.
func (h *heldSpool) again() (copies int) {
	h.relay.mu.Lock()
	defer h.relay.mu.Unlock()
	for _, o := range h.relay.offered {
		if o.err == nil {
			copies++
		}
	}
	return copies - h.n
}

// queued reports whether all messages wait, and none is held.
func (h *heldSpool) queued(s *Spool) bool {
	waiting := 0
	for _, m := range s.Status() {
		if m.Held.IsZero() && m.Attempts > 0 {
			waiting++
		}
	}
	return waiting == h.n
}

// allTried waits until each message has been tried.
func (h *heldSpool) allTried(t *testing.T) {
	t.Helper()
	soon(t, "all messages are tried", func() bool { return h.again() >= 0 })
}

// Messages are held and released at once, many times, while the daemon scans the directory, until there is a second
// copy. The test runs in real time, as the fault is a race.
func TestHoldAndReleaseAtOnceSendsNoSecondCopy(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F2/running", func(t *testing.T) error {
		h := newHeldSpool(t, 20)
		_, stop := h.run(t)
		h.allTried(t)
		const most = 20_000
		moves := 0
		for ; moves < most && h.again() == 0; moves++ {
			h.hold(t, moves%h.n)
			h.release(t, moves%h.n)
		}
		stop()
		if n := h.again(); n > 0 {
			return fmt.Errorf("%d second copies after %d times of hold and release", n, moves)
		}
		return nil
	})
}

// Held messages are released while a daemon starts.
func TestReleaseAtStartSendsNoSecondCopy(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F2/starting", func(t *testing.T) error {
		h := newHeldSpool(t, 20)
		_, stop := h.run(t)
		h.allTried(t)
		stop()
		starts := 0
		for ; starts < 50 && h.again() == 0; starts++ {
			for i := range h.n {
				h.hold(t, i)
			}
			s, stop := h.run(t)
			for i := range h.n {
				time.Sleep(100 * time.Microsecond)
				h.release(t, i)
			}
			soon(t, "all messages are queued again", func() bool { return h.queued(s) })
			stop()
		}
		if n := h.again(); n > 0 {
			return fmt.Errorf("%d second copies after %d starts", n, starts)
		}
		return nil
	})
}
