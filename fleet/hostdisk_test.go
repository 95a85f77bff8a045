package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
)

// The disk of a host that hands messages on is full: Put returns errors, complete files are handed on, and delivery
// goes on when there is room.
func TestScenarioTheDiskOfAHostIsFull(t *testing.T) {
	is := is.New(t)
	if os.Getuid() != 0 {
		t.Skip("a small file system needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no small file system: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	s := newScene(t, shared.DB(t), 1)
	refused := 0
	drop := func(n int) {
		for range n {
			subject := fmt.Sprint("m", len(s.put)+refused)
			env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
			text := mail(subject) + strings.Repeat("a line of the body\n", 400)
			if _, err := spoolgore.New(dir, spoolgore.Options{}).Put(t.Context(), env, strings.NewReader(text)); err != nil {
				is.True(strings.Contains(err.Error(), "no space left on device")) // the error has the cause
				refused++
				continue
			}
			s.put = append(s.put, subject)
		}
	}
	drop(40) // no host runs, so no message is handed on
	is.True(refused > 0)
	complete := files(t, dir)
	is.Equal(complete, len(s.put)) // a refused Put leaves no file
	spawn(t, "host", append(s.env, "FLEET_TEST_NAME=h", "FLEET_TEST_DIR="+dir)...)
	eventually(t, "every message is handed on", func() bool { return files(t, dir) == 0 })
	before := refused
	drop(5)
	is.Equal(refused, before) // no further Put is refused
	eventually(t, "every message is handed on", func() bool { return files(t, dir) == 0 })
	s.ends(fmt.Sprint("disk of a host full, ", refused, " refused"), 0)
}
