package spooldir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// A hard link into the spool gives nothing but IN_CREATE, and so does linkat of an O_TMPFILE: its close carries
	// another name. A file whose time is set, which is to be tried now, gives IN_ATTRIB.
	watchMask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM |
		unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	watchGone = unix.IN_IGNORED | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT
	// watchBuffer holds a burst of some thousand names of usual length: one event for all of them.
	watchBuffer = 64 << 10
)

// tellsTouch says whether Watch tells of a file whose time was set.
const tellsTouch = true

func startWatch(d *Dir) (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch spool: %w", os.NewSyscallError("inotify_init1", err))
	}
	// Since fd does not block, the file's Read parks the goroutine and Close wakes it.
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, d.path, watchMask); err != nil {
		f.Close()
		return nil, fmt.Errorf("watch spool: %w", &os.PathError{Op: "inotify_add_watch", Path: d.path, Err: err})
	}
	w := &Watcher{f: f, events: make(chan Event), closing: make(chan struct{}), finished: make(chan struct{})}
	go func() {
		defer close(w.events)
		defer close(w.finished)
		w.err = w.run(d)
	}()
	return w, nil
}

// run turns what the kernel says into events until the watch ends, and returns why, nil after Close.
func (w *Watcher) run(d *Dir) error {
	buf := make([]byte, watchBuffer)
	for {
		n, err := w.f.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch spool: %w", err)
		}
		event, gone := decode(buf[:n], Usable)
		if event.Rescan || len(event.Names)+len(event.Gone) > 0 {
			select {
			case w.events <- event:
			case <-w.closing:
				return nil
			}
		}
		if gone {
			return fmt.Errorf("watch spool: %s: %w", d.path, ErrUnlinked)
		}
	}
}

// decode reads the records of one read(2) of an inotify descriptor (inotify(7)): int32 wd, uint32 mask, uint32 cookie,
// uint32 length, then a name of that length, filled up with NUL. What is no whole record asks for a rescan.
func decode(buf []byte, usable func(string) bool) (event Event, gone bool) {
	for len(buf) > 0 {
		if len(buf) < unix.SizeofInotifyEvent {
			event.Rescan = true
			break
		}
		mask := binary.NativeEndian.Uint32(buf[4:])
		length := uint64(binary.NativeEndian.Uint32(buf[12:]))
		buf = buf[unix.SizeofInotifyEvent:]
		if length > uint64(len(buf)) {
			event.Rescan = true
			break
		}
		field := buf[:length]
		buf = buf[length:]
		if mask&watchGone != 0 {
			gone = true
		}
		if mask&(watchGone|unix.IN_Q_OVERFLOW) != 0 {
			event.Rescan = true
		}
		name, _, _ := bytes.Cut(field, []byte{0})
		switch {
		case mask&unix.IN_ISDIR != 0 || !usable(string(name)):
		case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
			event.Gone = append(event.Gone, string(name))
		default:
			event.Names = append(event.Names, string(name))
		}
	}
	for _, names := range []*[]string{&event.Names, &event.Gone} {
		slices.Sort(*names)
		*names = slices.Compact(*names)
	}
	return event, gone
}
