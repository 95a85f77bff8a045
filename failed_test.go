package spoolgore

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A failed/ that cannot be read is said at the start and stops none, and nothing is lost over it.
func TestUnreadableFailedDirectoryDoesNotPreventTheStart(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]fs.FileMode{"not listed": 0o300, "not looked into": 0} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() == 0 {
				asNobody(t) // root may read everything
				return
			}
			synctest.Test(t, func(t *testing.T) { testUnreadableFailed(t, mode) })
		})
	}
}

func testUnreadableFailed(t *testing.T, mode fs.FileMode) {
	is := is.New(t)
	dir, log := t.TempDir(), &lines{}
	relay := refusing(map[string]string{"old@example.org": "550 no", "new@example.org": "550 no"})
	opts := Options{Dial: relay.Dial, Logger: slog.New(slog.NewTextHandler(log, nil))}
	drop(t, dir, "old", to("old@example.org"))
	_, stop := start(t, dir, opts) // without reports
	pass(time.Second)
	stop()
	failed := filepath.Join(dir, "failed")
	check(t, os.WriteFile(filepath.Join(failed, ".untold-old"), nil, 0o600)) // as a crash has left it
	check(t, os.Chmod(failed, mode))
	defer os.Chmod(failed, 0o700)
	drop(t, dir, "good", to("good@example.org"))
	drop(t, dir, "new", to("new@example.org"))

	_, stop = begin(t, dir, opts)
	pass(time.Minute)
	is.Equal(strings.Count(log.String(), "recovery after a crash is incomplete"), 1)
	is.Equal(strings.Count(log.String(), "reports pending but unreadable"), 1)
	is.Equal(!exists(dir, "good"), mode != 0) // if failed/ cannot be read, a why-file of it may be there
	is.True(exists(dir, "new"))               // who was refused stays in the spool while there is no other place
	is.Equal(len(reports(t, relay)), 0)       // and there is no report
	check(t, os.Chmod(failed, 0o700))
	pass(time.Hour)
	is.True(!exists(dir, "good"))
	is.True(!exists(dir, "new")) // it is given up when it can be
	stop()
	is.True(exists(dir, "failed", ".untold-old"))

	_, stop = begin(t, dir, opts)
	pass(time.Minute)
	stop()
	is.Equal(len(reports(t, relay)), 2) // the next start finds the other one, too
	is.Equal(ls(t, dir, "failed"), []string{"new", "new.json", "old", "old.json"})
}
