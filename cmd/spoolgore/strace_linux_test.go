package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// needStrace skips the test if strace cannot be used. In CI it fails the test instead.
func needStrace(t *testing.T) {
	t.Helper()
	err := exec.Command("strace", "-f", "-o", "/dev/null", "true").Run()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("strace has to work in CI: %v", err)
	default:
		t.Skipf("strace is not there, or may not watch a process: %v", err)
	}
}

// strace returns a command that runs the test binary and writes its file operations to trace.
func strace(trace string, args ...string) *exec.Cmd {
	calls := "trace=openat,write,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat"
	return exec.Command("strace", slices.Concat([]string{"-f", "-y", "-o", trace, "-e", calls, os.Args[0]}, args)...)
}

// diskSteps returns the steps in spool from a trace, in order, without the random parts of names.
func diskSteps(t *testing.T, trace, spool string) (steps []string) {
	t.Helper()
	text, err := os.ReadFile(trace)
	if os.IsNotExist(err) {
		return nil
	}
	must(t, err)
	call := regexp.MustCompile(`^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)`)
	begun := map[string]string{} // unfinished call by process
	for line := range strings.Lines(string(text)) {
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		pid, _, _ := strings.Cut(line, " ")
		if before, ok := strings.CutSuffix(strings.TrimSpace(line), "<unfinished ...>"); ok {
			begun[pid] = before
			continue
		}
		line = begun[pid] + line // a step counts when its call has returned
		delete(begun, pid)
		if strings.Contains(line, spool) && regexp.MustCompile(`= \d`).MatchString(line) {
			steps = append(steps, step(m[1], line, spool))
		}
	}
	return slices.DeleteFunc(steps, func(s string) bool { return s == "" })
}

// step returns one line of a trace in short: the call and the names, such as "rename tmp/.put-NAME NAME". Files that
// are opened for reading are left out.
func step(call, line, spool string) string {
	if call == "openat" && !strings.Contains(line, "O_CREAT") {
		return ""
	}
	name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(call, "2"), "at"), "open")
	if call == "openat" {
		name = "create"
	}
	line, _, _ = strings.Cut(line, ") = ") // the result of openat has the name of the file again
	if call == "write" {
		line, _, _ = strings.Cut(line, ">")
	} else { // the name is relative to a directory
		line = regexp.MustCompile(`\d+<([^>]*)>, "([^"/]*)"`).ReplaceAllString(line, `"$1/$2"`)
	}
	for _, path := range regexp.MustCompile(regexp.QuoteMeta(spool)+`[^">]*`).FindAllString(line, -1) {
		path = strings.TrimPrefix(strings.TrimPrefix(path, spool), "/")
		path = regexp.MustCompile(`\d{8}T\d{6}\.\d{9}-\w+\.eml`).ReplaceAllString(path, "NAME")
		path = regexp.MustCompile(`\.sent-\d+-\d+-\d+`).ReplaceAllString(path, ".sent")
		path = regexp.MustCompile(`\.json\d+$`).ReplaceAllString(path, ".json")
		if path == "" {
			path = "SPOOL"
		}
		name += " " + path
	}
	return name
}

func TestStracePut(t *testing.T) {
	t.Parallel()
	needStrace(t)
	is := is.New(t)
	spool, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	must(t, os.Mkdir(filepath.Join(spool, "tmp"), 0o700))
	cmd := strace(trace, spool)
	cmd.Env = append(os.Environ(), asWriter+"="+withPut)
	out, err := cmd.Output()
	is.NoErr(err)
	is.Equal(slices.Compact(diskSteps(t, trace, spool)), []string{
		"create tmp/.put-NAME",
		"write tmp/.put-NAME",
		"fsync tmp/.put-NAME",
		"rename tmp/.put-NAME NAME",
		"fsync SPOOL",
	})
	name := strings.TrimPrefix(strings.TrimSpace(string(out)), "half\n")
	is.True(exists(filepath.Join(spool, name))) // Put returns after all steps
}

// TestStraceDaemon traces how the files of a delivered and of a failed message leave the spool.
func TestStraceDaemon(t *testing.T) {
	t.Parallel()
	needStrace(t)
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && arg == "nobody@example.com" {
			return "550 5.1.1 nobody here"
		}
		return ""
	}}
	spool, elsewhere := t.TempDir(), t.TempDir()
	trace, js := filepath.Join(elsewhere, "trace"), filepath.Join(elsewhere, "status.js")
	// the status file is elsewhere, so that it does not sync the spool
	cmd := strace(trace, "-json", js, "-smtpaddr", relay.Listen(t), spool)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	must(t, cmd.Start())
	pid := 0
	defer func() {
		if t.Failed() && pid > 0 {
			t.Logf("steps: %q", diskSteps(t, trace, spool))
			_ = syscall.Kill(pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
	}()
	eventually(t, "the daemon runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(spool, ".spoolgore.lock"))
		pid, _ = strconv.Atoi(string(text))
		return pid > 0 && exists(js)
	})

	sent := []string{"rename good.eml tmp/.sent-good.eml", "unlink tmp/.sent-good.eml", "fsync SPOOL"}
	drop(t, spool, "good.eml", mail("To: ann@example.com"))
	eventually(t, "the removal of the delivered message is synced", func() bool { return inOrder(diskSteps(t, trace, spool), sent) })

	given := []string{
		"fsync failed/.bad.eml.json", "fsync failed",
		"rename bad.eml failed/bad.eml", "rename failed/.bad.eml.json failed/bad.eml.json", "fsync failed", "fsync SPOOL",
	}
	drop(t, spool, "bad.eml", mail("To: nobody@example.com"))
	eventually(t, "each step of giving up a message is synced", func() bool { return inOrder(diskSteps(t, trace, spool), given) })
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	is.NoErr(cmd.Wait()) // strace ends with the exit code of the daemon
}

// inOrder reports whether steps contains the wanted steps in this order, possibly with others between.
func inOrder(steps, wanted []string) bool {
	for _, s := range steps {
		if len(wanted) > 0 && s == wanted[0] {
			wanted = wanted[1:]
		}
	}
	return len(wanted) == 0
}
