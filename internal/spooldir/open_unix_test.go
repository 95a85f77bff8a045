//go:build unix

package spooldir

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

func TestOpenRefuses(t *testing.T) {
	for _, row := range []struct {
		name string
		make func(d *Dir, path string) error
		want error
	}{
		{"symbolic link", func(d *Dir, path string) error { return os.Symlink("target", path) }, ErrNotRegular},
		{"dangling link", func(d *Dir, path string) error { return os.Symlink("nowhere", path) }, ErrNotRegular},
		{"directory", func(d *Dir, path string) error { return os.Mkdir(path, 0o700) }, ErrNotRegular},
		{"FIFO", func(d *Dir, path string) error { return unix.Mkfifo(path, 0o600) }, ErrNotRegular},
		{"socket", func(d *Dir, path string) error { return listen(path) }, ErrNotRegular},
		{"hard link", func(d *Dir, path string) error { return os.Link(d.File("target"), path) }, ErrLinked},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			drop(t, d, "target", "secret")
			is.NoErr(row.make(d, d.File("x")))
			_, _, err := d.Open("x")
			is.True(errors.Is(err, row.want)) // Open
			_, err = d.Stat("x")
			is.True(errors.Is(err, row.want)) // Stat
			// The same without the check before open, as when the file is replaced after the check: open must not
			// block.
			f, err := os.OpenFile(d.File("x"), openFlags, 0)
			if err != nil {
				is.True(errors.Is(openReason(err), ErrNotRegular)) // refused by open(2)
				return
			}
			defer f.Close()
			_, err = openID(f)
			is.True(errors.Is(err, row.want)) // refused by fstat(2)
		})
	}
}

// listen makes a socket at path.
func listen(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	defer os.Chdir(wd) // the path of a socket has to be short
	if err := os.Chdir(path[:len(path)-2]); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrUnix{Name: "x"})
}

func TestOpenAgainWhenTheSecondLinkIsGone(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "tmp/x", "hello")
	is.NoErr(os.Link(d.At("tmp", "x"), d.File("x")))
	_, _, err := d.Open("x")
	is.True(errors.Is(err, ErrLinked)) // the writer is between link and unlink
	is.NoErr(os.Remove(d.At("tmp", "x")))
	f, _, err := d.Open("x")
	is.NoErr(err)
	f.Close()
}

func TestReasonsOfOpen(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		unix.ELOOP: ErrNotRegular, unix.EMLINK: ErrNotRegular, unix.ENXIO: ErrNotRegular,
		unix.EAGAIN: ErrBeingWritten, unix.EACCES: os.ErrPermission, unix.EMFILE: unix.EMFILE,
	} {
		t.Run(errno.Error(), func(t *testing.T) {
			is := is.New(t)
			is.True(errors.Is(openReason(&os.PathError{Op: "open", Path: "x", Err: errno}), want))
		})
	}
}

func TestAFileOfAnotherCenturyIsKnownAgain(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "sent")
	at := unix.Timespec{Sec: 13_569_465_600} // the year 2400
	is.NoErr(unix.UtimesNanoAt(unix.AT_FDCWD, d.File("a"), []unix.Timespec{at, at}, 0))
	id, err := d.Stat("a")
	is.NoErr(err)
	was, name, ok := parseSent(sentName(id, "a"))
	is.True(ok)
	is.Equal(name, "a")
	is.True(was.Equal(id)) // otherwise a message could be sent again after a crash
	is.NoErr(d.Remove("a", id))
	for _, year := range []int{-5, 10000} {
		_, err := near(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)).MarshalJSON()
		is.NoErr(err) // one such file must not prevent the status file from being written
	}
}
