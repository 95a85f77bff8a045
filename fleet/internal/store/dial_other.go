//go:build !linux

package store

import "syscall"

// limitSilence does nothing: the system decides.
func limitSilence(string, string, syscall.RawConn) error { return nil }
