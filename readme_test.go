package spoolgore

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
)

// newModule makes dir a module that uses this checkout of the package.
func newModule(t *testing.T, dir string) {
	t.Helper()
	is := is.New(t)
	here, err := os.Getwd()
	is.NoErr(err)
	mod, err := os.ReadFile("go.mod")
	is.NoErr(err)
	sum, err := os.ReadFile("go.sum")
	is.NoErr(err)
	own := strings.Replace(string(mod), "module github.com/unbit/spoolgore", "module example.com/app", 1) +
		"\nrequire github.com/unbit/spoolgore v0.0.0\n\nreplace github.com/unbit/spoolgore => " + here + "\n"
	is.NoErr(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(own), 0o600))
	is.NoErr(os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600))
}

// buildReadmeProgram builds the Go program of README.md in dir, for a relay that does not answer, and returns the path
// of the program. The file is outside this module and cannot import internal packages. With SPOOLGORE_FULL set, dir is
// a module of its own; then every package of this module is compiled once more.
func buildReadmeProgram(t *testing.T, dir string) string {
	t.Helper()
	is := is.New(t)
	readme, err := os.ReadFile("README.md")
	is.NoErr(err)
	_, program, found := strings.Cut(string(readme), "```go\n")
	is.True(found)
	program, _, _ = strings.Cut(program, "```\n")
	is.True(strings.Contains(program, "mail.example.com:587"))
	program = strings.Replace(program, "mail.example.com:587", "127.0.0.1:1", 1)
	source, app := filepath.Join(dir, "main.go"), filepath.Join(dir, "app")
	is.NoErr(os.WriteFile(source, []byte(program), 0o600))

	build := exec.Command("go", "build", "-o", app, source)
	if os.Getenv("SPOOLGORE_FULL") != "" {
		newModule(t, dir)
		build = exec.Command("go", "build", "-mod=mod", "-o", app, ".")
		build.Dir = dir
	}
	build.Env = append(os.Environ(), "GOPROXY=off") // the modules are in the module cache
	out, err := build.CombinedOutput()
	is.Equal(string(out), "")
	is.NoErr(err)
	return app
}

// The Go program of README.md compiles, runs in an empty directory, leaves the message on disk and ends without an
// error.
func TestReadmeProgram(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil || runtime.GOOS == "windows" {
		t.Skip("needs the go command and signals: ", err)
	}
	is := is.New(t)
	dir := t.TempDir()
	var log bytes.Buffer
	app := exec.Command(buildReadmeProgram(t, dir))
	app.Dir, app.Stderr = dir, &log
	is.NoErr(app.Start())
	ended := make(chan error, 1)
	go func() { ended <- app.Wait() }()
	for deadline := time.Now().Add(time.Minute); !exists(dir, "spool", ".spoolgore.js"); time.Sleep(10 * time.Millisecond) {
		select { // Run writes the status file when it begins
		case err := <-ended:
			t.Fatal("ended early: ", err, "\n", log.String())
		default:
		}
		if time.Now().After(deadline) {
			_ = app.Process.Kill()
			t.Fatal("no status file; ", <-ended, "\n", log.String())
		}
	}
	is.NoErr(app.Process.Signal(syscall.SIGTERM))
	if err := <-ended; err != nil {
		t.Fatal(err, "\n", log.String())
	}
	messages, err := filepath.Glob(filepath.Join(dir, "spool", "*.eml"))
	is.NoErr(err)
	is.Equal(len(messages), 1) // the relay is down, the message waits
}
