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

// With too few file descriptors mail goes on, slower, and it is no message's fault.
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
		is.Equal(len(relay.Messages()), messages) // each once
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
	few.Cur = uint64(len(open) - 1) // none at all
	is.NoErr(unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	r.Resume()
	soon(t, "it is said", func() bool { return r.says("too many open files") > 0 })
	few.Cur = uint64(len(open) + spare)
	is.NoErr(unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	soon(t, "all are sent", func() bool { return r.says("msg=delivered") == messages })
	is.NoErr(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	soon(t, "nothing is left", func() bool { names, err := r.Spool.dir.Names(""); return err == nil && len(names) == 0 })
	t.Log(r.log)
	t.Logf("%d lines about it", r.says("too many open files"))
	is.Equal(r.says("file cannot be sent"), 0) // no file is at fault
	is.Equal(r.says("given up")+r.says("delivery deferred"), 0)
	is.True(!exists(dir, "failed", "m000"))
	is.True(r.says("too many open files") < messages/4) // once or so, and not for each message
}
