package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestAbilities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		a := new(Abilities)
		is.True(a.Has(Chunking))          // an unknown extension is used
		is.True(a.failed(Chunking, true)) // a clear refusal switches the extension off
		is.True(!a.Has(Chunking))         // at once
		is.Equal(len(a.Broken()), 0)      // not confirmed yet
		is.True(a.Has(Pipelining))        // other extensions are used
		a.worked([features]bool{true, false, true})
		is.Equal(a.Broken(), []Feature{Chunking}) // a message without the extension was accepted
		time.Sleep(23 * time.Hour)
		is.True(!a.Has(Chunking))
		time.Sleep(time.Hour)
		is.True(a.Has(Chunking)) // tried again after a day

		is.True(a.failed(Pipelining, false)) // a lost connection switches the extension off
		a.worked([features]bool{false, false, true})
		is.True(a.Has(Pipelining))           // one loss may be an accident
		is.True(a.failed(Pipelining, false)) // the second loss counts
		a.worked([features]bool{false, false, true})
		is.Equal(a.Broken(), []Feature{Pipelining})

		a = new(Abilities)
		is.True(a.failed(Pipelining, true))
		a.failedWithout()
		is.True(a.Has(Pipelining))           // a failure without the extension: the extension is used again
		is.True(!a.failed(Pipelining, true)) // and not suspected for a while
		time.Sleep(trialPause)
		is.True(a.failed(Pipelining, true))

		var none *Abilities
		is.True(none.Has(Chunking) && !none.failed(Chunking, true) && none.Recipients() == 0 && !none.limitRecipients(3))
		none.worked([features]bool{})
		none.failedWithout()
	})
}

func TestLimitOfRecipientsIsLearntForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		a := new(Abilities)
		is.True(a.limitRecipients(50))
		is.True(!a.limitRecipients(60)) // a larger limit is not news
		is.True(a.limitRecipients(10))
		is.Equal(a.Recipients(), 10)
		time.Sleep(24 * time.Hour)
		is.Equal(a.Recipients(), 0)
	})
}

// recorder records all octets written.
type recorder struct {
	net.Conn
	sent bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.sent.Write(p)
	return r.Conn.Write(p)
}

// A firewall garbles BDAT, and the relay reads the content as commands. No content is sent with BDAT before the relay
// has accepted a BDAT on the connection.
func TestNoContentBeforeBDATIsAccepted(t *testing.T) {
	for _, reply := range []string{
		"500 5.3.3 Unrecognized command 'XXXX'", "502 no", "503 no", "504 no", "521 5.5.1 Error: command not implemented",
	} {
		for name, size := range map[string]int{"small": 100, "large": 3 << 20} {
			t.Run(reply[:3]+" "+name, func(t *testing.T) {
				is := is.New(t)
				r := &smtptest.Relay{Ext: modes[2].ext, Reply: script(map[string]string{"BDAT": reply})}
				nc, err := r.Dial(t.Context(), "tcp", remote)
				is.NoErr(err)
				rec := &recorder{Conn: nc}
				a := new(Abilities)
				c, err := Connect(t.Context(), rec, Config{LocalName: "client.test", Abilities: a})
				is.NoErr(err)
				x := big(size)
				x.Size = x.Size / 64 * 64
				is.Equal(serve(t, c, x, letter("b@x.test")), []string{"ok", "ok"}) // sent with DATA at once
				is.Equal(len(r.Messages()), 2)                                     // once each
				before, _, _ := bytes.Cut(rec.sent.Bytes(), []byte("DATA\r\n"))
				is.True(!bytes.Contains(before, []byte("0123456789"))) // no content before DATA
				is.True(!a.Has(Chunking))                              // the relay is known for it
			})
		}
	}
}

// Postfix refuses an empty chunk. On the next connection, BDAT is proved with one octet that is no content, in a
// transaction of its own with one recipient, if another message waits.
func TestBDATIsProvedWithOneOctet(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Ext: modes[2].ext, Reply: script(map[string]string{
		"BDAT 0": "551 5.7.1 Null BDAT request", "RCPT 0@x.test": "550 5.1.1 no", "RCPT 1@x.test": "550 5.1.1 no"})}
	a := new(Abilities)
	c, _ := openWire(t, r, Config{Abilities: a})
	is.Equal(serve(t, c, letter("a@x.test"), letter("b@x.test")), []string{"ok", "ok"}) // sent with DATA
	is.True(a.Has(Chunking) && a.knownToRefuseNull())

	c, w := openWire(t, r, Config{Abilities: a})
	before := len(r.Commands())
	list := letters(10) // the first two recipients are refused, and prove nothing
	list[1].To = []string{"1@x.test", "x@x.test", "y@x.test"}
	list[2].To = []string{"2@x.test", "z@x.test"}
	got := serve(t, c, list...)
	is.Equal(got[:3], []string{"rcpt: 550 5.1.1 no", "rcpt: 550 5.1.1 no,ok,ok", "ok,ok"})
	is.Equal(got[3:], strings.Fields("ok ok ok ok ok ok ok"))
	is.Equal(len(r.Messages()), 2+9) // each message once
	lines := r.Commands()[before:]
	i := slices.Index(lines, "BDAT 1")
	is.Equal(lines[i-1:i+1], []string{"RCPT TO:<0@x.test>", "BDAT 1"})
	is.Equal(slices.Index(lines[i+1:], "NOOP"), 0) // NOOP ends the line of the octet
	// one for each transaction, until BDAT was accepted
	is.Equal(strings.Count(strings.Join(lines, "\n"), "BDAT 1\n"), 3)
	is.Equal(strings.Count(strings.Join(lines, "\n"), "DATA"), 1) // for the second message
	is.True(w.trips <= 8)                                         // no more than needed
	// BDAT is proved for this connection
	is.Equal(serve(t, c, letters(3)[2]), []string{"ok"})
	is.Equal(strings.Count(strings.Join(r.Commands()[before:], "\n"), "BDAT 1\n"), 3) // no further proof
	c, _ = openWire(t, r, Config{Abilities: a})
	before = len(r.Commands())
	is.Equal(serve(t, c, letters(3)[2]), []string{"ok"})                          // a single message
	is.True(!strings.Contains(strings.Join(r.Commands()[before:], "\n"), "BDAT")) // is sent without BDAT
}

// The octet that proves BDAT is never the beginning of a command: a relay that did not read the octet as a chunk reads
// an unknown line.
func TestOctetIsReadAsNoCommand(t *testing.T) {
	for _, r := range []*smtptest.Relay{
		{Ext: modes[2].ext, NoBDAT: true},
		// the octet is read as a command
		{Ext: modes[2].ext, Reply: script(map[string]string{"BDAT": "500 5.3.3 Unrecognized command 'XXXX'"})},
	} {
		is := is.New(t)
		a := new(Abilities)
		a.refusesNull()
		c, _ := openWire(t, r, Config{Abilities: a})
		is.Equal(serve(t, c, letters(4)...), []string{"ok", "ok", "ok", "ok"}) // sent with DATA
		is.Equal(len(r.Messages()), 4)
		is.True(!a.Has(Chunking)) // the relay is known for it
	}
}

// A refusal of "BDAT 0" and of DATA is about the message: BDAT works.
func TestBDATRefusedForTheMessage(t *testing.T) {
	for reply, permanent := range map[string]bool{"554 5.7.1 no": true, "451 4.3.0 later": false} {
		is := is.New(t)
		r := &smtptest.Relay{Ext: modes[2].ext, Reply: script(map[string]string{"BDAT 0": reply, "DATA": reply})}
		a := new(Abilities)
		c, err := open(t.Context(), r, remote, Config{Abilities: a})
		is.NoErr(err)
		o := c.Transact(t.Context(), letter("a@x.test"))[0].Err.Outcome()
		is.Equal(o.Permanent, permanent)
		is.True(a.Has(Chunking))
	}
}

// An error of the way of sending is marked as such, and the extension is noted as broken.
func TestOfferedAndBroken(t *testing.T) {
	ext := []string{"PIPELINING", "SIZE"}
	for name, test := range map[string]struct {
		ext    []string
		reply  map[string]string
		broken Feature
	}{
		"RCPT before MAIL":        {ext, map[string]string{"RCPT": "503 5.5.1 need MAIL before RCPT"}, Pipelining},
		"MAIL unknown":            {ext, map[string]string{"MAIL": "500 pipelining not supported|close"}, Pipelining},
		"synchronization":         {ext, map[string]string{"MAIL": "554 SMTP synchronization error|close"}, Pipelining},
		"DATA improper":           {ext, map[string]string{"DATA": "503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining"}, Pipelining},
		"closed":                  {ext, map[string]string{"RCPT": "close"}, Pipelining},
		"no reply":                {ext, map[string]string{"DATA": "hang"}, Pipelining},
		"BDAT without reply":      {modes[2].ext, map[string]string{"BDAT 0": "hang"}, Chunking},
		"BDAT closed":             {modes[2].ext, map[string]string{"BDAT 0": "close"}, Chunking},
		"BDAT refused and closed": {modes[2].ext, map[string]string{"BDAT 0": "521 5.5.1 no|close"}, Chunking},
		"last BDAT":               {modes[2].ext, map[string]string{"END": "502 5.5.1 no BDAT"}, Chunking},
		"SIZE unknown":            {[]string{"SIZE"}, map[string]string{"MAIL": "555 5.5.4 Unsupported option: SIZE=22"}, Parameters},
		"BODY not implemented":    {[]string{"8BITMIME"}, map[string]string{"MAIL": "504 parameter not implemented"}, Parameters},
		"parameter alone":         {[]string{"SIZE"}, map[string]string{"MAIL": "501 Syntax error in parameters or arguments"}, Parameters},
		"NOTIFY":                  {[]string{"DSN"}, map[string]string{"RCPT": "501 Syntax error in parameters or arguments"}, Parameters},
		"parameter with syntax":   {[]string{"SIZE"}, map[string]string{"MAIL": "501 5.5.4 Syntax: MAIL FROM:<address>"}, Parameters},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Ext: test.ext, Reply: script(test.reply)}
			a := new(Abilities)
			c, err := open(t.Context(), r, remote, Config{Abilities: a, Timeout: time.Second / 5})
			is.NoErr(err)
			x := letter("a@x.test")
			x.Notify = []string{"FAILURE"}
			failed := c.Transact(t.Context(), x)[0].Err
			is.True(failed.Again)                          // the message is to be sent in another way
			is.True(!failed.Uncertain)                     // the relay does not have the message
			is.True(!a.Has(test.broken))                   // the extension is not used any more
			is.Equal(failed.Outcome().Fault, attempt.None) // the message is not at fault
			is.True(!failed.Outcome().Permanent)           // and the message is not given up
			for f := range features {
				is.Equal(a.Has(f), f != test.broken) // the other extensions are used
			}
		})
	}
}

// A reply about the message or the recipient does not mean that an extension is broken.
func TestRefusedAndNotBroken(t *testing.T) {
	for _, test := range []map[string]string{
		{"MAIL": "550 5.1.8 no such domain"}, {"RCPT": "550 5.1.1 no"}, {"RCPT": "501 5.1.3 bad address"},
		{"DATA": "554 5.7.1 no"}, {"END": "554 5.7.1 spam"}, {"END": "552 5.3.4 too big"}, {"MAIL": "451 4.7.1 later"},
		{"RCPT": "501 syntax"}, {"RCPT": "421 4.7.0 bye|close"}, {"RCPT": "504 5.5.2 <client.test>: Helo command rejected"},
	} {
		for _, m := range modes {
			is := is.New(t)
			r := &smtptest.Relay{Ext: m.ext, Reply: script(test)}
			a := new(Abilities)
			c, err := open(t.Context(), r, remote, Config{Abilities: a})
			is.NoErr(err)
			failed := c.Transact(t.Context(), letter("a@x.test"))[0].Err
			is.True(failed == nil || !failed.Again) // a plain refusal
			for f := range features {
				is.True(a.Has(f))
			}
		}
	}
}

func TestRecipientsAreLimited(t *testing.T) {
	many := func(n int) *Transaction {
		x := letter()
		for range n {
			x.To = append(x.To, "a@x.test")
		}
		return x
	}
	for name, test := range map[string]struct {
		cfg              Config
		reply            func() func(verb, arg string) string
		learnt, accepted int
		again            bool
	}{
		"setting":      {Config{Recipients: 10}, nil, 0, 10, false},
		"452 4.5.3":    {Config{}, after(30, "RCPT", "452 4.5.3 too many"), 30, 30, false},
		"552 5.5.3":    {Config{}, after(30, "RCPT", "552 5.5.3 too many"), 30, 30, false},
		"554 too many": {Config{}, after(30, "RCPT", "554 Too many recipients"), 30, 30, false},
		"550 limit":    {Config{}, after(30, "RCPT", "550 5.7.1 recipient limit exceeded"), 30, 30, false},
		"452 alone":    {Config{}, after(30, "RCPT", "452 no"), 0, 30, false}, // may be about the mailbox
		"at the end":   {Config{}, after(0, "END", "554 Transaction failed: Recipient count exceeds 50."), 50, 0, true},
		"DATA unknown": {Config{}, after(0, "DATA", "502 Unrecognized command"), 60, 0, true},
		"firewall":     {Config{}, after(100, "RCPT", "close"), 100, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Ext: []string{"SIZE"}}
			if test.reply != nil {
				r.Reply = test.reply()
			}
			test.cfg.Abilities = new(Abilities)
			c, err := open(t.Context(), r, remote, test.cfg)
			is.NoErr(err)
			accepted := 0
			for _, result := range c.Transact(t.Context(), many(120)) {
				if result.Err == nil {
					accepted++
				} else {
					is.Equal(result.Err.Outcome().Fault, attempt.None) // offered again at once
					is.Equal(result.Err.Again, test.again)
				}
			}
			is.Equal(accepted, test.accepted)
			is.Equal(test.cfg.Abilities.Recipients(), test.learnt)
		})
	}
}

// A transaction ends if the relay refuses all recipients up to the limit, and the others are left for the next one. The
// connection goes on.
func TestAllRecipientsUpToTheLimitAreRefused(t *testing.T) {
	for _, limit := range []int{1, 3, maxGroup, 2 * maxGroup} {
		inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
			is := is.New(t)
			r.Reply = func(verb, arg string) string {
				if verb == "RCPT" && arg != "good@x.test" {
					return "450 4.2.0 later"
				}
				return ""
			}
			c, err := open(t.Context(), r, remote, Config{Recipients: limit})
			is.NoErr(err)
			many := letter()
			for i := range limit + 5 {
				many.To = append(many.To, fmt.Sprintf("a%d@x.test", i))
			}
			got := c.Transact(t.Context(), many)
			is.Equal(len(got), len(many.To))
			for i := range got {
				is.Equal(got[i].Err.NotTried, i >= limit)
			}
			is.Equal(serve(t, c, letter("good@x.test")), []string{"ok"})
		})
	}
}

// after returns a script: the usual replies n times, and then another reply.
func after(n int, verb, reply string) func() func(verb, arg string) string {
	return func() func(string, string) string {
		seen := 0
		return func(v, _ string) string {
			if v == verb {
				seen++
			}
			if v == verb && seen > n {
				return reply
			}
			return ""
		}
	}
}

// A relay that refuses the null sender gets reports with another sender, except reports to this host.
func TestReportFrom(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Ext: modes[2].ext, Reply: script(map[string]string{"MAIL ": "501 Invalid MAIL FROM address provided"})}
	report := func(to string) *Transaction {
		x := letter(to)
		x.From = ""
		return x
	}
	a := new(Abilities)
	c, err := open(t.Context(), r, remote, Config{Abilities: a, ReportFrom: "reports@client.test"})
	is.NoErr(err)
	failed := c.Transact(t.Context(), report("a@x.test"))[0].Err
	is.True(failed.Again && !failed.Outcome().Permanent) // to be sent again at once
	is.True(!a.NullSender())
	is.Equal(serve(t, c, report("a@x.test"), letter("b@x.test")), []string{"ok", "ok"})
	is.Equal(r.Messages()[0].From, "reports@client.test")
	// no report to this host
	is.Equal(c.Transact(t.Context(), report("root@client.test"))[0].Err.Outcome().Permanent, true)

	c, err = open(t.Context(), r, remote, Config{Abilities: new(Abilities)})
	is.NoErr(err)
	is.True(c.Transact(t.Context(), report("a@x.test"))[0].Err.Outcome().Permanent) // the report fails
}

// A relay that replies 501 to "BDAT 0" gets the message with DATA at once. The reply says nothing about BDAT with
// content, so BDAT is proved with one octet on the next connection. If the relay refuses that too, DATA is used.
func TestNullChunkRefusedAsSyntaxError(t *testing.T) {
	for _, works := range []bool{true, false} {
		for _, reply := range []string{"501 5.5.4 Syntax: BDAT count [LAST]", "501 syntax error", "550 5.5.0 empty chunk"} {
			t.Run(fmt.Sprint(reply[:3], works), func(t *testing.T) {
				is := is.New(t)
				verb := map[bool]string{true: "BDAT 0", false: "BDAT"}[works]
				r := &smtptest.Relay{Ext: modes[2].ext, Reply: script(map[string]string{verb: reply})}
				a := new(Abilities)
				c, _ := openWire(t, r, Config{Abilities: a})
				is.Equal(serve(t, c, letter("a@x.test"), letter("b@x.test")), []string{"ok", "ok"})
				is.True(a.Has(Chunking) && a.knownToRefuseNull())
				commands := strings.Join(r.Commands(), "\n")
				is.Equal(strings.Count(commands, "DATA"), 2)

				before := len(r.Commands())
				c, _ = openWire(t, r, Config{Abilities: a})
				is.Equal(serve(t, c, letters(3)...), []string{"ok", "ok", "ok"})
				commands = strings.Join(r.Commands()[before:], "\n")
				is.Equal(strings.Count(commands, "BDAT 1\n"), 1) // the proof
				is.Equal(strings.Contains(commands, "DATA\n"), !works)
				is.Equal(a.Has(Chunking), works)
				is.Equal(len(r.Messages()), 2+3) // each message once
			})
		}
	}
}

// A plain 501 can be about the address: then the parameters are used again.
func TestSyntaxErrorOfAnAddress(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Ext: []string{"SIZE"}, Reply: script(map[string]string{"MAIL": "501 syntax error"})}
	a := new(Abilities)
	for _, again := range []bool{true, false, false} {
		c, err := open(t.Context(), r, remote, Config{Abilities: a})
		is.NoErr(err)
		failed := c.Transact(t.Context(), letter("a@x.test"))[0].Err
		is.Equal(failed.Again, again)
		is.Equal(failed.Outcome().Permanent, !again)
	}
	is.True(a.Has(Parameters))
}

// A relay that takes one message for each connection says so in many ways. No message is refused for that.
func TestConnectionHasCarriedEnoughMessages(t *testing.T) {
	for _, test := range []struct{ verb, reply string }{
		{"MAIL", "452 4.5.3 too many messages"},
		{"MAIL", "550 5.7.0 one message per connection"},
		{"MAIL", "503 5.5.1 sender already given"},
		{"RCPT", "550 message limit exceeded for this session"},
		{"DATA", "554 5.7.1 too many mails in one session"},
		{"END", "554 Maximum emails per connection reached"},
	} {
		t.Run(test.reply, func(t *testing.T) {
			inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
				is := is.New(t)
				done := false
				r.Reply = func(verb, _ string) string {
					refused := done && (verb == test.verb || verb == "DATA" && test.verb == "MAIL")
					done = done || verb == "END"
					if refused {
						return test.reply
					}
					return ""
				}
				c := mustOpen(t, r)
				is.True(c.Transact(t.Context(), letter("a@x.test"))[0].Err == nil)
				failed := c.Transact(t.Context(), letter("b@x.test"))[0].Err
				if m.chunking() && test.verb == "DATA" {
					is.True(failed == nil) // not a command of this mode
					return
				}
				is.True(failed.Ended && !c.Usable())
				is.Equal(failed.Outcome().Fault, attempt.None)
				is.True(!failed.Uncertain)
			})
		})
	}
}

// With CHUNKING a message is uncertain if the relay ends the connection between two messages. After the second loss
// DATA is used, and no further message is uncertain. A relay that is restarted goes on with CHUNKING.
func TestConnectionEndsBetweenMessages(t *testing.T) {
	for pause, want := range map[time.Duration]int{time.Second: 5, 20 * time.Second: 2} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			mails := 0
			r := &smtptest.Relay{Ext: modes[2].ext, Reply: func(verb, _ string) string {
				switch verb {
				case "CONNECT":
					mails = 0
				case "MAIL":
					if mails++; mails == 3 {
						return "close"
					}
				}
				return ""
			}}
			a, uncertain := new(Abilities), 0
			for range 5 {
				c, err := open(t.Context(), r, remote, Config{Abilities: a})
				is.NoErr(err)
				got := serve(t, c, letters(4)...)
				is.Equal(got[:2], []string{"ok", "ok"})
				if strings.Contains(got[2], "uncertain") {
					uncertain++
				}
				time.Sleep(pause)
			}
			is.Equal(uncertain, want)
		})
	}
}

// Where parameters are off, a message that cannot be sent without SMTPUTF8 or 8BITMIME is sent with them all the same.
func TestParametersThatAMessageNeeds(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Ext: []string{"SIZE", "8BITMIME", "SMTPUTF8"}}
	a := new(Abilities)
	a.failed(Parameters, true)
	c, err := open(t.Context(), r, remote, Config{Abilities: a})
	is.NoErr(err)
	plain, utf8, signed := letter("a@x.test"), letter("\u00fc@x.test"), letter("a@x.test")
	signed.EightBit = true
	signed.SevenBit = func() (io.Reader, int64, error) { return nil, 0, errors.New("the message is signed") }
	is.Equal(serve(t, c, plain, utf8, signed), []string{"ok", "ok", "ok"})
	mails := slices.DeleteFunc(r.Commands(), func(line string) bool { return !strings.HasPrefix(line, "MAIL") })
	for i, want := range []string{"", "SMTPUTF8", "BODY=8BITMIME"} {
		is.Equal(strings.Contains(mails[i], "SIZE"), want != "")
		is.True(strings.Contains(mails[i], want))
	}
}
