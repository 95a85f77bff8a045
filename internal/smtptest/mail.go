package smtptest

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

func (s *session) mail(arg string) error {
	addr, params, ok := parsePath(arg, "FROM:")
	usual := "250 2.1.0 ok"
	switch {
	case !ok:
		usual = "501 5.5.4 bad sender"
	case !s.hello:
		usual = "503 5.5.1 hello first"
	case s.msg != nil:
		usual = "503 5.5.1 sender already given" // as Exim does, also after all recipients were refused
	}
	reply, err := s.answer("MAIL", addr, usual)
	if positive(reply) {
		s.msg = &Message{From: addr, MailParams: strings.Fields(params), User: s.user, TLS: s.secure, Conn: s.number}
	}
	return err
}

func (s *session) rcpt(arg string) error {
	addr, params, ok := parsePath(arg, "TO:")
	usual := "250 2.1.5 ok"
	switch {
	case !ok || addr == "":
		usual = "501 5.5.4 bad recipient"
	case s.msg == nil:
		usual = "503 5.5.1 sender first"
	}
	reply, err := s.answer("RCPT", addr, usual)
	if positive(reply) && s.msg != nil {
		s.msg.To = append(s.msg.To, addr)
		s.msg.RcptParams = append(s.msg.RcptParams, params)
	}
	return err
}

func (s *session) data(arg string) error {
	usual := "354 go on"
	if s.msg == nil || len(s.msg.To) == 0 {
		usual = "503 5.5.1 no recipients"
	}
	reply, err := s.answer("DATA", arg, usual)
	if err != nil || !goAhead(reply) {
		return err
	}
	if err := s.w.Flush(); err != nil {
		return err
	}
	content, err := s.readData()
	if err != nil {
		return err
	}
	if s.msg == nil {
		s.msg = &Message{Conn: s.number}
	}
	s.msg.Data = content
	return s.end()
}

// readData reads up to the line with a single dot. Only CRLF ends a line.
func (s *session) readData() ([]byte, error) {
	var data []byte
	for start := true; ; {
		part, err := s.r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if start && string(part) == ".\r\n" {
			return data, nil
		}
		if start && part[0] == '.' {
			part = part[1:]
		}
		data = append(data, part...)
		start = bytes.HasSuffix(part, []byte("\r\n"))
	}
}

// bdat reads a chunk (RFC 3030). The octets follow the command for any reply.
func (s *session) bdat(arg string) error {
	count, last, _ := strings.Cut(strings.ToUpper(arg), " ")
	n, err := strconv.ParseUint(count, 10, 31)
	if err != nil {
		return s.say("BDAT", arg, "501 5.5.4 bad size")
	}
	chunk := make([]byte, n)
	if _, err := io.ReadFull(s.r, chunk); err != nil {
		return err
	}
	if s.msg == nil || len(s.msg.To) == 0 {
		return s.say("BDAT", arg, "503 5.5.1 no recipients")
	}
	s.msg.Data = append(s.msg.Data, chunk...)
	if last == "LAST" {
		return s.end()
	}
	return s.say("BDAT", arg, "250 2.0.0 "+count+" octets")
}

// end replies to the complete message.
func (s *session) end() error {
	m := *s.msg
	s.msg = nil
	m.BareLF, m.BareCR = bare(m.Data)
	if s.relay.LMTP {
		return s.endLMTP(m)
	}
	usual := "250 2.0.0 accepted"
	if len(m.To) == 0 {
		usual = "554 5.5.1 no recipients"
	}
	return s.deliver(m, usual)
}

// endLMTP replies for each recipient (RFC 2033, section 4.2). As in deliver, the message is recorded before the
// replies.
func (s *session) endLMTP(m Message) error {
	to, params := m.To, m.RcptParams
	m.To, m.RcptParams = nil, nil
	var answers []string
	for i, addr := range to {
		text := s.relay.script("END", addr)
		if text == "" {
			text = "250 2.0.0 accepted"
		}
		answers = append(answers, text)
		reply, then := split(text)
		if positive(reply) {
			m.To, m.RcptParams = append(m.To, addr), append(m.RcptParams, params[i])
		}
		if then != "" && then != "drip" {
			break // the other recipients get no reply
		}
	}
	if len(m.To) > 0 {
		s.relay.accept(m)
	}
	for _, text := range answers {
		if _, err := s.send(text); err != nil {
			return err
		}
	}
	return nil
}

// deliver records a message and then replies, so a client with the reply finds the message recorded.
func (s *session) deliver(m Message, usual string) error {
	text := s.relay.script("END", "")
	if text == "" {
		text = usual
	}
	if reply, _ := split(text); positive(reply) {
		s.relay.accept(m)
	}
	_, err := s.send(text)
	return err
}

// bare searches for CR or LF alone.
func bare(data []byte) (lf, cr bool) {
	whole := bytes.Count(data, []byte("\r\n"))
	return bytes.Count(data, []byte("\n")) > whole, bytes.Count(data, []byte("\r")) > whole
}

// parsePath parses "FROM:<a@b> SIZE=1". A '>' inside a quoted local part does not end the address.
func parsePath(arg, keyword string) (addr, params string, ok bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", "", false
	}
	rest, ok := strings.CutPrefix(arg[len(keyword):], "<")
	if !ok {
		return "", "", false
	}
	quoted := false
	for i := 0; i < len(rest); i++ {
		switch {
		case rest[i] == '\\' && quoted:
			i++
		case rest[i] == '"':
			quoted = !quoted
		case rest[i] == '>' && !quoted:
			return rest[:i], strings.TrimPrefix(rest[i+1:], " "), true
		}
	}
	return "", "", false
}
