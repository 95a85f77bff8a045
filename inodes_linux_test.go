package spoolgore

import (
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// byPath is a file system with inode numbers that depend on the path, as on some network and FUSE file systems. A
// rename changes the inode number of a file.
type byPath struct{ fsys.FS }

// byPathInfo is a fs.FileInfo with such an inode number.
type byPathInfo struct {
	fs.FileInfo
	stat syscall.Stat_t
}

func (i *byPathInfo) Sys() any { return &i.stat }

func byPathInfoOf(fi fs.FileInfo, path string) fs.FileInfo {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || fi.IsDir() {
		return fi
	}
	h := fnv.New64a()
	h.Write([]byte(path))
	i := &byPathInfo{fi, *st}
	i.stat.Ino = h.Sum64()>>1 | 1
	return i
}

func (f byPath) Lstat(path string) (fs.FileInfo, error) {
	fi, err := f.FS.Lstat(path)
	if err != nil {
		return nil, err
	}
	return byPathInfoOf(fi, path), nil
}

func (f byPath) Stat(path string) (fs.FileInfo, error) {
	fi, err := f.FS.Stat(path)
	if err != nil {
		return nil, err
	}
	return byPathInfoOf(fi, path), nil
}

func (f byPath) OpenFile(path string, flag int, perm fs.FileMode) (fsys.File, error) {
	file, err := f.FS.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return byPathFile{file, path}, nil
}

type byPathFile struct {
	fsys.File
	path string
}

func (f byPathFile) Stat() (fs.FileInfo, error) {
	fi, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return byPathInfoOf(fi, f.path), nil
}

// On a file system with inode numbers by path, mail is sent once and removed, also if it is held, released or renamed
// meanwhile. Refused mail goes to failed/ with a report. The log says that inode numbers depend on the path.
func TestInodeNumbersByPath(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, log := t.TempDir(), &lines{}
		relay := &ledger{answer: func(_, to string, n int) error {
			switch {
			case to == "b@x.org":
				return refused()
			case to == "d@x.org" && n == 1:
				return errLater
			}
			return nil
		}}
		s := New(dir, telling(Options{
			Transport: relay, Freq: time.Second, Logger: slog.New(slog.NewTextHandler(log, nil)),
		}))
		s.noSettle, s.opts.Watch = true, WatchOff
		var err error
		s.dir, err = spooldir.NewOn(dir, byPath{fsys.System()})
		is.NoErr(err)
		drop(t, dir, "m", named)
		for _, name := range []string{"good", "held", "renamed"} {
			drop(t, dir, name, "Message-ID: <"+name+"@x>\nFrom: s@x.org\nTo: c@x.org, d@x.org\n\nhello\n")
		}
		stop := launch(t, s)
		pass(20 * time.Second)
		is.NoErr(s.Hold("held"))
		check(t, os.Rename(filepath.Join(dir, "renamed"), filepath.Join(dir, "again")))
		pass(20 * time.Second)
		is.NoErr(s.Release("held"))
		pass(10 * time.Minute)
		stop()
		is.Equal(relay.tries("m", "a@x.org"), 1)
		is.Equal(relay.tries("m", "b@x.org"), 1)
		is.Equal(relay.accepted("", "c@x.org"), 3)
		is.Equal(relay.accepted("", "d@x.org"), 3)
		is.Equal(relay.accepted("", "s@x.org"), 1) // one report
		is.True(!exists(dir, "m") && !exists(dir, "good") && !exists(dir, "held") && !exists(dir, "again"))
		is.True(exists(dir, "failed", "m") && exists(dir, "failed", "m.json"))
		is.Equal(strings.Count(log.String(), "file system changes inode numbers"), 1)
	})
}
