package spooldir

import (
	"errors"
	"os"
	"sync"
)

// Why there is no notification. Test with errors.Is.
var (
	ErrNoWatch  = errors.New("no file notification on this system")
	ErrUnlinked = errors.New("spool directory was removed or renamed")
)

// How says how a file came to its name.
type How uint8

// The ways in which a file comes to its name.
const (
	Noticed How = iota // closed by a writer, touched, or not known
	Renamed            // renamed, and not written to since
	Created            // created or linked, and not written to since
	Written            // written to under its name
)

// An Arrival is a file that came or changed.
type Arrival struct {
	Name string
	How  How // the last that happened, Noticed left out
}

// An Event is a hint that something has happened in the spool. Events get lost on network file systems and say nothing
// of what happened before Watch, so they can only make a scan come earlier.
type Event struct {
	Files  []Arrival // usable names of files that came or changed, sorted, each once
	Gone   []string  // likewise, of files that went away; by now there may be another one
	Rescan bool      // more has happened than Files tells: read the directory
	End    uint64    // position of the end of the event, see Watcher.Mark
}

// A Watcher notices what happens in the spool.
type Watcher struct {
	f        *os.File
	events   chan Event
	closing  chan struct{}
	finished chan struct{} // closed after err was set
	err      error
	once     sync.Once

	mu     sync.Mutex
	read   uint64 // bytes of notices that were read
	done   uint64 // those of them that were handed on, or that no event had to tell of
	marked uint64 // position up to which events are wanted, even without names
}

// Watch begins to watch the spool. ErrNoWatch: the system has no inotify. Other errors: the directory is missing, or
// the kernel's limit of watches is reached. The Watcher has to be closed.
func (d *Dir) Watch() (*Watcher, error) { return startWatch(d) }

// Events returns the channel of events. What happens while nobody receives is collected by the kernel, within limits:
// beyond them one event says Rescan. The channel is closed after Close, after a read error, and after the Rescan that
// reports that the directory was removed, renamed or unmounted.
func (w *Watcher) Events() <-chan Event { return w.events }

// Err tells why the channel was closed: nil after Close, ErrUnlinked if the directory is gone. Before that it waits.
func (w *Watcher) Err() error {
	<-w.finished
	return w.err
}

// Close ends the watch and waits for its goroutine. It may be called more than once.
func (w *Watcher) Close() error {
	var err error
	w.once.Do(func() {
		close(w.closing)
		err = w.f.Close() // wakes the goroutine from its read
	})
	<-w.finished
	return err
}
