package daemonstate

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestReadGivesWhatWasWritten(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	_, ok, err := Read(dir)
	is.NoErr(err)
	is.True(!ok) // no file yet

	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	want := State{
		PID: 7, Version: "v1", Started: at, Written: at.Add(time.Hour), Sent: 3, PerMinute: 1.5,
		Relays: []Relay{{Name: "mail.example.com:25", Limit: 2}, {Name: "b:25", Trouble: "dial: refused", Since: at, RestsUntil: at}},
	}
	var b bytes.Buffer
	is.NoErr(Write(&b, want))
	is.NoErr(os.WriteFile(filepath.Join(dir, Name), b.Bytes(), 0o600))
	is.NoErr(os.Chtimes(filepath.Join(dir, Name), at, at)) // the modification time of the file is older
	got, ok, err := Read(dir)
	is.NoErr(err)
	is.True(ok)
	is.Equal(got, want)

	later := at.Add(2 * time.Hour)
	is.NoErr(os.Chtimes(filepath.Join(dir, Name), later, later))
	got, _, err = Read(dir)
	is.NoErr(err)
	is.True(got.Written.Equal(later)) // the later modification time counts
}

func TestReadSaysThatAFileIsBroken(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	is.NoErr(os.WriteFile(filepath.Join(dir, Name), []byte(`{"PID": `), 0o600))
	_, ok, err := Read(dir)
	is.True(err != nil)
	is.True(!ok)
}
