package credential

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// source returns a Source and its log.
func source() (Source, *bytes.Buffer) {
	var log bytes.Buffer
	return Source{Name: "-smtppasswordcmd", Log: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

// write makes a file in the test's directory.
func write(t *testing.T, name, text string, mode fs.FileMode) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestFixed(t *testing.T) {
	is := is.New(t)
	for _, again := range []bool{false, true} {
		got, err := Fixed("deimos")(t.Context(), again)
		is.NoErr(err)
		is.Equal(got, "deimos") // also after a refusal
	}
}

func TestFile(t *testing.T) {
	for name, c := range map[string]struct{ text, want, wrong string }{
		"without end of line": {"se cret", "se cret", ""},
		"LF":                  {"se cret\n", "se cret", ""},
		"CRLF":                {"se cret\r\n", "se cret", ""},
		"blank line behind":   {"se cret\n\n", "se cret", ""},
		"spaces are kept":     {"  se cret \n", "  se cret ", ""},
		"UTF-8":               {"pässwörd\n", "pässwörd", ""},
		"longest":             {strings.Repeat("s", maxSize), strings.Repeat("s", maxSize), ""},
		"empty":               {"", "", "is empty"},
		"only an end of line": {"\n", "", "is empty"},
		"two lines":           {"se cret\nuser\n", "", "holds more than one line"},
		"NUL":                 {"se\x00cret\n", "", "holds a NUL byte"},
		"too long":            {strings.Repeat("s", maxSize+1), "", "holds more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			s, log := source()
			path := write(t, "password", c.text, 0o600)
			got, err := s.File(path)(t.Context(), false)
			is.Equal(got, c.want)  // the secret
			is.Equal(log.Len(), 0) // no warning
			if c.wrong == "" {
				is.NoErr(err)
				return
			}
			is.True(err != nil)                              // refused
			is.True(strings.Contains(err.Error(), path))     // the error names the file
			is.True(strings.HasSuffix(err.Error(), c.wrong)) // and the failure
			is.True(!strings.Contains(err.Error(), "cret"))  // but not the content
		})
	}
}

func TestFileIsReadEachTime(t *testing.T) {
	is := is.New(t)
	s, _ := source()
	path := write(t, "password", "old\n", 0o600)
	give := s.File(path)
	for _, text := range []string{"old", "new"} {
		is.NoErr(os.WriteFile(path, []byte(text+"\n"), 0o600))
		got, err := give(t.Context(), false)
		is.NoErr(err)
		is.Equal(got, text) // the present content
	}
	is.NoErr(os.Remove(path))
	_, err := give(t.Context(), false)
	is.True(errors.Is(err, fs.ErrNotExist))      // the old secret is not cached
	is.True(strings.Contains(err.Error(), path)) // the error names the file
}

func TestDirectoryIsNoSecretFile(t *testing.T) {
	is := is.New(t)
	s, _ := source()
	dir := t.TempDir()
	_, err := s.File(dir)(t.Context(), false)
	is.True(err != nil && strings.Contains(err.Error(), dir+" is not a regular file")) // a directory is no file
}

func TestExposedFileIsWarnedOfOnce(t *testing.T) {
	for mode, warned := range map[fs.FileMode]int{0o600: 0, 0o640: 0, 0o644: 1, 0o604: 1} {
		t.Run(mode.String(), func(t *testing.T) {
			is := is.New(t)
			s, log := source()
			path := write(t, "password", "deimos\n", mode)
			give := s.File(path)
			for range 3 {
				_, err := give(t.Context(), false)
				is.NoErr(err) // the secret is used
			}
			is.Equal(strings.Count(log.String(), "can be read by every user"), warned) // warnings
			is.Equal(strings.Count(log.String(), path), warned)                        // that name the file
			is.True(!strings.Contains(log.String(), "deimos"))                         // without the secret
		})
	}
}

func TestCommandInAnEndedContext(t *testing.T) {
	is := is.New(t)
	s, _ := source()
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("enough"))
	_, err := s.Command("echo deimos")(ctx, false)
	is.True(err != nil && strings.Contains(err.Error(), "enough")) // an ended context ends the wait
}
