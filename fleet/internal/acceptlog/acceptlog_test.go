package acceptlog

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// end ends a worker without recording anything, as a kill does.
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
	first, old, forget, err := Open(dir)
	is.NoErr(err)
	is.Equal(len(old), 0)
	forget()
	is.NoErr(first.Add(Line{ID: 1, UID: "x", To: []string{"b@example.org"}}))
	second, old, _, err := Open(dir)
	is.NoErr(err)
	is.Equal(len(old), 0) // the first worker runs
	is.NoErr(second.Add(Line{ID: 2}))
	_, err = first.file.WriteString(`{"id": 3, "ui`) // a torn line
	is.NoErr(err)
	end(first)
	third, old, _, err := Open(dir)
	is.NoErr(err)
	is.Equal(old, []Line{{ID: 1, UID: "x", To: []string{"b@example.org"}}})
	end(third) // before it has recorded anything
	end(second)
}

func TestLinesStayUntilTheyAreForgotten(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	first, _, _, err := Open(dir)
	is.NoErr(err)
	is.NoErr(first.Add(Line{ID: 1}))
	end(first)
	second, old, forget, err := Open(dir)
	is.NoErr(err)
	is.Equal(ids(old), []int64{1})
	is.Equal(len(names(t, dir)), 2)
	forget()
	is.Equal(len(names(t, dir)), 1) // that of the second worker
	second.Close()
}

func TestAFileOfRecordedLinesIsRemoved(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	l, _, forget, err := Open(dir)
	is.NoErr(err)
	forget()
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
	_, old, forget, err := Open(dir)
	is.NoErr(err)
	is.True(slices.Contains(ids(old), 7)) // still needed
	forget()
	is.Equal(len(names(t, dir)), 1) // the new one
}

func TestALogThatIsNilKeepsNothing(t *testing.T) {
	is := is.New(t)
	var l *Log
	is.NoErr(l.Add(Line{ID: 1}))
	l.Drop(1)
	l.Close()
}
