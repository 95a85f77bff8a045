package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// faults is a disk of which each step can fail. It counts syncs and keeps the content of the last sync.
type faults struct {
	fail    atomic.Value // the failing step: "open", "write", "sync", "truncate", "dir", "replace", "name"; empty: none
	syncs   int
	durable []byte
	hold    chan struct{} // if not nil, a sync waits until it is closed
}

var errDisk = errors.New("disk full")

func (x *faults) step(name string) error {
	if x.fail.Load() == name {
		return errDisk
	}
	return nil
}

// inject makes f use the disk x.
func (x *faults) inject(f *File) *File {
	f.disk.fs = &faultyFS{FS: fsys.System(), faults: x}
	return f
}

// faultyFS is the file system of a disk with faults.
type faultyFS struct {
	fsys.FS
	*faults
	replaced []byte // if not nil, the content of a file whose new name is not synced yet
}

func (x *faultyFS) OpenFile(path string, flag int, perm fs.FileMode) (fsys.File, error) {
	if err := x.step("open"); err != nil {
		return nil, err
	}
	f, err := x.FS.OpenFile(path, flag, perm)
	return faulty{f, x.faults}, err
}

func (x *faultyFS) SyncDir(string) error {
	if x.replaced == nil {
		return x.step("dir")
	}
	text := x.replaced
	x.replaced = nil
	if err := x.step("name"); err != nil {
		return err // the file is replaced, but a power cut may restore the old one
	}
	x.durable = text
	return nil
}

func (x *faultyFS) Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	if err := x.step("replace"); err != nil {
		return err
	}
	var text bytes.Buffer
	err := x.FS.Replace(path, perm, func(w io.Writer) error { return write(io.MultiWriter(w, &text)) })
	x.replaced = append([]byte{}, text.Bytes()...)
	return err
}

// faulty is an open file on a disk with faults.
type faulty struct {
	fsys.File
	x *faults
}

func (f faulty) WriteAt(p []byte, at int64) (int, error) {
	if err := f.x.step("write"); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)*2/3], at) // a part of the data fits
		return n, err
	}
	return f.File.WriteAt(p, at)
}

func (f faulty) Sync() error {
	if f.x.hold != nil {
		<-f.x.hold
	}
	if err := f.x.step("sync"); err != nil {
		return err
	}
	f.x.syncs++
	text, err := os.ReadFile(f.Name())
	f.x.durable = text
	return err
}

func (f faulty) Truncate(size int64) error {
	if err := f.x.step("truncate"); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "journal") }

// reopen reads the journal at path.
func reopen(t testing.TB, path string) (f *File, records []string, found Found) {
	t.Helper()
	f, found, err := Open(path, func(record []byte) error { records = append(records, string(record)); return nil })
	check(t, err)
	t.Cleanup(f.Close)
	return f, records, found
}

// look returns the records of the journal at path and does not change the file.
func look(t testing.TB, path string) (records []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	check(t, err)
	return recordsOf(t, text)
}

func recordsOf(t testing.TB, text []byte) (records []string) {
	t.Helper()
	_, err := Read(bytes.NewReader(text), func(record []byte) error { records = append(records, string(record)); return nil })
	check(t, err)
	return records
}

// flush writes the records of f without an error.
func flush(t testing.TB, f *File) {
	t.Helper()
	err, _ := f.Sync(time.Now())
	check(t, err)
}

func add(f *File, records ...string) (at int64) {
	for _, r := range records {
		at = f.Append([]byte(r), time.Now())
	}
	return at
}

func TestRecordsComeBackInOrder(t *testing.T) {
	is := is.New(t)
	path := newPath(t)
	f, records, _ := reopen(t, path)
	is.Equal(records, nil) // a missing journal is an empty one
	flush(t, f)
	_, err := os.Lstat(path)
	is.True(errors.Is(err, fs.ErrNotExist)) // no file is made without a record
	at := add(f, "one", "two")
	is.True(f.Safe() < at)
	flush(t, f)
	is.Equal(f.Safe(), at)
	f.Close()
	f, records, found := reopen(t, path)
	is.Equal(records, []string{"one", "two"})
	is.Equal(found.Records, 2)
	is.Equal(found.Torn, int64(0))
	add(f, "three")
	flush(t, f)
	is.Equal(look(t, path), []string{"one", "two", "three"})
	info, err := os.Stat(path)
	is.NoErr(err)
	is.Equal(info.Mode().Perm(), fs.FileMode(0o600))
}

func TestATornTailIsTakenOffAtEveryByte(t *testing.T) {
	is := is.New(t)
	var text []byte
	whole := map[int]int{0: 0} // number of whole lines by their length
	for i, r := range []string{"one", `{"File":"two"}`, "3"} {
		text = appendLine(text, []byte(r))
		whole[len(text)] = i + 1
	}
	for n := range len(text) + 1 {
		for _, garbage := range []string{"", "\x00\x00\x00", "deadbeef", "deadbeef torn\n", " \n\n"} {
			path := newPath(t)
			is.NoErr(os.WriteFile(path, append(slices.Clone(text[:n]), garbage...), 0o600))
			end := n
			for whole[end] == 0 && end > 0 {
				end--
			}
			f, records, found := reopen(t, path)
			is.Equal(len(records), whole[end]) // every whole line is read
			is.Equal(found.Torn, int64(n-end+len(garbage)))
			is.Equal(found.Bad, 0)
			add(f, "next")
			flush(t, f)
			f.Close()
			_, again, found := reopen(t, path)
			is.Equal(again, append(records, "next")) // the new record is read after a restart
			is.Equal(found.Torn, int64(0))
		}
	}
}

func TestABadLineBetweenOthersIsSkipped(t *testing.T) {
	is := is.New(t)
	one, two, three := appendLine(nil, []byte("one")), appendLine(nil, []byte("two")), appendLine(nil, []byte("three"))
	for i := range len(two) - 1 {
		for bit := range 8 {
			bad := slices.Clone(two)
			bad[i] ^= 1 << bit
			path := newPath(t)
			is.NoErr(os.WriteFile(path, slices.Concat(one, bad, three), 0o600))
			_, records, found := reopen(t, path)
			is.Equal(records, []string{"one", "three"}) // the record after the bad line is read
			is.True(found.Bad >= 1)                     // the bad line is reported
		}
	}
}

func TestAJournalThatCannotBeReadIsAnError(t *testing.T) {
	is := is.New(t)
	path := newPath(t)
	is.NoErr(os.Mkdir(path, 0o700))
	_, _, err := Open(path, nil)
	is.True(err != nil) // a directory
	is.NoErr(os.Remove(path))
	is.NoErr(os.Symlink("elsewhere", path))
	_, _, err = Open(path, nil)
	is.True(errors.Is(err, spooldir.ErrNotRegular)) // a file of another user is not written to
	is.NoErr(os.Remove(path))
	is.NoErr(os.WriteFile(path, appendLine(nil, []byte("one")), 0o600))
	no := errors.New("not understood")
	_, _, err = Open(path, func([]byte) error { return no })
	is.True(errors.Is(err, no))
	is.Equal(look(t, path), []string{"one"}) // the file is not changed
}

func TestFailureIsReportedOnceAndNoRecordIsLost(t *testing.T) {
	for _, step := range []string{"open", "write", "sync", "dir"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				path, x := newPath(t), &faults{}
				f := x.inject(New(path))
				defer f.Close()
				write := func() (error, bool) {
					time.Sleep(f.Wait(time.Now()))
					f.Start(func() {})
					return f.Finish(<-f.Done(), time.Now())
				}
				// the first write succeeds, and so does each later step open or dir
				if step != "open" && step != "dir" {
					add(f, "first")
					_, _ = write()
				}
				safe := f.Safe()
				x.fail.Store(step)
				add(f, "one")
				err, _ := write()
				is.True(errors.Is(err, errDisk)) // the first failure is reported
				is.True(f.Failing() && f.Strained())
				add(f, "two")
				is.Equal(f.Wait(time.Now()), retry) // the write is tried again, but not at once
				err, recovered := write()
				is.NoErr(err) // the second failure is not reported
				is.True(!recovered)
				is.Equal(f.Safe(), safe) // no further record counts as written
				x.fail.Store("")
				at := add(f, "three")
				err, recovered = write()
				is.NoErr(err)
				is.True(recovered) // the recovery is reported
				is.Equal(f.Safe(), at)
				want := []string{"one", "two", "three"}
				if safe > 0 {
					want = append([]string{"first"}, want...)
				}
				is.Equal(look(t, path), want) // each record once
				is.Equal(recordsOf(t, x.durable), want)
				is.Equal(f.Wait(time.Now()), time.Duration(-1))
			})
		})
	}
}

// The status file takes the records of a failed write. The journal still reports when it can be written again.
func TestRecoveryIsReportedWithoutRecords(t *testing.T) {
	for _, step := range []string{"open", "write", "sync", "dir"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				path, x := newPath(t), &faults{}
				f := x.inject(New(path))
				defer f.Close()
				x.fail.Store(step)
				at := add(f, "one")
				f.Start(func() {})
				_, _ = f.Finish(<-f.Done(), time.Now())
				is.True(f.Failing())
				f.Cut(at)
				is.Equal(f.Wait(time.Now()), retry)
				time.Sleep(retry)
				x.fail.Store("")
				f.Start(func() {})
				err, recovered := f.Finish(<-f.Done(), time.Now())
				is.NoErr(err)
				is.True(recovered)
				is.Equal(f.Wait(time.Now()), time.Duration(-1))
				is.Equal(len(look(t, path)), 0)
			})
		})
	}
}

func TestManyRecordsShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		path, x := newPath(t), &faults{hold: make(chan struct{})}
		f := x.inject(New(path))
		defer f.Close()
		add(f, "first")
		f.Start(func() {})
		for i := range 1000 {
			add(f, fmt.Sprint(i))
			is.Equal(f.Wait(time.Now()), time.Duration(-1)) // one write at a time
		}
		close(x.hold)
		f.Finish(<-f.Done(), time.Now())
		is.True(f.Safe() < f.End())
		is.Equal(f.Wait(time.Now()), time.Duration(0))
		flush(t, f)
		is.Equal(f.Safe(), f.End())
		is.Equal(x.syncs, 2) // records that come during a write share the next sync
		is.Equal(len(look(t, path)), 1001)
	})
}

func TestRecordsAreWrittenWithAnUrgentOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		f := New(newPath(t))
		defer f.Close()
		now := time.Now()
		f.Append([]byte("soon"), now.Add(time.Second))
		is.Equal(f.Wait(now), time.Second)
		f.Append([]byte("now"), now)
		f.Append([]byte("later"), now.Add(time.Minute))
		is.Equal(f.Wait(now), time.Duration(0))
		flush(t, f)
		is.Equal(f.Safe(), f.End()) // all records are written together
	})
}

func TestCut(t *testing.T) {
	tests := []struct {
		name string
		act  func(t *testing.T, f *File, x *faults)
		want string // records left in the file
	}{
		{"all of it", func(t *testing.T, f *File, _ *faults) {
			add(f, "a", "b")
			flush(t, f)
			f.Cut(f.End())
		}, ""},
		{"all but what came after", func(t *testing.T, f *File, _ *faults) {
			at := add(f, "a", "b")
			add(f, "c")
			flush(t, f)
			f.Cut(at)
		}, "c"},
		{"what is not written yet never is", func(t *testing.T, f *File, _ *faults) {
			at := add(f, "a", "b")
			add(f, "c")
			f.Cut(at)
		}, "c"},
		{"part of both", func(t *testing.T, f *File, _ *faults) {
			add(f, "a")
			flush(t, f)
			at := add(f, "b")
			add(f, "c")
			f.Cut(at)
		}, "c"},
		{"what is being written", func(t *testing.T, f *File, _ *faults) {
			add(f, "a", "b")
			f.Start(func() {})
			f.Cut(f.End())
		}, ""},
		{"what is being written in vain", func(t *testing.T, f *File, x *faults) {
			x.fail.Store("write")
			add(f, "a", "b")
			f.Start(func() {})
			f.Cut(add(f, "c"))
			add(f, "d")
			f.Finish(<-f.Done(), time.Now())
			x.fail.Store("")
		}, "d"},
		{"part of what is being written in vain", func(t *testing.T, f *File, x *faults) {
			x.fail.Store("write")
			at := add(f, "a")
			add(f, "b")
			f.Start(func() {})
			f.Cut(at)
			f.Finish(<-f.Done(), time.Now())
			x.fail.Store("")
		}, "b"},
		{"twice", func(t *testing.T, f *File, _ *faults) {
			add(f, "a")
			at := add(f, "b")
			add(f, "c")
			flush(t, f)
			f.Cut(at)
			flush(t, f)
			at = add(f, "d")
			add(f, "e")
			flush(t, f)
			f.Cut(at)
		}, "e"},
		{"what it cannot replace it appends to", func(t *testing.T, f *File, x *faults) {
			at := add(f, "a")
			add(f, "b")
			flush(t, f)
			x.fail.Store("replace")
			f.Cut(at)
			add(f, "c")
			f.Sync(time.Now())
			if f.Safe() != f.End() {
				t.Error("not safe")
			}
			x.fail.Store("")
		}, "b c"},
		{"the name of the new file is not on disk", func(t *testing.T, f *File, x *faults) {
			at := add(f, "a")
			add(f, "b")
			flush(t, f)
			x.fail.Store("name")
			f.Cut(at)
			f.Sync(time.Now())
			x.fail.Store("")
			f.Cut(add(f, "c"))
			add(f, "d")
		}, "d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			path, x := newPath(t), &faults{}
			f := x.inject(New(path))
			defer f.Close()
			tt.act(t, f, x)
			flush(t, f)
			is.Equal(strings.Join(look(t, path), " "), tt.want)
			is.Equal(f.Safe(), f.End())
			is.Equal(f.Wait(time.Now()), time.Duration(-1)) // no write is due
			add(f, "next")
			flush(t, f)
			// further records can be appended
			is.Equal(strings.Join(look(t, path), " "), strings.TrimSpace(tt.want+" next"))
		})
	}
}

func TestRecordsOfACrashedProcessAreCut(t *testing.T) {
	is := is.New(t)
	path := newPath(t)
	is.NoErr(os.WriteFile(path, appendLine(nil, []byte("old")), 0o600))
	f, records, _ := reopen(t, path)
	is.Equal(records, []string{"old"})
	is.Equal(f.Wait(time.Now()), time.Duration(-1)) // not without Cut
	f.Cut(f.End())
	is.Equal(f.Wait(time.Now()), time.Duration(0))
	flush(t, f)
	info, err := os.Stat(path)
	is.NoErr(err)
	is.Equal(info.Size(), int64(0))
}

func TestJournalOfAReplacedDirectoryIsMadeAgain(t *testing.T) {
	is := is.New(t)
	dir := filepath.Join(t.TempDir(), "spool")
	path := filepath.Join(dir, "journal")
	is.NoErr(os.Mkdir(dir, 0o700))
	f := New(path)
	defer f.Close()
	add(f, "one")
	flush(t, f)
	is.NoErr(os.RemoveAll(dir))
	is.NoErr(os.Mkdir(dir, 0o700))
	add(f, "two")
	flush(t, f)
	is.Equal(look(t, path), []string{"two"})
	is.NoErr(os.Truncate(path, 0)) // by another process
	add(f, "three")
	flush(t, f)
	is.Equal(look(t, path), []string{"three"})
}

func TestALargeJournalAsksForCompaction(t *testing.T) {
	is := is.New(t)
	f := New(newPath(t))
	defer f.Close()
	add(f, strings.Repeat("x", large-100))
	flush(t, f)
	is.True(!f.Strained())
	add(f, strings.Repeat("x", 100))
	flush(t, f)
	is.True(f.Strained())
	f.Cut(f.End())
	flush(t, f)
	is.True(!f.Strained())
}

// After any sequence of errors and a crash, every record that was safe and not cut is in the journal once, in order.
func TestSafeRecordsSurviveACrash(t *testing.T) {
	steps := []string{"", "", "", "open", "write", "sync", "truncate", "dir", "replace", "name"}
	for seed := range uint64(100) {
		is := is.New(t)
		rnd := rand.New(rand.NewPCG(seed, 1))
		path, x := newPath(t), &faults{}
		f := x.inject(New(path))
		type record struct {
			text string
			at   int64
		}
		var all []record
		var cut int64
		for i := range 60 {
			switch rnd.IntN(5) {
			case 0, 1:
				text := fmt.Sprint(seed, " ", i, strings.Repeat(".", rnd.IntN(40)))
				all = append(all, record{text, f.Append([]byte(text), time.Now())})
			case 2:
				if len(all) > 0 {
					cut = max(cut, all[rnd.IntN(len(all))].at)
					f.Cut(cut)
				}
			case 3:
				x.fail.Store(steps[rnd.IntN(len(steps))])
			}
			if !f.writing && rnd.IntN(2) == 0 {
				f.Start(func() {})
			} else if f.writing {
				f.Finish(<-f.Done(), time.Now())
			}
			if f.writing {
				continue // the background write has the file
			}
			// after a kill, and after a power cut
			for _, there := range [][]string{look(t, path), recordsOf(t, x.durable)} {
				at := -1
				for _, r := range all {
					i := slices.Index(there, r.text)
					if r.at > cut && r.at <= f.Safe() {
						is.True(i >= 0) // every safe record that was not cut
					}
					if i >= 0 {
						is.True(i > at) // in the order of the appends
						is.True(!slices.Contains(there[i+1:], r.text))
						at = i
					}
				}
			}
		}
		if f.writing {
			<-f.Done()
		}
		f.Close()
	}
}

// Read returns the records that parse accepts and no others, for any file.
func FuzzRead(f *testing.F) {
	f.Add([]byte("00000000 \n"))
	f.Add(appendLine(appendLine(nil, []byte("one")), []byte("two")))
	f.Add(append(appendLine([]byte("torn"), []byte("one")), "deadbeef x\n12"...))
	f.Fuzz(func(t *testing.T, text []byte) {
		var again []byte
		found, err := Read(bytes.NewReader(text), func(record []byte) error {
			again = appendLine(again, record)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if found.end+found.Torn != int64(len(text)) || len(again) > len(text) {
			t.Fatalf("%+v of %d bytes", found, len(text))
		}
		if found.Bad == 0 && !bytes.Equal(again, text[:found.end]) {
			t.Fatalf("%q was read from %q", again, text)
		}
		more := appendLine(slices.Clone(text[:found.end]), []byte("next"))
		if records := recordsOf(t, more); len(records) != found.Records+1 || records[found.Records] != "next" {
			t.Fatalf("%q behind %q is not read", "next", text)
		}
	})
}
