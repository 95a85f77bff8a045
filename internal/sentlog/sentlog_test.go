package sentlog

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// newLog returns a log that fails the test if a write fails.
func newLog(t *testing.T, dir string, limit int) *Log {
	t.Helper()
	return New(fsys.System(), dir, limit, func(err error, _ bool) {
		if err != nil {
			t.Error(err)
		}
	})
}

// add adds entries for the recipients r0@x.org, r1@x.org, ...
func add(l *Log, from, to int) {
	for i := from; i < to; i++ {
		l.Add(Entry{Time: time.Now(), Outcome: Sent, File: "m", To: fmt.Sprintf("r%d@x.org", i)})
	}
}

// recipients returns the recipients of a log, oldest first.
func recipients(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := Read(dir, func(e *Entry) error {
		all = append(all, e.To)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEntriesAreWrittenSoonAndReadInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		is.Equal(len(recipients(t, dir)), 0) // without a log there are no entries
		l := newLog(t, dir, 10)
		add(l, 0, 3)
		time.Sleep(2 * writeDelay)
		// written before Close, as for kill -9
		is.Equal(recipients(t, dir), []string{"r0@x.org", "r1@x.org", "r2@x.org"})
		add(l, 3, 4)
		l.Close()
		is.Equal(recipients(t, dir)[3], "r3@x.org") // Close writes the other entries
		add(l, 4, 5)
		l.Close()
		is.Equal(len(recipients(t, dir)), 4) // an entry after Close is dropped
	})
}

func TestTheLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		for run := range 5 { // restarts do not change the bound
			l := newLog(t, dir, 10)
			add(l, run*7, run*7+7)
			l.Close()
		}
		all := recipients(t, dir)
		is.True(len(all) >= 10 && len(all) <= 20)
		is.Equal(all[len(all)-1], "r34@x.org")                  // the newest entry
		is.Equal(all[0], fmt.Sprintf("r%d@x.org", 35-len(all))) // and all entries since the oldest one
		l := newLog(t, dir, 10)
		add(l, 0, 95) // more than two files hold
		l.Close()
		all = recipients(t, dir)
		is.True(len(all) >= 10 && len(all) <= 20)
		is.Equal(all[len(all)-1], "r94@x.org")
	})
}

func TestLongTextsDoNotFillTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		l := newLog(t, dir, 10)
		long := strings.Repeat("\x01", 1<<20)
		for range 40 {
			l.Add(Entry{Outcome: Failed, File: long, MessageID: long, From: long, To: long, Reply: long, Error: long})
		}
		l.Close()
		size := int64(0)
		files, err := filepath.Glob(filepath.Join(dir, ".*"))
		is.NoErr(err)
		for _, file := range files {
			fi, err := os.Stat(file)
			is.NoErr(err)
			size += fi.Size()
		}
		is.True(size < 4*10*lineSize+4*7*6*maxText) // twice the bound, and one more line in each file
		is.True(len(recipients(t, dir)) > 0)
	})
}

func TestALineThatWasCutOffIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		l := newLog(t, dir, 10)
		add(l, 0, 2)
		l.Close()
		path := filepath.Join(dir, spooldir.SentFile)
		text, err := os.ReadFile(path)
		is.NoErr(err)
		is.NoErr(os.WriteFile(path, text[:len(text)-10], 0o600))
		l = newLog(t, dir, 10)
		add(l, 2, 3)
		l.Close()
		is.Equal(recipients(t, dir), []string{"r0@x.org", "r2@x.org"})
	})
}

// opens counts the opens of files of a spool.
type opens struct {
	fsys.FS
	n int
}

func (o *opens) OpenFile(path string, flag int, perm fs.FileMode) (fsys.File, error) {
	o.n++
	return o.FS.OpenFile(path, flag, perm)
}

// Otherwise each write would read the file, which may have megabytes, to count its lines.
func TestTheFileStaysOpenBetweenWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, err := spooldir.New(t.TempDir())
		is.NoErr(err)
		on := &opens{FS: dir.FS()} // a file system as in the daemon
		l := New(on, dir.Path(), 100, func(err error, _ bool) { is.NoErr(err) })
		for i := range 10 {
			add(l, i, i+1)
			time.Sleep(2 * writeDelay)
		}
		l.Close()
		is.Equal(len(recipients(t, dir.Path())), 10)
		is.Equal(on.n, 1) // by the first write
	})
}

func TestTheLogGoesOnWhenItsFileIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		l := newLog(t, dir, 10)
		add(l, 0, 1)
		time.Sleep(time.Second)
		is.NoErr(os.Remove(filepath.Join(dir, spooldir.SentFile)))
		add(l, 1, 2)
		l.Close()
		is.Equal(recipients(t, dir), []string{"r1@x.org"})
	})
}

func TestNoFilesWhenNothingIsKept(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	l := newLog(t, dir, 0)
	add(l, 0, 3)
	l.Close()
	files, err := os.ReadDir(dir)
	is.NoErr(err)
	is.Equal(len(files), 0)
}

func TestAFailingDiskIsReportedOnceAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		path := filepath.Join(dir, spooldir.SentFile)
		is.NoErr(os.Mkdir(path, 0o700)) // the file cannot be opened
		var mu sync.Mutex
		var all []string
		said := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}
		l := New(fsys.System(), dir, 10, func(err error, recovered bool) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, fmt.Sprint(err != nil, recovered))
		})
		add(l, 0, 2)
		time.Sleep(3 * retryDelay)
		add(l, 2, 3)
		time.Sleep(3 * retryDelay)
		is.Equal(said(), []string{"true false"}) // one report
		is.NoErr(os.Remove(path))
		time.Sleep(2 * retryDelay)
		is.Equal(said(), []string{"true false", "false true"})
		is.Equal(len(recipients(t, dir)), 3)
		is.NoErr(os.Remove(path))
		is.NoErr(os.Mkdir(path, 0o700))
		add(l, 3, 3+maxPending+50) // the memory is bounded
		l.Close()
		is.True(len(l.pending) <= maxPending)
	})
}

// An entry that JSON cannot hold is left out and reported. The others of the write are kept.
func TestAnEntryThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, reports := t.TempDir(), 0
		l := New(fsys.System(), dir, 10, func(error, bool) { reports++ })
		add(l, 0, 2)
		l.Add(Entry{Time: time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC), Outcome: Sent, File: "m", To: "bad@x.org"})
		add(l, 2, 4)
		l.Close()
		is.Equal(recipients(t, dir), []string{"r0@x.org", "r1@x.org", "r2@x.org", "r3@x.org"})
		is.Equal(reports, 1)
	})
}

func TestIsAbout(t *testing.T) {
	e := Entry{File: "f.eml", MessageID: "<1.2@x.org>", From: "ann@x.org", To: "Bob@Y.org"}
	for query, want := range map[string]bool{
		"f.eml": true, "<1.2@x.org>": true, "1.2@X.ORG": true, "ann@x.org": true, "bob@y.org": true, "<bob@y.org>": true,
		"bob": false, "": false, "<>": false, "y.org": false, "f": false,
	} {
		if e.IsAbout(query) != want {
			t.Errorf("%q: %v", query, !want)
		}
	}
	short := Entry{MessageID: "1@x", From: "", To: "b…@y.org"}
	if !short.IsAbout("bob@y.org") || short.IsAbout("ann@y.org") || !short.IsAbout("<>") {
		t.Error("a shortened address stands for every address that it may be")
	}
}
