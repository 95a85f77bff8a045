//go:build !linux

package spoolgore

var onThisSystem []nuisance
