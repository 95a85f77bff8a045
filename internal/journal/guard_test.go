package journal

import (
	"path/filepath"
	"testing"
	"time"

	"os"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

func TestJournalOfAnotherDirectoryIsNotChanged(t *testing.T) {
	is := is.New(t)
	dir := filepath.Join(t.TempDir(), "spool")
	check(t, os.Mkdir(dir, 0o700))
	check(t, os.Mkdir(dir+".other", 0o700))
	other := New(filepath.Join(dir+".other", "journal"))
	other.Append([]byte("what the other one must not forget"), time.Now())
	other.Sync(time.Now())
	other.Close()
	want, err := os.ReadFile(filepath.Join(dir+".other", "journal"))
	check(t, err)
	f, away := New(filepath.Join(dir, "journal")), error(nil)
	f.Guard(func() error { return away })
	f.Append([]byte("a"), time.Now())
	f.Sync(time.Now())
	check(t, os.Rename(dir, dir+".away"))
	check(t, os.Rename(dir+".other", dir))
	away = spooldir.ErrReplaced
	at := f.Append([]byte("b"), time.Now())
	f.Cut(at - 1)
	f.Sync(time.Now())
	text, err := os.ReadFile(filepath.Join(dir, "journal"))
	check(t, err)
	is.Equal(string(text), string(want))
	is.True(f.Safe() < at)
}
