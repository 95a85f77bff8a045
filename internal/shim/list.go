package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// list is -bp and mailq: it prints the messages in the spool, also without a daemon. A caller who has access only by
// the group of the command sees only own messages.
func (s *shim) list(asJSON bool) error {
	return s.sys.held.with(func() error { return s.listAll(asJSON) })
}

// listAll is list with the rights of the command's group.
func (s *shim) listAll(asJSON bool) error {
	status := ""
	if path := s.conf.json.value; filepath.IsAbs(path) {
		status = path
	}
	view, err := mailq.Of(s.spool.Path(), status, time.Now())
	if err != nil {
		return err
	}
	view.Temporary = s.conf.temporaryNames()
	var count, bytes int64
	err = view.Each([]spooldir.Place{spooldir.Spool}, func(e *mailq.Entry) error {
		if s.sys.elevated && s.sys.uid != 0 && spooldir.Owner(e.Info) != s.sys.uid {
			return nil
		}
		view.ReadHeader(e)
		count, bytes = count+1, bytes+e.Size
		if asJSON {
			if err := json.NewEncoder(s.stdout).Encode(e); err != nil {
				return fail(exitIO, "%w", err)
			}
			return nil
		}
		if count == 1 {
			fmt.Fprintf(s.stdout, "%-46s %10s  %-19s  %s\n", "NAME", "BYTES", "SINCE", "SENDER AND RECIPIENTS")
		}
		s.show(e)
		return nil
	})
	switch {
	case err != nil:
		return err
	case asJSON:
	case count == 0:
		fmt.Fprintln(s.stdout, "Mail queue is empty") // scripts look for these words
	default:
		fmt.Fprintf(s.stdout, "-- %d bytes in %d messages\n", bytes, count)
	}
	return nil
}

// show prints a line for the message and a line for each recipient without acceptance.
func (s *shim) show(e *mailq.Entry) {
	const stamp = "2006-01-02 15:04:05"
	from := e.From
	if from == "" {
		from = "<>"
	}
	since := e.Enqueued.Local().Format(stamp)
	fmt.Fprintf(s.stdout, "%-46s %10d  %-19s  %s\n", oneLine(e.Name), e.Size, since, oneLine(from))
	if e.Error != "" {
		fmt.Fprintf(s.stdout, "%80s(%s)\n", "", oneLine(e.Error))
	}
	e.Recipients(func(r *record.Recipient) {
		if r.Accepted() {
			return
		}
		fmt.Fprintf(s.stdout, "%80s%s\n", "", oneLine(r.Address))
		if r.Error != "" {
			fmt.Fprintf(s.stdout, "%80s(%s)\n", "", oneLine(r.Error))
		}
	})
}

// isRunElsewhere reports whether the spool has a daemon that signals cannot reach, such as a daemon in another
// container. The lock is checked only if the state file is fresh.
func (s *shim) isRunElsewhere() bool {
	fi, err := s.spool.FS().Lstat(s.spool.File(spooldir.StateFile))
	if err != nil || time.Since(fi.ModTime()) > 2*time.Minute {
		return false
	}
	held, err := s.spool.Lock().Held()
	return held && err == nil
}

// touchAll sets the modification time of all messages: the daemon then makes an attempt for each.
func (s *shim) touchAll() error {
	names, err := s.spool.Names(spooldir.Spool)
	for _, name := range names {
		if spooldir.IsTemporary(name, s.conf.temporaryNames()) { // a touch would put the file off for an hour
			continue
		}
		touchErr := s.spool.Steering().Touch(name)
		if !errors.Is(touchErr, fs.ErrNotExist) && !errors.Is(touchErr, spooldir.ErrNotRegular) {
			err = errors.Join(err, touchErr)
		}
	}
	return errors.Join(err, s.spool.Steering().Touched())
}

// flush is -q: it signals the daemon to try all messages now. A missing daemon is no error.
func (s *shim) flush() error {
	pid, err := s.spool.Lock().Holder()
	if errors.Is(err, fs.ErrPermission) {
		return fail(exitNoPerm, "-q: only the user who runs the daemon, and root, may wake it")
	}
	if err != nil {
		return err
	}
	if pid == 0 {
		if _, err := os.Stat(s.spool.Path()); err != nil {
			return err
		}
		if s.isRunElsewhere() {
			return s.touchAll()
		}
		s.say("-q: no daemon runs on " + s.spool.Path() + ", so nothing is tried")
		return nil
	}
	return wake(s, pid)
}
