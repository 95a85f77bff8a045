package rewrite

import (
	"bytes"
	"strings"

	"github.com/unbit/spoolgore/internal/message"
)

// maxOriginals is how many X-Original-To fields a message gets.
const maxOriginals = 20

// A Header is the fields of a message as they are sent. It shares its memory with the header of the file.
type Header struct {
	Fields   [][]byte // each with CRLF
	EightBit bool     // a byte is above 127
	Size     int64    // bytes of Fields
	Was      int64    // bytes of the fields of the file that are sent
	Signed   string   // domain of a signature because of which the From field stays; empty: there is none
}

// Header returns the fields of a message whose header is h and which is sent to the recipients to; nil: they are those
// of h.
func (r *Rules) Header(h *message.Header, to []string) *Header {
	if r == nil {
		return nil
	}
	w := &Header{}
	changed := false
	if r.redirect != "" {
		for _, addr := range to[:min(len(to), maxOriginals)] {
			w.add([]byte("X-Original-To: " + addr + "\r\n"))
			changed = true
		}
	}
	if r.changesSenders(h) {
		if w.Signed = signer(h); w.Signed == "" {
			return w.finish(h, r.senderFields(h, w) || changed)
		}
	}
	for _, text := range message.Fields(h) {
		w.add(text)
	}
	return w.finish(h, changed)
}

// finish completes w. It returns nil if the header is as it was, and there is nothing to say about it.
func (w *Header) finish(h *message.Header, changed bool) *Header {
	if !changed && w.Signed == "" {
		return nil
	}
	for _, text := range message.Fields(h) {
		w.Was += int64(len(text))
	}
	return w
}

func (w *Header) add(text []byte) {
	w.Fields = append(w.Fields, text)
	w.Size += int64(len(text))
	for _, c := range text {
		w.EightBit = w.EightBit || c > 127
	}
}

// changesSenders reports whether a rule may change the fields of the sender.
func (r *Rules) changesSenders(h *message.Header) bool {
	if r.from != "" {
		return true
	}
	if len(r.senders) == 0 {
		return false
	}
	for name, text := range message.Fields(h) {
		if isSender(name) && !bytes.Equal(r.mapField(text), text) {
			return true
		}
	}
	return false
}

// isSender reports whether a field names a sender.
func isSender(name string) bool {
	for _, n := range []string{"From", "Sender", "Reply-To", "Resent-From", "Resent-Sender"} {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return false
}

// mapField returns a field with the addresses of the table of senders.
func (r *Rules) mapField(text []byte) []byte {
	return message.ReplaceAddresses(text, func(addr string) string {
		if to, ok := r.mapped(addr); ok {
			return to
		}
		return addr
	})
}

// senderFields adds the fields of h to w, with other senders. It reports whether a field has changed.
//
// With a From of the operator, the From field has that one mailbox, under the display name of its first one. The old
// addresses go to Reply-To, unless there is one, and Sender fields are left out: their agent is the author now.
func (r *Rules) senderFields(h *message.Header, w *Header) (changed bool) {
	from, old := r.authors(h)
	for name, text := range message.Fields(h) {
		switch {
		case from == nil && isSender(name):
			mapped := r.mapField(text)
			changed = changed || !bytes.Equal(mapped, text)
			w.add(mapped)
		case strings.EqualFold(name, "From") && from != nil:
			if changed { // a second From field, which no message may have
				continue
			}
			changed = true
			w.add(from)
			if len(old) > 0 && h.Count("Reply-To") == 0 {
				w.add(replyTo(old))
			}
		case strings.EqualFold(name, "Sender") && from != nil:
		case strings.EqualFold(name, "Reply-To"):
			w.add(r.mapField(text))
		default:
			w.add(text)
		}
	}
	if from != nil && !changed { // there is no From field
		w.add(from)
		changed = true
	}
	return changed
}

// authors returns the From field with the address that the operator set, and the addresses that it had, apart from that
// one. The field is nil if the table of senders decides, or if it has that address already.
func (r *Rules) authors(h *message.Header) (field []byte, old []string) {
	if r.from == "" {
		return nil, nil
	}
	isFirst, fields, others := true, 0, false
	for name, text := range message.Fields(h) {
		if !strings.EqualFold(name, "From") {
			continue
		}
		fields++
		replaced, addrs := message.ReplaceAll(text, r.from)
		if isFirst {
			field, isFirst = replaced, false
		}
		for _, addr := range addrs {
			if _, ok := r.mapped(addr); ok && len(old) == 0 && fields == 1 {
				return nil, nil
			}
			if !same(addr, r.from) {
				others = true
				old = append(old, addr)
			}
		}
		others = others || len(addrs) == 0
	}
	switch {
	case fields == 0:
		return []byte("From: " + r.from + "\r\n"), nil
	case fields == 1 && !others:
		return nil, nil
	}
	return field, old
}

// replyTo returns a Reply-To field with the addresses, folded between two of them.
func replyTo(addrs []string) []byte {
	const width = 78
	text := []byte("Reply-To: " + addrs[0])
	column := len(text)
	seen := map[string]bool{addressKey(addrs[0]): true}
	for _, addr := range addrs[1:] {
		if seen[addressKey(addr)] {
			continue
		}
		seen[addressKey(addr)] = true
		if column+len(addr)+2 > width {
			text, column = append(text, ",\r\n "...), 1
		} else {
			text, column = append(text, ", "...), column+2
		}
		text, column = append(text, addr...), column+len(addr)
	}
	return append(text, "\r\n"...)
}

// signer returns the domain of a DKIM signature (RFC 6376) that is the domain of a From address, or above it; empty: no
// signature depends on the From field in that way.
func signer(h *message.Header) string {
	signed := map[string]bool{} // domains
	for name, text := range message.Fields(h) {
		if strings.EqualFold(name, "DKIM-Signature") {
			signed[domainKey(tag(message.Value(text), "d"))] = true
		}
	}
	if len(signed) == 0 {
		return ""
	}
	for name, text := range message.Fields(h) {
		if !strings.EqualFold(name, "From") {
			continue
		}
		_, authors := message.ReplaceAll(text, "x@x")
		for _, addr := range authors {
			domain := domainKey(addr[strings.LastIndexByte(addr, '@')+1:])
			for ; domain != ""; _, domain, _ = strings.Cut(domain, ".") {
				if signed[domain] {
					return domain
				}
			}
		}
	}
	return ""
}

// tag returns the value of a tag in a tag list (RFC 6376, section 3.2), without white space.
func tag(list, name string) string {
	for t := range strings.SplitSeq(list, ";") {
		key, value, _ := strings.Cut(t, "=")
		if strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), "")
		}
	}
	return ""
}
