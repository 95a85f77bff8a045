//go:build !linux

package spooldir

// Watch returns ErrNoWatch: only Linux tells when a writer closes a file.
func (d *Dir) Watch() (*Watcher, error) { return nil, ErrNoWatch }

// tellsTouch says whether Watch tells of a file whose time was set.
const tellsTouch = false
