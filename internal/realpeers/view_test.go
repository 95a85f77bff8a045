package realpeers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// A view is a mount namespace in which the files of an unpacked package cover those of the system. It is for a server
// that cannot be installed beside other servers.
type view struct{ dir, root string }

// newView makes a view with directories below dir as /run and /var/spool, and with additional users and groups.
func newView(t *testing.T, dir, root, users, groups string) view {
	is := is.New(t)
	over := filepath.Join(dir, "over")
	for _, sub := range []string{"over/sasl2", "lib/opensmtpd/empty", "run", "spool"} {
		is.NoErr(os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	prepend(t, "/etc/passwd", users, filepath.Join(over, "passwd"))
	prepend(t, "/etc/group", groups, filepath.Join(over, "group"))
	return view{dir: dir, root: root}
}

// start runs a program in the foreground until the test ends.
func (v view) start(t *testing.T, args ...string) {
	is := is.New(t)
	log, err := os.Create(filepath.Join(v.dir, "output"))
	is.NoErr(err)
	mounts := fmt.Sprintf(`set -e
mount -t overlay overlay -o lowerdir=%[1]s/over:%[2]s/etc:/etc /etc
mount -t overlay overlay -o lowerdir=%[2]s/usr:/usr /usr
mount -t overlay overlay -o lowerdir=%[1]s/lib:/var/lib /var/lib
mount --bind %[1]s/spool /var/spool
mount --bind %[1]s/run /run
exec "$@"`, v.dir, v.root)
	cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", mounts, "sh"}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	is.NoErr(cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			logTail(t, log.Name())
		}
	})
}

// unpacked returns the directory below .ci where .ci/full has unpacked a package, or skips the test.
func unpacked(t *testing.T, name, program string) string {
	root, err := filepath.Abs("../../.ci/" + name)
	is.New(t).NoErr(err)
	if _, err := os.Stat(filepath.Join(root, program)); err != nil {
		t.Skip(name + " is not there: .ci/full unpacks it into .ci/" + name)
	}
	needRoot(t)
	if err := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt").Run(); err != nil {
		t.Skip(name+" needs a mount namespace of its own, and there can be none: ", err)
	}
	return root
}

// writeKey writes a file that only its owner can read.
func writeKey(t *testing.T, path string, text []byte) {
	is.New(t).NoErr(os.WriteFile(path, text, 0o600))
}
