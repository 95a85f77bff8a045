package spoolgore

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestThousandsOfFilesThatCannotBeSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const bad = 3000
		dir, relay, log := t.TempDir(), &smtptest.Relay{}, &lines{}
		for i := range bad {
			path := filepath.Join(dir, fmt.Sprintf("bad%04d", i))
			if i%2 == 0 {
				check(t, os.Symlink("/etc/hostname", path))
			} else {
				check(t, os.WriteFile(path, []byte("junk"), 0o600))
			}
		}
		s, stop := start(t, dir, Options{Dial: relay.Dial, Logger: slog.New(slog.NewTextHandler(log, nil))})
		drop(t, dir, "good", simple)
		pass(11 * time.Second)
		is.Equal(len(relay.Messages()), 1) // the good message is sent at the next scan
		for i := range 10 {
			drop(t, dir, fmt.Sprint("good", i), simple) // each new file makes the daemon read the directory again
			pass(time.Minute)
		}
		is.Equal(len(s.Status()), bad)
		stop()
		is.Equal(len(relay.Messages()), 11)
		is.Equal(strings.Count(log.String(), "file cannot be sent"), bad) // one line for each file
		// all other lines are: queued, delivered, started, stopped
		is.Equal(strings.Count(log.String(), "\n"), bad+2*11+2)
	})
}

// While the loop is busy, the kernel's queue of notices overflows. Every message is found, although notices are lost.
func TestMoreNoticesThanTheKernelKeeps(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return // other systems send no notices
	}
	is := is.New(t)
	const renames = 20_000 // two events each; the kernel keeps 16,384
	dir := t.TempDir()
	busy, goOn := make(chan struct{}), make(chan struct{})
	opts := Options{Freq: time.Hour}
	opts.OnEvent = func(ev Event) {
		if ev.Kind == EventQueued && ev.File == "first" {
			close(busy)
			<-goOn
		}
	}
	r := try(t, dir, &smtptest.Relay{}, opts)
	drop(t, dir, "first", to("first@x.org"))
	<-busy
	drop(t, dir, "goes", to("goes@x.org"))
	is.NoErr(os.WriteFile(filepath.Join(dir, ".a"), nil, 0o600))
	for range renames {
		is.NoErr(os.Rename(filepath.Join(dir, ".a"), filepath.Join(dir, ".b")))
		is.NoErr(os.Rename(filepath.Join(dir, ".b"), filepath.Join(dir, ".a")))
	}
	is.NoErr(os.Remove(filepath.Join(dir, "goes"))) // the kernel drops the notices of this file
	drop(t, dir, "late", to("late@x.org"))
	close(goOn)
	soon(t, "the message without a notice is sent", func() bool { return r.got("late@x.org") == 1 })
	soon(t, "the spool is empty", func() bool { return len(r.Status()) == 0 })
	is.Equal(r.got("first@x.org"), 1)
	is.Equal(r.got("goes@x.org"), 0) // a deleted message is not sent
}
