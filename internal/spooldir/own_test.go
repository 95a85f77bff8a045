package spooldir

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/matryer/is"
)

func TestOpenOwn(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	path := d.File(".spoolgore.x")
	for range 2 { // first the file is made, then it exists
		f, err := OpenOwn(path)
		is.NoErr(err)
		_, err = f.WriteAt([]byte("text"), 0)
		is.NoErr(err)
		is.NoErr(f.Close())
	}
	info, err := os.Stat(path)
	is.NoErr(err)
	is.Equal(info.Mode(), fs.FileMode(0o600)) // other users cannot read it
	is.NoErr(os.Rename(path, d.File("theirs")))
	is.NoErr(os.Symlink("theirs", path))
	_, err = OpenOwn(path)
	is.True(errors.Is(err, ErrNotRegular)) // a link is not followed
	is.NoErr(os.Remove(path))
	is.NoErr(os.Mkdir(path, 0o700))
	_, err = OpenOwn(path)
	is.True(err != nil)
}

func TestOpenReadWaitsForNothing(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	path := d.File(".spoolgore.x")
	_, err := OpenRead(path)
	is.True(errors.Is(err, fs.ErrNotExist)) // no file is made
	drop(t, d, ".spoolgore.x", "text")
	f, err := OpenRead(path)
	is.NoErr(err)
	is.NoErr(f.Close())
	is.NoErr(os.Remove(path))
	is.NoErr(os.Mkdir(path, 0o700))
	_, err = OpenRead(path)
	is.True(errors.Is(err, ErrNotRegular))
}
