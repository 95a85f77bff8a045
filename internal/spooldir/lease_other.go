//go:build !linux

package spooldir

import "github.com/unbit/spoolgore/internal/fsys"

// probeLease has no answer: only Linux has leases for programs.
func probeLease(fsys.File) (lease, error) { return leaseUnknown, nil }
