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

// A failed/ that cannot be read is logged at the start. The daemon starts, and no message is lost.
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
	// the mark of a report that a crash has left
	check(t, os.WriteFile(filepath.Join(failed, ".untold-old"), nil, 0o600))
	check(t, os.Chmod(failed, mode))
	defer os.Chmod(failed, 0o700)
	drop(t, dir, "good", to("good@example.org"))
	drop(t, dir, "new", to("new@example.org"))

	_, stop = begin(t, dir, opts)
	pass(time.Minute)
	is.Equal(strings.Count(log.String(), "recovery after a crash is incomplete"), 1)
	is.Equal(strings.Count(log.String(), "reports pending but unreadable"), 1)
	is.Equal(!exists(dir, "good"), mode != 0) // if failed/ cannot be read, it may have a why-file of this message
	is.True(exists(dir, "new"))               // the refused message stays in the spool while failed/ cannot be used
	is.Equal(len(reports(t, relay)), 0)       // no report is sent
	check(t, os.Chmod(failed, 0o700))
	pass(time.Hour)
	is.True(!exists(dir, "good"))
	is.True(!exists(dir, "new")) // the message is given up when failed/ can be used
	stop()
	is.True(exists(dir, "failed", ".untold-old"))

	_, stop = begin(t, dir, opts)
	pass(time.Minute)
	stop()
	is.Equal(len(reports(t, relay)), 2) // the next start finds the mark of the old message, too
	is.Equal(ls(t, dir, "failed"), []string{"new", "new.json", "old", "old.json"})
}
