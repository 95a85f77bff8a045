package spooltest

import (
	"strings"
	"sync"
	"syscall"
)

// Disk makes calls on the files of a spool fail. The zero value is a disk in order.
type Disk struct {
	mu    sync.Mutex
	rules []rule
}

type rule struct {
	op, part string
	err      error
}

// Fail makes calls fail with err from now on: those of op (see spoolgore.Options.FailDisk; empty: all) on a path with
// the part in it (empty: all).
func (d *Disk) Fail(op, part string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = append(d.rules, rule{op, part, err})
}

// Full makes the disk full: no file can be created or written to.
func (d *Disk) Full() {
	for _, op := range []string{"create", "write", "mkdir"} {
		d.Fail(op, "", syscall.ENOSPC)
	}
}

// Repair ends all failures.
func (d *Disk) Repair() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = nil
}

// fail implements spoolgore.Options.FailDisk.
func (d *Disk) fail(op, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rules {
		if (r.op == "" || r.op == op) && strings.Contains(path, r.part) {
			return r.err
		}
	}
	return nil
}
