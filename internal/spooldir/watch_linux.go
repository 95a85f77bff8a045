package spooldir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A hard link into the spool gives only IN_CREATE, and so does linkat of an O_TMPFILE, because the close of the
	// file has another name. Setting the time of a file, which requests an attempt, gives IN_ATTRIB. Only IN_MODIFY
	// distinguishes a file that is written in place from a linked file.
	watchMask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM |
		unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	// abovePath is for a directory above the spool, or a link on the way to it: another spool may take the place of
	// this spool. A link with a second name is not deleted when the link is replaced: the number of names changes.
	abovePath = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_DONT_FOLLOW | unix.IN_MASK_ADD
	aboveLink = abovePath | unix.IN_ATTRIB
	watchGone = unix.IN_IGNORED | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT
	// watchBuffer holds a burst of some thousand names of usual length: one event for all of them.
	watchBuffer = 64 << 10
)

// tellsTouch is true if Watch reports a file whose time was set.
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
	w := &Watcher{
		f: f, events: make(chan Event), mounts: make(chan struct{}, 1),
		closing: make(chan struct{}), finished: make(chan struct{}),
	}
	w.complete = isLocal(d.path) && watchAbove(fd, d.path) && w.watchMounts()
	go func() {
		defer close(w.events)
		defer close(w.finished)
		w.err = w.run(d)
	}()
	return w, nil
}

// isLocal reports whether the directory at path is on a file system that only processes of this system write to: the
// kernel notifies of all their changes.
func isLocal(path string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, zfsMagic:
		return true
	}
	return false
}

const zfsMagic = 0x2fc12fc1 // of OpenZFS

// watchAbove watches each directory above path, and each link on the way, and reports whether all can be watched.
func watchAbove(fd int, path string) bool {
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		at = filepath.Join(at, name)
		target, err := os.Readlink(at)
		isLink := err == nil
		if !isLink && len(rest) == 0 {
			return true // the spool itself
		}
		mask := uint32(abovePath)
		if isLink {
			mask = aboveLink
		}
		if _, err := unix.InotifyAddWatch(fd, at, mask); err != nil {
			return false
		}
		if !isLink {
			continue
		}
		if links++; links > maxLinks {
			return false
		}
		rest = append(strings.Split(target, "/"), rest...)
		if at = filepath.Dir(at); filepath.IsAbs(target) {
			at = "/"
		}
	}
	return true
}

// maxLinks is the number of links on the way to a file that the kernel follows (path_resolution(7)).
const maxLinks = 40

// watchMounts begins to watch the table of mounts, until w.table is closed, and reports whether the table can be
// watched. The kernel wakes a process that polls the table after each change (proc_pid_mountinfo(5)).
func (w *Watcher) watchMounts() bool {
	fd, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	table := os.NewFile(uintptr(fd), "mountinfo")
	raw, err := table.SyscallConn()
	if err != nil || table.SetReadDeadline(time.Time{}) != nil { // the table cannot be polled
		table.Close()
		return false
	}
	w.table = table
	look := func(uintptr) (done bool) { // is called once at the beginning, too: a change before that may be forgotten
		select {
		case w.mounts <- struct{}{}:
		default:
		}
		return false
	}
	go func() { _ = raw.Read(look) }() // one call until Close: a change between two calls would be forgotten
	return true
}

// run converts notices of the kernel to events until the watch ends. It returns the reason; nil after Close.
func (w *Watcher) run(d *Dir) error {
	buf := make([]byte, watchBuffer)
	raw, err := w.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch spool: %w", err)
	}
	var doubt uint64 // up to this position, a file may have been written to without a notice
	for {
		n, end, err := w.fill(raw, buf)
		if err != nil && w.isClosing() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch spool: %w", err)
		}
		event, gone := decode(buf[:n], Usable)
		if !gone && event.subGone && w.removed(d) {
			event.Rescan, gone = true, true
		}
		event.End = end
		if end-uint64(n) < doubt {
			event.forgetCreated()
		}
		if event.Rescan { // behind the notice of an overflow there may be gaps that have no notice of their own
			doubt = w.known()
		}
		if tells := event.tells(); tells || !w.skip(end-uint64(n), end) {
			select {
			case w.events <- event:
			case <-w.closing:
				return nil
			}
		}
		w.handedOn(end)
		if gone {
			return fmt.Errorf("watch spool: %s: %w", d.path, ErrUnlinked)
		}
	}
}

// The time for which a watch looks for the removal of the spool after that of a subdirectory.
const (
	removalLooks = 20
	removalPause = 50 * time.Millisecond
)

// removed reports whether the spool is removed soon after one of its subdirectories. The kernel does not tell of it
// while a process has the directory open, as this one has.
func (w *Watcher) removed(d *Dir) bool {
	for range removalLooks {
		if _, err := d.fs.Stamp(d.path); errors.Is(err, fs.ErrNotExist) {
			return true
		}
		select {
		case <-w.closing:
			return false
		case <-time.After(removalPause):
		}
	}
	return false
}

// skip reports whether no event is wanted for the notices between two positions.
func (w *Watcher) skip(from, to uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.marked > from {
		return false
	}
	w.done = to
	return true
}

// handedOn notes that the notices before a position were passed on.
func (w *Watcher) handedOn(end uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = end
}

func (w *Watcher) isClosing() bool {
	select {
	case <-w.closing:
		return true
	default:
		return false
	}
}

// fill waits for notices and reads the notices. end is the position after the last notice.
func (w *Watcher) fill(raw syscall.RawConn, buf []byte) (n int, end uint64, err error) {
	waitErr := raw.Read(func(fd uintptr) (done bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for n, err = unix.Read(int(fd), buf); err == unix.EINTR; {
			n, err = unix.Read(int(fd), buf)
		}
		w.read += uint64(max(n, 0))
		end = w.read
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		return 0, 0, waitErr
	}
	return max(n, 0), end, err
}

// Mark returns a position: what happened before the call is in events with an End up to that position. Zero: all such
// events were received.
func (w *Watcher) Mark() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := w.end()
	if end == w.done {
		return 0
	}
	w.marked = max(w.marked, end)
	return end
}

// end returns the position after the last notice that the kernel has. The caller holds the lock.
func (w *Watcher) end() uint64 {
	end := w.read
	if raw, err := w.f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil {
				end += uint64(n)
			}
		})
	}
	return end
}

// known is end for a caller without the lock.
func (w *Watcher) known() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end()
}

// decode reads the records of one read(2) of an inotify descriptor (inotify(7)): int32 wd, uint32 mask, uint32 cookie,
// uint32 length, then a name of that length, padded with NUL. An incomplete record requests a rescan.
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
		name, _, _ := bytes.Cut(field, []byte{0})
		isLink := len(name) == 0 && mask&unix.IN_ATTRIB != 0 && mask&unix.IN_ISDIR == 0
		if isLink || mask&watchGone != 0 {
			gone = true
		}
		if gone || mask&unix.IN_Q_OVERFLOW != 0 {
			event.Rescan = true
		}
		switch {
		case mask&unix.IN_ISDIR != 0 && mask&unix.IN_DELETE != 0:
			event.subGone, event.Doubt = true, true
		case string(name) == lockName && mask&(unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO) != 0:
			event.Doubt = true
		case mask&unix.IN_ISDIR != 0 || !usable(string(name)):
		case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
			event.Gone = append(event.Gone, string(name))
		default:
			event.Files = append(event.Files, Arrival{string(name), howOf(mask)})
		}
	}
	slices.SortStableFunc(event.Files, func(a, b Arrival) int { return strings.Compare(a.Name, b.Name) })
	event.Files = compact(event.Files)
	slices.Sort(event.Gone)
	event.Gone = slices.Compact(event.Gone)
	return event, gone
}

// tells reports whether a receiver needs the event.
func (e *Event) tells() bool { return e.Rescan || e.Doubt || len(e.Files)+len(e.Gone) > 0 }

// forgetCreated tells of created files only that something has happened to them.
func (e *Event) forgetCreated() {
	for i := range e.Files {
		if e.Files[i].How == Created {
			e.Files[i].How = Noticed
		}
	}
}

func howOf(mask uint32) How {
	switch {
	case mask&unix.IN_MODIFY != 0:
		return Written
	case mask&unix.IN_MOVED_TO != 0:
		return Renamed
	case mask&unix.IN_CREATE != 0:
		return Created
	}
	return Noticed
}

// compact leaves the last of the arrivals of each name, Noticed left out if there is another one.
func compact(files []Arrival) []Arrival {
	kept := files[:0]
	for _, f := range files {
		switch last := len(kept) - 1; {
		case last < 0 || kept[last].Name != f.Name:
			kept = append(kept, f)
		case f.How != Noticed:
			kept[last].How = f.How
		}
	}
	return kept
}
