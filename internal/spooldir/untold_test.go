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

func TestReportsOwed(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Remove(d.File("failed")))
	names, err := d.Failed().ReportsOwed()
	is.NoErr(err) // without failed/ no report is pending
	is.Equal(len(names), 0)

	long := strings.Repeat("x", 251) + ".eml"
	for _, name := range []string{"a", "b", long} {
		item := &Failing{Name: name, ID: drop(t, d, name, "text "+name), Why: []byte("why " + name), Owed: true}
		d.Failed().Fail([]*Failing{item})
		is.NoErr(item.Err)
	}
	drop(t, d, "c", "text")
	is.NoErr(giveUp(d, false, false, "c"))
	names, err = d.Failed().ReportsOwed()
	is.NoErr(err)
	is.Equal(len(names), 3) // c has no message
	is.True(slices.Contains(names, "a") && slices.Contains(names, "b"))

	f, id, err := d.Failed().Open("a")
	is.NoErr(err)
	text, err := io.ReadAll(f)
	is.NoErr(err)
	is.NoErr(f.Close())
	is.Equal(string(text), "text a")
	is.Equal(id.Size, int64(len(text)))
	why, err := d.Failed().Why("a")
	is.NoErr(err)
	is.Equal(string(why), "why a")

	is.NoErr(d.Failed().ReportMade("a"))
	is.NoErr(d.Failed().ReportMade("a")) // a second call has no effect
	names, err = d.Failed().ReportsOwed()
	is.NoErr(err)
	is.Equal(len(names), 2)
	is.True(!slices.Contains(names, "a"))
}

func TestTheMarkGoesWithTheWhyFile(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "text")
	is.NoErr(giveUp(d, false, true, "a"))
	is.NoErr(os.Rename(d.File("failed/a"), d.File("a"))) // mv failed/a .
	_, _, err := d.Failed().Open("a")
	is.True(errors.Is(err, fs.ErrNotExist))
	is.NoErr(d.Failed().RemoveWhy("a")) // as after the delivery
	is.Equal(tree(t, d), files{"a": "text"})
}

// While a message is being moved, its mark is not listed as a pending report: a notifier that finds no message would
// remove the mark.
func TestReportIsOwedOnceTheMessageIsThere(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "text")
	before(d, 1, func() {
		names, err := d.Failed().ReportsOwed()
		is.NoErr(err)
		is.Equal(len(names), 0)
		is.True(isThere(d, "failed/.untold-a"))
	})
	is.NoErr(giveUp(d, false, true, "a"))
	names, err := d.Failed().ReportsOwed()
	is.NoErr(err)
	is.Equal(names, []string{"a"})
}

func TestMarkIsNoLink(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "a", "text")
	is.NoErr(os.Symlink("../target", d.File("failed/.untold-a")))
	is.True(giveUp(d, false, true, "a") != nil)
	is.True(!isThere(d, "target"))
}

func TestOpenFailedOpensRegularFilesOnly(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Mkdir(d.File("failed/dir"), 0o700))
	_, _, err := d.Failed().Open("dir")
	is.True(errors.Is(err, ErrNotRegular))
	_, _, err = d.Failed().Open("../a")
	is.True(errors.Is(err, fs.ErrInvalid))
	_, err = d.Failed().Why("../a")
	is.True(errors.Is(err, fs.ErrInvalid))
}
