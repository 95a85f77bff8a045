package smtpclient

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// outcome returns a result as text: "ok", or the error with its flags.
func outcome(r Result) string {
	switch {
	case r.Err == nil:
		return "ok"
	case r.Err.NotTried:
		return "next: " + r.Err.Error()
	}
	return r.Err.Error()
}

func TestRecipientsAreAnsweredForOneByOne(t *testing.T) {
	for _, test := range []struct {
		name  string
		rcpt  map[string]string
		want  string // outcomes of a, b, c and d
		taken string // recipients of the message that arrives
		live  bool   // the session can go on
	}{
		{"all taken", nil, "ok,ok,ok,ok", "a b c d", true},
		{"251 and 252", map[string]string{"RCPT a": "251 forwarded", "RCPT b": "252 perhaps"}, "ok,ok,ok,ok", "a b c d", true},
		{"some refused", map[string]string{"RCPT a": "550 5.1.1 nobody", "RCPT c": "450 4.2.1 later"},
			"rcpt: 550 5.1.1 nobody,ok,rcpt: 450 4.2.1 later,ok", "b d", true},
		{"all refused", map[string]string{"RCPT": "550 no"}, "rcpt: 550 no,rcpt: 550 no,rcpt: 550 no,rcpt: 550 no", "", true},
		{"too many", map[string]string{"RCPT a": "550 no", "RCPT c": "452 4.5.3", "RCPT d": "452 4.5.3"},
			"rcpt: 550 no,ok,next: rcpt: 452 4.5.3,next: rcpt: 452 4.5.3", "b", true},
		{"too many without an enhanced code", map[string]string{"RCPT d": "452 enough"}, "ok,ok,ok,next: rcpt: 452 enough", "a b c", true},
		{"too many with another code", map[string]string{"RCPT d": "451 4.5.3 enough"}, "ok,ok,ok,next: rcpt: 451 4.5.3 enough", "a b c", true},
		{"552 is a 452", map[string]string{"RCPT b": "552 5.5.3 enough", "RCPT c": "552 5.5.3 enough", "RCPT d": "552 5.5.3 enough"},
			"ok,next: rcpt: 452 4.5.3 enough,next: rcpt: 452 4.5.3 enough,next: rcpt: 452 4.5.3 enough", "a", true},
		{"552 for the first", map[string]string{"RCPT a": "552 full"}, "rcpt: 452 full,ok,ok,ok", "b c d", true},
		{"452 for the first", map[string]string{"RCPT a": "452 4.5.3 none"}, "rcpt: 452 4.5.3 none,ok,ok,ok", "b c d", true},
		{"452 of a mailbox", map[string]string{"RCPT b": "452 4.2.2 full"}, "ok,rcpt: 452 4.2.2 full,ok,ok", "a c d", true},
		{"552 of a mailbox", map[string]string{"RCPT b": "552 5.2.2 full"}, "ok,rcpt: 552 5.2.2 full,ok,ok", "a c d", true},
		{"421", map[string]string{"RCPT a": "550 no", "RCPT c": "421 bye|close"}, "rcpt: 550 no,next: rcpt: 421 bye,next: rcpt: 421 bye,next: rcpt: 421 bye", "", false},
		{"MAIL refused", map[string]string{"MAIL": "550 5.7.1 not you"},
			"mail: 550 5.7.1 not you,mail: 550 5.7.1 not you,mail: 550 5.7.1 not you,mail: 550 5.7.1 not you", "", true},
		{"DATA refused", map[string]string{"RCPT a": "550 no", "DATA": "451 later"}, "rcpt: 550 no,data: 451 later,data: 451 later,data: 451 later", "", true},
		{"content refused", map[string]string{"RCPT d": "450 busy", "END": "554 5.6.0 spam"},
			"end: 554 5.6.0 spam,end: 554 5.6.0 spam,end: 554 5.6.0 spam,rcpt: 450 busy", "", true},
		{"any 2yz at the end", map[string]string{"END": "299"}, "ok,ok,ok,ok", "a b c d", true},
	} {
		inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
			if m.chunking() && test.rcpt["DATA"] != "" {
				return // not a command of this mode
			}
			is := is.New(t)
			r.Reply = script(test.rcpt)
			c := mustOpen(t, r)
			var outcomes []string
			for _, result := range c.Transact(t.Context(), letter("a", "b", "c", "d")) {
				outcomes = append(outcomes, outcome(result))
			}
			is.Equal(strings.Join(outcomes, ","), test.want) // each recipient has the right outcome
			is.Equal(c.Usable(), test.live)                  // only a 421 ends the session
			var taken []string
			for _, m := range r.Messages() {
				taken = append(taken, m.To...)
			}
			is.Equal(strings.Join(taken, " "), test.taken) // the accepted recipients get the message
			if m.lockStep() && slices.Contains(outcomes, "mail: 550 5.7.1 not you") {
				is.Equal(len(r.Commands()), 2) // no command after a refused MAIL
			}
		})
	}
}

// If the content cannot be read to its end, the relay must not take the part for a message.
func TestContentThatBreaksOffIsNeverAMessage(t *testing.T) {
	broken := errors.New("input/output error")
	for name, content := range map[string]io.Reader{
		"at once":         iotest.ErrReader(broken),
		"after a line":    io.MultiReader(strings.NewReader(hi), iotest.ErrReader(broken)),
		"after a dot":     io.MultiReader(strings.NewReader("a\r\n."), iotest.ErrReader(broken)),
		"after a buffer":  io.MultiReader(strings.NewReader(strings.Repeat(hi, 1000)), iotest.ErrReader(broken)),
		"with some bytes": iotest.DataErrReader(io.MultiReader(strings.NewReader(hi), iotest.ErrReader(broken))),
		"too short":       strings.NewReader(hi[2:]),
		"too long":        strings.NewReader("a\r\n" + hi),
	} {
		inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
			if m.chunking() && strings.HasPrefix(name, "too") {
				return // no content is sent then, see TestUnreadableMessageInAFlight
			}
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				r.Reply = script(map[string]string{"RCPT a": "550 no"})
				c := mustOpen(t, r)
				x := letter("a", "b")
				if x.Content = content; !strings.HasPrefix(name, "too") {
					x.Size = 0
				}
				results := c.Transact(t.Context(), x)
				// an earlier refusal is kept
				is.Equal(outcome(results[0]), "rcpt: 550 no")
				is.Equal(results[1].Err.Op, attempt.OpContent)                               // the step is named
				is.True(results[1].Err.Source)                                               // the message is at fault
				is.True(!results[1].Err.Uncertain)                                           // the outcome is certain
				is.Equal(errors.Is(results[1].Err, broken), !strings.HasPrefix(name, "too")) // the error has the cause
				is.True(!c.Usable())                                                         // the session has ended
				// QUIT does not complete the message
				is.NoErr(c.Quit())
				synctest.Wait()
				is.Equal(len(r.Messages()), 0)                      // the relay has no message
				is.Equal(r.Commands()[len(r.Commands())-1], "DATA") // no further command
			})
		})
	}
}

// A relay replies within the content and stops reading.
func TestAnswerInTheMiddleOfTheContent(t *testing.T) {
	for answer, want := range map[string]string{
		"354 go\r\n421 bye|close":         "content: 421 bye",
		"354 go\r\n552 too much|close":    `content: unexpected reply "552 too much"`,
		"354 go|close":                    "content: the relay hung up",
		"354 go\r\n250 fine already|hang": `content: unexpected reply "250 fine already"`,
	} {
		inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) { // the size is unknown, so each mode uses DATA
			is := is.New(t)
			r.Reply = script(map[string]string{"DATA": answer})
			c := mustOpen(t, r)
			failed := c.Transact(t.Context(), &Transaction{To: []string{"a"}, Content: strings.NewReader(strings.Repeat(hi, 1000))})[0].Err
			is.True(strings.HasPrefix(failed.Error(), want)) // the reply is the error, if there is one
			is.True(!failed.Uncertain)                       // the relay cannot have the message
			is.True(!c.Usable())                             // the session has ended
		})
	}
}

func TestRefusalWhileContentIsSent(t *testing.T) {
	is := is.New(t)
	client, server := pipe(t)
	go func() { // a relay that reads a part of the content, refuses, and stops reading
		for _, answer := range []string{"220 hi", "250 hi", "250 ok", "250 ok", "354 go"} {
			_, _ = io.WriteString(server, answer+"\r\n")
			_, _ = server.Read(make([]byte, 512))
		}
		_, _ = io.WriteString(server, "552 5.3.4 too big\r\n")
	}()
	c, err := Connect(t.Context(), client, Config{LocalName: "me", Timeout: 1e9})
	is.NoErr(err) // set up
	failed := c.Transact(t.Context(), &Transaction{To: []string{"a"}, Content: strings.NewReader(strings.Repeat(hi, 1e6))})[0].Err
	is.Equal(failed.Error(), "end: 552 5.3.4 too big") // the refusal counts
	is.True(!failed.Uncertain && !c.Usable())          // the session has ended
}

func TestMessageThatTheRelayCannotTakeIsNotSent(t *testing.T) {
	for _, test := range []struct {
		name string
		ext  []string
		t    Transaction
		want string // operations of the errors
	}{
		{"size", []string{"SIZE 100"}, Transaction{To: []string{"a", "b"}, Size: 101}, "size,size"},
		{"size and address", []string{"SIZE 100"}, Transaction{To: []string{"a b", "b"}, Size: 101}, "rcpt,size"},
		{"sender", nil, Transaction{From: "jürgen@x", To: []string{"a", "b"}}, "smtputf8,smtputf8"},
		{"recipients", nil, Transaction{To: []string{"jürgen@x", "ä@x"}}, "smtputf8,smtputf8"},
		{"bad sender", nil, Transaction{From: "a>", To: []string{"a"}}, "mail"},
		{"bad recipients", nil, Transaction{To: []string{"", "a\r\n", "a>"}}, "rcpt,rcpt,rcpt"},
		{"no recipients", nil, Transaction{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Ext: test.ext}
			c := mustOpen(t, r)
			test.t.Content = iotest.ErrReader(errors.New("read"))
			var ops []string
			for _, result := range c.Transact(t.Context(), &test.t) {
				ops = append(ops, string(result.Err.Op))
				address := result.Err.Op == attempt.OpMail || result.Err.Op == attempt.OpRcpt
				is.Equal(errors.Is(result.Err, ErrAddress), address) // a bad address is distinct from a refusal
			}
			is.Equal(strings.Join(ops, ","), test.want) // the reason is named
			is.Equal(len(r.Commands()), 1)              // no command is sent
			is.True(c.Usable())                         // the next message can be sent
		})
	}
}

func TestParameters(t *testing.T) {
	full := func() *Transaction {
		x := letter("a@x", "b@x", "c@x")
		x.EightBit, x.UTF8, x.Ret, x.EnvID = true, true, "hdrs", "a+b c=d"
		x.Notify = []string{"never", "SUCCESS, delay", "NEVER,DELAY"}
		x.ORcpt = []string{"o@x", "rfc822;p+q@x", "jürgen@x"}
		return x
	}
	for _, test := range []struct {
		name, ext, mail, rcpt string
		change                func(*Transaction)
	}{
		{"none offered", "X", "", "||", nil},
		{"all", "SIZE,8BITMIME,SMTPUTF8,DSN", "SIZE=22 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+20c+3Dd",
			`NOTIFY=NEVER ORCPT=rfc822;o@x|NOTIFY=SUCCESS,DELAY ORCPT=rfc822;p+2Bq@x|ORCPT=utf-8;j\x{FC}rgen@x`, nil},
		{"size at the limit", "SIZE 22", "SIZE=22", "||", nil},
		{"size without limit", "SIZE 0", "SIZE=22", "||", nil},
		{"size not known", "SIZE 1", "", "||", func(x *Transaction) { x.Size = 0 }},
		{"SMTPUTF8 not needed", "SMTPUTF8", "", "||", func(x *Transaction) { x.UTF8 = false }},
		{"SMTPUTF8 for the sender", "SMTPUTF8", "SMTPUTF8", "||", func(x *Transaction) { x.UTF8, x.From = false, "ü@x" }},
		{"SMTPUTF8 for a recipient", "SMTPUTF8", "SMTPUTF8", "||", func(x *Transaction) { x.UTF8, x.To[1] = false, "ü@x" }},
		{"nothing wished for", "DSN", "", "||", func(x *Transaction) { *x = *letter("a@x", "b@x", "c@x") }},
		{"nonsense", "DSN", "", "||", func(x *Transaction) {
			x.Ret, x.EnvID = "FULL SIZE=1", strings.Repeat("x", 101)
			x.Notify, x.ORcpt = []string{"SOON", "DELAY ORCPT=x", ","}, []string{"", strings.Repeat("x", 500)}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Ext: strings.Split(test.ext, ",")}
			x := full()
			if test.change != nil {
				test.change(x)
			}
			c := mustOpen(t, r)
			got := c.Transact(t.Context(), x)[0]
			is.Equal(got.Err, nil)                               // accepted
			is.Equal(got.DSN, strings.Contains(test.ext, "DSN")) // whether the relay makes reports
			m := r.Messages()[0]
			is.Equal(strings.Join(m.MailParams, " "), test.mail) // MAIL has the parameters that are offered and needed
			is.Equal(strings.Join(m.RcptParams, "|"), test.rcpt) // and so has each RCPT
		})
	}
}

func TestASCIIRecipientsGoWithoutSMTPUTF8(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{}
	x := letter("jürgen@x", "a@x")
	x.UTF8 = true
	results := mustOpen(t, r).Transact(t.Context(), x)
	is.Equal(results[0].Err.Op, attempt.OpUTF8)   // one recipient needs SMTPUTF8
	is.Equal(results[1].Err, nil)                 // the other does not
	is.Equal(r.Messages()[0].To, []string{"a@x"}) // and gets the message
}

// What becomes of a transaction before the relay has replied for a recipient becomes of the recipients above the limit,
// too. Otherwise a relay that is busy costs them an attempt.
func TestRecipientsAboveTheLimitShareAnEarlyFailure(t *testing.T) {
	for _, test := range []struct{ verb, reply, first, last string }{
		{"RCPT", "421 4.3.2 busy|close", "rcpt: 421 4.3.2 busy", "rcpt: 421 4.3.2 busy"},
		{"MAIL", "421 4.3.2 busy|close", "mail: 421 4.3.2 busy", "mail: 421 4.3.2 busy"},
		{"MAIL", "close", "mail: the relay hung up", "mail: the relay hung up"},
		{"RCPT", "450 4.2.0 later", "rcpt: 450 4.2.0 later", "next: rcpt: " + errRecipientLimit.Error()},
		{"END", "close", "end: the relay hung up", "next: rcpt: " + errRecipientLimit.Error()},
	} {
		inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
			is := is.New(t)
			r.Reply = script(map[string]string{test.verb: test.reply})
			c, err := open(t.Context(), r, remote, Config{Recipients: 1, Abilities: new(Abilities)})
			is.NoErr(err)
			got := c.Transact(t.Context(), letter("a@x.test", "b@x.test"))
			is.Equal(len(got), 2)
			is.True(strings.HasPrefix(outcome(got[0]), test.first))
			is.True(strings.HasPrefix(outcome(got[1]), test.last))
		})
	}
}
