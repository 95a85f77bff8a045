//go:build unix

package shim

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	group, daemon = 54321, 54322
	alice, bob    = 54323, 54324
)

// sharedSpool is a spool for all users with a setgid command.
type sharedSpool struct {
	t                *testing.T
	dir, spool, shim string
	binary           []byte
}

// newSharedSpool makes a shared spool with further lines of the configuration in conf. Only root can.
func newSharedSpool(t *testing.T, conf string) *sharedSpool {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can be several users")
	}
	is := is.New(t)
	dir := newSpool(t)
	s := &sharedSpool{t: t, dir: dir, spool: filepath.Join(dir, "spool"), shim: filepath.Join(dir, "sendmail")}
	// the directories of the test must be open to other users; only the spool is closed
	is.NoErr(os.Chmod(filepath.Dir(dir), 0o755))
	is.NoErr(os.Chmod(dir, 0o755))
	is.NoErr(os.Chown(s.spool, daemon, group))
	is.NoErr(os.Chmod(s.spool, 0o770|fs.ModeSetgid))
	is.NoErr(os.Mkdir(filepath.Join(dir, "etc"), 0o755))
	s.write(0, 0o644, "etc/spoolgore.conf", "dir "+s.spool+"\n"+conf)
	found, err := exec.LookPath("sendmail")
	is.NoErr(err)
	s.binary, err = os.ReadFile(found)
	is.NoErr(err)
	syscall.ForkLock.RLock() // otherwise a process that another test starts inherits the open file: ETXTBSY
	err = os.WriteFile(s.shim, s.binary, 0o755)
	syscall.ForkLock.RUnlock()
	is.NoErr(err)
	is.NoErr(os.Chown(s.shim, 0, group))
	is.NoErr(os.Chmod(s.shim, 0o755|fs.ModeSetgid))
	return s
}

// write writes a file of the user uid and returns its path.
func (s *sharedSpool) write(uid int, mode fs.FileMode, name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), mode)
	}
	if err == nil {
		err = os.Chown(path, uid, -1)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

// command returns a call by the user uid with the message text on standard input.
func (s *sharedSpool) command(uid uint32, groups []uint32, text, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), name, args...)
	cmd.Env = []string{
		"WORK=" + s.dir, "SPOOLGORE_DIR=/nonexistent", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH"), noRaceSleep,
	}
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(text)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}}
	return cmd
}

// as returns the output of a command of the user uid.
func (s *sharedSpool) as(uid uint32, groups []uint32, name string, args ...string) (string, error) {
	out, err := s.command(uid, groups, "From: f@x.org\n\nsecret\n", name, args...).CombinedOutput()
	return string(out), err
}

// The promises of docs/security.md for a shared spool, with real users and a real group. Only root can run this. The
// rules that need no users are in the scripts.
func TestSharedSpool(t *testing.T) {
	s := newSharedSpool(t, "userfiles 3\n")
	is := is.New(t)
	dir, spool, shim, as := s.dir, s.spool, s.shim, s.as
	out, err := as(alice, nil, shim, "-f", "a@x.org", "b@x.org")
	is.NoErr(err)
	is.Equal(out, "")
	d, err := spooldir.New(spool)
	is.NoErr(err)
	names, err := d.Names(spooldir.Spool)
	is.NoErr(err)
	is.Equal(len(names), 1) // in the right spool, although the environment names another one
	file := d.File(names[0])
	fi, err := os.Stat(file)
	is.NoErr(err)
	is.Equal(fi.Mode(), fs.FileMode(0o660)) // for its owner and the daemon's group
	is.Equal(spooldir.Owner(fi), alice)     // so that the message counts for alice
	is.Equal(int(fi.Sys().(*syscall.Stat_t).Gid), group)

	_, err = as(daemon, []uint32{group}, "cat", file)
	is.NoErr(err) // the daemon can send it
	is.NoErr(os.Mkdir(filepath.Join(spool, "failed"), 0o770))
	is.NoErr(os.Chown(filepath.Join(spool, "failed"), daemon, group))
	_, err = as(daemon, []uint32{group}, "ln", file, filepath.Join(spool, "failed", "x"))
	is.NoErr(err) // the daemon can move it to failed/
	is.NoErr(os.Remove(filepath.Join(spool, "failed", "x")))
	for _, args := range [][]string{{"cat", file}, {"rm", "-f", file}, {"ls", spool}, {"ln", file, "/tmp/"}, {"touch", filepath.Join(spool, "x")}} {
		for _, uid := range []uint32{alice, bob} {
			_, err := as(uid, nil, args[0], args[1:]...)
			is.True(err != nil) // no user reaches the file, not even its owner
		}
	}

	out, err = as(alice, nil, shim, "-bp")
	is.NoErr(err)
	is.True(strings.Contains(out, "b@x.org")) // alice's own message
	out, err = as(bob, nil, shim, "-bp")
	is.NoErr(err)
	is.Equal(out, "Mail queue is empty\n") // bob does not see messages of other users

	for range 2 {
		_, err = as(alice, nil, shim, "b@x.org")
		is.NoErr(err)
	}
	out, err = as(alice, nil, shim, "b@x.org")
	is.Equal(exitOf(err), exitTempFail) // alice has too many messages
	is.True(strings.Contains(out, "3 messages of yours"))
	_, err = as(bob, nil, shim, "b@x.org")
	is.NoErr(err) // bob has not
	for range 4 {
		_, err = as(0, nil, shim, "b@x.org")
		is.NoErr(err) // mail of root is not limited
	}

	is.NoErr(os.Chmod(filepath.Join(dir, "etc", "spoolgore.conf"), 0o640)) // the configuration may have passwords
	out, err = as(bob, nil, shim, "-bP")
	is.Equal(exitOf(err), exitTempFail) // the limits in the configuration are not skipped
	is.True(strings.Contains(out, "permission denied") && strings.Contains(out, "mode 0644"))
	is.NoErr(os.Chmod(shim, 0o755))
	out, err = as(bob, nil, shim, "-bP")
	is.Equal(exitOf(err), exitCantCreate) // without setgid, the environment is used
	is.True(strings.Contains(out, "not read: ") && strings.Contains(out, "($SPOOLGORE_DIR)"))
}

// If an alias includes a list of a user, that user could make the command of another user read other files.
func TestIncludedFilesAreReadWithTheCallersRights(t *testing.T) {
	s := newSharedSpool(t, "")
	is := is.New(t)
	list := s.write(bob, 0o644, "bob/list", "ann@x.org\n")
	is.NoErr(os.Chmod(filepath.Dir(list), 0o777)) // the directory belongs to bob
	s.write(0, 0o644, "etc/aliases", "team: :include:"+list+", ben@x.org\nown: :include:"+s.dir+"/of-the-group\n")
	s.write(0, 0o644, "etc/spoolgore.conf", "dir "+s.spool+"\naliases "+s.dir+"/etc/aliases\n")
	_, err := s.as(alice, nil, s.shim, "b@x.org")
	is.NoErr(err)
	sent, err := filepath.Glob(s.spool + "/*.eml")
	is.NoErr(err)
	is.Equal(len(sent), 1)
	out, err := s.as(bob, nil, s.shim, "-bv", "team")
	is.NoErr(err)
	is.True(strings.Contains(out, "team: ann@x.org, ben@x.org, through ")) // a list without tricks

	secret := s.write(0, 0o640, "of-the-group", "smtppassword hunter2\n")
	is.NoErr(os.Chown(secret, 0, group))
	out, _ = s.as(bob, nil, s.shim, "-bv", "own")
	is.True(!strings.Contains(out, "hunter2")) // the caller may not read the file, although the alias file includes it
	is.True(strings.Contains(out, "permission denied"))

	public := s.write(0, 0o644, "public", "smtppassword hunter3\n")
	for _, target := range []string{sent[0], secret, public, "/etc/passwd", "/dev/zero"} {
		is.NoErr(os.Remove(list))
		is.NoErr(os.Symlink(target, list))
		out, err := s.as(bob, nil, s.shim, "-bv", "team")
		is.NoErr(err)
		is.True(strings.Contains(out, "not a regular file"))
		is.True(strings.Contains(out, "team: ben@x.org, through ")) // the other members of the alias
	}
	is.NoErr(os.Remove(list))
	is.NoErr(os.Link(public, list))
	out, err = s.as(bob, nil, s.shim, "-bv", "team")
	is.Equal(exitOf(err), exitData)
	is.True(!strings.Contains(out, "hunter3")) // addresses only

	is.NoErr(os.Remove(list))
	is.NoErr(syscall.Mkfifo(list, 0o644))
	_, err = s.as(alice, nil, s.shim, "team")
	is.NoErr(err) // a FIFO does not block the sender
	is.NoErr(os.Remove(filepath.Join(s.dir, "etc", "aliases")))
	is.NoErr(syscall.Mkfifo(filepath.Join(s.dir, "etc", "aliases"), 0o644))
	_, err = s.as(alice, nil, s.shim, "team")
	is.Equal(exitOf(err), exitConfig)
}

// Between its steps in the spool, the process has no right that its caller lacks. The process writes the message to the
// daemon's tmp/. In a spool without tmp/ a user makes none: the message is written in the spool itself.
func TestGroupIsGivenUpWhileTheMessageIsRead(t *testing.T) {
	for _, sub := range []string{"tmp", "."} {
		t.Run(sub, func(t *testing.T) {
			s := newSharedSpool(t, "")
			if sub == "tmp" {
				is.New(t).NoErr(os.Mkdir(filepath.Join(s.spool, sub), 0o700))
				is.New(t).NoErr(os.Chown(filepath.Join(s.spool, sub), daemon, group))
				is.New(t).NoErr(os.Chmod(filepath.Join(s.spool, sub), 0o770|fs.ModeSetgid))
			}
			testGroupIsGivenUp(t, s, sub)
		})
	}
}

// testGroupIsGivenUp expects the unfinished message in the directory sub of the spool.
func testGroupIsGivenUp(t *testing.T, s *sharedSpool, sub string) {
	is := is.New(t)
	cmd := s.command(alice, nil, "", s.shim, "b@x.org")
	r, w, err := os.Pipe()
	is.NoErr(err)
	cmd.Stdin = r
	is.NoErr(cmd.Start())
	defer cmd.Process.Kill()
	big := strings.Repeat("x", 70) + "\n"
	// more than the pipe holds: the command has begun to read the body
	_, err = w.WriteString("From: f@x.org\n\n" + strings.Repeat(big, 5000))
	is.NoErr(err)
	found, err := filepath.Glob(filepath.Join(s.spool, sub, ".put-*"))
	is.NoErr(err)
	is.Equal(len(found), 1)
	status, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
	if err != nil {
		t.Skip("no /proc")
	}
	// real, effective, saved, file system
	is.True(strings.Contains(string(status), "Gid:\t54323\t54323\t54321\t54323\n"))
	is.NoErr(w.Close())
	is.NoErr(cmd.Wait())
	_, err = os.Lstat(found[0])
	is.True(errors.Is(err, fs.ErrNotExist)) // the message has its final name in the spool
	found, err = filepath.Glob(s.spool + "/*.eml")
	is.NoErr(err)
	is.Equal(len(found), 1)
}

// The environment leads a setgid command to no file. A shortage of descriptors is no configuration error.
func TestSetgidEnvironmentAndShortage(t *testing.T) {
	s := newSharedSpool(t, "")
	is := is.New(t)
	zone := filepath.Join(s.dir, "zone")
	is.NoErr(syscall.Mkfifo(zone, 0o644))
	_, err := s.as(alice, nil, s.shim, "b@x.org")
	is.NoErr(err)
	cmd := s.command(alice, nil, "", s.shim, "-bp")
	cmd.Env = append(cmd.Env, "TZ="+zone, "ZONEINFO="+zone)
	is.NoErr(cmd.Run()) // list prints local times

	for _, args := range []string{"b@x.org", "-bp"} {
		for files := 8; files < 13; files++ { // with fewer descriptors a Go program does not start
			script := "ulimit -n " + strconv.Itoa(files) + " && exec " + s.shim + " " + args
			out, err := s.as(alice, nil, "sh", "-c", script)
			if err != nil && exitOf(err) != exitTempFail && !strings.Contains(out, "runtime: ") {
				t.Errorf("%s with %d descriptors: %v: %s", args, files, err, out)
			}
		}
	}
}

// One message cannot take more room than its user has left, and 50M by default: reading stops there, and no part of the
// message stays.
func TestSharedSpoolBoundsOneMessage(t *testing.T) {
	s := newSharedSpool(t, "usersize 100K\n")
	is := is.New(t)
	send := func(size int) int {
		cmd := s.command(alice, nil, "From: f@x.org\n\n"+strings.Repeat("x\n", size/2), s.shim, "-f", "a@x.org", "b@x.org")
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	is.Equal(send(1<<20), exitTempFail)
	is.Equal(send(60<<10), 0)
	is.Equal(send(60<<10), exitTempFail) // too much together with the first message
	is.Equal(send(1<<10), 0)
	left, err := os.ReadDir(s.spool)
	is.NoErr(err)
	is.Equal(len(left), 2) // the two messages; alice makes no tmp/, which the daemon would refuse
	is.Equal(s.conf("maxsize"), "50M")
}

// conf returns the value for key in the output of -bP.
func (s *sharedSpool) conf(key string) string {
	s.t.Helper()
	out, _ := s.as(alice, nil, s.shim, "-bP")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			return f[1]
		}
	}
	return out
}

// A user can read neither the memory nor the environment of a setgid command that the user has started.
func TestSetgidCommandCannotBeTraced(t *testing.T) {
	s := newSharedSpool(t, "")
	is := is.New(t)
	cmd := s.command(alice, nil, "", s.shim, "b@x.org")
	r, w, err := os.Pipe()
	is.NoErr(err)
	cmd.Stdin = r
	is.NoErr(cmd.Start())
	defer cmd.Process.Kill()
	_, err = w.WriteString(strings.Repeat("x", 200<<10)) // more than the pipe holds: the command runs
	is.NoErr(err)
	proc := "/proc/" + strconv.Itoa(cmd.Process.Pid)
	if _, err := os.Stat(proc); err != nil {
		t.Skip("no /proc")
	}
	for _, file := range []string{"environ", "mem", "maps", "fd"} {
		out, err := s.as(alice, nil, "ls", "-l", filepath.Join(proc, file)+"/")
		if file != "fd" {
			out, err = s.as(alice, nil, "head", "-c", "1", filepath.Join(proc, file))
		}
		is.True(err != nil && strings.Contains(out, "Permission denied"))
	}
	is.NoErr(w.Close())
	is.NoErr(cmd.Wait())
}

// Users cannot fill the disk: room is kept for the daemon and for mail of root.
func TestRoomForTheDaemonStays(t *testing.T) {
	s := newSharedSpool(t, "")
	for _, program := range []string{"unshare", "mount", "setpriv", "truncate"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is missing")
		}
	}
	is := is.New(t)
	const script = `set -e
mount -t tmpfs -o size=4m,mode=2770,uid=54322,gid=54321 tmpfs "$1"
send() { head -c "$1" /dev/zero | tr '\0' '\n' | "$2" b@x.org 2>&1 && echo sent || echo "refused $?"; }
user() { head -c "$1" /dev/zero | tr '\0' '\n' | setpriv --reuid 54323 --regid 54323 --clear-groups "$2" -f a@x.org b@x.org 2>&1 && echo sent || echo "refused $?"; }
user 1000 "$2"
user 5000000 "$2"
head -c 4050000 /dev/zero > "$1/tmp-file" # little is left
user 1000 "$2"
send 1000 "$2"
ls -A "$1" | grep -c '^\.put' || true
`
	cmd := s.command(0, nil, "", "unshare", "-m", "sh", "-c", script, "sh", s.spool, s.shim)
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "ermission denied") {
		t.Skip("no mount: " + string(out))
	}
	is.NoErr(err)
	var results []string
	for line := range strings.Lines(string(out)) {
		if word := strings.TrimSpace(line); word == "sent" || strings.HasPrefix(word, "refused ") || word == "0" {
			results = append(results, word)
		}
	}
	is.Equal(results, []string{"sent", "refused 75", "refused 75", "sent", "0"})
}
