package queue

import (
	"cmp"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// HeldPrefix comes before the name of an absent message in the status file where a file of the spool has that name.
const HeldPrefix = "hold/"

const (
	// grace is the time that a record is kept after its file vanished.
	grace = 10 * time.Minute
	// verifyTime limits how long a new file waits for the comparison of all messages of the last run with their files.
	// After that time a new file waits only for a file that was not compared yet.
	verifyTime = time.Minute
	// verifyPause is the time between two looks at such a file.
	verifyPause = 100 * time.Millisecond
)

// absent are the entries that are not among the files of the spool directory: in state missing, or held under a name
// that another file of the spool has.
type absent struct {
	all  map[*entry]struct{}
	byID map[string][]*entry // missing, or perhaps elsewhere than they seem: by identity

	// After a start: the names of messages whose files were not compared yet, by the hashes of their identities. Those
	// of a long status file are in noted, which takes less memory.
	noted      *noted // nil: empty
	unverified map[uint64]string
	others     map[uint64][]string // further names, of messages with the same identity
	recalled   int                 // entries among them
	seed       maphash.Seed
}

func newAbsent() absent {
	return absent{all: make(map[*entry]struct{}), byID: make(map[string][]*entry), seed: maphash.MakeSeed()}
}

// Identity returns the parts of a record that identify a message apart from its file.
func Identity(m *record.Message) string { return identity(m) }

func identity(m *record.Message) string {
	id := m.MessageID
	if m.Digest != "" {
		id = "header " + m.Digest
	}
	if m.ID != "" {
		id = "id " + m.ID + " " + id
	}
	return id
}

// hash returns the hash of the identity of m.
func (a *absent) hash(m *record.Message) uint64 { return maphash.String(a.seed, identity(m)) }

// note notes the name of a message of the last run, whose identity has the hash h.
func (a *absent) note(h uint64, name string) {
	if a.unverified == nil {
		a.unverified, a.others = make(map[uint64]string), make(map[uint64][]string)
	}
	switch first, known := a.unverified[h]; {
	case !known:
		a.unverified[h] = name
	case first != name && !slices.Contains(a.others[h], name):
		a.others[h] = append(a.others[h], name)
	}
}

// names yields the names of messages of the last run that may be m.
func (a *absent) names(m *record.Message) iter.Seq[string] {
	return func(yield func(string) bool) {
		h := a.hash(m)
		first, known := a.unverified[h]
		if a.noted != nil && !a.noted.names(m, h, yield) || !known || !yield(first) {
			return
		}
		for _, name := range a.others[h] {
			if !yield(name) {
				return
			}
		}
	}
}

// add adds e, whose record is m.
func (a *absent) add(e *entry, m *record.Message) {
	a.all[e] = struct{}{}
	if e.state == missing {
		a.list(e, m)
	}
}

// snapshot yields the records of absent messages, and returns false if yield did. Names are unique: a name that a file
// in entries or another absent message has gets the prefix hold/.
func (a *absent) snapshot(entries map[string]*entry, yield func(Named) bool) bool {
	named := make(map[string]int, len(a.all)) // number of absent entries by name
	for e := range a.all {
		named[e.name]++
	}
	var alike []*entry // rare; to sort very many entries would take long
	for e := range a.all {
		if here := entries[e.name]; named[e.name] > 1 || here != nil && here.msg.Holds() {
			alike = append(alike, e)
		} else if !yield(Named{e.name, e.msg}) {
			return false
		}
	}
	used := make(map[string]bool)
	for _, e := range sorted(alike) {
		name := e.name
		for here := entries[name]; used[name] || here != nil && here.msg.Holds(); here = nil {
			name = HeldPrefix + name
		}
		used[name] = true
		if !yield(Named{name, e.msg}) {
			return false
		}
	}
	return true
}

// inOrder returns the absent entries in a fixed order.
func (a *absent) inOrder() []*entry { return sorted(slices.Collect(maps.Keys(a.all))) }

// sorted sorts entries by name, and then by version, and returns the entries.
func sorted(entries []*entry) []*entry {
	slices.SortFunc(entries, func(e, f *entry) int {
		return cmp.Or(cmp.Compare(e.name, f.name), cmp.Compare(e.id.Modified, f.id.Modified),
			cmp.Compare(e.id.Inode, f.id.Inode), cmp.Compare(e.id.Size, f.id.Size))
	})
	return entries
}

// list has e, whose record is m, found by the identity of m.
func (a *absent) list(e *entry, m *record.Message) {
	e.set(listed, true)
	a.byID[identity(m)] = append(a.byID[identity(m)], e)
}

// remove removes e if it is in the index.
func (a *absent) remove(e *entry) {
	delete(a.all, e)
	if !e.has(listed) {
		return
	}
	e.set(listed, false)
	key := identity(e.msg.Message())
	for i, f := range a.byID[key] {
		if f == e {
			a.byID[key] = append(a.byID[key][:i:i], a.byID[key][i+1:]...)
			break
		}
	}
	if len(a.byID[key]) == 0 {
		delete(a.byID, key)
	}
}

// leave removes e from the files of the spool directory. The record of e stays.
func (c *core) leave(e *entry) {
	c.verified(e)
	c.leaving(e)
	c.sched.remove(e)
	e.state = unread // in no heap
	delete(c.trouble, e)
	delete(c.served, e)
	if c.entries[e.name] == e {
		delete(c.entries, e.name)
	}
	c.absent.remove(e)
	c.changed = true
}

// suspect notes that the file of e may be gone while a job or an act for e is running.
func (c *core) suspect(e *entry) {
	e.set(stirred, true)
	if m := e.msg.Message(); !record.IsUnreadable(m) && !e.has(listed) {
		c.absent.list(e, m)
	}
}

// miss puts e into state missing, because the file is not at its name. The record m belongs to e.
func (c *core) miss(e *entry, m *record.Message, now time.Time) {
	if record.IsUnreadable(m) {
		c.drop(e)
		return
	}
	c.leave(e)
	if e.seen == nil {
		e.seen = seenAt(now)
	}
	record.Release(m, now)
	if e.id == (Version{}) && m.Inode != 0 && !m.Partial() { // of the last run: found again by its version
		c.setVersion(e, Version{Inode: m.Inode, Size: m.Size, Modified: m.Modified.UnixNano()})
	}
	if m.Missing.IsZero() || m.Missing.After(now) {
		m.Missing = now
	}
	e.set(noticing|sought|searched, false)
	e.msg = c.packer.Pack(m, now)
	c.sched.move(e, missing, now.Add(max(0, grace-now.Sub(m.Missing))))
	c.absent.add(e, m)
}

// replaced puts e into state missing, since its name has another version of the file, or another file. It returns a
// new entry for the name, which is to be read. V is the version there now, zero if that is not known.
func (c *core) replaced(e *entry, v Version, now time.Time) *entry {
	name, round, how := e.name, e.round, c.came(e)
	if how&(written|touched) == touched && v.Inode == e.id.Inode && v.Size == e.id.Size {
		how |= renamed // only the time of the file was set: the file is complete
	}
	if m := e.msg.Message(); !record.IsUnreadable(m) {
		e.set(taken, true)
		c.miss(e, m, now)
	} else {
		c.drop(e)
	}
	fresh := c.add(name, seenAt(now), now)
	fresh.round = round
	fresh.set(how, true)
	return fresh
}

// forget ends state missing, unless e was not looked for everywhere or its name has a file that was not read yet.
func (c *core) forget(e *entry, now time.Time) {
	here := c.entries[e.name]
	unseen := here != nil && (here.state == unread || here.state == opening) && !here.msg.Holds()
	if !e.has(searched) || !c.stranger.IsZero() || unseen {
		c.sched.move(e, missing, now.Add(c.rules.Freq))
		return
	}
	c.drop(e)
}

// giveUp drops e, whose record is about another file. A file that has the name of e is read.
func (c *core) giveUp(e *entry, now time.Time) {
	here, how := c.entries[e.name] == e, c.came(e)
	c.drop(e)
	if here {
		c.add(e.name, seenAt(now), now).set(how, true)
	}
}

// rename gives f, which is about the version of the file that was just read for e, the name of e. E is dropped.
func rename(c *core, f, e *entry, r Result, now time.Time) {
	name, was := e.name, f.name
	how := c.came(f)
	c.drop(e)
	f.set(arrivals|noticing, false) // the file may have had no report under its former name
	f.set(moved, true)
	if f.seen == nil {
		f.seen = e.seen
	}
	if f.state.underWay() {
		c.leaving(f)
		delete(c.entries, was)
		f.name = name
		c.entries[name] = f
		f.set(stirred, true)
		c.changed = true
		c.add(was, seenAt(now), now).set(how, true) // the name may have another file
		return
	}
	here := c.entries[was] == f
	state, due := f.state, c.sched.time(f.due)
	c.leave(f)
	f.name, f.user = name, r.User
	c.entries[name] = f
	if here {
		c.add(was, seenAt(now), now).set(how, true)
	}
	old := f.msg.Message()
	switch {
	case describes(old, r.Version) != record.ThisVersion:
		makeRecord(c, f, record.New(*r.Head, now), old, r, now)
	case state == finishing:
		c.sched.move(f, state, now)
	case state == waiting || state == ready:
		c.sched.move(f, state, due)
		c.watch(f, old)
	case r.Why != nil: // back from failed/: the given-up recipients are tried again
		makeRecord(c, f, record.New(*r.Head, now), old, r, now)
	default:
		adoptRecord(c, f, old, r, now)
	}
}
