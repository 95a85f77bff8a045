//go:build unix

package spooldir

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// replaceFile writes a file beside path, syncs it and renames it to path.
func replaceFile(path string, perm fs.FileMode, write func(io.Writer) error) error {
	// Without WithTempDir the content may go through the system's directory for temporary files.
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(perm))
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Cleanup())
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return errors.Join(err, f.Cleanup())
	}
	return nil
}
