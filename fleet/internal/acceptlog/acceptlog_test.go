package acceptlog

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// end closes the file without recording a line, as a kill does.
func end(l *Log) { l.file.Close() }

func ids(lines []Line) (all []int64) {
	for _, x := range lines {
		all = append(all, x.ID)
	}
	slices.Sort(all)
	return all
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLinesOfAKilledWorkerAreRead(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	first, old, release, err := Open(dir)
	is.NoErr(err)
	is.Equal(len(old), 0)
	release(true)
	is.NoErr(first.Add(Line{ID: 1, UID: "x", To: []string{"b@example.org"}}))
	second, old, _, err := Open(dir)
	is.NoErr(err)
	is.Equal(len(old), 0) // the first worker still runs
	is.NoErr(second.Add(Line{ID: 2}))
	_, err = first.file.WriteString(`{"id": 3, "ui`) // a torn line
	is.NoErr(err)
	end(first)
	third, old, _, err := Open(dir)
	is.NoErr(err)
	is.Equal(old, []Line{{ID: 1, UID: "x", To: []string{"b@example.org"}}})
	end(third) // before any line is recorded
	end(second)
}

func TestLinesStayUntilTheyAreForgotten(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	first, _, _, err := Open(dir)
	is.NoErr(err)
	is.NoErr(first.Add(Line{ID: 1}))
	end(first)
	second, old, release, err := Open(dir)
	is.NoErr(err)
	is.Equal(ids(old), []int64{1})
	is.Equal(len(names(t, dir)), 2)
	release(true)
	is.Equal(len(names(t, dir)), 1) // the file of the second worker
	second.Close()
}

func TestAFileOfRecordedLinesIsRemoved(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	l, _, release, err := Open(dir)
	is.NoErr(err)
	release(true)
	is.NoErr(l.Add(Line{ID: 1}))
	l.Drop(1)
	l.Close()
	is.Equal(len(names(t, dir)), 0)
	is.True(l.Add(Line{ID: 2}) != nil) // closed
}

func TestTheFileStaysSmall(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	l, _, _, err := Open(dir)
	is.NoErr(err)
	long := []string{strings.Repeat("x", 1000)}
	is.NoErr(l.Add(Line{ID: 7, To: long}))
	for i := range int64(5000) {
		is.NoErr(l.Add(Line{ID: 100 + i, To: long}))
		l.Drop(100 + i)
	}
	all := names(t, dir)
	is.Equal(len(all), 1)
	info, err := os.Stat(all[0])
	is.NoErr(err)
	is.True(info.Size() <= rotateSize+2000)
	end(l)
	_, old, release, err := Open(dir)
	is.NoErr(err)
	is.True(slices.Contains(ids(old), 7)) // this line is still needed
	release(true)
	is.Equal(len(names(t, dir)), 1) // a new file
}

func TestALogThatIsNilKeepsNothing(t *testing.T) {
	is := is.New(t)
	var l *Log
	is.NoErr(l.Add(Line{ID: 1}))
	l.Drop(1)
	l.Close()
}

// A worker that could not record its lines leaves them to the next worker, also in the same process.
func TestLinesThatWereNotRecordedAreReadAgain(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	first, _, release, err := Open(dir)
	is.NoErr(err)
	release(true)
	is.NoErr(first.Add(Line{ID: 1}))
	end(first)
	for range 2 {
		l, old, release, err := Open(dir)
		is.NoErr(err)
		is.Equal(ids(old), []int64{1})
		release(false)
		l.Close()
	}
}

// A worker removes its file while another worker starts. The other worker reads no line of it.
func TestAFileWithoutANameIsNotRead(t *testing.T) {
	is := is.New(t)
	first, _, release, err := Open(t.TempDir())
	is.NoErr(err)
	release(true)
	is.NoErr(first.Add(Line{ID: 1}))
	other, err := os.Open(first.file.Name())
	is.NoErr(err)
	defer other.Close()
	first.Drop(1)
	first.Close()
	lines, there, err := linesOf(other)
	is.NoErr(err)
	is.True(!there)
	is.Equal(len(lines), 0)
}

// A line after a write that failed in the middle is read.
func TestALineAfterATornLineIsRead(t *testing.T) {
	is := is.New(t)
	r, w, err := os.Pipe() // a full pipe in place of a full disk
	is.NoErr(err)
	l := &Log{file: w, needed: make(map[int64][]byte)}
	failed := make(chan error)
	go func() { failed <- l.Add(Line{ID: 1, To: []string{strings.Repeat("x", 1<<20)}}) }()
	one := make([]byte, 1)
	_, err = r.Read(one) // a part of the line is written
	is.NoErr(err)
	is.NoErr(w.SetWriteDeadline(time.Now()))
	is.True(<-failed != nil)
	is.NoErr(w.SetWriteDeadline(time.Time{}))
	rest := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(r)
		rest <- text
	}()
	is.NoErr(l.Add(Line{ID: 2}))
	is.NoErr(l.Add(Line{ID: 3}))
	end(l)
	dir := t.TempDir()
	is.NoErr(os.WriteFile(filepath.Join(dir, "accepted-1"), append(one, <-rest...), 0o600))
	_, old, _, err := Open(dir)
	is.NoErr(err)
	is.Equal(ids(old), []int64{2, 3})
}

// If many lines are needed for long, they are not written again for each message.
func TestManyNeededLinesAreNotWrittenOften(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	l, _, release, err := Open(dir)
	is.NoErr(err)
	release(true)
	for i := range int64(3) {
		is.NoErr(l.Add(Line{ID: i, To: []string{strings.Repeat("x", rotateSize)}}))
	}
	l.Drop(100)
	file := names(t, dir)
	l.Drop(101)
	is.Equal(names(t, dir), file)
	end(l)
}
