//go:build !unix

package cli

import "errors"

// canWake says whether a daemon can be told to try everything.
const canWake = false

// wake cannot tell a daemon anything: there are no signals.
func wake(int) error {
	return errors.New("this system has no signal for that: spoolgore retry -all does it by the files")
}
