//go:build unix

package spooldir

import (
	"testing"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

// Between fork and exec, a process that another goroutine starts has a copy of each descriptor. The lock is free when
// unlock has returned, even then.
func TestUnlockWithACopyOfTheDescriptor(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	unlock, err := d.Lock().Acquire()
	is.NoErr(err)
	opened := d.Lock().held.Load().opened
	is.Equal(len(opened), 2) // descriptors of the directory and of the file
	for _, f := range opened {
		raw, err := f.SyscallConn()
		is.NoErr(err)
		is.NoErr(raw.Control(func(fd uintptr) {
			copied, err := unix.Dup(int(fd))
			is.NoErr(err)
			t.Cleanup(func() { unix.Close(copied) })
		}))
	}
	unlock()
	again, err := d.Lock().Acquire()
	is.NoErr(err) // the lock is free
	again()
}
