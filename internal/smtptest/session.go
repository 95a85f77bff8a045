package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"
)

// dripPause is the time between two octets of a reply with "drip".
const dripPause = time.Second

// errHangUp ends a session.
var errHangUp = errors.New("hang up")

// A session is one connection.
type session struct {
	relay  *Relay
	conn   net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	gone   <-chan struct{} // closed when the client has closed the connection, for a session that does not read
	number int
	hello  bool
	secure bool
	user   string
	msg    *Message // open transaction; nil: none
}

// serve serves one client until one side closes the connection.
func (r *Relay) serve(conn net.Conn, gone <-chan struct{}) {
	defer func() { _ = conn.Close() }()
	s := &session{relay: r, conn: conn, gone: gone, number: r.connected()}
	if r.Implicit {
		s.startTLS()
	}
	s.buffers()
	if _, err := s.answer("CONNECT", "", "220 relay.test ready"); err != nil {
		return
	}
	for {
		line, err := s.readLine()
		if err != nil {
			return
		}
		r.heard(line)
		if err := s.command(line); err != nil {
			return
		}
	}
}

// buffers makes the buffers. A buffer holds a complete flight, so the replies to a flight are one write.
func (s *session) buffers() {
	s.r = bufio.NewReaderSize(s.conn, 64<<10)
	s.w = bufio.NewWriterSize(s.conn, 64<<10)
}

// startTLS starts TLS. The handshake is part of the first read.
func (s *session) startTLS() {
	s.conn = tls.Server(s.conn, s.relay.TLS)
	s.secure = true
}

// readLine reads a line, without CRLF. The replies are sent after the last command of a flight.
func (s *session) readLine() (string, error) {
	if buffered, _ := s.r.Peek(s.r.Buffered()); !bytes.Contains(buffered, []byte("\n")) {
		if err := s.w.Flush(); err != nil {
			return "", err
		}
	}
	line, err := s.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// command runs one command.
func (s *session) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	switch verb {
	case "EHLO", "HELO", "LHLO":
		return s.helo(verb, arg)
	case "STARTTLS":
		return s.starttls(arg)
	case "AUTH":
		return login{s}.auth(arg)
	case "MAIL":
		return s.mail(arg)
	case "RCPT":
		return s.rcpt(arg)
	case "DATA":
		return s.data(arg)
	case "BDAT":
		if !s.relay.NoBDAT {
			return s.bdat(arg)
		}
	case "RSET":
		s.msg = nil
		return s.say(verb, arg, "250 2.0.0 reset")
	case "NOOP":
		return s.say(verb, arg, "250 2.0.0 ok")
	case "QUIT":
		if err := s.say(verb, arg, "221 2.0.0 bye"); err != nil {
			return err
		}
		_ = s.w.Flush()
		return errHangUp
	}
	return s.say(verb, arg, "500 5.5.2 what?")
}

func (s *session) helo(verb, arg string) error {
	usual := "250 relay.test"
	switch {
	case s.relay.LMTP != (verb == "LHLO"):
		usual = "500 5.5.1 wrong protocol"
	case verb != "HELO":
		usual = strings.Join(append([]string{"250-relay.test"}, s.offers()...), "\r\n250-")
		last := strings.LastIndex(usual, "250-")
		usual = usual[:last] + "250 " + usual[last+len("250-"):]
	}
	reply, err := s.answer(verb, arg, usual)
	if positive(reply) {
		s.hello, s.msg = true, nil
	}
	return err
}

// offers returns the keywords for EHLO.
func (s *session) offers() []string {
	if s.relay.Ext == nil {
		return []string{"8BITMIME", "SIZE"}
	}
	var list []string
	for _, keyword := range s.relay.Ext {
		if !s.secure || !strings.EqualFold(keyword, "STARTTLS") {
			list = append(list, keyword)
		}
	}
	return list
}

func (s *session) starttls(arg string) error {
	usual := "220 2.0.0 go ahead"
	if s.secure || s.relay.TLS == nil {
		usual = "503 5.5.1 no TLS here"
	}
	reply, err := s.answer("STARTTLS", arg, usual)
	if err != nil || !positive(reply) {
		return err
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	if s.relay.TLS == nil || s.r.Buffered() > 0 {
		return errHangUp
	}
	s.startTLS()
	s.buffers()
	s.hello, s.user, s.msg = false, "", nil
	return nil
}

// say is answer without the text of the reply.
func (s *session) say(verb, arg, usual string) error {
	_, err := s.answer(verb, arg, usual)
	return err
}

// answer sends the scripted or the usual reply, runs the scripted action, and returns the reply.
func (s *session) answer(verb, arg, usual string) (string, error) {
	text := s.relay.script(verb, arg)
	if text == "" {
		text = usual
	}
	return s.send(text)
}

func (s *session) send(text string) (string, error) {
	text, then := split(text)
	if text != "" && then != "drip" {
		_, _ = s.w.WriteString(text + "\r\n")
	}
	if then == "" {
		return text, nil
	}
	if err := s.w.Flush(); err != nil {
		return text, err
	}
	switch then {
	case "drip":
		return text, s.drip(text + "\r\n")
	case "hang":
		_, _ = io.Copy(io.Discard, s.r)
	case "stall":
		<-s.gone
	}
	return text, errHangUp
}

// split splits a scripted reply from the action.
func split(text string) (reply, then string) {
	reply, then = "", text
	if i := strings.LastIndexByte(text, '|'); i >= 0 {
		reply, then = text[:i], text[i+1:]
	}
	switch then {
	case "close", "hang", "stall", "drip":
		return reply, then
	}
	return text, ""
}

func (s *session) drip(text string) error {
	for i := range len(text) {
		select {
		case <-time.After(dripPause):
		case <-s.gone:
			return errHangUp
		}
		if _, err := io.WriteString(s.conn, text[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// positive reports whether a reply is 2yz.
func positive(reply string) bool { return strings.HasPrefix(lastLine(reply), "2") }

// goAhead reports whether a reply is 3yz.
func goAhead(reply string) bool { return strings.HasPrefix(lastLine(reply), "3") }

func lastLine(reply string) string { return reply[strings.LastIndexByte(reply, '\n')+1:] }
