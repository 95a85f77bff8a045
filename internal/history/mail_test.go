//go:build unix

package history

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// What the relay does with a recipient, by the kind in the address.
const (
	accept = "ok"    // accepts
	later  = "later" // defers the first attempts (rcpt.defers)
	stay   = "stay"  // defers until the drain: the message stays in the spool
	refuse = "no"    // refuses for good
	once   = "once"  // refuses the first attempt, accepts when the message is moved back from failed/
)

// An rcpt is one recipient. Each recipient belongs to one message.
type rcpt struct {
	addr   string
	kind   string
	defers int  // for the kind later: number of attempts that are deferred
	byHand bool // an operator marked the recipient as done in the status file
}

// Reasons for another copy of a message.
const (
	linked = "it had a second name"
	again  = "it was changed after it was sent, and tried again"
)

// A plan is what the relay does during the transactions of a message.
type plan struct {
	pause      time.Duration // duration of reading the content
	half       chan struct{} // closed when the second half of the content may be read; nil: at once
	replyPause time.Duration // between the last octet and the reply
	cutEnd     int           // how many times the relay closes the connection in place of the reply
	cutMiddle  int           // how many times the relay closes the connection in the middle of the content
	deferEnd   int           // how many times the relay replies 451 to the end of the data
}

// A version is one content of the whole file of a message.
type version struct {
	id   string // "mail.version": on each line of the body and in the field X-Lab
	file []byte // as the program wrote it, without an envelope line
	wire []byte // as the relay should get it
}

// A mail is one message of a history and all its versions.
type mail struct {
	n        int
	rcpts    []*rcpt
	plan     plan
	lines    int
	envelope bool // the first line of the file is the envelope

	mu       sync.Mutex
	versions []*version

	copies  int      // number of files that were a message each: one, and one for each cp
	deleted int      // how many of them the history removed
	extra   []string // reasons for one more copy for each recipient
	written *version // the last version that replaced another in an existing file
}

func newMail(n int, r *rand.Rand) *mail {
	m := &mail{n: n, copies: 1, envelope: r.IntN(3) == 0}
	kinds := []string{accept, accept, accept, later, stay, stay, refuse, once}
	for i := range 1 + r.IntN(3) {
		kind := kinds[r.IntN(len(kinds))]
		addr := fmt.Sprintf("r%d.m%d.%s@lab.test", i, n, kind)
		m.rcpts = append(m.rcpts, &rcpt{addr: addr, kind: kind, defers: 1 + r.IntN(2)})
	}
	switch r.IntN(10) {
	case 0:
		m.lines = 20_000 // more than a megabyte
	case 1, 2, 3:
		m.lines = 500
	default:
		m.lines = 1 + r.IntN(5)
	}
	p := &m.plan
	if r.IntN(3) == 0 {
		p.pause = time.Duration(r.IntN(150)) * time.Millisecond
	}
	if r.IntN(2) == 0 {
		p.replyPause = time.Duration(r.IntN(60)) * time.Millisecond
	}
	switch r.IntN(8) {
	case 0:
		p.cutEnd = 1
	case 1:
		p.cutMiddle = 1
	case 2:
		p.deferEnd = 1
	}
	return m
}

func (m *mail) from() string      { return fmt.Sprintf("m%d@lab.test", m.n) }
func (m *mail) messageID() string { return fmt.Sprintf("<m%d@lab.test>", m.n) }

// stays reports whether a recipient keeps the message in the spool until the drain.
func (m *mail) stays() bool {
	for _, r := range m.rcpts {
		if r.kind == stay {
			return true
		}
	}
	return false
}

func (m *mail) addresses() (list []string) {
	for _, r := range m.rcpts {
		list = append(list, r.addr)
	}
	return list
}

// next returns another version of the message without adding it. With same, it has the size of the version before.
func (m *mail) next(lines int) *version {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := fmt.Sprintf("%d.%d", m.n, len(m.versions)+1)
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\nTo: %s\nSubject: history\n", m.from(), strings.Join(m.addresses(), ", "))
	fmt.Fprintf(&b, "Date: Mon, 2 Jan 2006 15:04:05 +0000\nMessage-ID: %s\nX-Lab: %s\n\n", m.messageID(), id)
	for i := range lines {
		fmt.Fprintf(&b, "version %s, line %d of %d, and some more to fill it up\n", id, i+1, lines)
	}
	return newVersion(id, b.String())
}

func newVersion(id, text string) *version {
	return &version{id: id, file: []byte(text), wire: bytes.ReplaceAll([]byte(text), []byte("\n"), []byte("\r\n"))}
}

// appended returns the version that results from appending a line to a file with that content. The field X-Lab stays.
func (m *mail) appended(content []byte) (v *version, more []byte) {
	if m.envelope {
		_, content, _ = bytes.Cut(content, []byte("\n"))
	}
	last := m.last()
	more = fmt.Appendf(nil, "version %s, appended after %d octets\n", last.id, len(content))
	return newVersion(last.id, string(content)+string(more)), more
}

// add makes v the current version.
func (m *mail) add(v *version) *version {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.versions = append(m.versions, v)
	return v
}

func (m *mail) last() *version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.versions[len(m.versions)-1]
}

// inFile returns the content of the message file for version v.
func (m *mail) inFile(v *version) []byte {
	if !m.envelope {
		return v.file
	}
	to := strings.Join(m.addresses(), `","`)
	line := fmt.Sprintf("X-Spoolgore-Envelope: {\"from\":%q,\"to\":[\"%s\"]}\n", m.from(), to)
	return append([]byte(line), v.file...)
}

// recognize returns the index of the version that is equal to the content on the wire, or what is wrong with the
// content.
func (m *mail) recognize(wire []byte) (place int, wrong string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.versions) - 1; i >= 0; i-- {
		if v := m.versions[i].wire; bytes.Equal(v, wire) || bytes.Equal(v, withoutReceived(wire)) {
			return i, ""
		}
	}
	counts := map[string]int{}
	var order []string
	for line := range bytes.Lines(wire) {
		id, rest, _ := strings.Cut(strings.TrimPrefix(string(line), "version "), ",")
		if rest == "" || len(id) > 10 {
			continue
		}
		if counts[id]++; counts[id] == 1 {
			order = append(order, id)
		}
	}
	wrong = fmt.Sprintf("%d octets are no whole version:", len(wire))
	for _, id := range order {
		wrong += fmt.Sprintf(" %d lines of version %s;", counts[id], id)
	}
	for i, v := range m.versions {
		wrong += fmt.Sprintf(" version %d (%s) has %d octets, equal up to octet %d;",
			i+1, v.id, len(v.wire), common(v.wire, wire))
	}
	return -1, strings.TrimSuffix(wrong, ";")
}

// withoutReceived returns wire without the Received field at the top, which sendmail-spool adds.
func withoutReceived(wire []byte) []byte {
	rest, is := bytes.CutPrefix(wire, []byte("Received: "))
	for is {
		_, rest, is = bytes.Cut(rest, []byte("\r\n"))
		is = is && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t')
	}
	return rest
}

// common returns the length of the common prefix of a and b.
func common(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
