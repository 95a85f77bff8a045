//go:build !unix

// Package demo shows a fleet at work, on Unix only.
package demo

import (
	"context"
	"errors"
	"io"
)

// Run returns an error: the demo needs signals of Unix.
func Run(context.Context, string, io.Writer) error {
	return errors.New("the demo runs on Unix only")
}
