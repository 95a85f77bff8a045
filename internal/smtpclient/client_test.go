package smtpclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

const (
	remote = "relay.test:25"
	local  = "127.0.0.1:25"
)

// script returns a Reply function with replies by verb, or by "VERB arg".
func script(answers map[string]string) func(verb, arg string) string {
	return func(verb, arg string) string {
		if text, ok := answers[verb+" "+arg]; ok {
			return text
		}
		return answers[verb]
	}
}

// noLimit are the limits of RFC 5321. Tests with it need a bubble.
const noLimit = time.Hour

// open connects to a relay in memory, with short limits.
func open(ctx context.Context, r *smtptest.Relay, addr string, cfg Config) (*Conn, error) {
	nc, err := r.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	cfg.LocalName, cfg.Local = "client.test", cfg.Local || addr == local
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	return Connect(ctx, nc, cfg)
}

// mustOpen is open for a relay that accepts the session.
func mustOpen(t *testing.T, r *smtptest.Relay) *Conn {
	t.Helper()
	c, err := open(t.Context(), r, remote, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const hi = "Subject: hi\r\n\r\nhello\r\n"

// letter returns a small message.
func letter(to ...string) *Transaction {
	return &Transaction{From: "from@client.test", To: to, Size: int64(len(hi)), Content: strings.NewReader(hi)}
}

// asError returns err as an *Error, or a zero Error if err is of another type.
func asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{}
	}
	return e
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestMessageArrivesAsItIs(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{}
	c := mustOpen(t, r)
	content := "Subject: dots\r\n\r\n.\r\n..\r\n.leading\r\nin.line\r\n\r\n.\r\n"
	results := c.Transact(t.Context(), &Transaction{
		From: "a@client.test", To: []string{"b@x.test", "c@x.test"}, Size: int64(len(content)), EightBit: true,
		Content: strings.NewReader(content),
	})
	is.Equal(len(results), 2) // a result for each recipient
	for _, result := range results {
		is.Equal(result.Err, nil)                             // the recipient is accepted
		is.Equal(result.Reply.String(), "250 2.0.0 accepted") // with the reply to the end of the data
	}
	is.True(c.Usable())            // another transaction can follow
	is.NoErr(c.Quit())             // QUIT ends the session
	is.True(!c.Usable())           // and the connection cannot be used
	is.Equal(len(r.Messages()), 1) // one message for both recipients
	m := r.Messages()[0]
	is.Equal(m.From, "a@client.test")                // the sender is kept
	is.Equal(m.To, []string{"b@x.test", "c@x.test"}) // the recipients are kept
	// parameters for the extensions that are offered and needed
	is.Equal(m.MailParams, []string{"SIZE=48", "BODY=8BITMIME"})
	is.Equal(string(m.Data), content) // the content is kept
	is.Equal(r.Commands(), []string{"EHLO client.test", "MAIL FROM:<a@client.test> SIZE=48 BODY=8BITMIME",
		"RCPT TO:<b@x.test>", "RCPT TO:<c@x.test>", "DATA", "QUIT"}) // no other command
}

func TestSecondTransactionStartsWithReset(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Reply: script(map[string]string{"RCPT bad@x.test": "550 5.1.1 nobody"})}
	c := mustOpen(t, r)
	is.Equal(c.Transact(t.Context(), letter("bad@x.test"))[0].Err.Reply.Code, 550) // all recipients are refused
	is.True(c.Usable())                                                            // the session goes on
	// RSET makes the relay forget the sender
	is.Equal(c.Transact(t.Context(), letter("good@x.test"))[0].Err, nil)
	is.Equal(c.Transact(t.Context(), letter("good@x.test"))[0].Err, nil) // also after an acceptance
	// no DATA without a recipient; RSET comes first
	is.Equal(r.Commands()[3:5], []string{"RSET", "MAIL FROM:<from@client.test> SIZE=22"})
	is.Equal(len(r.Messages()), 2) // both have arrived
}

func TestHELOWhereEHLOIsNotKnown(t *testing.T) {
	for code, known := range map[string]bool{"500": true, "502": true, "504": true, "550": true, "501": true, "554": false, "450": false} {
		t.Run(code, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Reply: script(map[string]string{"EHLO": code + "-what\r\n" + code + " SIZE 1"})}
			c, err := open(t.Context(), r, remote, Config{})
			if !known {
				is.Equal(asError(err).Op, attempt.OpEHLO) // other refusals end the session
				is.Equal(len(r.Commands()), 1)            // no further command
				return
			}
			is.NoErr(err) // HELO is accepted
			_, offered := c.Extension("SIZE")
			is.True(!offered)                                                 // without extensions
			is.Equal(c.Transact(t.Context(), letter("a@x.test"))[0].Err, nil) // mail goes without extensions
			is.Equal(r.Commands()[2], "MAIL FROM:<from@client.test>")         // and without parameters
		})
	}
}

func TestExtensionsInAnyCase(t *testing.T) {
	is := is.New(t)
	c := mustOpen(t, &smtptest.Relay{Ext: []string{"size 1000", "8BitMime", "X"}})
	param, ok := c.Extension("Size")
	is.True(ok)             // lower case is found
	is.Equal(param, "1000") // with its parameter
	_, ok = c.Extension("8BITMIME")
	is.True(ok) // mixed case is found
	_, ok = c.Extension("relay.test")
	is.True(!ok) // the first line is no extension
}

// Each step ends at its own limit, with an error that names the step, and closes the connection.
func TestEachStepHasItsLimit(t *testing.T) {
	for _, test := range []struct {
		verb, answer string
		op           attempt.Op
		limit        time.Duration
		uncertain    bool
	}{
		{"CONNECT", "hang", attempt.OpGreeting, 5 * time.Minute, false},
		{"CONNECT", strings.Repeat("2", 1000) + "|drip", attempt.OpGreeting, 5 * time.Minute, false},
		{"CONNECT", "220 hi|stall", attempt.OpEHLO, 5*time.Minute + lastLimit, false},
		{"EHLO", "hang", attempt.OpEHLO, 5 * time.Minute, false},
		{"MAIL", "hang", attempt.OpMail, 5 * time.Minute, false},
		{"RCPT", "hang", attempt.OpRcpt, 5 * time.Minute, false},
		{"RCPT", "250-" + strings.Repeat("x", 1000) + "|drip", attempt.OpRcpt, 5 * time.Minute, false},
		{"DATA", "hang", attempt.OpData, 2 * time.Minute, false},
		{"DATA", "354 go|stall", attempt.OpContent, 3*time.Minute + lastLimit, false},
		{"END", "hang", attempt.OpEnd, 10 * time.Minute, true},
		{"END", "450-" + strings.Repeat("x", 1000) + "|drip", attempt.OpEnd, 10 * time.Minute, true},
	} {
		for _, timeout := range []time.Duration{noLimit, 20 * time.Second} {
			limit := test.limit
			if timeout < noLimit {
				limit = timeout + test.limit%time.Minute
			}
			inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
				if m.chunking() && test.verb == "DATA" {
					return // not a command of this mode
				}
				synctest.Test(t, func(t *testing.T) {
					is := is.New(t)
					r.Reply = script(map[string]string{test.verb: test.answer})
					start := time.Now()
					var failed *Error
					c, err := open(t.Context(), r, remote, Config{Timeout: timeout})
					if err != nil {
						failed = asError(err)
					} else {
						failed = c.Transact(t.Context(), letter("a@x.test"))[0].Err
						is.True(!c.Usable()) // no further command
					}
					is.Equal(time.Since(start), limit)         // after the limit
					is.Equal(failed.Op, test.op)               // the step is named
					is.True(isTimeout(failed))                 // the cause is time
					is.Equal(failed.Uncertain, test.uncertain) // uncertain only after the end of the content
					is.Equal(len(r.Messages()), 0)             // nothing is accepted
				})
			})
		}
	}
}

// Each kind of wrong reply at each step.
func TestWrongRepliesAtEachStep(t *testing.T) {
	ways := map[string]string{
		"close":         "close",
		"garbage":       "SSH-2.0-what",
		"short":         "45",
		"other class":   "300 what",
		"mixed codes":   "451-one\r\n452 two",
		"endless line":  "451 " + strings.Repeat("x", 70_000),
		"endless reply": strings.Repeat("451-x\r\n", 10000) + "451 x",
		"421":           "421 4.3.2 shutting down",
		"451":           "451 4.3.0 later",
		"554":           "554 5.7.1 no",
	}
	for verb, op := range map[string]attempt.Op{"CONNECT": attempt.OpGreeting, "EHLO": attempt.OpEHLO, "MAIL": attempt.OpMail, "RCPT": attempt.OpRcpt, "DATA": attempt.OpData, "END": attempt.OpEnd} {
		for way, answer := range ways {
			t.Run(verb+" "+way, func(t *testing.T) {
				inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
					is := is.New(t)
					if m.chunking() && verb == "DATA" {
						return // not a command of this mode
					}
					if verb == "DATA" && way == "other class" {
						answer = "200 what" // any 3yz reply starts the content
					}
					r.Reply = script(map[string]string{verb: answer})
					c, err := open(t.Context(), r, remote, Config{})
					failed, usable := asError(err), false
					if err == nil {
						failed, usable = c.Transact(t.Context(), letter("a@x.test"))[0].Err, c.Usable()
						is.NoErr(c.Close()) // Close always succeeds
					}
					refusal := way == "451" || way == "554"
					answered := refusal || way == "421"
					is.Equal(failed.Op, op)                    // the step is named
					is.Equal(failed.Reply.Code != 0, answered) // a valid reply is kept
					is.Equal(failed.Err != nil, !answered)     // otherwise there is an error
					// uncertain only after the end of the content
					is.Equal(failed.Uncertain, verb == "END" && !answered)
					// only after a refusal the session goes on
					is.Equal(usable, refusal && verb != "CONNECT" && verb != "EHLO")
					is.Equal(len(r.Messages()), 0) // nothing is accepted
				})
			})
		}
	}
}

// The first digit of a reply counts. Each step accepts one class of replies.
func TestReplyOfTheWrongClass(t *testing.T) {
	for verb, answer := range map[string]string{"CONNECT": "354 hi", "EHLO": "300 hi", "MAIL": "354 ok", "RCPT": "354 ok", "DATA": "250 ok"} {
		t.Run(verb, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Reply: script(map[string]string{verb: answer})}
			c, err := open(t.Context(), r, remote, Config{})
			if err == nil {
				err = c.Transact(t.Context(), letter("a@x.test"))[0].Err
				is.True(!c.Usable()) // commands and replies may not match
			}
			is.True(strings.Contains(asError(err).Error(), "unexpected reply")) // the error has the reason
		})
	}
}

func TestEndOfContextEndsEverything(t *testing.T) {
	for verb, op := range map[string]attempt.Op{"CONNECT": attempt.OpGreeting, "EHLO": attempt.OpEHLO, "MAIL": attempt.OpMail, "RCPT": attempt.OpRcpt, "DATA": attempt.OpData, "END": attempt.OpEnd} {
		inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
			if m.chunking() && verb == "DATA" {
				return // not a command of this mode
			}
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				r.Reply = script(map[string]string{verb: "hang"})
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
				defer cancel()
				var failed *Error
				c, err := open(ctx, r, remote, Config{})
				if failed = asError(err); err == nil {
					failed = c.Transact(ctx, letter("a@x.test"))[0].Err
					is.True(!c.Usable()) // no further command
				}
				is.Equal(time.Since(start), 7*time.Second)           // at once
				is.Equal(failed.Op, op)                              // the step is named
				is.True(errors.Is(failed, context.DeadlineExceeded)) // with the error of the context
				is.Equal(failed.Uncertain, verb == "END")            // uncertain only after the end of the content
			})
		})
	}
}

func TestContextThatHasEndedSendsNothing(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{}
	c := mustOpen(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	is.True(errors.Is(c.Transact(ctx, letter("a@x.test"))[0].Err, context.Canceled)) // with the error of the context
	is.True(c.Usable())                                                              // the session goes on
	is.Equal(len(r.Commands()), 1)                                                   // no command was sent
}

func TestStrayReplyEndsTheSession(t *testing.T) {
	for answer, code := range map[string]int{"250 ok\r\n250 again": 0, "250 ok\r\n550 what": 0, "250 ok\r\n421 4.4.2 bye": 421} {
		t.Run(answer, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Reply: script(map[string]string{"END": answer})}
			c := mustOpen(t, r)
			is.Equal(c.Transact(t.Context(), letter("a@x.test"))[0].Err, nil) // the first reply counts
			failed := c.Transact(t.Context(), letter("b@x.test"))[0].Err
			is.Equal(failed.Op, attempt.OpMail)                                // the second message
			is.Equal(failed.Reply.Code, code)                                  // did not get a reply of the first
			is.True(!c.Usable())                                               // the session is over
			is.Equal(len(r.Commands()), 4)                                     // EHLO, MAIL, RCPT and DATA only
			is.True(c.Transact(t.Context(), letter("b@x.test"))[0].Err != nil) // the session stays ended
		})
	}
}

func TestResetRefusedIsNoFaultOfTheMessage(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Reply: script(map[string]string{"RSET": "550 5.5.1 no"})}
	c := mustOpen(t, r)
	is.Equal(c.Transact(t.Context(), letter("a@x.test"))[0].Err, nil) // the first transaction needs no RSET
	failed := c.Transact(t.Context(), letter("a@x.test"))[0].Err
	is.Equal(failed.Reply, attempt.Reply{}) // no permanent reply for the message
	is.True(!c.Usable())                    // the session has ended
}

func TestQuitIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		c := mustOpen(t, &smtptest.Relay{Reply: script(map[string]string{"QUIT": "hang"})})
		start := time.Now()
		is.NoErr(c.Quit())                     // a missing reply is no error
		is.Equal(time.Since(start), quitLimit) // the wait is short
		is.NoErr(c.Quit())                     // a second Quit has no effect
	})
}

func TestLocalNameIsChecked(t *testing.T) {
	for _, name := range []string{"", "a b", "a\r\nMAIL FROM:<>"} {
		r := &smtptest.Relay{}
		nc, _ := r.Dial(t.Context(), "tcp", remote)
		_, err := Connect(t.Context(), nc, Config{LocalName: name})
		is := is.New(t)
		is.Equal(asError(err).Op, attempt.OpEHLO) // the name is refused
		is.Equal(len(r.Commands()), 0)            // and no command is sent
	}
}

// counter counts writes.
type counter struct {
	net.Conn
	writes int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

func TestOneWriteForEachStep(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{}
	nc, err := r.Dial(t.Context(), "tcp", remote)
	is.NoErr(err) // connected
	counted := &counter{Conn: nc}
	c, err := Connect(t.Context(), counted, Config{LocalName: "client.test"})
	is.NoErr(err)               // set up
	is.Equal(counted.writes, 1) // EHLO
	body := bytes.Repeat([]byte("0123456789\r\n"), 400)
	result := c.Transact(t.Context(), &Transaction{From: "a@x.test", To: []string{"b@x.test"}, Content: io.MultiReader(bytes.NewReader(body))})
	is.Equal(result[0].Err, nil) // accepted
	is.Equal(counted.writes, 5)  // MAIL, RCPT, DATA, and the content with its end
}

func TestLimitsWithoutTimeout(t *testing.T) {
	is := is.New(t)
	c := &Conn{}
	is.Equal(c.wire.limitFor(attempt.OpEnd), 10*time.Minute) // RFC 5321, section 4.5.3.2
	is.Equal(c.wire.limitFor(attempt.OpData), 2*time.Minute)
}
