package spoolgore

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/pack"
	"github.com/unbit/spoolgore/internal/report"
	"github.com/unbit/spoolgore/internal/routing"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// State is how far a recipient has come.
type State int

// The states of a recipient, as the status file writes them.
const (
	Waiting    State = 0 // to be tried at NextAttempt
	InProgress State = 1 // in a transaction now
	Done       State = 2 // accepted by a relay or, with GivenUp, not to be tried again
)

// Recipient is what became of one recipient so far.
type Recipient struct {
	Address     string
	Status      State
	Attempts    int       // failed attempts; what was only the relay's trouble does not count
	NextAttempt time.Time // meaningful while Waiting
	Error       string    // of the last attempt; empty: none

	GivenUp     bool      `json:",omitempty"` // Done without having been accepted; the message will go to failed/
	Told        bool      `json:",omitempty"` // GivenUp, and the sender was told so while others still waited
	Warned      bool      `json:",omitempty"` // the time to tell the sender that it takes long has come, and he was told, if he wants that
	Relay       string    `json:",omitempty"` // who answered last
	LastAttempt time.Time `json:",omitzero"`  // zero: none yet
	Tried       *Tried    `json:",omitempty"` // nil: no attempt yet, or all that is needed is said above
}

// Tried is what came of the attempts for a recipient. It is replaced, never changed.
type Tried struct {
	First, Last Attempt
	// Times is the number of attempts; zero: one or, if Last is another than First, two.
	Times int `json:",omitempty"`
	// Runs are all attempts in their order: the first run, and the newest up to 16 and 2 KiB of text. Times tells whether some
	// between them are left out. Empty: First and Last say all, as every attempt has come to the same or there were but two.
	Runs []Run `json:",omitempty"`
}

// Run is attempts for one recipient that came one after the other and to the same.
type Run struct {
	Attempt           // the first of them
	Until   time.Time `json:",omitzero"` // when the last of them was; zero: there is but one
	Times   int       // how many they are
}

// Attempt is one attempt for one recipient.
type Attempt struct {
	Time   time.Time
	Relay  string // who answered
	TLS    string // version of TLS, as "TLS 1.3"; empty: none
	Reply  string // of the relay, at most 500 bytes of it; empty: there was none
	Status string `json:",omitempty"` // enhanced status code (RFC 3463) of what is final without a reply
	Error  string `json:",omitempty"` // what went wrong, where there was no reply; at most 500 bytes of it
}

// Message is one message file in the spool: the value of an entry of the status file. The names and meanings of the
// fields down to Enqueued are those of the 2014 tool and fixed; people and scripts read and edit them.
type Message struct {
	From     string // envelope sender; empty: the null sender
	To       []Recipient
	Cc       []Recipient
	Bcc      []Recipient
	Attempts int       // transactions that counted
	Enqueued time.Time // when the message was first seen

	Error    string    `json:",omitempty"` // why the file cannot be sent or removed; empty while all is well
	Expire   time.Time `json:",omitzero"`  // given up if not delivered by then; zero: by Options.MaxAge alone
	Priority int       `json:",omitempty"`
	Size     int64     // of the file, and with Modified what tells it from another one under the same name
	Modified time.Time // of the file
	Held     time.Time `json:",omitzero"` // since when the file has been in hold/; zero: it is not

	NotBefore time.Time `json:",omitzero"`  // not sent before, and its age counts from then
	MessageID string    `json:",omitempty"` // that it is sent with
	Digest    string    `json:",omitempty"` // where the header has no Message-ID: of the header, and with
	Inode     uint64    `json:",omitempty"` // the file's number what the message is known by
	RawName   []byte    `json:",omitempty"` // the file's name where it is not valid UTF-8, as JSON cannot hold it
}

// Status is the content of the status file: every message in the spool, by the absolute path of its file.
type Status map[string]Message

// Failure is the content of a why-file, failed/NAME.json: the message as it was when it was given up, and why.
type Failure struct {
	File    string    // where the message file was
	Time    time.Time // when it was given up
	Reason  string    // in one line
	Body    string    `json:",omitempty"` // where the header has no Message-ID: digest of the body, by which the message is known again
	Message           // as it was then
}

// record is a message as the queue remembers it: the file's name, and what is known of the message.
type record struct {
	name string
	msg  parcel
}

// A parcel is a Message in one string, and so in a tenth of the room. It never changes.
type parcel struct {
	text string
	base *time.Time
}

// wrap makes a parcel of m.
func (q *queue) wrap(m *Message) parcel {
	if now := time.Now(); (now.Round(0).Sub(q.base.Round(0)) - now.Sub(*q.base)).Abs() > time.Millisecond {
		q.base = &now // the clock was set, or the machine has slept: what is seen from here on is seen from another moment
	}
	p := &q.packer
	p.Reset(*q.base)
	p.String(m.From)
	for _, list := range [][]Recipient{m.To, m.Cc, m.Bcc} {
		p.Int(int64(len(list)))
		for i := range list {
			list[i].pack(p)
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
	p.String(m.Digest)
	p.Int(int64(m.Inode))
	p.String(string(m.RawName))
	return parcel{p.Packed(), q.base}
}

// holds reports whether there is a message in c.
func (c parcel) holds() bool { return c.base != nil }

// open returns a Message of the caller's own, whose times are to be compared.
func (c parcel) open() *Message { return c.unpack(false) }

// shown is open for times that are to be written down.
func (c parcel) shown() *Message { return c.unpack(true) }

func (c parcel) unpack(shown bool) *Message {
	m := &Message{}
	if !c.holds() {
		return m
	}
	u := pack.Unpack(c.text, *c.base)
	u.Shown = shown
	m.From = u.String()
	for _, list := range []*[]Recipient{&m.To, &m.Cc, &m.Bcc} {
		*list = make([]Recipient, u.Int())
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
	m.Digest = u.String()
	m.Inode = uint64(u.Int())
	if name := u.String(); name != "" {
		m.RawName = []byte(name)
	}
	return m
}

// rests reports whether the message has nothing to do at the time now.
func (c parcel) rests(now time.Time) bool {
	if !c.holds() {
		return false
	}
	at, waits := c.open().nextAttempt()
	return waits && at.After(now)
}

func (r *Recipient) pack(p *pack.Packer) {
	p.String(r.Address)
	p.Int(int64(r.Status))
	p.Int(int64(r.Attempts))
	p.Time(r.NextAttempt)
	p.String(r.Error)
	p.Bool(r.GivenUp)
	p.Bool(r.Told)
	p.Bool(r.Warned)
	p.String(r.Relay)
	p.Time(r.LastAttempt)
	p.Bool(r.Tried != nil)
	if r.Tried != nil {
		r.Tried.pack(p, r)
	}
}

func (r *Recipient) unpack(u *pack.Unpacker) {
	r.Address = u.String()
	r.Status = State(u.Int())
	r.Attempts = int(u.Int())
	r.NextAttempt = u.Time()
	r.Error = u.String()
	r.GivenUp, r.Told, r.Warned = u.Bool(), u.Bool(), u.Bool()
	r.Relay = u.String()
	r.LastAttempt = u.Time()
	if u.Bool() {
		r.Tried = &Tried{}
		r.Tried.unpack(u, r)
	}
}

// What follows the first attempt in a parcel.
const (
	nothingMore = iota // the last one is the first one
	lastOnly
	allAttempts
)

// pack adds what came of the attempts for r, of which only that takes room which differs from what was said just before.
func (t *Tried) pack(p *pack.Packer, r *Recipient) {
	more := nothingMore
	switch {
	case t.Times != 0 || len(t.Runs) > 0:
		more = allAttempts
	case t.Last != t.First:
		more = lastOnly
	}
	t.First.pack(p, &Attempt{Relay: r.Relay, Error: r.Error})
	p.Int(int64(more))
	if more == nothingMore {
		return
	}
	before := &t.First
	if more == allAttempts {
		p.Int(int64(t.Times))
		p.Int(int64(len(t.Runs)))
		for i := range t.Runs {
			run := &t.Runs[i]
			run.pack(p, before)
			p.Time(run.Until)
			p.Int(int64(run.Times))
			before = &run.Attempt
		}
	}
	t.Last.pack(p, before)
}

func (t *Tried) unpack(u *pack.Unpacker, r *Recipient) {
	t.First.unpack(u, &Attempt{Relay: r.Relay, Error: r.Error})
	before, more := &t.First, u.Int()
	if more == nothingMore {
		t.Last = t.First
		return
	}
	if more == allAttempts {
		t.Times = int(u.Int())
		if n := u.Int(); n > 0 {
			t.Runs = make([]Run, n)
		}
		for i := range t.Runs {
			run := &t.Runs[i]
			run.unpack(u, before)
			run.Until, run.Times = u.Time(), int(u.Int())
			before = &run.Attempt
		}
	}
	t.Last.unpack(u, before)
}

// texts are the fields of a that are text.
func (a *Attempt) texts() [5]*string {
	return [...]*string{&a.Relay, &a.TLS, &a.Reply, &a.Status, &a.Error}
}

// pack adds a, and of its texts only those that differ from those of before.
func (a *Attempt) pack(p *pack.Packer, before *Attempt) {
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
			p.String(*text)
		}
	}
}

func (a *Attempt) unpack(u *pack.Unpacker, before *Attempt) {
	a.Time = u.Time()
	texts, said, same := a.texts(), before.texts(), u.Int()
	for i, text := range texts {
		if same>>i&1 == 1 {
			*text = *said[i]
		} else {
			*text = u.String()
		}
	}
}

// recipients returns all recipients, in the order To, Cc, Bcc, to be read or, in a clone, changed.
func (m *Message) recipients() []*Recipient {
	all := make([]*Recipient, 0, len(m.To)+len(m.Cc)+len(m.Bcc))
	for _, list := range [][]Recipient{m.To, m.Cc, m.Bcc} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}

func (m *Message) clone() *Message {
	c := *m
	c.To, c.Cc, c.Bcc = slices.Clone(m.To), slices.Clone(m.Cc), slices.Clone(m.Bcc)
	return &c
}

// retryAt makes all that wait due at the time at, or when they may be sent at all.
func (m *Message) retryAt(at time.Time) {
	for _, r := range m.recipients() {
		if r.Status == Waiting {
			r.NextAttempt = later(at, m.NotBefore)
		}
	}
}

// since is what the age of m counts from.
func (m *Message) since() time.Time { return later(m.Enqueued, m.NotBefore) }

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// nextAttempt is when the first waiting recipient is due, and whether one waits at all.
func (m *Message) nextAttempt() (at time.Time, waits bool) {
	for _, r := range m.recipients() {
		if r.Status == Waiting && (!waits || r.NextAttempt.Before(at)) {
			at, waits = r.NextAttempt, true
		}
	}
	return at, waits
}

// served reports whether every recipient was accepted by a relay, or marked as done by hand: only then may the file go.
func (m *Message) served() bool {
	all := m.recipients()
	return len(all) > 0 && !slices.ContainsFunc(all, func(r *Recipient) bool { return r.Status != Done || r.GivenUp })
}

// via is the sender whose route the message takes.
func (m *Message) via() string {
	for _, list := range [][]Recipient{m.To, m.Cc, m.Bcc} {
		if len(list) > 0 {
			return routing.Sender(m.From, list[0].Address)
		}
	}
	return m.From
}

// withCause returns m with the cause why its sender's mail cannot be sent as the error of every recipient that is due.
func (m *Message) withCause(of func(sender string) string, now time.Time) *Message {
	cause := of(m.via())
	if cause == "" || !m.Held.IsZero() {
		return m
	}
	c := m.clone()
	for _, r := range c.recipients() {
		if r.Status == Waiting && !r.NextAttempt.After(now) {
			r.Error = cause
		}
	}
	return c
}

// newMessage is the record of a message file that was just read. An address that is none is given up at once.
func newMessage(name, host string, f *msgfile.File, a message.Addresses, now time.Time) *Message {
	m := &Message{From: a.From, Enqueued: now, Size: f.ID.Size, Modified: f.ID.ModTime, RawName: rawName(name)}
	m.MessageID = f.MessageID(a.From, host)
	if !f.HasMessageID() {
		m.Digest, m.Inode = f.Header.Digest(), f.ID.Ino
	}
	if env := f.Envelope; env != nil {
		m.Expire, m.Priority, m.NotBefore = env.Expire, env.Priority, env.NotBefore
	}
	next := later(now, m.NotBefore)
	list := func(addresses []message.Address) []Recipient {
		to := make([]Recipient, 0, len(addresses)) // in the file, nobody is [], as it always was
		for _, a := range addresses {
			r := Recipient{Address: a.Addr, NextAttempt: next}
			if a.Err != nil {
				r.Status, r.GivenUp, r.Error = Done, true, a.Err.Error()
			}
			to = append(to, r)
		}
		return to
	}
	m.To, m.Cc, m.Bcc = list(a.To), list(a.Cc), list(a.Bcc)
	return m
}

// admitted tells of the recipients of a message that has just been read, but for those that were known (nil: none).
func (m *Message) admitted(file string, known *Message, now time.Time) (events []Event) {
	told := make(map[string]bool)
	if known != nil {
		for _, r := range known.recipients() {
			told[r.Address] = true
		}
	}
	for _, r := range m.recipients() {
		if told[r.Address] {
			continue
		}
		ev := Event{Kind: Queued, Time: now, File: file, From: m.From, To: r.Address}
		if r.GivenUp {
			ev.Kind, ev.Since, ev.Fault, ev.Err = Failed, m.since(), FaultRecipient, errors.New(r.Error)
		}
		if r.GivenUp || r.Status == Waiting {
			events = append(events, ev)
		}
	}
	return events
}

// same reports whether old tells of the message m, whatever has happened to its file since.
func (m *Message) same(old *Message) bool {
	by2014 := old.MessageID == "" && old.Size == 0 && old.Modified.IsZero() // that tool knew a message by its file's name alone
	return by2014 || old.MessageID == m.MessageID || m.Digest != "" && old.Digest == m.Digest && old.Inode == m.Inode
}

// merge takes over from old what is known of the recipients that both have.
func (m *Message) merge(old *Message) {
	known := make(map[string]*Recipient)
	for _, r := range old.recipients() {
		known[r.Address] = r
	}
	for _, r := range m.recipients() {
		if k := known[r.Address]; k != nil && !r.GivenUp {
			*r = *k
		}
	}
}

// spare takes over from old who has the message already.
func (m *Message) spare(old *Message) {
	has := make(map[string]*Recipient)
	for _, r := range old.recipients() {
		if r.accepted() {
			has[r.Address] = r
		}
	}
	for _, r := range m.recipients() {
		if k := has[r.Address]; k != nil && r.Status != Done {
			*r = *k
		}
	}
}

// resume is merge for a message that has been here all the time: its age and its identity go on as well.
func (m *Message) resume(old *Message) {
	m.merge(old)
	m.Attempts = old.Attempts
	if !old.Enqueued.IsZero() && old.Enqueued.Before(m.Enqueued) {
		m.Enqueued = old.Enqueued
	}
	if old.MessageID != "" {
		m.MessageID = old.MessageID
	}
}

// partial reports whether m does not know the whole message: its file is to be read anew, and m merged into what it says.
func (m *Message) partial() bool { return m.Size < 0 }

// mend corrects what a clock that was wrong has left in a record: nothing was seen or tried in the
// future, and nothing was seen long before it was written.
func (m *Message) mend(now time.Time, maxAge time.Duration) {
	if m.Enqueued.After(now) || !m.Modified.After(now) && m.Enqueued.Before(m.Modified.Add(-maxAge)) {
		m.Enqueued = now
	}
	for _, r := range m.recipients() {
		if r.Status == Waiting && r.LastAttempt.After(now) {
			r.NextAttempt, r.LastAttempt = later(now, m.NotBefore), now
		}
	}
	m.anchor(now)
}

// anchor makes the times of a record that was read from a file go on by the monotonic clock, as those made in this process
// do: a clock that is set, by however much, makes no message older and no wait longer. What a sender has set by the clock,
// NotBefore and Expire, stays so.
func (m *Message) anchor(now time.Time) {
	times := []*time.Time{&m.Enqueued}
	for _, r := range m.recipients() {
		if !r.NextAttempt.Equal(m.NotBefore) {
			times = append(times, &r.NextAttempt)
		}
		times = append(times, &r.LastAttempt)
	}
	for _, t := range times {
		if d := t.Sub(now); d.Abs() < 100*365*24*time.Hour { // neither the zero time nor one that Sub cannot reach
			*t = now.Add(d)
		}
	}
}

// isOf reports whether the status file spoke of this version of the file.
func (m *Message) isOf(id spooldir.ID) bool {
	return m.Size == id.Size && m.Modified.Equal(id.ModTime)
}

// hasFailed reports whether the message belongs in failed/.
func (m *Message) hasFailed() bool {
	all := m.recipients()
	return len(all) == 0 || slices.ContainsFunc(all, func(r *Recipient) bool { return r.GivenUp })
}

// tellAfter is the time from the first refusal to a report on it while other recipients still wait. Most often these are
// served, or refused, within it, so that one report says all.
const tellAfter = time.Hour

// newsAt is when the sender is to be told something although the message goes on; zero: never.
func (m *Message) newsAt(opts Options) (at time.Time) {
	if m.From == "" || opts.NoReports {
		return at
	}
	waits, warned := false, opts.WarnAfter == 0
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for _, list := range [][]Recipient{m.To, m.Cc, m.Bcc} {
		for i := range list {
			r := &list[i]
			waits, warned = waits || r.Status != Done, warned || r.Warned
			if r.GivenUp && !r.Told {
				sooner(later(m.Enqueued, r.LastAttempt).Add(tellAfter))
			}
		}
	}
	if !warned {
		sooner(m.since().Add(opts.WarnAfter))
	}
	if !waits {
		return time.Time{} // it is on its way to failed/, from where everything is told
	}
	return at
}

// news are of the recipients given up so far and, if it is time for that, of those who wait, until the time end at most.
func (m *Message) news(opts Options, end, now time.Time) notify.News {
	n := m.about()
	late := opts.WarnAfter > 0 && !m.since().Add(opts.WarnAfter).After(now)
	for _, r := range m.recipients() {
		late = late && !r.Warned
	}
	for _, r := range m.recipients() {
		switch {
		case r.GivenUp && !r.Told:
			n.Recipients = append(n.Recipients, r.fate(report.Failed))
		case r.Status == Waiting && late:
			fate := r.fate(report.Delayed)
			fate.Until = end
			n.Recipients = append(n.Recipients, fate)
		}
	}
	return n
}

// failed are the news of a message that is in failed/.
func (why *Failure) failed() notify.News {
	n := why.about()
	for _, r := range why.recipients() {
		if r.GivenUp && !r.Told {
			n.Recipients = append(n.Recipients, r.fate(report.Failed))
		}
	}
	return n
}

// about begins the news of m.
func (m *Message) about() notify.News {
	return notify.News{Report: report.Report{To: m.From, Arrival: m.Enqueued}, MessageID: m.MessageID, Total: len(m.recipients())}
}

// fate is what became of r, in the words of a report.
func (r *Recipient) fate(action report.Action) report.Recipient {
	f := report.Recipient{Address: r.Address, Action: action, Relay: r.Relay, Reason: r.Error, Attempts: r.Attempts, Last: r.LastAttempt}
	if r.Tried != nil {
		f.Reply, f.Status = r.Tried.Last.Reply, r.Tried.Last.Status
	} else if message.CheckAddress(r.Address) != nil {
		f.Status = "5.1.3" // it was no address
	}
	return f
}

// told notes that the sender has been told of these recipients.
func (m *Message) told(of []report.Recipient) {
	told := make(map[string]report.Action)
	for _, r := range of {
		told[r.Address] = r.Action
	}
	for _, r := range m.recipients() {
		switch told[r.Address] {
		case report.Failed:
			r.Told = r.GivenUp
		case report.Delayed:
			r.Warned = true
		}
	}
}

// untold reports whether the sender is to be told of somebody who was given up.
func (m *Message) untold() bool {
	return m.From != "" && slices.ContainsFunc(m.recipients(), func(r *Recipient) bool { return r.GivenUp && !r.Told })
}

// note remembers what came of an attempt.
func (r *Recipient) note(res Result, now time.Time) {
	if res.Err != nil && faultOf(res.Err).Fault == FaultNone {
		return // there was none
	}
	last := Attempt{Time: now, Relay: res.Relay, TLS: res.TLS, Reply: brief(res.Reply)}
	if res.Err != nil {
		last.Status = faultOf(res.Err).status()
		if last.Reply == "" {
			last.Error = brief(withoutOurPort(res.Err.Error()))
		}
	}
	r.Tried = r.Tried.and(last, r.Attempts)
}

// brief is the beginning of text: what more there is would be kept for every recipient, and is in the log.
func brief(text string) string {
	const longest = 500
	if len(text) <= longest {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:longest], ""))
}

// withoutOurPort takes out of the text of an error what differs with each connection: of "ours->theirs" it leaves theirs.
func withoutOurPort(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if _, theirs, ok := strings.Cut(word, "->"); ok {
			words[i] = theirs
		}
	}
	return strings.Join(words, " ")
}

// How much is kept of the attempts for a recipient: their first run, and of the others the newest.
const (
	mostRuns = 16
	mostText = 2 << 10 // bytes of it in the runs
)

// and returns t, which may be nil, with one attempt more. So many had failed before.
func (t *Tried) and(a Attempt, failed int) *Tried {
	if t == nil {
		return &Tried{First: a, Last: a}
	}
	runs, times := t.attempts(failed)
	runs, times = join(runs, a), times+1
	n := &Tried{First: t.First, Last: a}
	if times == 2 && !a.Time.Equal(t.First.Time) {
		return n
	}
	for len(runs) > mostRuns || len(runs) > 2 && textIn(runs) > mostText {
		runs = slices.Delete(runs, 1, 2)
	}
	if n.Times = times; len(runs) > 1 || runs[0].Times < times {
		n.Runs = runs
	}
	return n
}

// attempts are those that t knows of, in a list of the caller's own, and how many there were. What an older version has
// written gives no number: then so many as have failed.
func (t *Tried) attempts(failed int) (runs []Run, times int) {
	first := Run{Attempt: t.First, Times: 1}
	switch once := t.First.Time.Equal(t.Last.Time) && t.First.like(&t.Last); {
	case len(t.Runs) > 0:
		runs = slices.Clone(t.Runs)
	case once && t.Times == 0:
		runs = []Run{first}
	case t.Times > 0 && t.First.like(&t.Last):
		runs = []Run{{t.First, t.Last.Time, t.Times}}
	case t.Times == 0 && failed > 2: // nobody knows what came of those between
		runs = []Run{first, {Attempt: t.Last, Times: 1}}
	default:
		runs = join([]Run{first}, t.Last)
	}
	for _, run := range runs {
		times += run.Times
	}
	if t.Times == 0 {
		return runs, max(times, failed)
	}
	return runs, max(times, t.Times)
}

// like reports whether both have come to the same.
func (a Attempt) like(b *Attempt) bool {
	a.Time = b.Time
	return a == *b
}

// join adds an attempt to runs.
func join(runs []Run, a Attempt) []Run {
	last := &runs[len(runs)-1]
	if !last.like(&a) {
		return append(runs, Run{Attempt: a, Times: 1})
	}
	last.Until, last.Times = a.Time, last.Times+1
	return runs
}

func textIn(runs []Run) (bytes int) {
	for i := range runs {
		for _, text := range runs[i].texts() {
			bytes += len(*text)
		}
	}
	return bytes
}

// reason says in one line why the message was given up.
func (m *Message) reason() string {
	var first string
	failed := 0
	for _, r := range m.recipients() {
		if r.GivenUp {
			if failed++; failed == 1 {
				first = r.Address + ": " + r.Error
			}
		}
	}
	switch {
	case failed == 0:
		return m.Error
	case failed > 1:
		return fmt.Sprintf("%s (and %d more recipients)", first, failed-1)
	}
	return first
}

// tells reports whether the record gives the cause of err already. The files that it names may have been made for the
// occasion.
func (m *Message) tells(err error) bool {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			err = e.Unwrap()[0]
		default:
			return err != nil && strings.Contains(m.Error, err.Error())
		}
	}
}

// expire gives up whoever still waits.
func (m *Message) expire(file string, at, now time.Time) (events []Event) {
	for _, r := range m.recipients() {
		if r.Status != Waiting {
			continue
		}
		why := "not delivered by " + at.Format(time.RFC3339)
		if r.Error != "" {
			why += ": " + r.Error
		}
		ev := Event{
			Time: now, File: file, From: m.From, To: r.Address, Since: m.since(), Attempt: m.Attempts, Relay: r.Relay,
			Fault: FaultMessage, Err: errors.New(why),
		}
		r.giveUp(&ev)
		events = append(events, ev)
	}
	return events
}

// mayEdit reports whether m, from the status file, can be what a person made of old: if it speaks of another version of the
// file, or of only some of its recipients, it was written before old was known.
func (m *Message) mayEdit(old *Message) bool {
	none := m.Size == 0 && m.Modified.IsZero() // left out by a program that knows only what the 2014 tool wrote
	return none || m.Size == old.Size && m.Modified.Equal(old.Modified)
}

// edited returns the record that a person made of m in the status file. What is in progress stays so, and an outcome
// seen since the time paused is not forgotten, unless the person has marked the recipient as done.
func (m *Message) edited(by *Message, paused time.Time) *Message {
	c := by.clone()
	c.Size, c.Modified, c.RawName, c.Held, c.MessageID, c.Digest, c.Inode = m.Size, m.Modified, m.RawName, m.Held, m.MessageID, m.Digest, m.Inode
	now := make(map[string]*Recipient)
	for _, r := range m.recipients() {
		now[r.Address] = r
	}
	for _, r := range c.recipients() {
		k := now[r.Address]
		if k == nil || r.Status == Done && k.Status == Waiting {
			continue
		}
		if k.Status == InProgress || !k.LastAttempt.IsZero() && !k.LastAttempt.Before(paused) {
			*r = *k
		}
	}
	return c
}

// acceptedOnly returns a record of those who have the message; the others start afresh.
func (m *Message) acceptedOnly(now time.Time) *Message {
	c := m.clone()
	for _, r := range c.recipients() {
		if r.Status != Done || r.GivenUp {
			*r = Recipient{Address: r.Address, NextAttempt: later(now, m.NotBefore)}
		}
	}
	c.Attempts, c.Size = 0, -1 // the size is no file's: the message is read anew
	return c
}

// rawName is the name where JSON cannot hold it, else nothing.
func rawName(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

// nameOf is the name of the file that an entry of the status file is about.
func nameOf(key string, m *Message) string {
	if len(m.RawName) > 0 {
		return string(m.RawName)
	}
	return filepath.Base(key)
}

// statusOf makes the public snapshot of the queue's records; cause is why the mail of a sender cannot be sent, or empty.
func statusOf(dir *spooldir.Dir, records []record, cause func(sender string) string, now time.Time) Status {
	s := make(Status, len(records))
	for _, r := range records {
		s[statusKey(dir, r.name)] = *r.msg.shown().withCause(cause, now)
	}
	return s
}

// statusKey is the absolute path of a message file, in valid UTF-8.
func statusKey(dir *spooldir.Dir, name string) string {
	path := dir.File(name)
	if utf8.ValidString(path) {
		return path
	}
	quoted := strconv.Quote(path)
	return quoted[1 : len(quoted)-1]
}

// loadStatus reads a status file; a missing one is empty. A recipient in progress when it was written waits again.
func loadStatus(path string) (Status, error) { return loadStatusOn(fsys.System(), path) }

// loadStatusOn is loadStatus on the file system on.
func loadStatusOn(on fsys.FS, path string) (Status, error) {
	s := Status{}
	err := readStatus(on, path, func(key string, m *Message) { s[key] = *m })
	if err != nil {
		return nil, err
	}
	return s, nil
}

// readStatus is loadStatus one message at a time, as there may be a million. After an error nothing of it counts.
func readStatus(on fsys.FS, path string, each func(key string, m *Message)) error {
	f, err := on.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReaderSize(f, 64<<10))
	if err := decodeStatus(d, each); err != nil {
		return fmt.Errorf("status file %s is not valid: %w", path, locate(on, path, d.InputOffset(), err))
	}
	return nil
}

func decodeStatus(d *json.Decoder, each func(key string, m *Message)) error {
	switch first, err := d.Token(); {
	case err != nil:
		return err
	case first == nil: // it says null
		return onlyEnd(d)
	case first != json.Delim('{'):
		return errors.New("it is not an object of messages by file name")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var m Message
		if err := d.Decode(&m); err != nil {
			return err
		}
		if err := m.check(); err != nil {
			return err
		}
		each(key.(string), &m)
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	return onlyEnd(d)
}

func onlyEnd(d *json.Decoder) error {
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows after its end")
	}
	return nil
}

// check puts right what is read from a status file, and reports what cannot be.
func (m *Message) check() error {
	for _, r := range m.recipients() {
		if r.Status == InProgress {
			r.Status = Waiting
		}
		if r.Status != Done {
			r.GivenUp, r.Told = false, false // made to wait again by hand
		}
		if r.Status < Waiting || r.Status > Done {
			return fmt.Errorf("recipient %q has status %d, not 0, 1 or 2", r.Address, r.Status)
		}
	}
	return nil
}

// locate adds the line to an error of encoding/json, which knows only a byte offset, and not always that.
func locate(on fsys.FS, path string, offset int64, err error) error {
	text, readErr := fsys.ReadFile(on, path)
	if readErr != nil {
		return err
	}
	if syntax := new(json.SyntaxError); errors.As(json.Unmarshal(text, new(json.RawMessage)), &syntax) {
		offset = syntax.Offset // that of a Decoder does not count what is between values
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n")), err)
}

// writeStatus writes the records as the status file: one JSON object, one message a line, in the order of the names.
func writeStatus(w io.Writer, dir *spooldir.Dir, records []record, cause func(sender string) string, now time.Time) error {
	slices.SortFunc(records, func(a, b record) int { return cmp.Compare(a.name, b.name) })
	line := bytes.NewBufferString("{")
	encoder := json.NewEncoder(line)
	encoder.SetEscapeHTML(false)
	for i, r := range records {
		if i > 0 {
			line.WriteByte(',')
		}
		line.WriteByte('\n')
		if err := encoder.Encode(statusKey(dir, r.name)); err != nil {
			return err
		}
		line.Truncate(line.Len() - 1) // the line end that Encode adds
		line.WriteString(": ")
		if err := encoder.Encode(r.msg.shown().withCause(cause, now)); err != nil {
			return err
		}
		line.Truncate(line.Len() - 1)
		if _, err := line.WriteTo(w); err != nil {
			return err
		}
	}
	line.WriteString("\n}\n")
	_, err := line.WriteTo(w)
	return err
}

// settle takes the result of an attempt; tried has the recipients that it was made for, by address.
func (m *Message) settle(tried map[string]*Recipient, res result, opts Options, now time.Time) (events []Event) {
	counts := verdicts(res.recipients)
	for i, to := range res.to {
		r := tried[to]
		if r == nil {
			r = &Recipient{Address: to} // taken out of the status file meanwhile
		}
		if !res.removed {
			r.note(res.recipients[i], now)
		}
		ev := r.settle(res.recipients[i], counts, opts, now)
		ev.File, ev.From, ev.Attempt, ev.Since = res.name, m.From, res.attempt, m.since()
		events = append(events, ev)
	}
	if counts.any {
		m.Attempts++
	}
	return events
}

// counted says what a transaction as a whole means for its recipients.
type counted struct {
	any      bool // it was an attempt: somebody but the relay decided something
	progress bool // at least one recipient was accepted
}

func verdicts(results []Result) (c counted) {
	for _, r := range results {
		c.any = c.any || decided(r)
		c.progress = c.progress || r.Err == nil
	}
	return c
}

// decided reports whether r was an attempt: somebody but the relay decided something about the recipient.
func decided(r Result) bool {
	if r.Err == nil {
		return true
	}
	fault := faultOf(r.Err).Fault
	return fault != FaultRelay && fault != FaultNone
}

// settle is the table of outcomes: what a result means for its recipient.
func (r *Recipient) settle(res Result, c counted, opts Options, now time.Time) Event {
	ev := Event{Time: now, To: r.Address, Relay: res.Relay, Reply: res.Reply, TLS: res.TLS}
	r.Relay, r.LastAttempt, r.NextAttempt = res.Relay, now, now
	if res.Err == nil {
		r.Status, r.Error, r.GivenUp = Done, "", false
		ev.Kind = Sent
		return ev
	}
	fault := faultOf(res.Err)
	ev.Kind, ev.Err, ev.Fault = Deferred, res.Err, fault.Fault
	r.Error = res.Err.Error()
	switch {
	case fault.Fault == FaultRelay:
		// no attempt: the message waits for a relay
	case fault.Fault == FaultNone && (c.progress || errors.Is(res.Err, context.Canceled)):
		r.Error = "" // not offered yet: in the next transaction, at once, or after the next start
	case fault.Permanent:
		r.giveUp(&ev)
	default:
		r.Attempts++
		r.NextAttempt = now.Add(opts.Backoff(r.Attempts))
		if r.Attempts >= opts.Attempts {
			ev.Err = fmt.Errorf("given up after %d attempts: %w", r.Attempts, res.Err)
			r.giveUp(&ev)
		}
	}
	if r.Status == Waiting {
		ev.Next = r.NextAttempt
	}
	return ev
}

func (r *Recipient) giveUp(ev *Event) {
	r.Status, r.GivenUp, r.Error = Done, true, ev.Err.Error()
	ev.Kind, ev.Next = Failed, time.Time{}
}

// load makes the status file at path the queue's memory of messages that it has yet to see.
func (q *queue) load(path string) error {
	return readStatus(q.dir.FS(), path, func(key string, m *Message) { q.memory[nameOf(key, m)] = q.wrap(m) })
}

// restoreHeld finds the messages in memory that lie in hold/, and forgets those whose file is nowhere.
func (q *queue) restoreHeld() {
	for name, known := range q.memory {
		id, err := q.dir.StatHeld(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue // it cannot be seen now
		}
		delete(q.memory, name)
		q.changed = true
		if m := known.open(); err == nil {
			if !m.isOf(id) {
				m.Size = -1 // it was edited there: it is read anew when it is back
			}
			e := newEntry(name)
			e.id, e.state = versionOf(id), held
			q.entries[name] = e
			q.remember(e, m)
		}
	}
	if len(q.memory) == 0 {
		q.memory = make(map[string]parcel) // there may have been a million, whose room it would keep
	}
}

// adopt takes the message that is remembered, if the file is still the one that it speaks of.
func (q *queue) adopt(e *entry, m *Message, now time.Time) bool {
	id, err := q.dir.Stat(e.name)
	if err != nil || !m.isOf(id) || len(m.recipients()) == 0 {
		return false
	}
	_, err = q.dir.Why(e.name)
	e.id, e.returned = versionOf(id), err == nil
	c := m.clone()
	c.Error = ""
	c.release(now)
	c.mend(now, q.opts.MaxAge)
	e.soon = false
	q.remember(e, c)
	return true
}

// release ends the time in hold/, which does not count as age.
func (m *Message) release(now time.Time) {
	if !m.Held.IsZero() {
		m.Enqueued = m.Enqueued.Add(now.Sub(m.Held))
		m.Held = time.Time{}
	}
}

// recall lets a message that was moved back from failed/ go only to those who have not got it.
func (q *queue) recall(name string, f *msgfile.File, m *Message) (returned bool, err error) {
	text, err := q.dir.Why(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var why Failure
	if err := json.Unmarshal(text, &why); err != nil {
		return false, fmt.Errorf("failed/%s.json, which says who has got the message: %w", name, err)
	}
	known := m.same(&why.Message)
	if !known && !f.HasMessageID() && why.Body != "" { // its header may have been corrected meanwhile
		body, err := f.BodyDigest()
		if err != nil {
			return false, err
		}
		known = body == why.Body
	}
	if !known {
		return false, nil // another message that has the same name
	}
	m.MessageID = cmp.Or(why.MessageID, m.MessageID)
	m.spare(&why.Message)
	return true, nil
}

// reload believes the status file, edited since the time paused. A message that it does not know is read anew or, with no
// such time, goes on: it may be newer than the file.
func (q *queue) reload(edited Status, paused, now time.Time) (events []Event) {
	said := make(map[string]*Message, len(edited))
	for key, m := range edited {
		said[nameOf(key, &m)] = &m
	}
	edit := func(name string, known parcel) parcel { // of a file not read yet
		switch m, by := known.open(), said[name]; {
		case by == nil && !paused.IsZero():
			return q.wrap(m.acceptedOnly(now))
		case by != nil && by.mayEdit(m):
			return q.wrap(m.edited(by, paused))
		}
		return known
	}
	for name, known := range q.memory {
		q.memory[name] = edit(name, known)
	}
	for _, e := range slices.Collect(maps.Values(q.entries)) {
		switch m, by := e.msg.open(), said[e.name]; {
		case e.state == unread:
			if e.msg.holds() {
				e.msg = edit(e.name, e.msg)
			}
		case by != nil && !by.mayEdit(m):
		case by != nil:
			if e.state == ready {
				q.move(e, waiting, now) // out of its lane: it may get another sender
			}
			edited := m.edited(by, paused)
			edited.anchor(now)
			q.remember(e, edited)
			if !e.away() && e.state != held {
				events = append(events, q.conclude(e, edited, now)...)
			}
		case !e.away() && !paused.IsZero():
			q.remember(e, m.acceptedOnly(now))
			q.forget(e, now)
		}
	}
	return events
}

// journalName is the file that remembers what has happened since the status file was written.
const journalName = ".spoolgore.journal"

// note is a line of the journal: what came of one attempt.
type note struct {
	File    string // its name
	Message        // what it is known by, and in To those who were tried, as they are since
}

// note says what came of an attempt for those of tried about whom something was decided. Its size is that of the
// transaction, however many recipients the message has.
func (m *Message) note(tried map[string]*Recipient, res result) note {
	n := note{File: res.name, Message: Message{
		From: m.From, Attempts: m.Attempts, Size: m.Size, Modified: m.Modified,
		MessageID: m.MessageID, Digest: m.Digest, Inode: m.Inode, RawName: m.RawName,
	}}
	for i, to := range res.to {
		if r := tried[to]; r != nil && decided(res.recipients[i]) {
			n.To = append(n.To, *r)
			if r.accepted() {
				n.To[len(n.To)-1].Tried = nil // nobody is told how it came to that
			}
		}
	}
	return n
}

func (n *note) hasAccepted() bool { return slices.ContainsFunc(n.To, Recipient.accepted) }

// accepted reports whether a relay has the message for r, or a person says so.
func (r Recipient) accepted() bool { return r.Status == Done && !r.GivenUp }

// line is n as the journal keeps it.
func (n *note) line() []byte {
	line, _ := json.Marshal(n) // cannot fail: only a time could that no file has
	return line
}

// replay takes a line of the journal over what the status file says. It may be older than that, if a crash came before the
// journal was emptied, and must do no harm then.
func (q *queue) replay(line []byte) error {
	var n note
	if err := json.Unmarshal(line, &n); err != nil {
		return err
	}
	name := nameOf(n.File, &n.Message)
	known, ok := q.memory[name]
	m := known.open()
	if !ok || !n.same(m) { // the status file does not know it yet
		n.Size = -1 // these are not all of its recipients
		q.memory[name] = q.wrap(&n.Message)
		return nil
	}
	m.take(&n)
	q.memory[name] = q.wrap(m)
	return nil
}

// learn takes over what was known of a message before its directory went away.
func (q *queue) learn(past record) {
	known, ok := q.memory[past.name]
	if !ok {
		q.memory[past.name] = past.msg
		return
	}
	m, old := known.open(), past.msg.open()
	if !m.same(old) {
		return
	}
	n := note{Message: *old}
	n.To = slices.Concat(old.To, old.Cc, old.Bcc)
	m.take(&n)
	q.memory[past.name] = q.wrap(m)
}

// take learns from a note about the same message.
func (m *Message) take(n *note) {
	version := m.Size == n.Size && m.Modified.Equal(n.Modified)
	known := make(map[string]*Recipient)
	for _, r := range m.recipients() {
		known[r.Address] = r
	}
	var more []Recipient
	for _, r := range n.To {
		switch k := known[r.Address]; {
		case k != nil:
			if r.accepted() || !k.accepted() && !r.LastAttempt.Before(k.LastAttempt) {
				r.Told, r.Warned = r.Told || r.GivenUp && k.Told, r.Warned || k.Warned
				*k = r
			}
		case r.accepted() || !version: // else he was taken out of the status file by hand
			more = append(more, r)
		}
	}
	m.To = append(m.To, more...)
	if len(more) > 0 && !version {
		m.Size = -1 // the status file spoke of an older version of the file
	}
	m.Attempts = max(m.Attempts, n.Attempts)
	m.MessageID, m.Digest, m.Inode = cmp.Or(n.MessageID, m.MessageID), cmp.Or(n.Digest, m.Digest), cmp.Or(n.Inode, m.Inode)
}

// leave takes the file of e, whose message is m, out of the spool.
func (q *queue) leave(e *entry, m *Message, now time.Time) error {
	if m.hasFailed() {
		why, err := json.MarshalIndent(q.failure(e, m, now), "", "\t")
		if err != nil {
			return err
		}
		fail, untold := q.dir.Fail, !q.opts.NoReports && m.untold()
		if untold {
			fail = q.dir.FailUntold
		}
		name, err := fail(e.name, e.version(), why, e.returned)
		if name != "" {
			ev := Event{Kind: Kept, Time: now, File: e.name, From: m.From, Err: errors.New(m.reason()), Path: q.dir.File(filepath.Join("failed", name))}
			q.kept = append(q.kept, kept{ev, untold})
		}
		return err
	}
	if !m.served() {
		return errors.New("not every recipient is done") // never: but what it would cost to be wrong here is a message
	}
	if err := q.dir.Remove(e.name, e.version()); err != nil {
		return err
	}
	q.removed = true
	if e.returned {
		return q.dir.RemoveWhy(e.name)
	}
	return nil
}

// failure is the why-file of e, whose message is m.
func (q *queue) failure(e *entry, m *Message, now time.Time) Failure {
	why := Failure{File: q.dir.File(e.name), Time: now, Reason: m.reason(), Message: *m}
	if m.Digest == "" {
		return why
	}
	if f, err := msgfile.Open(q.dir, e.name, e.version(), time.Time{}, now); err == nil {
		why.Body, _ = f.BodyDigest() // without it the message is still known again if its header stays as it is
		f.Close()
	}
	return why
}
