package spooldir

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/matryer/is"
)

// lockEnv makes the test binary a program that locks the spool in the variable, prints that it has, and waits to be
// killed.
const lockEnv = "SPOOLDIR_TEST_LOCK"

func TestMain(m *testing.M) {
	if path := os.Getenv(lockEnv); path != "" {
		os.Exit(holdLock(path))
	}
	if os.Getenv(crashEnv) != "" {
		os.Exit(crash(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func holdLock(path string) int {
	d, err := New(path)
	if err != nil {
		return 1
	}
	unlock, err := d.Lock().Acquire()
	if err != nil {
		fmt.Println(err)
		return 2
	}
	defer unlock()
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin) // until the parent closes standard input
	return 0
}

// startHolder starts a process that holds the lock of d.
func startHolder(t *testing.T, d *Dir) (cmd *exec.Cmd, stdin io.Closer) {
	is := is.New(t)
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lockEnv+"="+d.Path())
	in, err := cmd.StdinPipe()
	is.NoErr(err)
	out, err := cmd.StdoutPipe()
	is.NoErr(err)
	is.NoErr(cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	is.NoErr(err)
	is.Equal(line, "locked\n") // the child has the lock
	return cmd, in
}

// newSpool returns a prepared spool in a temporary directory.
func newSpool(t testing.TB) *Dir {
	t.Helper()
	d, err := New(t.TempDir())
	if err == nil {
		_, err = d.Prepare()
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// drop writes a file under name, relative to the spool, and returns its ID.
func drop(t testing.TB, d *Dir, name, text string) ID {
	t.Helper()
	if err := os.WriteFile(d.File(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(d.File(name))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := fileID(fi)
	return id
}

// replace puts another file in the place of name, as a program does that writes a new file and renames it.
func replace(t testing.TB, d *Dir, name, text string) {
	t.Helper()
	drop(t, d, ".new", text)
	if err := os.Rename(d.File(".new"), d.File(name)); err != nil {
		t.Fatal(err)
	}
}

// age sets the modification time of a file to the given time ago.
func age(t testing.TB, path string, ago time.Duration) {
	t.Helper()
	when := time.Now().Add(-ago)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

// tree returns the files in the spool with their contents by path.
func tree(t testing.TB, d *Dir) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(d.Path(), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(d.Path(), path)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

type files = map[string]string
