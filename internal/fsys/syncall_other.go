//go:build !linux

package fsys

import "errors"

func syncAll(string) error { return errors.ErrUnsupported }
