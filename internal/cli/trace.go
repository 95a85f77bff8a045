package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/addrmask"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/sentlog"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func traceCommand() *command {
	var asJSON bool
	n := 20
	c := &command{
		name:     "trace",
		operands: []string{"[flags] [DIR] MAIL..."},
		brief:    "say what became of mail: delivered, failed or waiting",
		about: `Shows what became of mail, also when its file is gone: each recipient with the outcome, its time, the
relay and the reply of the relay. MAIL is a Message-ID with or without brackets, the address of a recipient or the
sender, or the name of a message file. The daemon remembers the last outcomes (-trace N); messages that wait or failed
are read from the spool.`,
		notes: `The exit code is 1 if nothing is known of an operand.`,
		flags: config.NewFlagSet("trace"),
	}
	c.flags.AddInt(&n, "n", "N", "the last N messages for each operand; 0: all (20)")
	c.flags.AddSwitch(&asJSON, "json", "a JSON object a line for each recipient, see docs/commands.md")
	return c.onSpool(func(a *call) error {
		switch {
		case len(a.operands) == 0:
			return usageErr("which mail? give a Message-ID, an address, or the name of a message file")
		case n < 0:
			return usageErr("-n has to be 0 or more")
		}
		for _, query := range a.operands {
			if err := a.trace(query, n, asJSON); err != nil {
				return err
			}
		}
		a.reportStatus()
		return nil
	})
}

// A trail is what is known of one recipient of a message. Its JSON is a line of "spoolgore trace -json".
type trail struct {
	sentlog.Entry           // Outcome may also be the state of a message in the spool
	Next          time.Time `json:",omitzero"` // of the next attempt
	Attempts      int       `json:",omitempty"`
	place         spooldir.Place
	here          bool // the file is in the spool, hold/ or failed/
}

// trace prints what is known of query: the last n messages; zero: all.
func (c *call) trace(query string, n int, asJSON bool) error {
	t := &tracer{call: c, query: query, messages: make(map[string][]trail)}
	if err := t.collect(); err != nil {
		return err
	}
	if len(t.order) == 0 {
		c.complain("nothing is known of %s: it is not in %s, and %s", query, c.placeName(spooldir.Spool), t.span())
		return nil
	}
	if left := len(t.order) - n; n > 0 && left > 0 {
		t.order = t.order[left:]
		if !asJSON {
			fmt.Fprintf(c.out, "(%s before these; -n 0 shows all)\n\n", console.Count(left, "message"))
		}
	}
	for i, key := range t.order {
		if asJSON {
			if err := t.writeJSON(t.messages[key]); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		t.write(t.messages[key])
	}
	return nil
}

// A tracer collects what is known of one query.
type tracer struct {
	*call
	query    string
	order    []string           // keys of messages, in the order of their first outcome
	messages map[string][]trail // recipients by key
	outcomes int                // in the log
	oldest   time.Time          // of them; zero: there is none
}

// collect reads what is known of the query.
func (t *tracer) collect() error {
	if t.queue != nil {
		return errors.Join(t.queue.Outcomes(t.query, t.addOutcome), t.queue.About(t.query, t.addEntry))
	}
	if err := sentlog.Read(t.dir.Path(), t.addOutcome); err != nil {
		return err
	}
	return t.view.Each(allPlaces(), t.addEntry)
}

// add adds a recipient of the message with that name and Message-ID.
func (t *tracer) add(r trail) {
	key := r.File + "\x00" + r.MessageID
	if t.messages[key] == nil {
		t.order = append(t.order, key)
	}
	t.messages[key] = append(t.messages[key], r)
}

func (t *tracer) addOutcome(e *sentlog.Entry) error {
	t.outcomes++
	if t.oldest.IsZero() {
		t.oldest = e.Time
	}
	if e.IsAbout(t.query) {
		t.add(trail{Entry: *e})
	}
	return nil
}

// addEntry adds the recipients of a message in the spool that the log of outcomes does not have.
func (t *tracer) addEntry(e *mailq.Entry) error {
	t.source.ReadHeader(e)
	about := sentlog.Entry{
		File: e.Name, MessageID: e.MessageID, From: e.From, Size: e.Size, UID: e.UID, Since: e.Enqueued,
	}
	key := e.Name + "\x00" + e.MessageID
	logged := make(map[string]int) // index of the last outcome of a recipient
	for i := range t.messages[key] {
		logged[strings.ToLower(t.messages[key][i].To)] = i
	}
	found := false
	e.Recipients(func(r *record.Recipient) {
		one := trail{Entry: about, place: e.Place, here: true}
		one.To = r.Address
		if !one.IsAbout(t.query) {
			return
		}
		found = true
		for _, to := range []string{r.Address, addrmask.Address(r.Address)} { // the log may have the short form
			if i, ok := logged[strings.ToLower(to)]; ok && isDecided(r) {
				known := &t.messages[key][i]
				known.here, known.place = true, e.Place
				return
			}
		}
		one.fill(e, r)
		t.add(one)
	})
	if !found && about.IsAbout(t.query) { // a file without recipients
		about.Outcome, about.Error = string(e.State), e.Reason
		t.add(trail{Entry: about, place: e.Place, here: true})
	}
	return nil
}

// isDecided reports whether a relay has accepted the message for r, or r was given up.
func isDecided(r *record.Recipient) bool { return r.Status == record.Done }

// fill sets what is known of the recipient r of e.
func (t *trail) fill(e *mailq.Entry, r *record.Recipient) {
	t.Time, t.Relay, t.Attempts, t.Error = r.LastAttempt, r.Relay, r.Attempts, r.Error
	if h := r.History; h != nil {
		t.TLS, t.Reply = h.Last.TLS, h.Last.Reply
	}
	switch {
	case r.Accepted():
		t.Outcome, t.Error = sentlog.Sent, ""
	case r.GivenUp:
		t.Outcome = sentlog.Failed
	default:
		t.Outcome = string(e.State)
		if e.Place == spooldir.Spool {
			t.Next = r.NextAttempt
		}
	}
}

// span returns what the log of outcomes covers.
func (t *tracer) span() string {
	if t.outcomes == 0 {
		if t.queue != nil {
			return "no outcomes are remembered"
		}
		return "no outcomes are remembered (see -trace of the daemon)"
	}
	return fmt.Sprintf("not among the last %s, since %s", console.Count(t.outcomes, "outcome"),
		t.oldest.Local().Format(stamp))
}

func (t *tracer) writeJSON(message []trail) error {
	for i := range message {
		line, err := json.Marshal(&message[i])
		if err != nil {
			return err
		}
		if _, err := t.out.Write(append(console.EscapeJSON(line), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// write writes one message for people.
func (t *tracer) write(message []trail) {
	slices.SortStableFunc(message, func(a, b trail) int {
		return cmp.Or(compareZeroLast(a.Time, b.Time), strings.Compare(a.To, b.To))
	})
	first := &message[0]
	line := func(about, text string) { fmt.Fprintf(t.out, "%-11s %s\n", about, console.Escape(text)) }
	where := "no longer in " + t.placeName(spooldir.Spool)
	if i := slices.IndexFunc(message, func(r trail) bool { return r.here }); i >= 0 {
		where = "in " + t.placeName(message[i].place)
	}
	line("file", first.File+" ("+where+")")
	line("message-id", cmp.Or(first.MessageID, "none yet"))
	text := cmp.Or(first.From, "<>") + ", " + console.Size(first.Size) + "B"
	if first.UID != "" {
		text += ", uid " + first.UID
	}
	line("from", text)
	for i := range message {
		if !message[i].Since.IsZero() {
			line("queued", t.at(message[i].Since))
			break
		}
	}
	for i := range message {
		r := &message[i]
		line(r.label(), cmp.Or(r.To, "-")+": "+strings.Join(t.facts(r), ", "))
	}
}

// label returns the outcome for people.
func (t *trail) label() string {
	if t.Outcome == sentlog.Sent {
		return "delivered"
	}
	return t.Outcome
}

// facts returns what is known of a recipient, for people.
func (t *tracer) facts(r *trail) (all []string) {
	if !r.Time.IsZero() {
		text := t.at(r.Time)
		if !r.Since.IsZero() && r.Time.After(r.Since) {
			text += ", " + console.Span(r.Time.Sub(r.Since)) + " after it was queued"
		}
		all = append(all, text)
	}
	switch {
	case r.Next.After(t.now):
		all = append(all, "next attempt "+t.at(r.Next))
	case !r.Next.IsZero():
		all = append(all, "next attempt as soon as the relay can be used")
	}
	if n := r.Attempts; n > 0 {
		all = append(all, console.Count(n, "failed attempt"))
	}
	if r.Redirect != "" {
		all = append(all, "redirected to "+r.Redirect)
	}
	if r.Relay != "" {
		text := "relay " + r.Relay
		if r.Addr != "" && r.Addr != r.Relay {
			text += " [" + r.Addr + "]"
		}
		all = append(all, text)
	}
	if r.TLS != "" {
		all = append(all, r.TLS)
	}
	if why := cmp.Or(r.Reply, r.Error); why != "" {
		all = append(all, "reply "+why)
		if r.Reply == "" {
			all[len(all)-1] = why
		}
	}
	return all
}

// compareZeroLast compares times; a zero time comes last.
func compareZeroLast(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b)
}
