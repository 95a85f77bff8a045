//go:build unix

package history

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// Small histories, each for one fault of an earlier version.

func TestSmallHistoryRename(t *testing.T) {
	t.Parallel()
	small(t, func(h *history) {
		f := h.dropCrafted([]string{accept, stay}, 3, plan{})
		h.start(true)
		h.until(f, accepted, deferred)
		h.rename(h.random(1))
		time.Sleep(200 * time.Millisecond)
	})
}

func TestSmallHistoryFileInPieces(t *testing.T) {
	t.Parallel()
	small(t, func(h *history) {
		h.start(true)
		m := crafted(1, []string{accept}, 3, plan{})
		f := h.take(m)
		content := m.inFile(m.last())
		cut := len(content) - 20
		h.must(appendTo(h.path(f), os.O_CREATE, content[:cut]))
		h.did(m, "%s begins to grow in pieces, closed after each", f.name)
		for end := time.Now().Add(300 * time.Millisecond); !h.relay.has(m.rcpts[0].addr) && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
		h.did(m, "append the rest to %s: %s", f.name, outcome(appendTo(h.path(f), 0, content[cut:])))
	})
}

func TestSmallHistoryOverwriteInFlight(t *testing.T) {
	t.Parallel()
	small(t, func(h *history) {
		h.start(true)
		half := make(chan struct{})
		defer close(half)
		h.dropCrafted([]string{accept}, 40_000, plan{half: half})
		h.must(eventually("the relay reads the content", func() bool { return h.relay.conversing() > 0 }))
		h.overwrite(h.random(4))
	})
}

// TestSmallHistoryHoldAndRelease takes long, so it is part of the long run only.
func TestSmallHistoryHoldAndRelease(t *testing.T) {
	if !long() {
		t.Skip("SPOOLGORE_LAB=long asks for it")
	}
	small(t, func(h *history) {
		var files []*file
		for range 10 {
			files = append(files, h.dropCrafted([]string{accept, stay}, 3, plan{}))
		}
		h.start(true)
		for _, f := range files {
			h.until(f, accepted, deferred)
		}
		for i := range 30 {
			h.flicker(h.random(i + 1))
		}
	})
}

// small plays a small history and checks the invariants.
func small(t *testing.T, play func(h *history)) {
	h := newHistory(t, seeds(t, 1)[0])
	defer h.explain()
	h.run(func() { play(h) })
}

// dropCrafted drops a message with recipients of the given kinds.
func (h *history) dropCrafted(kinds []string, lines int, p plan) *file {
	m := crafted(len(h.mails)+1, kinds, lines, p)
	f := h.take(m)
	h.dropRenamed(m, f, nil)
	return f
}

// crafted returns a mail with recipients of the given kinds.
func crafted(n int, kinds []string, lines int, p plan) *mail {
	m := &mail{n: n, copies: 1, lines: lines, plan: p}
	for i, kind := range kinds {
		m.rcpts = append(m.rcpts, &rcpt{addr: fmt.Sprintf("r%d.m%d.%s@lab.test", i, n, kind), kind: kind})
	}
	return m
}

// until waits until the ledger has each of the outcomes for the message.
func (h *history) until(f *file, what ...string) {
	h.must(eventually(fmt.Sprintf("%s: %q", f.name, what), func() bool {
		rows := h.relay.ledger()
		for _, kind := range what {
			if !slices.ContainsFunc(rows, func(w row) bool { return w.mail == f.m.n && w.what == kind }) {
				return false
			}
		}
		return true
	}))
	h.must(eventually("the log has the delivery", func() bool {
		return h.daemon().count(func(l *line) bool { return l.Msg == "delivered" && l.From == f.m.from() }) > 0
	}))
	_, err := os.Lstat(h.path(f))
	h.must(err)
}
