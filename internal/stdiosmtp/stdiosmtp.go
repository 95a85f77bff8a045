// Package stdiosmtp is the server side of an SMTP session (RFC 5321) in which a program hands over mail: sendmail -bs
// on standard input and output, or a connection of the daemon's -listen. It offers PIPELINING (RFC 2920), 8BITMIME
// (RFC 6152), SMTPUTF8 (RFC 6531), DSN (RFC 3461), SIZE (RFC 1870), ENHANCEDSTATUSCODES (RFC 2034) and, on request,
// AUTH PLAIN (RFC 4954).
//
// The server is go-smtp's. The package connects the server to a pipe and works around its faults.
package stdiosmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/textline"
)

// maxRecipients is the limit of recipients of a message. RFC 5321, section 4.5.3.1.8, requires at least 100.
const maxRecipients = 1000

// Server takes messages. Its functions may return a [Refusal]. Any other error becomes a temporary reply.
type Server struct {
	Name    string // domain of the host, for the greeting
	MaxSize int64  // announced maximum size of a message in bytes; zero: no limit

	// Sender returns the address of the path in MAIL. The address is never empty.
	Sender func(path string) (string, error)

	// Recipients returns the addresses of the path in RCPT; none: the server discards the mail for the path.
	Recipients func(path string) ([]string, error)

	// Login checks user and password of AUTH PLAIN. No mail is taken before a login. Nil: AUTH is not offered.
	Login func(user, password string) error

	// Accept takes a message. A nil error means that the message is safe.
	Accept func(env message.Envelope, content io.Reader) error
}

// Refusal is an error with a reply code.
type Refusal struct {
	Code   int    // RFC 5321, section 4.2.3
	Status string // RFC 3463, three numbers
	Err    error
}

// Error implements error.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Serve runs a session until the client sends QUIT or the input ends. A refusal is a reply to the client, not an error
// of Serve. The errors are a read error, [ErrCutOff], [ErrChunk] and [ErrGivenUp]; a failed write is no error. When
// Serve returns, no work on a refused message is left.
func (s *Server) Serve(in io.Reader, out io.Writer) error {
	c := newConn(in, out, s.Name)
	server := smtp.NewServer(nil)
	server.Backend = smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		one := &session{Server: s, conn: c, limits: server}
		if s.Login != nil {
			return &authSession{one}, nil
		}
		return one, nil
	})
	server.AllowInsecureAuth = true // the caller of Serve decides whether the connection is safe
	server.Domain = s.Name
	server.MaxMessageBytes = s.MaxSize
	server.MaxLineLength = 0 // the server's limit includes lines of a message; conn limits commands
	server.EnableSMTPUTF8 = true
	server.EnableDSN = true
	server.ErrorLog = c
	_ = server.Serve(c)                       // the error is always that of a second Accept
	_ = server.Shutdown(context.Background()) // wait for the connection
	return c.failure()
}

// session takes one message after the other.
type session struct {
	*Server
	conn   *conn
	limits *smtp.Server // the server serves this session only
	begun  bool         // a MAIL command was accepted
	known  bool         // the client has logged in
	env    message.Envelope
}

// Mail begins a message.
func (s *session) Mail(from string, opts *smtp.MailOptions) (err error) {
	if s.Login != nil && !s.known {
		return reply(530, "5.7.0", errors.New("authentication required"))
	}
	if s.begun { // the server allows a second MAIL
		return reply(503, "5.5.1", errors.New("there was a MAIL already"))
	}
	env := message.Envelope{To: []string{"somebody"}, Ret: string(opts.Return), EnvID: opts.EnvelopeID}
	if from != "" {
		env.From, err = s.Sender(s.conn.path(from))
	}
	if err == nil {
		err = check(env)
	}
	if err != nil {
		return refusal(err)
	}
	env.To = nil // the recipient was for check only
	s.begun, s.env = true, env
	s.limits.MaxMessageBytes = 0 // the server would refuse a message of exactly the limit; Accept checks the size
	return nil
}

// Rcpt adds a recipient, or all recipients of an alias.
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
	env := message.Envelope{To: []string{"somebody"}, Notify: []string{notify}, ORcpt: []string{orcpt}}
	if err := check(env); err != nil {
		return refusal(err)
	}
	for _, to := range list {
		s.env.To = append(s.env.To, to)
		s.env.Notify = append(s.env.Notify, notify)
		s.env.ORcpt = append(s.env.ORcpt, orcpt)
	}
	return nil
}

// Data takes a message. The server calls Data after its reply 354, and Reset before it reads the next command.
func (s *session) Data(r io.Reader) error {
	s.conn.content = true
	env := s.env
	env.Notify, env.ORcpt = anyOf(env.Notify), anyOf(env.ORcpt)
	err := s.Accept(env, r)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // an error means that the message was cut off
	}
	return refusal(err)
}

// Reset removes the envelope of the current transaction.
func (s *session) Reset() {
	s.begun, s.env = false, message.Envelope{}
	s.conn.content = false
	s.limits.MaxMessageBytes = s.MaxSize
}

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// authSession is a session that requires a login.
type authSession struct{ *session }

// AuthMechanisms implements smtp.AuthSession.
func (s *authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession.
func (s *authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if err := s.Login(user, password); err != nil {
			return reply(535, "5.7.8", err)
		}
		s.known = true
		return nil
	}), nil
}

// check refuses DSN parameters that an envelope line cannot hold.
func check(env message.Envelope) error {
	if _, err := env.AppendAnyLine(nil); err != nil {
		return &Refusal{501, "5.5.4", err}
	}
	return nil
}

// refusal converts err into the server's type for a reply.
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

// anyOf returns nil if all values are empty.
func anyOf(values []string) []string {
	if strings.Join(values, "") == "" {
		return nil
	}
	return values
}

// oneLine makes text of unknown origin fit for a reply.
func oneLine(text string) string {
	const limit = 400 // of the 512 octets of a reply line (RFC 5321, section 4.5.3.1.5)
	return textline.Of(text, limit)
}
