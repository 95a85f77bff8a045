package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// before calls act just before the n-th next move by d.
func before(d *Dir, n int, act func()) {
	move := opsOf(d).move
	opsOf(d).move = func(from, to string) error {
		if n--; n == 0 {
			act()
		}
		return move(from, to)
	}
}

func TestRemove(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Remove(d.File("tmp")))
	long := strings.Repeat("x", 255)
	for _, name := range []string{"a", long} {
		id := drop(t, d, name, "sent")
		is.NoErr(d.Remove(name, id))
		is.Equal(tree(t, d), files{})
		is.True(errors.Is(d.Remove(name, id), fs.ErrNotExist)) // the file is missing
	}
}

func TestRemoveOfAnotherVersion(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(t *testing.T, d *Dir)
		left   files
	}{
		{"replaced", func(t *testing.T, d *Dir) { replace(t, d, "a", "new!") }, files{"a": "new!"}},
		{"written to", func(t *testing.T, d *Dir) { drop(t, d, "a", "longer") }, files{"a": "longer"}},
		{"touched", func(t *testing.T, d *Dir) { age(t, d.File("a"), time.Hour) }, files{"a": "sent"}},
		{"symlink", func(t *testing.T, d *Dir) {
			os.Remove(d.File("a"))
			os.Symlink("tmp/../hold/b", d.File("a"))
			drop(t, d, "hold/b", "held")
		}, files{"a": "held", "hold/b": "held"}},
	} {
		t.Run(row.name+" before", func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			id := drop(t, d, "a", "sent")
			keepInode(t, d, "a")
			row.change(t, d)
			before(d, 1, func() { t.Error("moved a file that was not delivered") })
			is.True(errors.Is(d.Remove("a", id), ErrChanged))
			is.Equal(tree(t, d), row.left)
		})
		t.Run(row.name+" at the last moment", func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			id := drop(t, d, "a", "sent")
			keepInode(t, d, "a")
			before(d, 1, func() { row.change(t, d) })
			is.True(errors.Is(d.Remove("a", id), ErrChanged))
			is.Equal(tree(t, d), row.left) // the file is back in the spool
		})
	}
}

// keepInode keeps the inode number of name in use during the test.
func keepInode(t *testing.T, d *Dir, name string) {
	f, err := os.Open(d.File(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
}

func TestRemoveWhenTheNameIsTakenMeanwhile(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	id := drop(t, d, "a", "first")
	keepInode(t, d, "a")
	d.newName = func() string { return "fresh" }
	before(d, 1, func() { replace(t, d, "a", "second") })
	before(d, 2, func() { drop(t, d, "a", "third") }) // while the second file is in tmp/
	is.True(errors.Is(d.Remove("a", id), ErrChanged))
	is.Equal(tree(t, d), files{"a": "third", "fresh": "second"}) // no file is lost
}

func TestRemoveBesideTheRestOfACrash(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	id := drop(t, d, "a", "sent")
	left := "tmp/" + sentName(id, "a")
	drop(t, d, left, "from an earlier life")
	is.NoErr(d.Remove("a", id))
	is.Equal(tree(t, d), files{left: "from an earlier life"})
}

func TestSentName(t *testing.T) {
	for _, id := range []ID{
		{},
		{Ino: 1<<64 - 1, Size: 1<<63 - 1, ModTime: time.Unix(0, 1<<63-1)},
		{Ino: 5, Size: 7, ModTime: time.Unix(0, -12345)},
		{Ino: 5, Size: 7, ModTime: time.Date(2026, 11, 23, 21, 49, 5, 123456789, time.UTC)},
	} {
		for _, name := range []string{"a", "-a-b-", "7", "20261123T214905.123456789-abcdefgh.eml"} {
			t.Run(fmt.Sprint(id, name), func(t *testing.T) {
				is := is.New(t)
				want := id
				if id.ModTime.IsZero() {
					want.ModTime = time.Unix(0, 0) // a file always has a time
					id.ModTime = want.ModTime
				}
				got, gotName, ok := parseSent(sentName(id, name))
				is.True(ok)
				is.True(got.Equal(want))
				is.Equal(gotName, name)
			})
		}
	}
	is := is.New(t)
	is.True(len(sentName(ID{Ino: 1<<64 - 1, Size: 1<<63 - 1, ModTime: time.Unix(0, 1<<63-1)}, strings.Repeat("x", 255))) < 143)
}

// parseSent and sentName are inverse, except for the spelling of numbers.
func FuzzParseSent(f *testing.F) {
	f.Add(".sent-1-2-3-a")
	f.Add(".sent-1-2--3-a-b")
	f.Add(".sent-1-2")
	f.Add(".sent--1-2-3-a")
	f.Fuzz(func(t *testing.T, sent string) {
		id, name, ok := parseSent(sent)
		if !ok {
			return
		}
		if name == "" || id.Size < 0 || !strings.HasSuffix(sent, "-"+name) {
			t.Fatalf("%q: %v %q", sent, id, name)
		}
		if len(name) > longName {
			return
		}
		if again, sameName, ok := parseSent(sentName(id, name)); !ok || sameName != name || !again.Equal(id) {
			t.Fatalf("%q: %v %q, then %v %q", sent, id, name, again, sameName)
		}
	})
}
