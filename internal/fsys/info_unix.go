//go:build unix

package fsys

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SameFile is os.SameFile for what an FS returns.
func SameFile(a, b fs.FileInfo) bool {
	na, okA := NodeOf(a)
	nb, okB := NodeOf(b)
	return okA && okB && na.Dev == nb.Dev && na.Ino == nb.Ino
}

// info is what a tree knows of a file. Several are made for each message: an info has half the size of one with the
// structure of the system.
type info struct {
	name string
	time time.Time
	size int64
	bits uint32 // mode, as the system writes it
	node Node
}

// Node is the identity of a file.
type Node struct {
	Dev, Ino, Links uint64
	UID, GID        uint32
}

func newInfo(name string, st *unix.Stat_t) *info {
	return &info{
		name: name, time: time.Unix(st.Mtim.Unix()), size: st.Size, bits: uint32(st.Mode),
		node: Node{Dev: uint64(st.Dev), Ino: uint64(st.Ino), Links: uint64(st.Nlink), UID: st.Uid, GID: st.Gid},
	}
}

// NodeOf returns the identity of the file that fi, a result of an FS or of package os, describes. It returns false if
// fi has none.
func NodeOf(fi fs.FileInfo) (Node, bool) {
	if i, ok := fi.(*info); ok {
		return i.node, true
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return Node{}, false
	}
	return Node{uint64(st.Dev), uint64(st.Ino), uint64(st.Nlink), st.Uid, st.Gid}, true
}

func (i *info) Name() string       { return i.name }
func (i *info) Size() int64        { return i.size }
func (i *info) Mode() fs.FileMode  { return fileMode(i.bits) }
func (i *info) ModTime() time.Time { return i.time }
func (i *info) IsDir() bool        { return i.Mode().IsDir() }

// Sys returns a *syscall.Stat_t with device, inode, links, owner and size.
func (i *info) Sys() any {
	st := &syscall.Stat_t{Uid: i.node.UID, Gid: i.node.GID, Size: i.size}
	st.Mode, st.Nlink = as(st.Mode, uint64(i.bits)), as(st.Nlink, i.node.Links)
	st.Dev, st.Ino = as(st.Dev, i.node.Dev), as(st.Ino, i.node.Ino)
	return st
}

// as returns n in the type of a field: the types differ between systems.
func as[T int32 | uint16 | uint32 | uint64](_ T, n uint64) T { return T(n) }

// special are the bits of a mode beside the permission bits.
var special = []struct {
	bits uint32
	mode fs.FileMode
}{{unix.S_ISUID, os.ModeSetuid}, {unix.S_ISGID, os.ModeSetgid}, {unix.S_ISVTX, os.ModeSticky}}

// modeBits returns mode as the system writes it.
func modeBits(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for _, s := range special {
		if mode&s.mode != 0 {
			bits |= s.bits
		}
	}
	return bits
}

// fileMode is the inverse of modeBits, with the kind of the file.
func fileMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for _, s := range special {
		if bits&s.bits != 0 {
			mode |= s.mode
		}
	}
	switch bits & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}
