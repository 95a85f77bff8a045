package spooldir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestMoveBetweenDirectories(t *testing.T) {
	for name, row := range map[string]struct {
		before   files
		from, to Place
		err      error
		after    files
	}{
		"hold":                {files{"a": "1"}, Spool, Hold, nil, files{"hold/a": "1"}},
		"release":             {files{"hold/a": "1"}, Hold, Spool, nil, files{"a": "1"}},
		"retry":               {files{"failed/a": "1", "failed/a.json": "why"}, Failed, Spool, nil, files{"a": "1", "failed/a.json": "why"}},
		"nothing to hold":     {files{"b": "1"}, Spool, Hold, fs.ErrNotExist, files{"b": "1"}},
		"held already":        {files{"a": "1", "hold/a": "2"}, Spool, Hold, fs.ErrExist, files{"a": "1", "hold/a": "2"}},
		"a new one has come":  {files{"a": "1", "hold/a": "2"}, Hold, Spool, fs.ErrExist, files{"a": "1", "hold/a": "2"}},
		"another one of that": {files{"a": "1", "failed/a": "2"}, Failed, Spool, fs.ErrExist, files{"a": "1", "failed/a": "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			for name, text := range row.before {
				drop(t, d, name, text)
			}
			err := d.Steering().Shift("a", row.from, row.to)
			is.True(errors.Is(err, row.err))
			is.Equal(tree(t, d), row.after)
			is.NoErr(d.SyncPlaces())
		})
	}
}

func TestShiftMakesHold(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "1")
	is.NoErr(os.Remove(d.File("hold")))
	is.NoErr(d.Steering().Shift("a", Spool, Hold))
	is.Equal(tree(t, d), files{"hold/a": "1"})
	is.True(d.Steering().Shift("../a", Hold, Spool) != nil) // a name cannot lead out of the spool
}

// The daemon links a message into failed/ before it removes the name in the spool. If the message were moved back in
// between, the daemon would remove its last name.
func TestShiftLeavesAMessageThatIsBeingMovedToFailed(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	id := drop(t, d, "a", "text")
	byLink(d)
	link := opsOf(d).link
	opsOf(d).link = func(from, to string) error {
		err := link(from, to)
		if to == d.File("failed/a") {
			is.True(errors.Is(d.Steering().Shift("a", Failed, Spool), ErrLinked))
		}
		return err
	}
	_, err := failOne(d, "a", id, false)
	is.NoErr(err)
	is.Equal(tree(t, d), files{"failed/a": "text", "failed/a.json": "why"})
	is.NoErr(d.Steering().Shift("a", Failed, Spool)) // after the move, the file can be moved back
}

func TestHandMove(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "a")
	drop(t, d, "b", "b")
	is.True(errors.Is(handMove(d.fs, d.File("a"), d.File("b")), fs.ErrExist)) // an existing file is not overwritten
	is.True(errors.Is(handMove(d.fs, d.File("x"), d.File("y")), fs.ErrNotExist))
	is.NoErr(handMove(d.fs, d.File("a"), d.File("c")))
	is.Equal(tree(t, d), files{"b": "b", "c": "a"})
	is.NoErr(os.Link(d.File("c"), d.File("tmp/c")))
	is.True(errors.Is(handMove(d.fs, d.File("c"), d.File("tmp/c")), fs.ErrExist)) // another process is moving the file
	is.Equal(tree(t, d), files{"b": "b", "c": "a", "tmp/c": "a"})
}

func TestDiscard(t *testing.T) {
	for name, place := range map[string]Place{"spool": Spool, "hold": Hold, "failed": Failed} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			at := "a"
			if place != Spool {
				at = string(place) + "/a"
			}
			id := drop(t, d, at, "text")
			keepInode(t, d, at)
			drop(t, d, "failed/b.json", "of another one")
			if place == Failed {
				drop(t, d, "failed/a.json", "why")
				is.NoErr(d.Failed().mark("a"))
			}
			other := id
			other.Size++
			is.True(errors.Is(d.Steering().Discard(place, "a", other), ErrChanged)) // the file has changed since
			is.Equal(tree(t, d)[at], "text")
			is.NoErr(d.Steering().Discard(place, "a", id))
			is.Equal(tree(t, d), files{"failed/b.json": "of another one"})
			is.True(errors.Is(d.Steering().Discard(place, "a", id), fs.ErrNotExist))
		})
	}
}

func TestDiscardOfNoMessage(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, ".target", "text")
	is.NoErr(os.Symlink(d.File(".target"), d.File("link")))
	fi, err := os.Lstat(d.File("link"))
	is.NoErr(err)
	is.NoErr(d.Steering().Discard(Spool, "link", IDOf(fi)))
	is.Equal(tree(t, d), files{".target": "text"}) // the target of a link is not removed
	fi, err = os.Lstat(d.File("hold"))
	is.NoErr(err)
	is.True(errors.Is(d.Steering().Discard(Spool, "hold", IDOf(fi)), ErrNotRegular))
}

func TestTouch(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	id := drop(t, d, "a", "text")
	age(t, d.File("a"), time.Hour)
	age(t, d.Path(), time.Hour)
	old, err := d.Stat("a")
	is.NoErr(err)
	is.NoErr(d.Steering().Touch("a"))
	is.NoErr(d.Steering().Touched())
	now, err := d.Stat("a")
	is.NoErr(err)
	is.True(now.ModTime.Sub(old.ModTime) > 59*time.Minute)
	is.Equal(now.Ino, id.Ino)
	fi, err := os.Stat(d.Path())
	is.NoErr(err)
	is.True(fi.ModTime().Sub(old.ModTime) > 59*time.Minute)
	is.NoErr(os.Symlink(d.File("a"), d.File("link")))
	is.True(errors.Is(d.Steering().Touch("link"), ErrNotRegular))
}

// A rewritten message leaves nothing in the memory of a long run.
func TestRewriteForgetsItsFile(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	id := drop(t, d, "a", "text")
	is.NoErr(d.Steering().Rewrite(Spool, "a", id, func(w io.Writer) error {
		_, err := io.WriteString(w, "other")
		return err
	}))
	is.Equal(tree(t, d), files{"a": "other"})
	is.Equal(len(d.building.paths), 0)
}
