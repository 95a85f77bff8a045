//go:build !linux

package store

import "syscall"

// limitSilence has no effect: the system decides.
func limitSilence(string, string, syscall.RawConn) error { return nil }
