//go:build unix

package shim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/unbit/spoolgore/internal/spooldir"
	"github.com/unbit/spoolgore/internal/submission"
)

func TestMain(m *testing.M) {
	command := func() { testCommand(os.Args, nil) }
	server := func() {
		if len(os.Args) < 2 || os.Args[1] != ServerCommand {
			panic("not called for -bs")
		}
		testCommand(append([]string{"sendmail", "-bs"}, os.Args[2:]...), submission.Serve)
	}
	testscript.Main(m, map[string]func(){
		"sendmail": command, "mailq": command, "newaliases": command, "spoolgore": server, "daemon": hold,
	})
}

// testCommand runs Main with the host of the tests. A setgid command has no environment: its directory is that of the
// host.
func testCommand(args []string, server SMTPServer) {
	work, setgid := os.Getenv("WORK"), os.Getenv("SETGID")
	if self, err := os.Executable(); err == nil && work == "" {
		work = filepath.Dir(self)
	}
	held, err := dropPrivilege()
	if err != nil {
		panic(err)
	}
	os.Exit(run(testHost(held, work, setgid != ""), args, server))
}

// testHost returns a host called host.example with the user joe.
func testHost(held privilege, work string, setgid bool) system {
	sys := system{
		etc: filepath.Join(work, "etc"), spool: filepath.Join(work, "var"), uid: os.Getuid(), env: os.Getenv,
		hostname: func() (string, error) { return "host.example", nil },
		passwd: func() *user.User {
			return &user.User{Username: "joe", Name: "& Doe,Room 7", HomeDir: filepath.Join(work, "home")}
		},
	}
	sys.elevated, sys.held = held.held, held
	if setgid {
		sys.elevated, sys.uid = true, 1<<20
	}
	if sys.elevated {
		sys.env = func(string) string { return "" }
	}
	return sys
}

// hold is a fake daemon: it holds the lock of the spool, prints that it does, and records each wake-up.
func hold() {
	woken := make(chan os.Signal, 1)
	signal.Notify(woken, syscall.SIGURG)
	spool, err := spooldir.New(os.Getenv("SPOOLGORE_DIR"))
	if err == nil {
		_, err = spool.Lock().Acquire()
	}
	if err == nil {
		err = os.WriteFile("running", nil, 0o600)
	}
	if err == nil {
		<-woken
		err = os.WriteFile("woken", nil, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestScripts has the interface of sendmail, a file for each part. testdata/README.md explains the commands in the
// scripts.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SPOOLGORE_DIR", filepath.Join(env.WorkDir, "spool"))
			env.Setenv("GODEBUG", "asyncpreemptoff=1") // so that daemon gets no SIGURG from its own runtime
			env.Vars = append(env.Vars, noRaceSleep)
			return os.Mkdir(filepath.Join(env.WorkDir, "spool"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sends": sends, "refuses": refuses, "exits": exits, "envelope": envelope, "message": sentMessage, "text": text,
			"write": write, "repeat": repeat, "await": await,
		},
	})
}

// messages returns the messages in the spool. tmp/ must be empty.
func messages(ts *testscript.TestScript) (files []string) {
	spool := ts.Getenv("SPOOLGORE_DIR")
	for _, pattern := range []string{"tmp/*", "*.eml"} {
		found, err := filepath.Glob(filepath.Join(spool, pattern))
		ts.Check(err)
		if pattern == "tmp/*" && len(found) > 0 {
			ts.Fatalf("left in tmp/: %v", found)
		}
		files = found
	}
	return files
}

// code runs a command on an empty spool and returns its exit code.
func code(ts *testscript.TestScript, args []string) int {
	for _, file := range messages(ts) {
		ts.Check(os.Remove(file))
	}
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// sends runs a command that must accept one message and print no text on standard output.
func sends(ts *testscript.TestScript, _ bool, args []string) {
	if got := code(ts, args); got != 0 {
		ts.Fatalf("exit code %d: %s", got, ts.ReadFile("stderr"))
	}
	if n := len(messages(ts)); n != 1 {
		ts.Fatalf("%d messages in the spool", n)
	}
	if said := ts.ReadFile("stdout"); said != "" {
		ts.Fatalf("on standard output: %q", said)
	}
}

// refuses runs a command that must end with the code, print the reason in one line, and leave no file in the spool.
func refuses(ts *testscript.TestScript, _ bool, args []string) {
	exits(ts, false, args)
	if left := messages(ts); len(left) > 0 {
		ts.Fatalf("left in the spool: %v", left)
	}
	if said := ts.ReadFile("stderr"); strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "sendmail-spool: ") {
		ts.Fatalf("on standard error: %q", said)
	}
	if said := ts.ReadFile("stdout"); said != "" {
		ts.Fatalf("on standard output: %q", said)
	}
}

// exits runs a command that must end with the code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := code(ts, args[1:]); got != want {
		ts.Fatalf("exit code %d, not %d: %s", got, want, ts.ReadFile("stderr"))
	}
}

// parts returns the envelope of the last message, and the rest of its file.
func parts(ts *testscript.TestScript) (envelope, rest string) {
	files := messages(ts)
	if len(files) != 1 {
		ts.Fatalf("%d messages in the spool", len(files))
	}
	file, err := os.ReadFile(files[0])
	ts.Check(err)
	line, rest, _ := strings.Cut(string(file), "\n")
	envelope, ok := strings.CutPrefix(line, "X-Spoolgore-Envelope: ")
	if !ok {
		ts.Fatalf("no envelope in %q", line)
	}
	return envelope, withoutReceived(ts, rest, filepath.Base(files[0]))
}

// received is the field that each message gets at the top of its header.
var received = regexp.MustCompile(`^Received: from localhost by (\S+) \(uid (\d+)\)\n\t(with SMTP )?id (\S+);\n\t.*\n`)

// withoutReceived returns a message without that field. The field has the name of the message in the spool.
func withoutReceived(ts *testscript.TestScript, text, name string) string {
	m := received.FindStringSubmatch(text)
	if m == nil || m[4] != name {
		ts.Fatalf("no Received field with the name %s in %q", name, text)
	}
	return text[len(m[0]):]
}

// envelope compares the envelope of the last message.
func envelope(ts *testscript.TestScript, _ bool, args []string) {
	if got, _ := parts(ts); got != args[0] {
		ts.Fatalf("envelope is %s", got)
	}
}

// sentMessage compares the last message with a file.
func sentMessage(ts *testscript.TestScript, _ bool, args []string) {
	if _, got := parts(ts); got != ts.ReadFile(args[0]) {
		ts.Fatalf("message is\n%s", got)
	}
}

// text compares the last message with the argument, which has escapes such as \r.
func text(ts *testscript.TestScript, _ bool, args []string) {
	if _, got := parts(ts); got != unquote(ts, args[0]) {
		ts.Fatalf("message is %q", got)
	}
}

// write writes the argument, which has escapes such as \r, to a file.
func write(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(unquote(ts, args[1])), 0o600))
}

// repeat appends the argument n times to a file.
func repeat(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer f.Close()
	_, err = f.WriteString(strings.Repeat(unquote(ts, args[2]), n))
	ts.Check(err)
}

func unquote(ts *testscript.TestScript, s string) string {
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	ts.Check(err)
	return text
}

// await waits until a file exists.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		_, err := os.Stat(ts.MkAbs(args[0]))
		if err == nil {
			return
		}
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(end) {
			ts.Fatalf("%v", err)
		}
	}
}
