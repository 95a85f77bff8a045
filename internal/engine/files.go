package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// maxReads is the maximum number of files to open or to stat in one batch.
const maxReads = 16

// files opens message files and runs stat on message files beside the loop. An open file stays open until the end of
// the next step that could send the message, so that one open file serves reading and sending.
type files struct {
	spool     *spool
	opts      *Options
	host      string // for Message-IDs
	post      func(func())
	beside    func(func()) // does work beside the loop
	acts      fifo[queue.Act]
	batch     []queue.Act // being done beside the loop while reading is set, and the answers
	answers   []answer
	lost      error     // of the batch: another process runs the spool
	recovered time.Time // when messages with a name in failed/ were last looked for
	reading   bool
	open      map[string]opened

	mark    func() uint64 // returns the position of the last notification; nil: the system does not notify
	passed  uint64        // position of the notifications that the queue knows
	fence   uint64        // position that notified must reach before the queue gets the answers of the batch
	watch   int           // number of the watcher that notifies
	fenced  int           // number of the watcher that fence is about
	waiting bool          // for notifications

	strays         strays
	settle         time.Duration // options when the batch began
	temporaryNames []string      // likewise
	rules          *rewrite.Rules
	handsOn        bool
	scratch        record.Message // memory for a record that the batch compares with its file
}

// opened is a file that is kept open, since a moment.
type opened struct {
	file  *msgfile.File
	since time.Time
}

// keepOpen is how long a file stays open while other messages are sent. With the next place for a message the file is
// sent from, so that most messages are opened once.
const keepOpen = time.Second

// answer is the result of an act; file is the open file, or nil.
type answer struct {
	result queue.Result
	file   *msgfile.File
}

func (f *files) add(a queue.Act) { f.acts.add(a) }

func (f *files) busy() bool { return f.reading || f.acts.len() > 0 }

// free returns how many further acts can be taken.
func (f *files) free() int { return max(0, 2*maxReads-f.acts.len()) }

func (f *files) full() bool { return f.free() == 0 }

// start begins the next batch, unless a batch is under way.
func (f *files) start() {
	if f.reading || f.acts.len() == 0 {
		return
	}
	f.batch = f.acts.take(f.batch, maxReads)
	f.reading, f.fence, f.fenced = true, 0, f.watch
	f.settle, f.temporaryNames, f.rules = f.opts.Settle, f.opts.Temporary, f.opts.Rewrite
	f.handsOn = f.opts.Delivery.HandsOn
	mark := f.mark
	f.beside(func() {
		if f.lost = f.spool.dir.Lock().Here(); !errors.Is(f.lost, spooldir.ErrLockLost) {
			f.lost = nil
		}
		created := false
		f.strays.begin(f.spool.dir)
		for i := range f.batch {
			if f.lost != nil {
				f.answers = append(f.answers, answer{result: queue.Result{Trouble: queue.System, Err: f.lost}})
				continue
			}
			f.answers = append(f.answers, f.do(&f.batch[i]))
			created = created || f.batch[i].How == queue.Created
		}
		if created && mark != nil { // whether a file was linked or written in place is in later notifications
			f.fence = mark()
		}
		f.recoverLinked()
		f.post(f.answered)
	})
}

// recoverLinked recovers messages that have a second name in failed/, if the batch met a file with several names. It
// runs beside the loop.
func (f *files) recoverLinked() {
	linked := func(a answer) bool { return a.result.Trouble == queue.Linked }
	if time.Since(f.recovered) < spooldir.LinkRest || !slices.ContainsFunc(f.answers, linked) {
		return
	}
	f.recovered = time.Now()
	_ = f.spool.dir.RecoverLinked() // tried again, as the file stays linked
}

// watched sets the function mark of a new watcher; nil: there is none any more.
func (f *files) watched(mark func() uint64) {
	f.watch++
	f.mark, f.passed = mark, 0
	if f.waiting {
		f.answered()
	}
}

// notified tells that the queue knows all notifications up to the position end.
func (f *files) notified(end uint64) {
	if f.passed = end; f.waiting {
		f.answered()
	}
}

// answered hands the answers of a batch to the queue.
func (f *files) answered() {
	if f.waiting = f.fenced == f.watch && f.fence > f.passed; f.waiting {
		return
	}
	f.reading = false
	f.spool.lost = cmp.Or(f.spool.lost, f.lost)
	now := time.Now()
	for i := range f.answers {
		a := &f.answers[i]
		f.spool.queue.Acted(f.batch[i], a.result, now)
		f.keep(f.batch[i].Name, a.file, now)
	}
	f.batch, f.answers = reuse(f.batch), reuse(f.answers)
}

// keep keeps a file open until closeUnused.
func (f *files) keep(name string, file *msgfile.File, now time.Time) {
	if file == nil {
		return
	}
	if f.open == nil {
		f.open = make(map[string]opened)
	}
	if old := f.open[name]; old.file != nil {
		old.file.Close()
	}
	f.open[name] = opened{file, now}
}

// take returns the open file name if the file is version v; nil: no such file is open.
func (f *files) take(name string, v queue.Version) *msgfile.File {
	file := f.open[name].file
	if file == nil || versionOf(file.ID) != v {
		return nil
	}
	delete(f.open, name)
	return file
}

// closeUnused closes the files whose messages were not sent in this step, except for a moment while jobs are under way:
// the end of a job makes a place for the next message.
func (f *files) closeUnused(jobs int, now time.Time) {
	for name, o := range f.open {
		if jobs > 0 && len(f.open) <= 2*maxReads && now.Sub(o.since) < keepOpen {
			continue
		}
		o.file.Close()
		delete(f.open, name)
	}
}

// do does one act. It runs beside the loop.
func (f *files) do(a *queue.Act) answer {
	if a.Kind == queue.Stat {
		return answer{result: f.find(a)}
	}
	look := msgfile.Look{
		Known: idOf(a.Version), Since: a.Since, Now: time.Now(), Settle: f.settle, How: spooldir.How(a.How),
	}
	if r, ok := f.temporary(a, look); ok {
		return answer{result: r}
	}
	if r, ok := f.unchanged(a); ok {
		return answer{result: r}
	}
	if a.Compare {
		return answer{result: differs(f, a)}
	}
	file, err := msgfile.Open(f.spool.dir, a.Name, look)
	if err != nil {
		return answer{result: f.failed(a, err)}
	}
	result, err := f.read(a, file)
	if err != nil {
		file.Close()
		return answer{result: f.failed(a, err)}
	}
	return answer{result, file}
}

// errTemporary is the reason why a file with a temporary name waits.
var errTemporary = errors.New("temporary name: the file is read when it has not changed for an hour")

// temporary reports whether the file has a temporary name and is not old enough to be read.
func (f *files) temporary(a *queue.Act, look msgfile.Look) (r queue.Result, ok bool) {
	if !spooldir.IsTemporary(a.Name, f.temporaryNames) {
		return r, false
	}
	id, err := f.spool.dir.Stat(a.Name)
	if err != nil || id.Quiet(look.SeenSince(id), look.Now, unused) {
		return r, false
	}
	return queue.Result{Trouble: queue.Temporary, Err: errTemporary, Version: versionOf(id)}, true
}

// find looks for a file in the spool and in hold/, twice: the file may move from one to the other during the first
// look.
func (f *files) find(a *queue.Act) queue.Result {
	for range 2 {
		for _, place := range []queue.Place{queue.InSpool, queue.InHold} {
			at := spooldir.Spool
			if place == queue.InHold {
				at = spooldir.Hold
			}
			id, err := spooldir.StatIn(f.spool.dir, at, a.Name)
			if err == nil {
				r := queue.Result{Place: place, Version: versionOf(id)}
				r.Held = a.Held && place == queue.InSpool && f.isHeld(a)
				return r
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) { // hold may be a file
				return queue.Result{Trouble: f.trouble(err), Err: err}
			}
		}
	}
	if err := f.spool.dir.Lock().Here(); err != nil {
		return queue.Result{Trouble: queue.System, Err: err}
	}
	return queue.Result{Place: queue.Nowhere}
}

// isHeld reports whether the version of a is in hold/.
func (f *files) isHeld(a *queue.Act) bool {
	id, err := spooldir.StatIn(f.spool.dir, spooldir.Hold, a.Name)
	return err == nil && versionOf(id) == a.Version
}

// unchanged reports whether the file need not be read.
func (f *files) unchanged(a *queue.Act) (r queue.Result, ok bool) {
	if !a.Skip && !a.Known.Holds() {
		return r, false
	}
	id, err := f.spool.dir.Stat(a.Name)
	if err != nil {
		return r, false
	}
	r = queue.Result{Unchanged: true, Version: versionOf(id), User: id.User}
	if a.Skip {
		return r, r.Version == a.Version
	}
	m := &f.scratch
	a.Known.MessageIn(m)
	if record.IsUnreadable(m) || m.Describes(id.Size, id.ModTime, id.Ino) != record.ThisVersion {
		return r, false
	}
	text, err := f.spool.dir.Failed().ReturnedWhy(a.Name)
	if err != nil {
		return r, errors.Is(err, fs.ErrNotExist)
	}
	if why, err := record.DecodeFailure(text); err != nil || m.Failed() || record.IsOlder(m, why) {
		return r, false // a message that was moved back from failed/ is read with its why-file
	} else {
		r.Returned = record.IsOf(m, why)
	}
	return r, true
}

// differs returns the result for a file that is not read, as the record is about another version.
func differs(f *files, a *queue.Act) queue.Result {
	if _, err := f.spool.dir.Stat(a.Name); err != nil {
		return f.failed(a, err)
	}
	return queue.Result{Trouble: queue.Differs}
}

// read reads the message and, if the file was moved back from failed/, the why-file.
func (f *files) read(a *queue.Act, file *msgfile.File) (r queue.Result, err error) {
	to, err := file.Addresses()
	if err != nil {
		return r, err
	}
	head := &record.Head{
		Name: a.Name, Size: file.ID.Size, Modified: file.ID.ModTime, Inode: file.ID.Ino, Addresses: to,
		MessageID: file.MessageID(to.From, f.host), Envelope: file.Envelope, UID: file.UID(),
		Copy: f.rules.Copy(to.From),
	}
	if f.handsOn && file.Envelope != nil { // the other queue waits
		env := *file.Envelope
		env.NotBefore = time.Time{}
		head.Envelope = &env
	}
	if !file.HasMessageID() {
		head.Digest = file.Header.Digest()
		if head.Body, err = file.BodyDigest(); err != nil {
			return r, err
		}
	}
	r = queue.Result{Version: versionOf(file.ID), User: msgfile.UserOf(file), Head: head}
	text, err := f.spool.dir.Failed().ReturnedWhy(a.Name)
	switch isNew := !a.Known.Holds() || record.IsUnreadable(a.Known.Message()); {
	case errors.Is(err, fs.ErrNotExist) && isNew:
		return f.strays.claim(a, r, time.Now())
	case errors.Is(err, fs.ErrNotExist):
		return r, nil
	case err != nil:
		return r, err
	}
	if r.Why, err = record.DecodeFailure(text); err != nil {
		return r, fmt.Errorf("failed/%s.json, which has the outcome of each recipient: %w", a.Name, err)
	}
	r.Returned = true
	return r, nil
}

// failed returns the result of a failed act Open.
func (f *files) failed(a *queue.Act, err error) queue.Result {
	r := queue.Result{Trouble: f.trouble(err), Err: err}
	if id, statErr := f.spool.dir.Stat(a.Name); statErr == nil {
		r.Version = versionOf(id)
	}
	return r
}

// trouble classifies the error of an act.
func (f *files) trouble(err error) queue.Trouble { return troubleOf(f.spool.dir, err) }

// troubleOf classifies an error of spooldir or msgfile. All classification is in this function.
func troubleOf(dir *spooldir.Dir, err error) queue.Trouble {
	if errors.Is(err, fs.ErrNotExist) {
		if dir.Lock().Here() != nil {
			return queue.System // the spool directory is missing: this says nothing about a file
		}
		return queue.Gone
	}
	for _, known := range []struct {
		err error
		is  queue.Trouble
	}{
		{spooldir.ErrChanged, queue.Replaced},
		{message.ErrHeaderTooLong, queue.NoMessage},
		{msgfile.ErrSeveral, queue.NoMessage},
		{msgfile.ErrLoop, queue.NoMessage},
		{msgfile.ErrUnusable, queue.Unusable},
		{spooldir.ErrUnsettled, queue.Unsettled},
		{spooldir.ErrBeingWritten, queue.Writing},
		{spooldir.ErrLinked, queue.Linked},
	} {
		if errors.Is(err, known.err) {
			return known.is
		}
	}
	if spooldir.SystemTrouble(err) || errors.Is(err, spooldir.ErrReplaced) || errors.Is(err, spooldir.ErrLockLost) {
		return queue.System
	}
	return queue.OtherCause
}

// versionOf and idOf convert between the version of a file in the queue and in spooldir.
func versionOf(id spooldir.ID) queue.Version {
	return queue.Version{Inode: id.Ino, Size: id.Size, Modified: id.ModTime.UnixNano()}
}

func idOf(v queue.Version) spooldir.ID {
	if v == (queue.Version{}) {
		return spooldir.ID{}
	}
	return spooldir.ID{Ino: v.Inode, Size: v.Size, ModTime: v.Time()}
}
