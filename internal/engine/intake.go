package engine

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// scanner finds files in the spool directory: by notification of the system, and by scans.
type scanner struct {
	spool    *spool
	opts     *Options
	post     func(func())
	pieces   *pieces
	adopt    func() error    // continues with the directory that has replaced the spool
	working  func() bool     // reports whether work on the directory is under way
	ctx      context.Context // ends a scan
	watching bool            // the system may be able to notify of new files
	watcher  *spooldir.Watcher
	files    *files
	moves    *moves
	last     time.Time         // beginning of the last scan; zero: a scan is due
	by       time.Time         // time by which the next scan begins; zero: none
	seen     spooldir.Snapshot // of the directory at the last scan
	unsure   bool              // the system may have missed files
	scanning bool
	again    bool  // a scan was asked for during the scan under way
	sick     error // why the last scan failed
}

// retry scans again when the work is done because of which the spool still has the old directory.
func (s *scanner) retry() {
	if errors.Is(s.sick, errUnderWay) && !s.scanning && !s.working() {
		s.rescan()
	}
}

// watch asks the system to notify of files. If the system cannot notify, scans find the files.
func (s *scanner) watch() {
	if !s.watching || s.watcher != nil {
		return
	}
	w, err := s.spool.dir.Watch()
	if err != nil {
		s.watching = !errors.Is(err, spooldir.ErrNoWatch)
		s.opts.Logger.Debug("no file notification; scanning only", "dir", s.spool.dir.Path(), "err", err)
		return
	}
	s.watcher = w
	s.files.watched(w.Mark)
}

// events returns the channel of notifications; nil if the system does not notify.
func (s *scanner) events() <-chan spooldir.Event {
	if s.watcher == nil {
		return nil
	}
	return s.watcher.Events()
}

// mounts returns the channel that tells of mounts; nil if the system does not.
func (s *scanner) mounts() <-chan struct{} {
	if s.watcher == nil {
		return nil
	}
	return s.watcher.Mounts()
}

// mounted takes a notification of a mount, which may be at the path of the spool. Where file systems come and go all
// the time, scans come at most every Options.Freq.
func (s *scanner) mounted(now time.Time) {
	at := s.last.Add(s.opts.Freq)
	if at.Before(now) {
		at = now
	}
	s.hurry(at)
}

// hurry makes the next scan begin by the time at.
func (s *scanner) hurry(at time.Time) {
	if s.by.IsZero() || at.Before(s.by) {
		s.by = at
	}
}

func (s *scanner) close() {
	if s.watcher != nil {
		s.watcher.Close()
		s.watcher = nil
		s.files.watched(nil)
	}
}

// Where the system tells of each change, a scan only finds what no notification can tell.
const (
	seldom     = 30              // times Options.Freq between two scans
	mostSeldom = 5 * time.Minute // but no longer, unless Options.Freq is
)

// next returns the time of the next scan.
func (s *scanner) next() time.Time {
	pause := s.opts.Freq
	if s.watcher != nil && s.watcher.Complete() && s.sick == nil && !s.spool.queue.Misses() && !s.moves.halfDone {
		pause = max(pause, min(seldom*pause, mostSeldom))
	}
	at := s.last.Add(pause)
	if !s.by.IsZero() && s.by.Before(at) && !s.scanning {
		return s.by
	}
	return at
}

// due reports whether a scan is due or under way.
func (s *scanner) due(now time.Time) bool { return s.scanning || !now.Before(s.next()) }

// rescan requests a scan now, even if the directory looks unchanged.
func (s *scanner) rescan() {
	s.seen, s.last, s.again = spooldir.Snapshot{}, time.Time{}, s.scanning
}

// noticed takes notifications of the system.
func (s *scanner) noticed(ev spooldir.Event, ok bool) {
	now := time.Now()
	if ev.Doubt { // not at once: a scan makes a lock file anew, and the removal of the directory would fail
		s.hurry(now.Add(s.opts.Freq))
	}
	switch {
	case !ok: // the directory may be gone; the scan asks again
		s.opts.Logger.Warn("file notification ended; scanning only",
			"dir", s.spool.dir.Path(), "err", s.watcher.Err())
		s.close()
		s.rescan()
		s.spool.queue.MissedNotices(now)
	case ev.Rescan:
		s.unsure = true
		s.rescan()
		s.spool.queue.MissedNotices(now)
		s.files.notified(ev.End)
	default:
		s.spool.queue.Notice(nil, ev.Gone, now)
		for _, f := range ev.Files {
			if s.spool.dir.File(f.Name) != s.spool.status {
				s.spool.queue.Arrived(f.Name, queue.How(f.How), now)
			}
		}
		s.files.notified(ev.End)
	}
}

// listing is the result of a scan.
type listing struct {
	snapshot spooldir.Snapshot
	changed  bool // since the last scan
	err      error
}

// scan lists the directory, if it has changed since the last scan. Where the system does not tell of changes, the files
// themselves are looked at.
func (s *scanner) scan(now time.Time) {
	s.last = now
	if s.scanning {
		return
	}
	s.watch()
	s.scanning = true
	if !s.by.After(now) {
		s.by = time.Time{}
	}
	verify, last := s.watcher == nil || s.unsure, s.seen
	s.unsure = false
	searching := s.spool.queue.Searching()
	if searching {
		last = spooldir.Snapshot{}
	}
	scan := s.spool.queue.BeginScan(now)
	go func() {
		l := s.list(last, verify, func(files []queue.File) {
			taken := make(chan struct{})
			s.post(func() {
				scan.Listed(files, time.Now())
				close(taken)
			})
			select {
			case <-taken: // the loop does other work between two parts of the listing
			case <-s.ctx.Done():
			}
		})
		if l.err == nil && s.ctx.Err() == nil {
			scan.Sort()
		}
		if searching && l.err == nil {
			s.listHold(scan)
		}
		s.post(func() { s.scanned(scan, l) })
	}()
}

// listHold lists hold/ for missing files. It runs beside the loop.
func (s *scanner) listHold(scan *queue.Scan) {
	names, err := s.spool.dir.Names(spooldir.Hold)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || s.spool.dir.Lock().Here() != nil {
		return
	}
	files := make([]queue.File, 0, len(names))
	for _, name := range names {
		if id, err := spooldir.StatIn(s.spool.dir, spooldir.Hold, name); err == nil {
			files = append(files, queue.File{Name: name, Version: versionOf(id)})
		}
	}
	s.post(func() {
		scan.Held(files, time.Now())
		scan.EndHold()
	})
}

// list hands the files in the directory to each, some at a time. It runs beside the loop.
func (s *scanner) list(last spooldir.Snapshot, verify bool, each func([]queue.File)) (l listing) {
	l.snapshot, l.changed, l.err = s.spool.dir.Changed(last)
	if l.err != nil || !l.changed {
		return l
	}
	l.err = spooldir.EachName(s.spool.dir, spooldir.Spool, func(names []string) error {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := s.spool.dir.Lock().Here(); err != nil {
			return err // checked after reading: the names are names of this spool
		}
		names = s.spool.messages(names)
		files := make([]queue.File, 0, len(names))
		for _, name := range names {
			f := queue.File{Name: name}
			if verify {
				if id, err := s.spool.dir.Stat(name); err == nil {
					f.Version = versionOf(id)
				}
			}
			files = append(files, f)
		}
		each(files)
		return nil
	})
	return l
}

// scanned takes the outcome of a scan.
func (s *scanner) scanned(scan *queue.Scan, l listing) {
	if l.err == nil && l.changed {
		s.seen = l.snapshot
		s.pieces.add(func() *queue.Work { return scan.End(time.Now()) }, 64, func() { s.ended(l) })
		return
	}
	s.ended(l)
}

// ended ends a scan.
func (s *scanner) ended(l listing) {
	s.scanning = false
	if s.again {
		s.again = false
		s.rescan()
	}
	if errors.Is(l.err, context.Canceled) {
		return
	}
	if errors.Is(l.err, spooldir.ErrLockLost) {
		s.spool.lost = l.err
		return
	}
	if errors.Is(l.err, spooldir.ErrReplaced) {
		if err := s.adopt(); err == nil {
			s.close() // the watcher watches the old directory
			s.rescan()
			l.err = nil
		} else {
			l.err = errors.Join(spooldir.ErrReplaced, err)
		}
	}
	s.setSick(l.err)
}

// setSick keeps the error of the directory, and logs the first error of a series and the end of the series.
func (s *scanner) setSick(err error) {
	if was := s.sick; (err != nil) != (was != nil) {
		if err != nil {
			s.opts.Logger.Error("spool directory cannot be read; retrying", "dir", s.spool.dir.Path(), "err", err)
		} else {
			s.opts.Logger.Info("spool directory can be read again", "dir", s.spool.dir.Path())
		}
	}
	s.sick = err
}

// away reports whether the spool directory was not there at the last scan.
func (s *scanner) away() bool {
	return errors.Is(s.sick, spooldir.ErrReplaced) || errors.Is(s.sick, fs.ErrNotExist)
}
