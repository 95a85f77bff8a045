package spoolgore

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// patience is the limit for an event that takes a moment on an idle machine. Only a failing test waits so long.
const patience = 5 * time.Minute

// soon waits until so returns true. It is for a spool that runs in real time.
func soon(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// A trial is a spool that runs in real time, with notifications of the system about new files.
type trial struct {
	*Spool
	dir    string
	relay  *smtptest.Relay
	log    *lines
	events *events
	stop   func()
}

// try runs the spool in dir, which sends to relay, until stop is called or the test ends.
func try(t testing.TB, dir string, relay *smtptest.Relay, opts Options) *trial {
	t.Helper()
	return tryIt(t, New(dir, opts), dir, relay, opts)
}

func tryIt(t testing.TB, sp *Spool, dir string, relay *smtptest.Relay, opts Options) *trial {
	t.Helper()
	r := &trial{Spool: sp, dir: dir, relay: relay, log: &lines{}, events: &events{}}
	if relay != nil {
		opts.Dial = relay.Dial
	}
	if opts.OnEvent == nil {
		opts.OnEvent = r.events.add
	}
	opts.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	orDefault(&opts.Freq, 100*time.Millisecond)
	sp.opts = exact(opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		check(t, <-done)
	})
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.log)
		}
	})
	soon(t, "the spool runs", func() bool { return strings.Contains(r.log.String(), "msg=started") })
	return r
}

// got counts the copies that the relay has accepted for a recipient.
func (r *trial) got(to string) (n int) {
	for _, m := range r.relay.Messages() {
		for _, addr := range m.To {
			if addr == to {
				n++
			}
		}
	}
	return n
}

// says counts lines of the log.
func (r *trial) says(words string) int { return strings.Count(r.log.String(), words) }

// to is a message to one recipient.
func to(addr string) string { return strings.Replace(simple, "b@example.org", addr, 1) }

// many is a message to so many recipients.
func many(n int) string {
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "many%05d@example.org,\n ", i)
	}
	return "From: a@example.com\nTo: " + strings.TrimRight(list.String(), ",\n ") + "\nSubject: x\n\nhello\n"
}

// Where a file is at the end of a test.
const (
	inSpool  = "in the spool"
	inFailed = "in failed/"
	gone     = "gone"
)

// A nuisance is a file that is no proper message, or a message with an unusual name.
type nuisance struct {
	name   string
	file   string // empty: "bad"
	make   func(t *testing.T, path string)
	reply  func(verb, arg string) string // of the relay
	where  string                        // at the end
	reason string                        // in the status, or in the why-file
	copies int                           // accepted by the relay
}

// Each bad file has a good message beside it. The good message is sent as usual.
func TestBadFilesDoNotAffectAGoodMessage(t *testing.T) {
	refuse := func(verb, arg string) string {
		if verb == "RCPT" && arg == "refused@example.org" {
			return "550 5.1.1 no such user"
		}
		return ""
	}
	long := strings.Repeat("n", 255)
	tests := []nuisance{
		{name: "newline in the name", file: "new\nline", make: file(to("x@x.org")), where: gone, copies: 1},
		{name: "no UTF-8 in the name", file: "bad \xff utf-8", make: file(to("x@x.org")), where: gone, copies: 1},
		{name: "255 bytes in the name", file: long, make: file(to("x@x.org")), where: gone, copies: 1},
		{name: "refused, newline in the name", file: "new\nline", make: file(to("refused@example.org")), reply: refuse, where: inFailed, reason: "no such user"},
		{name: "refused, no UTF-8 in the name", file: "bad \xff utf-8", make: file(to("refused@example.org")), reply: refuse, where: inFailed, reason: "no such user"},
		{name: "refused, 255 bytes in the name", file: long, make: file(to("refused@example.org")), reply: refuse, where: inFailed, reason: "no such user"},
		{name: "unusable, newline in the name", file: "new\nline", make: file("junk"), where: inSpool, reason: "no recipients"},
		{name: "unusable, no UTF-8 in the name", file: "bad \xff utf-8", make: file("junk"), where: inSpool, reason: "no recipients"},
		{name: "unusable, 255 bytes in the name", file: long, make: file("junk"), where: inSpool, reason: "no recipients"},
		{name: "10,000 recipients", make: file(many(10_000)), where: gone, copies: 1},
		{name: "10,000 recipients, 1,000 at a time", make: file(many(10_000)), reply: takes(1000), where: gone, copies: 10},
		{name: "header of 2 MB", make: file("From: a@example.com\nTo: b@example.org\n" + strings.Repeat("X-Y: "+strings.Repeat("z", 72)+"\n", 26_000) + "\nhello\n"), where: inFailed, reason: "header longer than 1 MiB"},
		{name: "empty", make: file(""), where: inSpool, reason: "the file is empty"},
		{name: "binary junk", make: file("\x00\x01\x7fELF\xff\xfe\r\n\r\n\x00" + strings.Repeat("\x00\xff", 100_000)), where: inSpool, reason: "no recipients"},
		{name: "unreadable", make: unreadable, where: inSpool, reason: "permission denied"},
		{name: "FIFO", make: func(t *testing.T, path string) { mkfifo(t, path) }, where: inSpool, reason: "not a regular file"},
		{name: "symlink", make: symlink, where: inSpool, reason: "not a regular file"},
		{name: "symlink to itself", make: func(t *testing.T, path string) { check(t, os.Symlink(path, path)) }, where: inSpool, reason: "not a regular file"},
		{name: "hard link", make: hardLink, where: inSpool, reason: "more than one hard link"},
		{name: "socket", make: socket, where: inSpool, reason: "not a regular file"},
		{name: "directory", make: func(t *testing.T, path string) { check(t, os.Mkdir(path, 0o700)) }, where: inSpool},
		{name: "vanishing", make: vanishing, where: gone, copies: some},
	}
	tests = append(tests, onThisSystem...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // the tests wait more than they work
			if tt.name == "unreadable" && os.Geteuid() == 0 {
				asNobody(t) // root may read everything
				return
			}
			is := is.New(t)
			r := try(t, t.TempDir(), &smtptest.Relay{Reply: tt.reply}, Options{})
			bad := cmp.Or(tt.file, "bad")
			tt.make(t, filepath.Join(r.dir, bad))
			drop(t, r.dir, "good", to("good@example.org"))
			began := time.Now()
			soon(t, "the good message is sent", func() bool { return r.got("good@example.org") == 1 })
			t.Logf("the good message took %v", time.Since(began).Round(time.Millisecond))
			soon(t, "the bad file is "+tt.where, func() bool { return whereIs(r.dir, bad) == tt.where })
			soon(t, "the reason is: "+tt.reason, func() bool { return strings.Contains(whyOf(r, bad), tt.reason) })
			time.Sleep(5 * r.opts.Freq) // further scans change nothing
			is.Equal(whereIs(r.dir, bad), tt.where)
			// no other message was sent, and none twice
			is.True(tt.copies == some || len(r.relay.Messages()) == 1+tt.copies)
			is.True(r.says("file cannot be sent")+r.says("given up") <= 1) // one line at most
		})
	}
}

// some is any number of copies.
const some = -1

// takes returns a script for a relay that accepts at most that many recipients in a transaction.
func takes(most int64) func(verb, arg string) string {
	var n atomic.Int64
	return func(verb, arg string) string {
		switch {
		case verb == "DATA":
			n.Store(0)
		case verb == "RCPT" && strings.HasPrefix(arg, "many") && n.Add(1) > most:
			return "452 4.5.3 too many recipients"
		}
		return ""
	}
}

func symlink(t *testing.T, path string) {
	target := filepath.Join(t.TempDir(), "target")
	check(t, os.WriteFile(target, []byte(to("x@x.org")), 0o600))
	check(t, os.Symlink(target, path))
}

func hardLink(t *testing.T, path string) {
	other := filepath.Join(t.TempDir(), "other")
	check(t, os.WriteFile(other, []byte(to("x@x.org")), 0o600))
	check(t, os.Link(other, path))
}

func unreadable(t *testing.T, path string) {
	other := filepath.Join(t.TempDir(), "other")
	check(t, os.WriteFile(other, []byte(to("x@x.org")), 0))
	check(t, os.Rename(other, path))
}

// vanishing makes files that exist for a moment only. Some of them exist at a scan. Each file is a message of its own.
func vanishing(t *testing.T, path string) {
	for i := range 200 {
		text := strings.Replace(to("x@x.org"), "<1@", fmt.Sprintf("<%d@", i), 1)
		check(t, os.WriteFile(path, []byte(text), 0o600))
		_ = os.Remove(path) // the daemon may have sent and removed the file
		time.Sleep(time.Millisecond)
	}
}

// growing is written to until the test ends.
func growing(t *testing.T, path string) {
	f, err := os.Create(path)
	check(t, err)
	_, err = f.WriteString(to("x@x.org"))
	check(t, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_, _ = f.WriteString("more\n")
			}
		}
	})
	t.Cleanup(func() { close(stop); wg.Wait(); f.Close() })
}

func socket(t *testing.T, path string) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	check(t, err)
	t.Cleanup(func() { l.Close() })
}

// whereIs looks for a file.
func whereIs(dir, name string) string {
	if exists(dir, name) {
		return inSpool
	}
	left, _ := os.ReadDir(filepath.Join(dir, "failed"))
	if len(left) == 2 {
		return inFailed
	}
	return gone
}

// whyOf returns the error that the status or the why-file gives for a file.
func whyOf(r *trial, name string) string {
	for key, m := range r.Status() {
		if nameOf(key, &m) == name {
			return m.Error
		}
	}
	whys, _ := filepath.Glob(filepath.Join(r.dir, "failed", "*.json"))
	if len(whys) == 0 {
		return ""
	}
	text, _ := os.ReadFile(whys[0])
	return string(text)
}

// asNobody runs the test once more, in a process that is not root.
func asNobody(t *testing.T) {
	t.Helper()
	home, err := os.MkdirTemp("", "nobody")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	const nobody = 65534
	check(t, os.Chown(home, nobody, nobody))
	again(t, asUser(nobody), "TMPDIR="+home)
}

// again runs the test, and no other, in a process of its own.
func again(t *testing.T, attr *syscall.SysProcAttr, env ...string) {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	if runtime.GOOS == "linux" {
		self = "/proc/self/exe" // the user nobody may not enter the directory of the program
	}
	var only []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		only = append(only, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.Command(self, "-test.run="+strings.Join(only, "/"), "-test.v", "-test.timeout=9m")
	cmd.Env, cmd.SysProcAttr = append(os.Environ(), env...), attr
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
