package shim

import (
	"errors"
	"os/user"
	"strings"
)

// execServer fails: a process of Windows cannot replace itself by another program.
func (s *shim) execServer([]string) error {
	return fail(exitConfig, "%w", errors.New("-bs does not exist on Windows; spoolgore -listen takes SMTP"))
}

// setEffective does nothing: a command on Windows has the rights of its caller.
func setEffective(int, int) error { return nil }

// wake has all messages tried: on Windows no signal reaches the daemon.
func wake(s *shim, _ int) error { return s.touchAll() }

// caller returns the entry of the user who runs the command; nil: there is none.
func caller(int) *user.User {
	u, err := user.Current()
	if err != nil {
		return nil
	}
	_, name, found := strings.Cut(u.Username, `\`)
	if found { // DOMAIN\NAME
		u.Username = name
	}
	return u
}
