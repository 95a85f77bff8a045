package cli

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestASpoolOfAnotherUserSaysWhoMayReadIt(t *testing.T) {
	is := is.New(t)
	var stderr strings.Builder
	o := &output{program: "spoolgore", name: "list", stderr: &stderr, out: bufio.NewWriter(io.Discard)}
	is.Equal(o.exitCode(fmt.Errorf("read spool: %w", fs.ErrPermission)), ExitNotDone)
	is.Equal(stderr.String(), "spoolgore: list: read spool: permission denied; run it as root, or as the user of the daemon\n")
}
