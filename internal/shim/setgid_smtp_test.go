//go:build unix

package shim

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// session is an SMTP session with one message.
const session = "EHLO c.example\r\nMAIL FROM:<f@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\nFrom: f@x.org\r\n\r\nbody\r\n.\r\nQUIT\r\n"

// newSMTPSpool returns a shared spool with the program that serves -bs beside the command.
func newSMTPSpool(t *testing.T) *sharedSpool {
	t.Helper()
	s := newSharedSpool(t, "")
	s.write(0, 0o755, serverName, string(s.binary))
	return s
}

// smtp runs -bs of the command at path as the user uid.
func (s *sharedSpool) smtp(uid uint32, path string, env ...string) (string, error) {
	cmd := s.command(uid, nil, session, path, "-bs")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// messages returns the files of the messages in the spool.
func (s *sharedSpool) messages() []string {
	s.t.Helper()
	found, err := filepath.Glob(s.spool + "/*.eml")
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// The program that serves -bs has the group of the setgid command only during its steps in the spool, and ignores the
// environment of the caller.
func TestSetgidSMTP(t *testing.T) {
	s := newSMTPSpool(t)
	is := is.New(t)
	evil := s.write(alice, 0o755, "alice/"+serverName, "#!/bin/sh\ntouch "+s.dir+"/alice/executed\n")
	out, err := s.smtp(alice, s.shim, "PATH="+filepath.Dir(evil))
	is.NoErr(err)
	is.Equal(codes(out), "220 250 250 250 354 250 221")
	_, err = os.Lstat(filepath.Join(s.dir, "alice", "executed"))
	is.True(err != nil) // the caller controls PATH
	found := s.messages()
	is.Equal(len(found), 1)
	fi, err := os.Stat(found[0])
	is.NoErr(err)
	is.Equal(fi.Mode(), fs.FileMode(0o660))
	is.Equal(spooldir.Owner(fi), alice)
	text, err := os.ReadFile(found[0])
	is.NoErr(err)
	is.True(strings.Contains(string(text), "(uid "+strconv.Itoa(alice)+")"))
	direct := s.command(alice, nil, session, filepath.Join(s.dir, serverName), ServerCommand)
	direct.Env = append(direct.Env, "SPOOLGORE_DIR="+s.spool)
	answers, err := direct.Output()
	is.NoErr(err)
	// without setgid, the program has no group of its own
	is.Equal(codes(string(answers)), "220 250 250 250 354 451 221")
}

// During a session the process has no right that its caller lacks, and cannot be traced.
func TestSetgidSMTPGivesUpTheGroup(t *testing.T) {
	s := newSMTPSpool(t)
	is := is.New(t)
	cmd := s.command(alice, nil, "", s.shim, "-bs")
	cmd.Stdin = nil
	in, err := cmd.StdinPipe()
	is.NoErr(err)
	out, err := cmd.StdoutPipe()
	is.NoErr(err)
	is.NoErr(cmd.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	is.NoErr(err) // the greeting
	proc := "/proc/" + strconv.Itoa(cmd.Process.Pid)
	status, err := os.ReadFile(proc + "/status")
	if err == nil {
		// real, effective, saved, file system
		is.True(strings.Contains(string(status), "Gid:\t54323\t54323\t54321\t54323\n"))
		// owned by root: the process is not dumpable
		is.Equal(owner(t, proc+"/environ"), 0)
	}
	is.NoErr(in.Close())
	is.NoErr(cmd.Wait())
}

func owner(t *testing.T, path string) int {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return spooldir.Owner(fi)
}

// A user can make a hard link to the command and put a program beside the link. No such program gets the group.
func TestSetgidSMTPExecutesOnlyRootsProgram(t *testing.T) {
	tests := []struct {
		name  string
		place func(is *is.I, s *sharedSpool) // writes the program beside the command in s.dir/link
	}{
		{"of the caller", func(is *is.I, s *sharedSpool) {
			s.write(alice, 0o755, "link/"+serverName, "#!/bin/sh\ntouch "+s.dir+"/link/executed\n")
		}},
		{"a link to a program of root", func(is *is.I, s *sharedSpool) {
			is.NoErr(os.Link(filepath.Join(s.dir, serverName), filepath.Join(s.dir, "link", serverName)))
			is.NoErr(os.Chown(filepath.Join(s.dir, "link"), alice, 0))
		}},
		{"in a sticky directory", func(is *is.I, s *sharedSpool) {
			is.NoErr(os.Link(filepath.Join(s.dir, serverName), filepath.Join(s.dir, "link", serverName)))
			is.NoErr(os.Chmod(filepath.Join(s.dir, "link"), 0o777|fs.ModeSticky))
		}},
		{"writable by the group", func(is *is.I, s *sharedSpool) {
			s.write(0, 0o755, "link/"+serverName, "#!/bin/sh\ntouch "+s.dir+"/link/executed\n")
			is.NoErr(os.Chmod(filepath.Join(s.dir, "link", serverName), 0o775))
		}},
		{"below a directory of the caller", func(is *is.I, s *sharedSpool) {
			s.write(0, 0o755, "link/"+serverName, string(s.binary))
			is.NoErr(os.Chown(s.dir, alice, -1))
		}},
		{"a symbolic link to a program of the caller", func(is *is.I, s *sharedSpool) {
			evil := s.write(alice, 0o755, "alice/evil", "#!/bin/sh\ntouch "+s.dir+"/link/executed\n")
			is.NoErr(os.Symlink(evil, filepath.Join(s.dir, "link", serverName)))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSMTPSpool(t)
			is := is.New(t)
			is.NoErr(os.Mkdir(filepath.Join(s.dir, "link"), 0o755))
			link := filepath.Join(s.dir, "link", "sendmail")
			is.NoErr(os.Link(s.shim, link))
			test.place(is, s)
			out, err := s.smtp(alice, link)
			is.Equal(exitOf(err), exitConfig)
			is.True(strings.Contains(out, "is not executed: ")) // the error has the reason
			_, err = os.Lstat(filepath.Join(s.dir, "link", "executed"))
			is.True(err != nil)
			is.Equal(len(s.messages()), 0)
		})
	}
}

// Without the program beside the command, the error of -bs names it. Other calls do not need it.
func TestSMTPWithoutServer(t *testing.T) {
	for _, dir := range []string{"/usr/local/bin", "/usr/bin"} {
		if _, err := os.Stat(filepath.Join(dir, serverName)); err == nil {
			t.Skip(serverName, " is installed")
		}
	}
	is := is.New(t)
	dir := newSpool(t)
	shim, err := exec.LookPath("sendmail")
	is.NoErr(err)
	binary, err := os.ReadFile(shim)
	is.NoErr(err)
	alone := filepath.Join(t.TempDir(), "lib", "spoolgore")
	is.NoErr(os.MkdirAll(alone, 0o755))
	run := func(path string, args ...string) (string, error) {
		cmd := shimProcess(t, dir, args...)
		cmd.Path, cmd.Stdin = filepath.Join(alone, "sendmail"), strings.NewReader(session)
		cmd.Env = append(cmd.Env, "PATH="+path)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	is.NoErr(os.WriteFile(filepath.Join(alone, "sendmail"), binary, 0o755))
	out, err := run("/nonexistent", "-bs")
	is.Equal(exitOf(err), exitConfig)
	is.True(strings.Contains(out, "the program spoolgore, which serves SMTP, is not beside this command"))
	_, err = run("/nonexistent", "b@x.org")
	is.NoErr(err)
	out, err = run(filepath.Dir(shim), "-bs")
	is.NoErr(err) // the program is in $PATH
	is.Equal(codes(out), "220 250 250 250 354 250 221")
	bin := filepath.Join(alone, "../../bin") // in the packages: /usr/lib/spoolgore/sendmail and /usr/bin/spoolgore
	is.NoErr(os.Mkdir(bin, 0o755))
	is.NoErr(os.WriteFile(filepath.Join(bin, serverName), binary, 0o755))
	_, err = run("/nonexistent", "-bs")
	is.NoErr(err)
}
