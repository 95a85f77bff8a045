package spooldir

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"testing"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

// settled opens name and returns ErrBeingWritten if the file has a writer.
func settled(t *testing.T, d *Dir, name string) error {
	t.Helper()
	f, id, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = Free(f, id)
	return err
}

func TestFreeSeesWriter(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "hello")
	is.NoErr(settled(t, d, "a")) // at once: no settle time where leases work

	w, err := os.OpenFile(d.File("a"), os.O_WRONLY|os.O_APPEND, 0)
	is.NoErr(err)
	is.True(errors.Is(settled(t, d, "a"), ErrBeingWritten)) // even if the writer pauses for long
	is.NoErr(w.Close())
	is.NoErr(settled(t, d, "a")) // the writer has closed the file

	r, err := os.Open(d.File("a"))
	is.NoErr(err)
	defer r.Close()
	is.NoErr(settled(t, d, "a")) // a reader does not matter
}

func TestFreeKeepsNoLease(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "hello")
	f, id, err := d.Open("a")
	is.NoErr(err)
	defer f.Close()
	known, err := Free(f, id)
	is.NoErr(err)
	is.True(known)
	raw, err := f.SyscallConn()
	is.NoErr(err)
	held, getErr := 0, error(nil)
	is.NoErr(raw.Control(func(fd uintptr) { held, getErr = unix.FcntlInt(fd, unix.F_GETLEASE, 0) }))
	is.NoErr(getErr)
	is.Equal(held, unix.F_UNLCK) // a new writer does not wait for a lease of this process
}

func TestFreeSeesWritableMapping(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "hello")
	w, err := os.OpenFile(d.File("a"), os.O_RDWR, 0)
	is.NoErr(err)
	mapped, err := unix.Mmap(int(w.Fd()), 0, 5, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	is.NoErr(err)
	is.NoErr(w.Close())
	is.True(errors.Is(settled(t, d, "a"), ErrBeingWritten)) // the mapping stays after the descriptor was closed
	is.NoErr(unix.Munmap(mapped))
	is.NoErr(settled(t, d, "a"))
}

func TestSettledSeesALastWrite(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "hel")
	f, id, err := d.Open("a")
	is.NoErr(err)
	defer f.Close()
	drop(t, d, "a", "hello") // in place, by a writer that has closed the file
	_, err = Free(f, id)
	is.True(errors.Is(err, ErrBeingWritten)) // id is that of an earlier version
}

func TestFreeWithoutLeases(t *testing.T) {
	is := is.New(t)
	f, w, err := os.Pipe() // fcntl(2) fails as on a file system without leases
	is.NoErr(err)
	defer f.Close()
	defer w.Close()
	answer, err := probeLease(f)
	is.NoErr(err)
	is.Equal(answer, leaseUnknown)
	fi, err := f.Stat()
	is.NoErr(err)
	id, _ := fileID(fi)
	known, err := Free(f, id)
	is.NoErr(err)
	is.True(!known)
}

// The kernel sends a signal to the holder of a lease when a writer opens the file. The signal must not harm this
// process, nor the writer, whose open waits.
func TestSIGIOIsHarmless(t *testing.T) {
	is := is.New(t)
	breakLease(t) // without a handler: if the signal ended the process, the test would end here

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGIO)
	defer signal.Stop(signals)
	breakLease(t)
	is.Equal(<-signals, os.Signal(unix.SIGIO)) // the signal arrives
}

// breakLease holds a lease until the kernel asks for it because of a writer.
func breakLease(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "hello")
	f, err := os.Open(d.File("a"))
	is.NoErr(err)
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	is.NoErr(err)
	opened := make(chan error)
	go func() {
		w, err := os.OpenFile(d.File("a"), os.O_WRONLY, 0)
		if err == nil {
			err = w.Close()
		}
		opened <- err
	}()
	for held := unix.F_RDLCK; held == unix.F_RDLCK; {
		held, err = unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0)
		is.NoErr(err)
		runtime.Gosched()
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	is.NoErr(err)
	is.NoErr(<-opened) // the open of the writer succeeds
}
