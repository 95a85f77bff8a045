package web

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// counts returns the numbers of messages by state: those of the spool directory as the queue of the daemon counts them,
// and the files in hold/ and failed/. Nil: the daemon has no such counts, and the messages are read to be counted.
func (s *Server) counts(r *collector.Snapshot) map[mailq.State]int {
	if s.opts.Queue != nil || !r.Running {
		return nil
	}
	held, err := s.held.count(s.dir, time.Now())
	failed, also := s.failed.count(s.dir, time.Now())
	if err != nil || also != nil {
		return nil
	}
	return map[mailq.State]int{
		mailq.New: r.Queue.New, mailq.Waiting: r.Queue.Waiting, mailq.Sending: r.Queue.Sending,
		mailq.Deferred: r.Queue.Deferred, mailq.Scheduled: r.Queue.Scheduled, mailq.Unusable: r.Queue.Unusable,
		mailq.Temporary: r.Queue.Temporary, mailq.Held: held, mailq.Failed: failed,
	}
}

// messagesOf returns the numbers of messages by state that c has.
func messagesOf(c *qshape.Counts) map[mailq.State]int {
	counts := make(map[mailq.State]int)
	for _, state := range mailq.States {
		counts[state] = c.States[state].Messages
	}
	return counts
}

// sumQueued returns the number of messages that are to be sent as soon as possible.
func sumQueued(counts map[mailq.State]int) (n int) {
	for state, count := range counts {
		if state.Queued() {
			n += count
		}
	}
	return n
}

// A folder counts the messages in hold/ or failed/. The names are listed only if the directory has changed since.
type folder struct {
	place spooldir.Place

	mu      sync.Mutex
	n       int
	changed time.Time // of the directory at the last listing; zero: none, or the directory may have changed meanwhile
	next    time.Time // earliest time of the next listing
}

// racy is the time within which two changes of a directory may have one modification time.
const racy = 20 * time.Millisecond

// count returns the number of messages.
func (f *folder) count(dir *spooldir.Dir, now time.Time) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := dir.FS().Stat(dir.File(string(f.place)))
	if errors.Is(err, fs.ErrNotExist) {
		f.n, f.changed = 0, time.Time{}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if now.Before(f.next) || info.ModTime().Equal(f.changed) {
		return f.n, nil
	}
	n := 0
	err = spooldir.EachName(dir, f.place, func(names []string) error {
		for _, name := range names {
			if f.place != spooldir.Failed || !spooldir.IsWhyFile(name) {
				n++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	f.n, f.changed, f.next = n, info.ModTime(), now.Add(share*time.Since(now))
	if now.Sub(f.changed).Abs() < racy {
		f.changed = time.Time{}
	}
	return n, nil
}
