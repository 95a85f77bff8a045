package explain

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// The subdirectories of a spool in which messages lie.
const (
	holdDir   = string(spooldir.Hold)
	failedDir = string(spooldir.Failed)
)

// A place is where a file lies, if that is in a spool, and what is known of it there.
type place struct {
	dir     string            // the spool directory; empty: it lies in none
	sub     string            // "failed", "hold" or "tmp"; empty: in the spool itself
	signs   daemonstate.State // of the daemon; zero: it gives none
	pid     int               // of who runs it; zero: nobody does
	err     error             // why that cannot be told
	message *record.Message   // what the status file says of it; nil: nothing
	failure *record.Failure   // the why-file of a message that is or was in failed/; nil: there is none that can be read
}

// findPlace looks whether the directory, or the one above it, is a spool: it has been run, or is.
func findPlace(dir *spooldir.Dir, name string, opts spoolgore.Options) (p place) {
	sub := filepath.Base(dir.Path())
	if above, err := spooldir.New(filepath.Dir(dir.Path())); err == nil && slices.Contains([]string{failedDir, holdDir, spooldir.TmpDir}, sub) && isSpool(above) {
		p.sub, dir = sub, above
	} else if !isSpool(dir) {
		return p
	}
	p.dir = dir.Path()
	if p.pid, p.err = dir.Lock().Holder(); p.pid != 0 {
		p.signs, _, _ = daemonstate.Read(p.dir) // without them the daemon is of few words
	}
	switch p.sub {
	case failedDir:
		p.failure = readFailure(dir.Failed().Why(name))
		return p
	case "":
		p.failure = readFailure(dir.Failed().ReturnedWhy(name))
	}
	p.message = readStatus(dir, name, opts.StatusFile)
	return p
}

// readStatus returns what the status file says of the message file name; nil: nothing, or the status file cannot be read.
func readStatus(dir *spooldir.Dir, name, statusFile string) (found *record.Message) {
	path, err := spooldir.StatusPath(dir, statusFile)
	if err != nil {
		return nil
	}
	f, err := spooldir.OpenRead(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	err = record.DecodeLiveStatus(f, func(key string, m *record.Message) error {
		if record.FileName(key, m) != name {
			return nil
		}
		found = m
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil
	}
	return found
}

// errFound ends the reading of a status file before its end.
var errFound = errors.New("found")

// readFailure returns the why-file with that text; nil: err is not nil, or the text is not that of a why-file.
func readFailure(text []byte, err error) *record.Failure {
	if err != nil {
		return nil
	}
	why, err := record.DecodeFailure(text)
	if err != nil {
		return nil
	}
	return why
}

// isSpool reports whether dir has been run.
func isSpool(dir *spooldir.Dir) bool {
	for _, name := range []string{spooldir.LockFile, spooldir.StatusFile} {
		if _, err := os.Lstat(dir.File(name)); err == nil {
			return true
		}
	}
	return false
}
