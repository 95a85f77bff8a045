package queue

import (
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// A lookup finds the record of a message whose file was just read, under a name that has no record of the message.
type lookup struct {
	c *core
	e *entry          // entry of the name
	m *record.Message // message in the file
	v Version         // version of the file

	now time.Time
}

// entry returns the entry that has the record of the message. Same says that the entry is about the same version of the
// file.
func (l *lookup) entry() (f *entry, same bool) {
	f = l.c.index.find(l.v, func(f *entry) bool {
		return f != l.e && f.msg.Holds() && identity(f.msg.Message()) == identity(l.m)
	})
	if f != nil {
		return f, true
	}
	left := mostAlike
	for _, g := range l.c.absent.byID[identity(l.m)] {
		if left--; left < 0 && g.name != l.e.name {
			continue
		}
		old := g.msg.Message()
		switch {
		case g == l.e, isHeld(g) && l.isOther(g):
		case g.name == l.e.name && g.has(taken) && !g.has(vanished) && l.m.IsEdit(old):
			return g, false
		case l.m.IsSame(old) && (f == nil || closer(g, f, l.e.name, l.v)):
			f = g
		}
	}
	return f, false
}

// isHeld reports whether the file of g, as far as is known, is in hold/ as it was when it was read.
func isHeld(g *entry) bool { return g.state == held && !g.msg.Message().Partial() }

// isOther reports whether g, which is held, is about another file: its file was found in hold/ since the file that was
// just read was seen, or cannot be found for verifyTime. So is each of very many messages with one Message-ID.
func (l *lookup) isOther(g *entry) bool {
	seen := l.e.seen.first
	return l.c.sched.time(g.due).After(seen) || l.now.Sub(seen) >= verifyTime ||
		len(l.c.absent.byID[identity(l.m)]) > manyHeld
}

// mostAlike is the number of messages with one Message-ID that are looked at for a file of another name: a program may
// give each message the same Message-ID.
const mostAlike = 64

// manyHeld is the number of messages with one Message-ID above which no message is looked for in hold/.
const manyHeld = 16

// lookIntoHold has the files of held messages with the identity of the message looked for. Those of a message whose
// name another file has are found by the next scan.
func (l *lookup) lookIntoHold() {
	for _, g := range l.c.absent.byID[identity(l.m)] {
		if isHeld(g) && l.c.entries[g.name] == g {
			l.c.check(g)
			g.due = l.c.sched.moment(l.now)
		}
	}
}

// closer reports whether g rather than f, two entries of the same message, is about its file, which has that name and
// is version v. After a renaming and the end of the process, old files may know a message by two names. The name counts
// first, then the version of the file, then the time of the last attempt.
func closer(g, f *entry, name string, v Version) bool {
	if g.name == name || f.name == name {
		return g.name == name
	}
	a, b := g.msg.Message(), f.msg.Message()
	if is, was := describes(a, v) == record.ThisVersion, describes(b, v) == record.ThisVersion; is != was {
		return is
	}
	return a.LastAttempt().After(b.LastAttempt())
}

// recall looks for the message among the messages of the last run whose files were not compared yet. Wait says that
// such a message may be the message of the file, and that the file of that message is to be compared first. If that is
// not possible for verifyTime, the record of the version of the file, or of its inode, is taken: the file was renamed,
// and may have been touched. A record whose name has another version of the file is taken, too: the message was edited,
// and renamed.
func (l *lookup) recall(now time.Time) (old *record.Message, wait bool) {
	early := now.Sub(l.e.seen.first) < verifyTime
	for name := range l.c.absent.names(l.m) {
		if early {
			return nil, true // there may be very many names
		}
		known, undecided := l.recallAs(name, now)
		if known != nil {
			return known, false
		}
		wait = wait || undecided
	}
	return nil, wait
}

// recallAs is recall for the message of the last run that had that name.
func (l *lookup) recallAs(name string, now time.Time) (old *record.Message, wait bool) {
	g := l.c.entries[name]
	switch {
	case l.c.memory[name].Holds():
		return nil, true
	case g == nil || g == l.e || !g.has(recalled):
		return nil, false
	}
	old = g.msg.Message()
	renamed := describes(old, l.v) == record.ThisVersion || old.Inode != 0 && old.Inode == l.v.Inode
	replaced := g.id != (Version{}) && describes(old, g.id) == record.OtherVersion
	looked := g.id != (Version{}) || g.seen != nil && g.seen.err != ""
	switch {
	case !l.m.IsSame(old):
		return nil, false
	case g.state.underWay() || !looked:
		return nil, true
	case !renamed && !replaced:
		return nil, false
	}
	l.c.giveUp(g, now)
	return old, false
}
