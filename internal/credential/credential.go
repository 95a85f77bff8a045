// Package credential reads passwords and access tokens from a file, a command or memory. No error and no log line
// contains a secret or the text of a command, which may contain a secret too.
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
	"syscall"
	"time"
)

// maxSize is the maximum length of a secret in bytes. Some access tokens have more than 4,000 bytes.
const maxSize = 64 << 10

// A Func returns a secret. Several goroutines may call it at the same time. The argument again means that the server
// refused the last secret.
type Func func(ctx context.Context, again bool) (string, error)

// A Source makes a Func for a fixed secret, a file or a command.
type Source struct {
	Name string       // name of the setting for errors and the log, such as "-smtppasswordcmd"
	Log  *slog.Logger // required

	limit time.Duration // time limit of a command; zero: commandLimit
}

// Fixed returns a Func that always returns text.
func Fixed(text string) Func {
	return func(context.Context, bool) (string, error) { return text, nil }
}

// File returns a Func that returns the content of the file at path without the final line end. The Func reads the file
// at each call, so that a user can replace the secret while the daemon runs. It logs a warning, once, if every user of
// the host may read the file. Errors name the file: the file cannot be read, is no regular file, is empty, or has more
// than one line.
func (s Source) File(path string) Func {
	var once sync.Once
	return func(context.Context, bool) (string, error) {
		text, info, err := readFile(path)
		if err != nil {
			return "", err
		}
		if Exposed(info) {
			once.Do(func() {
				s.Log.Warn("password file can be read by every user of this host", "file", path,
					"mode", info.Mode().String())
			})
		}
		text = strings.TrimRight(text, "\r\n")
		if err := check(text); err != nil {
			return "", fmt.Errorf("password file %s %w", path, err)
		}
		return text, nil
	}
}

// readFile reads a regular file. Opening any other kind of file may block; the owner of the file may exchange the file
// for another kind at any time.
func readFile(path string) (text string, info fs.FileInfo, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("password file %s is not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	return string(content), info, err
}

// check returns the fault of a secret, as the end of a sentence. A server refuses a password with a line end (RFC 4616,
// section 2; RFC 8265, section 4.2.1) without naming the cause.
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

// Exposed reports whether every user of the host may read a file. It is false on Windows, where the mode has no such
// right.
func Exposed(info fs.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
}
