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

// newModule makes a module that uses this checkout of the package, with the given files.
func newModule(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	is := is.New(t)
	dir = t.TempDir()
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
	for name, text := range files {
		is.NoErr(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// The Go program of README.md, copied into a new module: it compiles, runs in an empty directory, leaves the message on
// disk and ends in order.
func TestReadmeProgram(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil || runtime.GOOS == "windows" {
		t.Skip("needs the go command and signals: ", err)
	}
	is := is.New(t)
	readme, err := os.ReadFile("README.md")
	is.NoErr(err)
	_, program, found := strings.Cut(string(readme), "```go\n")
	is.True(found)
	program, _, _ = strings.Cut(program, "```\n")
	dir := newModule(t, map[string]string{"main.go": strings.Replace(program, "mail.example.com:587", "127.0.0.1:1", 1)})

	build := exec.Command("go", "build", "-mod=mod", "-o", "app", ".")
	build.Dir = dir
	out, err := build.CombinedOutput()
	is.Equal(string(out), "")
	is.NoErr(err)

	var log bytes.Buffer
	app := exec.Command(filepath.Join(dir, "app"))
	app.Dir, app.Stderr = dir, &log
	is.NoErr(app.Start())
	for deadline := time.Now().Add(time.Minute); !exists(dir, "spool", ".spoolgore.js"); time.Sleep(10 * time.Millisecond) {
		is.True(time.Now().Before(deadline)) // Run writes the status file when it begins
	}
	is.NoErr(app.Process.Signal(syscall.SIGTERM))
	if err := app.Wait(); err != nil {
		t.Fatal(err, "\n", log.String())
	}
	messages, err := filepath.Glob(filepath.Join(dir, "spool", "*.eml"))
	is.NoErr(err)
	is.Equal(len(messages), 1) // the relay is down, the message waits
}
