package shim

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// A daemon that no signal reaches is woken by a touch of each message. A touch puts a file with a temporary name off:
// the configuration says which names are temporary.
func TestTouchSparesTheTemporaryNamesOfTheConfiguration(t *testing.T) {
	is := is.New(t)
	dir, etc := t.TempDir(), t.TempDir()
	is.NoErr(os.WriteFile(filepath.Join(etc, "spoolgore.conf"), []byte("dir "+dir+"\ntemporary *.own *.new\n"), 0o600))
	old := time.Now().Add(-time.Minute)
	for _, name := range []string{"m", "m.own", "m.tmp"} {
		file := filepath.Join(dir, name)
		is.NoErr(os.WriteFile(file, []byte("From: a@x\nTo: b@y\n\nx\n"), 0o600))
		is.NoErr(os.Chtimes(file, old, old))
	}
	var c config
	is.NoErr(c.read(system{}, filepath.Join(etc, "spoolgore.conf")))
	spool, err := spooldir.New(dir)
	is.NoErr(err)
	out := &bytes.Buffer{}
	s := &shim{conf: c, spool: spool, stdout: out}
	is.NoErr(s.listAll(true))
	is.Equal(strings.Count(out.String(), `"State":"temporary"`), 1)
	is.NoErr(s.touchAll())
	for name, want := range map[string]bool{"m": true, "m.own": false, "m.tmp": true} {
		fi, err := os.Stat(filepath.Join(dir, name))
		is.NoErr(err)
		is.Equal(fi.ModTime().After(old.Add(time.Second)), want)
	}
}
