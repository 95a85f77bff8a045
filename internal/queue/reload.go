package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/unbit/spoolgore/internal/chunks"
	"github.com/unbit/spoolgore/internal/record"
)

// Edits are the records of an edited status file.
type Edits struct {
	byName map[string]record.Compact
	packer *record.Packer
	now    time.Time
}

// NewEdits returns edits without a record.
func NewEdits(now time.Time) *Edits {
	return &Edits{make(map[string]record.Compact), record.NewPacker(now), now}
}

// Add adds m, the message name. Of two messages with one name, the one that is missing or held gets the name with the
// prefix hold/.
func (e *Edits) Add(name string, m *record.Message) {
	if other := e.get(name); other != nil {
		if m.Missing.IsZero() && m.Held.IsZero() {
			e.byName[name] = e.packer.Pack(m, e.now)
			m = other
		}
		name = HeldPrefix + name
	}
	e.byName[name] = e.packer.Pack(m, e.now)
}

// get returns the record of the message name; nil: there is none.
func (e *Edits) get(name string) *record.Message {
	if known, ok := e.byName[name]; ok {
		return known.Message()
	}
	return nil
}

// Reload believes the edits. How says what the file was made from. A message that the file does not have is read again,
// but goes on if the file may be older than what is known. Acceptances that the file does not have go to the journal: a
// process that is killed before it has written the file must not forget them. The work is done in pieces.
func (q *Queue) Reload(edits *Edits, how record.Edit, now time.Time) *Work {
	q.packServed(now)
	r := &edition{
		c: &q.core, edits: edits, how: how, absents: q.absent.inOrder(),
		former: make(map[*entry]string), done: make(map[*entry]bool),
	}
	for _, e := range r.absents {
		r.done[e] = true // not again if the file is back meanwhile
	}
	q.edition = r
	return newWork(&q.core, r.collect, r.begin, unseen(&q.core), present(&q.core))
}

// edition is one call of Reload: first the messages are collected with the names of the beginning, then edited.
type edition struct {
	c       *core
	edits   *Edits
	how     record.Edit
	now     time.Time
	todo    chunks.List[subject]
	absents []*entry          // at the beginning
	former  map[*entry]string // names of entries that have left their names while the messages were collected
	done    map[*entry]bool   // entries that are not to be edited again
}

func (r *edition) collect(s subject, _ time.Time) {
	if s.e == nil || !r.done[s.e] {
		r.todo.Push(s)
	}
}

// leaves notes the name that e is about to leave.
func (r *edition) leaves(e *entry) {
	if r == nil {
		return
	}
	if _, known := r.former[e]; !known {
		r.former[e] = e.name
	}
}

// begin returns the work of editing the messages.
func (r *edition) begin(time.Time) *Work {
	r.c.edition = nil
	for _, e := range r.absents {
		delete(r.done, e)
		r.todo.Push(subject{e.name, e})
	}
	leftOut := make([]subject, 0, len(r.former))
	for e, name := range r.former {
		leftOut = append(leftOut, subject{name, e})
	}
	slices.SortFunc(leftOut, func(a, b subject) int { return cmp.Compare(a.name, b.name) })
	return newLongWork(r.c, r.todo.Len(), r.editOnce, nil, r.todo.All(), slices.Values(leftOut))
}

// editOnce edits the message s, unless that was done under another name.
func (r *edition) editOnce(s subject, now time.Time) {
	r.now = now
	if s.e == nil {
		s.e = r.c.entries[s.name] // the file may have been seen since
		if s.e == nil {
			r.edit(s)
			return
		}
		r.done[s.e] = true
	} else if r.done[s.e] {
		return
	}
	if name, left := r.former[s.e]; left {
		s.name, r.done[s.e] = name, true
	}
	r.edit(s)
}

// edit edits the message s.
func (r *edition) edit(s subject) {
	if s.e == nil {
		if known, ok := r.c.memory[s.name]; ok {
			r.c.memory[s.name] = r.unread(s.name, known)
		}
		return
	}
	if e := r.c.here(s); e != nil {
		if m := r.c.served[e]; m != nil {
			r.c.keep(e, m, r.now)
			delete(r.c.served, e)
		}
		r.file(e, r.edits.get(s.name))
		return
	}
	e := s.e
	if _, ok := r.c.absent.all[e]; ok {
		r.absent(e)
	} else if m := e.msg.Message(); !m.Served() { // another entry may have the record
		r.keepNote(e.name, m, r.edits.get(s.name))
	}
}

// inPause reports whether the file had all that was known when the edit began.
func (r *edition) inPause() bool { return !r.how.Since.IsZero() && !r.how.Live }

// unread returns what is known of the file name, which was not read yet and of which known was known.
func (r *edition) unread(name string, known record.Compact) record.Compact {
	m, by := known.Message(), r.edits.get(name)
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

// file edits e, which is a file of the spool or of hold/, to what the status file says: by; nil: nothing.
func (r *edition) file(e *entry, by *record.Message) {
	c := r.c
	if e.state == unread || e.state == opening || e.state == checking && e.before == unread {
		if e.msg.Holds() {
			e.msg = r.unread(e.name, e.msg)
		}
		return
	}
	switch m := e.msg.Message(); {
	case by != nil:
		r.change(e, m, by)
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

// change changes e, whose record is m, to what the status file says: by.
func (r *edition) change(e *entry, m, by *record.Message) {
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
		if by := r.edits.get(name); by != nil && m.IsSame(by) {
			r.change(e, m, by)
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
