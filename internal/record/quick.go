package record

// A quick decodes records in the form that StatusEncoder writes, several times as fast as encoding/json. Of any other
// form, such as an unknown field, a field in small letters or null, nothing more is decoded, and encoding/json has to
// decode the record. Strings that repeat from record to record share their memory.
type quick struct {
	quickJSON
	shared [sharedKinds]string
}

// The kinds of strings that often repeat.
const (
	sharedSender = iota
	sharedError
	sharedRelay
	sharedTLS
	sharedReply
	sharedUID
	sharedKinds
)

// decode decodes text, one record, into m. It returns false if the text has another form; m is of no use then.
func (d *quick) decode(text []byte, m *Message) bool {
	d.quickJSON = quickJSON{text: text}
	d.message(m)
	d.space()
	return !d.other && d.at == len(d.text)
}

// key decodes text, a string, into s. It returns false if the text is no string.
func (d *quick) key(text []byte, s *string) bool {
	d.quickJSON = quickJSON{text: text}
	*s = d.string()
	return !d.other && d.at == len(text)
}

func (d *quick) message(m *Message) {
	d.object(func(key []byte) int {
		switch string(key) {
		case "From":
			m.From = d.sharedString(sharedSender)
			return 0
		case "To":
			m.To = d.recipients()
			return 1
		case "Cc":
			m.Cc = d.recipients()
			return 2
		case "Bcc":
			m.Bcc = d.recipients()
			return 3
		case "Attempts":
			m.Attempts = int(d.int())
			return 4
		case "Error":
			m.Error = d.sharedString(sharedError)
			return 5
		case "Priority":
			m.Priority = int(d.int())
			return 6
		case "Size":
			m.Size = d.int()
			return 7
		case "Inode":
			m.Inode = d.uint()
			return 8
		case "Removed":
			m.Removed = d.strings()
			return 9
		}
		return d.messageMore(key, m)
	})
}

// messageMore decodes the fields of m that are strings or times.
func (d *quick) messageMore(key []byte, m *Message) int {
	switch string(key) {
	case "Enqueued":
		return d.time(&m.Enqueued, 10)
	case "Expire":
		return d.time(&m.Expire, 11)
	case "Modified":
		return d.time(&m.Modified, 12)
	case "Held":
		return d.time(&m.Held, 13)
	case "NotBefore":
		return d.time(&m.NotBefore, 14)
	case "Missing":
		return d.time(&m.Missing, 15)
	case "Overdue":
		return d.time(&m.Overdue, 16)
	case "MessageID":
		m.MessageID = d.string()
		return 17
	case "Digest":
		m.Digest = d.string()
		return 18
	case "Body":
		m.BodyDigest = d.string()
		return 19
	case "ID":
		m.ID = d.string()
		return 20
	case "UID":
		m.UID = d.sharedString(sharedUID)
		return 21
	}
	return -1
}

func (d *quick) recipients() []Recipient {
	list := []Recipient{}
	d.list(func() {
		list = append(list, Recipient{})
		d.recipient(&list[len(list)-1])
	})
	return list
}

func (d *quick) recipient(r *Recipient) {
	d.object(func(key []byte) int {
		switch string(key) {
		case "Address":
			r.Address = d.string()
			return 0
		case "Status":
			r.Status = State(d.int())
			return 1
		case "Attempts":
			r.Attempts = int(d.int())
			return 2
		case "NextAttempt":
			return d.time(&r.NextAttempt, 3)
		case "Error":
			r.Error = d.sharedString(sharedError)
			return 4
		case "Copy":
			return d.bool(&r.Copy, 5)
		case "GivenUp":
			return d.bool(&r.GivenUp, 6)
		case "Told":
			return d.bool(&r.Told, 7)
		case "Warned":
			return d.bool(&r.Warned, 8)
		case "Relay":
			r.Relay = d.sharedString(sharedRelay)
			return 9
		case "LastAttempt":
			return d.time(&r.LastAttempt, 10)
		case "Tried":
			r.History = &History{}
			d.history(r.History)
			return 11
		case "Added":
			return d.bool(&r.Added, 12)
		}
		return -1
	})
}

func (d *quick) history(h *History) {
	d.object(func(key []byte) int {
		switch string(key) {
		case "First":
			d.object(func(key []byte) int { return d.attempt(key, &h.First) })
			return 0
		case "Last":
			d.object(func(key []byte) int { return d.attempt(key, &h.Last) })
			return 1
		case "Times":
			h.Times = int(d.int())
			return 2
		case "Runs":
			h.Runs = []AttemptRun{}
			d.list(func() {
				h.Runs = append(h.Runs, AttemptRun{})
				d.run(&h.Runs[len(h.Runs)-1])
			})
			return 3
		}
		return -1
	})
}

func (d *quick) run(r *AttemptRun) {
	d.object(func(key []byte) int {
		switch string(key) {
		case "Until":
			return d.time(&r.Until, 6)
		case "Times":
			r.Times = int(d.int())
			return 7
		}
		return d.attempt(key, &r.Attempt)
	})
}

// attempt decodes the value of one field of a.
func (d *quick) attempt(key []byte, a *Attempt) int {
	switch string(key) {
	case "Time":
		return d.time(&a.Time, 0)
	case "Relay":
		a.Relay = d.sharedString(sharedRelay)
		return 1
	case "TLS":
		a.TLS = d.sharedString(sharedTLS)
		return 2
	case "Reply":
		a.Reply = d.sharedString(sharedReply)
		return 3
	case "Status":
		a.Status = d.string()
		return 4
	case "Error":
		a.Error = d.sharedString(sharedError)
		return 5
	}
	return -1
}

// sharedString is string for a string that often repeats.
func (d *quick) sharedString(kind int) string {
	if text, ok := d.escaped(); ok {
		return text
	}
	if text := d.quoted(); string(text) != d.shared[kind] {
		d.shared[kind] = string(text)
	}
	return d.shared[kind]
}
