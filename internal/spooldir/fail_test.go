package spooldir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

func TestFailChoosesAFreeName(t *testing.T) {
	long := strings.Repeat("x", 251) + ".eml"
	for _, row := range []struct {
		name, file string
		there      []string // in failed/
		own        bool
		want       string
	}{
		{"first", "a", nil, false, "a"},
		{"message there", "a", []string{"a", "a.json"}, false, "a.1"},
		{"message without why-file", "a", []string{"a"}, false, "a.1"},
		{"several", "a", []string{"a", "a.json", "a.1", "a.1.json", "a.2.json"}, false, "a.3"},
		{"why-file of another", "a", []string{"a.json"}, false, "a.1"},
		{"why-file of its own", "a", []string{"a.json"}, true, "a"},
		{"own why-file, but a message there", "a", []string{"a", "a.json"}, true, "a.1"},
		{"only the first why-file is its own", "a", []string{"a", "a.json", "a.1.json"}, true, "a.2"},
		{"own why-file of a numbered one", "a.1", []string{"a", "a.json", "a.1.json"}, true, "a.1"},
		{"name of a why-file", "a.json", nil, false, "a.json.1"},
		{"name of a why-file in use", "a.json", []string{"a", "a.json"}, true, "a.json.1"},
		{"too long", long, nil, false, "fresh"},
		{"too long, again", long, []string{"fresh", "fresh.json"}, false, "fresh.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			d.newName = func() string { return "fresh" }
			want := files{}
			for _, name := range row.there {
				drop(t, d, "failed/"+name, "old")
				want["failed/"+name] = "old"
			}
			id := drop(t, d, row.file, "text")
			got, err := d.Fail(row.file, id, []byte("why"), row.own)
			is.NoErr(err)
			is.Equal(got, row.want)
			want["failed/"+row.want], want["failed/"+row.want+".json"] = "text", "why"
			is.Equal(tree(t, d), want) // and everything else as it was
			fi, err := os.Stat(d.File("failed/" + row.want + ".json"))
			is.NoErr(err)
			is.Equal(fi.Mode().Perm(), fs.FileMode(0o600))
		})
	}
}

func TestFailMakesTheDirectory(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Remove(d.File("failed")))
	is.NoErr(os.Remove(d.File("tmp")))
	_, err := d.Fail("a", drop(t, d, "a", "text"), []byte("why"), false)
	is.NoErr(err)
	is.Equal(tree(t, d), files{"failed/a": "text", "failed/a.json": "why"})
}

func TestFailSyncsInOrder(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	id := drop(t, d, "a", "text")
	var steps []string
	real := *opsOf(d)
	opsOf(d).link = func(from, to string) error {
		why, err := os.ReadFile(to + ".json")
		is.NoErr(err)
		is.Equal(string(why), "why") // the why-file is first
		steps = append(steps, "link")
		return real.link(from, to)
	}
	opsOf(d).syncDir = func(path string) error {
		steps = append(steps, "sync "+filepath.Base(path))
		return real.syncDir(path)
	}
	opsOf(d).move = func(from, to string) error {
		steps = append(steps, "move "+filepath.Base(from))
		return real.move(from, to)
	}
	_, err := d.Fail("a", id, []byte("why"), false)
	is.NoErr(err)
	is.Equal(steps, []string{"sync failed", "link", "sync failed", "move a", "sync " + filepath.Base(d.Path())})
}

func TestFailOfAnotherVersion(t *testing.T) {
	for _, linkErr := range []error{nil, syscall.EPERM} {
		for _, row := range []struct {
			name   string
			change func(t *testing.T, d *Dir)
			left   files
		}{
			{"replaced", func(t *testing.T, d *Dir) { replace(t, d, "a", "new!") }, files{"a": "new!"}},
			{"written to", func(t *testing.T, d *Dir) { drop(t, d, "a", "longer") }, files{"a": "longer"}},
		} {
			t.Run(fmt.Sprintf("%s before, link error %v", row.name, linkErr), func(t *testing.T) {
				is := is.New(t)
				d := newSpool(t)
				id := drop(t, d, "a", "text")
				keepInode(t, d, "a")
				row.change(t, d)
				name, err := d.Fail("a", id, []byte("why"), false)
				is.True(errors.Is(err, ErrChanged))
				is.Equal(name, "")
				is.Equal(tree(t, d), row.left)
			})
			t.Run(fmt.Sprintf("%s at the last moment, link error %v", row.name, linkErr), func(t *testing.T) {
				is := is.New(t)
				d := newSpool(t)
				id := drop(t, d, "a", "text")
				keepInode(t, d, "a")
				opsOf(d).link = func(from, to string) error {
					row.change(t, d)
					if linkErr != nil {
						return linkErr
					}
					return os.Link(from, to)
				}
				name, err := d.Fail("a", id, []byte("why"), false)
				is.True(errors.Is(err, ErrChanged))
				is.Equal(name, "")
				is.Equal(tree(t, d), row.left) // back in the spool, nothing in failed
			})
		}
	}
}

func TestFailWhenTheFileChangesAfterTheLink(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(t *testing.T, d *Dir)
		err    error
		left   files
	}{
		{"replaced", func(t *testing.T, d *Dir) { replace(t, d, "a", "new!") }, nil,
			files{"a": "new!", "failed/a": "text", "failed/a.json": "why"}},
		{"removed", func(t *testing.T, d *Dir) { os.Remove(d.File("a")) }, nil,
			files{"failed/a": "text", "failed/a.json": "why"}},
		{"written to", func(t *testing.T, d *Dir) { drop(t, d, "a", "longer") }, ErrChanged, files{"a": "longer"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			id := drop(t, d, "a", "text")
			before(d, 1, func() { row.change(t, d) })
			_, err := d.Fail("a", id, []byte("why"), false)
			is.True(errors.Is(err, row.err))
			is.Equal(tree(t, d), row.left)
		})
	}
}

func TestFailNeverOverwritesInARace(t *testing.T) {
	for _, linkErr := range []error{nil, syscall.EPERM} {
		t.Run(fmt.Sprint(linkErr), func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			id := drop(t, d, "a", "text")
			first := true
			opsOf(d).link = func(from, to string) error {
				if first {
					first = false
					drop(t, d, "failed/a", "somebody else's")
				}
				if linkErr != nil {
					return linkErr
				}
				return os.Link(from, to)
			}
			name, err := d.Fail("a", id, []byte("why"), false)
			is.NoErr(err)
			is.Equal(name, "a.1")
			is.Equal(tree(t, d), files{"failed/a": "somebody else's", "failed/a.1": "text", "failed/a.1.json": "why"})
		})
	}
}

func TestFailOnASickDisk(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(d *Dir)
		done  bool // the message has reached failed/
	}{
		{"link", func(d *Dir) { opsOf(d).link = func(string, string) error { return errDisk } }, false},
		{"why-file", func(d *Dir) {
			opsOf(d).replace = func(string, fs.FileMode, func(io.Writer) error) error { return errDisk }
		}, false},
		{"sync of the why-file's name", func(d *Dir) { opsOf(d).syncDir = func(string) error { return errDisk } }, false},
		{"sync of the message's name", func(d *Dir) {
			first := true
			opsOf(d).syncDir = func(string) error {
				if first {
					first = false
					return nil
				}
				return errDisk
			}
		}, false},
		{"move out of the spool", func(d *Dir) { opsOf(d).move = func(string, string) error { return errDisk } }, false},
		{"sync of the spool", func(d *Dir) {
			opsOf(d).syncDir = func(path string) error {
				if path == d.Path() {
					return errDisk
				}
				return nil
			}
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			id := drop(t, d, "a", "text")
			row.spoil(d)
			name, err := d.Fail("a", id, []byte("why"), false)
			is.True(errors.Is(err, errDisk))
			if row.done {
				is.Equal(name, "a")
				is.Equal(tree(t, d), files{"failed/a": "text", "failed/a.json": "why"})
				return
			}
			is.Equal(name, "")
			is.Equal(tree(t, d), files{"a": "text"}) // as before: it can be tried again
		})
	}
}

func TestFailOnASickDiskKeepsItsOwnWhy(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "failed/a.json", "old")
	opsOf(d).syncDir = func(string) error { return errDisk }
	_, err := d.Fail("a", drop(t, d, "a", "text"), []byte("why"), true)
	is.True(errors.Is(err, errDisk))
	is.Equal(tree(t, d), files{"a": "text", "failed/a.json": "why"}) // who has got the message is still known
}

func TestWhy(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	_, err := d.Why("a")
	is.True(errors.Is(err, fs.ErrNotExist)) // never failed
	is.NoErr(d.RemoveWhy("a"))              // nothing to remove

	name, err := d.Fail("a", drop(t, d, "a", "text"), []byte("why"), false)
	is.NoErr(err)
	_, err = d.Why(name)
	is.True(errors.Is(err, fs.ErrNotExist)) // the message is still there: it belongs to that
	is.NoErr(d.RemoveWhy(name))
	is.Equal(tree(t, d), files{"failed/a": "text", "failed/a.json": "why"}) // and stays with it

	is.NoErr(os.Rename(d.File("failed/a"), d.File("a"))) // mv failed/a .
	why, err := d.Why("a")
	is.NoErr(err)
	is.Equal(string(why), "why")
	is.NoErr(d.RemoveWhy("a"))
	is.Equal(tree(t, d), files{"a": "text"})
}

func TestWhyOfANameTooLongToHaveOne(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	long := strings.Repeat("x", 255)
	id := drop(t, d, long, "text")
	_, err := d.Why(long)
	is.True(errors.Is(err, fs.ErrNotExist)) // nothing was written beside it, ever: that is no trouble
	is.NoErr(d.RemoveWhy(long))
	_, err = d.Fail(long, id, []byte("why"), false)
	is.NoErr(err)
}

func TestWhyIsBounded(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "failed/a.json", "")
	is.NoErr(os.Truncate(d.File("failed/a.json"), 1<<20))
	why, err := d.Why("a")
	is.NoErr(err)
	is.Equal(len(why), 1<<20)
	is.NoErr(os.Truncate(d.File("failed/a.json"), maxWhy+1))
	_, err = d.Why("a")
	is.True(err != nil) // one byte too many
}

func TestWhyOfASymlink(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "hold/secret", "x")
	is.NoErr(os.Symlink("../hold/secret", d.File("failed/a.json")))
	_, err := d.Why("a")
	is.True(errors.Is(err, ErrNotRegular)) // not followed
}
