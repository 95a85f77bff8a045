//go:build !unix

package cli

// wake returns errNoSignal: this system has no such signal.
func wake(int) error { return errNoSignal }
