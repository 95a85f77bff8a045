//go:build !linux && !windows

package spooldir

// moveNew renames from to to without ever overwriting (fs.ErrExist).
func moveNew(from, to string) error { return linkMove(from, to) }
