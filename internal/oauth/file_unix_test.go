//go:build unix

package oauth

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
)

// Root logs in for the user of the daemon: the file stays the file of that user.
func TestFileKeepsItsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user; .ci/run is run by root")
	}
	is := is.New(t)
	path := filepath.Join(t.TempDir(), "oauth.json")
	is.NoErr(os.WriteFile(path, []byte(`{"client_id":"app"}`), 0o600))
	is.NoErr(os.Chown(path, 12345, 54321))
	is.NoErr(save(path, map[string]string{"refresh_token": "new"}))
	info, err := os.Stat(path)
	is.NoErr(err)
	is.Equal(info.Mode(), os.FileMode(0o600))
	stat := info.Sys().(*syscall.Stat_t)
	is.Equal([]uint32{stat.Uid, stat.Gid}, []uint32{12345, 54321})
}

// The file may belong to a user of the host, who puts a FIFO in its place.
func TestFIFOIsNoFile(t *testing.T) {
	is := is.New(t)
	path := filepath.Join(t.TempDir(), "oauth.json")
	is.NoErr(syscall.Mkfifo(path, 0o600))
	ended := make(chan error)
	go func() {
		_, err := Source(path, discard)(context.Background(), false)
		ended <- err
	}()
	select {
	case err := <-ended:
		is.True(err != nil)
	case <-time.After(10 * time.Second):
		t.Fatal("the FIFO has no writer, and is waited for")
	}
}
