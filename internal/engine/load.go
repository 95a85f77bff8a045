package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/compact"
	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/journal"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// longStatus is the size in bytes from which a status file is read while messages are sent.
const longStatus = 4 << 20

// loading is the reading of the status file and the journal into an empty queue. The journal is read first: a message
// whose line in the journal is not known must not be offered.
type loading struct {
	now   time.Time // when it began
	notes []*record.Note
	names map[string]bool               // of the notes
	files map[queue.Version]*recordNote // notes by version of the file
	found journal.Found
}

// recordNote is a note, and the one before of the same version of a file.
type recordNote struct {
	note   *record.Note
	before *recordNote
}

// openJournal reads the journal, which is not applied yet.
func (o *opener) openJournal(now time.Time) (*loading, error) {
	dir := o.spool.dir
	l := &loading{now: now, names: make(map[string]bool), files: make(map[queue.Version]*recordNote)}
	file, found, err := journal.OpenOn(dir.FS(), dir.File(spooldir.JournalFile), func(line []byte) error {
		n, err := record.DecodeNote(line)
		if err == nil {
			l.add(n)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	l.found = found
	file.Guard(dir.Lock().Here)
	o.spool.journal = &journaled{file: file, opts: o.opts, post: o.post, acted: o.spool.queue.Acted}
	if found.Bad > 0 || found.Torn > 0 {
		o.opts.Logger.Warn("journal damaged; unreadable lines ignored",
			"file", spooldir.JournalFile, "lines", found.Bad, "tail", found.Torn)
	}
	return l, nil
}

func (l *loading) add(n *record.Note) {
	l.notes = append(l.notes, n)
	l.names[n.Name()] = true
	v := queue.Version{Inode: n.Inode, Size: n.Size, Modified: n.Modified.UnixNano()}
	if n.Inode != 0 && n.Size > 0 {
		l.files[v] = &recordNote{n, l.files[v]}
	}
}

// complete adds to m, the record of the file name, what the journal says about the same version of the file under other
// names.
func (l *loading) complete(name string, m *record.Message) {
	v := queue.Version{Inode: m.Inode, Size: m.Size, Modified: m.Modified.UnixNano()}
	for n := l.files[v]; n != nil; n = n.before {
		if n.note.Name() != name && n.note.IsSame(m) {
			record.Take(m, n.note)
		}
	}
}

// openStatus opens the status file. A missing file is nil.
func (o *opener) openStatus() (f fsys.File, size int64, err error) {
	f, err = spooldir.OpenReadOn(o.spool.dir.FS(), o.spool.status)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read status: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("read status: %w", err)
	}
	return f, fi.Size(), nil
}

// decode reads the status file f to the end, or until each returns an error. The error of a damaged file is errDamaged.
func (o *opener) decode(f fsys.File, l *loading, each func(name string, m *record.Message) error) error {
	defer f.Close()
	var names compact.Joiner
	err := record.DecodeStatus(f, func(key string, m *record.Message) error {
		name := names.Copy([]byte(record.FileName(key, m))) // without the memory of the path
		l.complete(name, m)
		return each(name, m)
	})
	if err != nil {
		return statusError(o.spool.status, err)
	}
	return nil
}

// replay adds the journal to the queue, which has the status file, and goes on with a status file that is damaged.
func (o *opener) replay(l *loading, damage error) error {
	for l.replaySome(o, len(l.notes)) {
	}
	if l.found.Records > 0 {
		o.opts.Logger.Info("journal replayed", "file", spooldir.JournalFile, "records", l.found.Records)
	}
	if damage != nil {
		return o.salvage(damage, l.now)
	}
	return nil
}

// replaySome adds the next n notes to the queue, and reports whether there are more.
func (l *loading) replaySome(o *opener, n int) bool {
	n = min(n, len(l.notes))
	for _, note := range l.notes[:n] {
		o.remember(note, l.now)
	}
	l.notes = l.notes[n:]
	return len(l.notes) > 0
}

// stream is the reading of a long status file beside the loop. See queue.Load.
type stream struct {
	load  *queue.Load
	quit  chan struct{} // closed: the reading is to end
	ended chan struct{} // closed at the end of the reading
}

const (
	streamPart  = 256 // records that the loop takes at a time
	streamAhead = 4   // parts that the loop has not taken yet, at most
)

// begin begins to read f beside the loop.
func (o *opener) begin(f fsys.File, l *loading) {
	s := &stream{load: queue.BeginLoad(o.spool.queue, l.now), quit: make(chan struct{}), ended: make(chan struct{})}
	o.stream, o.pieces.waiting = s, true
	go func() {
		defer close(s.ended)
		err := o.read(f, l, s)
		o.post(func() { o.finishRead(l, err) })
	}()
}

var errStopped = errors.New("reading stopped")

// read reads f and has the loop take the records. It runs beside the loop.
func (o *opener) read(f fsys.File, l *loading, s *stream) error {
	room := make(chan struct{}, streamAhead)
	var part []queue.Stored
	flush := func() error {
		select {
		case room <- struct{}{}:
		case <-s.quit:
			return errStopped
		}
		records := slices.Clone(part)
		part = part[:0]
		o.post(func() {
			s.load.Add(records, time.Now())
			<-room
		})
		return nil
	}
	err := o.decode(f, l, func(name string, m *record.Message) error {
		part = append(part, s.load.Prepare(name, m, l.names[name]))
		if len(part) < streamPart {
			return nil
		}
		return flush()
	})
	if errors.Is(err, errStopped) {
		return errStopped
	}
	return cmp.Or(flush(), err)
}

// finishRead takes the end of the reading beside the loop.
func (o *opener) finishRead(l *loading, damage error) {
	if errors.Is(damage, errStopped) {
		return
	}
	if damage != nil && !errors.Is(damage, errDamaged) {
		o.failed = damage
		return
	}
	if l.replaySome(o, streamPart) {
		o.post(func() { o.finishRead(l, damage) })
		return
	}
	if err := o.replay(l, damage); err != nil {
		o.failed = err
		return
	}
	o.stream.load.End(time.Now())
	o.stream, o.pieces.waiting, o.status.changed = nil, false, true
}

// reading reports whether the status file is being read.
func (o *opener) reading() bool { return o.stream != nil }

// stop ends the reading of the status file, and waits for its end.
func (o *opener) stop() {
	if s := o.stream; s != nil {
		select {
		case <-s.quit:
		default:
			close(s.quit)
		}
		<-s.ended
	}
}
