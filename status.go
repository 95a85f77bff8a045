package spoolgore

import (
	"time"

	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/engine"
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

	Error    string    `json:",omitempty"` // why the file cannot be sent or removed; empty: no trouble
	Expire   time.Time `json:",omitzero"`  // given up if not delivered by then; zero: Options.MaxAge alone decides
	Priority int       `json:",omitempty"` // higher is sent first
	Size     int64     // size of the file in bytes; negative: the file is to be read again
	Modified time.Time // modification time of the file
	Held     time.Time `json:",omitzero"` // since when the file has been in hold/; zero: not in hold/

	NotBefore time.Time `json:",omitzero"`  // not sent before, and the age counts from then; zero: at once
	MessageID string    `json:",omitempty"` // Message-ID with which the message is sent
	Digest    string    `json:",omitempty"` // hash of the header, set only if the header has no Message-ID
	Inode     uint64    `json:",omitempty"` // inode of the file, set with Digest
	RawName   []byte    `json:",omitempty"` // file name, set only if the name is not valid UTF-8

	// BodyDigest is a hash of the body, set with Digest. Both together identify the message.
	BodyDigest string `json:"Body,omitempty"`
	// Missing is the time since which the file has been looked for in vain; zero: the file is there.
	Missing time.Time `json:",omitzero"`
	// Overdue is when a start first found the message older than Options.MaxAge; zero: never.
	Overdue time.Time `json:",omitzero"`
	// Removed are addresses in the file that a person took out of the status file. They are not tried.
	Removed []string `json:",omitempty"`
}

// State is the progress of one recipient, as the status file has it.
type State int

// The states of a recipient.
const (
	StateWaiting    State = 0 // to be tried at NextAttempt
	StateInProgress State = 1 // in a transaction now
	StateDone       State = 2 // accepted by a relay or, with GivenUp set, not to be tried again
)

// Recipient is one recipient of a message.
type Recipient struct {
	Address     string
	Status      State
	Attempts    int       // failed attempts; trouble of the relay alone is not counted
	NextAttempt time.Time // meaningful while StateWaiting
	Error       string    // of the last attempt; empty: none

	GivenUp bool `json:",omitempty"` // StateDone without an acceptance; the message will go to failed/
	Told    bool `json:",omitempty"` // GivenUp, and a failure report was sent while other recipients waited
	// The time for a delay report has come; the report was sent if reports are on
	Warned      bool      `json:",omitempty"`
	Relay       string    `json:",omitempty"` // the relay that answered last
	LastAttempt time.Time `json:",omitzero"`  // zero: none yet
	History     *History  `json:"Tried,omitempty"`
}

// History is the result of all attempts for one recipient. It is replaced, never changed.
type History struct {
	First, Last Attempt
	Times       int `json:",omitempty"` // number of attempts; zero: one or, if Last differs from First, two
	// All attempts in order, at most 16 runs; empty: First and Last say all
	Runs []AttemptRun `json:",omitempty"`
}

// AttemptRun is a series of consecutive attempts for one recipient with the same result.
type AttemptRun struct {
	Attempt           // the first of the series
	Until   time.Time `json:",omitzero"` // time of the last of the series; zero: there was one attempt
	Times   int       // number of attempts
}

// Attempt is one attempt for one recipient.
type Attempt struct {
	Time   time.Time
	Relay  string // the relay that answered
	TLS    string // version of TLS, such as "TLS 1.3"; empty: none
	Reply  string // reply of the relay, at most 500 bytes; empty: none
	Status string `json:",omitempty"` // enhanced status code (RFC 3463) of a final failure without a reply
	Error  string `json:",omitempty"` // what went wrong if there was no reply; at most 500 bytes
}

// Failure is the content of a why-file, failed/NAME.json: the message as it was when it was given up, and why.
type Failure struct {
	File    string    // path of the message file in the spool
	Time    time.Time // when the message was given up
	Reason  string    // in one line
	Message           // as it was at that time
}

// statusOf makes the public snapshot. Causes says why the mail of a sender cannot be sent now.
func statusOf(dir *spooldir.Dir, records []queue.Named, causes func(string) string, now time.Time) Status {
	s := make(Status, len(records))
	for _, r := range records {
		m := r.Record.Shown()
		s[record.StatusKey(dir.File(r.Name))] = *messageOf(record.WithCause(m, causes(m.RouteSender()), now))
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
			GivenUp: r.GivenUp, Told: r.Told, Warned: r.Warned, Relay: r.Relay, LastAttempt: r.LastAttempt,
			History: historyOf(r.History),
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

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	EventQueued   EventKind = "queued"   // a recipient of a message that is new in the spool
	EventSent     EventKind = "sent"     // accepted by a relay, which cannot be forgotten any more
	EventDeferred EventKind = "deferred" // not accepted now, will be tried again
	EventFailed   EventKind = "failed"   // given up
	EventKept     EventKind = "kept"     // a message was moved to failed/ because a recipient was given up; To is empty
	// A file that cannot be read, sent or removed as it is; it stays, and To is empty
	EventUnusable EventKind = "unusable"
)

// Event is a change of one recipient or, for EventKept and EventUnusable, of one file.
type Event struct {
	Kind    EventKind
	Time    time.Time
	File    string    // name of the message file in the spool
	From    string    // envelope sender
	To      string    // recipient
	ID      string    // Message-ID with which the message is sent; empty in EventUnusable
	Size    int64     // of the file, in bytes; zero in EventUnusable
	Since   time.Time // Sent, Deferred, Failed: when the message was first seen or, if later, could first be sent
	Attempt int       // number of the transaction of this message, from 1; zero: there was none
	Relay   string    // the relay that answered
	Reply   string    // its reply
	TLS     string    // version of TLS, "TLS 1.3"; empty: none
	Fault   Fault     // Deferred and Failed: the party at fault
	Err     error     // Deferred, Failed, Kept and Unusable: why; often a *DeliveryError
	Next    time.Time // Deferred: when it is tried again, at the earliest
	Path    string    // Kept: path of the file now; the why-file (a Failure) has .json behind that name
}

func eventOf(ev queue.Event) Event {
	return Event{
		Kind: EventKind(ev.Kind), Time: ev.Time, File: ev.File, From: ev.From, To: ev.To, ID: ev.ID, Size: ev.Size,
		Since: ev.Since, Attempt: ev.Attempt, Relay: ev.Outcome.Relay, Reply: ev.Outcome.Reply, TLS: ev.Outcome.TLS,
		Fault: Fault(ev.Outcome.Fault), Err: ev.Err, Next: ev.Next, Path: ev.Path,
	}
}

// Health is how well a spool is run: what Status does not say, as it is about no message.
type Health struct {
	Running  bool   // by Run or Drain in this process; if not, all else is zero
	Paused   bool   // see Pause
	Away     bool   // the directory is not there, or another one is in its place: nothing is sent until that is over
	Trouble  string // why the directory, or files in it, cannot be worked on; empty: they can
	Files    int    // files that are messages, or are still to be read
	InFlight int    // messages that are being offered to a relay

	RateWait  time.Time // until when Options.Rate holds mail back; zero: it does not
	RateWaits uint64    // how often it has done so

	Relays []RelayHealth // in order of preference; those for all mail first, then those of Options.Routes in order
}

// RelayHealth is the state of one relay. A relay that several routes use is in Health once for each.
type RelayHealth struct {
	Name        string
	Senders     string // Route.Sender of its route; empty: all other mail
	Connections int    // open now; zero with a Transport
	Limit       int    // of connections, as learnt so far
	// Until when it gets no mail because it said that mail comes too fast; zero: it does not say so
	Slowed     time.Time
	Trouble    string    // why it cannot be used; empty: it can
	Since      time.Time // when the trouble began
	RestsUntil time.Time // when it is tried again, at the earliest
}

// healthOf converts h. Senders are those of the routes.
func healthOf(h engine.Health, senders []string) Health {
	c := Health{
		Running: true, Paused: h.Paused, Away: h.Away, Trouble: textOf(h.Trouble), Files: h.Files, InFlight: h.InFlight,
		RateWait: h.RateUntil, RateWaits: h.RateCount,
	}
	for _, r := range h.Relays {
		c.Relays = append(c.Relays, relayOf(r, senders[r.Route]))
	}
	return c
}

func relayOf(r delivery.Health, senders string) RelayHealth {
	return RelayHealth{
		Name: r.Name, Senders: senders, Connections: r.Connections, Limit: r.Limit, Slowed: r.SlowedUntil,
		Trouble: textOf(r.Err), Since: r.Since, RestsUntil: r.Until,
	}
}

// textOf returns the text of err; empty: there is none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
