//go:build unix

package credential

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestCommand(t *testing.T) {
	for name, c := range map[string]struct{ text, want, wrong, log string }{
		"one line":               {"echo 'se cret'", "se cret", "", ""},
		"no end of line":         {"printf 'se cret'", "se cret", "", ""},
		"first line":             {"printf 'se cret\\r\\nuser: kratos\\n'", "se cret", "", ""},
		"more than fits a pipe":  {"echo 'se cret'; head -c 300000 /dev/zero", "se cret", "", ""},
		"nothing to read":        {"cat; echo 'se cret'", "se cret", "", ""},
		"leaves a process":       {"sleep 30 & echo 'se cret'; trap 'kill $!' EXIT", "se cret", "", ""},
		"says something":         {"echo 'key expires soon' >&2; echo 'se cret'", "se cret", "", "key expires soon"},
		"shows what it does":     {"set -x; echo 'se cret'", "se cret", "", "***"},
		"prints nothing":         {"true", "", "output is empty", ""},
		"first line is blank":    {"echo; echo 'se cret'", "", "output is empty", ""},
		"prints without end":     {"head -c 70000 /dev/zero | tr '\\0' x", "", "output holds more than 65536 bytes", ""},
		"fails":                  {"echo 'se cret'; exit 3", "", "run the command: exit status 3", ""},
		"fails and says why":     {"echo 'no key' >&2; exit 3", "", "run the command: exit status 3", "no key"},
		"shows it and fails":     {"echo 'se cret'; echo 'not se cret' >&2; exit 3", "", "exit status 3", "not ***"},
		"kills itself":           {"echo 'se cret'; kill -9 $$", "", "signal: killed", ""},
		"says more than a log":   {"echo 'se cret'; head -c 300000 /dev/zero | tr '\\0' x >&2", "se cret", "", strings.Repeat("x", maxStderr)},
		"does not know its tool": {"no-such-tool-anywhere", "", "exit status 127", "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			s, log := source()
			got, err := s.Command(c.text)(t.Context(), false)
			is.Equal(got, c.want)                               // the secret
			is.True(strings.Contains(log.String(), c.log))      // standard error of the command is logged
			is.Equal(log.Len() > 0, c.log != "")                // and no other text
			is.True(log.Len() < maxStderr+500)                  // up to a limit
			is.True(!strings.Contains(log.String(), "se cret")) // without the secret
			if c.wrong == "" {
				is.NoErr(err)
				return
			}
			is.True(err != nil)                                           // it fails
			is.True(strings.HasPrefix(err.Error(), "-smtppasswordcmd: ")) // the error says which setting it is
			is.True(strings.HasSuffix(err.Error(), c.wrong))              // the error names the setting
			is.True(!strings.Contains(err.Error(), "cret"))               // and the failure
		})
	}
}

// counter returns a command that prints how often it has run.
func counter(t *testing.T) (text string) {
	path := filepath.Join(t.TempDir(), "runs")
	return fmt.Sprintf("echo >>'%s'; wc -l <'%s' | tr -d ' '", path, path)
}

func TestCommandRunsAgainWhenRefused(t *testing.T) {
	is := is.New(t)
	s, _ := source()
	give := s.Command(counter(t))
	for i, c := range []struct {
		again bool
		want  string
	}{{false, "1"}, {false, "1"}, {true, "2"}, {false, "2"}, {true, "3"}} {
		got, err := give(t.Context(), c.again)
		is.NoErr(err)
		if got != c.want {
			t.Errorf("call %d, again %v: %s, want %s", i, c.again, got, c.want)
		}
	}
}

func TestCommandRunsAgainWhenItFailed(t *testing.T) {
	is := is.New(t)
	s, _ := source()
	ready := filepath.Join(t.TempDir(), "ready")
	give := s.Command("cat '" + ready + "' 2>/dev/null")
	_, err := give(t.Context(), false)
	is.True(err != nil) // the first run fails
	is.NoErr(os.WriteFile(ready, []byte("deimos\n"), 0o600))
	got, err := give(t.Context(), false)
	is.NoErr(err)
	is.Equal(got, "deimos") // a failure is not cached
	is.NoErr(os.Remove(ready))
	_, err = give(t.Context(), true)
	is.True(err != nil) // a refused answer is not used again
	_, err = give(t.Context(), false)
	is.True(err != nil) // also not for other callers
}

func TestCommandRunsOnceForAll(t *testing.T) {
	is := is.New(t)
	s, _ := source()
	ready := filepath.Join(t.TempDir(), "ready")
	give := s.Command("while [ ! -e '" + ready + "' ]; do sleep 0.01; done; " + counter(t))
	var asking, answered sync.WaitGroup
	for range 20 {
		asking.Add(1)
		answered.Go(func() {
			asking.Done()
			got, err := give(t.Context(), true)
			if err != nil || got != "1" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	asking.Wait()
	time.Sleep(200 * time.Millisecond) // until all callers wait for the command
	is.NoErr(os.WriteFile(ready, nil, 0o600))
	answered.Wait()
	got, err := give(t.Context(), false)
	is.NoErr(err)
	is.Equal(got, "1") // it has run once
}

// TestCommandThatHangs checks that a command is killed in time, with the processes that it has started.
func TestCommandThatHangs(t *testing.T) {
	is := is.New(t)
	s, _ := source()
	s.limit = 300 * time.Millisecond
	child := filepath.Join(t.TempDir(), "child")
	command := s.Command("echo 'se cret'; sleep 3600 & echo $! >'" + child + "'; wait")
	var pid int
	for ; pid == 0; s.limit *= 2 { // on a busy machine the shell may need more than the limit to start
		began := time.Now()
		_, err := command(t.Context(), true)
		is.True(err != nil && strings.HasSuffix(err.Error(), fmt.Sprintf("the command has not ended within %v", s.limit)))
		is.True(time.Since(began) < time.Hour) // before the command ends by itself
		if text, err := os.ReadFile(child); err == nil {
			_, _ = fmt.Sscan(string(text), &pid)
		}
	}
	for deadline := time.Now().Add(5 * time.Minute); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a process that the command started still runs")
		}
	}
}

// alive reports whether a process runs. A zombie does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
