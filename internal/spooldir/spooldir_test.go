package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestNewTouchesNothing(t *testing.T) {
	is := is.New(t)
	t.Chdir(t.TempDir())
	d, err := New("some/../spool/")
	is.NoErr(err)
	is.True(filepath.IsAbs(d.Path()))          // the path is absolute
	is.Equal(filepath.Base(d.Path()), "spool") // and clean
	is.Equal(d.File("a"), d.Path()+string(filepath.Separator)+"a")
	_, err = os.Lstat(d.Path())
	is.True(errors.Is(err, fs.ErrNotExist)) // New does not make the directory
}

func TestPrepare(t *testing.T) {
	is := is.New(t)
	d, err := New(filepath.Join(t.TempDir(), "spool"))
	is.NoErr(err)
	_, err = d.Prepare()
	is.True(errors.Is(err, fs.ErrNotExist)) // a missing spool is not made

	is.NoErr(os.Mkdir(d.Path(), 0o700))
	is.NoErr(os.Chmod(d.Path(), 0o770|fs.ModeSticky))
	for range 2 { // a second Prepare has no effect
		incomplete, err := d.Prepare()
		is.NoErr(incomplete)
		is.NoErr(err)
	}
	for _, sub := range []string{"tmp", "failed", "hold"} {
		fi, err := os.Stat(d.File(sub))
		is.NoErr(err)
		is.Equal(fi.Mode(), fs.ModeDir|fs.ModeSticky|0o770) // the mode of the spool, whatever the umask
	}
}

func TestPrepareRefusesWhatIsNoDirectory(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	is.NoErr(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	d, err := New(filepath.Join(dir, "file"))
	is.NoErr(err)
	_, err = d.Prepare()
	is.True(err != nil) // the spool is a file
}

// A file with the name of a subdirectory is left alone, and the other subdirectories are made.
func TestPrepareBesideFilesWithNamesOfDirectories(t *testing.T) {
	t.Parallel()
	for _, sub := range []string{"tmp", "failed", "hold"} {
		is := is.New(t)
		d, err := New(t.TempDir())
		is.NoErr(err)
		is.NoErr(os.WriteFile(d.File(sub), []byte("text"), 0o600))
		incomplete, err := d.Prepare()
		is.NoErr(err)
		is.True(strings.Contains(incomplete.Error(), d.File(sub))) // the error names the file
		for _, other := range []string{"tmp", "failed", "hold"} {
			fi, err := os.Stat(d.File(other))
			is.NoErr(err)
			is.Equal(fi.IsDir(), other != sub)
		}
		id := drop(t, d, "m", "text")
		_, err = d.Failed().ReturnedWhy("m")
		is.True(errors.Is(err, fs.ErrNotExist)) // there is no why-file, whatever kind of file failed/ is
		is.True(errors.Is(d.Remove("m", ID{Ino: id.Ino, Size: 1}), ErrChanged))
		is.NoErr(d.Remove("m", id)) // a delivered message is removed without tmp/, too
		_, err = os.Stat(d.File("m"))
		is.True(errors.Is(err, fs.ErrNotExist))
	}
}

func TestUsable(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a.eml": true, "with space": true, "ünï": true, "a.": true, "-rf": true, "\xff": true,
		"": false, ".": false, "..": false, ".hidden": false, "a/b": false, "/": false, "a/": false,
	} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			is := is.New(t)
			is.Equal(Usable(name), want)
		})
	}
}

func TestNamesThatLeadOutAreRefused(t *testing.T) {
	d := newSpool(t)
	drop(t, d, "hold/x", "kept")
	for _, name := range []string{"", "..", "hold/x", "../x", ".spoolgore.js"} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			is := is.New(t)
			_, _, err := d.Open(name)
			is.True(errors.Is(err, fs.ErrInvalid)) // Open
			_, err = d.Stat(name)
			is.True(errors.Is(err, fs.ErrInvalid))                        // Stat
			is.True(errors.Is(d.Remove(name, ID{}), fs.ErrInvalid))       // Remove
			is.True(errors.Is(d.Failed().RemoveWhy(name), fs.ErrInvalid)) // RemoveWhy
			_, err = failOne(d, name, ID{}, false)
			is.True(errors.Is(err, fs.ErrInvalid)) // Fail
			_, err = d.Failed().ReturnedWhy(name)
			is.True(errors.Is(err, fs.ErrInvalid)) // Why
		})
	}
}

func TestNames(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	var want []string
	for i := range 3000 { // more than one read of the directory
		name := fmt.Sprintf("%06d.eml", (i*7919)%3000)
		drop(t, d, name, "")
		want = append(want, name)
	}
	slices.Sort(want)
	drop(t, d, ".spoolgore.js", "{}")
	is.NoErr(os.Mkdir(d.File("subdirectory"), 0o700))
	got, err := d.Names(Spool)
	is.NoErr(err)
	is.True(slices.Equal(got, want)) // every file once, sorted, without directories and dot names
}

func TestNamesOfAMissingSpool(t *testing.T) {
	is := is.New(t)
	d, err := New(filepath.Join(t.TempDir(), "gone"))
	is.NoErr(err)
	names, err := d.Names(Spool)
	is.True(errors.Is(err, fs.ErrNotExist))
	is.Equal(len(names), 0)
}
