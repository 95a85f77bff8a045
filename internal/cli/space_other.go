//go:build !linux && !darwin && !freebsd

package cli

import "errors"

// spaceOf returns an error: the free space is not known.
func spaceOf(string) (space, error) { return space{}, errors.ErrUnsupported }
