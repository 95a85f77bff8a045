package record

import (
	"time"

	"github.com/unbit/spoolgore/internal/compact"
)

// Compact is a Message in one string, with a tenth of the memory: recipients and messages with the same sender, relay
// and reply share their texts. A Compact never changes. The zero value holds no message.
type Compact struct {
	text   string
	shared *compact.Shared
}

// A Packer makes Compact values. It is for one goroutine.
type Packer struct {
	compact.Packer
	shared *compact.Shared // by the next Compact
}

// NewPacker returns a Packer. now is the start of the process, with a monotonic clock reading.
func NewPacker(now time.Time) *Packer { return &Packer{shared: compact.NewShared(now)} }

// Pack returns m in compact form. Times of m that have a monotonic clock reading keep it.
func (p *Packer) Pack(m *Message, now time.Time) Compact {
	base := p.shared.Base()
	clockSet := (now.Round(0).Sub(base.Round(0)) - now.Sub(base)).Abs() > time.Millisecond // or the machine slept
	if clockSet || p.Full() {
		p.shared = compact.NewShared(now)
	}
	p.Reset(p.shared)
	p.Text(m.From)
	for _, list := range lists(m) {
		p.Int(int64(len(list)))
		for i := range list {
			list[i].pack(&p.Packer)
		}
	}
	p.Int(int64(m.Attempts))
	p.Time(m.Enqueued)
	p.String(m.Error)
	p.Time(m.Expire)
	p.Int(int64(m.Priority))
	p.Int(m.Size)
	p.Time(m.Modified)
	p.Time(m.Held)
	p.Time(m.NotBefore)
	p.String(m.MessageID)
	p.String(m.UID)
	p.Int(int64(m.Inode))
	more := m.Digest != "" || m.BodyDigest != "" || len(m.RawName) > 0 || !m.Missing.IsZero() ||
		!m.Overdue.IsZero() || len(m.Removed) > 0 || m.ID != ""
	if p.Bool(more); more {
		p.String(m.Digest)
		p.String(m.BodyDigest)
		p.String(string(m.RawName))
		p.Time(m.Missing)
		p.Time(m.Overdue)
		p.Int(int64(len(m.Removed)))
		for _, address := range m.Removed {
			p.String(address)
		}
		p.String(m.ID)
	}
	return Compact{p.Packed(), p.shared}
}

// Holds reports whether c holds a message.
func (c Compact) Holds() bool { return c.shared != nil }

// Message returns the message. Its times have the monotonic clock readings of the packed times. The message belongs to
// the caller; the zero Compact returns an empty message.
func (c Compact) Message() *Message {
	m := &Message{}
	c.unpack(m, false)
	return m
}

// MessageIn is Message with memory of the caller: the new content of m shares the lists and histories that m had.
func (c Compact) MessageIn(m *Message) {
	*m = Message{To: m.To, Cc: m.Cc, Bcc: m.Bcc}
	c.unpack(m, false)
}

// Shown returns the message with times to show and to write down: wall clock times.
func (c Compact) Shown() *Message {
	m := &Message{}
	c.unpack(m, true)
	return m
}

// ShownIn is Shown with memory of the caller, see MessageIn.
func (c Compact) ShownIn(m *Message) {
	*m = Message{To: m.To, Cc: m.Cc, Bcc: m.Bcc}
	c.unpack(m, true)
}

func (c Compact) unpack(m *Message, shown bool) {
	if !c.Holds() {
		return
	}
	u := compact.Unpack(c.text, c.shared)
	u.Shown = shown
	m.From = u.Text()
	for _, list := range []*[]Recipient{&m.To, &m.Cc, &m.Bcc} {
		*list = resize(*list, int(u.Int()))
		for i := range *list {
			(*list)[i].unpack(u)
		}
	}
	m.Attempts = int(u.Int())
	m.Enqueued = u.Time()
	m.Error = u.String()
	m.Expire = u.Time()
	m.Priority = int(u.Int())
	m.Size = u.Int()
	m.Modified = u.Time()
	m.Held = u.Time()
	m.NotBefore = u.Time()
	m.MessageID = u.String()
	m.UID = u.String()
	m.Inode = uint64(u.Int())
	if !u.Bool() {
		return
	}
	m.Digest = u.String()
	m.BodyDigest = u.String()
	if name := u.String(); name != "" {
		m.RawName = []byte(name)
	}
	m.Missing = u.Time()
	m.Overdue = u.Time()
	if n := u.Int(); n > 0 {
		m.Removed = make([]string, n)
		for i := range m.Removed {
			m.Removed[i] = u.String()
		}
	}
	m.ID = u.String()
}

// resize returns n recipients for unpack, in the memory of list unless the memory is too small, or far too large.
func resize(list []Recipient, n int) []Recipient {
	if list == nil || cap(list) < n || cap(list) > 2*n+64 {
		return make([]Recipient, n)
	}
	list = list[:cap(list)]
	for i := range list {
		list[i] = Recipient{History: list[i].History}
	}
	return list[:n]
}

// Bits of a recipient in a Compact.
const (
	isCopy = 1 << iota
	isAdded
)

func (r *Recipient) pack(p *compact.Packer) {
	p.String(r.Address)
	p.Int(int64(r.Status))
	p.Int(int64(r.Attempts))
	p.Time(r.NextAttempt)
	p.Text(r.Error)
	p.Bool(r.GivenUp)
	p.Bool(r.Told)
	p.Bool(r.Warned)
	kind := int64(0)
	if r.Copy {
		kind |= isCopy
	}
	if r.Added {
		kind |= isAdded
	}
	p.Int(kind)
	p.Text(r.Relay)
	p.Time(r.LastAttempt)
	p.Bool(r.History != nil)
	if r.History != nil {
		r.History.pack(p, r)
	}
}

// unpack takes the memory of the history that r has.
func (r *Recipient) unpack(u *compact.Unpacker) {
	h := r.History
	r.History = nil
	r.Address = u.String()
	r.Status = State(u.Int())
	r.Attempts = int(u.Int())
	r.NextAttempt = u.Time()
	r.Error = u.Text()
	r.GivenUp, r.Told, r.Warned = u.Bool(), u.Bool(), u.Bool()
	kind := u.Int()
	r.Copy, r.Added = kind&isCopy != 0, kind&isAdded != 0
	r.Relay = u.Text()
	r.LastAttempt = u.Time()
	if u.Bool() {
		if h == nil {
			h = new(History)
		}
		*h = History{}
		h.unpack(u, r)
		r.History = h
	}
}

// What follows the first attempt in a Compact.
const (
	firstOnly = iota // First and Last are the same attempt
	lastOnly
	allAttempts
)

// pack adds h, the history of r. A text that equals the text before takes no room.
func (h *History) pack(p *compact.Packer, r *Recipient) {
	more := firstOnly
	switch {
	case h.Times != 0 || len(h.Runs) > 0:
		more = allAttempts
	case h.Last != h.First:
		more = lastOnly
	}
	h.First.pack(p, &Attempt{Relay: r.Relay, Error: r.Error})
	p.Int(int64(more))
	if more == firstOnly {
		return
	}
	before := &h.First
	if more == allAttempts {
		p.Int(int64(h.Times))
		p.Int(int64(len(h.Runs)))
		for i := range h.Runs {
			run := &h.Runs[i]
			run.pack(p, before)
			p.Time(run.Until)
			p.Int(int64(run.Times))
			before = &run.Attempt
		}
	}
	h.Last.pack(p, before)
}

func (h *History) unpack(u *compact.Unpacker, r *Recipient) {
	h.First.unpack(u, &Attempt{Relay: r.Relay, Error: r.Error})
	before, more := &h.First, u.Int()
	if more == firstOnly {
		h.Last = h.First
		return
	}
	if more == allAttempts {
		h.Times = int(u.Int())
		if n := u.Int(); n > 0 {
			h.Runs = make([]AttemptRun, n)
		}
		for i := range h.Runs {
			run := &h.Runs[i]
			run.unpack(u, before)
			run.Until, run.Times = u.Time(), int(u.Int())
			before = &run.Attempt
		}
	}
	h.Last.unpack(u, before)
}

// pack adds a; a text that equals the text before takes no room.
func (a *Attempt) pack(p *compact.Packer, before *Attempt) {
	p.Time(a.Time)
	texts, same := a.texts(), int64(0)
	for i, said := range before.texts() {
		if *texts[i] == *said {
			same |= 1 << i
		}
	}
	p.Int(same)
	for i, text := range texts {
		if same>>i&1 == 0 {
			p.Text(*text)
		}
	}
}

func (a *Attempt) unpack(u *compact.Unpacker, before *Attempt) {
	a.Time = u.Time()
	texts, said, same := a.texts(), before.texts(), u.Int()
	for i, text := range texts {
		if same>>i&1 == 1 {
			*text = *said[i]
		} else {
			*text = u.Text()
		}
	}
}
