package realpeers

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// patience is the limit for the start of a peer and for its deliveries.
const patience = 5 * time.Minute

// needRoot skips the test without root, which a server needs to change its user.
func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a server that delivers as another user")
	}
}

// newHome makes a directory that other users can enter, unlike that of t.TempDir.
func newHome(t *testing.T) string {
	dir, err := os.MkdirTemp("", "peer")
	is.New(t).NoErr(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	is.New(t).NoErr(os.Chmod(dir, 0o755))
	return dir
}

func writeFile(t *testing.T, path string, text []byte) {
	is.New(t).NoErr(os.WriteFile(path, text, 0o644))
}

// freePort returns a port of 127.0.0.1 that no program listens on.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.New(t).NoErr(err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	is.New(t).NoErr(err)
	return port
}

// eventually waits until done returns true. It polls, as another process does the work.
func eventually(t *testing.T, what string, done func() bool) {
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// waitListening waits until a server accepts connections on addr.
func waitListening(t *testing.T, addr string) {
	eventually(t, "a server listens on "+addr, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		_, err = conn.Read(make([]byte, 100)) // reads the greeting: Exim logs a client that leaves before it
		return err == nil
	})
}

// waitEmpty waits until the queue directories of a peer have no files: all mail is delivered.
func waitEmpty(t *testing.T, dirs ...string) {
	eventually(t, "the queue is empty", func() bool {
		files := 0
		for _, dir := range dirs {
			err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if errors.Is(err, fs.ErrNotExist) {
					return nil // the file was removed meanwhile
				}
				if err == nil && !d.IsDir() {
					files++
				}
				return err
			})
			is.New(t).NoErr(err) // the queue can be read
		}
		return files == 0
	})
}

// readMaildir returns the contents of the files in dir.
func readMaildir(t *testing.T, dir string) []delivery {
	is := is.New(t)
	entries, err := os.ReadDir(dir)
	is.NoErr(err)
	var got []delivery
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		is.NoErr(err)
		got = append(got, parseDelivery(text))
	}
	return got
}

// parseDelivery parses a file as a peer has written it: with LF line ends, and with fields of the peer in front.
func parseDelivery(text []byte) delivery {
	var d delivery
	at := max(0, bytes.Index(text, []byte(mark)))
	d.trace = string(text[:at])
	for line := range strings.Lines(d.trace) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " <>\n")
		switch strings.ToLower(name) {
		case "return-path":
			d.from = value
		case "envelope-to", "delivered-to":
			d.to = value
		}
	}
	d.data = bytes.ReplaceAll(text[at:], []byte("\n"), []byte("\r\n"))
	return d
}

// logTail logs the last lines of files.
func logTail(t *testing.T, paths ...string) {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines := strings.SplitAfter(string(text), "\n")
		t.Logf("%s:\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-15):], ""))
	}
}
