package logger

import (
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	maxQueued  = 256 << 10       // bytes of lines that wait for the reader
	maxJoined  = 4 << 10         // bytes of lines in one write, which a pipe takes whole (pipe(7)), or one longer line
	flushLimit = 2 * time.Second // how long the end of the process waits for the reader
)

// NewLossy is New for a process that must not wait for the reader of its log. Where w is a pipe, a socket or a
// terminal,
// lines that find no room are dropped, and a line says how many when there is room again; a reader that is gone loses
// all lines. Call flush at the end of the process.
func NewLossy(w io.Writer, level slog.Leveler, asJSON bool) (log *slog.Logger, flush func()) {
	f, ok := w.(*os.File)
	if !ok {
		return New(w, level, asJSON), func() {}
	}
	if fi, err := f.Stat(); err != nil || fi.Mode().IsRegular() {
		return New(w, level, asJSON), func() {}
	}
	toJournal := isJournal(w, os.Getenv)
	l := newLossy(f, newLogger(f, nil, asJSON, toJournal))
	return newLogger(l, level, asJSON, toJournal), func() { l.flush(flushLimit) }
}

// lossy is a writer of lines that never blocks.
type lossy struct {
	w   io.Writer
	log *slog.Logger // writes to w

	mu      sync.Mutex
	lines   [][]byte      // guarded by mu, like the following fields
	size    int           // bytes in lines
	dropped int           // lines
	writing bool          // a goroutine writes lines
	idle    chan struct{} // closed when that goroutine has ended
}

func newLossy(w io.Writer, log *slog.Logger) *lossy { return &lossy{w: w, log: log} }

// Write takes one line, or drops it if too many wait.
func (l *lossy) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+len(line) > maxQueued {
		l.dropped++
		return len(line), nil
	}
	l.lines, l.size = append(l.lines, append([]byte(nil), line...)), l.size+len(line)
	if !l.writing {
		l.writing, l.idle = true, make(chan struct{})
		go l.write(l.idle)
	}
	return len(line), nil
}

// write writes the lines that wait, until none is left. A line that cannot be written is lost.
func (l *lossy) write(idle chan struct{}) {
	defer close(idle)
	for {
		l.mu.Lock()
		lines, dropped := l.lines, l.dropped
		l.lines, l.dropped = nil, 0
		if len(lines) == 0 && dropped == 0 {
			l.writing = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for len(lines) > 0 {
			text, n := lines[0], 1
			for ; n < len(lines) && len(text)+len(lines[n]) <= maxJoined; n++ {
				text = append(text, lines[n]...)
			}
			_, _ = l.w.Write(text)
			lines = lines[n:]
			l.mu.Lock()
			l.size -= len(text)
			l.mu.Unlock()
		}
		if dropped > 0 {
			l.log.Warn("log lines dropped, for want of a reader", "lines", dropped)
		}
	}
}

// flush waits until the lines are written, at most for a while.
func (l *lossy) flush(limit time.Duration) {
	l.mu.Lock()
	idle, writing := l.idle, l.writing
	l.mu.Unlock()
	if !writing {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}
