package message

import (
	"strconv"
	"time"
)

// Readdress returns the beginning of a message file with other recipients: what comes before the first field of the
// header, whose offset in the old file is [Header.Start]. The sender and all other wishes stay, also those for
// recipients that the file had before. Arrived is the time of the file.
func Readdress(h *Header, to []string, arrived time.Time) ([]byte, error) {
	a := h.Addresses()
	if a.FromErr != nil {
		return nil, a.FromErr
	}
	was, err := h.Envelope(arrived)
	if err != nil {
		return nil, err
	}
	env := Envelope{From: a.From, To: to}
	if was != nil {
		env.Ret, env.EnvID, env.Priority = was.Ret, was.EnvID, was.Priority
		env.NotBefore, env.Expire = was.NotBefore, was.Expire
		env.ID, env.UID = was.ID, was.UID
		env.Notify, env.ORcpt = was.Wishes(to)
	}
	if !h.FromPickup() {
		return env.AppendLine(nil)
	}
	if _, err := env.AppendLine(nil); err != nil {
		return nil, err
	}
	return env.appendBlock(nil), nil
}

// appendBlock appends e as a top block.
func (e Envelope) appendBlock(b []byte) []byte {
	field := func(name, value string) { b = append(append(append(append(b, name...), ": "...), value...), crlf...) }
	if !e.NotBefore.IsZero() {
		field(notBeforeField, e.NotBefore.Format(time.RFC3339))
	}
	if !e.Expire.IsZero() {
		field(expireField, e.Expire.Format(time.RFC3339))
	}
	if e.Priority != 0 {
		field(priorityField, strconv.Itoa(e.Priority))
	}
	sender := "<" + e.From + ">"
	if e.Ret != "" {
		sender += " RET=" + e.Ret
	}
	if e.EnvID != "" {
		sender += " ENVID=" + e.EnvID
	}
	field(senderField, sender)
	for i, to := range e.To {
		value := "<" + to + ">"
		if i < len(e.Notify) && e.Notify[i] != "" {
			value += " NOTIFY=" + e.Notify[i]
		}
		if i < len(e.ORcpt) && e.ORcpt[i] != "" {
			value += " ORCPT=" + e.ORcpt[i]
		}
		field(receiverField, value)
	}
	return b
}
