//go:build linux

package cli

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// Every block of commands in the documents has a script in testdata/docs/blocks.txtar, or a reason there why it is not
// run.
func TestShellBlocksOfTheDocumentsRun(t *testing.T) {
	for _, program := range []string{"bash", "curl", "jq", "tail"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	archive, err := txtar.ParseFile("testdata/docs/blocks.txtar")
	is.New(t).NoErr(err)
	programs := buildPrograms(t)
	used := make(map[string]bool)
	for where, block := range shellBlocks(t) {
		page, _, _ := strings.Cut(where, ":")
		script, ok := scriptFor(archive, page+": "+block)
		if !ok {
			t.Errorf("%s: testdata/docs/blocks.txtar does not say how to run it", where)
			continue
		}
		used[script.Name] = true
		if strings.HasPrefix(string(script.Data), "skip ") {
			continue
		}
		t.Run(where, func(t *testing.T) { runBlock(t, programs, block, string(script.Data)) })
	}
	for _, script := range archive.Files {
		if !used[script.Name] && !strings.HasSuffix(script.Name, ":") {
			t.Errorf("testdata/docs/blocks.txtar: %s: there is no such block", script.Name)
		}
	}
}

// scriptFor returns the script with the longest name that is a prefix of the block.
func scriptFor(archive *txtar.Archive, block string) (script txtar.File, ok bool) {
	for _, f := range archive.Files {
		if strings.HasPrefix(block, f.Name) && len(f.Name) > len(script.Name) {
			script = f
		}
	}
	return script, script.Name != ""
}

// buildPrograms builds the commands. The links have the names of the Debian package.
func buildPrograms(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const module = "github.com/unbit/spoolgore/cmd/"
	out, err := exec.Command("go", "build", "-o", dir, module+"spoolgore", module+"sendmail-spool").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"sendmail", "mailq"} {
		is.New(t).NoErr(os.Symlink("sendmail-spool", filepath.Join(dir, name)))
	}
	return dir
}

// runBlock runs the script, which runs the block, in a directory of its own.
func runBlock(t *testing.T, programs, block, script string) {
	t.Parallel()
	is := is.New(t)
	root := t.TempDir()
	relay, events := fakeRelay(t)
	port := freePort(t)
	block = strings.NewReplacer(
		"/var/spool/yourapp", root+"/spool", " /etc/", " "+root+"/etc/", ">/etc/", ">"+root+"/etc/", "=/etc/", "="+root+"/etc/",
		":/etc/", ":"+root+"/etc/", "/var/lib/", root+"/var/lib/", "=/usr/", "="+root+"/usr/", " /usr/", " "+root+"/usr/",
		"%h", root+"/home", "mail.example.com:587", relay, "mail.example.com:25", relay, "example.com:25", relay, "foobar.it:587", relay,
		"8025", port, "2525", port,
	).Replace(block)
	is.NoErr(os.WriteFile(filepath.Join(root, "block"), []byte(block), 0o600))
	tools, err := filepath.Abs("testdata/docs")
	is.NoErr(err)
	repository, err := filepath.Abs("../..")
	is.NoErr(err)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", ". "+tools+"/functions\n"+script)
	cmd.WaitDelay = time.Second
	cmd.Dir = root
	cmd.ExtraFiles = []*os.File{events}
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+programs+":"+os.Getenv("PATH"), "HOME="+root+"/home",
		"XDG_CONFIG_HOME="+root+"/home/.config",
		"ROOT="+root, "PROGRAMS="+programs, "RELAY="+relay, "PORT="+port, "REPOSITORY="+repository,
		"UNITS="+repository+"/packaging/systemd", "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOPROXY=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(root, "log"))
		t.Errorf("%v\n%s\nlog of the daemons:\n%s", err, out, log)
	}
}

// fakeRelay listens on loopback. It defers mail to grey@ and refuses mail to refused@. Each command and the end of each
// message is a line in events.
func fakeRelay(t *testing.T) (addr string, events *os.File) {
	t.Helper()
	events, w, err := os.Pipe()
	is.New(t).NoErr(err)
	t.Cleanup(func() { _, _ = events.Close(), w.Close() })
	relay := &smtptest.Relay{
		Ext:   []string{"PIPELINING", "8BITMIME", "SIZE", "AUTH CRAM-MD5"},
		Users: map[string]string{"app": "secret", "app@example.com": "secret", "kratos": "deimos"},
		Reply: func(verb, arg string) string {
			if _, err := w.WriteString(verb + " " + arg + "\n"); err != nil {
				return ""
			}
			switch {
			case verb == "RCPT" && strings.HasPrefix(arg, "grey@"):
				return "450 4.2.0 greylisted, try again later"
			case verb == "RCPT" && strings.HasPrefix(arg, "refused@"):
				return "550 5.1.1 no such user"
			}
			return ""
		},
	}
	return relay.Listen(t), events
}

// freePort returns a port of 127.0.0.1 that no program listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.New(t).NoErr(err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	is.New(t).NoErr(err)
	return port
}

// goEnv returns a setting of the go command, for a block with another HOME.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	is.New(t).NoErr(err)
	return strings.TrimSpace(string(out))
}
