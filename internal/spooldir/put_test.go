package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
)

var errDisk = errors.New("disk on fire")

// writing returns a function for Put that writes text.
func writing(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestPut(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Remove(d.File("tmp"))) // Put makes tmp/ again
	name, err := d.Put(writing("hello"))
	is.NoErr(err)
	is.Equal(tree(t, d), files{name: "hello"}) // no other file is left
	is.True(regexp.MustCompile(`^\d{8}T\d{6}\.\d{9}-[a-z2-7]{16}\.eml$`).MatchString(name))
	fi, err := os.Stat(d.File(name))
	is.NoErr(err)
	is.Equal(fi.Mode(), fs.FileMode(0o600))
}

// TestRecoverLeavesWhatThisProcessBuilds recovers the spool while a Put of this process writes its file, and the clock
// says that the file is days old. The clock of testing/synctest is such a clock.
func TestRecoverLeavesWhatThisProcessBuilds(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	first := &Putting{Write: writing("first")}
	second := &Putting{Write: func(w io.Writer) error {
		built, err := filepath.Glob(filepath.Join(d.Path(), tmpDir, putPrefix+"*"))
		is.NoErr(err)
		is.Equal(len(built), 2)
		for _, path := range built {
			age(t, path, 2*stale)
		}
		is.NoErr(d.Recover())
		_, err = io.WriteString(w, "second")
		return err
	}}
	d.PutAll([]*Putting{first, second})
	is.NoErr(first.Err)
	is.NoErr(second.Err)
	is.Equal(len(d.building.paths), 0)
}

func TestPutIntoASharedSpool(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	for mode, want := range map[fs.FileMode]fs.FileMode{
		0o770 | fs.ModeSetgid: 0o660, // the daemon must be able to read and link files of other users
		0o700 | fs.ModeSetgid: 0o600, // the group has no access
		0o770:                 0o600, // the file may have another group than the spool
	} {
		is.NoErr(os.Chmod(d.Path(), mode))
		name, err := d.Put(writing("hello"))
		is.NoErr(err)
		fi, err := os.Stat(d.File(name))
		is.NoErr(err)
		is.Equal(fi.Mode(), want)
	}
}

func TestNamesSortByTime(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 11, 23, 21, 49, 5, 999_999_999, time.FixedZone("", 3600))
	first, second := newName(now), newName(now.Add(1))
	is.True(strings.HasPrefix(first, "20261123T204905.999999999-")) // UTC
	is.True(first < second)
	is.True(newName(now) != first) // another call at the same time gives another name
}

func TestPutSyncsInOrder(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	var steps []string
	real := *opsOf(d)
	opsOf(d).syncFile = func(f fsys.File) error {
		text, err := os.ReadFile(f.Name())
		is.NoErr(err)
		is.Equal(string(text), "hello") // all data is written before the sync
		steps = append(steps, "sync "+filepath.Base(filepath.Dir(f.Name())))
		return real.syncFile(f)
	}
	opsOf(d).move = func(from, to string) error {
		steps = append(steps, "rename")
		return real.move(from, to)
	}
	opsOf(d).syncDir = func(path string) error {
		is.Equal(path, d.Path())
		names, err := d.Names(Spool)
		is.NoErr(err)
		is.Equal(len(names), 1) // the name exists before the directory is synced
		steps = append(steps, "sync spool")
		return real.syncDir(path)
	}
	_, err := d.Put(writing("hello"))
	is.NoErr(err)
	is.Equal(steps, []string{"sync tmp", "rename", "sync spool"})
}

func TestPutThatFailsLeavesNothing(t *testing.T) {
	fail := func() error { return errDisk }
	for _, row := range []struct {
		name  string
		spoil func(*ops)
		write func(io.Writer) error
	}{
		{"write", func(*ops) {}, func(w io.Writer) error { writing("half")(w); return errDisk }},
		{"write of much", func(*ops) {}, func(w io.Writer) error { writing(strings.Repeat("x", 1<<20))(w); return errDisk }},
		{"sync of the file", func(o *ops) { o.syncFile = func(fsys.File) error { return fail() } }, writing("x")},
		{"rename", func(o *ops) { o.move = func(string, string) error { return fail() } }, writing("x")},
		{"sync of the spool", func(o *ops) { o.syncDir = func(string) error { return fail() } }, writing("x")},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			row.spoil(opsOf(d))
			name, err := d.Put(row.write)
			is.True(errors.Is(err, errDisk)) // the error has the cause
			is.Equal(name, "")
			is.Equal(tree(t, d), files{}) // no file in the spool or in tmp/
		})
	}
}

func TestPutThatPanicsLeavesNothing(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	func() {
		defer func() { is.True(recover() != nil) }() // the panic reaches the caller
		d.Put(func(io.Writer) error { panic("bug in the caller") })
	}()
	is.Equal(tree(t, d), files{})
}

func TestPutNeverOverwrites(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "taken", "old")
	drop(t, d, "tmp/.put-building", "unfinished")
	names := []string{"building", "taken", "free"}
	d.newName = func() string {
		next := names[0]
		names = names[1:]
		return next
	}
	name, err := d.Put(writing("new"))
	is.NoErr(err)
	is.Equal(name, "free")
	is.Equal(tree(t, d), files{"taken": "old", "tmp/.put-building": "unfinished", "free": "new"})
}

func TestPutGivesUpLookingForAName(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "taken", "old")
	tmp := 0
	d.newName = func() string { return "taken" }
	_, err := d.Put(func(io.Writer) error { tmp++; return nil })
	is.True(errors.Is(err, fs.ErrExist))
	is.Equal(tmp, 1)
	is.Equal(tree(t, d), files{"taken": "old"})
}

func TestPutIntoAMissingSpool(t *testing.T) {
	is := is.New(t)
	d, err := New(filepath.Join(t.TempDir(), "gone"))
	is.NoErr(err)
	_, err = d.Put(writing("x"))
	is.True(errors.Is(err, fs.ErrNotExist))
	_, err = os.Stat(d.Path())
	is.True(errors.Is(err, fs.ErrNotExist)) // a misspelt path does not become a spool
}

func TestParallelPuts(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Remove(d.File("tmp"))) // the Puts also make tmp/ at the same time
	const n = 1000
	names, errs := make([]string, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { names[i], errs[i] = d.Put(writing(fmt.Sprint(i))) })
	}
	wg.Wait()
	want := files{}
	for i, name := range names {
		is.NoErr(errs[i])
		want[name] = fmt.Sprint(i)
	}
	is.Equal(len(want), n)     // all names differ
	is.Equal(tree(t, d), want) // each file has its own content
	listed, err := d.Names(Spool)
	is.NoErr(err)
	slices.Sort(names)
	is.Equal(listed, names)
}

func TestLinkMoveWhoseAnswerWasLost(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "a")
	link := func(from, to string) error { return errors.Join(os.Link(from, to), fs.ErrExist) }
	is.NoErr(moveByLink(d, d.File("a"), d.File("b"), link, os.Remove))
	is.Equal(tree(t, d), files{"b": "a"})
}

// Another process may move the same file at the same time: the daemon and an operator's command use the same target
// name for a removal. The second process must not remove the last name of the message.
func TestLinkMoveBesideAnotherMove(t *testing.T) {
	later := errors.New("later")
	tests := []struct {
		name   string
		unlink func(is *is.I, d *Dir, path string) error // in place of unlink after the link
		err    error
		left   files
	}{
		{"who does the same", func(is *is.I, d *Dir, path string) error {
			is.NoErr(moveByLink(d, path, d.File("b"), os.Link, os.Remove))
			return os.Remove(path)
		}, nil, files{"b": "a"}},
		{"who removes it", func(is *is.I, d *Dir, path string) error {
			is.NoErr(os.Remove(path))
			return os.Remove(path)
		}, nil, files{"b": "a"}},
		{"who takes it elsewhere", func(is *is.I, d *Dir, path string) error {
			is.NoErr(os.Rename(path, d.File("c")))
			return os.Remove(path)
		}, fs.ErrNotExist, files{"c": "a"}},
		{"who has moved and removed it", func(is *is.I, d *Dir, path string) error {
			is.NoErr(moveByLink(d, path, d.File("b"), os.Link, os.Remove))
			is.NoErr(os.Remove(d.File("b")))
			return os.Remove(path)
		}, fs.ErrNotExist, files{}},
		{"who may not remove it", func(*is.I, *Dir, string) error { return later }, later, files{"a": "a"}},
		{"who may not remove it, after another one has", func(is *is.I, d *Dir, path string) error {
			is.NoErr(moveByLink(d, path, d.File("b"), os.Link, os.Remove))
			return later
		}, later, files{"b": "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			drop(t, d, "a", "a")
			first := true
			err := moveByLink(d, d.File("a"), d.File("b"), os.Link, func(path string) error {
				if first {
					first = false
					return tt.unlink(is, d, path)
				}
				return os.Remove(path)
			})
			is.True(errors.Is(err, tt.err))
			is.Equal(tree(t, d), tt.left)
		})
	}
}

// A target that exists is not removed, even if it is a link to the same file, as another process may have made it.
func TestLinkMoveLeavesAnExistingTarget(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "a")
	is.NoErr(os.Link(d.File("a"), d.File("b")))
	failed := errors.New("failed")
	is.True(errors.Is(moveByLink(d, d.File("a"), d.File("b"), os.Link, func(string) error { return failed }), failed))
	is.Equal(tree(t, d), files{"a": "a", "b": "a"})
}

// A file that takes the name of the moved file stays.
func TestLinkMoveWhileTheFileIsReplaced(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "a")
	drop(t, d, "tmp/new", "new")
	link := func(from, to string) error {
		return errors.Join(os.Link(from, to), os.Rename(d.File("tmp/new"), from))
	}
	is.NoErr(moveByLink(d, d.File("a"), d.File("b"), link, os.Remove))
	is.Equal(tree(t, d), files{"a": "new", "b": "a"})
}

func TestLinkMove(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "a")
	drop(t, d, "b", "b")
	for _, move := range []func(fsys.FS, string, string) error{move, linkMove, linkMoveSynced} {
		is.True(errors.Is(move(d.fs, d.File("a"), d.File("b")), fs.ErrExist))    // an existing file is not overwritten
		is.True(errors.Is(move(d.fs, d.File("x"), d.File("y")), fs.ErrNotExist)) // the file is missing
		is.NoErr(move(d.fs, d.File("a"), d.File("c")))
		is.Equal(tree(t, d), files{"b": "b", "c": "a"})
		is.NoErr(move(d.fs, d.File("c"), d.File("a")))
	}
}

// Several writers may find that a new spool has no tmp/. One of them makes it.
func TestAnotherWriterMakesTheSubdirectory(t *testing.T) {
	is := is.New(t)
	d, err := New(t.TempDir())
	is.NoErr(err)
	tries := 0
	is.NoErr(withSub(d, tmpDir, func() error {
		if tries++; tries == 1 {
			is.NoErr(os.Mkdir(d.File(tmpDir), 0o700)) // another writer makes tmp/ now
			return fs.ErrNotExist
		}
		return nil
	}))
	is.Equal(tries, 2)
}
