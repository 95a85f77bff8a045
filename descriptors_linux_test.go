package spoolgore

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// With too few file descriptors, delivery is slower, and no message fails.
func TestTooFewFileDescriptors(t *testing.T) {
	t.Parallel()
	const messages, spare, addrEnv = 200, 7, "SPOOLGORE_TEST_RELAY"
	addr := os.Getenv(addrEnv)
	if addr == "" {
		is := is.New(t)
		relay := &smtptest.Relay{Ext: []string{"SIZE"}, Reply: func(verb, _ string) string {
			if verb == "END" {
				time.Sleep(5 * time.Millisecond)
			}
			return ""
		}}
		again(t, nil, addrEnv+"="+relay.Listen(t))
		is.Equal(len(relay.Messages()), messages) // every message is accepted once
		return
	}
	is := is.New(t)
	dir := t.TempDir()
	for i := range messages {
		drop(t, dir, fmt.Sprintf("m%03d", i), to(fmt.Sprintf("to%03d@example.org", i)))
	}
	opts := Options{SMTPAddr: addr, Concurrency: 50, Backoff: func(int) time.Duration { return time.Second }}
	asleep := New(dir, opts)
	asleep.Pause()
	r := tryIt(t, asleep, dir, nil, opts)
	open, err := os.ReadDir("/proc/self/fd")
	is.NoErr(err)
	var limit unix.Rlimit
	is.NoErr(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	few := limit
	few.Cur = uint64(len(open) - 1) // no free descriptor
	is.NoErr(unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	r.Resume()
	soon(t, "the log has the error", func() bool { return r.says("too many open files") > 0 })
	few.Cur = uint64(len(open) + spare)
	is.NoErr(unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	soon(t, "every message is delivered", func() bool { return r.says("msg=delivered") == messages })
	is.NoErr(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	soon(t, "the spool is empty", func() bool { names, err := r.Spool.dir.Names(""); return err == nil && len(names) == 0 })
	t.Log(r.log)
	t.Logf("%d lines of the log with too many open files", r.says("too many open files"))
	is.Equal(r.says("file cannot be sent"), 0) // no file is reported
	is.Equal(r.says("given up")+r.says("delivery deferred"), 0)
	is.True(!exists(dir, "failed", "m000"))
	is.True(r.says("too many open files") < messages/4) // the error is logged a few times, and not for each message
}
