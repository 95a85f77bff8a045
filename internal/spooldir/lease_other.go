//go:build !linux

package spooldir

import "github.com/unbit/spoolgore/internal/fsys"

// probeLease cannot tell: leases that a program may ask for are a thing of Linux.
func probeLease(fsys.File) (lease, error) { return leaseUnknown, nil }
