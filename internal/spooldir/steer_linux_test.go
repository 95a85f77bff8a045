package spooldir

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

// as runs act with the rights of another user and group to files. Only root can.
func as(uid, gid int, act func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // without unlocking: the thread, which has other rights, ends with the goroutine
		_, err := unix.SetfsgidRetGid(gid)
		if err == nil {
			_, err = unix.SetfsuidRetUid(uid)
		}
		if err == nil {
			err = act()
		}
		done <- err
	}()
	return <-done
}

// In a shared spool a message belongs to its sender, and the daemon has the group of the spool and may write it.
func TestTouchOfAMessageOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("root only")
		return
	}
	is := is.New(t)
	const group, daemon, alice = 54321, 54322, 54323
	d := newSpool(t)
	is.NoErr(os.Chmod(filepath.Dir(d.Path()), 0o755))
	is.NoErr(os.Chown(d.Path(), daemon, group))
	is.NoErr(os.Chmod(d.Path(), 0o770|fs.ModeSetgid))
	drop(t, d, "a", "text")
	is.NoErr(os.Chmod(d.File("a"), 0o660))
	is.NoErr(os.Chown(d.File("a"), alice, group))
	age(t, d.File("a"), time.Hour)
	is.NoErr(as(daemon, group, func() error { return d.Steering().Touch("a") }))
	id, err := d.Stat("a")
	is.NoErr(err)
	is.True(time.Since(id.ModTime) < 59*time.Minute)
	// a user who may not enter the spool
	is.True(as(alice, alice, func() error { return d.Steering().Touch("a") }) != nil)
}
