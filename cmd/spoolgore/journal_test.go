//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// TestUnderSystemd starts the daemon with its log in a file. In one case the environment says that the file is the
// journal.
func TestUnderSystemd(t *testing.T) {
	t.Parallel()
	for name, journal := range map[string]bool{"the journal": true, "another file": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			f, err := os.Create(filepath.Join(t.TempDir(), "log"))
			is.NoErr(err)
			defer f.Close()
			stream := "1:2"
			if journal {
				info, err := f.Stat()
				is.NoErr(err)
				st := info.Sys().(*syscall.Stat_t)
				stream = fmt.Sprintf("%d:%d", st.Dev, st.Ino)
			}
			cmd := exec.Command(os.Args[0], "-once", t.TempDir())
			cmd.Env, cmd.Stderr = append(os.Environ(), asCommand+"=1", "JOURNAL_STREAM="+stream), f
			is.NoErr(cmd.Run())
			text, err := os.ReadFile(f.Name())
			is.NoErr(err)
			is.Equal(strings.HasPrefix(string(text), "<6>level=INFO msg=started "), journal)
			is.Equal(strings.HasPrefix(string(text), "time="), !journal)
		})
	}
}
