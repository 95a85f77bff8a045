//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/relayfile"
)

// A line of the relays file may name a password file of a user. The user cannot stop or block the daemon with that
// file.
func TestFileOfAUserIsReadInPart(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	sparse, fifo := filepath.Join(dir, "sparse"), filepath.Join(dir, "fifo")
	is.NoErr(os.WriteFile(sparse, nil, 0o600))
	is.NoErr(os.Truncate(sparse, 1<<40)) // larger than the memory
	is.NoErr(syscall.Mkfifo(fifo, 0o600))
	for _, path := range []string{sparse, fifo} {
		is.True(fingerprint(relayfile.Settings{PasswordFile: path}) != "")
		_, err := tlsConfig(relayfile.Settings{CA: path}, "")
		is.True(err != nil && strings.Contains(err.Error(), path))
	}
}
