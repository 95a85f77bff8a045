//go:build unix

package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// manager listens as a service manager does, and returns a function for the messages so far, a line each.
func manager(t *testing.T) (socket string, heard func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sg") // the path of a socket must be short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	var mu sync.Mutex
	var lines []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for buf := make([]byte, 8192); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			lines = append(lines, strings.ReplaceAll(strings.TrimSuffix(string(buf[:n]), "\n"), "\n", " | "))
			mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return socket, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), lines...) }
}

// TestServiceManagerGetsTheState runs the daemon as systemd does with Type=notify-reload and WatchdogSec=.
func TestServiceManagerGetsTheState(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	socket, heard := manager(t)
	has := func(words string) func() bool {
		return func() bool { return strings.Contains("\n"+strings.Join(heard(), "\n")+"\n", words) }
	}
	relay, _ := deferring("451 4.2.1 not now")
	spool, file := t.TempDir(), configured(t, "attempts 5")
	d := startWith(t, []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=300000"}, "-config", file, "-smtpaddr", relay.Listen(t), spool)
	eventually(t, "the daemon is ready", has("\nREADY=1 | WATCHDOG=1 | STATUS=0 waiting, 0 sent/min\n"))
	d.logs("msg=started", 1)
	is.Equal(strings.Count(strings.Join(heard(), "\n"), "READY=1"), 1)
	drop(t, spool, "one.eml", mail("To: ann@example.com"))
	eventually(t, "the status line is updated", has("STATUS=1 waiting, 0 sent/min\n"))
	watched := strings.Count(strings.Join(heard(), "\n"), "WATCHDOG=1")
	eventually(t, "the daemon sends WATCHDOG=1 regularly", func() bool { return strings.Count(strings.Join(heard(), "\n"), "WATCHDOG=1") > watched+2 })

	must(t, os.WriteFile(file, []byte("attempts many\n"), 0o600))
	d.signal(syscall.SIGHUP)
	eventually(t, "the status line has the mistake in the configuration", has("\nREADY=1 | STATUS=1 waiting, 0 sent/min; reload failed: "+file+":1: attempts: want a number"))
	is.True(has("\nRELOADING=1 | MONOTONIC_USEC=")()) // the time identifies the reload
	eventually(t, "the reload ends in spite of the mistake", func() bool { return strings.Count(strings.Join(heard(), "\n"), "READY=1") == 2 })
	must(t, os.WriteFile(file, []byte("attempts 7\n"), 0o600))
	d.signal(syscall.SIGHUP)
	d.logs("options taken over", 1)
	eventually(t, "the status line has no mistake", func() bool {
		last := ""
		for _, line := range heard() {
			if _, text, ok := strings.Cut(line, "STATUS="); ok {
				last = text
			}
		}
		return last == "1 waiting, 0 sent/min"
	})
	d.stop()
	eventually(t, "the daemon sends STOPPING=1", has("\nSTOPPING=1\n"))
	is.Equal(strings.Count(strings.Join(heard(), "\n"), "STOPPING=1"), 1)
}

func TestMissingServiceManagerIsIgnored(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d := startWith(t, []string{"NOTIFY_SOCKET=/nowhere/notify", "WATCHDOG_USEC=never"}, "-smtpaddr", (&smtptest.Relay{}).Listen(t), t.TempDir())
	d.logs("msg=started", 1)
	d.stop()
	is.Equal(strings.Count(d.log.String(), "level=ERROR"), 0) // a missing service manager is no error
}

// TestWatchdogMessagesEndWhenTheLoopHangs blocks the loop of a spool.
func TestWatchdogMessagesEndWhenTheLoopHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		var mu sync.Mutex
		var sent []string
		state, hang := spoolgore.Health{}, make(chan struct{})
		running := func(h spoolgore.Health) { mu.Lock(); defer mu.Unlock(); state = h }
		h := &notifier{
			send: func(s string) { mu.Lock(); defer mu.Unlock(); sent = append(sent, s) },
			health: func() spoolgore.Health {
				mu.Lock()
				now, wait := state, hang
				mu.Unlock()
				if now.Paused {
					<-wait
				}
				return now
			},
			rate: func() float64 { return 2.55 }, pace: time.Second, long: time.Second, watched: true,
		}
		messages := func() []string { mu.Lock(); defer mu.Unlock(); all := sent; sent = nil; return all }
		end := h.start()
		time.Sleep(time.Minute + 10*time.Millisecond)
		h.reloading()
		h.reloaded(nil)
		is.Equal(len(messages()), 0) // without a run there is no READY=1
		running(spoolgore.Health{Running: true, Files: 3})
		time.Sleep(time.Second)
		is.Equal(messages()[0], "READY=1\nWATCHDOG=1\nSTATUS=3 waiting, 2.5 sent/min")
		time.Sleep(10 * time.Second)
		is.Equal(len(messages()), 10) // one message a second
		running(spoolgore.Health{Running: true, Paused: true})
		time.Sleep(2 * time.Second)
		messages()
		time.Sleep(time.Hour)
		is.Equal(len(messages()), 0) // no WATCHDOG=1 while the loop does not answer
		close(hang)
		time.Sleep(time.Second)
		is.True(strings.HasPrefix(messages()[0], "WATCHDOG=1\nSTATUS=0 waiting, 2.5 sent/min; paused"))
		end()
		last := messages()
		is.Equal(last[len(last)-1], "STOPPING=1") // the last message is STOPPING=1
	})
}

func TestStatusLine(t *testing.T) {
	at := time.Now()
	for want, c := range map[string]struct {
		health spoolgore.Health
		rate   float64
		failed error
	}{
		"0 waiting, 0 sent/min":                             {spoolgore.Health{}, 0, nil},
		"12 waiting, 3.0 sent/min":                          {spoolgore.Health{Files: 12}, 3, nil},
		"12 waiting, 1234 sent/min":                         {spoolgore.Health{Files: 12}, 1234.4, nil},
		"0 waiting, 0 sent/min; paused":                     {spoolgore.Health{Paused: true}, 0, nil},
		"1 waiting, 0 sent/min; waiting for the rate limit": {spoolgore.Health{Files: 1, RateWait: at}, 0, nil},
		"2 waiting, 0 sent/min; relay a:25 rests: 535 no; relay b:25 rests: x": {spoolgore.Health{Files: 2, Relays: []spoolgore.RelayHealth{
			{Name: "a:25", Trouble: "535 no"}, {Name: "c:25"}, {Name: "b:25", Trouble: "x"}}}, 0, nil},
		"0 waiting, 0 sent/min; relay a:25 rests: 451  STOPPING=1??x": {spoolgore.Health{Relays: []spoolgore.RelayHealth{
			// the reply of a relay cannot add a line
			{Name: "a:25", Trouble: "451\r\nSTOPPING=1\u2028\x1bx"}}}, 0, nil},
		"0 waiting, 0 sent/min; spool directory missing: gone": {spoolgore.Health{Away: true, Trouble: "gone"}, 0, nil},
		"0 waiting, 0 sent/min; spool directory failing: no":   {spoolgore.Health{Trouble: "no"}, 0, nil},
		"0 waiting, 0 sent/min; reload failed: x":              {spoolgore.Health{}, 0, errors.New("x")},
	} {
		t.Run(want, func(t *testing.T) {
			is := is.New(t)
			h := &notifier{rate: func() float64 { return c.rate }, failed: c.failed}
			is.Equal(h.text(c.health), want)
			is.True(!strings.ContainsFunc(want, func(r rune) bool { return !unicode.IsPrint(r) }))
		})
	}
	is := is.New(t)
	long := brief(strings.Repeat("ä", 400) + "\xff")
	is.Equal(long, strings.Repeat("ä", 250)+"…") // cut between two letters
	is.Equal(brief("a\xffb"), "a?b")             // systemd accepts UTF-8 only
}
