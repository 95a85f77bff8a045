package shell

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// asInit is the environment variable that makes the test binary process 1 of a namespace.
const asInit = "SPOOLGORE_TEST_AS_INIT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asInit); dir != "" {
		os.Exit(initMain(dir))
	}
	os.Exit(m.Run())
}

// initMain runs a command that leaves a child process. It returns 0 if the child was a zombie until Orphans was called.
func initMain(dir string) int {
	done := filepath.Join(dir, "done")
	cmd := Command(context.Background(), "(sleep 0.1; : >"+done+") >/dev/null 2>&1 & exit 3")
	if err := Run(cmd); err == nil || cmd.ProcessState.ExitCode() != 3 {
		return 10
	}
	for range 10_000 {
		if _, err := os.Stat(done); err == nil && zombies() > 0 {
			Orphans()
			if zombies() > 0 {
				return 11
			}
			return 0
		}
		time.Sleep(time.Millisecond)
	}
	return 12
}

// zombies returns the number of ended processes without a wait.
func zombies() (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), ") Z ") {
			n++
		}
	}
	return n
}

func TestOrphansOfCommandsAreNoZombies(t *testing.T) {
	is := is.New(t)
	unshare, err := exec.LookPath("unshare")
	if err != nil || os.Getuid() != 0 {
		t.Skip("needs root and unshare(1)")
	}
	cmd := exec.Command(unshare, "--pid", "--fork", "--mount-proc", os.Args[0])
	cmd.Env = append(os.Environ(), asInit+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "unshare") {
		t.Skipf("no namespaces here: %s", out)
	}
	is.NoErr(err) // 10: exit status of the command; 11: zombies are left; 12: there was none
}
