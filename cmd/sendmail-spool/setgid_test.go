//go:build unix

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// What docs/security.md promises of a spool for all users, with real users and a real group. Only root can arrange that;
// the rules without the system's part are in the scripts.
func TestSharedSpool(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("root only")
		return
	}
	is := is.New(t)
	const group, daemon, alice, bob = 54321, 54322, 54323, 54324
	dir := newSpool(t)
	spool := filepath.Join(dir, "spool")
	is.NoErr(os.Chmod(filepath.Dir(dir), 0o755)) // that of the test; only the spool is closed to others
	is.NoErr(os.Chmod(dir, 0o755))
	is.NoErr(os.Chown(spool, daemon, group))
	is.NoErr(os.Chmod(spool, 0o770|fs.ModeSetgid))
	is.NoErr(os.Mkdir(filepath.Join(dir, "etc"), 0o755))
	conf := "dir " + spool + "\nuserfiles 3\n"
	is.NoErr(os.WriteFile(filepath.Join(dir, "etc", "spoolgore.conf"), []byte(conf), 0o644))
	found, err := exec.LookPath("sendmail")
	is.NoErr(err)
	binary, err := os.ReadFile(found)
	is.NoErr(err)
	shim := filepath.Join(dir, "sendmail")
	is.NoErr(os.WriteFile(shim, binary, 0o755))
	is.NoErr(os.Chown(shim, 0, group))
	is.NoErr(os.Chmod(shim, 0o755|fs.ModeSetgid))

	as := func(uid uint32, groups []uint32, name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Env = []string{"WORK=" + dir, "SPOOLGORE_DIR=/nonexistent", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH"), noRaceSleep}
		cmd.Dir = "/"
		cmd.Stdin = strings.NewReader("From: f@x.org\n\nsecret\n")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := as(alice, nil, shim, "-f", "a@x.org", "b@x.org")
	is.NoErr(err)
	is.Equal(out, "")
	d, err := spooldir.New(spool)
	is.NoErr(err)
	names, err := d.Names(spooldir.Spool)
	is.NoErr(err)
	is.Equal(len(names), 1) // it is there, although the environment leads elsewhere
	file := d.File(names[0])
	fi, err := os.Stat(file)
	is.NoErr(err)
	is.Equal(fi.Mode(), fs.FileMode(0o660)) // for its owner and the daemon's group
	is.Equal(spooldir.Owner(fi), alice)     // so that it counts for her
	is.Equal(int(fi.Sys().(*syscall.Stat_t).Gid), group)

	_, err = as(daemon, []uint32{group}, "cat", file)
	is.NoErr(err) // the daemon can send it
	is.NoErr(os.Mkdir(filepath.Join(spool, "failed"), 0o770))
	is.NoErr(os.Chown(filepath.Join(spool, "failed"), daemon, group))
	_, err = as(daemon, []uint32{group}, "ln", file, filepath.Join(spool, "failed", "x"))
	is.NoErr(err) // and set it aside
	is.NoErr(os.Remove(filepath.Join(spool, "failed", "x")))
	for _, args := range [][]string{{"cat", file}, {"rm", "-f", file}, {"ls", spool}, {"ln", file, "/tmp/"}, {"touch", filepath.Join(spool, "x")}} {
		for _, uid := range []uint32{alice, bob} {
			_, err := as(uid, nil, args[0], args[1:]...)
			is.True(err != nil) // nobody gets at the file, not even who wrote it
		}
	}

	out, err = as(alice, nil, shim, "-bp")
	is.NoErr(err)
	is.True(strings.Contains(out, "b@x.org")) // her own
	out, err = as(bob, nil, shim, "-bp")
	is.NoErr(err)
	is.Equal(out, "Mail queue is empty\n") // not those of others

	for range 2 {
		_, err = as(alice, nil, shim, "b@x.org")
		is.NoErr(err)
	}
	out, err = as(alice, nil, shim, "b@x.org")
	is.Equal(exitOf(err), exitTempFail) // her part of the spool is full
	is.True(strings.Contains(out, "3 messages of yours"))
	_, err = as(bob, nil, shim, "b@x.org")
	is.NoErr(err) // not that of others
	for range 4 {
		_, err = as(0, nil, shim, "b@x.org")
		is.NoErr(err) // the host's own mail always goes
	}

	is.NoErr(os.Chmod(filepath.Join(dir, "etc", "spoolgore.conf"), 0o640)) // there may be passwords in it
	is.NoErr(os.Chmod(shim, 0o755))
	out, err = as(bob, nil, shim, "-bP")
	is.Equal(exitOf(err), exitCantCreate) // who may not read it goes by the environment
	is.True(strings.Contains(out, "not read: ") && strings.Contains(out, "($SPOOLGORE_DIR)"))
}
