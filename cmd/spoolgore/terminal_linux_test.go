package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/sys/unix"
)

// onTerminal is a command on a terminal.
type onTerminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	shown  logBuffer
	exited chan struct{}
}

// onTTY runs the command on a terminal with that many columns and 50 lines.
func onTTY(t *testing.T, columns uint16, env []string, args ...string) *onTerminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: columns}))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	o := &onTerminal{t: t, master: master, cmd: exec.Command(os.Args[0], args...), exited: make(chan struct{})}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "NO_COLOR=") && !strings.HasPrefix(v, "TERM=") {
			o.cmd.Env = append(o.cmd.Env, v)
		}
	}
	o.cmd.Env = append(append(o.cmd.Env, asCommand+"=1", "TERM=xterm"), env...)
	o.cmd.Stdin, o.cmd.Stdout, o.cmd.Stderr = slave, slave, slave
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, o.cmd.Start())
	slave.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			o.shown.Write(buf[:n])
			if err != nil {
				return // EIO, when the other end is closed
			}
		}
	}()
	go func() {
		_ = o.cmd.Wait()
		<-read
		close(o.exited)
	}()
	t.Cleanup(func() {
		_ = o.cmd.Process.Kill()
		<-o.exited
		master.Close()
		if t.Failed() {
			t.Logf("on the terminal of %q:\n%q", args, o.shown.String())
		}
	})
	return o
}

// sees waits until the terminal has shown the words n times.
func (o *onTerminal) sees(words string, n int) {
	o.t.Helper()
	eventually(o.t, "the terminal shows "+words, func() bool { return strings.Count(o.shown.String(), words) >= n })
}

func (o *onTerminal) types(text string) {
	o.t.Helper()
	_, err := o.master.WriteString(text)
	must(o.t, err)
}

// end waits for the end of the command, and returns its exit code and everything shown.
func (o *onTerminal) end() (code int, shown string) {
	o.t.Helper()
	select {
	case <-o.exited:
	case <-time.After(patience):
		o.t.Fatal("the command does not end")
	}
	return o.cmd.ProcessState.ExitCode(), strings.ReplaceAll(o.shown.String(), "\r\n", "\n")
}

func TestDeleteAsks(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	for answer, deletes := range map[string]bool{"\n": false, "n\n": false, "yeah\n": false, "\x04": false, " Y\n": true} {
		for _, name := range []string{"new.eml", "waiting.eml"} {
			must(t, os.WriteFile(filepath.Join(spool, name), []byte(mail("To: ann@example.com")), 0o600))
		}
		o := onTTY(t, 100, nil, "delete", spool, "new.eml", "waiting.eml")
		o.sees("Delete 2 messages for good? [y/N]", 1)
		o.types(answer)
		code, shown := o.end()
		is.True(strings.Contains(shown, "from app@example.com to ann@example.com")) // the prompt lists the messages
		is.Equal(exists(filepath.Join(spool, "new.eml")), !deletes)
		is.Equal(exists(filepath.Join(spool, "waiting.eml")), !deletes)
		is.Equal(code == 0, deletes)
		is.Equal(strings.Contains(shown, "nothing was deleted"), !deletes)
	}
}

func TestListOnATerminal(t *testing.T) {
	t.Parallel()
	spool := aSpool(t)
	drop(t, spool, "20260102T150405.000000000-abcdefgh12345678.eml", mail("To: long@example.com"))
	for _, columns := range []uint16{40, 80, 160} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			is := is.New(t)
			o := onTTY(t, columns, []string{"NO_COLOR=1"}, "list", spool)
			code, shown := o.end()
			is.Equal(code, 0)
			const wiped = "\r\x1b[K" // on a busy machine a progress bar was shown before the list
			shown = shown[strings.LastIndex(shown, wiped)+1:]
			shown = strings.TrimPrefix(shown, wiped[1:])
			is.True(!strings.Contains(shown, "\x1b")) // no colours, and no escape sequence of a message
			is.True(strings.Contains(shown, "deferred.eml "))
			is.True(strings.Contains(shown, " deferred "))
			// a name is shortened only if the terminal is narrow
			is.Equal(strings.Contains(shown, "20260102T150405.000000000-abcdefgh12345678.eml"), columns > 80)
			is.True(strings.Contains(shown, "12345678.eml"))
			is.True(strings.Contains(shown, "7 messages, "))
			is.True(strings.Contains(shown, "1 given up (list -failed)."))
			is.True(strings.Contains(shown, "No daemon runs."))
			for line := range strings.Lines(shown[:strings.Index(shown, "7 messages")]) {
				// lines fit the terminal, down to 60 columns
				is.True(len([]rune(strings.TrimSuffix(line, "\n"))) <= max(int(columns), 60))
			}
		})
	}
	is := is.New(t)
	_, shown := onTTY(t, 120, nil, "list", spool).end()
	is.True(strings.Contains(shown, "\x1b[33mdeferred \x1b[0m")) // colours without NO_COLOR
	_, shown = onTTY(t, 120, nil, "list", t.TempDir()).end()
	is.True(strings.Contains(shown, "No messages in "))
}

func TestShowRawOnATerminal(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	_, shown := onTTY(t, 120, nil, "show", "-raw", aSpool(t), "held.eml").end()
	is.True(strings.Contains(shown, `X-Evil: \x1b]0;title\a`)) // escape sequences of a message are escaped
	is.True(!strings.Contains(shown, "\x1b]"))
	is.True(strings.HasSuffix(shown, "\nbody\n.\n"))
}

func TestStatsWatch(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	o := onTTY(t, 80, nil, "stats", "-watch", spool)
	o.sees("WHO WAITS", 1)
	must(t, os.Rename(filepath.Join(spool, "new.eml"), filepath.Join(spool, "hold", "new.eml")))
	eventually(t, "the figures are shown again and are current", func() bool {
		drawings := strings.Split(o.shown.String(), "\x1b[H")
		return len(drawings) > 2 && strings.Contains(drawings[len(drawings)-1], "         2    ")
	})
	o.types("\x03") // Ctrl-C
	code, _ := o.end()
	is.Equal(code, 0) // Ctrl-C is the usual end
}

func TestProgressOfLongWork(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	o := onTTY(t, 80, nil, "hold", "-all", spool)
	code, shown := o.end()
	is.Equal(code, 0)
	is.True(strings.HasSuffix(shown, "held 5 messages\n")) // short work shows no progress bar
}

// The page of stats -watch goes by the names of unfinished files that the daemon has.
func TestWatchKnowsTemporaryNames(t *testing.T) {
	t.Parallel()
	spool := t.TempDir()
	drop(t, spool, "one.own", mail("To: ann@example.com"))
	file := configured(t, "dir "+spool, "temporary *.own")
	o := onTTY(t, 100, []string{"NO_COLOR=1"}, "stats", "-watch", "-config", file)
	o.sees("MESSAGES", 2)
	is.New(t).True(!strings.Contains(o.shown.String(), "new "))
	o.sees("temporary ", 2)
}
