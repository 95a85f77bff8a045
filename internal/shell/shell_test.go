//go:build unix

package shell

import (
	"strings"
	"testing"

	"github.com/matryer/is"
)

// A command and its child processes get no secret of the daemon.
func TestCommandsInheritNoSecrets(t *testing.T) {
	is := is.New(t)
	for _, name := range []string{
		"SPOOLGORE_SMTPPASSWORD", "SPOOLGORE_SMTPMD5PASSWORD", "SPOOLGORE_HTTPTOKEN", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET",
		"WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
	} {
		t.Setenv(name, "not-for-commands")
	}
	t.Setenv("SPOOLGORE_DIR", "/spool")
	t.Setenv("PASSWORD_STORE_DIR", "/store") // pass(1) needs it
	out, err := Command(t.Context(), "env").Output()
	is.NoErr(err)
	is.True(!strings.Contains(string(out), "not-for-commands"))
	is.True(strings.Contains(string(out), "SPOOLGORE_DIR=/spool\n")) // other variables are kept
	is.True(strings.Contains(string(out), "PASSWORD_STORE_DIR=/store\n"))
}
