//go:build unix

package config

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

func TestFingerprint(t *testing.T) {
	is := is.New(t)
	file := filepath.Join(t.TempDir(), "secret")
	is.NoErr(os.WriteFile(file, []byte("a"+"\n"), 0o600))
	s := relaySettings{User: "u", PasswordFile: file}
	one := fingerprint(s)
	is.Equal(fingerprint(s), one)
	is.NoErr(os.WriteFile(file, []byte("b"+"\n"), 0o600))
	is.True(fingerprint(s) != one) // the fingerprint depends on the content
	is.True(fingerprint(relaySettings{User: "u", Password: "p"}) != fingerprint(relaySettings{User: "u", Password: "q"}))
	is.True(fingerprint(relaySettings{CA: file}) != fingerprint(relaySettings{PasswordFile: file}))
	is.New(t).NoErr(os.Remove(file))
	is.New(t).NoErr(syscall.Mkfifo(file, 0o600))
	fingerprint(s) // no process writes to the FIFO, and the call does not wait
}
