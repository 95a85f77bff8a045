package sink

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// What a session is in the middle of.
type mode int

const (
	commands mode = iota
	data          // a message that ends with a dot on a line of its own
	chunk         // a chunk of s.left octets
)

// Where in the text a session is in mode data.
type place int

const (
	lineStart place = iota // behind CR LF
	dot                    // behind the dot that starts a line
	dotCR                  // behind that dot and a CR
	inLine                 // anywhere else
	lineCR                 // behind the CR in or after a line
)

const (
	maxLine = 4096 // of a command
	maxHead = 4096 // how much of a message is looked at for its number
)

// A session is the state of one connection. It knows octets and answers, and nothing of the network.
type session struct {
	server *Server
	out    []byte // answers to be sent
	ended  int64  // messages that out answers
	quit   bool   // nothing more to be read

	mode  mode
	line  []byte // the part of a command line that has come
	begun bool   // in mode data: some of the message has come
	place place
	left  int64 // in mode chunk: octets to come
	last  bool  // in mode chunk: it is the last of its message

	mail   bool // MAIL was accepted
	rcpts  int  // recipients accepted since
	no     bool // a recipient was refused since
	poison bool // the message is to be refused after its content
	taken  int  // messages accepted on the connection
	broken bool // a chunk of this message was refused
	head   []byte
	size   int64
}

// waits reports whether the client may be waiting for an answer.
func (s *session) waits() bool {
	switch s.mode {
	case data:
		return !s.begun
	case chunk:
		return false
	}
	return len(s.line) == 0
}

// feed takes what has come in.
func (s *session) feed(p []byte) {
	for len(p) > 0 && !s.quit {
		switch s.mode {
		case data:
			p = s.text(p)
		case chunk:
			p = s.octets(p)
		default:
			p = s.command(p)
		}
	}
}

// command takes a command line, or the part of one that p has, and returns the rest of p.
func (s *session) command(p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		s.line = append(s.line, p...)
		if len(s.line) > maxLine {
			s.refuse("500 line too long")
			s.quit = true
		}
		return nil
	}
	line := p[:i]
	if len(s.line) > 0 {
		line = append(s.line, line...)
		s.line = s.line[:0]
	}
	verb, args, _ := strings.Cut(strings.TrimSuffix(string(line), "\r"), " ")
	s.obey(strings.ToUpper(verb), args)
	return p[i+1:]
}

func (s *session) obey(verb, args string) {
	switch verb {
	case "EHLO":
		s.reset()
		s.out = append(s.out, s.server.ehlo...)
	case "HELO":
		s.reset()
		s.reply("250 sink.test")
	case "MAIL":
		s.from()
	case "RCPT":
		s.to(args)
	case "DATA":
		s.startData()
	case "BDAT":
		s.startChunk(args)
	case "RSET":
		s.reset()
		s.reply("250 2.0.0 reset")
	case "NOOP":
		s.reply("250 2.0.0 ok")
	case "QUIT":
		s.reply("221 2.0.0 bye")
		s.quit = true
	default:
		s.refuse("500 5.5.2 unknown command")
	}
}

func (s *session) from() {
	if s.mail {
		s.refuse("503 5.5.1 sender already given")
		return
	}
	if most := s.server.config.Trouble.PerConn; most > 0 && s.taken == most {
		s.reply("421 4.7.0 too many messages on this connection")
		s.quit = true
		return
	}
	s.mail = true
	s.reply("250 2.1.0 sender ok")
}

func (s *session) to(args string) {
	switch {
	case !s.mail:
		s.refuse("503 5.5.1 no sender")
	case s.server.config.Refuse:
		s.turnDown("450 4.2.0 not now")
	case s.server.config.Reject != "" && strings.HasPrefix(address(args), s.server.config.Reject):
		s.turnDown("550 5.1.1 no such user")
	case s.server.trouble.greylists(address(args), time.Now()):
		s.turnDown("451 4.7.1 greylisted")
	default:
		s.server.recipients.Add(1)
		s.rcpts++
		s.poison = s.poison || s.server.trouble.poisons(address(args))
		s.reply("250 2.1.5 recipient ok")
	}
}

// turnDown refuses a recipient.
func (s *session) turnDown(text string) {
	s.no = true
	s.server.refused.Add(1)
	s.reply(text)
}

// address returns what follows the opening bracket of the argument of RCPT; empty: there is no bracket.
func address(args string) string {
	_, addr, _ := strings.Cut(args, "<")
	return addr
}

func (s *session) startData() {
	switch {
	case s.rcpts > 0 && s.size == 0:
		s.mode, s.place, s.begun = data, lineStart, false
		s.reply("354 go on")
	case s.no: // what a client that pipelines gets when all its recipients are refused
		s.reply("503 5.5.1 no recipient")
	default:
		s.refuse("503 5.5.1 no recipient, or chunks have come")
	}
}

// startChunk obeys BDAT (RFC 3030, section 2). The octets of a chunk that is refused come nevertheless.
func (s *session) startChunk(args string) {
	count, last, _ := strings.Cut(strings.ToUpper(args), " ")
	n, err := strconv.ParseInt(count, 10, 62)
	if err != nil || n < 0 || last != "" && last != "LAST" {
		s.refuse("501 5.5.4 not a chunk")
		s.quit = true // where the next command starts cannot be known
		return
	}
	s.mode, s.left, s.last = chunk, n, last != ""
	s.broken = s.broken || s.rcpts == 0
	if n == 0 {
		s.endChunk()
	}
}

// octets takes what p has of a chunk and returns the rest of p.
func (s *session) octets(p []byte) []byte {
	n := min(s.left, int64(len(p)))
	s.note(p[:n])
	s.left -= n
	if s.left == 0 {
		s.endChunk()
	}
	return p[n:]
}

func (s *session) endChunk() {
	s.mode = commands
	switch {
	case s.broken && s.no:
		s.reply("503 5.5.1 no recipient")
		s.size = 0
	case s.broken:
		s.refuse("503 5.5.1 no recipient")
		s.size = 0
	case s.last:
		s.accept()
	default:
		s.reply("250 2.0.0 chunk ok")
	}
}

// text takes what p has of a message that ends with a dot, and returns what is behind its end.
func (s *session) text(p []byte) []byte {
	s.begun = true
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case s.place == inLine:
			n := bytes.IndexByte(p[i:], '\r')
			if n < 0 {
				s.note(p)
				return nil
			}
			i += n
			s.place = lineCR
		case s.place == dotCR && c == '\n':
			s.note(p[:i+1])
			s.size -= int64(len(".\r\n"))
			s.mode = commands
			s.accept()
			return p[i+1:]
		default:
			s.place = next(s.place, c)
		}
	}
	s.note(p)
	return nil
}

// next is where the octet c leads to from p. The end of the message and the inside of a line are dealt with by text.
func next(p place, c byte) place {
	switch {
	case p == lineStart && c == '.':
		return dot
	case p == dot && c == '\r':
		return dotCR
	case p == lineCR && c == '\n':
		return lineStart
	case c == '\r':
		return lineCR
	}
	return inLine
}

// note counts a part of a message, and keeps its beginning.
func (s *session) note(p []byte) {
	s.size += int64(len(p))
	if room := maxHead - len(s.head); room > 0 {
		s.head = append(s.head, p[:min(room, len(p))]...)
	}
}

// accept answers a message that is complete.
func (s *session) accept() {
	switch {
	case s.poison:
		s.refuseContent("451 4.7.1 the content looks bad")
		return
	case s.server.trouble.throttles(time.Now()):
		s.refuseContent("454 4.7.0 Throttling failure: Maximum sending rate exceeded")
		return
	}
	s.taken++
	s.server.ledger.add(s.head, s.size)
	s.reset()
	s.ended++
	s.reply("250 2.0.0 accepted")
}

// refuseContent refuses a message that is complete.
func (s *session) refuseContent(text string) {
	s.server.refused.Add(1)
	s.reset()
	s.ended++
	s.reply(text)
}

func (s *session) reset() {
	s.poison = false
	s.mail, s.rcpts, s.no, s.broken, s.head, s.size = false, 0, false, false, s.head[:0], 0
}

func (s *session) reply(text string) {
	s.out = append(s.out, text...)
	s.out = append(s.out, "\r\n"...)
}

// refuse answers a command that should not have come.
func (s *session) refuse(text string) {
	s.server.bad.Add(1)
	s.reply(text)
}
