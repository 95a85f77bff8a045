package spoolgore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/known"
)

// The first scan of the directory fails, and a new file is gone again when the daemon opens it. No record of a message
// may be dropped before a complete scan. Root may read any directory, so the test runs as another user.
func TestFailedScanForgetsNothing(t *testing.T) {
	if os.Geteuid() == 0 {
		asNobody(t)
		return
	}
	known.Fault(t, "F3", known.Bubble(func(t *testing.T) error {
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(2 * time.Second)
		stop()
		s := New(dir, exact(Options{Transport: relay}))
		s.Pause()
		stop = launch(t, s)
		pass(time.Second)
		name, err := s.Put(t.Context(), Envelope{To: []string{"ghost@x.org"}}, strings.NewReader(named))
		check(t, err)
		check(t, os.Remove(filepath.Join(dir, name)))
		check(t, os.Chmod(dir, 0o300)) // files can be opened, but the directory cannot be listed
		s.Resume()
		pass(5 * time.Second)
		check(t, os.Chmod(dir, 0o700))
		pass(2 * time.Minute)
		stop()
		if relay.tries("m", "b@x.org") < 2 {
			t.Fatal("the message was not retried")
		}
		return copies(relay, "a@x.org", 1)
	}))
}

// overlay mounts an overlay over spool, which becomes the lower layer. The upper layer is another file system, so that
// a file gets another inode number when the kernel copies it up.
func (d *disk) overlay(spool string) (upper string) {
	d.t.Helper()
	above := filepath.Join(d.path, "above")
	check(d.t, os.MkdirAll(above, 0o700))
	check(d.t, unix.Mount("none", above, "tmpfs", 0, "mode=700"))
	d.t.Cleanup(func() { _ = unix.Unmount(above, unix.MNT_DETACH) })
	upper, work := filepath.Join(above, "upper"), filepath.Join(above, "work")
	check(d.t, os.Mkdir(upper, 0o700))
	check(d.t, os.Mkdir(work, 0o700))
	layers := fmt.Sprintf("xino=off,lowerdir=%s,upperdir=%s,workdir=%s", spool, upper, work)
	if err := unix.Mount("overlay", spool, "overlay", 0, layers); err != nil {
		unavailable(d.t, "mount an overlay", err)
	}
	d.t.Cleanup(func() { _ = unix.Unmount(spool, unix.MNT_DETACH) })
	return upper
}

// A refused message is in the lower layer of an overlay, where a link or a rename gives it another inode number. The
// test runs in real time: a daemon in an endless loop would keep the clock of a bubble from moving.
func TestMessageInLowerLayerOfOverlayFails(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 1<<20)
	if d == nil {
		return
	}
	known.Fault(t, "F7", func(t *testing.T) error {
		dir, relay, log := filepath.Join(d.path, "spool"), &ledger{answer: refuseB}, &lines{}
		check(t, os.Mkdir(dir, 0o700))
		check(t, unix.Mount("none", dir, "ramfs", 0, "mode=700")) // an overlay cannot keep the inode numbers of ramfs
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		drop(t, dir, "m", named)
		d.overlay(dir)
		s := New(dir, telling(Options{
			Transport: relay, Freq: 100 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil)),
		}))
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx) }()
		defer func() { cancel(); check(t, <-end) }()
		soon(t, "the message is tried", func() bool { return relay.tries("m", "b@x.org") > 0 })
		limit := patience
		if known.Listed("F7") {
			limit = time.Second
		}
		for last := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
			waits, failed, reports := exists(dir, "m"), exists(dir, "failed", "m"), relay.accepted("", "s@x.org")
			switch {
			case !waits && failed && reports == 1:
				if n := strings.Count(log.String(), `"file system may change inode numbers"`); n != 1 {
					return fmt.Errorf("%d lines of the log say that inode numbers may change", n)
				}
				return copies(relay, "a@x.org", 1)
			case time.Now().After(last):
				return fmt.Errorf("after %v a refused message is in the spool: %v, in failed/: %v; reports: %d",
					limit, waits, failed, reports)
			}
		}
	})
}

// A listing of the directory lacks a file, as with some FUSE file systems. Here the file is in the lower layer of an
// overlay, and the upper layer is changed directly so that it marks the file as deleted. A process that has the file
// open can open it again by name.
func TestListingThatLeavesFileOutForgetsNothing(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 1<<20)
	if d == nil {
		return
	}
	known.Fault(t, "F21", known.Bubble(func(t *testing.T) error {
		dir, relay := filepath.Join(d.path, "spool"), &ledger{answer: deferB}
		check(t, os.Mkdir(dir, 0o700))
		drop(t, dir, "m", named)
		whiteout := filepath.Join(d.overlay(dir), "m")
		_, stop := start(t, dir, Options{Transport: relay, Freq: time.Second})
		pass(5 * time.Second)
		f, err := os.Open(filepath.Join(dir, "m"))
		check(t, err)
		defer f.Close()
		check(t, unix.Mknod(whiteout, unix.S_IFCHR, 0))
		listing := func(want bool) {
			drop(t, dir, "other", to("other@x.org")) // the directory changes
			names, err := filepath.Glob(filepath.Join(dir, "m"))
			check(t, err)
			entries, err := os.ReadDir(dir)
			check(t, err)
			listed := false
			for _, e := range entries {
				listed = listed || e.Name() == "m"
			}
			if listed != want || len(names) != 1 {
				t.Fatalf("m is in the listing: %v, want %v; can be opened: %v", listed, want, len(names) == 1)
			}
			pass(5 * time.Second)
		}
		listing(false)
		check(t, os.Remove(whiteout))
		listing(true)
		pass(2 * time.Minute)
		stop()
		if relay.tries("m", "b@x.org") < 2 {
			t.Fatal("the message was not retried")
		}
		return copies(relay, "a@x.org", 1)
	}))
}

// sendOnFullDisk starts a spool for the first time on a full disk. The messages there must be sent.
func sendOnFullDisk(t *testing.T, dir string) error {
	relay := &ledger{}
	s := New(dir, exact(Options{Transport: relay, Freq: time.Second}))
	s.opts.Watch = WatchOff
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Run(ctx); err != nil || relay.tries("", "a@x.org") == 0 {
		return fmt.Errorf("the message was offered %d times, Run: %w", relay.tries("", "a@x.org"), err)
	}
	return nil
}

func TestFirstStartOnFullDiskSends(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 64<<10)
	if d == nil {
		return
	}
	known.Fault(t, "F22/no-space", known.Bubble(func(t *testing.T) error {
		check(t, os.WriteFile(filepath.Join(d.path, "m"), []byte(named), 0o600))
		d.fill()
		return sendOnFullDisk(t, d.path)
	}))
}

func TestFirstStartWithoutInodesSends(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 64<<10)
	if d == nil {
		return
	}
	known.Fault(t, "F22/no-inode", known.Bubble(func(t *testing.T) error {
		check(t, os.WriteFile(filepath.Join(d.path, "m"), []byte(named), 0o600))
		var stat unix.Statfs_t
		check(t, unix.Statfs(d.path, &stat))
		used := stat.Files - stat.Ffree
		check(t, unix.Mount("none", d.path, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("nr_inodes=%d", used)))
		return sendOnFullDisk(t, d.path)
	}))
}
