// Package acceptlog keeps acceptances of a worker in a file until they are in the database. After a kill of the worker,
// the next worker on the host reads the file, and does not send these messages again.
//
// A line is one write to the file. No write waits for the disk: the file protects against the end of the process, not
// against the end of the host.
package acceptlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Line is the acceptance of a message for some recipients.
type Line struct {
	ID      int64     `json:"id"`
	UID     string    `json:"uid"`
	Created time.Time `json:"created"`
	Worker  int64     `json:"worker"`
	Lease   int       `json:"lease"`
	At      time.Time `json:"at"`
	Relay   string    `json:"relay,omitempty"`
	To      []string  `json:"to"`
}

// rotateSize is the size in octets from which the lines that are still needed go to a new file. With many needed lines,
// the file grows to twice their size.
const rotateSize = 1 << 20

// Log is the file of one worker. Several goroutines may call the methods. A nil Log has no file.
type Log struct {
	dir string

	mu     sync.Mutex
	file   *os.File // locked; nil after Close
	size   int64
	torn   bool             // the last write ended within a line
	most   int64            // size from which the needed lines go to a new file
	needed map[int64][]byte // lines of messages that are not recorded, by id
}

// Open makes a file in dir, and returns it with the lines of workers that have ended without recording them. release
// has to be called: with recorded set, if the database has these lines, release removes their files.
func Open(dir string) (l *Log, old []Line, release func(recorded bool), err error) {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return nil, nil, nil, err
	}
	var files []*os.File
	for _, name := range names {
		f, lines, err := readOld(name)
		if err != nil {
			closeAll(files)
			return nil, nil, nil, err
		}
		if f != nil {
			files, old = append(files, f), append(old, lines...)
		}
	}
	l = &Log{dir: dir, most: rotateSize, needed: make(map[int64][]byte)}
	if l.file, err = create(dir); err != nil {
		closeAll(files)
		return nil, nil, nil, err
	}
	return l, old, func(recorded bool) {
		for _, f := range files {
			if recorded {
				_ = os.Remove(f.Name()) // otherwise the lines are read again, without effect
			}
		}
		closeAll(files)
	}, nil
}

// pattern is the form of names of files.
const pattern = "accepted-*"

// readOld reads the file of a worker that has ended. Without a file, the worker runs.
func readOld(name string) (*os.File, []Line, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil // another worker has recorded the lines
	}
	if err != nil {
		return nil, nil, err
	}
	lines, there, err := linesOf(f)
	if err != nil || !there {
		f.Close()
		return nil, nil, err
	}
	return f, lines, nil
}

// linesOf locks f and returns the lines. There is false if the worker runs, or if f has no name any more: the worker
// has ended with all lines recorded, or has moved the needed lines to another file.
func linesOf(f *os.File) (lines []Line, there bool, err error) {
	if got, err := lock(f); err != nil || !got || !named(f) {
		return nil, false, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, false, err
	}
	for line := range bytes.Lines(text) {
		var x Line
		if json.Unmarshal(line, &x) == nil { // the last line may be torn
			lines = append(lines, x)
		}
	}
	return lines, true, nil
}

// named reports whether f still has its name.
func named(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(f.Name())
	return err == nil && os.SameFile(mine, there)
}

// create makes a locked file.
func create(dir string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(dir, pattern)
		if err != nil {
			return nil, err
		}
		got, err := lock(f)
		if err != nil {
			f.Close()
			return nil, errors.Join(err, os.Remove(f.Name()))
		}
		if got && named(f) {
			return f, nil
		}
		f.Close() // another worker has taken the new file for one of a worker that has ended
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Add writes a line. An error is no reason to stop: without the line, a kill of the worker may make a copy.
func (l *Log) Add(x Line) error {
	if l == nil {
		return nil
	}
	text, err := json.Marshal(x)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return os.ErrClosed
	}
	l.needed[x.ID] = text
	return l.write(text)
}

// write writes a line. After a part of a line, which an error has left, the line begins anew.
func (l *Log) write(line []byte) error {
	if l.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	l.torn = n > 0 && n < len(line) || n == 0 && l.torn
	return err
}

// Drop says that the database has the acceptances of messages.
func (l *Log) Drop(ids ...int64) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.needed, id)
	}
	if l.size >= l.most && l.file != nil {
		l.rotate()
	}
}

// rotate writes the lines that are needed to a new file, and removes the old one. After an error the old file stays in
// use.
func (l *Log) rotate() {
	l.most += rotateSize // after an error the next try comes with as many lines again
	f, err := create(l.dir)
	if err != nil {
		return
	}
	var text []byte
	for _, line := range l.needed {
		text = append(text, line...)
	}
	if _, err := f.Write(text); err != nil {
		_ = os.Remove(f.Name())
		f.Close()
		return
	}
	_ = os.Remove(l.file.Name())
	l.file.Close()
	l.file, l.size, l.torn = f, int64(len(text)), false
	l.most = max(rotateSize, 2*l.size)
}

// Close removes the file if the database has all its lines.
func (l *Log) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.needed) == 0 {
		_ = os.Remove(l.file.Name())
	}
	l.file.Close()
	l.file = nil
}
