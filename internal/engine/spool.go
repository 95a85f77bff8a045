package engine

import (
	"time"

	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// spool is the spool directory with its records. If another directory replaces the spool, queue, journal and unlock are
// replaced together. The parts of the engine share one spool, so all parts continue with the new queue.
type spool struct {
	dir     *spooldir.Dir
	status  string // path of the status file, which is not a message
	queue   *queue.Queue
	journal *journaled
	unlock  func() // unlocks the directory
	lost    error  // another process runs the spool: Run ends; nil: none does
}

// arrived tells the queue of a file that this process has put into the spool.
func (s *spool) arrived(name string) {
	if names := s.messages([]string{name}); len(names) > 0 {
		s.queue.Arrived(name, queue.Renamed, time.Now())
	}
}

// messages returns the names that message files may have. The result uses the array of names.
func (s *spool) messages(names []string) []string {
	usable := names[:0]
	for _, name := range names {
		if spooldir.Usable(name) && s.dir.File(name) != s.status {
			usable = append(usable, name)
		}
	}
	return usable
}
