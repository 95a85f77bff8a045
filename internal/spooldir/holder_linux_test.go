package spooldir

import (
	"os"
	"strconv"
	"testing"

	"github.com/matryer/is"
)

// In another container the number in the lock file is that of another process.
func TestHolderIsTheProcessWithTheLock(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	cmd, _ := startHolder(t, d)
	pid, err := d.Lock().Holder()
	is.NoErr(err)
	is.Equal(pid, cmd.Process.Pid)
	is.NoErr(os.WriteFile(d.File(lockName), []byte(strconv.Itoa(os.Getpid())), 0o600))
	pid, err = d.Lock().Holder()
	is.NoErr(err)
	is.Equal(pid, 0) // this process runs, but holds no lock
	held, err := d.Lock().Held()
	is.NoErr(err)
	is.True(held)
}

func TestListedLocks(t *testing.T) {
	is := is.New(t)
	const table = "1: POSIX  ADVISORY  READ 812 00:1b:4711 128 128\n2: FLOCK  ADVISORY  WRITE 5 fe:00:33 0 EOF\n" +
		"2: -> FLOCK  ADVISORY  WRITE 6 fe:00:33 0 EOF\n3: OFDLCK ADVISORY  READ -1 00:06:1043 0 EOF\n"
	is.True(listed(table, 5, 33))
	is.True(!listed(table, 5, 3))
	is.True(!listed(table, 812, 33))
	is.True(!listed("", 5, 33))
}
