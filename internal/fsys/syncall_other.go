//go:build !linux

package fsys

import "errors"

func syncAll(string) error { return errors.ErrUnsupported }

func syncAllOf(int) error { return errors.ErrUnsupported }

// searchOnly: zero, there is no flag on all these systems that opens a directory which may be searched and not read.
const searchOnly = 0
