//go:build unix

package history

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Outcomes in the ledger.
const (
	accepted = "accepted" // the reply to the whole content was 250, and was written to the connection
	unsure   = "unsure"   // the relay has the whole content, and the daemon got no reply
	deferred = "deferred"
	refused  = "refused"
	broken   = "broken" // the connection ended within the content
)

// A row is the outcome of one transaction for one recipient.
type row struct {
	at, began time.Time // at: time of the outcome; began: time of MAIL
	mail      int       // number of the mail; 0: a report
	rcpt      string
	daemon    int // number of the daemon, from the name in EHLO
	what      string
	version   int    // for accepted and unsure: index in the versions of the mail; -1: no whole version
	note      string // the reply, or what is wrong with the content
}

// A relay is a scripted SMTP relay on loopback. Its methods may be called concurrently.
type relay struct {
	ext       []string // keywords of the reply to EHLO
	addrs     []string // two addresses of the same relay
	listeners []net.Listener
	wg        sync.WaitGroup

	mu     sync.Mutex
	mails  map[int]*mail
	rows   []row
	tries  map[string]int // attempts by recipient
	cuts   map[string]int // interruptions by mail and kind
	drain  bool           // the relay accepts recipients of the kind stay, and makes no pauses
	down   time.Time      // until then connections get 421
	conns  map[net.Conn]bool
	taking int // number of contents that are being read
}

// conversing returns the number of contents that are being read.
func (r *relay) conversing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taking
}

// takes counts the begin (1) or the end (-1) of a content.
func (r *relay) takes(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taking += n
}

// listen starts a relay. The relay ends with the test.
func listen(t *testing.T, ext []string) *relay {
	r := &relay{
		ext: ext, mails: map[int]*mail{}, tries: map[string]int{}, cuts: map[string]int{}, conns: map[net.Conn]bool{},
	}
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r.addrs, r.listeners = append(r.addrs, l.Addr().String()), append(r.listeners, l)
		r.wg.Go(func() { r.accept(l) })
	}
	t.Cleanup(r.close)
	return r
}

func (r *relay) close() {
	for _, l := range r.listeners {
		l.Close()
	}
	r.mu.Lock()
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *relay) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.(*net.TCPConn).SetReadBuffer(32 << 10) // so that a large message takes a while
		r.mu.Lock()
		r.conns[c] = true
		r.mu.Unlock()
		r.wg.Go(func() {
			(&session{relay: r, conn: c, in: bufio.NewReaderSize(c, 16<<10), out: bufio.NewWriter(c)}).serve()
			c.Close()
			r.mu.Lock()
			delete(r.conns, c)
			r.mu.Unlock()
		})
	}
}

// know adds a mail before a program can send it.
func (r *relay) know(m *mail) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mails[m.n] = m
}

// note adds rows to the ledger.
func (r *relay) note(rows ...row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, rows...)
}

// demote changes the last rows of a transaction from accepted to unsure, as the reply could not be written.
func (r *relay) demote(began time.Time, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.rows {
		if w := &r.rows[i]; w.began.Equal(began) && w.mail == n && w.what == accepted {
			w.what, w.note = unsure, "the reply could not be written"
		}
	}
}

// ledger returns the rows so far.
func (r *relay) ledger() []row {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]row(nil), r.rows...)
}

// has reports whether the relay has the message for the recipient.
func (r *relay) has(rcpt string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.rows {
		if w := &r.rows[i]; w.rcpt == rcpt && (w.what == accepted || w.what == unsure) {
			return true
		}
	}
	return false
}

// open makes the relay accept recipients of the kind stay, and end its pauses.
func (r *relay) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drain, r.down = true, time.Time{}
}

// rest makes the relay reply 421 for a while.
func (r *relay) rest(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = time.Now().Add(d)
}

func (r *relay) isDown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.down)
}

// planned counts an interruption of a mail. It returns true if the plan has it now.
func (r *relay) planned(m *mail, what string, times int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := fmt.Sprint(m.n, what)
	r.cuts[key]++
	return r.cuts[key] <= times
}

// pauses returns the pauses for the content and the reply of a mail.
func (r *relay) pauses(m *mail) (content, reply time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m == nil || r.drain {
		return 0, 0
	}
	return m.plan.pause, m.plan.replyPause
}

// rcptReply returns the outcome for one recipient. The text is empty if the recipient is accepted.
func (r *relay) rcptReply(m *mail, addr string) (what, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries[addr]++
	if m == nil {
		return accepted, ""
	}
	for _, to := range m.rcpts {
		switch {
		case to.addr != addr:
		case to.kind == stay && !r.drain, to.kind == later && r.tries[addr] <= to.defers:
			return deferred, "450 4.2.1 not now"
		case to.kind == refuse, to.kind == once && r.tries[addr] == 1:
			return refused, "550 5.1.1 no such user"
		default:
			return accepted, ""
		}
	}
	return refused, "550 5.1.1 nobody of this history"
}

// A session is one connection.
type session struct {
	relay  *relay
	conn   net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	daemon int

	mail    *mail // nil: a report, or outside of a transaction
	open    bool
	began   time.Time
	to      []string
	content []byte
}

var errCut = errors.New("the relay breaks off")

func (s *session) serve() {
	if s.relay.isDown() {
		s.say("421 4.3.2 not now")
		_ = s.out.Flush()
		return
	}
	s.say("220 relay.lab.test")
	for {
		if s.in.Buffered() == 0 && s.out.Flush() != nil {
			return
		}
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		if s.command(strings.TrimRight(line, "\r\n")) != nil {
			return
		}
	}
}

func (s *session) say(line string) { _, _ = s.out.WriteString(line + "\r\n") }

func (s *session) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		_, _ = fmt.Sscanf(arg, "n%d.lab.test", &s.daemon)
		for _, e := range s.relay.ext {
			s.say("250-" + e)
		}
		s.say("250 8BITMIME")
	case "MAIL":
		s.begin(arg)
	case "RCPT":
		s.rcpt(arg)
	case "DATA":
		return s.data()
	case "BDAT":
		return s.bdat(arg)
	case "RSET":
		s.open = false
		s.say("250 2.0.0 ok")
	case "NOOP":
		s.say("250 2.0.0 ok")
	case "QUIT":
		s.say("221 2.0.0 bye")
		_ = s.out.Flush()
		return errCut
	default:
		s.say("500 5.5.2 unknown")
	}
	return nil
}

// address returns the text between the angle brackets.
func address(arg string) string {
	_, rest, _ := strings.Cut(arg, "<")
	addr, _, _ := strings.Cut(rest, ">")
	return addr
}

func (s *session) begin(arg string) {
	var n int
	_, _ = fmt.Sscanf(address(arg), "m%d@lab.test", &n)
	s.relay.mu.Lock()
	s.mail = s.relay.mails[n]
	s.relay.mu.Unlock()
	s.open, s.began, s.to, s.content = true, time.Now(), nil, nil
	s.say("250 2.1.0 ok")
}

func (s *session) rcpt(arg string) {
	addr := address(arg)
	what, text := s.relay.rcptReply(s.mail, addr)
	if what == accepted {
		s.to = append(s.to, addr)
		s.say("250 2.1.5 ok")
		return
	}
	s.relay.note(s.row(addr, what, text))
	s.say(text)
}

func (s *session) row(to, what, note string) row {
	n := 0
	if s.mail != nil {
		n = s.mail.n
	}
	return row{at: time.Now(), began: s.began, mail: n, rcpt: to, daemon: s.daemon, what: what, note: note}
}

// all adds a row with the outcome for each recipient that was accepted.
func (s *session) all(what string, version int, note string) {
	for _, to := range s.to {
		w := s.row(to, what, note)
		w.version = version
		s.relay.note(w)
	}
}

func (s *session) data() error {
	if !s.open || len(s.to) == 0 {
		s.say("554 5.5.1 no recipients")
		return nil
	}
	s.say("354 go ahead")
	if err := s.out.Flush(); err != nil {
		return err
	}
	pause := s.pacer()
	s.relay.takes(1)
	defer s.relay.takes(-1)
	for {
		line, err := s.in.ReadBytes('\n')
		if err == nil && string(line) == ".\r\n" {
			return s.end()
		}
		if err == nil {
			s.content = append(s.content, bytes.TrimPrefix(line, []byte("."))...)
			err = pause()
		}
		if err != nil {
			s.all(broken, -1, err.Error())
			return err
		}
	}
}

func (s *session) bdat(arg string) error {
	size, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	pause, took := s.pacer(), s.open && len(s.to) > 0
	s.relay.takes(1)
	defer s.relay.takes(-1)
	for n > 0 && err == nil {
		piece := make([]byte, min(n, 16<<10))
		_, err = io.ReadFull(s.in, piece)
		n -= len(piece)
		if err == nil && took {
			s.content = append(s.content, piece...)
			err = pause()
		}
	}
	switch {
	case err != nil && took:
		s.all(broken, -1, err.Error())
		return err
	case err != nil:
		return err
	case !took:
		s.say("503 5.5.1 no recipients")
		return nil
	case strings.EqualFold(last, "LAST"):
		return s.end()
	}
	s.say("250 2.0.0 go on")
	return nil
}

// pacer returns a function to call after each piece of the content. The function pauses, and ends the connection in the
// middle if the plan says so.
func (s *session) pacer() func() error {
	content, _ := s.relay.pauses(s.mail)
	if s.mail == nil {
		return func() error { return nil }
	}
	size := len(s.mail.last().wire)
	step, seen := max(size/8, 1), 0
	return func() error {
		if at := len(s.content) / step; at > seen && at <= 8 {
			time.Sleep(content / 8 * time.Duration(at-seen))
			seen = at
		}
		if s.mail.plan.half != nil && len(s.content) > size/2 {
			<-s.mail.plan.half
		}
		middle := len(s.content) > size/2 && len(s.content) < size
		if middle && s.relay.planned(s.mail, "middle", s.mail.plan.cutMiddle) {
			return errCut
		}
		return nil
	}
}

// end replies to a whole content.
func (s *session) end() error {
	s.open = false
	if s.mail == nil {
		s.all(accepted, 0, "report")
		s.say("250 2.0.0 ok")
		return nil
	}
	_, reply := s.relay.pauses(s.mail)
	time.Sleep(reply)
	place, wrong := s.mail.recognize(s.content)
	s.content = nil
	switch {
	case s.relay.planned(s.mail, "end", s.mail.plan.cutEnd):
		s.all(unsure, place, strings.TrimSpace("no reply, connection closed "+wrong))
		_ = s.out.Flush()
		return errCut
	case s.relay.planned(s.mail, "451", s.mail.plan.deferEnd):
		s.all(deferred, place, "451 4.2.0 at the end of the data")
		s.say("451 4.2.0 not now")
		return nil
	}
	s.all(accepted, place, wrong)
	s.say("250 2.0.0 ok")
	if err := s.out.Flush(); err != nil {
		s.relay.demote(s.began, s.mail.n)
		return err
	}
	return nil
}
