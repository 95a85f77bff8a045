package spooldir

import (
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// The number in the lock file may be that of a process in another container.
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
	is.Equal(pid, 0) // this process runs, but does not hold the lock
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

// TestHolderAmongOtherLocks looks for the holder while other locks are added and removed.
func TestHolderAmongOtherLocks(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	lock := func(f *os.File, how int) { is.NoErr(syscall.Flock(int(f.Fd()), how)) }
	var others []*os.File
	for n := range 300 {
		if n == 150 { // locks listed before and after the lock of the spool
			unlock, err := d.Lock().Acquire()
			is.NoErr(err)
			defer unlock()
		}
		f, err := os.Create(d.File("tmp/" + strconv.Itoa(n)))
		is.NoErr(err)
		defer f.Close()
		lock(f, syscall.LOCK_EX)
		others = append(others, f)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			f := others[n%len(others)]
			lock(f, syscall.LOCK_UN)
			lock(f, syscall.LOCK_EX)
		}
	}()
	for range 300 {
		pid, err := d.Lock().Holder()
		is.NoErr(err)
		is.Equal(pid, os.Getpid())
	}
	close(stop)
	<-ended
}
