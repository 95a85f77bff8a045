//go:build unix

package collector

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/daemonstate"
)

// Another user of the spool may put a link or a FIFO in place of the state file: it is replaced, not followed.
func TestStateFileReplacesALinkOrFIFO(t *testing.T) {
	for kind, make := range map[string]func(target, path string) error{
		"symbolic link": os.Symlink,
		"FIFO":          func(_, path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		t.Run(kind, func(t *testing.T) {
			other := filepath.Join(t.TempDir(), "other")
			if err := os.WriteFile(other, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := os.Stat(other)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				path := filepath.Join(dir, daemonstate.Name)
				_, _, stop := begin(t, &spool{h: well}, Options{Dir: dir})
				pass(time.Minute)
				is.NoErr(os.Remove(path))
				is.NoErr(make(other, path))
				pass(time.Minute)
				is.Equal(read(t, dir).PID, os.Getpid()) // the file is written again
				is.NoErr(os.Remove(path))
				is.NoErr(make(other, path))
				stop() // a FIFO does not block the end
				_, err := os.Lstat(path)
				is.NoErr(err) // a file of another user is not removed
			})
			after, err := os.Stat(other)
			if err != nil || !after.ModTime().Equal(before.ModTime()) {
				t.Error("the time of another file was set", err)
			}
		})
	}
}
