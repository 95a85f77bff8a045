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

// What a row of the ledger says.
const (
	accepted = "accepted" // the reply to the whole content was 250, and was written to the connection
	unsure   = "unsure"   // the relay has the whole content, and the daemon cannot know
	deferred = "deferred"
	refused  = "refused"
	broken   = "broken" // the connection ended before the content did
)

// A row is what one transaction came to for one recipient.
type row struct {
	at, began time.Time // at: when it was decided; began: when MAIL was read
	mail      int       // its number; 0: a report
	rcpt      string
	daemon    int // the number of the daemon, from the name that it gave with EHLO
	what      string
	version   int    // accepted and unsure: place among the versions of the mail; -1: no whole version
	note      string // reply, or what is wrong with the content
}

// A relay is a scripted SMTP relay on loopback. All its methods may be called at any time.
type relay struct {
	ext       []string // EHLO keywords
	addrs     []string // two addresses, the same relay
	listeners []net.Listener
	wg        sync.WaitGroup

	mu     sync.Mutex
	mails  map[int]*mail
	rows   []row
	tries  map[string]int // by recipient
	cuts   map[string]int // by mail and what was done to it
	drain  bool           // those who stay are accepted, and nothing is slow
	down   time.Time      // until then connections are answered with 421
	conns  map[net.Conn]bool
	taking int // contents that are being read
}

// conversing is how many contents are being read.
func (r *relay) conversing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taking
}

// takes notes that a content begins (1) or ends (-1).
func (r *relay) takes(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taking += n
}

// listen starts a relay, which ends with the test.
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
		_ = c.(*net.TCPConn).SetReadBuffer(32 << 10) // so that a large message is on its way for a while
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

// know tells the relay of a mail, before anybody can send it.
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

// demote makes the newest rows of a transaction unsure, as its reply could not be written.
func (r *relay) demote(began time.Time, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.rows {
		if w := &r.rows[i]; w.began.Equal(began) && w.mail == n && w.what == accepted {
			w.what, w.note = unsure, "the reply could not be written"
		}
	}
}

// ledger returns all rows so far.
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

// open makes the relay accept those who stayed, and hurry.
func (r *relay) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drain, r.down = true, time.Time{}
}

// rest makes the relay answer 421 for a while.
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

// planned counts down what the plan says of a mail. True: now.
func (r *relay) planned(m *mail, what string, times int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := fmt.Sprint(m.n, what)
	r.cuts[key]++
	return r.cuts[key] <= times
}

// pauses returns how long the content and the reply of a mail take.
func (r *relay) pauses(m *mail) (content, reply time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m == nil || r.drain {
		return 0, 0
	}
	return m.plan.pause, m.plan.replyPause
}

// rcptReply decides about one recipient. Text is empty if it is accepted.
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

	mail    *mail // nil: a report, or no transaction
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

// address is what stands between the angle brackets.
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

// all notes the same for each recipient that was accepted.
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

// pacer returns what is called behind each piece of the content: it makes a mail take its time, and breaks off in the
// middle where that is planned.
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

// end answers a whole content.
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
