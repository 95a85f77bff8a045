package engine

import (
	"time"

	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	// manyFailed is the number of names in failed/ above which failed/ is not listed for files that were written a
	// moment ago: these are rarely moved out of failed/.
	manyFailed = 2000
	// momentAgo is the age up to which a file was written a moment ago.
	momentAgo = time.Minute
)

// strays are the why-files in failed/ whose messages were moved out of failed/ and renamed. They say which recipients
// have accepted. A strays is used beside the loop, by one goroutine at a time.
type strays struct {
	dir    *spooldir.Dir
	last   spooldir.Snapshot
	count  int                 // names in failed/ at the last listing
	byID   map[string][]string // names of messages, by identity
	known  map[string]stray    // by name
	looked bool                // in this batch
}

// stray is one of the why-files.
type stray struct {
	version  spooldir.ID // of the why-file
	identity string      // of its message; empty: the why-file says nothing
}

// begin says that a batch of files begins.
func (s *strays) begin(dir *spooldir.Dir) { s.dir, s.looked = dir, false }

// look lists failed/, if it has changed and was not listed in this batch. Modified is the time of the file that may be
// a message from failed/.
func (s *strays) look(modified, now time.Time) {
	if s.looked || s.count > manyFailed && now.Sub(modified) < momentAgo {
		return
	}
	s.looked = true
	last, isNew, names, count, err := s.dir.Failed().Strays(s.last)
	if err != nil || !isNew {
		return // without failed/ there are none
	}
	s.last, s.count = last, count
	byID, known := make(map[string][]string), make(map[string]stray)
	for _, name := range names {
		version, err := spooldir.StatIn(s.dir, spooldir.Failed, spooldir.WhyFile(name))
		if err != nil {
			continue
		}
		w, ok := s.known[name]
		if !ok || !w.version.Equal(version) {
			w = stray{version, s.identity(name)}
		}
		known[name] = w
		byID[w.identity] = append(byID[w.identity], name)
	}
	s.byID, s.known = byID, known
}

// identity returns the identity of the message name by its why-file; empty: the why-file says nothing.
func (s *strays) identity(name string) string {
	text, err := s.dir.Failed().Why(name)
	if err != nil {
		return ""
	}
	why, err := record.DecodeFailure(text)
	if err != nil {
		return ""
	}
	return queue.Identity(&why.Message)
}

// claim adds to r, of a file that was just read as a, what a stray why-file says of its message. The why-file gets the
// name of the file.
func (s *strays) claim(a *queue.Act, r queue.Result, now time.Time) (queue.Result, error) {
	s.look(r.Head.Modified, now)
	if len(s.byID) == 0 {
		return r, nil
	}
	m := record.New(*r.Head, now)
	for _, name := range s.byID[queue.Identity(m)] {
		text, err := s.dir.Failed().StrayWhy(name)
		if err != nil {
			continue // gone, or of a file that is back under its own name
		}
		why, err := record.DecodeFailure(text)
		if err != nil || !record.IsStray(m, why) {
			continue
		}
		r.Why = why
		r.Returned, err = s.dir.Failed().Claim(name, a.Name)
		return r, err
	}
	return r, nil
}
