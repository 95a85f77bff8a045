package spoolgore

import (
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/unbit/spoolgore/internal/fair"
	"github.com/unbit/spoolgore/internal/journal"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/pack"
	"github.com/unbit/spoolgore/internal/pile"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// The queue knows what is in the spool, for whom, when it is due, and what an outcome means. It has one owner, the
// loop of Run, and so no lock; the time is always an argument.
//
// An entry is in exactly one state, and by it in at most one of the piles:
//
//	unread ──read──▶ waiting ──due──▶ ready ──next──▶ busy ──settle──▶ waiting, finishing, or gone
//	   ▲ not yet complete, or not usable                 │                ▲ │
//	   │                                  somebody has accepted ──▶ recording
//	   └──────────────── the file is another one now ─────────────────────┘
type queue struct {
	dir     *spooldir.Dir
	opts    Options
	entries map[string]*entry  // by file name
	pending *pile.Pile[*entry] // unread, waiting, finishing: by when there is something to do
	ready   []lanes            // may be sent now, by the route that it takes
	expiry  *pile.Pile[*entry] // all that were read: by when they are given up, or their sender is told something
	seen    spooldir.Snapshot  // of the directory, when it was last read
	memory  map[string]parcel  // by file name: messages whose file was not seen yet, or has just gone
	base    *time.Time         // when the queue was made: a time that parcels count from
	epoch   time.Time          // likewise, for what is put in order
	packer  pack.Packer        // makes them
	host    string             // for the Message-ID of a message whose sender has no domain
	routeOf func(sender string) int
	journal *journal.File            // what must not be forgotten until the status file is written
	pledges []pledge                 // messages that are recording, in the order in which the journal will hold them
	changed bool                     // the status file is to be written
	round   uint16                   // number of the last scan
	removed bool                     // a file was removed, and a power cut could bring it back
	ailing  map[*entry]error         // what could not be done for the system's sake: no file is to blame
	kept    []kept                   // what was moved to failed/, for the loop to tell
	news    []news                   // what senders are to be told of messages that go on
	room    room                     // for more in flight
	open    map[*entry]*msgfile.File // files that were read in this turn of the loop, for those that are sent in it
}

// room is what the loop knows of deliveries, for the queue to read as much as can be sent.
type room struct {
	free int  // messages that could be handed out now
	busy bool // some are in flight: when one ends is an occasion to read the next
}

// pledge is a message whose outcome is not safe yet, where the journal will hold it, and what is to be told then.
type pledge struct {
	e      *entry
	at     int64
	events []Event
}

// kept is a message that was moved to failed/; untold says that its sender is to be told.
type kept struct {
	Event
	untold bool
}

// news are of the version id of the message name.
type news struct {
	name string
	id   spooldir.ID
	notify.News
}

type state uint8

const (
	unread    state = iota // the file is to be opened, or opened again
	waiting                // its recipients wait for their next attempt
	ready                  // may be sent now
	busy                   // with a worker
	recording              // with the journal, as a recipient has accepted: until that is safe nothing is done for the message
	finishing              // all recipients are done; the file is to be removed or moved to failed/
	held                   // the file was moved to hold/
)

// An entry is one file of the spool. There may be a million of them, so the message itself is kept in one piece, and what
// the piles go by stands beside it.
type entry struct {
	name    string
	msg     parcel      // unread: what was known of the message before, if anything was
	id      version     // of the file
	due     pack.Moment // when there is something to do, by the state
	look    pack.Moment // in expiry: its place there
	seen    *sighting   // by this process
	suspect *time.Time  // when the relay last failed in the middle of its transaction; nil: it did not

	sender   string   // of the message: whose turn it is
	priority int32    // of the message
	route    int32    // of the message: where it is in queue.ready
	place    [3]int32 // in pending, ready and expiry; -1: not there
	round    uint16   // the scan that last saw the file
	state    state    // where it is
	looks    uint8    // unread: at a file that was not ready yet; after each it is left alone for longer
	fresh    bool     // the message has not been tried yet, or for the relay's sake in vain
	soon     bool     // unread: it only has to settle, or was not looked at yet, Drain waits for that
	judged   bool     // unread: this version of the file was read, and is not usable
	returned bool     // it came back from failed/, where its why-file still is
	telling  bool     // its sender is being told something
	stirred  bool     // something has happened to the file while it was away
}

// A sighting is what is known of a file that was seen and not read yet. It is shared, and never changed.
type sighting struct {
	at    time.Time // when this version of the file was first seen
	first time.Time // when a version was
	err   string    // why it cannot be read; empty: it was not tried yet, or only has to settle
}

// A version is a spooldir.ID in less room: the times of files can be counted in nanoseconds.
type version struct {
	ino         uint64
	size, mtime int64
}

func versionOf(id spooldir.ID) version { return version{id.Ino, id.Size, id.ModTime.UnixNano()} }

// moment is t by the queue's epoch.
func (q *queue) moment(t time.Time) pack.Moment { return pack.MomentOf(t, q.epoch) }

// time is what m, of an entry, stands for.
func (q *queue) time(m pack.Moment) time.Time { return m.Time(q.epoch) }

// clockSet is from where on the clock was set, or stood while the machine slept, and does not only drift.
const clockSet = time.Second

// keepTime sees that the moments of both clocks compare as the times that they stand for. What is ready needs no
// order that is so exact.
func (q *queue) keepTime(now time.Time) {
	if (now.Round(0).Sub(q.epoch.Round(0)) - now.Sub(q.epoch)).Abs() < clockSet {
		return
	}
	for _, e := range q.entries {
		e.due, e.look = pack.MomentOf(q.time(e.due), now), pack.MomentOf(q.time(e.look), now)
	}
	q.epoch = now
	q.pending.Reorder()
	q.expiry.Reorder()
}

// firstSeen is when this version of the file was first seen; zero: it was not seen in the spool.
func (e *entry) firstSeen() time.Time {
	if e.seen == nil {
		return time.Time{}
	}
	return e.seen.at
}

// version is that of the file, as it was last seen.
func (e *entry) version() spooldir.ID {
	return spooldir.ID{Ino: e.id.ino, Size: e.id.size, ModTime: time.Unix(0, e.id.mtime)}
}

// away reports whether e is with a worker or with the journal: what happens to its file meanwhile is seen afterwards, by settled.
func (e *entry) away() bool { return e.state == busy || e.state == recording }

// newQueue makes a queue that knows nothing yet. Its messages take one of so many routes, and routeOf tells by the sender which.
func newQueue(dir *spooldir.Dir, opts Options, host string, routes int, routeOf func(sender string) int) *queue {
	now := time.Now()
	q := &queue{
		dir: dir, opts: opts, host: host, routeOf: routeOf, base: &now, epoch: now,
		entries: make(map[string]*entry), memory: make(map[string]parcel), ailing: make(map[*entry]error),
		open: make(map[*entry]*msgfile.File),
	}
	q.journal = journal.NewOn(dir.FS(), dir.File(journalName))
	q.pending = pile.New(func(a, b *entry) bool { return a.due < b.due }, placeIn(0))
	for range routes {
		q.ready = append(q.ready, newLanes(placeIn(1)))
	}
	q.expiry = pile.New(func(a, b *entry) bool { return a.look < b.look }, placeIn(2))
	return q
}

// reconfigure goes on with other options, and with so many routes, of which routeOf tells by the sender which one is taken.
func (q *queue) reconfigure(opts Options, routes int, routeOf func(sender string) int) {
	was := q.opts
	retimed := opts.MaxAge != was.MaxAge || opts.WarnAfter != was.WarnAfter || opts.NoReports != was.NoReports
	var here []*entry // that are ready
	for _, e := range q.entries {
		if e.state == ready {
			q.unready(e)
			here = append(here, e)
		}
	}
	q.opts, q.routeOf, q.ready = opts, routeOf, nil
	for range routes {
		q.ready = append(q.ready, newLanes(placeIn(1)))
	}
	for _, e := range q.entries {
		if e.state == unread {
			continue
		}
		via := e.sender
		if via == "" || retimed {
			m := e.msg.open()
			via = m.via()
			if retimed {
				q.watch(e, m)
			}
		}
		e.route = int32(routeOf(via))
	}
	for _, e := range here {
		q.ready[e.route].of(e).Push(e)
	}
}

// placeIn is where an entry has its place in pending (0), ready (1) and expiry (2).
func placeIn(i int) func(*entry) *int32 { return func(e *entry) *int32 { return &e.place[i] } }

// jitter spreads d by a tenth to either side, so that what failed together is not tried again together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

func (q *queue) expires(e *entry, m *Message) time.Time {
	return retry.End(m.Enqueued, m.NotBefore, m.Expire, e.firstSeen(), q.opts.MaxAge)
}

// lanes hold what may be sent by one route: by priority, fresh mail before retries, and each sender in turn. Large
// messages are kept apart, so that they cannot take every connection.
type lanes struct{ small, large *fair.Queue[*entry] }

// largeSize is the size of a file, in bytes, from which a message takes its connection for a while.
const largeSize = 1 << 20

func newLanes(place func(*entry) *int32) lanes {
	rules := fair.Rules[*entry]{
		Owner: func(e *entry) string { return e.sender },
		Urgent: func(a, b *entry) bool {
			if (a.suspect == nil) != (b.suspect == nil) {
				return a.suspect == nil // what a relay stumbled over is not what shows whether it is well
			}
			if a.priority != b.priority {
				return a.priority > b.priority
			}
			return a.fresh && !b.fresh
		},
		First: func(a, b *entry) bool { return a.due < b.due },
		Place: place,
	}
	return lanes{small: fair.New(rules), large: fair.New(rules)}
}

func (l lanes) of(e *entry) *fair.Queue[*entry] {
	if e.id.size >= largeSize {
		return l.large
	}
	return l.small
}

func (l lanes) len() int { return l.small.Len() + l.large.Len() }

// unready takes e out of its lane. Call it before e gets a record with another sender or priority.
func (q *queue) unready(e *entry) {
	if e.state == ready {
		q.ready[e.route].of(e).Remove(e)
	}
}

// move puts e into a state, and into the pile that belongs to it.
func (q *queue) move(e *entry, to state, due time.Time) {
	q.pending.Remove(e)
	q.unready(e)
	e.state, e.due = to, q.moment(due)
	switch to {
	case unread, waiting, finishing:
		q.pending.Push(e)
	case ready:
		q.ready[e.route].of(e).Push(e)
	}
}

func (q *queue) drop(e *entry) {
	q.pending.Remove(e)
	q.unready(e)
	q.expiry.Remove(e)
	delete(q.entries, e.name)
	delete(q.ailing, e)
	q.changed = true
	if e.state == unread && e.msg.holds() {
		q.memory[e.name] = e.msg
	}
}

// remember gives e another record. One with another sender or priority must not be given to what is ready.
func (q *queue) remember(e *entry, m *Message) {
	e.msg = q.wrap(m)
	e.sender, e.priority, e.fresh = unique.Make(m.From).Value(), int32(max(min(m.Priority, math.MaxInt32), math.MinInt32)), m.Attempts == 0
	if e.state != ready {
		e.route = int32(q.routeOf(m.via()))
	}
	q.changed = true
	q.watch(e, m)
}

// watch puts e in its place in expiry, if it has one.
func (q *queue) watch(e *entry, m *Message) {
	q.expiry.Remove(e)
	if len(m.To)+len(m.Cc)+len(m.Bcc) == 0 || e.state == held {
		return
	}
	look := q.expires(e, m)
	if at := m.newsAt(q.opts); !e.telling && !at.IsZero() && at.Before(look) {
		look = at
	}
	e.look = q.moment(look)
	q.expiry.Push(e)
}

// scan compares the directory with the queue, if it has changed since the last time. With verify it also looks whether
// the files that are known are still the same ones, which the system may have told already, and delivery will see.
func (q *queue) scan(now time.Time, verify bool) error {
	snap, changed, err := q.dir.Changed(q.seen)
	if err != nil || !changed {
		return err
	}
	q.round++
	seen, rested := see(now), now
	var fresh []string // names to be read at once: in their order, which may be that of their age
	err = q.dir.EachName(func(names []string) error {
		if err := q.dir.Here(); err != nil {
			return err // looked at behind them: they are this spool's
		}
		for _, name := range names {
			e, known := q.entries[name], q.memory[name]
			switch {
			case e != nil:
				e.round = q.round
				if e.state == held || verify && (e.state == waiting || e.state == ready || e.away()) {
					q.verify(e, now)
				}
			case !q.takes(name):
			case known.rests(now):
				q.add(name, seen, rested).soon = rested.After(now)
				rested = rested.Add(readPace)
			default:
				fresh = append(fresh, name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(fresh)
	for _, name := range fresh {
		q.add(name, seen, now)
	}
	q.seen = snap
	for _, e := range q.entries {
		if e.round != q.round {
			q.vanished(e, now)
		}
	}
	q.restoreHeld()
	return nil
}

// readPace is the time between two looks, after a start, at files whose messages are not due: it leaves room for those that
// are, and for what comes.
const readPace = 50 * time.Microsecond

// notice looks at files that may have come, gone or changed.
func (q *queue) notice(names []string, now time.Time) {
	for _, name := range names {
		e := q.entries[name]
		switch {
		case e == nil && q.takes(name):
			q.add(name, see(now), now)
		case e != nil && e.state == unread:
			e.looks = 0
			q.move(e, unread, now)
		case e != nil:
			q.verify(e, now)
		}
	}
}

// miss looks at messages whose files are said to have gone away.
func (q *queue) miss(names []string, now time.Time) {
	for _, name := range names {
		if e := q.entries[name]; e != nil {
			q.verify(e, now)
		}
	}
}

// takes reports whether a file of that name can be a message: it must not be the status file.
func (q *queue) takes(name string) bool {
	return q.dir.Usable(name) && (!strings.HasSuffix(q.opts.StatusFile, name) || q.dir.File(name) != q.opts.StatusFile)
}

func newEntry(name string) *entry { return &entry{name: name, place: [3]int32{-1, -1, -1}} }

// see is a sighting for the first time.
func see(now time.Time) *sighting { return &sighting{at: now, first: now} }

// add takes in a file that is to be read at the time due.
func (q *queue) add(name string, seen *sighting, due time.Time) *entry {
	e := newEntry(name)
	e.seen, e.round = seen, q.round
	if known, ok := q.memory[name]; ok {
		e.msg = known
		delete(q.memory, name)
	}
	q.entries[name] = e
	q.move(e, unread, due)
	return e
}

// verify makes e unread if its file is not the one that was read, and lets go of it if there is none. While the file
// cannot be looked at nothing changes: delivery looks again.
func (q *queue) verify(e *entry, now time.Time) {
	if e.stirred = e.away(); e.stirred {
		return
	}
	id, err := q.dir.Stat(e.name)
	switch {
	case q.missing(err):
		q.vanished(e, now)
	case err != nil:
	case !id.Equal(e.version()), e.state == held && e.msg.open().partial():
		q.forget(e, now)
	case e.state == held:
		m := e.msg.open()
		m.release(now)
		e.telling, e.seen = false, see(now)
		q.move(e, waiting, now)
		q.remember(e, m)
		q.conclude(e, m, now) // makes no events: at worst the file of a message that is done is removed
	}
}

// forget starts afresh with the file that is there now. What was known is remembered, in case it is the same message.
func (q *queue) forget(e *entry, now time.Time) {
	if len(e.msg.open().recipients()) > 0 {
		q.memory[e.name] = e.msg
	}
	q.drop(e)
	q.add(e.name, see(now), now)
}

// missing reports whether err says that a file is gone. While the whole spool is, as when its file system is not mounted,
// nothing is known of any file.
func (q *queue) missing(err error) bool { return errors.Is(err, fs.ErrNotExist) && q.dir.Here() == nil }

// ails notes what came of an act for e, and reports whether it failed for the system's sake.
func (q *queue) ails(e *entry, err error) bool {
	if spooldir.Ailing(err) || errors.Is(err, fs.ErrNotExist) {
		q.ailing[e] = err
		return true
	}
	delete(q.ailing, e)
	return false
}

// ailment is why something cannot be done for the system's sake; nil: there is nothing.
func (q *queue) ailment() error {
	for _, err := range q.ailing {
		return err
	}
	return nil
}

// vanished is told that the file of e is gone from the spool: removed, which cancels it, or moved to hold/.
func (q *queue) vanished(e *entry, now time.Time) {
	if e.stirred = e.away(); e.stirred {
		return
	}
	id, err := q.dir.StatHeld(e.name)
	if e.state == unread || errors.Is(err, fs.ErrNotExist) {
		q.drop(e)
		return
	}
	m, edited := e.msg.open(), err == nil && !id.Equal(e.version())
	if e.state == held && !edited {
		return // or it cannot be seen now
	}
	if e.state != held {
		m.Held = now
		q.move(e, held, time.Time{})
	}
	if edited {
		e.id, m.Size = versionOf(id), -1 // it is read anew when it is back
	}
	q.remember(e, m)
}

// advance does what is due: reads files, makes waiting messages ready, gives up what is too old, finishes what is done.
// It stops after budget files, so that the loop stays responsive; more says that there is more to do. The files of messages
// that can be handed out at once stay open until shut.
func (q *queue) advance(now time.Time, budget int) (events []Event, more bool) {
	q.keepTime(now)
	for q.expiry.Len() > 0 && !q.time(q.expiry.Top().look).After(now) {
		if budget--; budget < 0 {
			return events, true
		}
		events = append(events, q.expire(q.expiry.Top(), now)...)
	}
	for q.pending.Len() > 0 && !q.due(q.pending.Top()).After(now) {
		if budget--; budget < 0 {
			return events, true
		}
		switch e := q.pending.Top(); e.state {
		case unread:
			events = append(events, q.read(e, now)...)
		case waiting:
			q.move(e, ready, q.time(e.due))
		case finishing:
			events = append(events, q.finish(e, e.msg.open(), now)...)
		}
	}
	return events, false
}

// readPatience is how long a file may wait to be read while there is enough to send. It is short, as nobody knows yet how
// urgent a message it holds, or whose.
const readPatience = time.Second

// due is when there is something to do for e, which is in pending. A file that need not be read yet is read when it is
// to be sent, and then opened once.
func (q *queue) due(e *entry) time.Time {
	if e.state == unread && q.room.busy && q.backlog() >= q.room.free {
		return q.time(e.due).Add(readPatience)
	}
	return q.time(e.due)
}

// backlog is how many messages are ready.
func (q *queue) backlog() (n int) {
	for _, l := range q.ready {
		n += l.len()
	}
	return n
}

// shut closes the files that are open for messages that were not handed out.
func (q *queue) shut() {
	for _, f := range q.open {
		f.Close()
	}
	clear(q.open)
}

// next hands out the message that is to be sent first of those in lane, of which there must be one. It is not ok if
// nobody is due after all, as when the clock was set back.
func (q *queue) next(lane *fair.Queue[*entry], now time.Time) (j job, ok bool) {
	e := lane.Next()
	e.state = busy // it is in no lane any more
	m := e.msg.open()
	j = job{name: e.name, id: e.version(), large: e.id.size >= largeSize, from: m.From, messageID: m.MessageID, attempt: m.Attempts + 1, began: now}
	j.last, j.enqueued = !e.returned, m.Enqueued
	if !q.opts.NoReports {
		j.host = q.host
	}
	for _, r := range m.recipients() {
		if r.Status == Waiting && !r.NextAttempt.After(now) {
			r.Status = InProgress
			j.to = append(j.to, r.Address)
		} else if r.Status != Done || r.GivenUp {
			j.last = false
		}
	}
	if len(j.to) == 0 {
		q.conclude(e, m, now)
		return j, false
	}
	q.remember(e, m)
	if f := q.open[e]; f != nil && f.ID.Equal(j.id) {
		j.file = f
		delete(q.open, e)
	}
	return j, true
}

// wait is how long nothing is due; negative: nothing will be.
func (q *queue) wait(now time.Time) time.Duration {
	if q.pending.Len() == 0 {
		return -1
	}
	return max(0, q.due(q.pending.Top()).Sub(now))
}

// idle says that nothing can be sent now, nor in a moment when a file has settled.
func (q *queue) idle(now time.Time) bool {
	for _, l := range q.ready {
		if l.len() > 0 {
			return false
		}
	}
	for _, e := range q.pending.All() {
		if e.soon || !q.time(e.due).After(now) {
			return false
		}
	}
	return true
}

// flush makes everything that waits due.
func (q *queue) flush(now time.Time) {
	q.seen = spooldir.Snapshot{}
	retried := func(known parcel) parcel {
		m := known.open()
		m.retryAt(now)
		return q.wrap(m)
	}
	for name, known := range q.memory {
		q.memory[name] = retried(known)
	}
	for _, e := range q.entries {
		switch e.state {
		case waiting, ready:
			m := e.msg.open()
			m.retryAt(now)
			q.remember(e, m)
			q.move(e, waiting, now)
		case recording:
			m := e.msg.open()
			m.retryAt(now)
			q.remember(e, m)
		case unread, finishing:
			if e.state == unread && e.msg.holds() {
				e.msg = retried(e.msg)
			}
			e.looks = 0
			q.move(e, e.state, now)
		}
	}
}

func (q *queue) snapshot() []record {
	all := make([]record, 0, len(q.entries))
	for name, m := range q.memory { // not to be forgotten while its file is not read yet
		all = append(all, record{name, m})
	}
	for name, e := range q.entries {
		switch {
		case e.msg.holds():
			all = append(all, record{name, e.msg})
		case e.seen.err != "":
			all = append(all, record{name, q.wrap(e.unreadable(e.seen.err))})
		}
	}
	return all
}

// settle takes what came of an attempt.
func (q *queue) settle(res result, now time.Time) []Event {
	e := q.entries[res.name]
	m := e.msg.open()
	tried := make(map[string]*Recipient)
	for _, r := range m.recipients() {
		if r.Status == InProgress {
			r.Status = Waiting
			tried[r.Address] = r
		}
	}
	delete(q.ailing, e)
	defer q.settled(e, now)
	if res.err != nil { // nothing was offered to anybody
		q.remember(e, m)
		return q.forgetOrRetry(e, res.err, now)
	}
	m.Error = ""
	e.suspect = nil
	if res.overMessage() {
		e.suspect = &now
	}
	events := m.settle(tried, res, q.opts, now)
	if res.removed {
		q.removed = true
		q.drop(e)
		return events
	}
	q.remember(e, m)
	return q.record(e, m, m.note(tried, res), events, now)
}

// record sees that what came of an attempt is not forgotten, and goes on with e. If somebody has accepted, then not before
// that is safe; and the events are not told before either, since what was told must stay true.
func (q *queue) record(e *entry, m *Message, n note, events []Event, now time.Time) []Event {
	if m.served() && q.leave(e, m, now) == nil {
		q.drop(e)
		return events // its removal is the record
	}
	if n.hasAccepted() {
		q.move(e, recording, time.Time{})
		q.pledges = append(q.pledges, pledge{e, q.journal.Append(n.line(), now), events})
		return nil
	}
	events = append(events, q.conclude(e, m, now)...)
	if len(n.To) > 0 && q.entries[e.name] == e && !q.journal.Strained() { // else failed/ says it, or the status file has to
		q.journal.Append(n.line(), now.Add(noteDelay))
	}
	return events
}

// settled looks at the file of e, which is not away any more, if something has happened to it meanwhile.
func (q *queue) settled(e *entry, now time.Time) {
	if e.stirred && q.entries[e.name] == e && (e.state == waiting || e.state == ready) {
		q.verify(e, now)
	}
}

// noteDelay is how long it may take until an attempt that was in vain is in the journal: the status file may have it by then.
const noteDelay = time.Second

// recorded goes on with the messages whose outcome is safe by now.
func (q *queue) recorded(now time.Time) (events []Event) {
	for len(q.pledges) > 0 && q.pledges[0].at <= q.journal.Safe() {
		p := q.pledges[0]
		q.pledges[0] = pledge{}
		q.pledges = q.pledges[1:]
		m := p.e.msg.open()
		q.watch(p.e, m)
		events = append(append(events, p.events...), q.conclude(p.e, m, now)...)
		q.settled(p.e, now)
	}
	return events
}

// forgetOrRetry deals with a message file that could not be offered at all.
func (q *queue) forgetOrRetry(e *entry, err error, now time.Time) []Event {
	switch {
	case q.missing(err):
		q.move(e, waiting, now)
		q.vanished(e, now)
	case errors.Is(err, spooldir.ErrChanged), errors.Is(err, spooldir.ErrNotRegular):
		q.forget(e, now)
	default: // the disk, or permissions: not the message's fault
		m := e.msg.open()
		for _, r := range m.recipients() {
			if r.Status == Waiting {
				r.NextAttempt = later(r.NextAttempt, now.Add(q.opts.Freq))
			}
		}
		news := m.Error != err.Error()
		m.Error = err.Error()
		q.remember(e, m)
		q.conclude(e, m, now)
		if !q.ails(e, err) && news {
			return []Event{{Kind: Unusable, Time: now, File: e.name, From: m.From, Err: err}}
		}
	}
	return nil
}

// conclude sees what is left to do for m, the message of e: wait, or finish.
func (q *queue) conclude(e *entry, m *Message, now time.Time) []Event {
	switch at, waits := m.nextAttempt(); {
	case waits && !at.After(now):
		q.move(e, ready, at)
		return nil
	case waits:
		q.move(e, waiting, at)
		return nil
	}
	q.move(e, finishing, now)
	return q.finish(e, m, now)
}

// expire gives up the recipients of e that are still waiting, if it is too old; else there is something to tell its sender.
func (q *queue) expire(e *entry, now time.Time) []Event {
	m := e.msg.open()
	at := q.expires(e, m)
	q.expiry.Remove(e)
	if e.state != waiting && e.state != ready {
		return nil // settle, recorded or read puts it back
	}
	if at.After(now) {
		e.telling = true
		q.news = append(q.news, news{e.name, e.version(), m.news(q.opts, at, now)})
		q.watch(e, m)
		return nil
	}
	events := m.expire(e.name, at, now)
	q.remember(e, m)
	return append(events, q.conclude(e, m, now)...)
}

// told notes that the sender of a message that goes on has been told.
func (q *queue) told(name string, id spooldir.ID, of *notify.News) {
	if e := q.entries[name]; e != nil && e.telling && e.version().Equal(id) {
		m := e.msg.open()
		m.told(of.Recipients)
		e.telling = false
		q.remember(e, m)
	}
}

// read opens a file and learns from it whom it is for.
func (q *queue) read(e *entry, now time.Time) []Event {
	if e.judged && q.unchanged(e) {
		q.move(e, unread, now.Add(q.opts.Freq))
		return nil
	}
	var old *Message
	if e.msg.holds() {
		old = e.msg.open()
	}
	if old != nil && q.adopt(e, old, now) {
		return q.conclude(e, e.msg.open(), now)
	}
	f, err := msgfile.Open(q.dir, e.name, e.version(), e.firstSeen(), now)
	if err != nil {
		return q.postpone(e, err, now)
	}
	defer func() {
		if e.state == ready && len(q.open) < q.room.free {
			q.open[e] = f
		} else {
			f.Close()
		}
	}()
	to, err := f.Addresses()
	if err != nil {
		return q.postpone(e, err, now)
	}
	e.id, e.soon, e.judged = versionOf(f.ID), false, false
	delete(q.ailing, e)
	m := newMessage(e.name, q.host, f, to, now)
	if old != nil && !m.same(old) {
		old = nil
	}
	if old != nil {
		m.resume(old)
		if !old.Modified.IsZero() && !old.Modified.Equal(m.Modified) {
			m.retryAt(now) // somebody has touched or corrected the file: that is how one message is tried now
		}
		m.mend(now, q.opts.MaxAge)
	}
	if e.returned, err = q.recall(e.name, f, m); err != nil {
		return q.postpone(e, err, now)
	}
	events := m.admitted(e.name, old, now)
	q.remember(e, m)
	return append(events, q.conclude(e, m, now)...)
}

func (q *queue) unchanged(e *entry) bool {
	id, err := q.dir.Stat(e.name)
	return err == nil && id.Equal(e.version())
}

// firstLook is the time to the second look at a file that is not ready; it doubles with each.
const firstLook = 5 * time.Millisecond

// postpone says when to look again at a file that cannot be read now, and remembers why.
func (q *queue) postpone(e *entry, err error, now time.Time) []Event {
	if q.missing(err) {
		q.drop(e)
		q.restoreHeld()
		return nil
	}
	if id, err := q.dir.Stat(e.name); err == nil && !id.Equal(e.version()) {
		e.id, e.seen = versionOf(id), &sighting{now, e.seen.first, e.seen.err}
	}
	if errors.Is(err, message.ErrHeaderTooLong) {
		return q.putAside(e, err, now)
	}
	e.judged = errors.Is(err, msgfile.ErrUnusable)
	writing := errors.Is(err, spooldir.ErrBeingWritten)
	age := now.Sub(e.seen.first)
	// A program that is being started has what its parent had open, the file of Put as well, until it runs.
	e.soon = errors.Is(err, spooldir.ErrUnsettled) || writing && age < spooldir.SettleTime
	wait := q.opts.Freq
	if e.soon || writing || errors.Is(err, spooldir.ErrLinked) { // usual, and often over in a moment: look again soon
		wait = min(firstLook<<e.looks, wait)
		e.looks = min(e.looks+1, 20)
		if e.soon {
			wait = min(wait, spooldir.SettleTime/8)
		}
		if e.soon || age < time.Second {
			q.move(e, unread, now.Add(wait))
			return nil
		}
	}
	q.move(e, unread, now.Add(wait))
	ails := q.ails(e, err)
	if e.seen.err == err.Error() {
		return nil
	}
	e.seen, q.changed = &sighting{e.seen.at, e.seen.first, err.Error()}, true
	if writing || ails {
		return nil // no reason to be alarmed, or none that this file has
	}
	return []Event{{Kind: Unusable, Time: now, File: e.name, Err: err}}
}

// unreadable is the record of a file that has no recipients to tell of.
func (e *entry) unreadable(why string) *Message {
	nobody := []Recipient{} // in the file, nobody is [], as it always was
	return &Message{
		To: nobody, Cc: nobody, Bcc: nobody, Error: why, Enqueued: e.seen.first,
		Size: e.id.size, Modified: e.version().ModTime, RawName: rawName(e.name),
	}
}

// putAside moves a file that can never be a message to failed/.
func (q *queue) putAside(e *entry, err error, now time.Time) []Event {
	m := e.unreadable(err.Error())
	q.remember(e, m)
	q.move(e, finishing, now)
	return append([]Event{{Kind: Unusable, Time: now, File: e.name, Err: err}}, q.finish(e, m, now)...)
}

// finish takes m, the message of e, whose recipients are all done, out of the spool: it goes to failed/ if one was given up.
func (q *queue) finish(e *entry, m *Message, now time.Time) []Event {
	err := q.leave(e, m, now)
	switch {
	case err == nil:
		q.drop(e)
	case q.missing(err):
		q.vanished(e, now)
	case errors.Is(err, spooldir.ErrChanged):
		q.forget(e, now)
	default: // it stays Done, and the file is tried again
		q.move(e, finishing, now.Add(q.opts.Freq))
		if ails := q.ails(e, err); !m.tells(err) {
			m.Error = err.Error()
			q.remember(e, m)
			if ails {
				return nil
			}
			return []Event{{Kind: Unusable, Time: now, File: e.name, From: m.From, Err: err}}
		}
	}
	return nil
}
