//go:build !linux && !windows

package spooldir

// moveNew renames from to to without ever overwriting (fs.ErrExist).
func moveNew(from, to string) error { return linkMove(from, to) }

// moveOr is moveNew by other means.
func moveOr(from, to string, other func(from, to string) error) error { return other(from, to) }
