package explain

import "github.com/unbit/spoolgore/internal/message"

// rewrite puts the senders and recipients of the settings in the place of those of the message.
func (p *Plan) rewrite() (err error) {
	to, _, _ := p.recipients()
	if p.file.Sent = p.way.rules.Header(p.file.Header, to); p.file.Sent != nil {
		p.size, p.eightBit, err = p.file.Measure(p.messageID)
	}
	return err
}

// offered returns the recipients that the relay is asked for.
func (p *Plan) offered() []string {
	if to := p.way.rules.Redirect(); to != "" {
		return []string{to}
	}
	to, _, _ := p.recipients()
	return to
}

// forbidden returns the recipient because of which the message would be held; empty: none.
func (p *Plan) forbidden() string {
	to, _, _ := p.recipients()
	return p.way.rules.Forbidden(to)
}

// writeRewriting writes the sender and the recipients that count, where they are others than those of the message.
func (p *planPage) writeRewriting() {
	rules := p.way.rules
	if from := rules.Envelope(p.addresses.From); from != p.addresses.From {
		p.Line("sent as", "%s  (-sender, -from, -senders, or the relays file)", from)
	}
	if to := rules.Redirect(); to != "" {
		p.Line("redirected", "to %s, in one copy for all recipients (-redirect)", to)
	}
	if to := rules.Copy(p.addresses.From); to != "" {
		p.Line("copy", "to %s (-bcc)", to)
	}
	if to := p.forbidden(); to != "" {
		p.Line("held", "because mail to %s is not allowed (-allow)", to)
	}
}

// writeFields writes the fields that are sent in place of those of the file.
func (p *planPage) writeFields() {
	sent := p.file.Sent
	if sent == nil {
		return
	}
	if sent.Signed != "" {
		p.Line("From", "stays, because a DKIM signature of %s depends on it", sent.Signed)
	}
	sends, was := map[string]bool{}, map[string]bool{}
	for _, field := range sent.Fields {
		sends[string(field)] = true
	}
	for _, field := range message.Fields(p.file.Header) {
		was[string(field)] = true
		if !sends[string(field)] {
			p.Line("left out", "%s", folded(string(field)))
		}
	}
	for _, field := range sent.Fields {
		if !was[string(field)] {
			p.Line("added", "%s", folded(string(field)))
		}
	}
}
