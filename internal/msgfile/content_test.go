package msgfile

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// A file changes while it is sent.
func TestContentOfFileThatChanges(t *testing.T) {
	body := strings.Repeat("the price is 100 euros\n", 20_000)
	overwrite := func(path, text string) error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(text), 0)
		return errors.Join(err, f.Close())
	}
	for name, tt := range map[string]struct {
		change  func(path, text string) error
		changed bool
	}{
		"not at all":   {func(string, string) error { return nil }, false},
		"touched":      {func(path, _ string) error { return os.Chtimes(path, time.Now(), time.Now()) }, false},
		"appended to":  {func(path, _ string) error { return os.WriteFile(path, []byte(header+"\n"+body+"more\n"), 0o600) }, true},
		"overwritten":  {func(path, text string) error { return overwrite(path, strings.ReplaceAll(text, "100", "999")) }, true},
		"cut":          {func(path, _ string) error { return os.Truncate(path, 1000) }, true},
		"same content": {func(path, text string) error { return overwrite(path, text) }, false},
		"replaced":     {func(path, _ string) error { return os.Rename(path, path+".old") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			text := header + "\n" + body
			dir, _ := put(t, text, time.Hour)
			m, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
			is.NoErr(err)
			defer m.Close()
			size, _, err := m.Measure("<1@x>")
			is.NoErr(err)
			r := m.Content("<1@x>")
			_, err = io.ReadFull(r, make([]byte, 100_000))
			is.NoErr(err)
			is.NoErr(tt.change(dir.File("m"), text))
			// a relay that knows the size reads no further
			n, err := io.Copy(io.Discard, io.LimitReader(r, size-100_000))
			if tt.changed {
				is.True(err != nil && n < size-100_000) // the last octet is not sent
				is.Equal(m.Sum(), uint64(0))
				return
			}
			is.NoErr(err)
			is.Equal(n, size-100_000)
			is.True(!m.Changed() && m.Sum() != 0)
		})
	}
}

// Another version of the file exists after the message was sent. Only the modification time may differ.
func TestSameContent(t *testing.T) {
	is := is.New(t)
	dir, at := put(t, header+"\nbody\n", time.Hour)
	sent, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
	is.NoErr(err)
	defer sent.Close()
	_, err = io.ReadAll(sent.Content("<1@x>"))
	is.NoErr(err)
	for _, tt := range []struct {
		text string
		want bool
	}{{header + "\nbody\n", true}, {header + "\nBODY\n", false}, {header + "\nbody\nmore\n", false}} {
		is.NoErr(os.WriteFile(dir.File("m"), []byte(tt.text), 0o600))
		is.NoErr(os.Chtimes(dir.File("m"), at, at.Add(time.Minute)))
		now, err := Open(dir, "m", Look{Now: time.Now(), How: spooldir.Renamed})
		is.NoErr(err)
		is.Equal(now.SameContent(sent.ID, "<1@x>", sent.Sum()), tt.want) // although Date comes from the file
		is.True(!now.SameContent(sent.ID, "<1@x>", 0))
		now.Close()
	}
}
