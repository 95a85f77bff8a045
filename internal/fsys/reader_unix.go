//go:build unix

package fsys

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A reader is a file that was opened for reading only. A message file is opened, read at once and closed: *os.File
// makes two more system calls to find out that a regular file cannot be polled. The first call of another method than
// ReadAt, Stat, SyscallConn, Name and Close makes an *os.File of the descriptor, which serves all later calls.
type reader struct {
	path string

	mu   sync.Mutex
	fd   int      // -1: closed, or owned by file
	file *os.File // nil: not needed so far
}

func newReader(fd int, path string) *reader { return &reader{path: path, fd: fd} }

// do calls act with the descriptor, which stays open meanwhile. Its error is a *fs.PathError.
func (r *reader) do(op string, act func(fd int) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := error(os.ErrClosed)
	if r.fd >= 0 {
		err = retry(func() error { return act(r.fd) })
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: r.path, Err: err}
	}
	return nil
}

// own returns the *os.File of the descriptor.
func (r *reader) own() *os.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil && r.fd >= 0 {
		r.file, r.fd = os.NewFile(uintptr(r.fd), r.path), -1
	}
	return r.file
}

// owned returns the *os.File if there is one, or nil.
func (r *reader) owned() *os.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file
}

func (r *reader) Name() string { return r.path }

func (r *reader) Close() error {
	if f := r.owned(); f != nil {
		return f.Close()
	}
	return r.do("close", func(fd int) error {
		r.fd = -1
		if err := unix.Close(fd); err != unix.EINTR { // Linux closes the descriptor in any case
			return err
		}
		return nil
	})
}

func (r *reader) ReadAt(p []byte, off int64) (n int, err error) {
	if f := r.owned(); f != nil {
		return f.ReadAt(p, off)
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "readat", Path: r.path, Err: os.ErrInvalid}
	}
	for n < len(p) && err == nil {
		err = r.do("read", func(fd int) error {
			m, err := unix.Pread(fd, p[n:], off+int64(n))
			if n += max(m, 0); m == 0 && err == nil {
				return io.EOF
			}
			return err
		})
	}
	if end, ok := err.(*fs.PathError); ok && end.Err == io.EOF {
		return n, io.EOF
	}
	return n, err
}

func (r *reader) Stat() (fs.FileInfo, error) {
	if f := r.owned(); f != nil {
		return f.Stat()
	}
	st := new(unix.Stat_t)
	if err := r.do("stat", func(fd int) error { return unix.Fstat(fd, st) }); err != nil {
		return nil, err
	}
	return newInfo(filepath.Base(r.path), st), nil
}

// SyscallConn returns the connection for Control. Read and Write of the connection fail.
func (r *reader) SyscallConn() (syscall.RawConn, error) {
	if f := r.owned(); f != nil {
		return f.SyscallConn()
	}
	return (*rawReader)(r), nil
}

// rawReader is the raw connection of a reader.
type rawReader reader

// Control calls f with the descriptor.
func (r *rawReader) Control(f func(fd uintptr)) error {
	if file := (*reader)(r).owned(); file != nil {
		raw, err := file.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(f)
	}
	return (*reader)(r).do("control", func(fd int) error {
		f(uintptr(fd))
		return nil
	})
}

// Read is not supported: a regular file is never waited for.
func (r *rawReader) Read(func(uintptr) bool) error { return os.ErrInvalid }

// Write is not supported.
func (r *rawReader) Write(func(uintptr) bool) error { return os.ErrInvalid }

func (r *reader) Read(p []byte) (int, error)                     { return r.own().Read(p) }
func (r *reader) Seek(offset int64, whence int) (int64, error)   { return r.own().Seek(offset, whence) }
func (r *reader) Write(p []byte) (int, error)                    { return r.own().Write(p) }
func (r *reader) WriteAt(p []byte, off int64) (int, error)       { return r.own().WriteAt(p, off) }
func (r *reader) Chmod(mode fs.FileMode) error                   { return r.own().Chmod(mode) }
func (r *reader) Truncate(size int64) error                      { return r.own().Truncate(size) }
func (r *reader) Sync() error                                    { return r.own().Sync() }
func (r *reader) ReadDir(n int) ([]fs.DirEntry, error)           { return r.own().ReadDir(n) }
func (r *reader) Readdirnames(n int) (names []string, err error) { return r.own().Readdirnames(n) }
