//go:build unix

package shim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// execServer replaces the process by the program that serves -bs, with args. The new process has the same effective and
// real ids as this command at its start, and drops its rights in the same way. It returns only if it fails.
func (s *shim) execServer(args []string) error {
	path, err := s.sys.findServer()
	if err != nil {
		return fail(exitConfig, "-bs: %w", err)
	}
	err = s.sys.held.with(func() error {
		return syscall.Exec(path, append([]string{serverName, ServerCommand}, args...), os.Environ())
	})
	return fmt.Errorf("-bs: execute %s: %w", path, err)
}

// findServer returns the path of the program that serves -bs: beside this command, in a directory bin next to it, in
// the usual directories, and in $PATH. A command with a group of its own ignores $PATH and executes only a program that
// [trusted] allows.
func (sys system) findServer() (string, error) {
	var dirs []string
	if self, err := os.Executable(); err == nil {
		dir := filepath.Dir(self)
		dirs = append(dirs, dir, filepath.Join(dir, "../bin"), filepath.Join(dir, "../../bin"))
	}
	dirs = append(dirs, "/usr/local/bin", "/usr/bin")
	dirs = append(dirs, filepath.SplitList(sys.env("PATH"))...)
	var refused error
	for _, dir := range dirs {
		path := filepath.Join(dir, serverName)
		fi, err := os.Stat(path)
		if err != nil || !filepath.IsAbs(path) || !fi.Mode().IsRegular() || fi.Mode().Perm()&0o111 == 0 {
			continue
		}
		if sys.elevated {
			if path, err = trusted(path); err != nil {
				refused = errors.Join(refused, err)
				continue
			}
		}
		return path, nil
	}
	if refused != nil {
		return "", refused
	}
	return "", fmt.Errorf("the program %s, which serves SMTP, is not beside this command", serverName)
}

// trusted returns the path of a program without symbolic links. It fails if a user other than root can write to the
// program or to a directory of the path, or can rename an entry of the path. Such a user could have a hard link to the
// setgid command beside a program of the user's own.
func trusted(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	for at := path; ; at = filepath.Dir(at) {
		fi, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if owner := fi.Sys().(*syscall.Stat_t).Uid; owner != 0 {
			return "", fmt.Errorf("%s is not executed: the owner of %s is not root", path, at)
		}
		// In a sticky directory others cannot rename root's entries, and there are no hard links to directories.
		sticky := fi.Mode()&fs.ModeSticky != 0 && at != filepath.Dir(path)
		if fi.Mode().Perm()&0o022 != 0 && !sticky {
			return "", fmt.Errorf("%s is not executed: users other than root can write to %s", path, at)
		}
		if at == filepath.Dir(at) {
			return path, nil
		}
	}
}

// setEffective sets the ids that differ. The saved ids allow both directions.
func setEffective(uid, gid int) error {
	if os.Getegid() != gid {
		if err := syscall.Setegid(gid); err != nil {
			return err
		}
	}
	if os.Geteuid() != uid {
		return syscall.Seteuid(uid)
	}
	return nil
}

// wake signals the daemon with that process id to try all messages now.
func wake(s *shim, pid int) error {
	// By default a process ignores SIGURG: the signal is harmless if another process has the pid by now.
	switch err := syscall.Kill(pid, syscall.SIGURG); {
	case errors.Is(err, syscall.EPERM):
		return fail(exitNoPerm, "-q: only the user who runs the daemon, and root, may wake it")
	case err != nil && !errors.Is(err, syscall.ESRCH):
		return fmt.Errorf("-q: wake the daemon: %w", err)
	}
	return nil
}

// caller returns the entry of the user uid; nil: there is none.
func caller(uid int) *user.User {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return nil
	}
	return u
}
