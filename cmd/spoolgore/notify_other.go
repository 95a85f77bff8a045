//go:build !linux

package main

import "time"

// There is no systemd here.

func notify(string)           {}
func managed() bool           { return false }
func watchdog() time.Duration { return 0 }
func monotonic() string       { return "" }
