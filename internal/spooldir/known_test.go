package spooldir

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/unbit/spoolgore/internal/known"
)

// A move to failed/ fails half-way, and so does the removal of the link in failed/. The why-file must stay with the
// link, as the next start takes a link without a why-file for a move by hand.
func TestUndoKeepsWhyFileWithLink(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F8/undo", func(t *testing.T) error {
		d := newSpool(t)
		id := drop(t, d, "m", "x")
		opsOf(d).move = func(from, to string) error {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EIO}
		}
		opsOf(d).remove = func(path string) error {
			if strings.HasSuffix(path, filepath.Join("failed", "m")) {
				return &os.PathError{Op: "remove", Path: path, Err: syscall.EIO}
			}
			return os.Remove(path)
		}
		if name, err := d.FailUntold("m", id, []byte("{}"), false); err == nil {
			t.Fatalf("the move to failed/%s did not fail", name)
		}
		files := tree(t, d)
		_, linked := files["failed/m"]
		if _, why := files["failed/m.json"]; linked && !why {
			return fmt.Errorf("failed/m is there without its why-file: %v", files)
		}
		return nil
	})
}
