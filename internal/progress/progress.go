// Package progress shows the progress of a long operation: a bar on a terminal, and no output elsewhere.
package progress

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/console"
)

const (
	patience = 300 * time.Millisecond // shorter operations show no bar
	pace     = 100 * time.Millisecond // between two drawings
)

// A Bar is a progress bar. Its methods may be called from any goroutine. A nil Bar shows no progress.
type Bar struct {
	w       io.Writer
	what    string // "moving"
	width   int    // of the terminal, in columns
	visible bool   // there is a terminal

	mu          sync.Mutex
	done, total int64
	began, next time.Time
	drawn       bool
	midLine     bool // the last write past the bar did not end the line
}

// New returns a bar on w, usually standard error. what names the operation, as "moving". A total of zero means that the
// number of steps is unknown: the bar then counts. End it with Done.
func New(w io.Writer, what string, total int64) *Bar {
	b := newBar(w, what, total, console.Width(w))
	b.visible = console.IsTerminal(w)
	return b
}

func newBar(w io.Writer, what string, total int64, width int) *Bar {
	now := time.Now()
	return &Bar{w: w, what: what, width: width, visible: true, total: total, began: now, next: now.Add(patience)}
}

// Add adds n finished steps.
func (b *Bar) Add(n int64) { b.change(func() { b.done += n }) }

// Set sets the numbers of finished and of all steps. There may be more steps than expected.
func (b *Bar) Set(done, total int64) { b.change(func() { b.done, b.total = done, total }) }

func (b *Bar) change(what func()) {
	if b == nil || !b.visible {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	what()
	if now := time.Now(); !now.Before(b.next) && !b.midLine {
		b.next = now.Add(pace)
		b.draw(now)
	}
}

// Write writes whole lines past the bar, such as a log for the same terminal. Without a terminal it only writes.
func (b *Bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.visible {
		b.clear()
		b.midLine = len(p) > 0 && !bytes.HasSuffix(p, []byte("\n"))
	}
	return b.w.Write(p)
}

// Clear removes the bar, before other output to the terminal; the next step draws it again.
func (b *Bar) Clear() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

// Done takes the bar away for good.
func (b *Bar) Done() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.visible = false
}

func (b *Bar) clear() {
	if b.drawn {
		io.WriteString(b.w, "\r\x1b[K")
		b.drawn = false
	}
}

func (b *Bar) draw(now time.Time) {
	io.WriteString(b.w, "\r"+b.line(now.Sub(b.began))+"\x1b[K")
	b.drawn = true
}

// line is the bar after so much time: "moving [#####-----] 5000/10000 12s left", in less than the width of the
// terminal.
func (b *Bar) line(spent time.Duration) string {
	if b.total <= 0 {
		return console.Cut(fmt.Sprintf("%s  %d", b.what, b.done), b.width-1)
	}
	share := max(0, min(1, float64(b.done)/float64(b.total)))
	left := ""
	if b.done > 0 && share < 1 {
		left = "  " + console.Span(time.Duration(float64(spent)*(1-share)/share)) + " left"
	}
	text := fmt.Sprintf("  %d/%d%s", b.done, b.total, left)
	room := min(40, b.width-1-console.Columns(b.what)-console.Columns(text)-4)
	if room < 5 {
		return console.Cut(b.what+text, b.width-1)
	}
	full := int(share * float64(room))
	return b.what + "  [" + strings.Repeat("#", full) + strings.Repeat("-", room-full) + "]" + text
}
