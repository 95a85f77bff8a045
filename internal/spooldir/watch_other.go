//go:build !linux

package spooldir

// startWatch returns ErrNoWatch: only Linux tells when a writer closes a file.
func startWatch(*Dir) (*Watcher, error) { return nil, ErrNoWatch }

// tellsTouch says whether Watch tells of a file whose time was set.
const tellsTouch = false
