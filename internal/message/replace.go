package message

import (
	"bytes"
	"io"
	"iter"
	"strings"
)

// Fields yields the name and the text of each field of h that is sent. The text has all lines of the field, each with
// CRLF, and must not be changed.
func Fields(h *Header) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, f := range h.fields {
			if !f.private() && !yield(string(f.text[:f.name]), f.text) {
				return
			}
		}
	}
}

// Value returns the value of a field, unfolded and trimmed. The text is as Fields yields it.
func Value(text []byte) string { return field{text: text, name: fieldName(text)}.value() }

// ReplaceAddresses returns the text of an address field with other addresses: replace is called with each valid
// address, and returns the address to put in its place. Every other byte stays.
func ReplaceAddresses(text []byte, replace func(addr string) string) []byte {
	var out []byte
	copied := 0
	for m := range mailboxes(text) {
		if m.addr == "" {
			continue
		}
		if addr := replace(m.addr); addr != m.addr {
			out = append(out, text[copied:m.start]...)
			out = append(out, addr...)
			copied = m.end
		}
	}
	if copied == 0 {
		return text
	}
	return append(out, text[copied:]...)
}

// ReplaceAll returns the text of an address field with a single mailbox: the first one, with another address. Its
// display name and its comment stay. old are the valid addresses of the field, in order.
func ReplaceAll(text []byte, addr string) (replaced []byte, old []string) {
	var first mailbox
	for m := range mailboxes(text) {
		if m.addr != "" {
			old = append(old, m.addr)
		}
		if first.to == 0 || first.addr == "" && m.addr != "" {
			first = m
		}
	}
	replaced = append(bytes.Clone(text[:fieldName(text)]), ": "...)
	if first.addr == "" && !first.bracketed {
		return append(append(replaced, addr...), crlf...), old
	}
	if first.bracketed {
		replaced = append(append(replaced, text[first.from:first.open]...), '<')
		return append(append(append(replaced, addr...), '>'), crlf...), old
	}
	replaced = append(append(replaced, text[first.from:first.start]...), addr...)
	return append(append(replaced, text[first.end:first.to]...), crlf...), old
}

// SameAddress reports whether two addresses are the same: local parts are compared exactly, domains in any case of
// letters.
func SameAddress(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i == j && i >= 0 && a[:i] == b[:j] && strings.EqualFold(a[i:], b[j:])
}

// mailbox is the place of one mailbox in the text of a field.
type mailbox struct {
	addr       string // canonical address; empty: none that is valid
	from, to   int    // the mailbox, with its display name
	start, end int    // the address
	open       int    // the angle bracket, if bracketed
	bracketed  bool   // the address is in angle brackets
}

// mailboxes yields the mailboxes in the text of an address field.
func mailboxes(text []byte) iter.Seq[mailbox] {
	return func(yield func(mailbox) bool) {
		at := bytes.IndexByte(text, ':') + 1
		s := hideBytes(strings.NewReplacer("\r", " ", "\n", " ").Replace(string(text[at:])))
		for _, p := range splitListBy(s, "?") {
			if p.empty() {
				continue
			}
			m := mailbox{from: at + p.at, to: at + p.at + len(p.text), open: at + p.at + p.open, bracketed: p.open >= 0}
			start, end := p.address()
			m.start, m.end = m.from+start, m.from+end
			if list := parseList(p.text); len(list) == 1 && list[0].Err == nil {
				m.addr = list[0].Addr
			}
			if !yield(m) {
				return
			}
		}
	}
}

// address returns the place of the address in p: the text in the angle brackets or, without brackets, from the first
// to the last token that is neither a blank nor a comment.
func (p piece) address() (start, end int) {
	if p.open >= 0 {
		return p.word()
	}
	lex := lexer{s: p.text}
	start = -1
	for i := 0; i < len(p.text); {
		next := lex.skip(i)
		comment := p.text[i] == '(' && next > i+1
		if !comment && strings.IndexByte(blanks, p.text[i]) < 0 {
			if start < 0 {
				start = i
			}
			end = next
		}
		i = next
	}
	return max(start, 0), end
}

// Splice returns a reader of the message r in which other text takes the place of the cut bytes behind the first keep
// bytes.
func Splice(r io.Reader, keep, cut int64, text [][]byte) io.Reader {
	return &splicer{r: r, keep: keep, cut: cut, text: text}
}

// splicer is the reader of Splice.
type splicer struct {
	r         io.Reader
	keep, cut int64
	text      [][]byte
	done      int // bytes of the first text that were read
}

// Read implements io.Reader.
func (s *splicer) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.keep > 0 {
		n, err = s.r.Read(p[:min(int64(len(p)), s.keep)])
		s.keep -= int64(n)
		return n, err
	}
	for n < len(p) && len(s.text) > 0 {
		m := copy(p[n:], s.text[0][s.done:])
		n, s.done = n+m, s.done+m
		if s.done == len(s.text[0]) {
			s.text, s.done = s.text[1:], 0
		}
	}
	if n > 0 {
		return n, nil
	}
	for s.cut > 0 {
		m, err := s.r.Read(p[:min(int64(len(p)), s.cut)])
		if s.cut -= int64(m); err != nil {
			return 0, err
		}
	}
	return s.r.Read(p)
}
