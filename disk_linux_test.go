package spoolgore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A disk is a real file system, in memory, of a size in bytes.
type disk struct {
	t    *testing.T
	path string
	size int
}

// newDisk mounts a disk for the time of the test, in a mount namespace. It runs the test once more in a process with
// its own namespaces. If newDisk returns nil, the caller returns.
func newDisk(t *testing.T, size int) *disk {
	t.Helper()
	const inside = "SPOOLGORE_TEST_MAY_MOUNT"
	if os.Getenv(inside) == "" {
		attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		if os.Geteuid() != 0 {
			attr.Cloneflags |= unix.CLONE_NEWUSER
			attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
		if err := mayClone(attr); err != nil {
			unavailable(t, "mount a file system", err)
		}
		again(t, attr, inside+"=1")
		return nil
	}
	check(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	d := &disk{t, t.TempDir(), size}
	d.mount()
	t.Cleanup(d.unmount)
	return d
}

// mayClone reports whether a process can have its own namespaces.
func mayClone(attr *syscall.SysProcAttr) error {
	p, err := os.StartProcess("/proc/self/exe", []string{"true", "-test.run=^$"}, &os.ProcAttr{Sys: attr})
	if err != nil {
		return err
	}
	_, err = p.Wait()
	return err
}

func (d *disk) mount() {
	check(d.t, unix.Mount("none", d.path, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", d.size)))
}

// unmount detaches the disk, even while files on it are open.
func (d *disk) unmount() { check(d.t, unix.Unmount(d.path, unix.MNT_DETACH)) }

// readOnly makes the disk read-only for the next open of a file, as the kernel does to a disk with errors.
func (d *disk) readOnly() {
	check(d.t, unix.Mount(d.path, d.path, "", unix.MS_BIND, ""))
	check(d.t, unix.Mount("none", d.path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
}

// fill leaves no byte free on the disk; empty frees the bytes.
func (d *disk) fill() {
	f, err := os.Create(filepath.Join(d.path, ".ballast"))
	check(d.t, err)
	defer f.Close()
	for _, n := range []int{64 << 10, 4 << 10, 1} {
		for err = nil; err == nil; _, err = f.Write(make([]byte, n)) {
		}
		if !errors.Is(err, unix.ENOSPC) {
			d.t.Fatal(err)
		}
	}
}

func (d *disk) empty() { check(d.t, os.Remove(filepath.Join(d.path, ".ballast"))) }

// A diskFault makes writes to a disk fail.
type diskFault struct {
	cause         error // of the failed writes
	begin, repair func(d *disk)
	sent          int // messages sent during the fault; none on a full disk, as their removal frees space
}

var diskFaults = map[string]diskFault{
	"full":      {unix.ENOSPC, (*disk).fill, (*disk).empty, 0},
	"read-only": {unix.EROFS, (*disk).readOnly, (*disk).unmount, 20},
}

// On a disk that cannot be written, mail that needs no write is sent. After the repair all mail is sent.
func TestDiskErrors(t *testing.T) {
	for name, s := range diskFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t, 1<<20)
			if d == nil {
				return
			}
			testDiskFault(t, d, s)
		})
	}
}

func testDiskFault(t *testing.T, d *disk, s diskFault) {
	is := is.New(t)
	var laterIsNow atomic.Bool
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		switch {
		case verb == "RCPT" && strings.HasPrefix(arg, "refused"):
			return "550 5.1.1 no such user"
		case verb == "RCPT" && strings.HasPrefix(arg, "later") && !laterIsNow.Load():
			return "450 4.2.1 later"
		}
		return ""
	}}
	const each = 20
	for i := range each {
		drop(t, d.path, fmt.Sprintf("refused%02d", i), to(fmt.Sprintf("refused%02d@example.org", i)))
		drop(t, d.path, fmt.Sprintf("later%02d", i), "Cc: done@example.org\n"+to(fmt.Sprintf("later%02d@example.org", i)))
	}
	for i := range s.sent {
		drop(t, d.path, fmt.Sprintf("sent%02d", i), to("sent@example.org"))
	}
	opts := Options{Backoff: func(int) time.Duration { return time.Second }}
	asleep := New(d.path, opts)
	asleep.Pause()
	r := tryIt(t, asleep, d.path, relay, opts)
	s.begin(d)
	r.Resume()
	soon(t, "mail that needs no write is sent", func() bool { return r.got("sent@example.org") == s.sent && r.got("done@example.org") == each })
	_, err := r.Put(t.Context(), Envelope{To: []string{"put@example.org"}}, strings.NewReader("Subject: x\n\n"+strings.Repeat("hello\n", 100_000)))
	is.True(errors.Is(err, s.cause)) // the error of Put has the cause
	left, err := os.ReadDir(filepath.Join(d.path, "tmp"))
	is.NoErr(err)
	is.Equal(len(left), 0) // Put leaves no file in tmp/
	time.Sleep(10 * r.opts.Freq)
	for i := range each {
		// a message that cannot be moved to failed/ stays in the spool
		is.True(exists(d.path, fmt.Sprintf("refused%02d", i)))
		is.True(exists(d.path, fmt.Sprintf("later%02d", i)))
	}
	is.Equal(r.says("file cannot be sent"), 0)       // no file is reported
	is.Equal(r.says("files cannot be worked on"), 1) // the disk error is logged once
	is.Equal(r.says("file cannot be written"), 2)    // once for the status file, once for the journal
	laterIsNow.Store(true)
	s.repair(d)
	soon(t, "the journal and the status file are written and failed messages are in failed/", func() bool {
		names, err := r.Spool.dir.Names("")
		failed, err2 := os.ReadDir(filepath.Join(d.path, "failed"))
		return err == nil && err2 == nil && len(names) == 0 && len(failed) == 2*each
	})
	for i := range each {
		is.Equal(r.got(fmt.Sprintf("later%02d@example.org", i)), 1) // one copy
	}
	is.Equal(r.got("done@example.org"), each)
	is.Equal(r.got("sent@example.org"), s.sent)
	_, err = r.Put(t.Context(), Envelope{To: []string{"put@example.org"}}, strings.NewReader("Subject: x\n\nhello\n"))
	is.NoErr(err)
	soon(t, "the message of Put is sent", func() bool { return r.got("put@example.org") == 1 })
	soon(t, "the log says that files can be written again", func() bool {
		return r.says("files can be worked on again") == 1 && r.says("file can be written again") == 2
	})
}

// The file system of a spool is unmounted under a daemon that runs, and mounted again.
func TestAnUnmountedSpool(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 1<<20) // for its mount namespace
	if d == nil {
		return
	}
	is := is.New(t)
	store := filepath.Join(d.path, "store")
	spool := filepath.Join(t.TempDir(), "spool")
	for _, dir := range []string{store, spool} {
		check(t, os.Mkdir(dir, 0o700))
	}
	mount := func() { check(t, unix.Mount(store, spool, "", unix.MS_BIND, "")) }
	mount()
	t.Cleanup(func() { _ = unix.Unmount(spool, unix.MNT_DETACH) })
	drop(t, spool, "m", named)
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && arg == "b@x.org" {
			return "450 4.2.1 later"
		}
		return ""
	}}
	r := try(t, spool, relay, Options{Backoff: func(int) time.Duration { return 50 * time.Millisecond }})
	tries := func() int { return r.says("delivery deferred") }
	soon(t, "the first message is tried", func() bool { return tries() > 2 })
	for n := range 3 {
		check(t, unix.Unmount(spool, unix.MNT_DETACH))
		soon(t, "the daemon uses the directory below the mount", func() bool { return r.says("continuing with the new one") == 2*n+1 })
		drop(t, spool, "beneath", to(fmt.Sprintf("beneath%d@x.org", n))) // a file in the directory below the mount
		soon(t, "mail in the directory below the mount is sent", func() bool { return r.got(fmt.Sprintf("beneath%d@x.org", n)) == 1 && !exists(spool, "beneath") })
		mount()
		soon(t, "the daemon uses the mounted spool again", func() bool { return r.says("continuing with the new one") == 2*n+2 })
		before := tries()
		soon(t, "the first message is retried", func() bool { return tries() > before+2 })
		drop(t, spool, "new", to(fmt.Sprintf("new%d@x.org", n)))
		soon(t, "a new message in the mounted spool is sent", func() bool { return r.got(fmt.Sprintf("new%d@x.org", n)) == 1 })
	}
	is.Equal(r.got("a@x.org"), 1) // a@x.org gets one copy
	is.True(exists(spool, "m"))
	r.stop()
}
