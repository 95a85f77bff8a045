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

func TestOpen(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	want := drop(t, d, "a.eml", "hello")
	f, id, err := d.Open("a.eml")
	is.NoErr(err)
	defer f.Close()
	text, err := io.ReadAll(f)
	is.NoErr(err)
	is.Equal(string(text), "hello")
	is.True(id.Equal(want)) // the ID is that of the file on disk
	is.Equal(id.Size, int64(5))
	stat, err := d.Stat("a.eml")
	is.NoErr(err)
	is.True(stat.Equal(id)) // Stat and Open agree
}

func TestIDDiffers(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	first := drop(t, d, "a", "one")
	f, _, err := d.Open("a") // the open file keeps its inode number from being used again
	is.NoErr(err)
	defer f.Close()
	replace(t, d, "a", "two")
	is.NoErr(os.Chtimes(d.File("a"), first.ModTime, first.ModTime))
	second, err := d.Stat("a")
	is.NoErr(err)
	is.True(!second.Equal(first)) // same name, size and time, but another inode

	longer, touched := second, second
	longer.Size++
	touched.ModTime = touched.ModTime.Add(1)
	is.True(!second.Equal(longer))  // another size
	is.True(!second.Equal(touched)) // another time
	second.ModTime = second.ModTime.UTC()
	// the time zone does not matter
	is.True(second.Equal(ID{Ino: second.Ino, Size: second.Size, ModTime: second.ModTime.Local()}))
}

func TestFileIsSettled(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, row := range []struct {
		name         string
		mtime, since time.Time
		want         bool
	}{
		{"written now, never seen", now, time.Time{}, false},
		{"written almost long enough ago", ago(SettleTime - 1), time.Time{}, false},
		{"written long enough ago", ago(SettleTime), time.Time{}, true},
		{"written long ago, seen just now", ago(time.Hour), now, true},
		{"written and seen a second ago", ago(time.Second), ago(time.Second), false},
		{"clock ahead, never seen", ago(-time.Hour), time.Time{}, false},
		{"clock ahead, seen a second ago", ago(-time.Hour), ago(time.Second), false},
		{"clock ahead, seen long enough ago", ago(-time.Hour), ago(SettleTime), true},
		{"our own clock was put back", ago(-time.Hour), ago(-time.Minute), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(ID{ModTime: row.mtime}.Quiet(row.since, now, SettleTime), row.want)
		})
	}
}

func TestOpenOfAMissingFile(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	_, _, err := d.Open("gone")
	is.True(errors.Is(err, fs.ErrNotExist)) // Open
	_, err = d.Stat("gone")
	is.True(errors.Is(err, fs.ErrNotExist)) // Stat
}
