//go:build !unix

package oauth

import (
	"context"
	"os"
)

// lock does nothing: the system has no flock. Two processes must not share a file.
func lock(context.Context, string) (unlock func(), err error) { return func() {}, nil }

// replace replaces the file.
func replace(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
