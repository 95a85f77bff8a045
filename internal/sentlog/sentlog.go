// Package sentlog keeps the last outcomes of a spool: an entry for each recipient that a relay has accepted, or that
// was given up. Entries are lines of JSON in one file of bounded length; the file before it is kept, too. The entries
// of the two files answer "was my mail sent?" when the message file is gone.
//
// Add never waits for the disk. A goroutine writes the entries soon, without a sync: a killed process loses the last
// moments, a power cut perhaps some seconds. The status file and the journal say who has accepted; this log is for
// people only.
package sentlog

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	// Default is the usual number of entries.
	Default = 10_000

	lineSize   = 1 << 10               // mean bytes of an entry, at most: bounds the size of a file
	maxText    = 500                   // bytes of a text in an entry
	maxPending = 10_000                // entries that wait for the disk
	maxSpare   = 1_000                 // entries whose memory is used again, at most
	writeDelay = 50 * time.Millisecond // from an entry to its write: one write for many entries
	retryDelay = 5 * time.Second       // after a failed write
	closeLimit = 2 * time.Second       // Close waits for the disk so long
)

// An Entry is the outcome for one recipient. Its JSON is a line of the file, and of "spoolgore trace -json"; names and
// meanings are fixed.
type Entry struct {
	Time      time.Time
	Outcome   string // Sent or Failed
	File      string // name of the message file in the spool
	MessageID string `json:",omitempty"`
	From      string // envelope sender; empty: the null sender
	To        string // recipient
	Size      int64  // of the file, in bytes
	UID       string `json:",omitempty"` // user id of the owner of the file; empty: not known

	Since    time.Time `json:",omitzero"`  // when the message was first seen or, if later, could first be sent
	Attempt  int       `json:",omitempty"` // number of the transaction; zero: there was none
	Redirect string    `json:",omitempty"` // address that got the mail in place of To; empty: To
	Relay    string    `json:",omitempty"`
	Addr     string    `json:",omitempty"` // IP address and port of the relay
	TLS      string    `json:",omitempty"` // version; empty: none
	Reply    string    `json:",omitempty"` // of the relay
	Error    string    `json:",omitempty"` // why the recipient was given up
}

// Values of Entry.Outcome.
const (
	Sent   = "sent"   // accepted by a relay
	Failed = "failed" // given up
)

// cut bounds the texts of e.
func (e *Entry) cut() {
	for _, text := range []*string{&e.File, &e.MessageID, &e.From, &e.To, &e.Redirect, &e.Reply, &e.Error} {
		if len(*text) > maxText {
			*text = strings.ToValidUTF8((*text)[:maxText], "")
		}
	}
}

// A Log is the log of one spool. Its methods may be called by any goroutine.
type Log struct {
	fs     fsys.FS
	path   string
	report func(err error, recovered bool)
	quit   chan struct{} // closed by Close

	mu      sync.Mutex
	limit   int // entries in a file; zero: nothing is added
	pending []Entry
	writing []Entry         // taken from pending by the writing goroutine, and perhaps not in the file yet
	begun   map[string]bool // names of Begin without an entry yet
	closed  bool
	idle    chan struct{} // closed when the writing goroutine has ended; nil: there is none

	file    *current // of the writing goroutine; nil: not open
	failing bool     // likewise: the last write failed
	spare   []Entry  // likewise: memory for the next entries
	text    []byte   // likewise: memory for lines
}

// New returns the log of the spool directory dir, with limit entries in each of two files; zero: Add does nothing. It
// touches no file. report gets the first failure of a series of writes, and its end. Any goroutine may call report.
func New(on fsys.FS, dir string, limit int, report func(err error, recovered bool)) *Log {
	return &Log{
		fs: on, path: filepath.Join(dir, spooldir.SentFile), limit: limit, report: report, quit: make(chan struct{}),
	}
}

// SetLimit changes the number of entries in a file; zero: Add does nothing.
func (l *Log) SetLimit(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
}

// Begin says that a relay has accepted the message file, before the file is removed: an entry follows.
func (l *Log) Begin(file string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit <= 0 {
		return
	}
	if l.begun == nil {
		l.begun = make(map[string]bool)
	}
	l.begun[file] = true
}

// Has reports whether a relay has accepted the message file, and the entry may not be on disk yet. See Names for
// entries on disk.
func (l *Log) Has(file string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	is := func(e Entry) bool { return e.File == file && e.Outcome == Sent }
	return l.begun[file] || slices.ContainsFunc(l.pending, is) || slices.ContainsFunc(l.writing, is)
}

// Add adds an entry. It does not block. While the disk fails, only the oldest entries are kept for it.
func (l *Log) Add(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.begun, e.File)
	if l.limit <= 0 || l.closed || len(l.pending) >= maxPending {
		return
	}
	l.pending = append(l.pending, e)
	if l.idle == nil {
		l.idle = make(chan struct{})
		go l.run(l.idle)
	}
}

// Close writes the entries that wait. It waits for the disk for two seconds at most.
func (l *Log) Close() {
	l.mu.Lock()
	idle := l.idle
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.quit)
	l.mu.Unlock()
	if idle != nil {
		timer := time.NewTimer(closeLimit)
		defer timer.Stop()
		select {
		case <-idle:
		case <-timer.C:
			return // the goroutine ends with its write
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// run writes entries until none waits.
func (l *Log) run(idle chan struct{}) {
	defer close(idle)
	delay := writeDelay
	for {
		last := l.sleep(delay)
		l.mu.Lock()
		entries, limit := l.pending, l.limit
		if len(entries) == 0 {
			l.idle, l.spare, l.text = nil, nil, nil
			l.mu.Unlock()
			return
		}
		l.pending, l.writing = l.spare, entries
		l.mu.Unlock()
		rest, err := l.write(entries, limit)
		l.tell(err)
		l.mu.Lock()
		l.writing, l.spare = nil, nil
		if delay = writeDelay; err != nil {
			delay = retryDelay
			l.pending = append(rest, l.pending...)
		} else if cap(entries) <= maxSpare {
			clear(entries)
			l.spare = entries[:0]
		}
		l.mu.Unlock()
		if last && err != nil {
			return
		}
	}
}

// sleep waits for d, or until Close is called. It reports whether Close was called.
func (l *Log) sleep(d time.Duration) (last bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-l.quit:
		return true
	}
}

// tell reports the first failure of a series, and its end.
func (l *Log) tell(err error) {
	switch {
	case err != nil && !l.failing:
		l.report(err, false)
	case err == nil && l.failing:
		l.report(nil, true)
	}
	l.failing = err != nil
}

// current is the open file.
type current struct {
	fsys.File
	info  fs.FileInfo
	lines int
	size  int64
}

// write appends entries to the file. After an error rest are the entries that can still be written.
func (l *Log) write(entries []Entry, limit int) (rest []Entry, err error) {
	for len(entries) > 0 {
		if err := l.open(limit); err != nil {
			return entries, err
		}
		text, n := l.text[:0], 0
		for n < len(entries) && l.file.lines+n < max(1, limit) && l.file.size+int64(len(text)) < mostBytes(limit) {
			e := entries[n]
			e.cut()
			line, lineErr := e.appendLine(text)
			if n++; lineErr != nil {
				err = lineErr // such an entry can never be written
				continue
			}
			text = line
		}
		l.text = text
		if _, err := l.file.Write(text); err != nil {
			l.file.Close()
			l.file = nil // a part may be written: the next line begins anew
			return entries, err
		}
		l.file.lines, l.file.size = l.file.lines+n, l.file.size+int64(len(text))
		entries = entries[n:]
	}
	return nil, err
}

// mostBytes returns the size from which on a file gets no more entries.
func mostBytes(limit int) int64 { return int64(max(1, limit)) * lineSize }

// open opens the file, or another one if it is full or was removed.
func (l *Log) open(limit int) error {
	if l.file != nil {
		fi, err := l.fs.Lstat(l.path)
		if err == nil && fsys.SameFile(fi, l.file.info) && !l.file.full(limit) {
			return nil
		}
		l.file.Close()
		l.file = nil
	}
	f, err := openFile(l.fs, l.path)
	if err == nil && f.full(limit) {
		f.Close()
		if err = l.fs.Rename(l.path, l.path+oldSuffix); err == nil {
			f, err = openFile(l.fs, l.path)
		}
	}
	if err != nil {
		return err
	}
	l.file = f
	return nil
}

func (c *current) full(limit int) bool { return c.lines >= max(1, limit) || c.size >= mostBytes(limit) }

// oldSuffix ends the name of the file with the entries before those of the current file.
const oldSuffix = ".old"

// openFile opens the file at path to append lines. A line that was cut off is ended.
func openFile(on fsys.FS, path string) (*current, error) {
	f, err := spooldir.OpenAppendOn(on, path)
	if err != nil {
		return nil, err
	}
	c := &current{File: f}
	ended := true
	buf := make([]byte, 64<<10)
	for {
		n, readErr := f.Read(buf)
		c.lines, c.size = c.lines+bytes.Count(buf[:n], []byte("\n")), c.size+int64(n)
		if n > 0 {
			ended = buf[n-1] == '\n'
		}
		if err = readErr; err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		c.info, err = f.Stat()
	}
	if err == nil && !ended {
		_, err = f.Write([]byte("\n"))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return c, nil
}
