package spooldir

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

// watch watches d until the end of the test.
func watch(t *testing.T, d *Dir) *Watcher {
	t.Helper()
	w, err := d.Watch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// names returns the names of files that were added or changed.
func (e Event) names() (names []string) {
	for _, f := range e.Files {
		names = append(names, f.Name)
	}
	return names
}

// next returns the next event, and fails the test after five minutes.
func next(t *testing.T, w *Watcher) (event Event, ok bool) {
	t.Helper()
	select {
	case event, ok = <-w.Events():
		return event, ok
	case <-time.After(5 * time.Minute):
		t.Fatal("no event")
		return Event{}, false
	}
}

func TestWatch(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "tmp/renamed", "x")
	drop(t, d, "tmp/linked", "x")
	w := watch(t, d)
	for _, step := range []struct {
		act   func() error
		names []string // expected names, in any number of events; removed files have a minus
	}{
		{func() error { drop(t, d, "written", "x"); return nil }, []string{"written"}},
		{func() error { return os.Rename(d.File("tmp/renamed"), d.File("renamed")) }, []string{"renamed"}},
		{func() error { return os.Link(d.File("tmp/linked"), d.File("linked")) }, []string{"linked"}},
		{func() error { return os.Chtimes(d.File("written"), time.Now(), time.Unix(1e9, 0)) }, []string{"written"}},
		{func() error { return os.Remove(d.File("written")) }, []string{"-written"}},
		{func() error { return os.Rename(d.File("renamed"), d.File("hold/renamed")) }, []string{"-renamed"}},
		{func() error { _, err := d.Put(writing("x")); return err }, nil},
	} {
		is.NoErr(step.act())
		if step.names == nil {
			names, err := d.Names(Spool)
			is.NoErr(err)
			step.names = names[:1] // the name that Put returned
		}
		// An event that must not come would come before the end.
		drop(t, d, ".spoolgore.js", "{}")
		is.NoErr(os.Mkdir(d.File("directory"), 0o700))
		is.NoErr(os.Remove(d.File("directory")))
		drop(t, d, "tmp/other", "x")
		drop(t, d, "end", "")
		is.Equal(namesUntil(t, w, "end"), step.names)
	}
}

// namesUntil returns the names that are reported before the writer of the file end has closed it.
func namesUntil(t *testing.T, w *Watcher, end string) (names []string) {
	t.Helper()
	for {
		event, ok := next(t, w)
		if !ok || event.Rescan {
			t.Fatal("the watch has ended")
		}
		reported := event.names()
		for _, name := range event.Gone {
			reported = append(reported, "-"+name)
		}
		for _, name := range reported {
			if name != end && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if slices.Contains(event.names(), end) {
			return names
		}
	}
}

func TestWatchOfAnUnnamedFile(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	w := watch(t, d)
	fd, err := unix.Open(d.Path(), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	is.NoErr(err)
	f := os.NewFile(uintptr(fd), "unnamed")
	_, err = f.WriteString("hello")
	is.NoErr(err)
	is.NoErr(unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, d.File("a"), unix.AT_SYMLINK_FOLLOW))
	for event, ok := next(t, w); !slices.Contains(event.Files, Arrival{"a", Created}); event, ok = next(t, w) {
		is.True(ok)
		is.True(!slices.Contains(event.names(), "a")) // there is a notice of its creation only
	}
	is.NoErr(f.Close())
}

func TestWatchOverflow(t *testing.T) {
	is := is.New(t)
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	is.NoErr(err)
	queue, err := strconv.Atoi(string(limit[:len(limit)-1]))
	is.NoErr(err)
	d := newSpool(t)
	drop(t, d, "a", "x")
	w := watch(t, d)
	for range queue { // two events each, more than the kernel's queue and the buffer hold
		is.NoErr(os.Rename(d.File("a"), d.File("b")))
		is.NoErr(os.Rename(d.File("b"), d.File("a")))
	}
	for {
		event, ok := next(t, w)
		is.True(ok)                    // an overflow does not end the watch
		is.True(len(event.Files) <= 2) // each name once
		if event.Rescan {
			break
		}
	}
	drop(t, d, "later", "x")
	for event, ok := next(t, w); !slices.Contains(event.names(), "later"); event, ok = next(t, w) {
		is.True(ok) // the watch goes on
	}
}

// A file is created behind the notice of an overflow, and written to when the kernel's queue is full again. The kernel
// tells of no second overflow while the first notice was not read.
func TestWatchOfAFileBehindAnOverflow(t *testing.T) {
	is := is.New(t)
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	is.NoErr(err)
	queue, err := strconv.Atoi(string(limit[:len(limit)-1]))
	is.NoErr(err)
	d := newSpool(t)
	drop(t, d, "a", "x")
	w := watch(t, d)
	rename := func(times int) {
		for range times { // four notices each
			is.NoErr(os.Rename(d.File("a"), d.File("b")))
			is.NoErr(os.Rename(d.File("b"), d.File("a")))
		}
	}
	rename(queue)
	taken := func() uint64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.read
	}
	for range 4 { // the watcher makes room in the kernel's queue
		before := taken()
		next(t, w)
		for taken() == before {
			time.Sleep(time.Millisecond)
		}
	}
	rename(1000) // so that y is not in the event of the overflow
	f, err := os.Create(d.File("y"))
	is.NoErr(err)
	rename(queue)
	_, err = f.WriteString("half of it")
	is.NoErr(errors.Join(err, f.Close()))
	overflows, seen := 0, false
	for !seen {
		event, ok := next(t, w)
		is.True(ok)
		if event.Rescan {
			overflows++
		}
		for _, f := range event.Files {
			seen = seen || f.Name == "y"
			is.True(event.Rescan || f != Arrival{"y", Created}) // it was written to since
		}
	}
	is.Equal(overflows, 1)
}

func TestWatchEndsWithTheDirectory(t *testing.T) {
	for name, act := range map[string]func(d *Dir) error{
		"removed": func(d *Dir) error { return os.RemoveAll(d.Path()) },
		"renamed": func(d *Dir) error { return os.Rename(d.Path(), d.Path()+".old") },
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			w := watch(t, d)
			is.NoErr(act(d))
			rescan := false
			for {
				event, ok := next(t, w)
				if !ok {
					break
				}
				rescan = event.Rescan
			}
			is.True(rescan)                          // the last event asks for a scan
			is.True(errors.Is(w.Err(), ErrUnlinked)) // the error has the reason
			is.NoErr(w.Close())
		})
	}
}

func TestWatchClose(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	w := watch(t, d)
	is.NoErr(w.Close()) // while its goroutine waits for the kernel
	is.NoErr(w.Close()) // a second Close
	_, ok := next(t, w)
	is.True(!ok) // the channel is closed
	is.NoErr(w.Err())

	w = watch(t, d)
	drop(t, d, "a", "x")
	next(t, w)
	drop(t, d, "b", "x")
	is.NoErr(w.Close()) // while its goroutine waits for the reader of the channel
	is.NoErr(w.Err())
}

func TestWatchOfWhatIsNoDirectory(t *testing.T) {
	is := is.New(t)
	d, err := New(t.TempDir() + "/x")
	is.NoErr(err)
	_, err = d.Watch()
	is.True(errors.Is(err, fs.ErrNotExist)) // missing
	is.NoErr(os.WriteFile(d.Path(), nil, 0o600))
	_, err = d.Watch()
	is.True(errors.Is(err, unix.ENOTDIR)) // a file
}

// record returns the bytes of one event of the kernel.
func record(mask uint32, name string) []byte {
	length := (len(name) + 16) / 16 * 16 // padded with at least one NUL
	if name == "" {
		length = 0
	}
	buf := make([]byte, unix.SizeofInotifyEvent+length)
	binary.NativeEndian.PutUint32(buf[0:], 1)
	binary.NativeEndian.PutUint32(buf[4:], mask)
	binary.NativeEndian.PutUint32(buf[12:], uint32(length))
	copy(buf[unix.SizeofInotifyEvent:], name)
	return buf
}

func TestDecode(t *testing.T) {
	for _, row := range []struct {
		name string
		buf  []byte
		want Event
		gone bool
	}{
		{"nothing", nil, Event{}, false},
		{"one", record(unix.IN_CLOSE_WRITE, "a"), Event{Files: []Arrival{{"a", Noticed}}}, false},
		{"name without padding", record(unix.IN_CREATE, "123456789012345"), Event{Files: []Arrival{{"123456789012345", Created}}}, false},
		{"several, twice", slices.Concat(record(unix.IN_CREATE, "b"), record(unix.IN_MOVED_TO, "a"), record(unix.IN_CLOSE_WRITE, "b")),
			Event{Files: []Arrival{{"a", Renamed}, {"b", Created}}}, false},
		{"written in place", slices.Concat(record(unix.IN_CREATE, "a"), record(unix.IN_MODIFY, "a"), record(unix.IN_CLOSE_WRITE, "a")),
			Event{Files: []Arrival{{"a", Written}}}, false},
		{"renamed and appended to", slices.Concat(record(unix.IN_MOVED_TO, "a"), record(unix.IN_MODIFY, "a"), record(unix.IN_ATTRIB, "a")),
			Event{Files: []Arrival{{"a", Written}}}, false},
		{"replaced by rename", slices.Concat(record(unix.IN_MODIFY, "a"), record(unix.IN_MOVED_TO, "a"), record(unix.IN_CLOSE_WRITE, "a")),
			Event{Files: []Arrival{{"a", Renamed}}}, false},
		{"gone", slices.Concat(record(unix.IN_DELETE, "b"), record(unix.IN_MOVED_FROM, "a"), record(unix.IN_MOVED_TO, "b")),
			Event{Files: []Arrival{{"b", Renamed}}, Gone: []string{"a", "b"}}, false},
		{"dot name", record(unix.IN_CLOSE_WRITE, ".spoolgore.js"), Event{}, false},
		{"directory", record(unix.IN_CREATE|unix.IN_ISDIR, "a"), Event{}, false},
		{"directory removed", record(unix.IN_DELETE|unix.IN_ISDIR, "a"), Event{Doubt: true, subGone: true}, false},
		{"lock file removed", record(unix.IN_DELETE, lockName), Event{Doubt: true}, false},
		{"lock file renamed", record(unix.IN_MOVED_FROM, lockName), Event{Doubt: true}, false},
		{"lock file replaced", record(unix.IN_MOVED_TO, lockName), Event{Doubt: true}, false},
		{"lock file written", record(unix.IN_MODIFY, lockName), Event{}, false},
		{"spool touched", record(unix.IN_ATTRIB|unix.IN_ISDIR, ""), Event{}, false},
		{"link above replaced", record(unix.IN_ATTRIB, ""), Event{Rescan: true}, true},
		{"overflow", slices.Concat(record(unix.IN_CREATE, "a"), record(unix.IN_Q_OVERFLOW, "")), Event{Files: []Arrival{{"a", Created}}, Rescan: true}, false},
		{"removed", slices.Concat(record(unix.IN_DELETE_SELF, ""), record(unix.IN_IGNORED, "")), Event{Rescan: true}, true},
		{"renamed", record(unix.IN_MOVE_SELF, ""), Event{Rescan: true}, true},
		{"unmounted", record(unix.IN_UNMOUNT, ""), Event{Rescan: true}, true},
		{"cut in the head", record(unix.IN_CREATE, "a")[:10], Event{Rescan: true}, false},
		{"cut in the name", record(unix.IN_CREATE, "a")[:20], Event{Rescan: true}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			got, gone := decode(row.buf, Usable)
			is.Equal(got, row.want)
			is.Equal(gone, row.gone)
		})
	}
}

// For any bytes: no panic, names are usable, sorted and distinct, and a watch that has ended asks for a scan. A buffer
// that is cut anywhere has no name that the whole buffer lacks.
func FuzzDecode(f *testing.F) {
	f.Add(slices.Concat(record(unix.IN_CREATE, "b"), record(unix.IN_MOVED_TO, "a")), uint16(20))
	f.Add(slices.Concat(record(unix.IN_Q_OVERFLOW, ""), record(unix.IN_IGNORED, "")), uint16(16))
	f.Add([]byte{0xff, 0xff}, uint16(1))
	f.Fuzz(func(t *testing.T, buf []byte, cut uint16) {
		whole, gone := decode(buf, Usable)
		for i, name := range whole.names() {
			if !Usable(name) || i > 0 && name <= whole.names()[i-1] {
				t.Fatalf("names %q", whole.names())
			}
		}
		if gone && !whole.Rescan {
			t.Fatal("gone without a rescan")
		}
		part, _ := decode(buf[:min(int(cut), len(buf))], Usable)
		for _, name := range part.names() {
			if !slices.Contains(whole.names(), name) {
				t.Fatalf("%q is in a part only", name)
			}
		}
	})
}

// Changes before a Mark are reported in events up to the mark, even if the mark has no name.
func TestMark(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	w := watch(t, d)
	drop(t, d, ".hidden", "x")
	for mark, end := w.Mark(), uint64(0); end < mark; {
		event, ok := next(t, w)
		is.True(ok)
		end = event.End
	}
	is.NoErr(w.Close())
}

// TestWatchTellsOfAnotherSpool changes directories above the spool.
func TestWatchTellsOfAnotherSpool(t *testing.T) {
	for name, row := range map[string]struct {
		// path of the spool below the directory of the test, in which releases/1 and releases/2 are spools
		path   string
		change func(top string) error
	}{
		"a directory above is renamed": {"releases/1/spool", func(top string) error {
			return os.Rename(top+"/releases", top+"/old")
		}},
		"the directory above is renamed": {"releases/1/spool", func(top string) error {
			return os.Rename(top+"/releases/1", top+"/releases/3")
		}},
		"a link is made anew": {"current/spool", func(top string) error {
			return errors.Join(os.Remove(top+"/current"), os.Symlink("releases/2", top+"/current"))
		}},
		"a link is replaced": {"current/spool", func(top string) error {
			return errors.Join(os.Symlink("releases/2", top+"/new"), os.Rename(top+"/new", top+"/current"))
		}},
		"a link that a link names is replaced": {"live/spool", func(top string) error {
			return errors.Join(os.Symlink("releases/2", top+"/new"), os.Rename(top+"/new", top+"/current"))
		}},
		"the spool is a link": {"mail", func(top string) error {
			return errors.Join(os.Remove(top+"/mail"), os.Symlink("releases/2/spool", top+"/mail"))
		}},
		"a directory that a link names is renamed": {"current/spool", func(top string) error {
			return os.Rename(top+"/releases/1", top+"/releases/3")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			top := t.TempDir()
			is.NoErr(os.MkdirAll(top+"/releases/1/spool", 0o700))
			is.NoErr(os.MkdirAll(top+"/releases/2/spool", 0o700))
			is.NoErr(os.Symlink("releases/1", top+"/current"))
			is.NoErr(os.Symlink(top+"/elsewhere/../current", top+"/live"))
			is.NoErr(os.Mkdir(top+"/elsewhere", 0o700))
			is.NoErr(os.Symlink("current/spool", top+"/mail"))
			d, err := New(top + "/" + row.path)
			is.NoErr(err)
			w := watch(t, d)
			is.Equal(w.Complete(), isLocal(top))
			is.NoErr(row.change(top))
			event, ok := next(t, w)
			is.True(ok && event.Rescan)
			_, ok = next(t, w)
			is.True(!ok) // the watch ends: the path may lead to another directory
			is.True(errors.Is(w.Err(), ErrUnlinked))
		})
	}
}

// A copy by hard links, as a backup is, gives the link a second name.
func TestWatchTellsOfALinkWithASecondName(t *testing.T) {
	is := is.New(t)
	top := t.TempDir()
	is.NoErr(os.MkdirAll(top+"/releases/1/spool", 0o700))
	is.NoErr(os.MkdirAll(top+"/releases/2/spool", 0o700))
	is.NoErr(os.Symlink("releases/1", top+"/current"))
	is.NoErr(os.Link(top+"/current", top+"/backup"))
	d, err := New(top + "/current/spool")
	is.NoErr(err)
	w := watch(t, d)
	if !w.Complete() {
		t.Skip("the file system of the tests does not tell of each change")
	}
	is.NoErr(os.Chmod(top+"/releases/1/spool", 0o750)) // no sign of another spool, nor are changes above
	is.NoErr(os.Chmod(top+"/releases", 0o750))
	is.NoErr(os.WriteFile(top+"/releases/1/spool/a", nil, 0o600))
	event, ok := next(t, w)
	is.True(ok && !event.Rescan)
	is.NoErr(errors.Join(os.Symlink("releases/2", top+"/new"), os.Rename(top+"/new", top+"/current")))
	for ok {
		_, ok = next(t, w)
	}
	is.True(errors.Is(w.Err(), ErrUnlinked))
}

func TestIncompleteWatch(t *testing.T) {
	for path, want := range map[string]bool{"/proc": false, "/sys": false} {
		if got := isLocal(path); got != want {
			t.Errorf("%s is local: %t", path, got)
		}
	}
	if isLocal("/nowhere") {
		t.Error("a missing directory is local")
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	loop := t.TempDir()
	if err := os.Symlink("loop", loop+"/loop"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/nowhere/spool", loop + "/loop/spool"} {
		if watchAbove(fd, path) {
			t.Errorf("%s can be watched", path)
		}
	}
}

func TestWatchTellsOfMounts(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	w := watch(t, d)
	if !w.Complete() {
		t.Skip("the file system of the tests does not tell of each change")
	}
	at := t.TempDir()
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	told := func() {
		t.Helper()
		select {
		case <-w.Mounts():
		case <-time.After(time.Minute):
			t.Fatal("no notification")
		}
	}
	for range 100 {
		if err := unix.Mount("spoolgore-test", at, "tmpfs", 0, "size=64k"); errors.Is(err, unix.EPERM) {
			t.Skip("mounting needs root")
		} else if err != nil {
			t.Fatal(err)
		}
		told()
		is.NoErr(unix.Unmount(at, unix.MNT_DETACH))
		told()
	}
	is.NoErr(w.Close())
}
