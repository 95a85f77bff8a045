//go:build unix

package history

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Small histories, each around one known fault: while the fault is listed the model has to find it, which shows that
// the model can fail; when it is not, the small history has to pass.

// A small is a small history.
type small struct {
	gate  gate
	tries int // so many histories may pass before the fault is found
	play  func(h *history)
}

// pause is how long a small history waits for the fault: without it the daemon must not take what has lain still for
// two seconds for half a file.
func (s small) pause() time.Duration {
	if s.gate.listed() {
		return patience
	}
	return 300 * time.Millisecond
}

func TestSmallHistoryFindsRename(t *testing.T) {
	t.Parallel()
	small{renaming, 3, func(h *history) {
		f := h.dropCrafted([]string{accept, stay}, 3, plan{})
		h.start(true)
		h.until(f, accepted, deferred)
		h.rename(h.random(1))
		time.Sleep(200 * time.Millisecond)
	}}.run(t)
}

func TestSmallHistoryFindsFileInPieces(t *testing.T) {
	t.Parallel()
	s := small{gate: writing, tries: 3}
	s.play = func(h *history) {
		h.start(true)
		m := crafted(1, []string{accept}, 3, plan{})
		f := h.take(m)
		content := m.inFile(m.last())
		cut := len(content) - 20
		m.faults[string(writing)] = true
		h.must(appendTo(h.path(f), os.O_CREATE, content[:cut]))
		h.did(m, "%s begins to grow in pieces, closed after each", f.name)
		for end := time.Now().Add(s.pause()); !h.relay.has(m.rcpts[0].addr) && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
		h.did(m, "append the rest to %s: %s", f.name, outcome(appendTo(h.path(f), 0, content[cut:])))
	}
	s.run(t)
}

func TestSmallHistoryFindsOverwriteInFlight(t *testing.T) {
	t.Parallel()
	small{writing, 3, func(h *history) {
		h.start(true)
		half := make(chan struct{})
		defer close(half)
		h.dropCrafted([]string{accept}, 40_000, plan{half: half})
		h.must(eventually("the content is on its way", func() bool { return h.relay.conversing() > 0 }))
		h.overwrite(h.random(4))
	}}.run(t)
}

// TestSmallHistoryFindsHoldAndRelease needs luck, and so many tries that only the long run has the time.
func TestSmallHistoryFindsHoldAndRelease(t *testing.T) {
	if mode() != long {
		t.Skip("SPOOLGORE_LAB=long asks for it")
	}
	small{holding, 40, func(h *history) {
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
	}}.run(t)
}

// run plays the small history until something is found, or until it was played often enough.
func (s small) run(t *testing.T) {
	listed := s.gate.listed()
	tries := 1
	if listed {
		tries = s.tries
	}
	first := seeds(t, 1)[0]
	for i := range tries {
		h := newHistory(t, first+uint64(i), opened{s.gate: true})
		h.run(func() { s.play(h) })
		switch {
		case listed && len(h.findings) > 0:
			f := h.findings[0]
			t.Logf("known fault %s, seed %d, history %d: %s%s", s.gate, h.seed, i+1, of(f.mail), f.text)
			if report := h.report(); !strings.Contains(report, "BROKEN") || !strings.Contains(report, "ledger") {
				t.Errorf("the report does not tell it: %s", report)
			}
			return
		case len(h.findings) > 0:
			t.Fatalf("\n%s", h.report())
		}
	}
	if listed {
		t.Errorf("%d small histories from seed %d on do not find %s, which is listed as known: "+
			"is it fixed? Then take it off the list", tries, first, s.gate)
	}
}

// dropCrafted drops a message with recipients of those kinds.
func (h *history) dropCrafted(kinds []string, lines int, p plan) *file {
	m := crafted(len(h.mails)+1, kinds, lines, p)
	f := h.take(m)
	h.dropRenamed(m, f, nil)
	return f
}

// crafted makes a mail with recipients of those kinds.
func crafted(n int, kinds []string, lines int, p plan) *mail {
	m := &mail{n: n, copies: 1, faults: map[string]bool{}, lines: lines, plan: p}
	for i, kind := range kinds {
		m.rcpts = append(m.rcpts, &rcpt{addr: fmt.Sprintf("r%d.m%d.%s@lab.test", i, n, kind), kind: kind})
	}
	return m
}

// until waits until the ledger has a row of each kind for the message.
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
	h.must(eventually("it is in the log", func() bool {
		return h.daemon().count(func(l *line) bool { return l.Msg == "delivered" && l.From == f.m.from() }) > 0
	}))
	_, err := os.Lstat(h.path(f))
	h.must(err)
}
