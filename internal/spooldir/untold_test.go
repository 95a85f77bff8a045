package spooldir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestWhoseSenderIsToBeTold(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Remove(d.File("failed")))
	names, err := d.Untold()
	is.NoErr(err) // no directory, nobody to tell
	is.Equal(len(names), 0)

	long := strings.Repeat("x", 251) + ".eml"
	for _, name := range []string{"a", "b", long} {
		_, err := d.FailUntold(name, drop(t, d, name, "text "+name), []byte("why "+name), false)
		is.NoErr(err)
	}
	_, err = d.Fail("c", drop(t, d, "c", "text"), []byte("why"), false)
	is.NoErr(err)
	names, err = d.Untold()
	is.NoErr(err)
	is.Equal(len(names), 3) // not c
	is.True(slices.Contains(names, "a") && slices.Contains(names, "b"))

	f, id, err := d.OpenFailed("a")
	is.NoErr(err)
	text, err := io.ReadAll(f)
	is.NoErr(err)
	is.NoErr(f.Close())
	is.Equal(string(text), "text a")
	is.Equal(id.Size, int64(len(text)))
	why, err := d.FailedWhy("a")
	is.NoErr(err)
	is.Equal(string(why), "why a")

	is.NoErr(d.Told("a"))
	is.NoErr(d.Told("a")) // twice is no harm
	names, err = d.Untold()
	is.NoErr(err)
	is.Equal(len(names), 2)
	is.True(!slices.Contains(names, "a"))
}

func TestTheMarkGoesWithTheWhyFile(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	name, err := d.FailUntold("a", drop(t, d, "a", "text"), []byte("why"), false)
	is.NoErr(err)
	is.NoErr(os.Rename(d.File("failed/a"), d.File("a"))) // mv failed/a .
	_, _, err = d.OpenFailed(name)
	is.True(errors.Is(err, fs.ErrNotExist)) // whoever wants to tell sees that it is gone
	is.NoErr(d.RemoveWhy("a"))              // it was delivered after all
	is.Equal(tree(t, d), files{"a": "text"})
}

func TestOpenFailedOpensNothingButFiles(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Mkdir(d.File("failed/dir"), 0o700))
	_, _, err := d.OpenFailed("dir")
	is.True(errors.Is(err, ErrNotRegular))
	_, _, err = d.OpenFailed("../a")
	is.True(errors.Is(err, fs.ErrInvalid))
	_, err = d.FailedWhy("../a")
	is.True(errors.Is(err, fs.ErrInvalid))
}

// crashAt makes the n-th step of d a panic, counted from 0.
func crashAt(d *Dir, n int) {
	step := func() {
		if n--; n == -1 {
			panic("crash")
		}
	}
	real := *opsOf(d)
	opsOf(d).replace = func(path string, perm fs.FileMode, write func(io.Writer) error) error {
		step()
		return real.replace(path, perm, write)
	}
	opsOf(d).link = func(from, to string) error { step(); return real.link(from, to) }
	opsOf(d).move = func(from, to string) error { step(); return real.move(from, to) }
	opsOf(d).remove = func(path string) error { step(); return real.remove(path) }
	opsOf(d).syncDir = func(path string) error { step(); return real.syncDir(path) }
}

// The mark is there before the message can have left the spool, at whatever step there is a crash.
func TestUntoldAfterACrash(t *testing.T) {
	is := is.New(t)
	for step := range 7 {
		d := newSpool(t)
		id := drop(t, d, "a", "text")
		crashAt(d, step)
		func() {
			defer func() { _ = recover() }()
			_, _ = d.FailUntold("a", id, []byte("why"), false)
		}()
		again, err := New(d.Path())
		is.NoErr(err)
		is.NoErr(again.Recover())
		names, err := again.Untold()
		is.NoErr(err)
		is.Equal(names, []string{"a"}) // and if the message is still in the spool, it is looked for in vain
	}
}

func TestNoMarkStaysOnASickDisk(t *testing.T) {
	for name, spoil := range map[string]func(d *Dir){
		"link":                  func(d *Dir) { opsOf(d).link = func(string, string) error { return errDisk } },
		"sync of failed":        func(d *Dir) { opsOf(d).syncDir = func(string) error { return errDisk } },
		"move out of the spool": func(d *Dir) { opsOf(d).move = func(string, string) error { return errDisk } },
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			id := drop(t, d, "a", "text")
			spoil(d)
			_, err := d.FailUntold("a", id, []byte("why"), false)
			is.True(errors.Is(err, errDisk))
			is.Equal(tree(t, d), files{"a": "text"}) // as before: it can be tried again
		})
	}
}
