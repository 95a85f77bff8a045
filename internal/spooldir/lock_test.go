package spooldir

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/matryer/is"
)

func TestLockInOneProcess(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	other, err := New(d.Path())
	is.NoErr(err)
	unlock, err := d.Lock().Acquire()
	is.NoErr(err)
	fi, err := os.Stat(d.File(lockName))
	is.NoErr(err)
	is.Equal(fi.Mode().Perm(), os.FileMode(0o600))

	_, err = other.Lock().Acquire()
	var locked *LockedError
	is.True(errors.As(err, &locked)) // a second Dir gets an error
	is.Equal(locked.PID, os.Getpid())
	is.Equal(locked.Path, d.File(lockName))
	_, err = d.Lock().Acquire()
	is.True(errors.As(err, &locked)) // and so does the same Dir

	unlock()
	unlock() // a second unlock has no effect
	unlock, err = other.Lock().Acquire()
	is.NoErr(err) // the lock is free again
	defer unlock()
	_, err = d.Lock().Acquire()
	is.True(errors.As(err, &locked)) // the first unlock does not release the second lock
}

func TestLockOfAnotherProcess(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, lockName, "a pid that is much longer than ours, from an earlier life")
	cmd, stdin := startHolder(t, d)
	_, err := d.Lock().Acquire()
	var locked *LockedError
	is.True(errors.As(err, &locked))
	is.Equal(locked.PID, cmd.Process.Pid) // the error has the process id of the holder
	stdin.Close()
	is.NoErr(cmd.Wait())
	unlock, err := d.Lock().Acquire()
	is.NoErr(err) // the holder has ended
	unlock()
}

func TestLockDiesWithItsHolder(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	cmd, _ := startHolder(t, d)
	is.NoErr(cmd.Process.Kill())
	cmd.Wait()
	unlock, err := d.Lock().Acquire()
	is.NoErr(err) // the lock file of the killed process exists, but is not locked
	defer unlock()
	pid, err := os.ReadFile(d.File(lockName))
	is.NoErr(err)
	is.Equal(string(pid), strconv.Itoa(os.Getpid()))
}

func TestHolder(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	holder := func() int {
		pid, err := d.Lock().Holder()
		is.NoErr(err)
		return pid
	}
	is.Equal(holder(), 0) // no lock file
	cmd, stdin := startHolder(t, d)
	is.Equal(holder(), cmd.Process.Pid)
	_, err := d.Lock().Acquire()
	is.True(err != nil) // the question did not take the lock
	stdin.Close()
	is.NoErr(cmd.Wait())
	is.Equal(holder(), 0) // the holder has ended
	drop(t, d, lockName, strconv.Itoa(os.Getpid()))
	is.Equal(holder(), 0) // the process with this number does not hold the lock
	unlock, err := d.Lock().Acquire()
	is.NoErr(err)
	defer unlock()
	is.Equal(holder(), os.Getpid())
	is.NoErr(os.WriteFile(d.File(lockName), []byte("-1"), 0o600))
	is.Equal(holder(), 0) // 0 and -1 are no process ids
}

func TestHeldSeesAHolderWithoutANumber(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	held := func() bool {
		held, err := d.Lock().Held()
		is.NoErr(err)
		return held
	}
	is.True(!held()) // no lock file
	unlock, err := d.Lock().Acquire()
	is.NoErr(err)
	// the process id of the holder in its own container
	is.NoErr(os.WriteFile(d.File(lockName), []byte("4194999"), 0o600))
	pid, err := d.Lock().Holder()
	is.NoErr(err)
	is.Equal(pid, 0)
	is.True(held())
	unlock()
	is.True(!held())
	unlock, err = d.Lock().Acquire() // the question did not keep the lock
	is.NoErr(err)
	unlock()
}

func TestLockOfAMissingSpool(t *testing.T) {
	is := is.New(t)
	d, err := New(t.TempDir() + "/gone")
	is.NoErr(err)
	_, err = d.Lock().Acquire()
	is.True(errors.Is(err, os.ErrNotExist))
}

func TestLockedError(t *testing.T) {
	is := is.New(t)
	is.Equal((&LockedError{Path: "x", PID: 7}).Error(), "x is locked by process 7")
	is.Equal((&LockedError{Path: "x"}).Error(), "x is locked by another process")
}

func TestLockNoticesAReplacedDirectory(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(d.Lock().Here()) // no lock is held
	unlock, err := d.Lock().Acquire()
	is.NoErr(err)
	defer unlock()
	is.NoErr(d.Lock().Here())

	is.NoErr(os.Rename(d.Path(), d.Path()+".away"))
	err = d.Lock().Here()
	is.True(errors.Is(err, os.ErrNotExist) && !errors.Is(err, ErrReplaced)) // the directory is missing
	is.NoErr(os.Mkdir(d.Path(), 0o700))
	is.True(errors.Is(d.Lock().Here(), ErrReplaced)) // another directory, without a lock
	other, err := New(d.Path())
	is.NoErr(err)
	unlockOther, err := other.Lock().Acquire()
	is.NoErr(err)
	defer unlockOther()
	is.True(errors.Is(d.Lock().Here(), ErrReplaced)) // another directory, with the lock of another process

	is.NoErr(os.RemoveAll(d.Path()))
	is.NoErr(os.Rename(d.Path()+".away", d.Path()))
	is.NoErr(d.Lock().Here()) // the locked directory is back
}
