// Package credential gives passwords and access tokens from where they are kept: a file, a command, or memory. None of
// its errors and log lines holds a secret, or the text of a command, which may hold one too.
package credential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// maxSize is how long a secret may be, in bytes. Access tokens have been seen with more than 4,000.
const maxSize = 64 << 10

// Func gives a secret, to any number of goroutines. With again the last one that it gave was refused.
type Func func(ctx context.Context, again bool) (string, error)

// Source makes a Func for each kind of place.
type Source struct {
	Name string       // of the setting, for errors and the log, such as "-smtppasswordcmd"
	Log  *slog.Logger // required

	limit time.Duration // for a command; zero: commandLimit
}

// Fixed returns a Func that always gives text.
func Fixed(text string) Func {
	return func(context.Context, bool) (string, error) { return text, nil }
}

// File returns a Func that gives what the file holds, without the end of its line. It reads the file each time, so that
// a secret can be replaced while the daemon runs. The log has a warning, once, if every user of the host may read it.
// Its errors name the file: it cannot be read, is no regular file, is empty, or holds more than a line.
func (s Source) File(path string) Func {
	var once sync.Once
	return func(context.Context, bool) (string, error) {
		text, info, err := readFile(path)
		if err != nil {
			return "", err
		}
		if Exposed(info) {
			once.Do(func() {
				s.Log.Warn("password file can be read by every user of this host", "file", path, "mode", info.Mode().String())
			})
		}
		text = strings.TrimRight(text, "\r\n")
		if err := check(text); err != nil {
			return "", fmt.Errorf("password file %s %w", path, err)
		}
		return text, nil
	}
}

// readFile reads a regular file; opening anything else might take for ever.
func readFile(path string) (text string, info fs.FileInfo, err error) {
	if info, err = os.Stat(path); err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("password file %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	return string(content), info, err
}

// check says what is wrong with a secret, as the end of a sentence. No mechanism takes a password with a line end in it
// (RFC 4616, section 2; RFC 8265, section 4.2.1): it would be refused, and nobody would know why.
func check(text string) error {
	switch {
	case text == "":
		return errors.New("is empty")
	case len(text) > maxSize:
		return fmt.Errorf("holds more than %d bytes", maxSize)
	case strings.ContainsAny(text, "\r\n"):
		return errors.New("holds more than one line")
	case strings.ContainsRune(text, 0):
		return errors.New("holds a NUL byte")
	}
	return nil
}

// Exposed reports whether every user of the host may read a file. On Windows, whose rights are others, it is false.
func Exposed(info fs.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
}
