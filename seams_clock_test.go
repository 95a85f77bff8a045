package spoolgore

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

func another(t *testing.T, dir string) {
	t.Helper()
	check(t, os.Rename(dir, dir+".away"))
	check(t, os.Mkdir(dir, 0o700))
}

func TestOneReportAfterACrashBeforeTheWhyFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay := refusing(map[string]string{"b@x.org": "550 5.1.1 no such user"})
		drop(t, dir, "m", strings.Replace(named, "a@x.org, ", "", 1))
		check(t, os.MkdirAll(filepath.Join(dir, "failed"), 0o700))
		info, err := os.Stat(filepath.Join(dir, "m"))
		check(t, err)
		// the state in docs/durability.md: NAME, failed/.untold-NAME, and a status file with the recipient given up
		check(t, os.WriteFile(filepath.Join(dir, "failed", ".untold-m"), nil, 0o600))
		check(t, os.WriteFile(filepath.Join(dir, ".spoolgore.js"), fmt.Appendf(nil,
			`{%q: {"From":"s@x.org","To":[{"Address":"b@x.org","Status":2,"GivenUp":true,"Error":"550"}],"Cc":[],"Bcc":[],"Attempts":1,"Enqueued":"2000-01-01T00:00:00Z","Size":%d,"Modified":%q,"MessageID":"<1@x>"}}`,
			filepath.Join(dir, "m"), info.Size(), info.ModTime().Format(time.RFC3339Nano)), 0o600))
		_, stop := begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Minute)
		stop()
		is.Equal(len(reports(t, relay)), 1)
	})
}

func TestAShutdownIsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		release := make(chan struct{})
		var dials atomic.Int32
		relay := &smtptest.Relay{}
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) > 0 {
				select {
				case <-release:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return relay.Dial(ctx, network, addr)
		}
		for i := range 20 {
			drop(t, dir, fmt.Sprint(i), to(fmt.Sprintf("r%d@x.org", i)))
		}
		s, stop := begin(t, dir, Options{Dial: dial, Attempts: 1, Grace: time.Second, NoReports: true})
		pass(time.Second)
		stop()
		close(release)
		for name, m := range s.Status() {
			if m.To[0].Attempts != 0 {
				t.Log(name, m.To[0].Attempts, m.To[0].Error)
			}
		}
		is.Equal(len(ls(t, dir, "failed")), 0) // there was no attempt
		is.Equal(len(s.Status()), 20)
	})
}

func TestReportsOwedInAReplacedDirectoryAreSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := filepath.Join(t.TempDir(), "spool")
		check(t, os.Mkdir(dir, 0o700))
		relay := refusing(nil)
		_, stop := begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		another(t, dir)
		check(t, os.Mkdir(filepath.Join(dir, "failed"), 0o700))
		check(t, os.WriteFile(filepath.Join(dir, "failed", "m"), []byte(named), 0o600))
		check(t, os.WriteFile(filepath.Join(dir, "failed", "m.json"), []byte(`{"From":"s@x.org","To":[{"Address":"b@x.org","Status":2,"GivenUp":true,"Error":"550"}],"MessageID":"<1@x>"}`), 0o600))
		check(t, os.WriteFile(filepath.Join(dir, "failed", ".untold-m"), nil, 0o600))
		pass(time.Hour)
		stop()
		is.Equal(len(reports(t, relay)), 1)
	})
}
