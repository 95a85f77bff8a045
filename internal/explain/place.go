package explain

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/spooldir"
	"github.com/unbit/spoolgore/internal/vitals"
)

// A place is where a file lies, if that is in a spool, and what is known of it there.
type place struct {
	dir     string             // the spool directory; empty: it lies in none
	sub     string             // "failed", "hold" or "tmp"; empty: in the spool itself
	signs   vitals.Signs       // of the daemon; zero: it gives none
	pid     int                // of who runs it; zero: nobody does
	err     error              // why that cannot be told
	message *spoolgore.Message // what the status file says of it; nil: nothing
	failure *spoolgore.Failure // what the why-file says of one that is in failed/ or was; nil: there is none, or none that can be read
}

// findPlace looks whether the directory, or the one above it, is a spool: it has been run, or is.
func findPlace(dir *spooldir.Dir, name string, opts spoolgore.Options) (p place) {
	sub := filepath.Base(dir.Path())
	if above, err := spooldir.New(filepath.Dir(dir.Path())); err == nil && slices.Contains([]string{"failed", "hold", "tmp"}, sub) && isSpool(above) {
		p.sub, dir = sub, above
	} else if !isSpool(dir) {
		return p
	}
	p.dir = dir.Path()
	if p.pid, p.err = dir.Holder(); p.pid != 0 {
		p.signs, _, _ = vitals.Read(p.dir) // without them the daemon is of few words
	}
	switch p.sub {
	case "failed":
		p.failure = readFailure(os.ReadFile(dir.File(filepath.Join(p.sub, name+".json"))))
		return p
	case "":
		p.failure = readFailure(dir.Why(name))
	}
	status := spoolgore.New(dir.Path(), opts).Status()
	if m, ok := status[dir.File(name)]; ok {
		p.message = &m
		return p
	}
	for key, m := range status { // the daemon may know the directory by another path
		if string(m.RawName) == name || len(m.RawName) == 0 && filepath.Base(key) == name {
			p.message = &m
		}
	}
	return p
}

// readFailure reads a why-file; nil: it cannot.
func readFailure(text []byte, err error) *spoolgore.Failure {
	why := new(spoolgore.Failure)
	if err != nil || json.Unmarshal(text, why) != nil {
		return nil
	}
	return why
}

// isSpool reports whether dir has been run.
func isSpool(dir *spooldir.Dir) bool {
	for _, name := range []string{".spoolgore.lock", ".spoolgore.js"} {
		if _, err := os.Lstat(dir.File(name)); err == nil {
			return true
		}
	}
	return false
}
