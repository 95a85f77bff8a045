package engine

import (
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/internal/asyncfile"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// statusWriter writes and reads the status file.
type statusWriter struct {
	spool   *spool
	opts    *Options
	causes  func() causesOf // returns a function for the reason why mail of a sender waits
	post    func(func())
	pieces  *pieces
	file    *asyncfile.File
	ours    atomic.Pointer[spooldir.ID] // identity of the status file after the last write; nil: no write yet
	mark    int64                       // journal position covered by the last write
	changed bool                        // the status file is to be written
	waiters []func()                    // called in the loop after the write under way
	since   time.Time                   // later outcomes overrule an edit of the status file; zero: all
	shown   time.Time                   // when the content of the write under way was taken

	collecting bool          // a snapshot for a write is under way
	quit       chan struct{} // closed: the write under way is to end; nil: no write of a stream is under way
	reloading  bool          // no write may begin: an edit of the file is not taken over yet
}

// causesOf returns, for a message, a function that says why no relay of a recipient can be used now.
type causesOf = func(m *record.Message) func(to string) string

func newStatusWriter(
	s *spool, opts *Options, pieces *pieces, causes func() causesOf, post func(func()),
) *statusWriter {
	w := &statusWriter{spool: s, opts: opts, pieces: pieces, causes: causes, post: post}
	replace := replaceIn(s.dir)
	w.file = asyncfile.New(s.status, func(path string, perm fs.FileMode, write func(io.Writer) error) error {
		err := replace(path, perm, write)
		if id, idErr := spooldir.IDAt(s.dir.FS(), path); err == nil && idErr == nil {
			w.ours.Store(&id)
		}
		return err
	})
	return w
}

// isOurs reports whether this run was the last to write the status file. Any goroutine may call isOurs.
func (w *statusWriter) isOurs() (bool, error) {
	id, err := spooldir.IDAt(w.spool.dir.FS(), w.spool.status)
	if err != nil {
		return false, err
	}
	ours := w.ours.Load()
	return ours != nil && ours.Equal(id), nil
}

// read calls each for every message of the status file. A missing file is empty.
func (w *statusWriter) read(each func(name string, m *record.Message)) error {
	return ReadStatus(w.spool.dir, w.spool.status, func(key string, m *record.Message) {
		each(record.FileName(key, m), m)
	})
}

// wait returns the time until a write is due; negative: no write is due.
func (w *statusWriter) wait(now time.Time) time.Duration {
	if w.collecting || w.reloading {
		return -1
	}
	return w.file.Wait(now)
}

// failed logs the first failed write of a series, and the end of the series.
func (w *statusWriter) failed(err error, recovered bool) {
	logWrite(w.opts.Logger, w.spool.status, err, recovered)
}

// write begins to write the status file, if a write is due.
func (w *statusWriter) write(now time.Time) {
	if w.collecting || w.reloading {
		return
	}
	if w.spool.queue.Changed() || w.changed {
		w.changed = false
		w.file.Touch(now)
	}
	if w.file.Wait(now) == 0 {
		w.start(now, nil)
	}
}

// start begins to write the status file, after a snapshot in pieces. The loop calls then, if not nil, after the write.
func (w *statusWriter) start(now time.Time, then func(error)) {
	w.collecting = true
	var stream *queue.Stream
	w.pieces.add(func() *queue.Work {
		w.begin(now)
		if w.long() { // after a start the queue may have become long while the write waited
			stream = queue.BeginStream(w.spool.queue, now)
			return stream.Collect()
		}
		return w.spool.queue.Snap(now, func(records func() []queue.Named) {
			w.collecting = false
			write, empty := w.content(records(), now)
			w.startWith(write, empty, func(err error) {
				if then != nil {
					then(err)
				}
			})
		})
	}, snapSize, func() {
		if stream != nil {
			w.collecting = false
			w.stream(stream, now, then)
		}
	})
}

// startWith begins to write the status file with the function write. The loop calls then after the write.
func (w *statusWriter) startWith(write func(io.Writer) error, empty bool, then func(error)) {
	done := func(err error) {
		w.saved(err)
		then(err)
	}
	begun := w.file.Start(empty, write, func() {
		w.post(func() {
			select {
			case written := <-w.file.Done():
				w.failed(w.file.Finish(written, time.Now()))
				done(written.Err())
				w.resumeWaiters()
			default: // Sync has taken it
			}
		})
	})
	if !begun { // the file is up to date
		done(nil)
		w.resumeWaiters()
	}
}

// afterWrite calls f at once or, if a write is under way, in the loop after the write.
func (w *statusWriter) afterWrite(f func()) {
	if w.writing() {
		w.waiters = append(w.waiters, f)
		return
	}
	f()
}

// writing reports whether a write is under way.
func (w *statusWriter) writing() bool { return w.collecting || w.file.Busy() }

// resumeWaiters calls the functions that wait for the end of a write.
func (w *statusWriter) resumeWaiters() {
	waiters := w.waiters
	w.waiters = nil
	for _, f := range waiters {
		f()
	}
}

// begin notes what the snapshot that begins now covers.
func (w *statusWriter) begin(now time.Time) {
	w.mark, w.changed, w.shown = w.spool.journal.file.End(), false, now
	w.spool.queue.Changed()
}

// content returns a function that writes records as status file, and whether the file has no messages.
func (w *statusWriter) content(records []queue.Named, now time.Time) (write func(io.Writer) error, empty bool) {
	dir, causes := w.spool.dir, w.causes()
	return func(to io.Writer) error { return writeStatus(to, dir, records, causes, now) }, len(records) == 0
}

// saved takes the outcome of a write. After a success the journal may drop the written records.
func (w *statusWriter) saved(err error) {
	if err == nil {
		w.spool.journal.file.Cut(w.mark)
		w.since = w.shown
	}
}

// sync writes the status file and waits, unless the file has the present state. The engine calls sync at the start and
// at the end only.
func (w *statusWriter) sync() error {
	w.abort()
	if w.current() {
		return nil
	}
	now := time.Now()
	w.begin(now)
	if w.long() {
		err := w.streamNow(now)
		w.saved(err)
		return err
	}
	records := slices.AppendSeq(make([]queue.Named, 0, w.spool.queue.Len()), w.spool.queue.Snapshot(now))
	write, empty := w.content(records, now)
	err := w.file.Sync(empty, write)
	w.saved(err)
	return err
}

// current reports whether the status file was written by this run, and no change came since.
func (w *statusWriter) current() bool {
	if w.changed || w.file.Busy() || w.file.Wait(time.Now()) >= 0 || w.mark != w.spool.journal.file.End() {
		return false
	}
	if w.spool.queue.Changed() {
		w.changed = true
		return false
	}
	ours, err := w.isOurs()
	return err == nil && ours
}

// writeStatus writes the records as a status file, in the order of the names. Causes says why the mail of a sender
// cannot be sent now.
func writeStatus(
	w io.Writer, dir *spooldir.Dir, records []queue.Named, causes causesOf, now time.Time,
) error {
	slices.SortFunc(records, func(a, b queue.Named) int { return strings.Compare(a.Name, b.Name) })
	enc := record.NewStatusEncoder(w, len(records))
	if err := addRecords(enc, dir, records, causes, now); err != nil {
		return err
	}
	return enc.Close()
}

// addRecords writes records of files in dir to a status file.
func addRecords(
	enc *record.StatusEncoder, dir *spooldir.Dir, records []queue.Named, causes causesOf, now time.Time,
) error {
	var m record.Message
	for _, r := range records {
		r.Record.ShownIn(&m)
		if err := enc.Add(dir.File(r.Name), record.WithCause(&m, causes(&m), now)); err != nil {
			return err
		}
	}
	return nil
}

// replaceIn returns a function that writes a file, but never into a directory that has replaced dir: a file there may
// have newer records.
func replaceIn(dir *spooldir.Dir) asyncfile.Writer {
	return func(path string, perm fs.FileMode, write func(io.Writer) error) error {
		if filepath.Dir(path) == dir.Path() {
			if err := dir.Lock().Here(); err != nil {
				return err
			}
		}
		return spooldir.WriteFileOn(dir.FS(), path, perm, write)
	}
}

// startFile begins to write the file f. The loop calls done, with the results of Finish, after the write.
func startFile(f *asyncfile.File, write func(io.Writer) error, post func(func()), done func(error, bool)) {
	f.Start(false, write, func() {
		post(func() {
			select {
			case w := <-f.Done():
				done(f.Finish(w, time.Now()))
			default: // Sync has taken it
			}
		})
	})
}
