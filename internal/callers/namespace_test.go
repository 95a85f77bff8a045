//go:build linux

package callers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// enter is a script for namespaces of their own. It makes the host one that sends its mail through the spool.
const enter = `set -eu
mount --bind "$ETC" /etc
mount --bind "$SHIM" /usr/sbin/sendmail
hostname host.example
exec sh -eu run
`

// A host is a copy of this host on which callers are run.
type host struct {
	bin   string // directory of the built commands
	etc   string // copy of /etc
	spool string

	smtpPort string // of the SMTP server (-listen) on 127.0.0.1
}

// build builds the commands.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "github.com/unbit/spoolgore/cmd/spoolgore", "github.com/unbit/spoolgore/cmd/sendmail-spool")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// newHost makes a host with an empty spool. Its /etc has the settings that an administrator would make.
func newHost(t *testing.T) *host {
	t.Helper()
	is := is.New(t)
	h := &host{bin: build(t), etc: filepath.Join(t.TempDir(), "etc"), spool: t.TempDir()}
	if out, err := exec.Command("cp", "-a", "/etc", h.etc).CombinedOutput(); err != nil {
		t.Fatalf("copy /etc: %v\n%s", err, out)
	}
	for name, text := range map[string]string{
		"spoolgore.conf": "dir " + h.spool + "\ndomain host.example\n",
		"mailname":       "host.example\n",
		"hosts":          "127.0.0.1 localhost host.example\n",
	} {
		is.NoErr(os.WriteFile(filepath.Join(h.etc, name), []byte(text), 0o644))
	}
	return h
}

// command returns a command that runs the script "run" in dir on the host.
func (h *host) command(dir string) *exec.Cmd {
	cmd := exec.Command("unshare", "--mount", "--uts", "sh", "-c", enter)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:" + h.bin, "HOME=/root", "USER=root", "LOGNAME=root",
		"LANG=C.UTF-8", "TZ=UTC", "NODE_PATH=" + nodePath(),
		"ETC=" + h.etc, "SHIM=" + filepath.Join(h.bin, "sendmail-spool"),
		"SMTP_PORT=" + h.smtpPort,
	}
	return cmd
}

// nodePath is the directory where .ci/full installs packages of npm.
func nodePath() string {
	dir, err := filepath.Abs("../../.ci/npm/node_modules")
	if err != nil {
		return ""
	}
	return dir
}

// need skips the test if one of the given programs or files is missing. With CI set it fails the test instead, as
// .ci/full installs them.
func need(t *testing.T, things ...string) {
	t.Helper()
	for _, thing := range things {
		thing = strings.ReplaceAll(thing, "$NODE_PATH", nodePath())
		if _, err := exec.LookPath(thing); err == nil {
			continue
		}
		if _, err := os.Stat(thing); err == nil {
			continue
		}
		lack(t, thing+" is not installed")
	}
}

func lack(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// needNamespaces skips the test if /usr/sbin/sendmail cannot be replaced in a mount namespace.
func needNamespaces(t *testing.T) {
	t.Helper()
	need(t, "unshare", "/usr/sbin/sendmail")
	if out, err := exec.Command("unshare", "--mount", "--uts", "true").CombinedOutput(); err != nil {
		lack(t, "no namespaces: "+strings.TrimSpace(string(out)))
	}
}
