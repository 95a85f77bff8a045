//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// The user of the spools in these tests. The system need not have a name for the user.
const spoolUser = 54331

// userSpool is a spool of spoolUser with the message new.eml.
func userSpool(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can act for another user")
	}
	spool := t.TempDir()
	must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.lock"), nil, 0o600))
	for _, sub := range []string{"tmp", "hold", "failed"} {
		must(t, os.Mkdir(filepath.Join(spool, sub), 0o700))
	}
	drop(t, spool, "new.eml", mail("To: new@example.com"))
	must(t, os.Chmod(filepath.Dir(spool), 0o755)) // the user's daemon gets there
	must(t, filepath.Walk(spool, func(path string, _ os.FileInfo, err error) error {
		must(t, err)
		return os.Lchown(path, spoolUser, spoolUser)
	}))
	return spool
}

// replaceByLink replaces a subdirectory with a link to another directory, as spoolUser, and returns the other
// directory.
func replaceByLink(t *testing.T, spool, sub string) (elsewhere string) {
	t.Helper()
	elsewhere = t.TempDir()
	must(t, os.RemoveAll(filepath.Join(spool, sub)))
	must(t, os.Symlink(elsewhere, filepath.Join(spool, sub)))
	must(t, os.Lchown(filepath.Join(spool, sub), spoolUser, spoolUser))
	return elsewhere
}

// foreign returns the files below dir that do not belong to spoolUser.
func foreign(t *testing.T, dir string) (paths []string) {
	t.Helper()
	must(t, filepath.Walk(dir, func(path string, fi os.FileInfo, err error) error {
		must(t, err)
		if fi.Sys().(*syscall.Stat_t).Uid != spoolUser {
			paths = append(paths, path)
		}
		return nil
	}))
	return paths
}

// A user cannot lead a command of root out of the spool by links in place of subdirectories.
func TestCommandOfRootFollowsNoLinkOfTheUser(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := userSpool(t)
	elsewhere := replaceByLink(t, spool, "hold")
	r := operate(t, "hold", spool, "new.eml")
	is.True(r.code != 0)                              // hold/ is no directory
	is.True(exists(filepath.Join(spool, "new.eml")))  // the message stays in the spool
	is.Equal(len(filesIn(t, elsewhere)), 0)           // no file was moved to the other directory
	roots := filepath.Join(elsewhere, "roots-secret") // a file of root in a directory of root
	must(t, os.WriteFile(roots, []byte(mail("To: ann@example.com")), 0o600))
	is.True(operate(t, "release", spool, "roots-secret").code != 0)
	is.True(exists(roots))
	elsewhere = replaceByLink(t, spool, "failed")
	must(t, os.WriteFile(filepath.Join(elsewhere, "f"), []byte(mail("To: ann@example.com")), 0o600))
	is.True(operate(t, "retry", spool, "f").code != 0)
	is.True(operate(t, "delete", spool, "f").code != 0)
	is.True(exists(filepath.Join(elsewhere, "f")))
}

// Root is refused a path in which a user has replaced a directory by a link.
func TestCommandOfRootFollowsNoLinkToTheSpool(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := userSpool(t)
	must(t, os.Chown(spool, 0, 0))
	link := filepath.Join(t.TempDir(), "spool")
	must(t, os.Symlink(spool, link))
	must(t, os.Lchown(link, spoolUser, spoolUser))
	is.True(operate(t, "hold", link, "new.eml").code != 0)
	is.True(exists(filepath.Join(spool, "new.eml")))
	must(t, os.Lchown(link, 0, 0))
	is.Equal(operate(t, "hold", link, "new.eml").code, 0) // root's own link
}

// Files that commands of root make in the spool of a user belong to the user. put reads a file that only root may read.
func TestCommandOfRootActsAsTheOwner(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := userSpool(t)
	secret := filepath.Join(t.TempDir(), "m")
	must(t, os.WriteFile(secret, []byte(mail("To: ann@example.com")), 0o600))
	name := strings.TrimSpace(ok(t, "put", spool, secret))
	is.True(exists(filepath.Join(spool, name)))
	ok(t, "hold", spool, "new.eml")
	is.True(exists(filepath.Join(spool, "hold", "new.eml")))
	is.Equal(len(foreign(t, spool)), 0)
	must(t, os.Chown(filepath.Join(spool, name), 0, 0)) // the user may not read it
	must(t, os.Chmod(filepath.Join(spool, name), 0o600))
	is.True(operate(t, "retry", spool, name).code != 0) // nor change its time
}

// With -once, root leaves no file that the daemon of the user cannot open, and logs in with a password file of root.
func TestOnceOfRootActsAsTheOwner(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := userSpool(t)
	relay := login("ann", "secret of root")
	password := write(t, t.TempDir(), "password", "secret of root\n", 0o600)
	r := operate(t, "-once", "-smtpaddr", relay.Listen(t), "-smtpuser", "ann", "-smtppasswordfile", password, spool)
	is.Equal(r.code, 0)
	is.Equal(len(foreign(t, spool)), 0)
	is.Equal(len(relay.Messages()), 1)
}

// A daemon of root on the spool of a user follows no link either: a message that cannot be moved to failed/ stays in
// the spool.
func TestDaemonOfRootFollowsNoLinkOfTheUser(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := userSpool(t)
	var elsewhere []string
	for _, sub := range []string{"failed", "tmp", "hold"} {
		elsewhere = append(elsewhere, replaceByLink(t, spool, sub))
	}
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && arg == "new@example.com" {
			return "550 5.1.1 unknown"
		}
		return ""
	}}
	d := start(t, "-smtpaddr", relay.Listen(t), spool)
	drop(t, spool, "good.eml", mail("To: ann@example.com"))
	eventually(t, "other mail is sent", func() bool { return !exists(filepath.Join(spool, "good.eml")) })
	d.stop()
	is.True(exists(filepath.Join(spool, "new.eml")))
	for _, dir := range elsewhere {
		is.Equal(len(filesIn(t, dir)), 0)
	}
}

// A directory of a third user is not used, and the start says so.
func TestDaemonRefusesADirectoryOfAnotherUser(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := userSpool(t)
	must(t, os.Chown(filepath.Join(spool, "failed"), spoolUser+1, spoolUser+1))
	d := start(t, "-smtpaddr", (&smtptest.Relay{}).Listen(t), spool)
	d.logs("refused: directory of user", 1)
	d.stop()
	is.True(exists(filepath.Join(spool, "failed")))
}
