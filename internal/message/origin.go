package message

// An Origin holds the names of the fields with the addresses of a message, or EnvelopeLine. People see it when they
// ask why a message goes to a recipient.
type Origin struct {
	From        string // empty: nowhere
	To, Cc, Bcc string // each may have no addresses
}

// EnvelopeLine in an Origin is the envelope line.
const EnvelopeLine = "envelope line"

// Origin returns the fields that [Header.Addresses] reads. An envelope line counts, valid or not.
func (h *Header) Origin() Origin {
	if h.envelope != nil {
		return Origin{EnvelopeLine, EnvelopeLine, EnvelopeLine, EnvelopeLine}
	}
	from, _ := h.senderField()
	if hasField(h.block, senderField) {
		from = senderField
	}
	if hasField(h.block, receiverField) {
		return Origin{from, receiverField, receiverField, receiverField}
	}
	prefix := h.recipientPrefix()
	return Origin{from, prefix + "To", prefix + "Cc", prefix + "Bcc"}
}

// LeftOut returns the fields that are not sent, with all lines.
func (h *Header) LeftOut() (fields []string) {
	for _, f := range h.block {
		fields = append(fields, string(f.text))
	}
	for _, f := range h.fields {
		if f.private() {
			fields = append(fields, string(f.text))
		}
	}
	return fields
}

// Start returns the offset of the first field in the file. The bytes before it are not sent: the envelope, a byte order
// mark, mbox separators.
func (h *Header) Start() int64 { return h.start }
