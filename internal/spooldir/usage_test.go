//go:build unix

package spooldir

import (
	"os"
	"testing"

	"github.com/matryer/is"
)

func TestUsage(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "one", "12345")
	drop(t, d, "tmp/two", "123")
	drop(t, d, "failed/three", "1")
	drop(t, d, "hold/four", "")
	is.NoErr(os.Symlink("one", d.File("link"))) // a link is not counted
	files, bytes, err := Usage(d, os.Getuid())
	is.NoErr(err)
	is.Equal(files, 4)
	is.Equal(bytes, int64(9))
	files, bytes, err = Usage(d, os.Getuid()+1)
	is.NoErr(err)
	is.Equal(files, 0) // another user has no files
	is.Equal(bytes, int64(0))
	is.NoErr(os.RemoveAll(d.Path()))
	_, _, err = Usage(d, os.Getuid())
	is.True(err != nil)
}
