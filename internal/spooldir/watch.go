package spooldir

import (
	"errors"
	"os"
	"sync"
)

// Why there is no notification. Test with errors.Is.
var (
	ErrNoWatch  = errors.New("no file notification on this system")
	ErrUnlinked = errors.New("spool directory, or one above it, was removed or renamed")
)

// How is the way in which a file got its name.
type How uint8

// The ways in which a file gets its name.
const (
	Noticed How = iota // closed by a writer, touched, or not known
	Renamed            // renamed, and not written to since
	Created            // created or linked, and not written to since
	Written            // written to under its name
)

// An Arrival is a file that came or changed.
type Arrival struct {
	Name string
	How  How // the last change; Noticed does not count
}

// An Event is a hint that the spool has changed. Events get lost on network file systems (see Watcher.Complete), and
// there are no events for changes before Watch, so an event can only make a scan come earlier.
type Event struct {
	Files  []Arrival // valid names of files that came or changed, sorted and unique
	Gone   []string  // valid names of files that went away, sorted and unique; a new file may have the name by now
	Rescan bool      // more has happened than Files tells: read the directory
	Doubt  bool      // the lock file or a subdirectory was removed, perhaps with the spool: scan within some seconds
	End    uint64    // position of the end of the event, see Watcher.Mark

	subGone bool // a subdirectory was removed, perhaps with the spool
}

// A Watcher notices changes in the spool.
type Watcher struct {
	f        *os.File
	table    *os.File      // of mounts; nil: the system does not tell of mounts
	mounts   chan struct{} // has room for one: a file system was mounted or unmounted
	events   chan Event
	closing  chan struct{}
	finished chan struct{} // closed after err was set
	err      error
	once     sync.Once
	complete bool

	mu     sync.Mutex
	read   uint64 // number of read bytes of notices
	done   uint64 // number of bytes of notices that were passed on, or needed no event
	marked uint64 // position up to which events are wanted, even without names
}

// Watch begins to watch the spool. ErrNoWatch: the system has no inotify. Other errors: the directory is missing, or
// the kernel's limit of watches is reached. The Watcher has to be closed.
func (d *Dir) Watch() (*Watcher, error) { return startWatch(d) }

// Events returns the channel of events. Without a receiver the kernel collects events, within limits: beyond the limits
// one event says Rescan. The channel is closed after Close, after a read error, and after the Rescan that reports that
// the directory was removed, renamed or unmounted.
func (w *Watcher) Events() <-chan Event { return w.events }

// Complete reports whether there is an event for each change in the spool, and when another directory takes the place
// of the spool: the file system is local, and the mounts and each directory above the spool can be watched.
func (w *Watcher) Complete() bool { return w.complete }

// Mounts returns the channel that gets a value after file systems were mounted or unmounted: another one may be at the
// path of the spool. The channel is never closed.
func (w *Watcher) Mounts() <-chan struct{} { return w.mounts }

// Err waits until the channel is closed and returns the reason: nil after Close, ErrUnlinked if the directory is gone.
func (w *Watcher) Err() error {
	<-w.finished
	return w.err
}

// Close ends the watch and waits for its goroutine. A second Close has no effect.
func (w *Watcher) Close() error {
	var err error
	w.once.Do(func() {
		close(w.closing)
		err = w.f.Close() // wakes the goroutine from its read
		if w.table != nil {
			w.table.Close()
		}
	})
	<-w.finished
	return err
}
