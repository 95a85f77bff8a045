package spoolgore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// A person corrects the address of a recipient in the status file. The recipient stays when the file is read again.
func TestRecipientAddedInTheStatusFileStays(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(t *testing.T, dir string){
		"touched": func(t *testing.T, dir string) {
			check(t, os.Chtimes(filepath.Join(dir, "m"), time.Now(), time.Now()))
		},
		"refused, and moved back from failed": func(t *testing.T, dir string) {
			pass(25 * time.Hour)
			check(t, os.Rename(filepath.Join(dir, "failed", "m"), filepath.Join(dir, "m")))
		},
		"touched after a restart": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				relay := &ledger{answer: func(_, to string, n int) error {
					switch {
					case to == "b@x.org", n == 1:
						return errLater
					case n == 2 && strings.HasPrefix(name, "refused"):
						return refused()
					}
					return nil
				}}
				opts := Options{Transport: relay, Backoff: seldom, Freq: time.Minute}
				drop(t, dir, "m", "From: s@x.org\nTo: b@x.org\nMessage-ID: <1@x>\n\nhello\n")
				s, stop := start(t, dir, opts)
				pass(10 * time.Second)
				s.Pause()
				path := filepath.Join(dir, ".spoolgore.js")
				edited := strings.Replace(compactStatus(t, path), `"b@x.org"`, `"c@x.org"`, 1)
				is.NoErr(os.WriteFile(path, []byte(edited), 0o600))
				is.NoErr(s.Reload())
				s.Resume()
				s.Flush()
				pass(10 * time.Second)
				is.Equal(relay.tries("", "c@x.org"), 1)
				if act == nil {
					stop()
					check(t, os.Chtimes(filepath.Join(dir, "m"), time.Now(), time.Now()))
					_, stop = start(t, dir, opts)
				} else {
					act(t, dir)
				}
				pass(time.Minute)
				stop()
				is.Equal(relay.accepted("", "c@x.org"), 1)
				is.Equal(relay.tries("", "b@x.org"), 1)
			})
		})
	}
}
