//go:build unix

package history

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// drainAll ends the history. Held and moved messages and second names are undone, the relay accepts every message that
// it does not refuse, and the daemon runs until the spool is empty. Half of the time, failed messages are tried once
// more.
func (h *history) drainAll(r *rand.Rand) {
	h.writers.Wait()
	h.mu.Lock()
	h.files, h.arrived = append(h.files, h.arrived...), nil
	h.mu.Unlock()
	h.did(nil, "the drain begins")
	for _, undo := range h.undo {
		undo()
	}
	if r.IntN(2) == 0 {
		h.start(true)
	}
	for _, f := range h.files {
		if f.place == away {
			h.bringBack(f)
		}
	}
	h.start(true)
	for _, f := range h.files {
		if f.place == inHold {
			h.shift(f, inSpool, false)
		}
	}
	if r.IntN(2) == 0 {
		if h.paused {
			h.wake()
		}
		h.stop(h.daemon()) // all transactions with older versions have ended
		h.drained = time.Now()
	}
	h.did(nil, "the relay accepts everybody but those whom it refuses")
	h.relay.open()
	h.empty()
	if r.IntN(2) == 0 {
		h.retryFailed(r)
		h.empty()
	}
	h.end(h.daemon())
}

// wake makes the daemon try every message now, and ends a pause.
func (h *history) wake() {
	d := h.daemon()
	if d == nil {
		h.t.Fatalf("seed %d: the daemon has ended by itself\n%s", h.seed, h.report())
	}
	n := d.heard("SIGURG")
	h.must(d.signal(syscall.SIGURG))
	h.must(eventually("daemon hears SIGURG", func() bool { return d.heard("SIGURG") > n || !d.running() }))
	h.paused = false
}

// empty flushes the daemon until the spool is empty and the status file has no message with a file. The status file
// keeps a message whose file is missing for ten minutes.
func (h *history) empty() {
	next := time.Now()
	end := time.Now().Add(patience)
	for {
		left := h.left()
		if len(left) == 0 && !h.waiting() {
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(h.status)
			h.found(nil, "the spool does not become empty: %q is left; the status file is %.1000s", left, text)
			return
		}
		if !time.Now().Before(next) {
			h.wake()
			next = time.Now().Add(200 * time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// waiting reports whether the status file has a message whose file is not missing.
func (h *history) waiting() bool {
	for _, m := range h.readStatus() {
		if m.Missing.IsZero() {
			return true
		}
	}
	return false
}

// left returns the files left in the spool, tmp/ and hold/, and the marks of reports that are not made yet. It reads
// the spool again after the marks, as the last report may have been made in between.
func (h *history) left() (names []string) {
	killed := slices.ContainsFunc(h.daemons, func(d *daemon) bool { return d.killed })
	for _, sub := range []string{".", "tmp", "hold", "failed", "."} {
		entries, err := os.ReadDir(filepath.Join(h.spool, sub))
		h.must(err)
		for _, e := range entries {
			own := sub == "." && (e.IsDir() || strings.HasPrefix(strings.TrimLeft(e.Name(), "."), "spoolgore."))
			// an incomplete report, which is kept for a day
			report := sub == "tmp" && strings.HasPrefix(e.Name(), ".put-") && killed
			kept := sub == "failed" && !strings.HasPrefix(e.Name(), ".untold-")
			if !own && !report && !kept {
				names = append(names, filepath.Join(sub, e.Name()))
			}
		}
	}
	return names
}

// retryFailed moves all messages back from failed/.
func (h *history) retryFailed(r *rand.Rand) {
	for _, f := range h.files {
		if f.place == inSpool && exists(h.failed(f.name)) {
			h.tryAgain(f, r.IntN(4) == 0)
		}
	}
}
