//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/cli"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// TestStateFileOfADaemon follows the state file of a daemon from the start of the daemon to its end.
func TestStateFileOfADaemon(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool, relay := t.TempDir(), &smtptest.Relay{}
	addr := relay.Listen(t)
	read := func() daemonstate.State {
		s, _, err := daemonstate.Read(spool)
		must(t, err)
		return s
	}
	d := start(t, "-smtpaddr", "127.0.0.1:1,"+addr, "-rate", "1000/s", spool)
	eventually(t, "the state file has the process id", func() bool { return read().PID == d.cmd.Process.Pid })
	s := read()
	is.Equal(s.Rate, "1000/s")
	is.Equal(s.Relays[0].Name, "127.0.0.1:1")
	is.Equal(s.Relays[1].Name, addr)

	drop(t, spool, "m", mail("To: ann@example.org"))
	eventually(t, "the sent message is counted", func() bool { return read().Sent == 1 })
	eventually(t, "the relay that is down is named", func() bool { return strings.Contains(read().Relays[0].Trouble, "refused") })
	is.True(read().RateWait.IsZero())
	d.signal(syscall.SIGTSTP)
	eventually(t, "the state file has the pause", func() bool { return read().Paused })
	second := start(t, "-smtpaddr", addr, spool)
	is.Equal(second.exit(), cli.ExitTempFail)
	is.Equal(read().PID, d.cmd.Process.Pid) // a daemon without the lock writes no state file
	d.signal(syscall.SIGHUP)
	eventually(t, "the state file has the end of the pause", func() bool { return !read().Paused })
	d.stop()
	is.True(!exists(filepath.Join(spool, daemonstate.Name))) // a daemon that ends removes its state file
}
