// Package dialogue answers how a program hands over mail by SMTP (RFC 5321) on its standard output: the server's side of
// sendmail -bs, with PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), DSN (RFC 3461), SIZE (RFC 1870) and
// ENHANCEDSTATUSCODES (RFC 2034).
//
// It is no server for a network, which has to mind TLS, AUTH and strangers. One of those, linked into the command, would
// make each call of it start later, and refuses names without a domain, which nmh has in its commands.
package dialogue

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/unbit/spoolgore/internal/message"
)

// maxRecipients is how many a message may have; RFC 5321, section 4.5.3.1.8, wants 100 at least.
const maxRecipients = 1000

// Server takes messages. Its functions may return a [Refusal]; of any other error the client is told that it may try again.
type Server struct {
	Name       string                                              // of the host, for the greeting
	MaxSize    int64                                               // of a message, in bytes, to be announced; zero: no limit
	Sender     func(path string) (string, error)                   // the address that path stands for; it is never empty
	Recipients func(path string) ([]string, error)                 // the addresses that path stands for, one at least
	Accept     func(env message.Envelope, content io.Reader) error // nil: the message is safe
}

// Refusal is an error for which the client has a code.
type Refusal struct {
	Code   int    // RFC 5321, section 4.2.3
	Status string // RFC 3463
	Err    error
}

// Error implements error.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// ErrCutOff says that the input ended within a message, which was not accepted.
var ErrCutOff = errors.New("it ended within a message, which was not accepted")

// Serve speaks with a client until it quits or in ends. What was refused was told to the client; the error is that of in,
// or [ErrCutOff]. An answer that nobody reads is none.
func (s *Server) Serve(in io.Reader, out io.Writer) error {
	c := &conn{Server: s, in: lines{r: bufio.NewReaderSize(in, longest)}, out: bufio.NewWriter(out)}
	c.answer("220 %s ESMTP", s.Name)
	for !c.ended {
		line, err := c.in.command()
		switch {
		case err == io.EOF:
			return nil
		case err == errTooLong:
			c.answer("500 5.5.2 line too long")
			continue
		case err != nil:
			c.answer("421 4.3.0 %s", oneLine(err.Error()))
			return err
		}
		if err := c.do(line); err != nil {
			return err
		}
	}
	return nil
}

// conn is a session.
type conn struct {
	*Server
	in    lines
	out   *bufio.Writer
	begun bool // there was a MAIL
	env   message.Envelope
	ended bool
}

func (c *conn) answer(format string, args ...any) {
	fmt.Fprintf(c.out, format+"\r\n", args...)
	_ = c.out.Flush()
}

// refuse answers with what err says.
func (c *conn) refuse(err error) {
	var r *Refusal
	if !errors.As(err, &r) {
		r = &Refusal{Code: 451, Status: "4.3.0", Err: err}
	}
	c.answer("%d %s %s", r.Code, r.Status, oneLine(r.Err.Error()))
}

func (c *conn) reset() { c.begun, c.env = false, message.Envelope{} }

// do answers a command. The error is that of the input.
func (c *conn) do(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	arg = strings.TrimSpace(arg)
	switch strings.ToUpper(verb) {
	case "EHLO":
		c.reset()
		size := "SIZE"
		if c.MaxSize > 0 {
			size = fmt.Sprintf("SIZE %d", c.MaxSize)
		}
		c.answer("250-%s\r\n250-PIPELINING\r\n250-%s\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES", c.Name, size)
	case "HELO":
		c.reset()
		c.answer("250 %s", c.Name)
	case "MAIL":
		c.mail(arg)
	case "RCPT":
		c.rcpt(arg)
	case "DATA":
		return c.data()
	case "RSET":
		c.reset()
		c.answer("250 2.0.0 forgotten")
	case "NOOP":
		c.answer("250 2.0.0 ok")
	case "VRFY":
		c.answer("252 2.5.0 send some mail, that will tell")
	case "QUIT":
		c.ended = true
		c.answer("221 2.0.0 bye")
	default:
		c.answer("500 5.5.1 no such command")
	}
	return nil
}

func (c *conn) mail(arg string) {
	path, params, err := parsePath(arg, "FROM:")
	if err == nil && c.begun {
		err = outOfOrder("there was a MAIL already")
	}
	env := message.Envelope{To: []string{"somebody"}} // for check
	if err == nil && path != "" {
		env.From, err = c.Sender(path)
	}
	if err == nil {
		err = mailParams(&env, params, c.MaxSize)
	}
	if err == nil {
		err = check(env)
	}
	if err != nil {
		c.refuse(err)
		return
	}
	env.To = nil
	c.begun, c.env = true, env
	c.answer("250 2.1.0 ok")
}

func (c *conn) rcpt(arg string) {
	path, params, err := parsePath(arg, "TO:")
	switch {
	case err == nil && !c.begun:
		err = outOfOrder("MAIL first")
	case err == nil && path == "":
		err = &Refusal{501, "5.1.3", errors.New("an empty recipient")}
	case len(c.env.To) >= maxRecipients:
		err = &Refusal{452, "4.5.3", errors.New("too many recipients")}
	}
	var list []string
	if err == nil {
		list, err = c.Recipients(path)
	}
	notify, orcpt := "", ""
	if err == nil {
		notify, orcpt, err = rcptParams(params)
	}
	if err == nil {
		err = check(message.Envelope{To: list[:1], Notify: []string{notify}, ORcpt: []string{orcpt}})
	}
	if err != nil {
		c.refuse(err)
		return
	}
	for _, to := range list {
		c.env.To = append(c.env.To, to)
		c.env.Notify = append(c.env.Notify, notify)
		c.env.ORcpt = append(c.env.ORcpt, orcpt)
	}
	c.answer("250 2.1.5 ok")
}

// check refuses wishes that could not be written into an envelope.
func check(env message.Envelope) error {
	if _, err := env.AppendAnyLine(nil); err != nil {
		return &Refusal{501, "5.5.4", err}
	}
	return nil
}

// data takes a message. What of it is not read by Accept is passed over: a refused message has an end, too.
func (c *conn) data() error {
	if len(c.env.To) == 0 {
		c.refuse(outOfOrder("MAIL and RCPT first"))
		return nil
	}
	c.answer("354 end with a dot alone in a line")
	env := c.env
	env.Notify, env.ORcpt = anyOf(env.Notify), anyOf(env.ORcpt)
	c.reset()
	content := c.in.message()
	err := c.Accept(env, content)
	_, _ = io.Copy(io.Discard, content)
	switch {
	case content.err != io.EOF:
		c.refuse(content.err)
		return content.err
	case err != nil:
		c.refuse(err)
	default:
		c.answer("250 2.0.0 queued")
	}
	return nil
}

func outOfOrder(text string) error { return &Refusal{503, "5.5.1", errors.New(text)} }

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
