package engine

import (
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/asyncfile"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// maxMoves is the maximum number of messages that leave the spool in one batch.
const maxMoves = 256

// moves takes messages out of the spool beside the loop: delivered messages are removed, and messages with a given-up
// recipient are moved to failed/.
type moves struct {
	spool    *spool
	opts     *Options
	post     func(func())
	beside   func(func())                     // does work beside the loop
	owe      func(path string, now time.Time) // asks for a report on a message in failed/
	acts     fifo[queue.Act]
	batch    []queue.Act    // being done beside the loop while moving is set, and the results
	results  []queue.Result // in the order of batch
	moving   bool
	half     []*spooldir.Failing // half-done moves; used only by the batch while a batch runs
	halfDone bool                // there are half-done moves
	retry    bool                // the next batch completes the half-done moves
	asked    int                 // number of acts so far
	answered int                 // of them, in their order
	waiters  []moveWaiter        // in the order of their acts
	places   *asyncfile.File     // stands for the directories, which are synced some time after messages have left

	pickupDots bool // option when the batch began
	renumbered bool // the log says that files get other inode numbers
}

func newMoves(s *spool, opts *Options, post, beside func(func()), owe func(string, time.Time)) *moves {
	sync := func(string, fs.FileMode, func(io.Writer) error) error { return s.dir.SyncPlaces() }
	return &moves{
		spool: s, opts: opts, post: post, beside: beside, owe: owe, places: asyncfile.New(s.dir.Path(), sync),
	}
}

// A moveWaiter is a function that the loop calls when so many acts are answered.
type moveWaiter struct {
	acts int
	f    func()
}

func (m *moves) add(a queue.Act) {
	m.asked++
	m.acts.add(a)
}

func (m *moves) busy() bool { return m.moving || m.acts.len() > 0 }

// start begins the next batch, unless a batch is under way.
func (m *moves) start() {
	if m.moving || m.acts.len() == 0 && !(m.retry && len(m.half) > 0) {
		return
	}
	m.batch = m.acts.take(m.batch, maxMoves)
	m.moving, m.retry, m.pickupDots = true, false, m.opts.PickupDots
	m.beside(func() {
		owed := m.complete()
		m.do()
		m.post(func() {
			for _, path := range owed {
				m.owe(path, time.Now())
			}
			m.moved()
		})
	})
}

// complete completes half-done moves, and returns the paths of messages whose senders get a report.
func (m *moves) complete() (owed []string) {
	items := m.half
	m.half = m.spool.dir.Failed().Complete(items)
	for _, f := range items {
		if f.Owed && f.NewName != "" {
			owed = append(owed, m.spool.dir.At(spooldir.Failed, f.NewName))
		}
	}
	return owed
}

// do runs a batch: removals one by one, moves to failed/ together with one sync.
func (m *moves) do() {
	var failing []int // indexes in batch
	for i := range m.batch {
		m.results = append(m.results, queue.Result{})
		if m.batch[i].Kind == queue.Fail {
			failing = append(failing, i)
			continue
		}
		if m.batch[i].Kind == queue.Hold {
			m.results[i] = m.hold(&m.batch[i])
			continue
		}
		m.results[i] = m.result(m.remove(&m.batch[i]))
	}
	if len(failing) > 0 {
		m.fail(failing)
	}
}

// remove removes a delivered message. All removals are in this function.
func (m *moves) remove(a *queue.Act) error {
	err := m.spool.dir.Remove(a.Name, idOf(a.Version))
	if errors.Is(err, spooldir.ErrChanged) && a.Sum != 0 {
		err = m.removeTouched(a, err)
	}
	if err != nil {
		return err
	}
	if a.Returned {
		return m.spool.dir.Failed().RemoveWhy(a.Name)
	}
	return nil
}

// removeTouched removes the changed file of a if the content is the content that was sent. Otherwise it returns err.
func (m *moves) removeTouched(a *queue.Act, err error) error {
	id, statErr := m.spool.dir.Stat(a.Name)
	if statErr != nil {
		return err
	}
	f, openErr := msgfile.Reopen(m.spool.dir, a.Name, id)
	if openErr != nil {
		return err
	}
	defer f.Close()
	f.Arrival, f.PickupDots = a.Message.Enqueued, m.pickupDots
	if !f.SameContent(idOf(a.Version), a.Message.MessageID, a.Sum) {
		return err
	}
	return m.spool.dir.Remove(a.Name, id)
}

// hold moves a message to hold/. A message that is changed meanwhile is held as it is.
func (m *moves) hold(a *queue.Act) queue.Result {
	if err := m.spool.dir.Steering().Shift(a.Name, spooldir.Spool, spooldir.Hold); err != nil {
		return m.result(err)
	}
	id, err := spooldir.StatIn(m.spool.dir, spooldir.Hold, a.Name)
	r := m.result(err)
	r.Version = versionOf(id)
	return r
}

// fail moves messages of the batch to failed/.
func (m *moves) fail(failing []int) {
	items := make([]*spooldir.Failing, len(failing))
	for i, at := range failing {
		a := &m.batch[at]
		why, err := m.why(a)
		items[i] = &spooldir.Failing{
			Name: a.Name, ID: idOf(a.Version), Why: why, Own: a.Returned, Owed: a.Owed, Err: err,
		}
	}
	m.spool.dir.Failed().Fail(items)
	for i, item := range items {
		result := m.result(item.Err)
		if item.HalfDone() {
			m.half = append(m.half, item)
		}
		if item.NewName != "" {
			result.Kept = m.spool.dir.At(spooldir.Failed, item.NewName)
		}
		m.results[failing[i]] = result
	}
}

// why returns the text of the why-file.
func (m *moves) why(a *queue.Act) ([]byte, error) {
	now := time.Now()
	why := record.FailureOf(a.Message, m.spool.dir.File(a.Name), now)
	if a.Message.Digest != "" && a.Message.BodyDigest == "" { // a record of an older version
		if f, err := msgfile.Reopen(m.spool.dir, a.Name, idOf(a.Version)); err == nil {
			why.BodyDigest, _ = f.BodyDigest() // without the body digest the header alone identifies the message
			f.Close()
		}
	}
	return why.Encode()
}

func (m *moves) result(err error) queue.Result {
	if err == nil {
		return queue.Result{}
	}
	return queue.Result{Trouble: troubleOf(m.spool.dir, err), Err: err}
}

// settled calls f in the loop when all acts so far are answered.
func (m *moves) settled(f func()) {
	m.waiters = append(m.waiters, moveWaiter{m.asked, f})
	m.resumeWaiters()
}

// moved hands the results of a batch to the queue.
func (m *moves) moved() {
	m.moving = false
	m.answered += len(m.results)
	defer m.resumeWaiters()
	now := time.Now()
	for i, r := range m.results {
		a := &m.batch[i]
		if r.Trouble == queue.Fine || r.Kept != "" {
			m.places.Touch(now)
		}
		m.spool.queue.Acted(*a, r, now)
		if a.Owed && r.Kept != "" {
			m.owe(r.Kept, now)
		}
	}
	m.batch, m.results, m.halfDone = reuse(m.batch), reuse(m.results), len(m.half) > 0
	if !m.renumbered && spooldir.InodesChange(m.spool.dir) {
		m.renumbered = true
		m.opts.Logger.Warn("file system changes inode numbers", "dir", m.spool.dir.Path())
	}
}

// resumeWaiters calls the functions whose acts are answered.
func (m *moves) resumeWaiters() {
	for len(m.waiters) > 0 && m.waiters[0].acts <= m.answered {
		f := m.waiters[0].f
		m.waiters[0].f = nil
		m.waiters = m.waiters[1:]
		f()
	}
}

// wait returns the time until the next sync of the directories; negative if none is needed.
func (m *moves) wait(now time.Time) time.Duration { return m.places.Wait(now) }

// write begins to sync the directories, if a sync is due.
func (m *moves) write(now time.Time) {
	if m.places.Wait(now) == 0 {
		startFile(m.places, nil, m.post, m.wrote)
	}
}

// sync syncs the directories, if messages have left the spool since the last sync, and waits.
func (m *moves) sync() { m.wrote(m.places.Sync(false, nil), false) }

// wrote logs the outcome of a sync.
func (m *moves) wrote(err error, recovered bool) {
	logWrite(m.opts.Logger, m.spool.dir.Path(), err, recovered)
}
