package queue

import (
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// Reload believes edited, the messages of a status file by file name. How says what the file was made from. A message
// that the file does not have is read again, but goes on if the file may be older than what is known. Acceptances that
// the file does not have go to the journal: a process that is killed before it has written the file must not forget
// them.
func (q *Queue) Reload(edited map[string]*record.Message, how record.Edit, now time.Time) {
	q.packServed(now)
	r := edition{&q.core, edited, how, now}
	for name, known := range inOrder(q.memory, q.ordered) {
		q.memory[name] = r.unread(name, known)
	}
	for _, e := range inOrder(q.entries, q.ordered) {
		r.file(e)
	}
	for _, e := range q.absent.inOrder() {
		r.absent(e)
	}
}

// edition is one call of Reload.
type edition struct {
	c      *core
	edited map[string]*record.Message
	how    record.Edit
	now    time.Time
}

// inPause reports whether the file had all that was known when the edit began.
func (r *edition) inPause() bool { return !r.how.Since.IsZero() && !r.how.Live }

// unread returns what is known of the file name, which was not read yet and of which known was known.
func (r *edition) unread(name string, known record.Compact) record.Compact {
	m, by := known.Message(), r.edited[name]
	switch marked := false; {
	case by == nil && r.inPause():
		m = record.AcceptedOnly(m, r.now)
	case by == nil:
	case record.CanEdit(by, m):
		m = record.Edited(m, by, r.how)
	default:
		if marked = record.MarkDone(m, by); !marked {
			r.keepNote(name, m, by)
			return known
		}
	}
	r.keepNote(name, m, by)
	return r.c.packer.Pack(m, r.now)
}

// file edits e, which is a file of the spool or of hold/.
func (r *edition) file(e *entry) {
	c := r.c
	if e.state == unread || e.state == opening || e.state == checking && e.before == unread {
		if e.msg.Holds() {
			e.msg = r.unread(e.name, e.msg)
		}
		return
	}
	switch m, by := e.msg.Message(), r.edited[e.name]; {
	case by != nil:
		r.edit(e, m, by)
	case !r.inPause():
		r.keepNote(e.name, m, nil)
	case e.state == checking || !e.state.underWay():
		m = record.AcceptedOnly(m, r.now)
		r.keepNote(e.name, m, nil)
		c.keep(e, m, r.now)
		if e.state != checking { // otherwise the file is read again when it is found
			c.reread(e, r.now)
		}
	default:
		r.keepNote(e.name, m, nil)
	}
}

// edit changes e, whose record is m, to what the status file says: by.
func (r *edition) edit(e *entry, m, by *record.Message) {
	switch {
	case record.CanEdit(by, m):
		m = record.Edited(m, by, r.how)
	case !record.MarkDone(m, by):
		r.keepNote(e.name, m, by)
		return
	}
	r.keepNote(e.name, m, by)
	editRecord(r.c, e, m, r.now)
}

// absent edits e, whose file is missing or in hold/ under a name that another file has. The status file may have it
// under the name of the other file.
func (r *edition) absent(e *entry) {
	m := e.msg.Message()
	for _, name := range []string{e.name, HeldPrefix + e.name} {
		if by := r.edited[name]; by != nil && m.IsSame(by) {
			r.edit(e, m, by)
			return
		}
	}
	r.keepNote(e.name, m, nil)
}

// keepNote has the journal keep the acceptances of m, the record of the file name, if by does not have them all. By is
// what the status file says; nil: nothing.
func (r *edition) keepNote(name string, m, by *record.Message) {
	if record.Forgets(by, m) {
		note := record.FullNote(m, name)
		r.c.acts = append(r.c.acts, Act{Kind: Record, Name: name, Note: note, Lazy: true, Prompt: true})
	}
}

// editRecord gives e the record m, which a person has edited.
func editRecord(c *core, e *entry, m *record.Message, now time.Time) {
	record.Anchor(m, now)
	c.keep(e, m, now)
	if !e.state.underWay() && e.state != held && e.state != missing {
		c.conclude(e, m, now)
	}
}
