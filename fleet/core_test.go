package fleet

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// Programs that do not use a fleet link no package of it.
func TestTheCoreDoesNotKnowTheFleet(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	list := exec.Command("go", "list", "-deps", "-test", "./...")
	list.Dir = ".."
	out, err := list.Output()
	is.NoErr(err)
	// the list has the packages of the module
	is.True(strings.Contains(string(out), "github.com/unbit/spoolgore/internal/engine"))
	for line := range strings.Lines(string(out)) {
		is.True(!strings.Contains(line, "jackc") && !strings.Contains(line, "spoolgore/fleet")) // core
	}
	for _, name := range []string{"../go.mod", "../go.sum"} {
		text, err := os.ReadFile(name)
		is.NoErr(err)
		is.True(!strings.Contains(string(text), "jackc")) // modules of the core
	}
}
