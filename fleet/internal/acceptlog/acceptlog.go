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

// rotateSize is the size in octets from which the lines that are still needed go to a new file.
const rotateSize = 1 << 20

// Log is the file of one worker. Several goroutines may call the methods. A nil Log has no file.
type Log struct {
	dir string

	mu     sync.Mutex
	file   *os.File // locked; nil after Close
	size   int64
	needed map[int64][]byte // lines of messages that are not recorded, by id
}

// Open makes a file in dir, and returns it with the lines of workers that have ended without recording them. forget
// removes the files with these lines, and has to be called when the database has them.
func Open(dir string) (l *Log, old []Line, forget func(), err error) {
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
	l = &Log{dir: dir, needed: make(map[int64][]byte)}
	if l.file, err = create(dir); err != nil {
		closeAll(files)
		return nil, nil, nil, err
	}
	return l, old, func() {
		for _, f := range files {
			_ = os.Remove(f.Name()) // otherwise the lines are read again, without effect
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
	if got, err := lock(f); err != nil || !got {
		f.Close()
		return nil, nil, err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	var lines []Line
	for line := range bytes.Lines(text) {
		var x Line
		if json.Unmarshal(line, &x) == nil { // the last line may be torn
			lines = append(lines, x)
		}
	}
	return f, lines, nil
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
		mine, _ := f.Stat()
		if there, err := os.Stat(f.Name()); got && err == nil && os.SameFile(mine, there) {
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
	n, err := l.file.Write(text)
	l.size += int64(n)
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
	if l.size >= rotateSize && l.file != nil {
		l.rotate()
	}
}

// rotate writes the lines that are needed to a new file, and removes the old one. After an error the old file stays in
// use.
func (l *Log) rotate() {
	l.size = 0 // after an error the next try comes with as many lines again
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
	l.file, l.size = f, int64(len(text))
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
