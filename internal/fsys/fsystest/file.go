//go:build linux

package fsystest

import (
	"io/fs"
	"syscall"

	"github.com/unbit/spoolgore/internal/fsys"
)

// file is an open file on a Disk.
type file struct {
	fsys.File
	disk *Disk
	path string
	ino  uint64
	off  int64 // offset of the next Write; files are written from their beginning
}

// date sets the modification time.
func (f *file) date() {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	at := syscall.NsecToTimeval(now().UnixNano())
	_ = raw.Control(func(fd uintptr) { _ = syscall.Futimes(int(fd), []syscall.Timeval{at, at}) })
}

func (f *file) write(p []byte, off int64) (int, error) {
	failed := f.disk.ask(Write, f.path)
	if failed != nil {
		p = p[:len(p)/2] // half of the data is written
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, err := f.File.WriteAt(p, off)
	if n > 0 {
		f.date()
		data := append([]byte(nil), p[:n]...)
		f.disk.record(Op{Kind: Write, Path: f.disk.rel(f.path), Ino: f.ino, Off: off, Data: data})
	}
	if failed != nil {
		err = failed
	}
	return n, err
}

// Write appends to the data of the earlier calls.
func (f *file) Write(p []byte) (int, error) {
	n, err := f.write(p, f.off)
	f.off += int64(n)
	return n, err
}

// WriteAt is that of *os.File.
func (f *file) WriteAt(p []byte, off int64) (int, error) { return f.write(p, off) }

// Truncate is that of *os.File.
func (f *file) Truncate(size int64) error {
	if err := f.disk.ask(Truncate, f.path); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	f.date()
	f.disk.record(Op{Kind: Truncate, Path: f.disk.rel(f.path), Ino: f.ino, Off: size})
	return nil
}

// Sync is only recorded: Cut decides about the effect.
func (f *file) Sync() error {
	if err := f.disk.ask(Sync, f.path); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.record(Op{Kind: Sync, Path: f.disk.rel(f.path), Ino: f.ino})
	return nil
}

// Stat returns the inode number of this disk.
func (f *file) Stat() (fs.FileInfo, error) {
	if err := f.disk.ask(Stat, f.path); err != nil {
		return nil, err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	fi, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return f.disk.number(fi), nil
}

// Read is that of *os.File.
func (f *file) Read(p []byte) (int, error) {
	if err := f.disk.ask(Read, f.path); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

// ReadAt is that of *os.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.disk.ask(Read, f.path); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// ReadDir is that of *os.File.
func (f *file) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := f.disk.ask(List, f.path); err != nil {
		return nil, err
	}
	entries, err := f.File.ReadDir(n)
	for i, e := range entries {
		entries[i] = entry{e, f.disk}
	}
	return entries, err
}

// Readdirnames is that of *os.File.
func (f *file) Readdirnames(n int) ([]string, error) {
	if err := f.disk.ask(List, f.path); err != nil {
		return nil, err
	}
	return f.File.Readdirnames(n)
}

type entry struct {
	fs.DirEntry
	disk *Disk
}

// Info returns the inode number of this disk.
func (e entry) Info() (fs.FileInfo, error) {
	fi, err := e.DirEntry.Info()
	if err != nil {
		return nil, err
	}
	e.disk.mu.Lock()
	defer e.disk.mu.Unlock()
	return e.disk.number(fi), nil
}
