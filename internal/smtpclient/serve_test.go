package smtpclient

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// A countingConn counts writes and round trips. A round trip is a read after a write.
type countingConn struct {
	net.Conn
	writes, trips int
	written       bool
	sizes         []int
}

func (w *countingConn) Write(p []byte) (int, error) {
	w.writes++
	w.written = true
	w.sizes = append(w.sizes, len(p))
	return w.Conn.Write(p)
}

func (w *countingConn) Read(p []byte) (int, error) {
	if w.written {
		w.trips++
		w.written = false
	}
	return w.Conn.Read(p)
}

// count starts counting.
func (w *countingConn) count() { w.writes, w.trips, w.sizes = 0, 0, nil }

// openWire connects through a countingConn.
func openWire(t *testing.T, r *smtptest.Relay, cfg Config) (*Conn, *countingConn) {
	t.Helper()
	nc, err := r.Dial(t.Context(), "tcp", remote)
	if err != nil {
		t.Fatal(err)
	}
	w := &countingConn{Conn: nc}
	cfg.LocalName, cfg.Timeout = "client.test", 30*time.Second
	c, err := Connect(t.Context(), w, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.count()
	return c, w
}

// serve offers all transactions of list as fast as they are requested, and returns their outcomes: those of a message
// joined by commas, or "twice" if there was more than one.
func serve(t *testing.T, c *Conn, list ...*Transaction) []string {
	t.Helper()
	outcomes, next := map[*Transaction]string{}, 0
	more := func() *Transaction {
		if next++; next < len(list) {
			return list[next]
		}
		return nil
	}
	c.Serve(t.Context(), list[0], more, func(x *Transaction, results []Result) {
		var parts []string
		for _, result := range results {
			part := outcome(result)
			if result.Err != nil && result.Err.Uncertain {
				part = "uncertain " + string(result.Err.Op)
			}
			parts = append(parts, part)
		}
		if _, ok := outcomes[x]; ok {
			parts = []string{"twice"}
		}
		outcomes[x] = strings.Join(parts, ",")
	})
	var all []string
	for _, x := range list {
		if text, ok := outcomes[x]; ok {
			all = append(all, text)
		}
	}
	return all
}

// letters returns small messages to 0@x.test, 1@x.test and so on.
func letters(n int) []*Transaction {
	var list []*Transaction
	for i := range n {
		content := fmt.Sprintf("Subject: %d\r\n\r\n.%d\r\n", i, i)
		list = append(list, &Transaction{From: "a@client.test", To: []string{strconv.Itoa(i) + "@x.test"}, Size: int64(len(content)),
			Content: strings.NewReader(content)})
	}
	return list
}

func TestRoundTripsAndWrites(t *testing.T) {
	const n = 100
	chunking := []string{"SIZE", "PIPELINING", "CHUNKING"}
	notNull := new(Abilities)
	notNull.refusesNull()
	for _, test := range []struct {
		name          string
		ext           []string
		cfg           Config
		writes, trips int
	}{
		{"chunking", chunking, Config{}, n/4 + 1, n/4 + 1}, // the first envelope is sent with BDAT 0
		{"chunking, no empty chunk", chunking, Config{Abilities: notNull}, n/4 + 1, n/4 + 1},
		{"chunking, window 1", chunking, Config{Window: 1}, n + 1, n + 1},
		{"chunking, window 8", chunking, Config{Window: 8}, (n+7)/8 + 1, (n+7)/8 + 1},
		{"pipelining", []string{"SIZE", "PIPELINING"}, Config{}, n + 1, n + 1}, // the first envelope is sent alone
		{"no chunking", chunking, Config{NoChunking: true}, n + 1, n + 1},
		{"chunking alone", []string{"SIZE", "CHUNKING"}, Config{}, 5*n - 1, 5*n - 1},
		{"no pipelining", chunking, Config{NoPipelining: true}, 5*n - 1, 5*n - 1}, // the first message has no RSET
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Ext: test.ext}
			c, w := openWire(t, r, test.cfg)
			list := letters(n)
			is.Equal(serve(t, c, list...), strings.Fields(strings.Repeat("ok ", n))) // all messages are accepted
			is.Equal(w.writes, test.writes)                                          // one write for a flight
			// 0.26 round trips for a message, or 1.01
			is.Equal(w.trips, test.trips)
			is.Equal(len(r.Messages()), n) // each message has arrived
			for i, m := range r.Messages() {
				// in order and unchanged
				is.Equal(m.To[0]+" "+string(m.Data), fmt.Sprintf("%d@x.test Subject: %d\r\n\r\n.%d\r\n", i, i, i))
			}
			is.True(c.Usable()) // the session can go on
			is.NoErr(c.Quit())  // and ends with QUIT
		})
	}
}

// Each reply is matched to the message that it is about.
func TestAnswersAreMatched(t *testing.T) {
	inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
		is := is.New(t)
		ends := 0
		r.Reply = func(verb, arg string) string {
			switch {
			case verb == "RCPT" && arg == "1@x.test":
				return "550 5.1.1 nobody"
			case verb == "MAIL" && arg == "b@client.test":
				return "451 4.7.1 later"
			case verb == "END":
				if ends++; ends == 3 {
					return "554 5.6.0 spam"
				}
				return "250 2.0.0 number " + strconv.Itoa(ends)
			}
			return ""
		}
		list := letters(8)
		list[3].From = "b@client.test"
		list[5].To = []string{"x@x.test", "1@x.test", "y@x.test"}
		list[6].To = []string{"a b"}
		is.Equal(serve(t, mustOpen(t, r), list...), []string{"ok", "rcpt: 550 5.1.1 nobody", "ok", "mail: 451 4.7.1 later",
			// each message has its own outcome
			"end: 554 5.6.0 spam", "ok,rcpt: 550 5.1.1 nobody,ok", `rcpt: not an address that SMTP can carry: "a b" holds ' '`, "ok"})
		is.Equal(len(r.Messages()), 4) // only the accepted messages have arrived
	})
}

// Outcomes if a relay closes the connection within a flight.
func TestRelayThatGoesAwayInAFlight(t *testing.T) {
	for _, test := range []struct {
		name, verb string
		nth        int // which occurrence of the verb
		answer     string
		want       map[string]string // outcomes of four messages by mode
	}{
		{"closed at the end of the second", "END", 2, "close", map[string]string{
			"lock-step": "ok|uncertain end", "pipelining": "ok|uncertain end|mail: the relay hung up",
			"chunking": "ok|uncertain end|uncertain mail|uncertain mail"}},
		{"421 at the end of the second", "END", 2, "421 4.3.2 bye|close", map[string]string{
			"lock-step": "ok|end: 421 4.3.2 bye", "pipelining": "ok|end: 421 4.3.2 bye|mail: 421 4.3.2 bye",
			"chunking": "ok|end: 421 4.3.2 bye|mail: 421 4.3.2 bye|mail: 421 4.3.2 bye"}},
		{"421 to the third MAIL", "MAIL", 3, "421 4.7.0 enough|close", map[string]string{
			"lock-step": "ok|ok|mail: 421 4.7.0 enough", "pipelining": "ok|ok|mail: 421 4.7.0 enough",
			"chunking": "ok|ok|mail: 421 4.7.0 enough|mail: 421 4.7.0 enough"}},
		{"garbage to the second RCPT", "RCPT", 2, "hello|close", map[string]string{
			"lock-step": `ok|rcpt: bad reply line "hello"`, "pipelining": `ok|rcpt: bad reply line "hello"`,
			"chunking": "ok|uncertain rcpt|uncertain mail|uncertain mail"}},
		{"RSET refused", "RSET", 2, "502 5.5.1 what|close", map[string]string{
			"lock-step": "ok|ok|mail: RSET refused: 502 5.5.1 what", "pipelining": "ok|ok|mail: RSET refused: 502 5.5.1 what",
			"chunking": "ok|ok|uncertain mail|uncertain mail"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
				is := is.New(t)
				seen := 0
				r.Reply = func(verb, _ string) string {
					if verb == test.verb {
						seen++
					}
					if verb == test.verb && seen == test.nth {
						return test.answer
					}
					return ""
				}
				c := mustOpen(t, r)
				got := strings.Join(serve(t, c, letters(4)...), "|")
				got = strings.NewReplacer(": EOF", "", ": read a reply", "", ": io: read/write on closed pipe", "").Replace(got)
				// messages whose end was sent without a reply are uncertain, and no others
				is.Equal(got, test.want[m.name])
				is.True(!c.Usable()) // the session is over
			})
		})
	}
}

// After DATA without an accepted recipient, a lone dot is sent only if the relay has accepted the sender, or it might
// end another message.
func TestGoAheadWithoutRecipients(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Ext: []string{"PIPELINING"}, Reply: script(map[string]string{"RCPT 0@x.test": "550 no", "DATA": "354 go"})}
	c := mustOpen(t, r)
	is.Equal(serve(t, c, letters(3)...), []string{"rcpt: 550 no", "ok", "ok"}) // the other messages are accepted
	is.True(c.Usable())                                                        // the lone dot has ended the data
	is.Equal(len(r.Messages()), 2)                                             // and made no message

	r = &smtptest.Relay{Ext: []string{"PIPELINING"}, Reply: script(map[string]string{"MAIL": "550 no", "DATA": "354 go"})}
	c = mustOpen(t, r)
	is.Equal(serve(t, c, letters(3)...), []string{"mail: 550 no"}) // the refusal counts
	is.True(!c.Usable())                                           // the connection is closed
	is.Equal(r.Commands()[len(r.Commands())-1], "DATA")            // no dot was sent, which might end a message
}

// After a relay accepts the content of a message whose sender it refused, replies and commands do not match.
func TestChunkAcceptedAfterRefusedSender(t *testing.T) {
	is := is.New(t)
	client, server := pipe(t)
	go func() { // replies to each of two flights
		buf := make([]byte, 1<<10)
		_, _ = io.WriteString(server, "220 hi\r\n")
		_, _ = server.Read(buf)
		_, _ = io.WriteString(server, "250-hi\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
		_, _ = server.Read(buf)
		_, _ = io.WriteString(server, "550 no\r\n503 no\r\n250 fine\r\n")
	}()
	c, err := Connect(t.Context(), client, Config{LocalName: "me"})
	is.NoErr(err)                                                  // set up
	is.Equal(serve(t, c, letters(1)...), []string{"mail: 550 no"}) // the refusal counts
	is.True(!c.Usable())                                           // the session has ended
}

// Recipients are sent in groups, so that client and relay do not both wait for the other to read.
func TestManyRecipients(t *testing.T) {
	inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
		is := is.New(t)
		var to []string
		for i := range 250 {
			to = append(to, fmt.Sprintf("%d@x.test", i))
		}
		r.Reply = script(map[string]string{"RCPT 120@x.test": "550 no"})
		c, w := openWire(t, r, Config{})
		list := letters(2)
		list[1].To = to
		outcomes := serve(t, c, list...)
		is.Equal(strings.Count(outcomes[1], "ok"), 249) // all recipients except one are accepted
		is.Equal(len(r.Messages()[1].To), 249)          // and get the message
		if !m.lockStep() {
			is.True(w.writes <= 5) // groups of a hundred recipients
		}
		r.Reply = func(verb, arg string) string {
			if verb == "RCPT" && len(arg) == len("100@x.test") {
				return "452 4.5.3 enough"
			}
			return ""
		}
		list = letters(1)
		list[0].To = to
		outcomes = serve(t, c, list...)
		is.Equal(strings.Count(outcomes[0], "ok"), 100) // as many as the relay accepts
		// the others are offered in another transaction
		is.Equal(strings.Count(outcomes[0], "next: rcpt: 452 4.5.3 enough"), 150)
		// no recipient is offered after the group with a 452
		is.Equal(strings.Count(strings.Join(r.Commands(), "\n"), "RCPT TO:<249@"), 1)
	})
}

// A flight leaves out messages that cannot be read. No relay ever gets a part of one.
func TestUnreadableMessageInAFlight(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Ext: modes[2].ext}
	c, w := openWire(t, r, Config{Window: 8})
	list := letters(6)
	list[0].Content = iotest.ErrReader(errors.New("no such file"))
	list[2].Size++
	list[3].Size--
	outcomes := serve(t, c, list...)
	is.Equal(outcomes, []string{"content: read the content: no such file", "ok", "content: the content is not 19 octets long",
		"content: the content is not 17 octets long", "ok", "ok"}) // the unreadable messages fail, and no others
	is.Equal(w.writes, 2)          // in one flight after the first envelope
	is.True(c.Usable())            // no octet of the unreadable messages was sent
	is.Equal(len(r.Messages()), 3) // the other messages have arrived
	for _, line := range r.Commands() {
		is.True(!strings.Contains(line, "<2@")) // not even the envelope of an unreadable message was sent
	}
}

func TestChunkGetsTheEndOfItsLastLine(t *testing.T) {
	for content, want := range map[string]string{"a\r\nb": "a\r\nb\r\n", "a\r\nb\r": "a\r\nb\r\n", "a\r\n": "a\r\n", strings.Repeat("a", 99): strings.Repeat("a", 99) + "\r\n"} {
		is := is.New(t)
		r := &smtptest.Relay{Ext: modes[2].ext}
		x := letter("a@x.test")
		x.Content, x.Size = strings.NewReader(content), int64(len(content))
		is.Equal(serve(t, mustOpen(t, r), x, letter("b@x.test")), []string{"ok", "ok"}) // both messages are accepted
		is.Equal(string(r.Messages()[0].Data), want)                                    // the last line is complete
	}
}

// big returns a message larger than a flight.
func big(size int) *Transaction {
	content := strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", size/64)
	return &Transaction{From: "a@client.test", To: []string{"big@x.test"}, Size: int64(len(content)), Content: strings.NewReader(content)}
}

func TestLargeMessages(t *testing.T) {
	inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
		is := is.New(t)
		list := letters(6)
		for i, size := range []int{64 << 10, 65 << 10, 100 << 10, 3<<20 + 64} {
			list[i+1] = big(size)
			list[i+1].To[0] = strconv.Itoa(i+1) + "@x.test"
		}
		is.Equal(serve(t, mustOpen(t, r), list...), strings.Fields(strings.Repeat("ok ", 6))) // accepted
		// all messages have arrived
		is.Equal(len(r.Messages()), 6)
		for i, got := range r.Messages() {
			is.Equal(int64(len(got.Data)), list[i].Size) // complete
			is.Equal(got.To, list[i].To)                 // and in order
		}
	})
}

// A refusal ends the upload soon. The test runs in a bubble, as the connection is not read after a 421, and a pipe
// blocks then.
func TestRefusalStopsTheUpload(t *testing.T) {
	for name, test := range map[string]struct{ verb, answer, want string }{
		"recipient": {"RCPT", "550 no", "rcpt: 550 no"},
		"sender":    {"MAIL", "550 no", "mail: 550 no"},
		"421":       {"MAIL", "421 no|close", "mail: 421 no"},
		"chunk":     {"BDAT 1048576", "552 5.3.4 too big", "end: 552 5.3.4 too big"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				r := &smtptest.Relay{Ext: modes[2].ext, Reply: script(map[string]string{test.verb: test.answer})}
				c, w := openWire(t, r, Config{})
				is.Equal(serve(t, c, big(10<<20)), []string{test.want}) // the refusal counts
				sum := 0
				for _, size := range w.sizes {
					sum += size
				}
				is.True(sum < chunkSize+1000)       // at most one chunk was sent
				is.Equal(c.Usable(), name != "421") // the session goes on, except after 421
				is.Equal(len(r.Messages()), 0)      // no message has arrived
				is.NoErr(c.Close())                 // Close always succeeds
			})
		})
	}
}

func TestLargeMessageThatBreaksOff(t *testing.T) {
	for name, at := range map[string]int64{"in the first chunk": 1000, "in the second": chunkSize + 5000, "in the last": 3<<20 - 5} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			r := &smtptest.Relay{Ext: modes[2].ext}
			c := mustOpen(t, r)
			x := big(3 << 20)
			x.Content = io.MultiReader(io.LimitReader(x.Content, at), iotest.ErrReader(errors.New("bad sector")))
			failed := c.Transact(t.Context(), x)[0].Err
			is.Equal(failed.Error(), "content: read the content: bad sector") // the error has the cause
			is.True(failed.Source && !failed.Uncertain)                       // the message is at fault
			is.True(!c.Usable())                                              // the session has ended
			is.Equal(len(r.Messages()), 0)                                    // no message has arrived
		})
	}
}

// shortConn fails after a number of octets.
type shortConn struct {
	net.Conn
	left int
}

var errCut = errors.New("network is down")

func (s *shortConn) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p[:min(len(p), s.left)])
	if s.left -= n; err == nil && n < len(p) {
		err = errCut
	}
	return n, err
}

// Only a message that was sent completely can have arrived.
func TestFlightThatIsCut(t *testing.T) {
	is := is.New(t)
	r := &smtptest.Relay{Ext: modes[2].ext, Reply: script(map[string]string{"MAIL b@client.test": "hang"})}
	nc, err := r.Dial(t.Context(), "tcp", remote)
	is.NoErr(err) // connected
	cut := &shortConn{nc, 1 << 20}
	c, err := Connect(t.Context(), cut, Config{LocalName: "me", Timeout: time.Second / 10})
	is.NoErr(err) // set up
	list := letters(4)
	list[1].From = "b@client.test"
	cut.left = 64 + 32 + 94 + 30 // the first envelope and content, the second message, and a part of the third one
	outcomes := serve(t, c, list...)
	// the second message was sent completely
	is.Equal(outcomes, []string{"ok", "uncertain mail", "mail: network is down", "mail: network is down"})
}

func TestLMTP(t *testing.T) {
	inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
		is := is.New(t)
		r.LMTP = true
		r.Reply = script(map[string]string{"RCPT b": "550 5.1.1 nobody", "END c": "452 4.2.2 full", "END e": "421 bye|close"})
		c, err := open(t.Context(), r, remote, Config{LMTP: true})
		is.NoErr(err) // LHLO is accepted
		list := []*Transaction{letter("a", "b", "c", "d"), letter("b"), letter("c"), letter("a"), letter("a", "e", "f")}
		is.Equal(serve(t, c, list...), []string{"ok,rcpt: 550 5.1.1 nobody,end: 452 4.2.2 full,ok", "rcpt: 550 5.1.1 nobody",
			"end: 452 4.2.2 full", "ok", "ok,end: 421 bye,uncertain end"}) // an outcome for each recipient
		is.Equal(r.Commands()[0], "LHLO client.test")    // the greeting of LMTP
		is.Equal(r.Messages()[0].To, []string{"a", "d"}) // the recipients that accepted the message
	})
}

func TestLMTPNeedsLHLO(t *testing.T) {
	is := is.New(t)
	_, err := open(t.Context(), &smtptest.Relay{}, remote, Config{LMTP: true})
	is.Equal(asError(err).Op, attempt.OpEHLO) // HELO is not tried
}

func TestDomainsAsALabels(t *testing.T) {
	for offered, want := range map[string]string{"": "a@xn--mller-kva.test b@xn--mller-kva.test", "SMTPUTF8": "a@müller.test b@müller.test SMTPUTF8"} {
		is := is.New(t)
		r := &smtptest.Relay{Ext: []string{"X", offered}[min(1, len(offered)) : min(1, len(offered))+1]}
		x := letter("b@müller.test")
		x.From = "a@müller.test"
		is.Equal(serve(t, mustOpen(t, r), x), []string{"ok"}) // the message is accepted
		m := r.Messages()[0]
		// in ASCII if the relay has no SMTPUTF8
		is.Equal(strings.TrimSpace(m.From+" "+m.To[0]+" "+strings.Join(m.MailParams, " ")), want)
	}
}

// Serve asks for transactions once more when all replies have come, and then ends.
func TestServeAsksAgainBeforeItEnds(t *testing.T) {
	inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
		is := is.New(t)
		var late []*Transaction
		asked, served := 0, 0
		c := mustOpen(t, r)
		c.Serve(t.Context(), letter("a@x.test"), func() *Transaction {
			asked++
			if len(late) == 0 {
				return nil
			}
			x := late[0]
			late = nil
			return x
		}, func(*Transaction, []Result) {
			if served++; served == 1 {
				late = []*Transaction{letter("b@x.test")} // available with the reply to the first message
			}
		})
		is.Equal(served, 2) // the late message is sent
		is.True(asked <= 4) // a few calls, not an endless loop
		is.True(c.Usable()) // the session can go on
	})
}
