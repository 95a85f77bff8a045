//go:build unix

// Package asowner has root act on a spool with the rights of the owner of the spool. Files of root would lock the
// daemon of the owner out, and links of the owner must not lead root elsewhere.
package asowner

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// ids are the user and the groups of an owner.
type ids struct {
	uid, gid int
	groups   []int
}

// Become gives up the rights of root for those of the owner of dir, for good and on all threads. Become does nothing if
// the process is not root's, if the spool is, or if root runs a daemon on the spool.
func Become(dir *spooldir.Dir) error {
	owner, err := ownerOf(dir)
	if err != nil || owner == nil {
		return err
	}
	if err := owner.take(syscall.Setgid, syscall.Setuid); err != nil {
		return fmt.Errorf("take the rights of the owner of the spool: %w", err)
	}
	return nil
}

// During calls act with the rights of the owner of dir, where Become would take them, and takes those of root back.
func During(dir *spooldir.Dir, act func() error) (err error) {
	owner, err := ownerOf(dir)
	if err != nil {
		return err
	}
	if owner == nil {
		return act()
	}
	gid := os.Getegid()
	groups, err := syscall.Getgroups()
	if err != nil {
		return err
	}
	root := &ids{uid: 0, gid: gid, groups: groups}
	defer func() { err = errors.Join(err, root.giveBack()) }()
	if err := owner.take(syscall.Setegid, syscall.Seteuid); err != nil {
		return fmt.Errorf("take the rights of the owner of the spool: %w", err)
	}
	return act()
}

// take sets the groups, the group with setGroup and the user with setUser, in this order: only root may set groups.
func (i *ids) take(setGroup, setUser func(int) error) error {
	if err := syscall.Setgroups(i.groups); err != nil {
		return err
	}
	if err := setGroup(i.gid); err != nil {
		return err
	}
	return setUser(i.uid)
}

// giveBack is take for root, whose effective user is another one now.
func (i *ids) giveBack() error {
	if err := syscall.Seteuid(i.uid); err != nil {
		return err
	}
	return errors.Join(syscall.Setegid(i.gid), syscall.Setgroups(i.groups))
}

// ownerOf returns the owner of dir whose rights are to be taken; nil: none.
func ownerOf(dir *spooldir.Dir) (*ids, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	f, err := dir.FS().OpenFile(dir.Path(), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 || runByRoot(dir) {
		return nil, nil
	}
	owner := &ids{uid: int(st.Uid), gid: int(st.Gid)}
	if u, err := user.LookupId(strconv.Itoa(owner.uid)); err == nil {
		owner.gid = number(u.Gid, owner.gid)
		names, _ := u.GroupIds()
		for _, name := range names {
			owner.groups = append(owner.groups, number(name, owner.gid))
		}
	}
	if len(owner.groups) == 0 {
		owner.groups = []int{owner.gid}
	}
	return owner, nil
}

// runByRoot reports whether a process of root runs the spool. Only root can signal that process.
func runByRoot(dir *spooldir.Dir) bool {
	pid, err := dir.Lock().Holder()
	if err != nil || pid == 0 {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // the directory is root's while a password is held
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "Uid:" {
			return f[2] == "0" // effective
		}
	}
	return false
}

// number returns the number that text says, else other.
func number(text string, other int) int {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return n
	}
	return other
}
