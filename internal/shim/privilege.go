package shim

import (
	"errors"
	"fmt"
	"os"
)

// A privilege is the effective user and group that the file of the command gives and the caller does not have. The
// zero value is no privilege. The saved ids of the process keep a dropped privilege: this protects from mistakes (a
// file opened for the caller with the rights of the spool), not from code execution.
type privilege struct {
	held               bool // the command has a privilege
	uid, gid           int  // effective ids of the command
	callerUID, callerG int  // ids of the caller
}

// dropPrivilege drops and returns the privilege of the process; with regains the privilege. The environment is cleared
// too: the caller controls the environment, and libraries read files named there (TZ, ZONEINFO).
func dropPrivilege() (privilege, error) {
	p := privilege{uid: os.Geteuid(), gid: os.Getegid(), callerUID: os.Getuid(), callerG: os.Getgid()}
	if p.uid == p.callerUID && p.gid == p.callerG {
		return privilege{}, nil
	}
	p.held = true
	os.Clearenv()
	return p, p.drop()
}

// with calls act with the privilege.
func (p privilege) with(act func() error) error {
	return p.between(p.regain, act, p.drop)
}

// without calls act without the privilege, within with.
func (p privilege) without(act func() error) error {
	return p.between(p.drop, act, p.regain)
}

// between calls before, act and after; after is called also if act fails or panics.
func (p privilege) between(before, act, after func() error) (err error) {
	if !p.held {
		return act()
	}
	if err := before(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, after()) }()
	return act()
}

// drop sets the effective ids of the caller, on all threads.
func (p privilege) drop() error {
	if err := setEffective(p.callerUID, p.callerG); err != nil {
		return fmt.Errorf("give up the group: %w", err)
	}
	return nil
}

// regain sets the effective ids of the command.
func (p privilege) regain() error {
	if err := setEffective(p.uid, p.gid); err != nil {
		return fmt.Errorf("take the group back: %w", err)
	}
	return nil
}
