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

// TestSignsOfLife follows what the daemon says of itself in the spool from its start to its end.
func TestSignsOfLife(t *testing.T) {
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
	eventually(t, "the file comes", func() bool { return read().PID == d.cmd.Process.Pid })
	s := read()
	is.Equal(s.Rate, "1000/s")
	is.Equal(s.Relays[0].Name, "127.0.0.1:1")
	is.Equal(s.Relays[1].Name, addr)

	drop(t, spool, "m", mail("To: ann@example.org"))
	eventually(t, "what was sent is counted", func() bool { return read().Sent == 1 })
	eventually(t, "the relay that is down is named", func() bool { return strings.Contains(read().Relays[0].Trouble, "refused") })
	is.True(read().RateWait.IsZero())
	d.signal(syscall.SIGTSTP)
	eventually(t, "a pause is told", func() bool { return read().Paused })
	second := start(t, "-smtpaddr", addr, spool)
	is.Equal(second.exit(), cli.ExitTempFail)
	is.Equal(read().PID, d.cmd.Process.Pid) // one that may not run says nothing of itself
	d.signal(syscall.SIGHUP)
	eventually(t, "its end too", func() bool { return !read().Paused })
	d.stop()
	is.True(!exists(filepath.Join(spool, daemonstate.Name))) // nobody is there any more
}
