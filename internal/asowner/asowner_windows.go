// Package asowner has root act on a spool with the rights of the owner of the spool. On this system it does nothing.
package asowner

import "github.com/unbit/spoolgore/internal/spooldir"

// Become does nothing.
func Become(*spooldir.Dir) error { return nil }

// During calls act.
func During(_ *spooldir.Dir, act func() error) error { return act() }
