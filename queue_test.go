package spoolgore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestJitter(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	for range 1000 {
		d := delivery.Jitter(time.Hour)
		is.True(d >= 54*time.Minute && d <= 66*time.Minute) // a tenth to either side
	}
}

func TestOddFilesHoldUpNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		make   func(t *testing.T, path string)
		reason string // reason in the status; empty: the status does not list the file
		failed bool   // the file goes to failed/
	}{
		{"empty", file(""), "the file is empty", false},
		{"binary", file("\x00\x01\xff\xfe\x00binary"), "no recipients", false},
		{"no recipients", file("From: a@example.com\nSubject: x\n\nhello\n"), "no recipients", false},
		{"no sender", file("To: b@example.org\n\nhello\n"), "no sender", false},
		{"cut before To", file("From: a@example.com\nSubject: x\n"), "no recipients", false},
		{"broken envelope line", file("X-Spoolgore-Envelope: {\"from\":\n" + simple), "envelope", false},
		{"header without end", file("From: a@example.com\nTo: b@example.org\nX: " + strings.Repeat("x", 2<<20)), "header", true},
		{"only bad addresses", file("From: a@example.com\nTo: root\n\nhello\n"), "no domain", true},
		{"directory", func(t *testing.T, path string) { check(t, os.Mkdir(path, 0o700)) }, "", false},
		{".dot", file(simple), "", false},
		{"symlink", func(t *testing.T, path string) { check(t, os.Symlink("/etc/hostname", path)) }, "not a regular file", false},
		{"fifo", func(t *testing.T, path string) { mkfifo(t, path) }, "not a regular file", false},
		{"linked twice", func(t *testing.T, path string) {
			other := filepath.Join(t.TempDir(), "other")
			check(t, os.WriteFile(other, []byte(simple), 0o600))
			check(t, os.Link(other, path))
		}, "more than one hard link", false},
		{"new\nline", file("From: a@example.com\n\nhello\n"), "no recipients", false},
		{"bad \xff utf-8", file("From: a@example.com\n\nhello\n"), "no recipients", false},
		{strings.Repeat("n", 255), file("From: a@example.com\n\nhello\n"), "no recipients", false},
	}
	for _, tt := range tests {
		t.Run(strconv.Quote(tt.name[:min(len(tt.name), 20)]), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay, events := t.TempDir(), &smtptest.Relay{}, &events{}
				path := filepath.Join(dir, tt.name)
				tt.make(t, path)
				drop(t, dir, "good.eml", simple)
				s, stop := start(t, dir, Options{Dial: relay.Dial, OnEvent: events.add})
				pass(time.Hour)
				st := s.Status()
				stop()
				is.Equal(len(relay.Messages()), 1) // only the good message was sent
				if tt.failed {
					is.True(exists(dir, "failed", tt.name)) // the file is kept in failed/
					why, err := os.ReadFile(filepath.Join(dir, "failed", tt.name+".json"))
					is.NoErr(err)
					is.True(strings.Contains(string(why), tt.reason)) // the why-file has the reason
					return
				}
				is.True(exists(path)) // the file stays where it is
				if tt.reason == "" {
					is.Equal(len(st), 0)
					return
				}
				is.True(strings.Contains(one(t, st).Error, tt.reason)) // the status has the reason
				text := compactStatus(t, filepath.Join(dir, ".spoolgore.js"))
				// empty lists, so that scripts can loop over them
				is.True(strings.Contains(text, `"To":[],"Cc":[],"Bcc":[]`))
				is.True(len(events.kinds("")) == len(EventUnusable)) // the application gets one event
			})
		})
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(text string) func(t *testing.T, path string) {
	return func(t *testing.T, path string) { t.Helper(); check(t, os.WriteFile(path, []byte(text), 0o600)) }
}

func TestAnUnusableFileIsReadAgainWhenItHasChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		drop(t, dir, "m", "Subject: to nobody yet\n\nhello\n")
		_, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Minute)
		is.NoErr(os.WriteFile(filepath.Join(dir, "m"), []byte(simple), 0o600)) // corrected in place
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 1)
	})
}

func TestAFileIsNotReadWhileItIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		f, err := os.Create(filepath.Join(dir, "m"))
		is.NoErr(err)
		_, stop := start(t, dir, Options{Dial: relay.Dial})
		for _, part := range strings.SplitAfter(simple, "\n") {
			_, err := f.WriteString(part)
			is.NoErr(err)
			if runtime.GOOS == "linux" {
				pass(time.Hour) // however long the writer takes
			}
			is.Equal(len(relay.Messages()), 0)
		}
		is.NoErr(f.Close())
		pass(time.Minute)
		stop()
		// the whole message is sent at the end
		is.Equal(string(relay.Messages()[0].Data), strings.ReplaceAll(simple, "\n", "\r\n"))
	})
}

func TestAFileClosedBeforeItsBodyIsWrittenSettlesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		header, body, _ := strings.Cut(simple, "\n\n")
		_, stop := start(t, dir, Options{Dial: relay.Dial, Freq: 10 * time.Millisecond, Settle: 2 * time.Second})
		for _, part := range []string{"", header + "\n\n", body} { // >m; printf >>m; cat >>m
			f, err := os.OpenFile(filepath.Join(dir, "m"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			is.NoErr(err)
			_, err = f.WriteString(part)
			is.NoErr(err)
			is.NoErr(f.Close())
			is.Equal(len(relay.Messages()), 0)
			pass(time.Second)
		}
		pass(5 * time.Second)
		stop()
		is.Equal(string(relay.Messages()[0].Data), strings.ReplaceAll(simple, "\n", "\r\n"))
	})
}

func TestFilesAreTheInterface(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var refuse atomic.Bool
		refuse.Store(true)
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			if verb == "RCPT" && refuse.Load() && arg != "first@example.org" {
				return "450 4.2.1 later"
			}
			return ""
		}}
		const two = "From: a@example.com\nTo: first@example.org, second@example.org\n\nhello\n"
		drop(t, dir, "deleted", simple)
		drop(t, dir, "held", two)
		drop(t, dir, "replaced", two)
		s, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		is.Equal(len(relay.Messages()), 2)
		is.NoErr(os.Remove(filepath.Join(dir, "deleted")))
		is.NoErr(os.Rename(filepath.Join(dir, "held"), filepath.Join(dir, "hold", "held")))
		drop(t, dir, "replaced", "From: a@example.com\nTo: third@example.org\n\nanother\n")
		pass(time.Minute)
		st := s.Status()
		is.Equal(len(st), 2)                                   // a deleted message has no record
		is.True(!st[filepath.Join(dir, "held")].Held.IsZero()) // a held message has one
		is.Equal(st[filepath.Join(dir, "replaced")].To[0].Address, "third@example.org")
		refuse.Store(false)
		pass(time.Hour)
		is.Equal(len(relay.Messages()), 3) // a deleted message is cancelled, a held one is not sent
		is.Equal(relay.Messages()[2].To, []string{"third@example.org"})
		stop()
		s, stop = start(t, dir, Options{Dial: relay.Dial}) // the record is kept over a restart
		pass(time.Minute)
		is.True(!one(t, s.Status()).Held.IsZero())
		is.NoErr(os.Rename(filepath.Join(dir, "hold", "held"), filepath.Join(dir, "held")))
		pass(time.Hour)
		stop()
		// a released message goes to the recipient that has not accepted it
		is.Equal(relay.Messages()[3].To, []string{"second@example.org"})
		is.Equal(len(relay.Messages()), 4)
	})
}

func TestAFileReplacedInFlightIsANewMessage(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, dir string){
		"by rename": func(t *testing.T, dir string) { drop(t, dir, "m", strings.Replace(simple, "b@", "new@", 1)) },
		"in place": func(t *testing.T, dir string) {
			check(t, os.WriteFile(filepath.Join(dir, "m"), []byte(strings.Replace(simple, "b@", "new@", 1)), 0o600))
		},
		"deleted": func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "m"))) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				sent := make(chan string, 9)
				drop(t, dir, "m", simple)
				s, stop := start(t, dir, Options{Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
					time.Sleep(time.Minute)
					sent <- tx.To[0]
					return make([]Result, len(tx.To))
				})})
				pass(30 * time.Second)
				replace(t, dir)
				pass(time.Hour)
				is.Equal(<-sent, "b@example.org")
				if name != "deleted" {
					is.Equal(<-sent, "new@example.org") // the new file is a message of its own
				}
				is.Equal(len(s.Status()), 0)
				is.True(!exists(dir, "m"))
				stop()
			})
		})
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		for i := range 50 {
			drop(t, dir, fmt.Sprint(i), simple)
		}
		var now, most atomic.Int64
		_, stop := start(t, dir, Options{Concurrency: 7, Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return make([]Result, len(tx.To))
		})})
		pass(9 * time.Second)
		stop()
		is.Equal(most.Load(), int64(7))
		is.Equal(now.Load(), int64(0))
		left, err := filepath.Glob(filepath.Join(dir, "*[0-9]"))
		is.NoErr(err)
		is.Equal(len(left), 0)
	})
}

func TestMemoryDoesNotGrowWithTheMessage(t *testing.T) {
	is := is.New(t)
	allocated := func(size int) uint64 {
		dir := t.TempDir()
		f, err := os.Create(filepath.Join(dir, "m"))
		is.NoErr(err)
		_, err = f.WriteString(simple)
		is.NoErr(err)
		line := strings.Repeat("x", 71) + "\n"
		for range size / len(line) {
			_, err = f.WriteString(line)
			is.NoErr(err)
		}
		is.NoErr(f.Close())
		relay := &sinkhole{}
		s := New(dir, exact(Options{SMTPAddr: relay.listen(t)}))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		is.NoErr(s.Drain(t.Context()))
		runtime.ReadMemStats(&after)
		is.True(relay.took.Load() > int64(size)) // the whole message was sent
		return after.TotalAlloc - before.TotalAlloc
	}
	small, large := allocated(1<<10), allocated(32<<20)
	if poolsLeak {
		// less than the message even with the race detector; without it, the next line holds
		is.True(large < small+24<<20)
		return
	}
	is.True(large < small+256<<10) // 32 MiB take no more memory than 1 KiB
}

// sinkhole is a relay that accepts everything and discards it.
type sinkhole struct{ took atomic.Int64 }

func (s *sinkhole) listen(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return l.Addr().String()
}

func (s *sinkhole) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	answer := "220 ready\r\n"
	for data := false; ; {
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		s.took.Add(int64(len(line)))
		switch {
		case data && string(line) != ".\r\n":
			answer = ""
		case !data && string(line) == "DATA\r\n":
			data, answer = true, "354 go\r\n"
		default:
			data, answer = false, "250 ok\r\n"
		}
	}
}

func TestASpoolThatGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := filepath.Join(t.TempDir(), "spool"), &smtptest.Relay{}
		is.NoErr(os.Mkdir(dir, 0o700))
		_, stop := start(t, dir, Options{Dial: relay.Dial, StatusFile: filepath.Join(filepath.Dir(dir), "status.json")})
		pass(time.Minute)
		is.NoErr(os.RemoveAll(dir))
		pass(time.Minute)
		is.NoErr(os.Mkdir(dir, 0o700))
		drop(t, dir, "m", simple)
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 1)
		is.True(!exists(dir, "m"))
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir, relay := t.TempDir(), &smtptest.Relay{}
	drop(t, dir, "1", simple)
	drop(t, dir, "2", "From: a@example.com\nTo: b@example.org\n\n") // without a body the file has to settle
	s := New(dir, exact(Options{Dial: relay.Dial}))
	_, err := s.Put(t.Context(), Envelope{To: []string{"c@example.org"}}, strings.NewReader("Subject: x\n\nhello\n"))
	is.NoErr(err)
	is.NoErr(s.Drain(t.Context()))
	is.Equal(len(relay.Messages()), 3) // Status is read from the status file, as no daemon runs
	is.Equal(len(s.Status()), 0)       // read from the status file, as nothing runs
}

// Between fork and exec, a new process has the open files of its parent, such as the file of a Put.
func TestDrainWaitsForAFileThatIsStillOpenForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		drop(t, dir, "m", simple)
		f, err := os.OpenFile(filepath.Join(dir, "m"), os.O_WRONLY, 0)
		is.NoErr(err)
		time.AfterFunc(100*time.Millisecond, func() { f.Close() })
		s := New(dir, exact(Options{Dial: relay.Dial, Settle: 2 * time.Second}))
		s.opts.Watch = WatchOff
		is.NoErr(s.Drain(t.Context()))
		is.Equal(len(relay.Messages()), 1)
	})
}

func TestDrainTellsThatNoRelayCanBeUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: func(verb, _ string) string { return map[string]string{"DIAL": "connection refused"}[verb] }}
		dir := t.TempDir()
		drop(t, dir, "m", simple)
		s := New(dir, exact(Options{Dial: relay.Dial}))
		s.opts.Watch = WatchOff
		err := s.Drain(t.Context())
		is.True(err != nil)
		is.True(strings.Contains(err.Error(), "connection refused"))
		is.True(exists(dir, "m"))
	})
}

func TestDrainLeavesMessagesThatAreNotDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: func(verb, _ string) string { return map[string]string{"RCPT": "450 4.2.1 later"}[verb] }}
		dir := t.TempDir()
		drop(t, dir, "m", simple)
		s := New(dir, exact(Options{Dial: relay.Dial}))
		s.opts.Watch = WatchOff
		is.NoErr(s.Drain(t.Context()))
		is.NoErr(s.Drain(t.Context()))
		is.Equal(len(relay.Commands()), 4)             // EHLO MAIL RCPT QUIT: one attempt, by the first Drain
		is.Equal(one(t, s.Status()).To[0].Attempts, 1) // the attempt is in the status file
		s.Flush()
		is.NoErr(s.Drain(t.Context()))
		is.Equal(one(t, s.Status()).To[0].Attempts, 2) // Flush applies to the next Drain
	})
}

func TestANewFileIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir, relay := t.TempDir(), &smtptest.Relay{}
	sent := make(chan Event, 9)
	runs := make(started)
	s := New(dir, exact(Options{Dial: relay.Dial, Freq: time.Hour, Logger: slog.New(runs), OnEvent: func(ev Event) {
		if ev.Kind == EventSent {
			sent <- ev
		}
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-runs
	_, err := s.Put(ctx, Envelope{To: []string{"put@example.org"}}, strings.NewReader("Subject: x\n\nhello\n"))
	is.NoErr(err)
	is.Equal((<-sent).To, "put@example.org") // a message of this process is found at once on every system
	if runtime.GOOS == "linux" {
		drop(t, dir, "renamed", simple)
		is.Equal((<-sent).File, "renamed") // files of other processes are found by notification
		tmp := filepath.Join(dir, "tmp", "linked")
		is.NoErr(os.WriteFile(tmp, []byte(simple), 0o600))
		is.NoErr(os.Link(tmp, filepath.Join(dir, "linked")))
		is.NoErr(os.Remove(tmp))
		is.Equal((<-sent).File, "linked")
		is.NoErr(os.WriteFile(filepath.Join(dir, "written"), []byte(simple), 0o600))
		is.Equal((<-sent).File, "written")
	}
	cancel()
	is.NoErr(<-done)
}

// started is a log handler. It closes the channel at the log line that a run begins with.
type started chan struct{}

func (s started) Enabled(context.Context, slog.Level) bool { return true }
func (s started) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s started) WithGroup(string) slog.Handler            { return s }
func (s started) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "started" {
		close(s)
	}
	return nil
}
