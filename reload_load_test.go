package spoolgore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// The status file is edited without a pause, while mail keeps coming faster than the disk removes what was sent. Reload
// waits for the messages that have to leave the spool by then, and not for those that come after them.
func TestReloadUnderLoadEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		s, stop := start(t, dir, Options{Transport: relay, Backoff: seldom, FailDisk: func(op, path string) error {
			if op == "rename" && strings.Contains(filepath.Base(path), ".sent-") {
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		}})
		drop(t, dir, "m", named)
		pass(10 * time.Second)
		var over atomic.Bool
		go func() {
			for n := 0; !over.Load(); n++ {
				text := fmt.Sprintf("Subject: x\nMessage-ID: <n%d@x>\n\nhi\n", n)
				check(t, s.Send("s@x.org", []string{"a@x.org"}, []byte(text)))
				time.Sleep(50 * time.Millisecond)
			}
		}()
		pass(5 * time.Second)
		path := filepath.Join(dir, ".spoolgore.js")
		edited := strings.Replace(compactStatus(t, path), `"Status":0`, `"Status":2`, 1)
		is.NoErr(os.WriteFile(path, []byte(edited), 0o600))
		var reloaded atomic.Bool
		go func() {
			check(t, s.Reload())
			reloaded.Store(true)
		}()
		pass(20 * time.Second)
		is.True(reloaded.Load())
		over.Store(true)
		pass(time.Minute)
		stop()
	})
}
