package explain

import (
	"errors"
	"path/filepath"
	"slices"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Subdirectories of a spool with messages.
const (
	holdDir   = string(spooldir.Hold)
	failedDir = string(spooldir.Failed)
)

// A place is the place of a file in a spool, with the records of the file there.
type place struct {
	dir     string            // the spool directory; empty: the file is in no spool
	sub     string            // "failed", "hold" or "tmp"; empty: the spool itself
	state   daemonstate.State // of the daemon; zero: unknown
	pid     int               // of the daemon; zero: none runs
	err     error             // why the daemon is unknown
	message *record.Message   // record in the status file; nil: none
	failure *record.Failure   // why-file of a message that is or was in failed/; nil: none that can be read

	recipients map[string]*record.Recipient // of the record that counts; nil: not asked for yet
}

// find returns the recipient of m, which is the record that counts; nil: m has no such recipient.
func (p *place) find(m *record.Message, addr string) *record.Recipient {
	if p.recipients == nil { // a message may have 10,000 recipients
		p.recipients = make(map[string]*record.Recipient)
		for _, r := range slices.Backward(m.Recipients()) {
			p.recipients[r.Address] = r // the first of that address
		}
	}
	return p.recipients[addr]
}

// Spool returns the spool directory of the file; empty: the file is in no spool.
func (p *Plan) Spool() string { return p.place.dir }

// findPlace returns the place of the file name in dir. dir, or its parent, may be a spool: a directory on which a
// daemon has run.
func findPlace(dir *spooldir.Dir, name string, opts spoolgore.Options) (p place) {
	sub := filepath.Base(dir.Path())
	if above, err := spooldir.New(filepath.Dir(dir.Path())); err == nil &&
		slices.Contains([]string{failedDir, holdDir, spooldir.TmpDir}, sub) && isSpool(above) {
		p.sub, dir = sub, above
	} else if !isSpool(dir) {
		return p
	}
	p.dir = dir.Path()
	if p.pid, p.err = dir.Lock().Holder(); p.pid != 0 {
		p.state, _, _ = daemonstate.Read(p.dir) // without a state file less is shown
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

// readStatus returns the record of the message file name in the status file; nil: none, or the status file cannot be
// read.
func readStatus(dir *spooldir.Dir, name, statusFile string) (found *record.Message) {
	path, err := spooldir.StatusPath(dir, statusFile)
	if err != nil {
		return nil
	}
	f, err := spooldir.OpenReadOn(dir.FS(), path)
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

// errFound ends the reading of a status file early.
var errFound = errors.New("found")

// readFailure returns the why-file with that text; nil: err is set, or the text is no why-file.
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
		if _, err := dir.FS().Lstat(dir.File(name)); err == nil {
			return true
		}
	}
	return false
}
