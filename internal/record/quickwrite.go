package record

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// A quickWriter writes records as encoding/json does, ten times as fast and without garbage. The counterpart is quick.
type quickWriter struct {
	text  []byte
	other bool // the record has a rare value: encoding/json has to write the record
}

// write writes m to the end of text. It returns false if the record has a rare value; the text is of no use then.
func (w *quickWriter) write(text []byte, m *Message) ([]byte, bool) {
	w.text, w.other = append(text, '{'), len(m.RawName) > 0
	w.string("From", m.From)
	w.recipients("To", m.To)
	w.recipients("Cc", m.Cc)
	w.recipients("Bcc", m.Bcc)
	w.int("Attempts", int64(m.Attempts))
	w.time("Enqueued", m.Enqueued)
	w.stringIfAny("Error", m.Error)
	w.timeIfAny("Expire", m.Expire)
	w.intIfAny("Priority", int64(m.Priority))
	w.int("Size", m.Size)
	w.time("Modified", m.Modified)
	w.timeIfAny("Held", m.Held)
	w.timeIfAny("NotBefore", m.NotBefore)
	w.stringIfAny("MessageID", m.MessageID)
	w.stringIfAny("Digest", m.Digest)
	if m.Inode != 0 {
		w.name("Inode")
		w.text = strconv.AppendUint(w.text, m.Inode, 10)
	}
	w.stringIfAny("Body", m.BodyDigest)
	w.timeIfAny("Missing", m.Missing)
	w.timeIfAny("Overdue", m.Overdue)
	if len(m.Removed) > 0 {
		w.name("Removed")
		w.list(len(m.Removed), func(i int) { w.quote(m.Removed[i]) })
	}
	w.stringIfAny("ID", m.ID)
	w.stringIfAny("UID", m.UID)
	return append(w.text, '}'), !w.other
}

func (w *quickWriter) recipients(name string, list []Recipient) {
	w.name(name)
	if list == nil {
		w.text = append(w.text, "null"...)
		return
	}
	w.list(len(list), func(i int) { w.recipient(&list[i]) })
}

func (w *quickWriter) recipient(r *Recipient) {
	w.text = append(w.text, '{')
	w.string("Address", r.Address)
	w.int("Status", int64(r.Status))
	w.int("Attempts", int64(r.Attempts))
	w.time("NextAttempt", r.NextAttempt)
	w.string("Error", r.Error)
	w.trueIfSet("Added", r.Added)
	w.trueIfSet("Copy", r.Copy)
	w.trueIfSet("GivenUp", r.GivenUp)
	w.trueIfSet("Told", r.Told)
	w.trueIfSet("Warned", r.Warned)
	w.stringIfAny("Relay", r.Relay)
	w.timeIfAny("LastAttempt", r.LastAttempt)
	if h := r.History; h != nil {
		w.name("Tried")
		w.history(h)
	}
	w.text = append(w.text, '}')
}

func (w *quickWriter) history(h *History) {
	w.text = append(w.text, `{"First":{`...)
	w.attempt(&h.First)
	w.text = append(w.text, `},"Last":{`...)
	w.attempt(&h.Last)
	w.text = append(w.text, '}')
	w.intIfAny("Times", int64(h.Times))
	if len(h.Runs) > 0 {
		w.name("Runs")
		w.list(len(h.Runs), func(i int) {
			r := &h.Runs[i]
			w.text = append(w.text, '{')
			w.attempt(&r.Attempt)
			w.timeIfAny("Until", r.Until)
			w.int("Times", int64(r.Times))
			w.text = append(w.text, '}')
		})
	}
	w.text = append(w.text, '}')
}

// attempt writes the fields of a.
func (w *quickWriter) attempt(a *Attempt) {
	w.time("Time", a.Time)
	w.string("Relay", a.Relay)
	w.string("TLS", a.TLS)
	w.string("Reply", a.Reply)
	w.stringIfAny("Status", a.Status)
	w.stringIfAny("Error", a.Error)
}

// name begins a field.
func (w *quickWriter) name(name string) {
	if w.text[len(w.text)-1] != '{' {
		w.text = append(w.text, ',')
	}
	w.text = append(append(append(w.text, '"'), name...), `":`...)
}

func (w *quickWriter) list(n int, element func(i int)) {
	w.text = append(w.text, '[')
	for i := range n {
		if i > 0 {
			w.text = append(w.text, ',')
		}
		element(i)
	}
	w.text = append(w.text, ']')
}

func (w *quickWriter) string(name, s string) {
	w.name(name)
	w.quote(s)
}

func (w *quickWriter) stringIfAny(name, s string) {
	if s != "" {
		w.string(name, s)
	}
}

func (w *quickWriter) int(name string, n int64) {
	w.name(name)
	w.text = strconv.AppendInt(w.text, n, 10)
}

func (w *quickWriter) intIfAny(name string, n int64) {
	if n != 0 {
		w.int(name, n)
	}
}

func (w *quickWriter) trueIfSet(name string, set bool) {
	if set {
		w.name(name)
		w.text = append(w.text, "true"...)
	}
}

func (w *quickWriter) timeIfAny(name string, t time.Time) {
	if !t.IsZero() {
		w.time(name, t)
	}
}

// time writes a time. Years of other than four digits, and offsets of a day, are errors in JSON.
func (w *quickWriter) time(name string, t time.Time) {
	_, offset := t.Zone()
	w.other = w.other || t.Year() < 0 || t.Year() > 9999 || offset <= -24*3600 || offset >= 24*3600
	w.name(name)
	w.text = append(t.AppendFormat(append(w.text, '"'), time.RFC3339Nano), '"')
}

// quote writes a string. Control characters, and what is not valid UTF-8, are rare.
func (w *quickWriter) quote(s string) {
	w.text = append(w.text, '"')
	for i, c := range s {
		switch {
		case c < ' ' || c == utf8.RuneError || c == '\u2028' || c == '\u2029':
			w.other = true
		case c == '"' || c == '\\':
			w.text = append(w.text, '\\', s[i])
		default:
			w.text = utf8.AppendRune(w.text, c)
		}
	}
	w.text = append(w.text, '"')
}
