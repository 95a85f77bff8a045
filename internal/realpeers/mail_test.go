package realpeers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

// Numbers of messages for a peer, and which of them are large.
const (
	chunked = 1000 // with BDAT (RFC 3030)
	dotted  = 300  // with DATA
	plain   = 1000 // without TLS and login

	largeEvery = 100  // one message in so many has 100 KiB
	hugeEvery  = 1000 // one message in so many has 5 MiB
)

// mark is the first field of each message: text before it was added by a peer.
const mark = "X-Case: "

// A mail is one message for the spool.
type mail struct {
	from string // envelope sender; empty: the null sender
	to   []string
	raw  []byte // as in the spool
	want []byte // as it should arrive
	put  bool   // put with an envelope; otherwise the header is the envelope
}

var lineEnd = regexp.MustCompile(`\r*\n`)

// onTheWire returns text as a relay gets it: CRs before LF and the LF become CRLF, any other CR becomes a space.
func onTheWire(text string) string {
	text = strings.ReplaceAll(lineEnd.ReplaceAllString(text, "\n"), "\r", " ")
	return strings.ReplaceAll(text, "\n", "\r\n")
}

// newMail returns message n, the same in each run.
func newMail(n int) mail {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	m := mail{from: fmt.Sprintf("s%d@example.org", n%7), put: n%2 == 0}
	for i := range 1 + n%5/4*(2+n%3) { // one message in five has several recipients
		m.to = append(m.to, fmt.Sprintf("r%d@example.test", (n+i)%11))
	}
	from := m.from
	if m.put && n%20 == 0 {
		m.from = ""
	}
	subject := "plain"
	if n%13 == 0 {
		subject = "fol\n ded\n\tover lines"
	}
	if n%17 == 0 {
		subject = "grüße, 世界" // 8-bit in a header needs SMTPUTF8 (RFC 6531)
	}
	header := fmt.Sprintf("%s%d\nFrom: %s\nTo: %s\nSubject: %s\nDate: Mon, 2 Jan 2006 15:04:05 +0000\n"+
		"Message-ID: <%d@example.org>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"+
		"Content-Transfer-Encoding: 8bit\n\n", mark, n, from, strings.Join(m.to, ",\n "), subject, n)
	if n%3 == 0 {
		header = strings.ReplaceAll(header, "\n", "\r\n")
	}
	m.raw = append([]byte(header), body(n, random)...)
	m.want = []byte(onTheWire(string(m.raw)))
	if !bytes.HasSuffix(m.want, []byte("\r\n")) {
		m.want = append(m.want, "\r\n"...)
	}
	return m
}

// shapes are bodies that servers damage easily.
var shapes = []func(*rand.Rand) string{
	func(r *rand.Rand) string { return text(r, 4096, "\n") },
	func(r *rand.Rand) string { return text(r, 4096, "\r\n") },
	func(r *rand.Rand) string { return text(r, 1000, "\n") + text(r, 1000, "\r\n") + text(r, 1000, "\n") },
	func(r *rand.Rand) string { return "" },
	func(r *rand.Rand) string { return ".\n..\n.leading\r\n.\r\n\n. \n...\n" + text(r, 200, "\n.") + "\n." },
	func(r *rand.Rand) string { return strings.Repeat("x", 998) + "\n." + strings.Repeat("y", 997) + "\r\n" },
	func(r *rand.Rand) string { return "grüße, 世界\n" + octets(r, 3000) + "\n" },
	func(r *rand.Rand) string {
		return "From somebody\n>From another\nSubject: no\n\n \n\t\ntrailing \t \n\n\n\n"
	},
	func(r *rand.Rand) string { return "no end of line" },
	func(r *rand.Rand) string { return "a\rb\r\r\nc\r.\r\r\n\rQUIT\r\n.\rRSET\r\n\r" },
}

// body returns the body of message n.
func body(n int, random *rand.Rand) string {
	switch {
	case n%hugeEvery == 177:
		return text(random, 5<<20, "\n")
	case n%largeEvery == largeEvery/2:
		return text(random, 100<<10, "\n")
	}
	return shapes[n%len(shapes)](random)
}

// text returns lines of at least size octets that end in end. Some lines begin with a dot.
func text(random *rand.Rand, size int, end string) string {
	var b strings.Builder
	for b.Len() < size {
		if random.IntN(8) == 0 {
			b.WriteByte('.')
		}
		for range random.IntN(100) {
			b.WriteByte(byte(' ' + random.IntN('~'-' '+1)))
		}
		b.WriteString(end)
	}
	return b.String()
}

// octets returns size octets above 127 in lines. They are no valid UTF-8.
func octets(random *rand.Rand, size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(128 + random.IntN(128))
		if i%70 == 69 {
			b[i] = '\n'
		}
	}
	return string(b)
}
