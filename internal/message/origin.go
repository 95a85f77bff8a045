package message

// An Origin says where the addresses of a message stand, for people who want to know why it goes to whom: the names of
// header fields, or EnvelopeLine.
type Origin struct {
	From        string // empty: nowhere
	To, Cc, Bcc string // each may have no addresses
}

// EnvelopeLine in an Origin is the envelope line.
const EnvelopeLine = "envelope line"

// Origin returns where [Header.Addresses] reads. The envelope line counts where there is one, broken or not.
func (h *Header) Origin() Origin {
	if h.envelope != nil {
		return Origin{EnvelopeLine, EnvelopeLine, EnvelopeLine, EnvelopeLine}
	}
	from, _ := h.senderField()
	if h.inBlock(senderField) {
		from = senderField
	}
	if h.inBlock(receiverField) {
		return Origin{from, receiverField, receiverField, receiverField}
	}
	prefix := h.recipientPrefix()
	return Origin{from, prefix + "To", prefix + "Cc", prefix + "Bcc"}
}

// LeftOut returns the fields that are not sent, with all their lines.
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

// Start is where in the file the first field begins, in bytes. What is before it is not sent either: the envelope line, a byte
// order mark, an mbox line.
func (h *Header) Start() int64 { return h.start }
