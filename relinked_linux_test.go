package spoolgore

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/matryer/is"
)

// Each release of an application has its own directory, and a symbolic link names the current one. The spool is below
// the link.
func TestSpoolOfTheNextReleaseIsServedAtOnce(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	top, relay := t.TempDir(), &pairing{offers: map[string]int{}, second: map[string]chan struct{}{}}
	if !watchIsComplete(t, top) {
		t.Skip("the file system of the tests does not tell of each change")
	}
	is.NoErr(os.MkdirAll(top+"/releases/1/spool", 0o700))
	is.NoErr(os.MkdirAll(top+"/releases/2/spool", 0o700))
	is.NoErr(os.Symlink("releases/1", top+"/current"))
	dir := top + "/current/spool"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, end := startReal(t, ctx, dir, relay) // the daemon scans once an hour
	drop(t, dir, "first", to("b@x.org"))
	soon(t, "the mail of the first release is sent", func() bool { return !exists(dir, "first") })
	is.NoErr(errors.Join(os.Symlink("releases/2", top+"/new"), os.Rename(top+"/new", top+"/current")))
	drop(t, dir, "second", to("b@x.org"))
	soon(t, "the mail of the second release is sent", func() bool { return !exists(dir, "second") })
	drop(t, dir, "third", to("b@x.org"))
	soon(t, "the new directory is watched", func() bool { return !exists(dir, "third") })
	for _, name := range []string{"first", "second", "third"} {
		is.Equal(relay.count(name), 1)
	}
	cancel()
	is.NoErr(<-end)
}

// watchIsComplete reports whether the system notifies the daemon of each change of a spool in dir.
func watchIsComplete(t *testing.T, dir string) bool {
	t.Helper()
	w, err := New(dir, Options{}).dir.Watch()
	check(t, err)
	defer w.Close()
	return w.Complete()
}
