//go:build unix

package main

import (
	"errors"
	"io"
	"log"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/sendmail"
)

// serveSMTP is -bs: an SMTP session (RFC 5321) on standard input and output. Each message is safe before its end is
// answered with 250; what is refused is told to the client. The error is that of a session that was broken off: by a
// signal, by input that cannot be read, or that ends within a message.
func (s *shim) serveSMTP(out io.Writer) error {
	conn := newStdio(interruptible(s.in), out)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{shim: s, conn: conn}, nil
	}))
	server.Domain = s.conf.domain.value
	server.MaxMessageBytes = s.conf.maxSize
	server.MaxLineLength = 0 // it counts for lines of the content, too
	server.EnableSMTPUTF8 = true
	server.EnableDSN = true
	server.ErrorLog = log.New(io.Discard, "", 0) // conn knows how it ended
	_ = server.Serve(conn)                       // always says that there is no second connection
	return conn.failure()
}

// session takes the messages of an SMTP session, one after the other.
type session struct {
	shim *shim
	conn *stdio
	env  message.Envelope
	busy sync.Mutex // held while a message goes into the spool
}

// Mail begins a message.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if from != "" {
		from = quoted(from)
		if err := message.CheckAddress(from); err != nil {
			return reply(553, smtp.EnhancedCode{5, 1, 7}, err)
		}
	}
	s.env = message.Envelope{From: from, Ret: string(opts.Return), EnvID: opts.EnvelopeID}
	return nil
}

// Rcpt takes a recipient.
func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	to = quoted(to)
	if err := message.CheckAddress(to); err != nil {
		return reply(553, smtp.EnhancedCode{5, 1, 3}, err)
	}
	var notify []string
	for _, n := range opts.Notify {
		notify = append(notify, string(n))
	}
	original := ""
	if opts.OriginalRecipient != "" {
		original = strings.ToLower(string(opts.OriginalRecipientType)) + ";" + opts.OriginalRecipient
	}
	s.env.To = append(s.env.To, to)
	s.env.Notify = append(s.env.Notify, strings.Join(notify, ","))
	s.env.ORcpt = append(s.env.ORcpt, original)
	return nil
}

// Data puts a message into the spool.
func (s *session) Data(r io.Reader) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	if _, chunked := r.(*io.PipeReader); chunked && s.conn.bare {
		return reply(554, smtp.EnhancedCode{5, 5, 1}, errors.New("BDAT counts octets: lines have to end in CRLF"))
	}
	s.env.Notify, s.env.ORcpt = anyOf(s.env.Notify), anyOf(s.env.ORcpt)
	err := s.shim.submitFor(s.env, s.conn.message(r))
	var own *smtp.SMTPError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.Is(err, sendmail.ErrTooLarge):
		return reply(552, smtp.EnhancedCode{5, 3, 4}, err)
	case errors.Is(err, sendmail.ErrData):
		return reply(554, smtp.EnhancedCode{5, 6, 0}, err)
	}
	return reply(451, smtp.EnhancedCode{4, 3, 0}, err)
}

// Reset forgets the message that was begun.
func (s *session) Reset() { s.env = message.Envelope{} }

// Logout waits until nothing of a message that was broken off is left in the spool: the process ends next.
func (s *session) Logout() error {
	s.busy.Lock()
	defer s.busy.Unlock()
	return nil
}

// anyOf returns nil for wishes of which all are empty.
func anyOf(wishes []string) []string {
	if strings.Join(wishes, "") == "" {
		return nil
	}
	return wishes
}

func reply(code int, enhanced smtp.EnhancedCode, err error) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: oneLine(err.Error())}
}

// quoted gives a local part its quotes back, which the server takes off.
func quoted(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || !strings.ContainsAny(addr[:at], `"\`) && message.CheckAddress(addr) == nil {
		return addr
	}
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(addr[:at]) + `"` + addr[at:]
}
