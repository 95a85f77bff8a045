package shim

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// TestAddressSpaceLimit: the command, built for 386 as in the package, accepts mail with 256 MB of address space, the
// default limit of Dovecot. A command for amd64 cannot start with this limit.
func TestAddressSpaceLimit(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "386" {
		t.Skip("no programs for 386 on ", runtime.GOARCH)
	}
	if testing.Short() {
		t.Skip("builds for another architecture")
	}
	t.Parallel()
	is := is.New(t)
	program := filepath.Join(t.TempDir(), "sendmail32")
	build := exec.Command("go", "build", "-tags", "smtpserver", "-o", program, "../../cmd/sendmail-spool")
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0", "GOFLAGS=")
	out, err := build.CombinedOutput()
	is.NoErr(err) // it builds
	is.Equal(string(out), "")
	if err := exec.Command(program, "-bp").Run(); exitOf(err) < 0 {
		t.Skip("this system runs no programs for 386: ", err)
	}
	dir := newSpool(t)
	limited := func(input string, args ...string) (string, error) {
		cmd := exec.Command("sh", append([]string{"-c", `ulimit -v 262144 && exec "$0" "$@"`, program}, args...)...)
		cmd.Env = []string{"SPOOLGORE_DIR=" + filepath.Join(dir, "spool")}
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	large := "Subject: s\nTo: b@x.org\n\n" + strings.Repeat(strings.Repeat("x", 99)+"\n", 100_000)
	for _, args := range [][]string{{"-i", "a@x.org"}, {"-t"}, {"-oi", "-f", "f@x.org", "--", "a@x.org"}} {
		out, err := limited(large, args...)
		is.NoErr(err)
		is.Equal(out, "")
	}
	out2, err := limited("MAIL FROM:<f@x.org>\r\nRCPT TO:<a@x.org>\r\nDATA\r\nSubject: s\r\n\r\n.\r\nQUIT\r\n", "-bs")
	is.NoErr(err)
	is.True(strings.Contains(out2, "250 2.0.0 OK"))
	is.Equal(len(inSpool(t, dir)), 4)
	out3, err := limited("", "-bp")
	is.NoErr(err)
	is.True(strings.Contains(out3, "in 4 messages"))
}
