package cli

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

// Without a configured spool, the first operand is the spool. If the operand is no directory, the error says what to
// write instead.
func TestAnOperandWithoutASpoolSaysWhatToWrite(t *testing.T) {
	is := is.New(t)
	conf := filepath.Join(t.TempDir(), "spoolgore.conf")
	is.NoErr(os.WriteFile(conf, nil, 0o600))
	t.Setenv("SPOOLGORE_DIR", "")
	t.Setenv("SPOOLGORE_CONFIG", conf) // so that the configuration of this machine is not read
	t.Chdir(t.TempDir())
	const or = ", or set SPOOLGORE_DIR, or dir in /etc/spoolgore.conf\n"
	for args, want := range map[string]string{
		"trace ann@example.com": ": there is no directory ann@example.com, and no spool is configured: write spoolgore trace DIR MAIL..." + or,
		"show one.eml two.eml":  ": there is no directory one.eml, and no spool is configured: write spoolgore show DIR NAME..." + or,
		"redirect a.eml b@x":    ": there is no directory a.eml, and no spool is configured: write spoolgore redirect DIR NAME... ADDRESS" + or,
		"trace /none a@x":       ": there is no directory /none\n", // an absolute path is taken for the spool
		"list none":             ": there is no directory none\n",  // list has no other operand
	} {
		code, out, errs := outputOf("", strings.Fields(args)...)
		is.Equal(code, ExitConfig) // args
		is.Equal(out, "")
		is.Equal(errs, "spoolgore: "+strings.Fields(args)[0]+want)
	}
}
