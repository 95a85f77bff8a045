// Package stdiosmtp answers how a program hands over mail by SMTP (RFC 5321) on its standard output: the server's side
// of sendmail -bs, with PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), DSN (RFC 3461), SIZE (RFC
// 1870) and ENHANCEDSTATUSCODES (RFC 2034).
//
// The server is go-smtp's. Here is what it needs to speak on a pipe, and what keeps it from what it does badly.
package stdiosmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"unicode"

	"github.com/emersion/go-smtp"

	"github.com/unbit/spoolgore/internal/message"
)

// maxRecipients is how many a message may have; RFC 5321, section 4.5.3.1.8, wants 100 at least.
const maxRecipients = 1000

// Server takes messages. Its functions may return a [Refusal]; of any other error the client is told that it may try
// again.
type Server struct {
	Name       string                                              // of the host, for the greeting; a domain
	MaxSize    int64                                               // of a message, in bytes, to be announced; zero: no limit
	Sender     func(path string) (string, error)                   // the address that path stands for; it is never empty
	Recipients func(path string) ([]string, error)                 // the addresses that path stands for; none: its mail is discarded
	Accept     func(env message.Envelope, content io.Reader) error // nil: the message is safe
}

// Refusal is an error for which the client has a code.
type Refusal struct {
	Code   int    // RFC 5321, section 4.2.3
	Status string // RFC 3463, three numbers
	Err    error
}

// Error implements error.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Serve speaks with a client until it quits or in ends. What was refused was told to the client; the error is that of
// in, [ErrCutOff], [ErrChunk] or [ErrGivenUp]. An answer that nobody reads is none. It is over when Serve returns:
// nothing of a message that was not accepted is in work any more.
func (s *Server) Serve(in io.Reader, out io.Writer) error {
	c := newConn(in, out, s.Name)
	server := smtp.NewServer(nil)
	server.Backend = smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{Server: s, conn: c, limits: server}, nil
	})
	server.Domain = s.Name
	server.MaxMessageBytes = s.MaxSize
	server.MaxLineLength = 0 // it would count for lines of a message, too; conn minds those of commands
	server.EnableSMTPUTF8 = true
	server.EnableDSN = true
	server.ErrorLog = c
	_ = server.Serve(c)                       // always says that there is no second connection
	_ = server.Shutdown(context.Background()) // waits for the first
	return c.failure()
}

// session takes the messages of a session, one after the other.
type session struct {
	*Server
	conn   *conn
	limits *smtp.Server // of this session alone
	begun  bool         // there was a MAIL
	env    message.Envelope
}

// Mail begins a message.
func (s *session) Mail(from string, opts *smtp.MailOptions) (err error) {
	if s.begun { // the server does not mind
		return reply(503, "5.5.1", errors.New("there was a MAIL already"))
	}
	env := message.Envelope{To: []string{"somebody"}, Ret: string(opts.Return), EnvID: opts.EnvelopeID} // To is for check
	if from != "" {
		env.From, err = s.Sender(s.conn.path(from))
	}
	if err == nil {
		err = check(env)
	}
	if err != nil {
		return refusal(err)
	}
	env.To = nil
	s.begun, s.env = true, env
	s.limits.MaxMessageBytes = 0 // the server would refuse a message of just that size; Accept knows better
	return nil
}

// Rcpt takes a recipient, or those that it stands for.
func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	if len(s.env.To) >= maxRecipients {
		return reply(452, "4.5.3", errors.New("too many recipients"))
	}
	list, err := s.Recipients(s.conn.path(to))
	if err != nil {
		return refusal(err)
	}
	var words []string
	for _, n := range opts.Notify {
		words = append(words, string(n))
	}
	notify, orcpt := strings.Join(words, ","), ""
	if opts.OriginalRecipient != "" {
		orcpt = strings.ToLower(string(opts.OriginalRecipientType)) + ";" + opts.OriginalRecipient
	}
	if err := check(message.Envelope{To: []string{"somebody"}, Notify: []string{notify}, ORcpt: []string{orcpt}}); err != nil {
		return refusal(err)
	}
	for _, to := range list {
		s.env.To = append(s.env.To, to)
		s.env.Notify = append(s.env.Notify, notify)
		s.env.ORcpt = append(s.env.ORcpt, orcpt)
	}
	return nil
}

// Data takes a message. The server calls it behind its 354, and Reset before it reads the next command.
func (s *session) Data(r io.Reader) error {
	s.conn.content = true
	env := s.env
	env.Notify, env.ORcpt = anyOf(env.Notify), anyOf(env.ORcpt)
	err := s.Accept(env, r)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // there is nothing left, or the message was not whole
	}
	return refusal(err)
}

// Reset forgets the message that was begun.
func (s *session) Reset() {
	s.begun, s.env = false, message.Envelope{}
	s.conn.content = false
	s.limits.MaxMessageBytes = s.MaxSize
}

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// check refuses wishes that could not be written into an envelope.
func check(env message.Envelope) error {
	if _, err := env.AppendAnyLine(nil); err != nil {
		return &Refusal{501, "5.5.4", err}
	}
	return nil
}

// refusal is err in the form in which the server gives it to the client.
func refusal(err error) error {
	var r *Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return reply(r.Code, r.Status, r.Err)
	}
	return reply(451, "4.3.0", err)
}

func reply(code int, status string, err error) error {
	e := &smtp.SMTPError{Code: code, Message: oneLine(err.Error())}
	_, _ = fmt.Sscanf(status, "%d.%d.%d", &e.EnhancedCode[0], &e.EnhancedCode[1], &e.EnhancedCode[2])
	return e
}

// requote gives a local part its quotes back, which the server takes off.
func requote(addr string) string {
	s := (&mail.Address{Address: addr}).String()
	return s[1 : len(s)-1]
}

// anyOf returns nil for wishes of which all are empty.
func anyOf(wishes []string) []string {
	if strings.Join(wishes, "") == "" {
		return nil
	}
	return wishes
}

// oneLine makes text of unknown origin fit for an answer.
func oneLine(text string) string {
	const limit = 400 // of 512 with all around it (RFC 5321, section 4.5.3.1.5)
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), limit)], "?"))
}
