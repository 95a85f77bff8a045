//go:build !linux

package spooldir

// startWatch returns ErrNoWatch: only Linux tells when a writer closes a file.
func startWatch(*Dir) (*Watcher, error) { return nil, ErrNoWatch }

// Mark is never called.
func (*Watcher) Mark() uint64 { return 0 }

// tellsTouch is true if Watch reports a file whose time was set.
const tellsTouch = false
