package spoolgore

import (
	"fmt"
	"iter"
	"time"

	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/guard"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Status is the content of the status file: every message in the spool, by the absolute path of its file.
type Status map[string]Message

// Message is one message file in the spool: the value of an entry of the status file. The names and meanings of the
// fields down to Enqueued are those of the 2014 tool and fixed; people and scripts read and edit them.
type Message struct {
	From     string // envelope sender; empty: the null sender
	To       []Recipient
	Cc       []Recipient
	Bcc      []Recipient
	Attempts int       // transactions that counted as an attempt
	Enqueued time.Time // when the message was first seen

	Error    string    `json:",omitempty"` // reason why the file cannot be sent or removed; empty: none
	Expire   time.Time `json:",omitzero"`  // given up if not delivered by then; zero: Options.MaxAge alone decides
	Priority int       `json:",omitempty"` // higher is sent first
	Size     int64     // size of the file in bytes; negative: the file is to be read again
	Modified time.Time // modification time of the file
	Held     time.Time `json:",omitzero"` // time when the file came into hold/; zero: not in hold/

	NotBefore time.Time `json:",omitzero"`  // first attempt, and start of the age; zero: at once
	MessageID string    `json:",omitempty"` // Message-ID of the message as sent
	Digest    string    `json:",omitempty"` // hash of the header, set only if the header has no Message-ID
	Inode     uint64    `json:",omitempty"` // inode of the file; zero: unknown
	RawName   []byte    `json:",omitempty"` // file name, set only if the name is not valid UTF-8

	// BodyDigest is a hash of the body, set with Digest. Both together identify the message.
	BodyDigest string `json:"Body,omitempty"`
	// Missing is the time when the file was first found missing; zero: the file exists.
	Missing time.Time `json:",omitzero"`
	// Overdue is the time of the first start that found the message older than Options.MaxAge; zero: none.
	Overdue time.Time `json:",omitzero"`
	// Removed are addresses of the file that a person removed from the status file. No mail is sent to them.
	Removed []string `json:",omitempty"`
	ID      string   `json:",omitempty"` // Envelope.ID; empty: none
	UID     string   `json:",omitempty"` // user id of the owner of the file; empty: not known
}

// State is the progress of one recipient, as the status file has it.
type State int

// The states of a recipient.
const (
	StateWaiting    State = 0 // next attempt at NextAttempt
	StateInProgress State = 1 // in a transaction now
	StateDone       State = 2 // accepted by a relay or, with GivenUp set, given up
)

// Recipient is one recipient of a message.
type Recipient struct {
	Address     string
	Status      State
	Attempts    int       // failed attempts; trouble of the relay alone is not counted
	NextAttempt time.Time // meaningful while StateWaiting
	Error       string    // error of the last attempt; empty: none

	// A person added the recipient to the status file
	Added   bool `json:",omitempty"`
	Copy    bool `json:",omitempty"` // gets a copy, see Rewrite.Copies; the sender hears nothing of it
	GivenUp bool `json:",omitempty"` // StateDone without an acceptance; the message will go to failed/
	Told    bool `json:",omitempty"` // GivenUp, and a failure report was sent while other recipients waited
	// The time for a delay report has come; the report was sent if reports are on
	Warned      bool      `json:",omitempty"`
	Relay       string    `json:",omitempty"` // relay of the last attempt
	LastAttempt time.Time `json:",omitzero"`  // zero: none yet
	History     *History  `json:"Tried,omitempty"`
}

// History has the results of all attempts for one recipient. A new attempt makes a new History.
type History struct {
	First, Last Attempt
	Times       int `json:",omitempty"` // number of attempts; zero: one or, if Last differs from First, two
	// All attempts in order, at most 16 runs; empty: First and Last are all attempts
	Runs []AttemptRun `json:",omitempty"`
}

// AttemptRun is a series of consecutive attempts for one recipient with the same result.
type AttemptRun struct {
	Attempt           // first attempt of the series
	Until   time.Time `json:",omitzero"` // time of the last attempt of the series; zero: the series has one attempt
	Times   int       // number of attempts
}

// Attempt is one attempt for one recipient.
type Attempt struct {
	Time   time.Time
	Relay  string // relay of the attempt
	TLS    string // version of TLS, such as "TLS 1.3"; empty: none
	Reply  string // reply of the relay, at most 500 bytes; empty: none
	Status string `json:",omitempty"` // enhanced status code (RFC 3463) of a final failure without a reply
	Error  string `json:",omitempty"` // failure without a reply, at most 500 bytes
}

// Failure is the content of a why-file, failed/NAME.json: the message at the time when it was given up, and the reason.
type Failure struct {
	File    string    // path of the message file in the spool
	Time    time.Time // time when the message was given up
	Reason  string    // reason in one line
	Message           // the message at that time
}

// statusOf makes the public snapshot. causes returns the reason why mail to a recipient cannot be sent now.
func statusOf(
	dir *spooldir.Dir, records []queue.Named, causes func(*record.Message) func(to string) string, now time.Time,
) Status {
	s := make(Status, len(records))
	for _, r := range records {
		m := r.Record.Shown()
		if !m.Missing.IsZero() {
			continue
		}
		s[record.StatusKey(dir.File(r.Name))] = *messageOf(record.WithCause(m, causes(m), now))
	}
	return s
}

func messageOf(m *record.Message) *Message {
	return &Message{
		From: m.From, To: recipientsOf(m.To), Cc: recipientsOf(m.Cc), Bcc: recipientsOf(m.Bcc),
		Attempts: m.Attempts, Enqueued: m.Enqueued, Error: m.Error, Expire: m.Expire, Priority: m.Priority,
		Size: m.Size, Modified: m.Modified, Held: m.Held, NotBefore: m.NotBefore,
		MessageID: m.MessageID, Digest: m.Digest, Inode: m.Inode, RawName: m.RawName,
		BodyDigest: m.BodyDigest, Missing: m.Missing, Overdue: m.Overdue, Removed: m.Removed,
		ID: m.ID, UID: m.UID,
	}
}

func recipientsOf(list []record.Recipient) []Recipient {
	if list == nil {
		return nil
	}
	all := make([]Recipient, len(list))
	for i, r := range list {
		all[i] = Recipient{
			Address: r.Address, Status: State(r.Status), Attempts: r.Attempts,
			NextAttempt: r.NextAttempt, Error: r.Error,
			Added: r.Added, Copy: r.Copy, GivenUp: r.GivenUp, Told: r.Told, Warned: r.Warned, Relay: r.Relay,
			LastAttempt: r.LastAttempt,
			History:     historyOf(r.History),
		}
	}
	return all
}

func historyOf(h *record.History) *History {
	if h == nil {
		return nil
	}
	c := &History{First: Attempt(h.First), Last: Attempt(h.Last), Times: h.Times}
	for _, run := range h.Runs {
		c.Runs = append(c.Runs, AttemptRun{Attempt: Attempt(run.Attempt), Until: run.Until, Times: run.Times})
	}
	return c
}

// Entry is a message in the spool, in hold/ or in failed/, as Messages and Get return it.
type Entry struct {
	Name  string // of the file
	Place Place
	// "new" (not read yet), "waiting", "sending", "deferred", "scheduled" (Envelope.NotBefore), "unusable",
	// "temporary" (Options.TemporaryNames), "held" or "failed", as in "spoolgore list"
	State   string
	Reason  string    // why the message was not sent, in one line; empty: no failure
	GivenUp time.Time // time of the move to failed/; zero: not in failed/
	Message           // recipients with their histories
}

// Place is a directory of messages.
type Place string

// The places.
const (
	PlaceSpool  Place = ""
	PlaceHold   Place = "hold"
	PlaceFailed Place = "failed"
)

// Filter chooses messages. The zero value chooses all messages in all places.
type Filter struct {
	Places []Place  // nil: all
	States []string // values of Entry.State; nil: all
	// From is the sender, and To a recipient without an acceptance: an address, "@example.com" for a domain, or either
	// with * for any characters; "<>" is the null sender; empty: any.
	From, To string
	ID       string        // Envelope.ID; empty: any
	Older    time.Duration // minimum age; zero: none
	After    string        // for paging: names that sort behind After; empty: from the first name
	Limit    int           // number of messages; zero: no limit
}

// query returns f in the terms of the view.
func (f Filter) query() mailq.Query {
	q := mailq.Query{After: f.After, ID: f.ID, Limit: f.Limit, Filter: mailq.Filter{
		Older: f.Older, From: mailq.Pattern(f.From), To: mailq.Pattern(f.To),
	}}
	for _, place := range f.Places {
		q.Places = append(q.Places, spooldir.Place(place))
	}
	for _, state := range f.States {
		q.States = append(q.States, mailq.State(state))
	}
	return q
}

// entryOf converts e.
func entryOf(e *mailq.Entry) Entry {
	m := messageOf(&record.Message{
		From: e.From, To: e.To, Cc: e.Cc, Bcc: e.Bcc, Attempts: e.Attempts, Enqueued: e.Enqueued, Error: e.Error,
		Expire: e.Expire, Priority: e.Priority, Size: e.Size, Held: e.Held, NotBefore: e.NotBefore,
		MessageID: e.MessageID, RawName: e.RawName, Overdue: e.Overdue, Removed: e.Removed, ID: e.ID, UID: e.UID,
	})
	m.Modified = e.Info.ModTime()
	return Entry{
		Name: e.Name, Place: Place(e.Place), State: string(e.State), Reason: e.Reason, GivenUp: e.GivenUp, Message: *m,
	}
}

// Messages returns the messages that f chooses, sorted by name, as they were at the call. While nothing runs in this
// process, recipients are those of the status file. A page of n messages has Filter.Limit n; the next page begins after
// the last name (Filter.After). The last pair may be an error: the spool cannot be read.
func (s *Spool) Messages(f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		view, err := viewOf(s)
		var found []*mailq.Entry
		if err == nil {
			found, err = view.Select(f.query())
		}
		for _, e := range found {
			if !yield(entryOf(e), nil) {
				return
			}
		}
		if err != nil {
			yield(Entry{}, fmt.Errorf("spoolgore: messages: %w", err))
		}
	}
}

// Get returns one message. The error is fs.ErrNotExist if no message in place has that name.
func (s *Spool) Get(place Place, name string) (Entry, error) {
	view, err := viewOf(s)
	if err == nil {
		var e *mailq.Entry
		if e, err = view.Find(spooldir.Place(place), name); err == nil {
			view.ReadHeader(e)
			return entryOf(e), nil
		}
	}
	return Entry{}, fmt.Errorf("spoolgore: get: %w", err)
}

// viewOf returns a view of the spool, with the records of the Run of this process.
func viewOf(s *Spool) (*mailq.View, error) {
	if s.dirErr != nil {
		return nil, s.dirErr
	}
	s.mu.Lock()
	status, temporary := s.opts.StatusFile, s.opts.TemporaryNames
	s.mu.Unlock()
	view, err := mailq.Of(s.dir.Path(), status, time.Now())
	view.Temporary = temporary
	var live func() map[string]*record.Message
	do(s, func(c *engine.Control, done func()) {
		c.Records(func(records func() map[string]*record.Message) { live = records; done() })
	}, func() {})
	if live != nil {
		view.Live = live()
	}
	return view, err
}

// EventKind is the kind of an Event.
type EventKind string

// The kinds of events.
const (
	EventQueued   EventKind = "queued"    // a recipient of a new message in the spool
	EventSent     EventKind = "sent"      // accepted by a relay, and recorded on disk
	EventHandedOn EventKind = "handed on" // accepted by another queue, see Transport, and recorded on disk
	EventDeferred EventKind = "deferred"  // not accepted now; another attempt follows
	EventFailed   EventKind = "failed"    // given up
	EventKept     EventKind = "kept"      // a message was moved to failed/ as a recipient was given up; To is empty
	// A file cannot be read, sent or removed; the file stays, and To is empty
	EventUnusable EventKind = "unusable"
	EventHeld     EventKind = "held" // a message was moved to hold/, as Rewrite.Allow forbids a recipient; To is empty
)

// Event is a change of one recipient or, for EventKept, EventUnusable and EventHeld, of one file.
type Event struct {
	Kind      EventKind
	Time      time.Time
	File      string        // name of the message file in the spool
	From      string        // envelope sender
	To        string        // recipient
	ID        string        // Envelope.ID; empty: none
	MessageID string        // Message-ID of the message as sent; empty if the file cannot be read
	Size      int64         // size of the file in bytes; zero if the file cannot be read
	Since     time.Time     // Sent, Deferred, Failed: when the message was first seen or, if later, could first be sent
	Age       time.Duration // Sent, Deferred, Failed: from Since to Time
	Attempt   int           // number of the transaction for this message, from 1; zero: none
	UID       string        // user id of the owner of the file, in decimal; empty: not known
	Redirect  string        // address of Rewrite.Redirect that the relay was offered in place of To; empty: To
	Relay     string        // relay of the attempt
	Addr      string        // IP address and port of the relay; empty: not known
	Reply     string        // reply of the relay
	TLS       string        // version of TLS, "TLS 1.3"; empty: none
	Fault     Fault         // Deferred and Failed: the party at fault
	Err       error         // Deferred, Failed, Kept, Unusable and Held: reason; often a *DeliveryError
	Next      time.Time     // Deferred: earliest time of the next attempt
	Path      string        // Kept: path of the file now; the why-file (a Failure) is Path with ".json" appended
}

func eventOf(ev queue.Event) Event {
	e := Event{
		Kind: EventKind(ev.Kind), Time: ev.Time, File: ev.File, From: ev.From, To: ev.To,
		ID: ev.ID, MessageID: ev.MessageID, Size: ev.Size, Since: ev.Since, Attempt: ev.Attempt, UID: ev.UID,
		Redirect: ev.Outcome.Redirect,
		Relay:    ev.Outcome.Relay, Addr: ev.Outcome.Addr, Reply: ev.Outcome.Reply, TLS: ev.Outcome.TLS,
		Fault: Fault(ev.Outcome.Fault), Err: ev.Err, Next: ev.Next, Path: ev.Path,
	}
	if !ev.Since.IsZero() {
		e.Age = max(0, ev.Time.Sub(ev.Since))
	}
	return e
}

// Health is the state of a run and of its relays. The messages are in Status.
type Health struct {
	Dir        string // absolute path of the spool
	StatusFile string // absolute path of the status file

	TemporaryNames []string // Options.TemporaryNames

	Running  bool   // Run or Drain runs in this process; if not, all following fields are zero
	Paused   bool   // see Pause
	Away     bool   // the directory is missing or was replaced: no mail is sent until the directory is back
	Trouble  string // error of the directory or its files; empty: none
	Files    int    // number of files that are messages, or were not read yet
	Queue    QueueCounts
	InFlight int // number of messages in a transaction

	RateWait  time.Time     // end of the current wait for Options.Rate; zero: no wait
	RateWaits uint64        // number of waits for Options.Rate
	Relays    []RelayHealth // relays of SMTPAddr, then relays of Options.Routes, each in order of preference
}

// QueueCounts are the numbers of files in the spool directory, by state.
type QueueCounts struct {
	New, Waiting, Sending int // to be read; due; in a transaction, or about to leave the spool
	Deferred, Scheduled   int // tried again later; not tried before Envelope.NotBefore
	Unusable, Temporary   int // cannot be read or removed; being written, by the name
}

// RelayHealth is the state of one relay. A relay that several routes use is in Health once for each.
type RelayHealth struct {
	Name               string
	Senders            string    // Route.Sender of its route; empty: all other mail
	Connections, Limit int       // open connections, zero with a Transport; learnt limit of connections
	Slowed             time.Time // end of a pause as the relay asked for less mail; zero: no pause
	Pace               float64   // messages a minute to a relay that replied so; zero: no limit
	Reply              string    // that reply; empty: none
	Learnt             []string  // facts for which the relay is used in another way than the options allow
	Trouble            string    // reason why the relay cannot be used; empty: none
	Since, RestsUntil  time.Time // start of the trouble; earliest time of the next use
}

// healthOf converts h. senders has the sender of each route.
func healthOf(h engine.Health, senders []string) Health {
	c := Health{
		Running: true, Paused: h.Paused, Away: h.Away, Trouble: guard.Text(h.Trouble), Files: h.Files,
		Queue: QueueCounts(h.Queue), InFlight: h.InFlight, RateWait: h.RateUntil, RateWaits: h.RateCount,
	}
	for _, r := range h.Relays {
		c.Relays = append(c.Relays, RelayHealth{
			Name: r.Name, Senders: senders[r.Route], Connections: r.Connections, Limit: r.Limit,
			Slowed: r.SlowedUntil, Pace: r.Pace, Reply: r.Slowed, Learnt: r.Learnt,
			Trouble: guard.Text(r.Err), Since: r.Since, RestsUntil: r.Until,
		})
	}
	return c
}
