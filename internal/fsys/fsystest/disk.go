//go:build linux

// Package fsystest has file systems for tests of a spool: a recorder of every change in a directory, the possible
// states after a power cut, and failing calls.
package fsystest

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

// The kinds of operations: values of Op.Kind and arguments of a Fail function.
const (
	Create   = "create"
	Open     = "open" // also for a directory
	Read     = "read"
	List     = "list" // of a directory
	Stat     = "stat"
	Write    = "write"
	Truncate = "truncate"
	Sync     = "sync"
	SyncDir  = "syncdir"
	SyncAll  = "syncall" // of the whole file system
	Rename   = "rename"
	Link     = "link"
	Remove   = "remove"
	Mkdir    = "mkdir"
	Times    = "times"
	Mark     = "mark" // an event of the test instead of an operation; Path and To hold the test's own words
)

// An Op is one recorded operation. Paths are relative to the directory; the directory itself is ".".
type Op struct {
	Kind     string
	Path, To string
	Ino      uint64 // inode number of the file; numbers begin at 1000 in each recording
	Data     []byte // of a write
	Off      int64  // of a write; the new size of a truncate
	Time     time.Time
}

// String returns one line for people.
func (o Op) String() string {
	s := fmt.Sprintf("%s %-8s %s", o.Time.Format("15:04:05.000000"), o.Kind, o.Path)
	if o.To != "" {
		s += " -> " + o.To
	}
	if o.Ino != 0 {
		s += fmt.Sprintf(" (%d)", o.Ino)
	}
	if o.Kind == Write || o.Kind == Truncate {
		s += fmt.Sprintf(" %d+%d", o.Off, len(o.Data))
	}
	return s
}

// A Disk is a real directory on which every change is recorded, in order. A Disk has its own inode numbers. Times of
// files are those of time.Now: the clock of a synctest bubble. Several goroutines may call the methods at the same
// time.
type Disk struct {
	*core
	// Fail is called before each operation. An error of Fail is the result of the operation. Nil: no operation fails.
	// Set Fail before use.
	Fail func(kind, path string) error
}

type core struct {
	root string
	sys  fsys.FS

	mu      sync.Mutex
	ops     []Op
	numbers map[uint64]uint64 // number of the system: number here
	next    uint64
	changed map[string]time.Time // directories
	temp    int
}

// New returns the directory root with an empty recording.
func New(root string) *Disk {
	return &Disk{core: &core{
		root: root, sys: fsys.System(), next: 1000,
		numbers: make(map[uint64]uint64), changed: make(map[string]time.Time),
	}}
}

// Hands returns the same directory for acts of the test itself: recorded, but never failing.
func (d *Disk) Hands() *Disk { return &Disk{core: d.core} }

// Path returns the real path of name.
func (d *Disk) Path(name string) string { return filepath.Join(d.root, name) }

// Ops returns the operations recorded so far.
func (c *core) Ops() []Op {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ops[:len(c.ops):len(c.ops)]
}

// Mark records an event of the test.
func (c *core) Mark(event, about string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record(Op{Kind: Mark, Path: event, To: about})
}

func (c *core) record(o Op) {
	o.Time = now()
	c.ops = append(c.ops, o)
	for _, path := range []string{o.Path, o.To} {
		switch o.Kind {
		case Create, Rename, Link, Remove, Mkdir:
			c.changed[filepath.Dir(path)] = o.Time
		}
	}
}

func now() time.Time { return time.Now().Truncate(time.Microsecond).Round(0) }

func (c *core) rel(path string) string {
	rel, err := filepath.Rel(c.root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		panic("path outside of the disk: " + path)
	}
	return rel
}

// number sets the inode number of fi, which must be of package os, to the number of this disk. The caller holds c.mu.
func (c *core) number(fi fs.FileInfo) fs.FileInfo {
	st := fi.Sys().(*syscall.Stat_t)
	n, ok := c.numbers[st.Ino]
	if !ok {
		n = c.fresh(st.Ino)
	}
	st.Ino = n
	return fi
}

func (c *core) fresh(real uint64) uint64 {
	c.next++
	c.numbers[real] = c.next
	return c.next
}

func inoOf(fi fs.FileInfo) uint64 { return fi.Sys().(*syscall.Stat_t).Ino }

// ask calls Fail.
func (d *Disk) ask(kind, path string) error {
	if d.Fail == nil {
		return nil
	}
	if err := d.Fail(kind, d.rel(path)); err != nil {
		return &fs.PathError{Op: kind, Path: path, Err: err}
	}
	return nil
}

// change makes the change act and records o with the inode number of the file at path.
func (d *Disk) change(o Op, act func() error) error {
	if err := d.ask(o.Kind, d.Path(o.Path)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if fi, err := os.Lstat(d.Path(o.Path)); err == nil {
		o.Ino = inoOf(d.number(fi))
	}
	if err := act(); err != nil {
		return err
	}
	d.record(o)
	return nil
}

func (d *Disk) look(path string, look func(string) (fs.FileInfo, error)) (fs.FileInfo, error) {
	if err := d.ask(Stat, path); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fi, err := look(path)
	if err != nil {
		return nil, err
	}
	return d.number(fi), nil
}

// Stat implements fsys.FS, as all methods below do.
func (d *Disk) Stat(path string) (fs.FileInfo, error) { return d.look(path, os.Stat) }

// Lstat is os.Lstat.
func (d *Disk) Lstat(path string) (fs.FileInfo, error) { return d.look(path, os.Lstat) }

// Stamp returns the time of the last recorded change.
func (d *Disk) Stamp(path string) (fsys.Stamp, error) {
	if err := d.ask(Stat, path); err != nil {
		return fsys.Stamp{}, err
	}
	st, err := d.sys.Stamp(path)
	d.mu.Lock()
	defer d.mu.Unlock()
	st.MTime = d.changed[d.rel(path)]
	st.CTime = st.MTime
	return st, err
}

// Mkdir is os.Mkdir.
func (d *Disk) Mkdir(path string, perm fs.FileMode) error {
	return d.change(Op{Kind: Mkdir, Path: d.rel(path)}, func() error { return d.sys.Mkdir(path, perm) })
}

// Chmod is os.Chmod. It is not recorded.
func (d *Disk) Chmod(path string, mode fs.FileMode) error { return d.sys.Chmod(path, mode) }

// Touch sets the times to those of time.Now.
func (d *Disk) Touch(path string) error {
	return d.change(Op{Kind: Times, Path: d.rel(path)}, func() error { return os.Chtimes(path, now(), now()) })
}

// Link is os.Link.
func (d *Disk) Link(from, to string) error {
	return d.change(Op{Kind: Link, Path: d.rel(from), To: d.rel(to)}, func() error { return d.sys.Link(from, to) })
}

// Rename is os.Rename.
func (d *Disk) Rename(from, to string) error {
	return d.change(Op{Kind: Rename, Path: d.rel(from), To: d.rel(to)}, func() error { return d.sys.Rename(from, to) })
}

// RenameNew never replaces a file.
func (d *Disk) RenameNew(from, to string) error {
	o := Op{Kind: Rename, Path: d.rel(from), To: d.rel(to)}
	return d.change(o, func() error { return d.sys.RenameNew(from, to) })
}

// Remove is os.Remove.
func (d *Disk) Remove(path string) error {
	return d.change(Op{Kind: Remove, Path: d.rel(path)}, func() error { return d.sys.Remove(path) })
}

// SyncDir is only recorded: Cut decides about the effect.
func (d *Disk) SyncDir(path string) error {
	return d.change(Op{Kind: SyncDir, Path: d.rel(path)}, func() error { _, err := os.Lstat(path); return err })
}

// SyncAll is only recorded, as SyncDir is.
func (d *Disk) SyncAll(path string) error {
	return d.change(Op{Kind: SyncAll, Path: d.rel(path)}, func() error { _, err := os.Lstat(path); return err })
}

// Replace builds a file beside path, as renameio does.
func (d *Disk) Replace(path string, _ fs.FileMode, write func(io.Writer) error) error {
	d.mu.Lock()
	d.temp++
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s%d", filepath.Base(path), d.temp))
	d.mu.Unlock()
	f, err := d.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	f.Close()
	if err == nil {
		err = d.Rename(temp, path)
	}
	if err != nil {
		_ = d.Remove(temp)
	}
	return err
}

// OpenFile is os.OpenFile.
func (d *Disk) OpenFile(path string, flag int, perm fs.FileMode) (fsys.File, error) {
	d.mu.Lock()
	_, err := os.Lstat(path)
	d.mu.Unlock()
	kind := Open
	if err != nil && flag&os.O_CREATE != 0 {
		kind = Create
	}
	if err := d.ask(kind, path); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err = os.Lstat(path)
	f, openErr := d.sys.OpenFile(path, flag, perm)
	if openErr != nil {
		return nil, openErr
	}
	fi, statErr := f.Stat()
	if statErr != nil {
		return nil, statErr
	}
	file := &file{File: f, disk: d, path: path}
	if err != nil && flag&os.O_CREATE != 0 {
		file.ino = d.fresh(inoOf(fi))
		d.record(Op{Kind: Create, Path: d.rel(path), Ino: file.ino})
		file.date()
	} else {
		file.ino = inoOf(d.number(fi))
	}
	return file, nil
}
